"""Jobs with the service itself: test_jobs.py has the faults, this the agreement of the two."""

import io
import zipfile
from collections.abc import Iterator

import httpx
import pytest

import objectcut_client as oc
from api.jobs.views import Job, JobItem
from objectcut_client import types
from tests.clients_python.conftest import PAGE
from tests.clients_python.faces import Face
from tests.fakes import photo

URLS = [PAGE, "https://img.example/nothing", PAGE]


@pytest.fixture
def job(client: Face) -> Iterator[oc.Job]:
    """One of three pictures, finished."""
    job = client("wait", client("create_job", URLS, crop=True, expires_in=600).id, timeout=30)
    yield job
    client("delete_job", job.id)


def test_facts_are_the_services() -> None:
    assert set(types.Job.__dataclass_fields__) == set(Job.model_fields)
    assert set(types.JobItem.__dataclass_fields__) == set(JobItem.model_fields)


def test_many_urls(client: Face, job: oc.Job) -> None:
    assert (job.status, job.total, job.succeeded, job.failed, job.finished) == ("succeeded", 3, 2, 1, True)
    assert [item.source for item in job.items] == URLS
    good, bad, _ = job.items
    assert good.cutout
    assert httpx.get(good.cutout.url).headers["content-type"] == "image/png"
    assert isinstance(bad.error, oc.SourceProblem)
    for again in (client("job", job.id), client("results", job.id)):
        assert [item.cutout for item in again.items] == [item.cutout for item in job.items]


def test_results_as_a_zip(client: Face, job: oc.Job) -> None:
    with zipfile.ZipFile(io.BytesIO(client("results_zip", job.id))) as archive:
        assert archive.namelist() == ["manifest.json", "0000.png", "0002.png"]


def test_one_upload(client: Face) -> None:
    seen: list[oc.Job] = []
    made = client("create_job", photo())
    job = client("wait", made.id, on_progress=seen.append, timeout=30)
    assert (job.total, job.succeeded, seen[-1].finished) == (1, 1, True)
    client("delete_job", job.id)
    with pytest.raises(oc.NotFound):
        client("job", job.id)


def test_a_webhook_to_a_private_address_is_refused(client: Face) -> None:
    with pytest.raises(oc.ApiError) as caught:
        client("create_job", [PAGE], webhook_url="http://user:password@127.0.0.1/")
    assert caught.value.status in (400, 422)
