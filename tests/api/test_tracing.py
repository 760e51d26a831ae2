"""Spans: which there are, what they say, whose trace they belong to, and what it costs without them."""

import asyncio
import gzip
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanKind, StatusCode

from api.app import create_app
from api.errors import InferenceFailed, StoreUnavailable
from api.logs import LogConfig, configure
from api.settings import Settings
from api.tracing import TracingConfig, Untraced, open_tracing
from tests.collector import Collector, ids
from tests.fakes import BASE_URL, FailingStore, FakeEngine, FakeFetcher, InlineDecoder, memory_store, photo
from tests.service import serving

FILE = {"image": ("a.jpg", photo())}
STAGES = ["fetch", "decode", "matte", "refine", "compose", "encode", "store"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


async def test_a_request_is_a_span_and_its_stages_are_parts_of_it() -> None:
    collector = Collector()
    async with serving(tracing=collector.tracing) as served:
        answer = await served.http.post("/v1/cutouts", files=FILE)
    spans = collector.spans
    request = spans.pop("POST /v1/cutouts")
    assert request.kind is SpanKind.SERVER
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/cutouts",
        "http.response.status_code": 201,
        "objectcut.request_id": answer.headers["x-request-id"],
    }
    assert list(spans) == STAGES
    assert request.context
    own = f"{request.context.trace_id:032x}", f"{request.context.span_id:016x}"
    assert {ids(span) for span in spans.values()} == {own}
    assert ids(request) == (own[0], None)


async def test_the_matte_tells_its_wait_and_its_batch() -> None:
    collector = Collector()
    settings = Settings.model_validate(
        {"anonymous": True, "cpu_jobs": 1, "engine": {"device": "cpu", "cores": 1, "precision": "float32"}}
    )
    app = create_app(
        settings,
        fetcher=FakeFetcher(),
        decoder=InlineDecoder(),
        store=memory_store(),
        tracing=collector.tracing,
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE_URL)
    async with app.router.lifespan_context(app), client:
        await client.post("/v1/cutouts", files=FILE)
        waits = app.state.service.metrics.registry.get_sample_value
        assert waits("objectcut_queue_seconds_count", {"model": "lite"}) == 1
    facts = dict(collector.spans["matte"].attributes or {})
    assert (facts["objectcut.model"], facts["objectcut.batch_size"]) == ("lite", 1)
    assert float(str(facts["objectcut.queue_wait_ms"])) >= 0


async def test_goes_on_with_the_trace_of_the_caller() -> None:
    collector = Collector(sample_share=0)
    async with serving(tracing=collector.tracing) as served:
        given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        await served.http.post("/v1/cutouts", files=FILE, headers=given)
    spans = collector.spans
    assert ids(spans["POST /v1/cutouts"]) == (TRACE, PARENT)
    assert {ids(span)[0] for span in spans.values()} == {TRACE}


UNSAMPLED = [
    pytest.param({}, 0.0, id="share of none"),
    pytest.param({"traceparent": f"00-{TRACE}-{PARENT}-00"}, 1.0, id="its caller does not want one"),
]


@pytest.mark.parametrize(("headers", "share"), UNSAMPLED)
async def test_no_spans_for(headers: dict[str, str], share: float) -> None:
    collector = Collector(sample_share=share)
    async with serving(tracing=collector.tracing) as served:
        assert (await served.http.post("/v1/cutouts", files=FILE, headers=headers)).status_code == 201
    assert collector.spans == {}


MALFORMED = [
    pytest.param("nonsense", id="no traceparent"),
    pytest.param(f"00-{'0' * 32}-{PARENT}-01", id="no trace"),
    pytest.param(f"ff-{TRACE}-{PARENT}-01", id="version that cannot be"),
    pytest.param("x" * 5000, id="long"),
]


@pytest.mark.parametrize("value", MALFORMED)
async def test_malformed_traceparent_begins_a_trace(value: str) -> None:
    collector = Collector()
    async with serving(tracing=collector.tracing) as served:
        await served.http.get("/v1/models", headers={"traceparent": value})
    trace, parent = ids(collector.spans["GET /v1/models"])
    assert trace != TRACE
    assert parent is None


async def test_machines_that_look_every_second_leave_no_traces() -> None:
    collector = Collector()
    async with serving(tracing=collector.tracing) as served:
        for path in ("/healthz", "/readyz", "/metrics"):
            await served.http.get(path)
    assert collector.spans == {}


FAILURES: list[Any] = [
    pytest.param(
        {"engine": FakeEngine(fails=InferenceFailed("poison"))}, "matte", "inference_failed", id="engine"
    ),
    pytest.param(
        {"store": FailingStore(StoreUnavailable("down"))}, "store", "storage_unavailable", id="store"
    ),
]


@pytest.mark.parametrize(("parts", "stage", "code"), FAILURES)
async def test_the_stage_that_failed_says_so(parts: dict[str, Any], stage: str, code: str) -> None:
    collector = Collector()
    async with serving(tracing=collector.tracing, **parts) as served:
        await served.http.post("/v1/cutouts", files=FILE)
    spans = collector.spans
    assert (spans[stage].attributes or {})["error.type"] == code
    assert {name for name, span in spans.items() if span.status.status_code is StatusCode.ERROR} == {
        stage,
        "POST /v1/cutouts",
    }


async def test_a_mistake_of_the_caller_is_no_error_of_ours() -> None:
    collector = Collector()
    async with serving(tracing=collector.tracing) as served:
        await served.http.post("/v1/cutouts", files={"image": ("a.jpg", b"no image")})
    spans = collector.spans
    assert (spans["decode"].attributes or {})["error.type"] == "unsupported_image"
    assert {span.status.status_code for span in spans.values()} == {StatusCode.UNSET}


async def test_log_lines_tell_the_trace() -> None:
    stream = io.StringIO()
    async with serving(tracing=Collector().tracing) as served:
        configure(LogConfig(), stream)
        given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        await served.http.get("/v1/models", headers=given)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["trace_id"] for line in lines if line["message"] == "request"] == [TRACE]


def test_off_unless_configured() -> None:
    assert isinstance(open_tracing(TracingConfig()), Untraced)
    code = "import sys, api.app; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


async def test_spans_reach_a_collector() -> None:
    """Over OTLP and HTTP, to a collector that says what it was sent."""
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(re.findall(r"(?i)content-length: (\d+)", head)[0])
        got.put_nowait((head.split()[1], await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(collect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tracing = open_tracing(TracingConfig(endpoint=f"http://127.0.0.1:{port}/v1/traces"))
    async with server, serving(tracing=tracing) as served:
        await served.http.get("/v1/models")
        await served.service.tracing.close()
        path, body = await asyncio.wait_for(got.get(), 20)
    assert path == "/v1/traces"
    sent = ExportTraceServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    (spans,) = (scope.spans for resource in sent.resource_spans for scope in resource.scope_spans)
    assert [span.name for span in spans] == ["GET /v1/models"]
