"""A Ray cluster of several nodes on this machine: each has a loopback address of its own, and can be lost."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

__all__ = ["Nodes", "ray_cluster"]

_ADDRESS = "127.0.0.{}"
"""Of a node. From 2 on: Ray takes 127.0.0.1 for a name of the machine, and replaces it."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # By default 15: work would get next to nothing beside the clients that measure it.
    "RAY_worker_niceness": "0",
    # A process may take its time to start where all of them share a core or two.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
}
STORE_BYTES = 100 * 2**20
"""Of each node's object store."""


class Nodes:
    """A cluster to which this process is connected. The head, where the connection is, cannot be lost."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._count = 1
        self.address: str = cluster.address

    def add(self, cpus: float = 1, **resources: float) -> Any:
        """One more node, for `lose`. cpus: of those, as Ray counts them. resources: what else it has."""
        self._count += 1
        return self._cluster.add_node(
            num_cpus=cpus,
            resources=resources,
            object_store_memory=STORE_BYTES,
            node_ip_address=_ADDRESS.format(1 + self._count),
            dashboard_agent_listen_port=0,
        )

    def lose(self, node: Any) -> None:
        """Kills its processes, without a word of warning."""
        self._cluster.remove_node(node, allow_graceful=False)


@contextmanager
def ray_cluster(
    head_cpus: float = 1, *, environment: Mapping[str, str] | None = None, **resources: float
) -> Iterator[Nodes]:
    """Starts a head, connects this process to it, and leaves nothing behind.

    environment: of the nodes' processes, and so of everything that runs there.
    """
    # Not below pytest's: the paths of sockets have 107 bytes at most.
    directory = Path(tempfile.mkdtemp(prefix="oc-ray-"))
    known = dict(os.environ)
    os.environ |= {**_ENVIRONMENT, **_places(directory), **(environment or {})}
    try:
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": head_cpus,
                "resources": resources,
                "object_store_memory": STORE_BYTES,
                "node_ip_address": _ADDRESS.format(2),
                "include_dashboard": False,
            },
        )
        try:
            ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
            yield Nodes(cluster)
        finally:
            ray.shutdown()
            cluster.shutdown()
    finally:
        os.environ.clear()
        os.environ.update(known)
        shutil.rmtree(directory, ignore_errors=True)


def _places(directory: Path) -> dict[str, str]:
    """Where Ray keeps its files and HAProxy's, by default in one directory for all clusters of a machine."""
    haproxy = directory / "haproxy"
    return {
        "RAY_TMPDIR": str(directory),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
    }
