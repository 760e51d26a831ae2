"""Rooms over HTTP: what a page opens, what a phone sends, where it lands, and what is left of it."""

import asyncio
import json
import re
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from tests.api.paste.screens import HEIGHT, WIDTH, room, screen, shot
from tests.fakes import photo
from tests.service import KEY, Served, serving

PAGE = "https://cut.example/"
Rooms = dict[str, Any]


def file(rgb: Any, kind: str = ".jpg") -> bytes:
    """(H, W, 3) or (H, W, 4) uint8 as a file."""
    order = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return cv2.imencode(kind, cv2.cvtColor(rgb, order))[1].tobytes()


def cutout(side: int = 80) -> bytes:
    """A red disc in the middle of nothing, four times as large."""
    rgba = np.zeros((side * 4, side * 4, 4), np.uint8)
    cv2.circle(rgba, (side * 2, side * 2), side // 2, (200, 30, 30, 255), -1)
    return file(rgba, ".png")


SCREEN, CUTOUT = file(screen(1)), cutout()


async def opened(served: Served) -> Rooms:
    answer = await served.http.post("/v1/rooms", params={"page": PAGE})
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


async def sent(served: Served, code: str, view: bytes | None = None) -> httpx.Response:
    files = {"image": CUTOUT} | ({"view": view} if view else {})
    return await served.http.post(f"/v1/rooms/{code}/cutouts", files=files)


async def events(served: Served, id: str) -> list[tuple[str, dict[str, Any]]]:
    """All events of a room until it closes, which it does at once."""
    reading = asyncio.create_task(served.http.get(f"/v1/rooms/{id}/events"))
    await asyncio.sleep(0.05)
    assert (await served.http.delete(f"/v1/rooms/{id}")).status_code == 204
    answer = await reading
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in answer.text.split("\n\n") if block.startswith("event")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, _, data in blocks
    ]


async def test_it_lands_where_the_phone_points() -> None:
    async with serving() as served:
        room = await opened(served)
        assert room["link"] == f"https://cut.example/phone.html#{room['code']}"
        assert room["qr"].startswith("data:image/svg+xml")
        shown = await served.http.post(f"/v1/rooms/{room['id']}/screen", content=SCREEN)
        assert (shown.status_code, shown.content) == (204, b"")
        view = shot(screen(1), 3)
        answer = await sent(served, room["code"], file(view.view))
        assert answer.status_code == 201
        place = answer.json()
        assert place["found"]
        assert abs(place["x"] * WIDTH - view.x) < 12
        assert abs(place["y"] * HEIGHT - view.y) < 12
        path = f"/v1/rooms/{room['id']}/cutouts/{place['number']}"
        taken = await served.http.get(path)
        assert taken.headers["content-security-policy"].endswith("sandbox")
        rgba = cv2.imdecode(np.frombuffer(taken.content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert rgba is not None
        assert 78 <= rgba.shape[0] <= 84  # the subject alone
        assert tuple(rgba[rgba.shape[0] // 2, rgba.shape[1] // 2]) == (30, 30, 200, 255)
        assert (await served.http.get(path)).content == taken.content, "the answer may have been lost"
        later = (await sent(served, room["code"])).json()
        await served.http.get(f"/v1/rooms/{room['id']}/cutouts/{later['number']}")
        assert (await served.http.get(path)).status_code == 404
        served.assert_at_rest()


@pytest.mark.parametrize(
    ("shows", "view"),
    [
        pytest.param(False, file(shot(screen(1), 3).view), id="nobody said what the screen shows"),
        pytest.param(True, file(room(2)), id="the phone points elsewhere"),
        pytest.param(True, None, id="no photo of the screen"),
    ],
)
async def test_otherwise_in_the_middle(shows: bool, view: bytes | None) -> None:
    async with serving() as served:
        room = await opened(served)
        if shows:
            await served.http.post(f"/v1/rooms/{room['id']}/screen", content=SCREEN)
        place = (await sent(served, room["code"], view)).json()
        assert (place["x"], place["y"], place["found"]) == (0.5, 0.5, False)


async def test_the_page_is_told_and_the_end_ends_everything() -> None:
    async with serving() as served:
        room, other = await opened(served), await opened(served)
        await sent(served, room["code"])
        await sent(served, room["code"])
        told = await events(served, room["id"])
        assert [(name, data.get("number")) for name, data in told] == [
            ("landed", 1), ("landed", 2), ("closed", None),
        ]  # fmt: skip
        assert (await sent(served, room["code"])).status_code == 404
        assert (await served.http.get(f"/v1/rooms/{room['id']}/cutouts/1")).status_code == 404
        assert (await served.http.get(f"/v1/rooms/{room['id']}/events")).status_code == 404
        assert await events(served, other["id"]) == [("closed", {})]  # nothing of the first


async def test_what_the_phone_knows_reads_nothing() -> None:
    async with serving() as served:
        code = (await opened(served))["code"]
        assert re.fullmatch("[a-z2-9]{12}", code)
        assert code != (await opened(served))["code"]
        await sent(served, code)
        for method, path in (
            ("GET", f"{code}/cutouts/1"),
            ("GET", f"{code}/events"),
            ("POST", f"{code}/screen"),
            ("DELETE", code),
        ):
            assert (await served.http.request(method, f"/v1/rooms/{path}")).status_code == 404


async def test_a_new_stream_ends_the_one_before() -> None:
    async with serving() as served:
        id = (await opened(served))["id"]
        first = asyncio.create_task(served.http.get(f"/v1/rooms/{id}/events"))
        await asyncio.sleep(0.05)
        assert await events(served, id) == [("closed", {})]
        assert "closed" not in (await first).text


async def test_a_room_ends_by_itself() -> None:
    async with serving({"rooms": {"life": 0.2}}) as served:
        id = (await opened(served))["id"]
        stream = await asyncio.wait_for(served.http.get(f"/v1/rooms/{id}/events"), 5)
        assert "event: closed" in stream.text
        assert (await served.http.delete(f"/v1/rooms/{id}")).status_code == 404


async def test_rooms_are_few_and_hold_little() -> None:
    limits = {"at_once": 3, "per_caller": 2, "room_bytes": 3_000}
    async with serving({"rooms": limits}) as served:
        room = await opened(served)
        await opened(served)
        third = await served.http.post("/v1/rooms", params={"page": PAGE})
        assert (third.status_code, third.json()["code"]) == (429, "rate_limited")
        large = await served.http.post(f"/v1/rooms/{room['id']}/screen", content=SCREEN)
        assert (large.status_code, large.json()["code"]) == (429, "overloaded")
        for _ in range(6):
            assert (await sent(served, room["code"])).status_code == 201
        told = [data["number"] for name, data in await events(served, room["id"]) if name == "landed"]
        assert told
        assert told[-1] == 6
        assert len(told) <= 4  # the oldest made room
        assert (await served.http.post("/v1/rooms", params={"page": PAGE})).status_code == 201


async def test_all_callers_together_have_so_many_rooms() -> None:
    async with serving({"rooms": {"at_once": 1}}) as served:
        await opened(served)
        second = await served.http.post("/v1/rooms", params={"page": PAGE})
        assert (second.status_code, second.json()["code"]) == (429, "overloaded")


REFUSED = [
    pytest.param({}, 400, "invalid_options", id="no cutout"),
    pytest.param({"image": CUTOUT, "other": photo()}, 400, "invalid_options", id="an unknown file"),
    pytest.param({"image": b"no"}, 415, "unsupported_image", id="no picture"),
    pytest.param({"image": CUTOUT[:200]}, 422, "corrupt_image", id="half a picture"),
    pytest.param({"image": CUTOUT, "view": b"no"}, 415, "unsupported_image", id="no view"),
    pytest.param(
        {"image": file(np.zeros((9, 9, 4), np.uint8), ".png")}, 422, "no_subject", id="nothing shows"
    ),
]


@pytest.mark.parametrize(("files", "status", "code"), REFUSED)
async def test_what_is_refused(files: dict[str, bytes], status: int, code: str) -> None:
    async with serving() as served:
        room = await opened(served)
        await served.http.post(f"/v1/rooms/{room['id']}/screen", content=SCREEN)
        answer = await served.http.post(f"/v1/rooms/{room['code']}/cutouts", files=files or {"view": CUTOUT})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert await events(served, room["id"]) == [("closed", {})]
        served.assert_at_rest()


@pytest.mark.parametrize(
    "page", ["", "javascript:alert(1)", "https://a b/", "https://a/#x", "https://" + "a" * 300]
)
async def test_a_page_is_an_address(page: str) -> None:
    async with serving() as served:
        answer = await served.http.post("/v1/rooms", params={"page": page})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_options")


async def test_a_key_is_wanted_where_it_always_is() -> None:
    async with serving({"anonymous": False, "secret_access": KEY}) as served:
        ways = [("POST", f"?page={PAGE}"), ("POST", "/x/screen"), ("POST", "/x/cutouts"), ("DELETE", "/x")]
        for method, path in [*ways, ("GET", "/x/events"), ("GET", "/x/cutouts/1")]:
            assert (await served.http.request(method, f"/v1/rooms{path}")).status_code == 401
