"""Where a request's time goes, told to a tracing system; nothing at all unless one is configured."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, ContextVar
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Scope

TRACE_ID: ContextVar[str] = ContextVar("TRACE_ID")
"""Set while a traced request is answered: every line that is logged meanwhile tells it."""

Span = Callable[[str], AbstractContextManager[object]]
"""Opens a span by its name; a `with` ends it."""


class TracingConfig(BaseModel):
    """Where traces go (`objectcut[otel]`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        description="The collector's OTLP over HTTP, as `http://collector:4318/v1/traces`. Default: no "
        "traces.",
    )
    sample_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced; of those with a `traceparent` its sender "
        "decides.",
    )
    service_name: str = Field("objectcut", min_length=1, description="Name of this service in the traces.")


class Tracing(Protocol):
    """What the service tells of itself while it works. All methods act in the caller's own context."""

    def request(self, scope: Scope) -> AbstractContextManager[object]:
        """Around one request: the span of which all others are parts."""
        ...

    def answered(self, method: str, route: str, status: int, request_id: str) -> None:
        """What became of the request."""
        ...

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Around one stage of the pipeline."""
        ...

    def note(self, **facts: str | int | float) -> None:
        """More about the stage that is under way."""
        ...

    def batch(self, model: str, callers: Sequence[tuple[Context, float]]) -> AbstractContextManager[object]:
        """Around one run of a network. callers: of each picture the context and the seconds it has waited."""
        ...

    def outgoing(self) -> Mapping[str, str]:
        """Headers by which a request to another process becomes part of the stage that is under way."""
        ...

    async def close(self) -> None:
        """Sends what is left."""
        ...


class Untraced:
    """Tracing, when there is none."""

    def request(self, scope: Scope) -> AbstractContextManager[object]:  # noqa: ARG002
        return nullcontext()

    def answered(self, method: str, route: str, status: int, request_id: str) -> None:
        pass

    def stage(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002
        return nullcontext()

    def note(self, **facts: str | int | float) -> None:
        pass

    def batch(
        self,
        model: str,  # noqa: ARG002
        callers: Sequence[tuple[Context, float]],  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        return nullcontext()

    def outgoing(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        pass


def open_tracing(config: TracingConfig) -> Tracing:
    """Raises ValueError when tracing is configured and its library, which is an extra, is not there."""
    if config.endpoint is None:
        return Untraced()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from api.otel import OpenTelemetry
    except ImportError as exc:
        raise ValueError("traces need `pip install 'objectcut[otel]'`") from exc

    return OpenTelemetry(config, OTLPSpanExporter(config.endpoint, timeout=5))
