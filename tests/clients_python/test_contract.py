"""The client keeps step with the service, and its two faces with each other."""

import inspect
import tomllib
from pathlib import Path

import pytest

from api import problems
from api.routes.bodies import Cutout, CutoutRequest, ModelInfo
from objectcut_client import AsyncObjectCut, ObjectCut, types
from objectcut_client.errors import BY_CODE

DISTRIBUTION = Path(__file__).parents[2] / "clients" / "python"


def public(kind: type) -> dict[str, inspect.Signature]:
    members = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(each) for name, each in members if not name.startswith("_")}


def test_both_have_the_same_methods() -> None:
    assert public(ObjectCut) == public(AsyncObjectCut)


@pytest.mark.parametrize("code", sorted(kind.code for kind in problems.kinds() if kind.status != 499))
def test_every_code_has_its_error(code: str) -> None:
    assert code in BY_CODE


def test_every_option_is_known() -> None:
    sources = {"image_url", "image_base64"}
    assert set(types.Options.__annotations__) | sources == set(CutoutRequest.model_fields)


def test_facts_are_the_services() -> None:
    assert set(types.Cutout.__dataclass_fields__) == set(Cutout.model_fields)
    assert set(types.Model.__dataclass_fields__) == set(ModelInfo.model_fields)


def test_it_needs_httpx_alone_and_is_typed() -> None:
    project = tomllib.loads((DISTRIBUTION / "pyproject.toml").read_text())["project"]
    assert [need.partition(">")[0] for need in project["dependencies"]] == ["httpx"]
    assert (DISTRIBUTION / "objectcut_client" / "py.typed").exists()
