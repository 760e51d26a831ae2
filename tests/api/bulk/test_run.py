"""One run: every picture gets one row, whatever becomes of its worker."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from api.bulk.manifest import FAILURES, SCHEMA, Manifest
from api.bulk.places import Place, open_place
from api.bulk.plan import Plan, make_plan
from api.bulk.run import Figures, Stop, Work, carry_out
from tests.api.bulk.tables import RECIPE, SUFFIXES, ended, listing, manifest
from tests.fakes import FakeClock

RESULT = SCHEMA.append(pa.field("row", pa.int64()))


def rows_of(work: pa.Table, **more: object) -> pa.Table:
    rows = [ended(row["name"], row=row["row"], **more) for row in work.to_pylist()]
    return pa.Table.from_pylist(rows, schema=RESULT)


def planned(*names: str, before: pa.Table | None = None) -> Plan:
    before = manifest() if before is None else before
    return make_plan(listing(*names), before, RECIPE.digest, SUFFIXES, retry_failed=False)


def run(
    plan: Plan, work: Work, target: Place, clock: FakeClock | None = None, kept: Manifest | None = None
) -> tuple[Figures, list[str]]:
    figures, told = Figures(), list[str]()
    kept = kept or Manifest(target, RECIPE)

    def tell(rows: pa.Table) -> None:
        told.extend(rows["name"].to_pylist())

    carry_out(plan, kept, work, RECIPE.digest, figures=figures, told=tell, clock=clock or FakeClock())
    return figures, told


@pytest.fixture
def target(tmp_path: Path) -> Place:
    return open_place(str(tmp_path))


def test_a_run_in_figures(target: Place) -> None:
    before = manifest(
        ended("a.jpg"), ended("b.jpg", status="failed", output=None, code="no_subject", settled=True)
    )
    plan = planned("a.jpg", "b.jpg", "c.jpg", "d.jpg", "d.png", before=before)
    clock = FakeClock()

    def work(left: pa.Table, _: int) -> Iterator[pa.Table]:
        clock.now += 2
        yield rows_of(left)

    figures, told = run(plan, work, target, clock)
    assert figures == Figures(done=2, skipped=1, failed=2, seconds=2)
    assert str(figures) == "2 done, 1 skipped, 2 failed, 1.0 pictures/s"
    assert sorted(told) == ["c.jpg", "d.jpg", "d.png"]
    assert sorted(Manifest(target, RECIPE).latest()["name"].to_pylist()) == ["c.jpg", "d.jpg", "d.png"]
    lines = target.read(FAILURES, 10**6).decode().splitlines()
    assert ["no_subject" in lines[0], "name_taken" in lines[1], len(lines)] == [True, True, 2]


def test_who_kills_a_worker_is_tried_alone_and_its_neighbours_are_done(target: Place) -> None:
    asked: list[tuple[int, list[str]]] = []

    def work(left: pa.Table, block: int) -> Iterator[pa.Table]:
        asked.append((block, left["name"].to_pylist()))
        for start in range(0, len(left), min(block, 32)):
            part = left.slice(start, min(block, 32))
            if "f.jpg" not in part["name"].to_pylist():
                yield rows_of(part)

    names = [f"{letter}.jpg" for letter in "abcdefgh"] + [f"z{number}.jpg" for number in range(40)]
    figures, _ = run(planned(*names), work, target)
    assert (figures.done, figures.failed) == (47, 1)
    assert [(block, len(left)) for block, left in asked] == [(1024, 48), (1, 32)]
    (bad,) = (row for row in Manifest(target, RECIPE).latest().to_pylist() if row["status"] == "failed")
    assert (bad["name"], bad["code"], bad["settled"]) == ("f.jpg", "worker_lost", True)


def test_what_comes_twice_counts_once(target: Place) -> None:
    def work(left: pa.Table, _: int) -> Iterator[pa.Table]:
        yield rows_of(left.slice(0, 2))
        yield rows_of(left)

    figures, told = run(planned("a.jpg", "b.jpg", "c.jpg"), work, target)
    assert figures.done == 3
    assert told == ["a.jpg", "b.jpg", "c.jpg"]


def test_nothing_to_do_asks_nobody(target: Place) -> None:
    def work(*_: object) -> Iterable[pa.Table]:
        raise AssertionError("nobody should be asked")

    figures, told = run(planned("a.jpg", before=manifest(ended("a.jpg"))), work, target)
    assert (figures.skipped, figures.done, told) == (1, 0, [])
    assert len(Manifest(target, RECIPE).latest()) == 0


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, Stop])
def test_what_is_done_before_the_end_is_kept(target: Place, end: type[BaseException]) -> None:
    def work(left: pa.Table, _: int) -> Iterator[pa.Table]:
        yield rows_of(left.slice(0, 1))
        raise end

    figures = Figures()
    kept = Manifest(target, RECIPE)
    with pytest.raises(end):
        carry_out(planned("a.jpg", "b.jpg"), kept, work, RECIPE.digest, figures=figures, told=lambda _: None)
    assert figures.done == 1
    assert kept.latest()["name"].to_pylist() == ["a.jpg"]


def test_what_is_about_to_be_overwritten_is_taken_back_before(target: Place) -> None:
    kept = Manifest(target, RECIPE)
    kept.add([manifest(*(ended(f"{stem}.jpg", output=f"{stem}.png", recipe="other") for stem in "abc"))])

    def work(left: pa.Table, _: int) -> Iterator[pa.Table]:
        codes = {row["name"]: row["code"] for row in kept.latest().to_pylist()}
        assert codes == {"a.jpg": "overwritten", "b.jpg": "overwritten", "c.jpg": None}
        yield rows_of(left.slice(0, 1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(planned("a.jpg", "b.jpg", before=kept.latest()), work, target, kept=kept)
    names = ("a.jpg", "b.jpg", "c.jpg")
    for recipe, left in ((RECIPE.digest, ["b.jpg", "c.jpg"]), ("other", ["a.jpg", "b.jpg"])):
        plan = make_plan(listing(*names), kept.latest(), recipe, SUFFIXES, retry_failed=False)
        assert plan.work["name"].to_pylist() == left


def test_what_was_overwritten_is_no_failure(target: Place) -> None:
    kept = Manifest(target, RECIPE)
    kept.add([manifest(ended("a.jpg", output="a.png", recipe="other"))])
    plan = planned("a.jpg", before=kept.latest())
    assert len(plan.overwritten) == 1
    figures, told = run(plan, lambda left, _: [rows_of(left)], target, kept=kept)
    assert (figures.done, figures.failed, told) == (1, 0, ["a.jpg"])
    assert kept.latest()["status"].to_pylist() == ["done"]
    assert target.read(FAILURES, 10**6) == b""


@pytest.mark.parametrize(
    ("settled", "stops"),
    [
        pytest.param(False, True, id="no fault of theirs: the run stops"),
        pytest.param(True, False, id="each by its own fault: it goes on"),
    ],
)
def test_many_failures_in_a_row(target: Place, settled: bool, stops: bool) -> None:
    begun = 0

    def work(left: pa.Table, block: int) -> Iterator[pa.Table]:
        nonlocal begun
        for start in range(0, len(left), 32):
            begun += 1
            bad = {"status": "failed", "output": None, "code": "some_code", "settled": settled}
            yield rows_of(left.slice(start, 32), **bad)

    plan = planned(*(f"{number:04}.jpg" for number in range(320)))
    if stops:
        with pytest.raises(Stop, match="in a row"):
            run(plan, work, target)
        assert begun == 7
    else:
        assert run(plan, work, target)[0].failed == 320


def test_shards_are_few_however_long_it_takes(target: Place) -> None:
    clock = FakeClock()

    def work(left: pa.Table, _: int) -> Iterator[pa.Table]:
        for row in range(len(left)):
            clock.now += 1
            yield rows_of(left.slice(row, 1))

    names = [f"{number:05}.jpg" for number in range(1500)]
    run(planned(*names), work, target, clock)
    shards = len(target.listing("_objectcut/manifest"))
    assert 190 < shards < 230  # 100 while the run is younger than 500 s, each 5 s; then each 1 %
    assert len(Manifest(target, RECIPE).latest()) == 1500
