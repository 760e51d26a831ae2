"""From a phone onto the screen: two browsers, one of them with a camera that sees the other's screen."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Route, expect

from tests.api.paste.screens import room as without_a_screen
from tests.web.camera import HEIGHT, WIDTH, film, photographed
from tests.web.conftest import Launch, Visiting
from tests.web.server import astronaut, encoded, pixels
from tests.web.test_quality import DARK, GERMAN, PHONE, SMALL_PHONE, violations
from tests.web.visit import Visit, upload

Phone = Callable[..., Visit]
LOOKS = [
    pytest.param(PHONE, id="phone"),
    pytest.param(SMALL_PHONE | GERMAN | DARK, id="small-phone"),
]


@pytest.fixture
def phone(launch: Launch, origin: str, tmp_path: Path) -> Iterator[Phone]:
    """Visits the link of a room with a phone whose camera sees a picture."""
    browsers: list[Browser] = []
    visits: list[Visit] = []

    def visit(link: str, view: NDArray[np.uint8], **options: Any) -> Visit:
        browsers.append(launch(film(view, tmp_path / f"{len(browsers)}.y4m")))
        wanted: dict[str, Any] = {"locale": "en-GB"} | PHONE | options
        context = browsers[-1].new_context(**wanted)
        context.grant_permissions(["camera"], origin=origin)
        visits.append(Visit(context, origin, link.removeprefix(origin)))
        return visits[-1]

    yield visit
    for each in visits:
        each.close()
    for browser in browsers:
        browser.close()


def open_room(visit: Visit) -> str:
    """The link that the page shows."""
    visit.at("#phone").click()
    expect(visit.at("#room-link")).to_contain_text("phone.html#")
    visit.page.wait_for_timeout(300)  # the dialog stands, and the screen has been told
    return visit.at("#room-link").inner_text()


def screen_of(visit: Visit) -> NDArray[np.uint8]:
    """What it shows, (H, W, 3)."""
    return pixels(visit.page.screenshot())[..., :3]


def board(visit: Visit) -> NDArray[np.uint8]:
    """What the board would be saved as, (H, W, 4)."""
    name, file = visit.download("#room-save")
    assert name == "board.png"
    return pixels(file)


def cut_and_put(phone: Visit) -> None:
    """A photo of what the camera sees; its subject onto the screen."""
    phone.at("#shoot").click()
    expect(phone.at("#put")).to_be_visible()
    phone.at("#put").click()
    expect(phone.at("#notice")).to_have_class("notice shown")


def somebody() -> NDArray[np.uint8]:
    """What a camera sees that points at no screen: a portrait in front of furniture."""
    scene = without_a_screen(3, (WIDTH, HEIGHT)).copy()
    scene[200:712, 384:896] = astronaut()
    return scene


def middle_of_change(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float64]:
    """x, y of the middle of where two pictures differ, px."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2


def test_it_lands_where_the_phone_points(visiting: Visiting, phone: Phone) -> None:
    visit = visiting(viewport={"width": 1400, "height": 900})
    visit.add(upload(encoded(astronaut()), "base.png"))
    visit.done()
    visit.choose("background", "colour")
    link = open_room(visit)
    before = board(visit)
    place, box = np.array([200.0, 330.0]), visit.at("#board").bounding_box()
    assert box
    at = np.array([box["x"], box["y"]]) + place * box["width"] / before.shape[1]
    held = phone(link, photographed(screen_of(visit), (at[0], at[1])))
    expect(held.at("#state")).to_have_text("Take a photo of what you want to have on the screen.")
    held.shot("room-phone-live")
    held.at("#shoot").click()
    expect(held.at("#put")).to_be_visible()
    expect(held.at("#cutout")).to_be_visible()
    held.shot("room-phone-aim")
    held.at("#put").click()
    expect(held.at("#notice")).to_have_text("It is on the screen, where you pointed.")
    expect(visit.at("#room-state")).to_have_text("It landed where the phone pointed. You may drag it.")
    visit.shot("room-landed")
    landed = middle_of_change(before, board(visit))
    assert np.abs(landed - place).max() < 20


def test_in_the_middle_when_it_points_elsewhere_then_dragged(visit: Visit, phone: Phone) -> None:
    link = open_room(visit)
    before = board(visit)
    assert not before.any()  # nothing lay on the stage
    held = phone(link, somebody())
    cut_and_put(held)
    expect(held.at("#notice")).to_have_text("It is in the middle of the board: the place was not recognised.")
    expect(visit.at("#room-state")).to_contain_text("It landed in the middle")
    first = board(visit)
    assert np.abs(middle_of_change(before, first) - (600, 400)).max() < 3
    box = visit.at("#board").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.drag((x, y), (x - 100, y))
    visit.at("#board").press("ArrowDown")
    moved = middle_of_change(before, board(visit)) - middle_of_change(before, first)
    assert np.abs(moved - (-100 * 1200 / box["width"], 12)).max() < 3
    visit.shot("room-dragged")


def test_what_landed_is_not_lost_with_an_answer(visit: Visit, phone: Phone) -> None:
    visit.expected.append("Failed to load resource")
    lost: list[int] = []

    def lose(route: Route) -> None:
        if not lost:
            lost.append(route.fetch().status)  # the service has given it away
            route.abort()
        else:
            route.continue_()

    visit.page.route("**/v1/rooms/*/cutouts/1", lose)
    cut_and_put(phone(open_room(visit), somebody()))
    expect(visit.at("#room-state")).to_contain_text("It landed in the middle", timeout=15_000)
    assert lost == [200]
    assert board(visit).any()


def test_keys_that_are_held_tell_the_room_once(visit: Visit, phone: Phone) -> None:
    cut_and_put(phone(open_room(visit), somebody()))
    expect(visit.at("#room-state")).to_contain_text("It landed in the middle")
    visit.page.wait_for_timeout(1000)
    told: list[str] = []
    visit.page.on("request", lambda request: told.append(request.url) if "/screen" in request.url else None)
    for _ in range(10):
        visit.at("#board").press("ArrowUp")
    visit.page.wait_for_timeout(1500)
    assert 1 <= len(told) <= 4, told


def test_a_second_click_opens_no_second_room(visit: Visit) -> None:
    opened: list[str] = []
    visit.page.on(
        "request", lambda request: opened.append(request.url) if "/v1/rooms?" in request.url else None
    )
    visit.at("#phone").evaluate("button => { button.click(); button.click(); }")
    expect(visit.at("#room-link")).to_contain_text("phone.html#")
    visit.page.wait_for_timeout(500)
    assert len(opened) == 1
    expect(visit.at("#phone")).to_be_enabled()


def test_the_code_on_the_screen_leads_to_the_room(visit: Visit) -> None:
    link = open_room(visit)
    text, *_ = cv2.QRCodeDetector().detectAndDecode(screen_of(visit))
    assert text == link


def test_a_room_that_has_ended(visit: Visit, phone: Phone) -> None:
    link = open_room(visit)
    held = phone(link, somebody())
    held.expected.append("Failed to load resource")
    held.at("#shoot").click()
    expect(held.at("#put")).to_be_visible()
    visit.at("#room-dialog button:not([type=button])").click()
    expect(visit.at("#room-dialog")).to_be_hidden()
    held.at("#put").click()
    expect(held.at("#notice")).to_have_text("The code has ended. Scan the one that the screen shows now.")
    expect(held.at("#put")).to_be_enabled()  # what was cut out is not lost
    assert open_room(visit) != link


@pytest.mark.parametrize("look", LOOKS)
def test_the_phone_s_page_is_accessible_and_steady(
    look: dict[str, Any], visit: Visit, phone: Phone, request: pytest.FixtureRequest
) -> None:
    held = phone(open_room(visit), somebody(), **look)
    held.page.wait_for_timeout(500)
    assert violations(held) == []
    held.at("#shoot").click()
    expect(held.at("#put")).to_be_visible()
    assert violations(held) == []
    held.shot(f"room-aim-{request.node.callspec.id}")
    assert not held.page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert held.page.evaluate("window.seen.shifts") == []


@pytest.mark.parametrize(
    "look", [pytest.param({}, id="light"), pytest.param(DARK | GERMAN, id="dark-german")]
)
def test_the_dialog_is_accessible(
    look: dict[str, Any], visiting: Visiting, request: pytest.FixtureRequest
) -> None:
    visit = visiting(**look)
    open_room(visit)
    assert violations(visit) == []
    visit.shot(f"room-{request.node.callspec.id}")
    assert visit.page.evaluate("window.seen.shifts") == []


def test_without_a_camera_a_photo_does(visit: Visit, visiting: Visiting, origin: str) -> None:
    link = open_room(visit)
    held = visiting(**PHONE)
    held.context.add_init_script("delete Navigator.prototype.mediaDevices")  # as over plain http
    held.page.goto(link)
    expect(held.at("#state")).to_contain_text("This browser gives the page no camera")
    held.at("#shot").set_input_files([upload(encoded(astronaut()), "a.png")])
    expect(held.at("#put")).to_be_visible()
    held.at("#put").click()
    expect(visit.at("#room-state")).to_contain_text("It landed in the middle")
    held.shot("room-phone-file")
    held.page.goto(f"{origin}/phone.html")
    expect(held.at("#state")).to_have_text("Scan the code on the screen with this phone's camera.")
    expect(held.at("#shoot")).to_be_disabled()


def test_a_phone_is_asked_for_a_key(visit: Visit, phone: Phone) -> None:
    held = phone(open_room(visit), somebody())
    held.expected.append("Failed to load resource")
    body = json.dumps({"code": "unauthorized", "detail": None})
    held.page.route("**/v1/cutouts", lambda route: route.fulfill(status=401, body=body))
    held.at("#shoot").click()
    expect(held.at("#key-dialog")).to_be_visible()
    assert violations(held) == []
    held.page.unroute("**/v1/cutouts")
    held.at("#key").fill("a-key-of-some-length")
    with held.page.expect_request("**/v1/cutouts") as again:
        held.page.keyboard.press("Enter")
    assert again.value.headers["x-api-key"] == "a-key-of-some-length"
    expect(held.at("#put")).to_be_visible()
