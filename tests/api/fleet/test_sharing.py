"""What several processes of the service refuse."""

from typing import Any

import httpx
import pytest

from api.environment import SettingsError
from api.fleet.sharing import OneProcessOnly, check_shared
from api.settings import Settings
from tests.fakes import BASE_URL
from tests.service import serving

SHARED: dict[str, Any] = {
    "secret_access": "x" * 16,
    "store": {"kind": "s3", "s3": {"bucket": "one"}},
    "accounts": {"redis_url": "redis://localhost"},
}


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        pytest.param({"secret_access": None}, "SECRET_ACCESS", id="no secret"),
        pytest.param({"store": {"kind": "memory"}}, "STORE__KIND", id="results in memory"),
        pytest.param({"store": {"kind": "local"}}, "STORE__KIND", id="results in a folder"),
        pytest.param({"accounts": {}}, "REDIS_URL", id="credits in a file"),
    ],
)
def test_what_is_not_shared_is_refused(changed: dict[str, Any], what: str) -> None:
    check_shared(Settings.model_validate(SHARED))
    with pytest.raises(SettingsError, match=what):
        check_shared(Settings.model_validate(SHARED | changed))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("POST", "/v1/jobs", 503, id="a job"),
        pytest.param("GET", "/v1/jobs/job_1", 503, id="a job's state"),
        pytest.param("POST", "/v1/rooms", 503, id="a room"),
        pytest.param("GET", "/v1/models", 200, id="anything else"),
    ],
)
async def test_what_is_of_one_process(method: str, path: str, status: int) -> None:
    async with serving() as served:
        app = httpx.ASGITransport(OneProcessOnly(served.app))
        async with httpx.AsyncClient(transport=app, base_url=BASE_URL) as http:
            answer = await http.request(method, path)
    assert answer.status_code == status
    if status == 503:
        assert answer.json()["code"] == "jobs_unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
