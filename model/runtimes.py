"""What a model is run by: torch, or OpenVINO where it is asked for. Readable without either of them."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from model.config import EngineConfig
from model.registry import ModelSpec

if TYPE_CHECKING:  # torch takes seconds to import: that can wait until something is loaded
    from model.loaded import LoadedModel

__all__ = ["check", "load"]


def check(config: EngineConfig) -> None:
    """Raises ValueError when the configured device or runtime is not there."""
    from model.device import choose_device

    choose_device(config.device)
    if config.runtime == "openvino" and find_spec("openvino") is None:
        raise ValueError(
            "the runtime openvino was asked for, and is not installed: pip install 'objectcut[openvino]'"
        )


def load(spec: ModelSpec, config: EngineConfig) -> "LoadedModel":
    """The model, loaded, warm and proven. Raises ModelUnavailable; ValueError as `check` does."""
    if config.runtime == "openvino":
        from model.openvino import OpenVinoEngine

        return OpenVinoEngine(spec, config)
    from model.engine import TorchEngine

    return TorchEngine(spec, config)
