"""Health, readiness, metrics, the list of errors, the reference."""

import re
from typing import Any

import pytest

from api import problems
from api.errors import InferenceFailed
from docs import openapi_document
from tests.fakes import FakeEngine, photo
from tests.service import serving

FILE = {"image": ("a.jpg", photo())}


async def test_healthy_is_not_ready() -> None:
    async with serving(engine=FakeEngine(ready=False)) as served:
        assert (await served.http.get("/healthz")).json() == {"status": "ok"}
        answer = await served.http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        assert answer.headers["cache-control"] == "no-store"


async def test_ready_tells_the_hardware() -> None:
    async with serving() as served:
        answer = await served.http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {
            "ready": True,
            "draining": False,
            "models": {"lite": {"warm": True, "device": "none", "precision": "float32", "sha256": "0" * 64}},
        }


@pytest.mark.parametrize("state", [pytest.param("draining"), pytest.param("lost")])
async def test_not_ready_while(state: str) -> None:
    async with serving() as served:
        setattr(served.service, state, "yes")
        assert (await served.http.get("/readyz")).status_code == 503
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201


async def test_metrics() -> None:
    engine = FakeEngine()
    async with serving(engine=engine) as served:
        await served.http.post("/v1/cutouts", files=FILE)
        engine.fails = InferenceFailed("poison")
        await served.http.post("/v1/cutouts", files=FILE)
        await served.http.get("/a-stranger's-path")
        served.service.metrics.batch("lite", 3)
        served.service.metrics.second_looks("lite", 2)
        served.service.metrics.refused("private")
        answer = await served.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        lines = answer.text.splitlines()
        for line in (
            'objectcut_requests_total{method="POST",route="/v1/cutouts",status="201"} 1.0',
            'objectcut_requests_total{method="POST",route="/v1/cutouts",status="500"} 1.0',
            'objectcut_requests_total{method="GET",route="unmatched",status="404"} 1.0',
            'objectcut_errors_total{code="inference_failed"} 1.0',
            'objectcut_request_seconds_count{route="/v1/cutouts"} 2.0',
            'objectcut_batch_size_sum{model="lite"} 3.0',
            'objectcut_second_looks_total{model="lite"} 2.0',
            'objectcut_fetch_refused_total{reason="private"} 1.0',
            "objectcut_in_flight 0.0",
            "objectcut_queue_depth 0.0",
            *(
                f'objectcut_stage_seconds_count{{stage="{stage}"}} {count}'
                for stage, count in {"decode": 2.0, "matte": 1.0, "encode": 1.0, "store": 1.0}.items()
            ),
        ):
            assert line in lines, line
        assert "stranger" not in answer.text


class _Measured(FakeEngine):
    """Knows what its models take."""

    def status(self) -> dict[str, Any]:
        there = {"resident": True, "batch_cap": 4, "memory_bytes": 1000}
        return {"ready": True, "models": {"lite": there, "basnet": {"resident": False}}}


async def test_metrics_tell_which_models_are_loaded() -> None:
    async with serving(engine=_Measured()) as served:
        lines = (await served.http.get("/metrics")).text.splitlines()
        assert 'objectcut_batch_cap{model="lite"} 4.0' in lines
        assert not any(line.startswith('objectcut_batch_cap{model="basnet"') for line in lines)
        assert 'objectcut_model_bytes{model="lite"} 1000.0' in lines
        assert 'objectcut_model_bytes{model="basnet"} 0.0' in lines


async def test_every_type_of_problem_leads_somewhere() -> None:
    async with serving() as served:
        page = (await served.http.get("/errors")).text
        assert {f'id="{kind.code}"' for kind in problems.kinds()} <= set(re.findall(r'id="\w+"', page))


async def test_the_reference_works_offline() -> None:
    async with serving() as served:
        page = await served.http.get("/docs")
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert "http:" not in page.text
        assert "https:" not in page.text
        for told in (
            "POST /v1/cutouts",
            "DELETE /v1/cutouts/{id}",
            "POST /remove",
            "list of open | close | erode",
            "integer, ≥ 1, ≤ 100, default 90",
            "X-Cutout-Bounding-Box",
            "application/problem+json",
        ):
            assert told in page.text, told


async def test_no_answer_lets_browsers_guess_its_type() -> None:
    async with serving() as served:
        for path in ("/", "/page.js", "/healthz", "/metrics", "/nothing", "/v1/models", "/stillalive"):
            assert (await served.http.get(path)).headers["x-content-type-options"] == "nosniff", path


async def test_the_document_tells_every_route_and_the_error_shape() -> None:
    async with serving() as served:
        document = (await served.http.get("/openapi.json")).json()
        assert set(document["paths"]) == {
            "/v1/cutouts",
            "/v1/cutouts/{id}",
            "/v1/models",
            "/v1/licenses",
            "/v1/account",
            "/v1/jobs",
            "/v1/jobs/{id}",
            "/v1/jobs/{id}/events",
            "/v1/jobs/{id}/results",
            "/v1/webhook-secret",
            "/v1/rooms",
            "/v1/rooms/{id}",
            "/v1/rooms/{id}/events",
            "/v1/rooms/{id}/screen",
            "/v1/rooms/{id}/cutouts/{number}",
            "/v1/rooms/{code}/cutouts",
            "/v1.0/removebg",
            "/v1.0/account",
            "/v1.0/improve",
            "/api/remove",
            "/",
            "/remove",
            "/stillalive",
            "/healthz",
            "/readyz",
            "/metrics",
            "/errors",
        }
        post = document["paths"]["/v1/cutouts"]["post"]
        assert set(post["requestBody"]["content"]) == {
            "multipart/form-data",
            "application/x-www-form-urlencoded",
            "application/json",
            "image/*",
            "application/octet-stream",
        }
        form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        assert {"image", "image_url", "background_image", "quality", "edges"} <= set(form)
        for operations in document["paths"].values():
            for operation in operations.values():
                assert "default" not in operation["responses"]  # every status is named
                assert "Validation Error" not in str(operation["responses"])
        assert post["responses"]["422"] == {"$ref": "#/components/responses/Problem422"}
        answers = document["components"]["responses"]
        for kind in problems.kinds():
            assert (f"`{kind.code}`" in str(answers)) is (kind.status != 499)
        for answer in answers.values():
            failure = answer["content"]["application/problem+json"]
            assert failure["schema"] == {"$ref": "#/components/schemas/Problem"}
        for kind, name in re.findall(r"'#/components/(\w+)/(\w+)'", str(document)):
            assert name in document["components"][kind]


async def test_the_document_asks_for_keys_only_where_they_are_wanted() -> None:
    async with serving({"anonymous": False, "secret_access": "x"}) as served:
        paths = (await served.http.get("/openapi.json")).json()["paths"]
        assert paths["/v1/cutouts"]["post"]["security"] == [{"key": []}, {"bearer": []}]
        assert paths["/remove"]["post"]["security"] == [{"secret": []}]
        assert "security" not in paths["/healthz"]["get"]
        assert "401" in paths["/v1/cutouts"]["post"]["responses"]
        assert "401" not in paths["/healthz"]["get"]["responses"]


def test_the_document_in_the_repository_is_fresh() -> None:
    assert openapi_document.main(["--check"]) == 0
