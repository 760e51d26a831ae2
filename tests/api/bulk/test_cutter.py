"""One worker's part: rows in, rows out, and what lies in the target then."""

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from api.bulk.cutter import Cutter, Order, of_worker, open_cutter
from api.bulk.manifest import DONE, FAILED
from api.bulk.places import OWN, Place, open_place
from api.bulk.recipe import Recipe, content_key
from api.errors import CorruptImage, ModelUnavailable, NoSubject
from api.options import CutoutOptions
from api.pipeline import Job, Outcome
from api.settings import Settings
from model.errors import InferenceFailed
from postprocess.types import Encoded
from tests.api.bulk.tables import RECIPE, files, work
from tests.fakes import CountingRemover, FakeEngine, photo

SETTINGS = Settings.model_validate({"cpu_jobs": 1, "engine": {"cores": 1}, "decode": {"max_bytes": 10}})


@dataclass
class Remover(CountingRemover):
    """Answers the bytes; some of them are errors."""

    errors: dict[bytes, Exception] = field(default_factory=dict)

    def answer(self, job: Job, photo: bytes) -> Outcome:
        if photo in self.errors:
            raise self.errors[photo]
        kind = "image/webp" if job.options.format == "webp" else "image/png"
        return Outcome(Encoded(b"cut " + photo, kind, 4, 3), job.options.model, None, {})


@dataclass
class Known:
    """Results, without a cluster."""

    outputs: dict[str, str] = field(default_factory=dict)

    async def find(self, key: str) -> str | None:
        return self.outputs.get(key)

    def add(self, key: str, output: str) -> None:
        self.outputs[key] = output


@dataclass
class Bench:
    """A cutter over two folders, and everything that it touches."""

    source: Place
    target: Place
    remover: Remover = field(default_factory=Remover)
    known: Known = field(default_factory=Known)

    async def cut(self, *names: str, recipe: Recipe = RECIPE, **more: Any) -> dict[str, dict[str, Any]]:
        cutter = Cutter(Order(self.source, self.target, recipe, SETTINGS), self.remover, self.known)
        rows = await cutter.cut(work(*names, **more).to_pylist())
        cutter.close()
        assert [row["row"] for row in rows] == list(range(len(names)))
        return {row["name"]: row for row in rows}

    def results(self) -> dict[str, bytes]:
        return {name: body for name, body in files(self.target).items() if not name.startswith(OWN)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(open_place(str(tmp_path / "photos")), open_place(str(tmp_path / "cutouts")))


def key_of(data: bytes) -> str:
    return content_key(RECIPE.digest, sha256(data).hexdigest())


async def test_results_take_the_names_of_their_sources(bench: Bench) -> None:
    bench.source.write("shoes/red.old.jpg", b"red", "")
    bench.source.write("hat.PNG", b"hat", "")
    rows = await bench.cut("shoes/red.old.jpg", "hat.PNG")
    assert bench.results() == {"shoes/red.old.png": b"cut red", "hat.png": b"cut hat"}
    row = rows["shoes/red.old.jpg"]
    assert (row["status"], row["output"], row["settled"]) == (DONE, "shoes/red.old.png", True)
    assert (row["sha256"], row["key"]) == (sha256(b"red").hexdigest(), key_of(b"red"))
    assert row["recipe"] == RECIPE.digest


async def test_the_suffix_is_that_of_the_format(bench: Bench) -> None:
    bench.source.write("a.jpg", b"a", "")
    await bench.cut("a.jpg", recipe=Recipe(CutoutOptions(format="webp"), "0" * 64, background=b"beach"))
    assert bench.results() == {"a.webp": b"cut a"}
    assert bench.remover.jobs[0].background_image == b"beach"


@pytest.mark.parametrize(
    ("error", "code", "settled"),
    [
        pytest.param(CorruptImage("scan 3"), "corrupt_image", True, id="damaged"),
        pytest.param(NoSubject("nothing"), "no_subject", True, id="nothing in it"),
        pytest.param(InferenceFailed("cudnn"), "inference_failed", False, id="the device's fault"),
        pytest.param(RuntimeError("a surprise"), "internal_error", False, id="a surprise"),
    ],
)
async def test_a_failure_costs_its_neighbours_nothing(
    bench: Bench, error: Exception, code: str, settled: bool
) -> None:
    for name in "abc":
        bench.source.write(f"{name}.jpg", name.encode(), "")
    bench.remover.errors[b"b"] = error
    rows = await bench.cut("a.jpg", "b.jpg", "c.jpg")
    assert bench.results() == {"a.png": b"cut a", "c.png": b"cut c"}
    bad = rows["b.jpg"]
    assert (bad["status"], bad["code"], bad["settled"]) == (FAILED, code, settled)
    assert str(error) in bad["detail"]
    assert bad["sha256"] == sha256(b"b").hexdigest()
    assert bench.known.outputs.keys() == {key_of(b"a"), key_of(b"c")}


async def test_places_that_fail_are_told_and_may_recover(bench: Bench) -> None:
    bench.source.write("a.jpg", b"a", "")
    bench.target.write("a.png/in-its-way", b"", "")
    rows = await bench.cut("a.jpg", "gone.jpg")
    told = {name: (row["code"], row["settled"]) for name, row in rows.items()}
    assert told == {"a.jpg": ("storage_unavailable", False), "gone.jpg": ("source_unreachable", False)}


async def test_a_place_that_never_answers_costs_one_picture_its_time(bench: Bench) -> None:
    bench.source.write("a.jpg", b"a", "")
    stuck = f"{bench.source.root}/stuck.jpg"
    os.mkfifo(stuck)  # who reads it waits for somebody who writes
    order = Order(bench.source, bench.target, RECIPE, SETTINGS)
    cutter = Cutter(order, bench.remover, bench.known, patience=0.2)
    rows = await cutter.cut(work("a.jpg", "stuck.jpg").to_pylist())
    os.close(os.open(stuck, os.O_RDWR))  # lets the thread go
    cutter.close()
    assert [row.get("code") for row in rows] == [None, "deadline_exceeded"]


async def test_no_more_than_the_largest_file_is_read(bench: Bench) -> None:
    bench.source.write("a.jpg", b"x" * 11, "")
    row = (await bench.cut("a.jpg"))["a.jpg"]
    assert (row["code"], row["settled"], row.get("sha256")) == ("payload_too_large", True, None)
    assert bench.remover.jobs == []


async def test_the_same_bytes_are_cut_once(bench: Bench) -> None:
    bench.source.write("a.jpg", b"a", "")
    bench.source.write("more/twin.jpg", b"a", "")
    await bench.cut("a.jpg")
    rows = await bench.cut("more/twin.jpg")
    assert bench.results() == {"a.png": b"cut a", "more/twin.png": b"cut a"}
    assert len(bench.remover.jobs) == 1
    assert rows["more/twin.jpg"]["output"] == "more/twin.png"


async def test_a_twin_whose_result_is_gone_is_cut(bench: Bench) -> None:
    bench.source.write("a.jpg", b"a", "")
    bench.known.outputs[key_of(b"a")] = "no/longer.png"
    assert (await bench.cut("a.jpg"))["a.jpg"]["status"] == DONE
    assert bench.results() == {"a.png": b"cut a"}


async def test_a_source_that_was_only_touched_is_not_cut_again(bench: Bench) -> None:
    bench.source.write("a.jpg", b"a", "")
    rows = await bench.cut("a.jpg", known_key=key_of(b"a"), known_output="a.png")
    assert (rows["a.jpg"]["status"], rows["a.jpg"]["output"]) == (DONE, "a.png")
    assert (bench.remover.jobs, bench.results()) == ([], {})
    await bench.cut("a.jpg", known_key=key_of(b"older"), known_output="a.png")
    assert bench.results() == {"a.png": b"cut a"}


async def test_a_bounded_number_is_held_in_memory(bench: Bench) -> None:
    names = [f"{number}.jpg" for number in range(50)]
    for name in names:
        bench.source.write(name, name.encode(), "")
    await bench.cut(*names)
    assert len(bench.results()) == 50
    assert bench.remover.most <= SETTINGS.pictures_at_once() + 8


@pytest.mark.parametrize(
    ("engine", "sha256", "says"),
    [
        pytest.param(FakeEngine, "1" * 64, "not those of the others", id="other weights here"),
        pytest.param(lambda: Unloaded(), "0" * 64, "run `objectcut models", id="no weights here"),
    ],
)
async def test_a_machine_without_the_recipe_s_model_is_no_worker(
    bench: Bench, engine: Callable[[], FakeEngine], sha256: str, says: str
) -> None:
    order = Order(bench.source, bench.target, Recipe(CutoutOptions(), sha256), SETTINGS)
    with pytest.raises(ModelUnavailable, match=says):
        async with open_cutter(order, bench.known, engine=engine()):
            pass


class Unloaded(FakeEngine):
    """Its model has no weights."""

    def status(self) -> dict[str, Any]:
        return {"ready": False, "models": {"lite": {"reason": "run `objectcut models pull lite`"}}}


def test_a_worker_s_settings_hold_no_secrets() -> None:
    secrets = {"secret_access": "s" * 20, "worker_token": "t" * 20}
    rules = {
        "pictures": 7,
        "decode": {"max_pixels": 1000},
        "engine": {"model_dir": "weights", "precision": "float32"},
    }
    settings = of_worker(Settings.model_validate(secrets | rules), 3)
    pickled = pickle.dumps(settings)
    assert [letter for letter in b"st" if bytes([letter]) * 20 in pickled] == []
    assert (settings.pictures, settings.cpu_jobs, settings.decode.max_pixels) == (7, 3, 1000)
    assert (settings.engine.cores, settings.engine.precision) == (3, "float32")
    assert settings.engine.model_dir == Path.cwd() / "weights"


async def test_the_service_s_own_pipeline_cuts(bench: Bench) -> None:
    bench.source.write("a.jpg", photo(), "")
    bench.source.write("bad.jpg", b"no picture", "")
    settings = of_worker(Settings(), 1)
    order = Order(bench.source, bench.target, RECIPE, settings)
    async with open_cutter(order, bench.known, engine=FakeEngine()) as cutter:
        rows = await cutter.cut(work("a.jpg", "bad.jpg").to_pylist())
    assert [row.get("code") for row in rows] == [None, "unsupported_image"]
    assert bench.results()["a.png"].startswith(b"\x89PNG")
