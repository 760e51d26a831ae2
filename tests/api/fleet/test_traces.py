"""One trace from the edge through a worker's batch to the store; and whose trace a worker goes on with."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id

from api.engine import LocalEngine
from api.fleet.config import WorkersConfig
from api.fleet.remote import RemoteEngine
from api.fleet.settings import WorkerSettings
from api.fleet.worker import create_worker
from api.fleet.worker_link import WorkerLink
from model import frame
from model.batcher import Batcher
from model.config import EngineConfig
from model.deadline import Deadline
from model.errors import OutOfMemory
from tests.api.fleet.workers import TOKEN, WorkersEngine, client_of, working
from tests.collector import Collector, ids
from tests.fakes import SIDE, photo
from tests.service import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
GIVEN = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
PATH = f"/v1/mattes/lite/{SIDE}x{SIDE}"
FRAME = frame.pack_picture(np.zeros((SIDE, SIDE, 3), np.uint8), 10)
LITE = EngineConfig(models=("lite",), cores=1, device="cpu", precision="float32")


def own(span: ReadableSpan) -> str:
    assert span.context
    return format_span_id(span.context.span_id)


async def test_one_trace_from_the_edge_to_the_workers_batch_and_the_store() -> None:
    edge, there = Collector(), Collector()
    local = LocalEngine(LITE, around=there.tracing.batch)
    async with working(local, drain_delay=0, tracing=there.tracing) as worker:
        link = WorkerLink(worker.url, TOKEN, WorkersConfig(), outgoing=edge.tracing.outgoing)
        remote = RemoteEngine(LITE, [link])
        async with serving(engine=remote, tracing=edge.tracing) as served:
            answer = await served.http.post("/v1/cutouts", files={"image": ("a.jpg", photo())}, headers=GIVEN)
            assert answer.status_code == 201
        worker.stop()
        await asyncio.wait_for(worker.task, 15)
    ours, workers = edge.spans, there.spans
    assert list(workers) == ["POST /v1/mattes/{model}/{size}", "queue", "inference", "batch"]
    assert {ids(span)[0] for span in [*ours.values(), *workers.values()]} == {TRACE}
    assert ids(ours["POST /v1/cutouts"])[1] == PARENT
    assert {ids(ours[name])[1] for name in ("matte", "store")} == {own(ours["POST /v1/cutouts"])}
    request, queue, inference, batch = workers.values()
    assert ids(request)[1] == own(ours["matte"])
    assert {ids(span)[1] for span in (queue, inference)} == {own(request)}
    assert ids(batch)[1] == own(inference)
    assert dict(batch.attributes or {}) == {"objectcut.model": "lite", "objectcut.batch_size": 1}
    assert (queue.end_time or 0) <= (batch.start_time or 0) <= (batch.end_time or 0)
    assert (request.attributes or {})["objectcut.request_id"] == answer.headers["x-request-id"]


@pytest.fixture
def device() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as device:
        yield device


def batcher(
    device: ThreadPoolExecutor, collector: Collector, run: Callable[[Sequence[int]], Sequence[int]]
) -> Batcher[int, int]:
    return Batcher(
        run,
        device,
        max_batch=4,
        max_wait=0,
        max_queue=8,
        around=lambda callers: collector.tracing.batch("lite", callers),
    )


def full(_: Sequence[int]) -> Sequence[int]:
    raise OutOfMemory("full")


async def asked(batches: Batcher[int, int], collector: Collector, name: str) -> None:
    with collector.tracing.stage(name):
        await batches.submit(0, Deadline.after(5))


async def test_a_batch_is_part_of_one_request_and_linked_to_all(device: ThreadPoolExecutor) -> None:
    collector = Collector()
    batches = batcher(device, collector, list)
    names = ("first", "second", "third")
    began = time.time_ns()
    calls = (asked(batches, collector, name) for name in names)
    await asyncio.gather(*calls, batches.submit(0, Deadline.after(5)))
    await collector.tracing.close()
    spans = collector.spans
    callers = [spans[name] for name in names]
    batch = spans["batch"]
    assert [span.name for span in collector.all].count("batch") == 1
    assert [link.context.span_id for link in batch.links] == [
        span.context.span_id for span in callers if span.context
    ]
    assert (batch.attributes or {})["objectcut.batch_size"] == 4, "who has no trace is in it, too"
    queues, inferences = (
        {ids(span): span for span in collector.all if span.name == name} for name in ("queue", "inference")
    )
    below = [(ids(span)[0], own(span)) for span in callers]
    assert queues.keys() == inferences.keys() == set(below)
    assert len({ids(span)[0] for span in callers}) == 3
    assert ids(batch) == (ids(callers[0])[0], own(inferences[below[0]]))
    assert all(
        [format_span_id(link.context.span_id) for link in span.links] == [own(batch)]
        for span in inferences.values()
    )
    assert all(began <= (span.start_time or 0) <= (span.end_time or 0) for span in collector.all)


async def test_a_batch_that_fails_says_why_and_ends(device: ThreadPoolExecutor) -> None:
    collector = Collector()
    batches = batcher(device, collector, full)
    with pytest.raises(OutOfMemory):
        await asked(batches, collector, "first")
    await collector.tracing.close()
    batch = collector.spans["batch"]
    assert (batch.attributes or {})["error.type"] == "out_of_memory"
    assert batch.status.status_code is StatusCode.ERROR
    assert "inference" in collector.spans


STRANGERS = [
    pytest.param("POST", {"Authorization": "Bearer another"}, id="another token"),
    pytest.param("POST", {"Authorization": ""}, id="no token"),
    pytest.param("GET", {}, id="a look whether it is ready"),
]


@pytest.mark.parametrize(("method", "headers"), STRANGERS)
async def test_no_spans_for(method: str, headers: dict[str, str]) -> None:
    collector = Collector()
    async with working(tracing=collector.tracing) as worker, client_of(worker) as http:
        await http.request(method, PATH, content=FRAME, headers=GIVEN | headers)
    await collector.tracing.close()
    assert collector.all == []


@pytest.mark.parametrize(
    ("sampled", "count"), [pytest.param("01", 1, id="wanted"), pytest.param("00", 0, id="not wanted")]
)
async def test_the_service_decides_whether_there_is_a_trace(sampled: str, count: int) -> None:
    collector = Collector(sample_share=1 - count)
    async with working(WorkersEngine(), tracing=collector.tracing) as worker, client_of(worker) as http:
        given = {"traceparent": f"00-{TRACE}-{PARENT}-{sampled}"}
        assert (await http.post(PATH, content=FRAME, headers=given)).status_code == 200
    await collector.tracing.close()
    assert [ids(span) for span in collector.all] == [(TRACE, PARENT)] * count


def test_a_workers_name_is_its_own_and_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECTCUT_TRACING__ENDPOINT", "http://collector:4318/v1/traces")
    settings = WorkerSettings.model_validate({"worker_token": TOKEN})
    assert settings.tracing.service_name == "objectcut-worker"
    assert create_worker(settings, engine=WorkersEngine())
    monkeypatch.setenv("OBJECTCUT_TRACING__SERVICE_NAME", "gpu-3")
    assert WorkerSettings().tracing.service_name == "gpu-3"
