"""Tests here need Ray, and are not even collected without it."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ray.cluster import Nodes

if not find_spec("ray"):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="module")
def nodes() -> Iterator["Nodes"]:
    """A cluster of one head and two more nodes, this process connected; each has one core, as Ray counts."""
    from tests.ray.cluster import ray_cluster

    with ray_cluster() as nodes:
        nodes.add()
        nodes.add()
        yield nodes
