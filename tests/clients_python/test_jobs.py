"""Jobs: created, watched, collected."""

import pytest

import objectcut_client as oc
from tests.clients_python.conftest import Jobs
from tests.clients_python.fake_jobs import ZIP

URLS = ["https://img.example/a", "https://img.example/bad", "https://img.example/c"]


def test_many_urls(jobs: Jobs) -> None:
    job = jobs.client("create_job", URLS, webhook_url="https://me.example/hook", crop=True)
    assert (job.status, job.total, job.finished) == ("queued", 3, False)
    assert [item.source for item in job.items] == URLS
    body = jobs.fake.posted[0][1]
    for part in (b'"image_urls":["https://img.example/a"', b'"webhook_url":"https://me', b'"crop":true'):
        assert part in body


def test_one_picture(jobs: Jobs) -> None:
    assert jobs.client("create_job", b"a picture", webhook_url="https://me.example/hook").total == 1
    kind, body = jobs.fake.posted[0]
    assert kind.startswith("multipart/form-data")
    assert b"a picture" in body
    assert b"https://me.example/hook" in body
    assert jobs.client("create_job", URLS[0]).items[0].source == URLS[0]


def test_events_tell_of_each_picture(jobs: Jobs) -> None:
    seen: list[oc.Job] = []
    id = jobs.client("create_job", URLS).id
    job = jobs.client("wait", id, on_progress=seen.append)
    assert [[item.index for item in each.items] for each in seen] == [[0], [1], [2], [0, 1, 2]]
    assert (job.status, job.succeeded, job.failed, job.finished) == ("succeeded", 2, 1, True)
    good, bad, _ = job.items
    assert good.cutout
    assert isinstance(bad.error, oc.ImageProblem)
    assert (bad.cutout, good.error, jobs.fake.polls) == (None, None, 0)


def test_what_unicode_takes_for_a_line_break_is_none(jobs: Jobs) -> None:
    url = "https://img.example/\x85\u2028\u2029\x0b\x0cé"
    job = jobs.client("wait", jobs.client("create_job", [url]).id)
    assert ([item.source for item in job.items], jobs.fake.polls) == ([url], 0)


def test_a_connection_that_breaks_is_resumed(jobs: Jobs) -> None:
    jobs.fake.cut_after = 1
    seen: list[oc.Job] = []
    id = jobs.client("create_job", [*URLS, *URLS]).id
    job = jobs.client("wait", id, on_progress=seen.append)
    assert job.finished
    # What was cut off is not told, and its number is remembered no less.
    assert [item.index for each in seen[:2] for item in each.items] == [0, 2]
    assert jobs.fake.resumed[:2] == [None, "99"]


def test_without_events_it_asks(jobs: Jobs) -> None:
    jobs.fake.events = False
    assert jobs.client("wait", jobs.client("create_job", URLS[:2]).id).finished
    assert jobs.fake.polls == 2


def test_a_restart_of_the_service_is_ridden_out(jobs: Jobs) -> None:
    jobs.fake.events = False
    jobs.fake.down = 6  # more than the tries of one question
    assert jobs.client("wait", jobs.client("create_job", URLS[:1]).id).finished


def test_a_background_behind_many(jobs: Jobs) -> None:
    jobs.client("create_job", URLS, background_image="https://img.example/sky")
    assert b'"background_image_url":"https://img.example/sky"' in jobs.fake.posted[0][1]
    with pytest.raises(ValueError, match="must be a URL"):
        jobs.client("create_job", URLS, background_image=b"a picture")


def test_there_is_an_end_to_waiting(jobs: Jobs) -> None:
    jobs.fake.events = False
    id = jobs.client("create_job", URLS * 30).id
    with pytest.raises(oc.TimedOut):
        jobs.client("wait", id, timeout=0.6)


def test_results(jobs: Jobs) -> None:
    id = jobs.client("create_job", URLS).id
    with pytest.raises(oc.Conflict) as caught:
        jobs.client("results", id)
    assert caught.value.code == "job_unfinished"
    jobs.client("wait", id)
    assert jobs.client("results", id).items[0] == jobs.client("job", id).items[0]
    assert jobs.client("results_zip", id) == ZIP
    jobs.client("delete_job", id)
    for method in ("job", "wait", "delete_job"):
        with pytest.raises(oc.NotFound):
            jobs.client(method, id)
