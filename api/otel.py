"""Spans by OpenTelemetry: one a request, one a stage. Importing this module imports its SDK."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import Scope

from api.errors import as_error
from api.tracing import TRACE_ID, TracingConfig

_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: nobody wants a trace of these."""


class OpenTelemetry:
    """See Tracing. Spans wait in a bounded queue and leave in a thread; what finds it full is dropped.

    A request with a W3C `traceparent` goes on with that trace. Attributes hold our own words, numbers and
    request ids: nothing of a request's text. exporter: where spans go.
    """

    def __init__(self, config: TracingConfig, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(config.sample_share)),
            resource=Resource.create({SERVICE_NAME: config.service_name}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("objectcut")
        self._parents = TraceContextTextMapPropagator()

    def request(self, scope: Scope) -> AbstractContextManager[object]:
        return nullcontext() if scope["path"] in _QUIET else self._request(scope)

    @contextmanager
    def _request(self, scope: Scope) -> Iterator[None]:
        parent = self._parents.extract(dict(Headers(scope=scope)))
        with self._tracer.start_as_current_span("request", parent, SpanKind.SERVER) as span:
            TRACE_ID.set(trace.format_trace_id(span.get_span_context().trace_id))
            yield

    def answered(self, method: str, route: str, status: int, request_id: str) -> None:
        span = trace.get_current_span()
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "objectcut.request_id": request_id,
            }
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as exc:
                # Its code, not its text, which may speak of a request's content.
                error = as_error(exc)
                span.set_attribute("error.type", error.code)
                if error.report:
                    span.set_status(Status(StatusCode.ERROR))
                raise
            except asyncio.CancelledError:
                span.set_attribute("error.type", "cancelled")
                raise

    def note(self, **facts: str | int | float) -> None:
        attributes = {f"objectcut.{name}": fact for name, fact in facts.items()}
        trace.get_current_span().set_attributes(attributes)

    async def close(self) -> None:
        await asyncio.to_thread(self._provider.shutdown)
