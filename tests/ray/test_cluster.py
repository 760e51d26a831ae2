"""The cluster that the other tests stand on."""

import time

import pytest
import ray

from tests.ray.cluster import Nodes

pytestmark = [pytest.mark.ray, pytest.mark.timeout(180)]


def test_work_goes_on_without_a_node_that_is_lost(nodes: Nodes) -> None:
    third = nodes.add(1, spare=1)
    assert ray.cluster_resources()["CPU"] == 4
    add = ray.remote(num_cpus=1)(lambda a, b: a + b)
    assert ray.get([add.remote(number, 1) for number in range(8)]) == list(range(1, 9))
    nodes.lose(third)
    assert ray.get([add.remote(number, 1) for number in range(8)]) == list(range(1, 9))
    until = time.monotonic() + 60
    while "spare" in ray.cluster_resources():
        assert time.monotonic() < until
        time.sleep(0.1)
