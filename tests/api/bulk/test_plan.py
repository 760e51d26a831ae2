"""The plan: what is left to do, and what cannot be done."""

from typing import Any

import pytest

from api.bulk.plan import make_plan, results
from tests.api.bulk.tables import RECIPE, SUFFIXES, ended, listing, manifest, work

FAILED = {"status": "failed", "output": None, "key": None, "code": "corrupt_image"}


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        pytest.param("a.jpg", True, id="a photo"),
        pytest.param("deep/er/a.JPG", True, id="in capitals, deep down"),
        pytest.param("a..b/c.tar.png", True, id="more dots"),
        pytest.param("a.txt", False, id="something else"),
        pytest.param("jpg", False, id="no suffix"),
        pytest.param("a.jpg/readme", False, id="a suffix of the folder"),
        pytest.param(".a.jpg", False, id="hidden"),
        pytest.param("a/.git/b.jpg", False, id="in a hidden folder"),
        pytest.param("a/../../b.jpg", False, id="a way out"),
        pytest.param("_objectcut/unfinished/b.jpg", False, id="ours"),
    ],
)
def test_what_is_taken_for_a_picture(name: str, taken: bool) -> None:
    plan = make_plan(listing(name), manifest(), RECIPE.digest, SUFFIXES, retry_failed=False)
    assert plan.work["name"].to_pylist() == [name] * taken
    assert plan.total == taken


@pytest.mark.parametrize(
    ("before", "retry", "outcome"),
    [
        pytest.param({}, False, "skipped", id="done"),
        pytest.param({"size": 8}, False, "work", id="done, of another size now"),
        pytest.param({"mtime_ns": 8}, False, "work", id="done, written anew since"),
        pytest.param({"recipe": "other"}, False, "work", id="done by another recipe"),
        pytest.param(FAILED, False, "standing", id="failed by its own fault"),
        pytest.param(FAILED, True, "work", id="failed by its own fault, and tried again"),
        pytest.param(FAILED | {"mtime_ns": 8}, False, "work", id="failed, written anew since"),
        pytest.param(FAILED | {"settled": False}, False, "work", id="failed by no fault of its own"),
        pytest.param({}, True, "skipped", id="done is done"),
    ],
)
def test_what_an_earlier_run_has_left(before: dict[str, Any], retry: bool, outcome: str) -> None:
    earlier = manifest(ended("a.jpg", **before), ended("gone.jpg"))
    plan = make_plan(listing("a.jpg"), earlier, RECIPE.digest, SUFFIXES, retry_failed=retry)
    sizes = {"work": len(plan.work), "skipped": plan.skipped, "standing": len(plan.standing)}
    assert sizes == {"work": 0, "skipped": 0, "standing": 0} | {outcome: 1}
    assert plan.total == 1


def test_the_result_of_an_older_version_travels_along() -> None:
    earlier = manifest(ended("a.jpg", mtime_ns=1), ended("b.jpg", recipe="other"))
    plan = make_plan(listing("b.jpg", "c.jpg", "a.jpg"), earlier, RECIPE.digest, SUFFIXES, retry_failed=False)
    known = {"known_key": "key of a.jpg", "known_output": "a.jpg.png"}
    nothing = {"known_key": None, "known_output": None}
    facts = {"size": 7, "mtime_ns": 9}
    assert plan.work.to_pylist() == [
        {"row": 0, "name": "a.jpg"} | facts | known,
        {"row": 1, "name": "b.jpg"} | facts | nothing,
        {"row": 2, "name": "c.jpg"} | facts | nothing,
    ]


def test_names_that_stand_in_the_way() -> None:
    names = ("a.png", "a.jpg", "b//c.png", "/d.png", "a-1.png")
    plan = make_plan(listing(*names), manifest(), RECIPE.digest, SUFFIXES, retry_failed=True)
    assert plan.work["name"].to_pylist() == ["a-1.png", "a.jpg"]
    refused = {row["name"]: row["code"] for row in plan.refused.to_pylist()}
    assert refused == {"a.png": "name_taken", "b//c.png": "name_unusable", "/d.png": "name_unusable"}
    assert set(plan.refused["status"].to_pylist()) == {"failed"}


def test_a_name_that_is_not_utf8_is_refused() -> None:
    odd = listing(r"caf\xe9.jpg", utf8=False)
    plan = make_plan(odd, manifest(), RECIPE.digest, SUFFIXES, retry_failed=False)
    (refused,) = plan.refused.to_pylist()
    assert (refused["name"], refused["code"]) == (r"caf\xe9.jpg", "name_unusable")
    assert (len(plan.work), plan.total) == (0, 1)


@pytest.mark.parametrize(
    ("before", "overwritten"),
    [
        pytest.param({"mtime_ns": 8}, True, id="of an older version"),
        pytest.param({"recipe": "other"}, True, id="by another recipe"),
        pytest.param({"name": "a.bmp"}, True, id="of a picture that had the name before"),
        pytest.param({}, False, id="which is left alone"),
        pytest.param({"name": "b.jpg", "output": "b.png"}, False, id="under another name"),
        pytest.param(FAILED | {"recipe": "other"}, False, id="which never was"),
    ],
)
def test_a_result_that_will_be_overwritten(before: dict[str, Any], overwritten: bool) -> None:
    row = ended("a.jpg", output="a.png") | before
    plan = make_plan(listing("a.jpg"), manifest(row), RECIPE.digest, SUFFIXES, retry_failed=False)
    taken_back = [(row["name"], row["code"], row["settled"]) for row in plan.overwritten.to_pylist()]
    assert taken_back == [(row["name"], "overwritten", False)] * overwritten


@pytest.mark.parametrize("recipe", [RECIPE.digest, "other"])
def test_a_result_that_was_to_be_overwritten_is_cut_whatever_is_there(recipe: str) -> None:
    earlier = manifest(ended("a.jpg", output="a.png", mtime_ns=8))
    killed = make_plan(listing("a.jpg"), earlier, RECIPE.digest, SUFFIXES, retry_failed=False)
    again = make_plan(listing("a.jpg"), killed.overwritten, recipe, SUFFIXES, retry_failed=False)
    (picture,) = again.work.to_pylist()
    assert (picture["known_key"], picture["known_output"]) == (None, None)
    assert len(results(killed.overwritten, recipe, work())) == 0


def test_a_name_that_was_taken_is_done_once_it_is_free() -> None:
    plan = make_plan(listing("a.jpg", "a.png"), manifest(), RECIPE.digest, SUFFIXES, retry_failed=False)
    again = make_plan(listing("a.png"), plan.refused, RECIPE.digest, SUFFIXES, retry_failed=False)
    assert again.work["name"].to_pylist() == ["a.png"]


def test_results_are_offered_again_that_are_and_stay_this_recipe_s() -> None:
    earlier = manifest(
        ended("a", output="a.png"),
        ended("b", output="b.png", recipe="other"),
        ended("c", **FAILED),
        ended("d.jpg", output="d.png"),  # written anew since: its result will be another one
    )
    offered = results(earlier, RECIPE.digest, work("d.gif", "x.jpg"))
    assert offered.to_pylist() == [{"key": "key of a", "output": "a.png"}]
