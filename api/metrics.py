"""What Prometheus reads at /metrics. A registry of our own: several apps live in one test process."""

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from api import problems

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 20)
_SHED = ("overloaded", "draining")
_BATCH = (1, 2, 3, 4, 6, 8, 12, 16, 32)


class Metrics:
    """Labels hold our own words only (route templates, codes, stages): nothing of a request's text."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "objectcut_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "objectcut_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "objectcut_stage_seconds",
            "Time in each stage of the pipeline, waiting included.",
            ("stage",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._errors = Counter(
            "objectcut_errors", "Requests that failed, by stable code.", ("code",), registry=self.registry
        )
        self._shed = Counter(
            "objectcut_shed", "Requests turned away to protect the others.", ("code",), registry=self.registry
        )
        self._refused = Counter(
            "objectcut_fetch_refused",
            "Addresses that are not fetched from.",
            ("reason",),
            registry=self.registry,
        )
        self._items = Counter(
            "objectcut_job_pictures", "Tries of jobs' pictures.", ("status",), registry=self.registry
        )
        self._webhooks = Counter(
            "objectcut_webhooks", "Tries to deliver webhooks.", ("fate",), registry=self.registry
        )
        self._batches = Histogram(
            "objectcut_batch_size", "Pictures per run.", ("model",), buckets=_BATCH, registry=self.registry
        )
        self._second_looks = Counter(
            "objectcut_second_looks",
            "Pictures that a network was unsure of and looked at twice.",
            ("model",),
            registry=self.registry,
        )
        self._waits = Histogram(
            "objectcut_queue_seconds",
            "Wait of a picture for its batch to start.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._caps = Gauge(
            "objectcut_batch_cap",
            "Pictures that a batch may hold, as measured; fewer for a while after memory ran out.",
            ("model",),
            registry=self.registry,
        )
        self._memory = Gauge(
            "objectcut_model_bytes",
            "Memory of the device that a model takes; 0 while it is not loaded.",
            ("model",),
            registry=self.registry,
        )

        # A counter that begins with its first failure hides that one from rate() and increase().
        for kind in problems.kinds():
            self._errors.labels(kind.code)
        for code in _SHED:
            self._shed.labels(code)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one finished request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def error(self, code: str) -> None:
        """Counts one failed request; those that we turned away are counted as shed, too."""
        self._errors.labels(code).inc()
        if code in _SHED:
            self._shed.labels(code).inc()

    def stage(self, stage: str, seconds: float) -> None:
        """Notes how long a stage of the pipeline took."""
        self._stages.labels(stage).observe(seconds)

    def refused(self, reason: str) -> None:
        """Counts an address that the guard refused."""
        self._refused.labels(reason).inc()

    def job_picture(self, status: str) -> None:
        """Counts one try of a job's picture."""
        self._items.labels(status).inc()

    def webhook(self, fate: str) -> None:
        """Counts one try of a delivery."""
        self._webhooks.labels(fate).inc()

    def batch(self, model: str, size: int) -> None:
        """Notes one run of a network."""
        self._batches.labels(model).observe(size)

    def second_looks(self, model: str, count: int) -> None:
        """Counts pictures that a network has looked at twice."""
        self._second_looks.labels(model).inc(count)

    def waited(self, model: str, seconds: float) -> None:
        """Notes how long a picture has waited for its batch."""
        self._waits.labels(model).observe(seconds)

    def models(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Notes which models are loaded. facts: by name, see api.types.Engine.status."""
        self._caps.clear()
        for name, known in facts.items():
            self._memory.labels(name).set(known.get("memory_bytes", 0))
            if "batch_cap" in known:
                self._caps.labels(name).set(known["batch_cap"])

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """A value that is read when Prometheus asks."""
        Gauge(f"objectcut_{name}", description, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
