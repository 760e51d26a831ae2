"""Tests here need Ray, and are not even collected without it. What they measure is one line at the end."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ray.cluster import Nodes

_FIGURES = pytest.StashKey[dict[str, str]]()

if not find_spec("ray"):
    collect_ignore_glob = ["test_*.py"]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = {}


@pytest.fixture(scope="session")
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Call it with a name and a value."""
    figures = request.config.stash[_FIGURES]

    def note(name: str, value: str) -> None:
        figures[name] = value

    return note


@pytest.fixture(scope="module")
def nodes() -> Iterator["Nodes"]:
    """A cluster of one head and two more nodes, this process connected; each has one core, as Ray counts."""
    from tests.ray.cluster import ray_cluster

    with ray_cluster() as nodes:
        nodes.add()
        nodes.add()
        yield nodes


def pytest_unconfigure(config: pytest.Config) -> None:
    if figures := config.stash[_FIGURES]:
        print("ray: " + " · ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201
