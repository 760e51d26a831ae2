"""Spans by OpenTelemetry: of requests, stages and batches. Importing this module imports its SDK."""

import asyncio
import contextvars
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import Scope

from api.errors import as_error
from api.tracing import TRACE_ID, TracingConfig


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

    @contextmanager
    def request(self, scope: Scope) -> Iterator[None]:
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

    def stage(self, name: str) -> AbstractContextManager[object]:
        return self._span(name)

    @contextmanager
    def _span(self, name: str, parent: Context | None = None, links: Sequence[Link] = ()) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name, parent, links=links, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
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

    @contextmanager
    def batch(self, model: str, callers: Sequence[tuple[contextvars.Context, float]]) -> Iterator[None]:
        """Below each caller's span `queue` and `inference`; below the first's inference the `batch`.

        Callers may be of different traces, and a span is of one: the batch has links to all of its callers,
        and every inference has one to the batch.
        """
        now = time.time_ns()
        spans = [(context.run(trace.get_current_span), waited) for context, waited in callers]
        traced = [(span, waited) for span, waited in spans if span.is_recording()]
        with ExitStack() as stack:
            inferences: list[Span] = []
            for span, waited in traced:
                within = trace.set_span_in_context(span)
                self._tracer.start_span("queue", within, start_time=now - int(waited * 1e9)).end(now)
                inferences.append(self._tracer.start_span("inference", within, start_time=now))
                stack.callback(inferences[-1].end)
            if inferences:
                links = [Link(span.get_span_context()) for span, _ in traced]
                batch = stack.enter_context(
                    self._span("batch", trace.set_span_in_context(inferences[0]), links)
                )
                self.note(model=model, batch_size=len(callers))
                for inference in inferences:
                    inference.add_link(batch.get_span_context())
            yield

    def outgoing(self) -> Mapping[str, str]:
        headers: dict[str, str] = {}
        self._parents.inject(headers)
        return headers

    async def close(self) -> None:
        await asyncio.to_thread(self._provider.shutdown)
