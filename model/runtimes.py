"""What a model is run by: torch, or OpenVINO, which is better on CPUs. Readable without either of them."""

import logging
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from model.config import EngineConfig
from model.errors import ModelError
from model.registry import ModelSpec

if TYPE_CHECKING:  # torch takes seconds to import: that can wait until something is loaded
    from model.loaded import LoadedModel

__all__ = ["check", "chosen", "load"]

_LOG = logging.getLogger(__name__)

_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where Linux has GPUs that torch may know: NVIDIA's, AMD's, and those of a Windows around it."""


def check(config: EngineConfig) -> None:
    """Raises ValueError when the configured device or runtime is not there."""
    if config.runtime == "openvino" and not _installed():
        raise ValueError(
            "the runtime openvino was asked for, and is not installed: pip install 'objectcut[openvino]'"
        )
    if not _on_cpu(config):
        from model.device import choose_device

        choose_device(config.device)


def chosen(spec: ModelSpec, config: EngineConfig) -> Literal["torch", "openvino"]:
    """What the model is to be run by.

    By itself a network of many sizes stays with torch: OpenVINO would compile it for seconds when a request
    asks for another one.
    """
    if config.runtime != "auto":
        return config.runtime
    here = _installed() and platform.machine() in ("x86_64", "AMD64")
    return "openvino" if here and spec.sides is None and _on_cpu(config) else "torch"


def load(spec: ModelSpec, config: EngineConfig) -> "LoadedModel":
    """The model, loaded, warm and proven. Raises ModelUnavailable; ValueError as `check` does."""
    if chosen(spec, config) == "openvino":
        try:
            from model.openvino import OpenVinoEngine

            return OpenVinoEngine(spec, config)
        # Its library may not be what this machine can load, or not know what the network is made of.
        except (ModelError, ImportError, RuntimeError) as exc:
            if config.runtime != "auto":
                raise
            _LOG.warning("torch instead of OpenVINO: %s", exc)
    from model.engine import TorchEngine

    return TorchEngine(spec, config)


def _installed() -> bool:
    return find_spec("openvino") is not None


def _on_cpu(config: EngineConfig) -> bool:
    """Whether it is certain, without torch, that models run on a CPU."""
    if config.device == "auto":
        return sys.platform == "linux" and not any(Path(gpu).exists() for gpu in _GPUS)
    return config.device == "cpu"
