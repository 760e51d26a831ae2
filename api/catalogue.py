"""What every engine says of the models of a registry, wherever they run."""

from collections.abc import Callable, Mapping
from typing import Any

from api.errors import InvalidOptions
from model.errors import ModelUnavailable
from model.registry import ModelSpec

__all__ = ["check_names", "described", "how_to_load", "input_size", "offered"]


def check_names(names: tuple[str, ...], registry: Mapping[str, ModelSpec]) -> None:
    """Raises ValueError when one of them is not in the registry."""
    if unknown := sorted(set(names) - registry.keys()):
        raise ValueError(f"no such model: {', '.join(unknown)}; there are {', '.join(registry)}")


def offered(model: str, names: tuple[str, ...], registry: Mapping[str, ModelSpec]) -> ModelSpec:
    """The record of a model that a request names. names: those that it may name.

    Raises InvalidOptions: there is no such model; ModelUnavailable: it is not one of those.
    """
    spec = registry.get(model)
    if spec is None:
        raise InvalidOptions(public=f"model: must be one of {', '.join(registry)}")
    if model not in names:
        raise ModelUnavailable(f"model '{model}' is not loaded on this server: {how_to_load(spec)}")
    return spec


def input_size(spec: ModelSpec, resolution: int | None) -> tuple[int, int]:
    """(height, width) in px that the network sees a picture in. Raises InvalidOptions."""
    try:
        return spec.input_size(resolution)
    except ValueError as exc:
        raise InvalidOptions(public=f"resolution: {exc}") from exc


def how_to_load(spec: ModelSpec) -> str:
    """What the operator of a server without this model can do."""
    first = "" if spec.weights.shipped else f"{spec.bring}, and "
    return f"its operator can {first}name it in the setting `models`"


def described(registry: Mapping[str, ModelSpec], available: Callable[[str], bool]) -> list[dict[str, Any]]:
    """For GET /v1/models: every model of the registry. available: whether a request may name it now."""
    return [
        {
            "name": spec.name,
            "available": available(spec.name),
            "description": spec.description,
            "input_width": spec.size[1],
            "input_height": spec.size[0],
            "resolutions": spec.sides,
            "licence": spec.licence,
            "paper": spec.paper,
            "source": spec.weights.source,
        }
        for spec in registry.values()
    ]
