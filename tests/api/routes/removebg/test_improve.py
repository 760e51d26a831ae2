"""POST /v1.0/improve: what is handed in is kept, for whom, and how much of it."""

import base64
import json
import uuid
from typing import Any

import cv2
import numpy as np
import pytest

from model.deadline import Deadline
from tests.api.routes.removebg.conftest import Client
from tests.api.routes.removebg.sent import (
    FILE,
    PHOTO,
    URL,
    only_error,
)
from tests.fakes import memory_store
from tests.service import serving

BASE64 = base64.b64encode(PHOTO).decode()


class TestImprove:
    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param({"files": FILE, "data": {"tag": "cats", "image_filename": "a.jpg"}}, id="a file"),
            pytest.param({"json": {"image_url": URL, "tag": "cats"}}, id="a URL"),
            pytest.param({"data": {"image_file_b64": BASE64, "tag": "cats"}}, id="base64"),
        ],
    )
    async def test_is_kept_under_its_id(self, client: Client, request_: dict[str, Any]) -> None:
        answer = await client.http.post("/v1.0/improve", **request_)
        body = answer.json()
        assert list(body) == ["id"]
        key = f"{uuid.UUID(body['id']).hex}.jpg"
        found = await client.http.get(f"/v1/cutouts/{key}")
        assert (found.json()["width"], found.json()["height"]) == (96, 64)
        assert await client.left() == 10

    async def test_without_a_picture(self, client: Client) -> None:
        answer = await client.http.post("/v1.0/improve", json={"tag": "cats"})
        assert (answer.status_code, only_error(answer)["code"]) == (400, "missing_source")

    async def test_counts_its_pixels_and_shortens_its_notes(self) -> None:
        settings = {"accounts": {"anonymous": {"megapixels_per_minute": 0.001}}}
        store = memory_store()
        async with serving(settings, store=store) as served:
            notes = {"tag": "\U0001f40e" * 200, "image_filename": "a" * 300}
            first, second = [
                await served.http.post("/v1.0/improve", files=FILE, data=notes) for _ in range(2)
            ]
            assert (first.status_code, second.status_code) == (200, 429)
            id = uuid.UUID(first.json()["id"]).hex
            found = await store.find(f"{id}.jpg", deadline=Deadline.after(5))
            assert found.facts["image_filename"] == "a" * 200
            assert len(json.dumps(found.facts["tag"])) <= 400

    async def test_so_many_a_day(self) -> None:
        async with serving({"removebg": {"improve_per_day": 2}}) as served:
            answers = [await served.http.post("/v1.0/improve", files=FILE) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert only_error(answers[2])["code"] == "rate_limit_exceeded"
            assert 0 < int(answers[2].headers["retry-after"]) <= 86_400


async def test_metadata_of_what_is_handed_in_is_not_kept(client: Client) -> None:
    picture = cv2.imencode(".jpg", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
    note = b"GPS of somebody's home"
    with_note = picture[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2) + note + picture[2:]
    answer = await client.http.post("/v1.0/improve", files={"image_file": with_note})
    key = f"{uuid.UUID(answer.json()['id']).hex}.jpg"
    url = (await client.http.get(f"/v1/cutouts/{key}")).json()["url"]
    assert note not in (await client.http.get(url)).content
