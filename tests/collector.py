"""A collector of spans in memory."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.otel import OpenTelemetry
from api.tracing import TracingConfig


class Collector:
    """A tracing of its own, and what it has sent once the service has ended."""

    def __init__(self, **config: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = OpenTelemetry(TracingConfig(**config), self._exporter)

    @property
    def all(self) -> list[ReadableSpan]:
        """In the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """The last of each name."""
        return {span.name: span for span in self.all}


def ids(span: ReadableSpan) -> tuple[str, str | None]:
    """Its trace's id and its parent's, in hexadecimal."""
    parent = f"{span.parent.span_id:016x}" if span.parent else None
    assert span.context
    return f"{span.context.trace_id:032x}", parent
