"""What goes wrong, in words, and what can be done about it."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Response, Route, expect

from api import problems
from api.errors import ObjectCutError
from tests.web.conftest import Visiting
from tests.web.server import astronaut, encoded, free_port, serve
from tests.web.visit import Visit, upload

KEY = "a-key-of-some-length"
JPEG = encoded(astronaut(), ".jpg")
REFUSED = "Failed to load resource"
KINDS = sorted(problems.kinds(), key=lambda kind: kind.code)


def test_one_failure_is_not_its_neighbours(visit: Visit) -> None:
    visit.expected.append(REFUSED)
    visit.add(upload(b"no picture", "bad.jpg"), upload(JPEG, "good.jpg"))
    expect(visit.at(".failure h2")).to_have_text("This is not a photo that can be read")
    expect(visit.at("#retry")).to_be_hidden()  # the same file would fail again
    visit.shot("bad-file")
    expect(visit.at('#strip li[data-state="done"]')).to_have_count(1)
    expect(visit.at("#told")).to_have_text("good.jpg is cut out.")
    visit.at("#drop-item").click()
    visit.done()


def test_back_from_a_failure_the_cutout_is_seen(visit: Visit) -> None:
    visit.expected.append(REFUSED)
    visit.add()
    visit.done()
    visit.page.route("**/v1/cutouts", lambda route: route.fulfill(status=502))
    visit.add(name="second.png")
    expect(visit.at(".failure")).to_be_visible()
    visit.at("#strip .thumb").nth(0).click()
    expect(visit.at("#download")).to_be_enabled()
    expect(visit.at("#split")).to_have_value("0", timeout=2000)


def test_a_photo_that_there_is_no_memory_to_show(visit: Visit) -> None:
    visit.expected.append("no memory is left")
    visit.page.evaluate("""() => {
      const real = window.ImageData;
      window.ImageData = class { constructor() { throw new RangeError("no memory is left"); } };
      window.roomAgain = () => { window.ImageData = real; };
    }""")
    visit.add()
    expect(visit.at('#strip li[data-state="done"]')).to_have_count(1)
    expect(visit.at("#notice")).to_contain_text("not enough memory to show portrait.png")
    expect(visit.at("#download")).to_be_disabled()
    visit.page.evaluate("roomAgain()")
    visit.at("#strip .thumb").click()
    visit.done()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that wants a key and takes little."""
    folder = tmp_path_factory.mktemp("strict")
    with serve(folder, SECRET_ACCESS=KEY, LIMITS__BODY_BYTES="300000", DECODE__MAX_PIXELS="300000") as origin:
        yield origin


def test_a_key_is_asked_for(visiting: Visiting, strict: str) -> None:
    visit = visiting(strict)
    visit.expected.append(REFUSED)
    visit.add(upload(JPEG, "a.jpg"))
    dialog = visit.page.get_by_role("dialog", name="This service wants a key")
    expect(dialog).to_be_visible()
    expect(visit.at("#key")).to_be_focused()
    visit.shot("key")
    visit.page.keyboard.type("wrong")
    visit.page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(visit.at(".failure h2")).to_have_text("A key is needed")
    visit.at("#retry").click()
    visit.at("#key").fill(KEY)
    visit.page.get_by_role("button", name="Continue").click()
    visit.done()
    visit.at("#copy-curl").click()
    expect(visit.at("#notice")).to_contain_text("Command copied")
    command = visit.page.evaluate("navigator.clipboard.readText()")
    assert "$CUTOUTS_KEY" in command
    assert KEY not in command
    visit.page.reload()
    visit.add(upload(JPEG, "b.jpg"))
    visit.done()  # remembered for this tab


def test_where_nothing_may_be_remembered(visiting: Visiting, strict: str) -> None:
    """As with all site data blocked: the language and the key last as long as the page."""
    visit = visiting(strict, locale="de-AT")
    visit.expected.append(REFUSED)
    visit.page.add_init_script("""for (const name of ["localStorage", "sessionStorage"]) {
      const get = () => { throw new DOMException("Access is denied", "SecurityError"); };
      Object.defineProperty(window, name, {get});
    }""")
    visit.page.reload()
    expect(visit.at("html[data-ready]")).to_have_attribute("lang", "de")
    visit.choose("language", "en")
    expect(visit.at("html")).to_have_attribute("lang", "en")
    visit.add(upload(JPEG, "a.jpg"))
    visit.at("#key").fill(KEY)
    visit.page.get_by_role("button", name="Continue").click()
    visit.done()


@pytest.mark.parametrize(
    ("body", "title"),
    [
        pytest.param(
            encoded(np.random.default_rng(1).integers(0, 255, (500, 500, 3), np.uint8)),
            "The file is too large",
            id="bytes",
        ),
        pytest.param(
            encoded(np.zeros((600, 600, 3), np.uint8)), "The photo has too many pixels", id="pixels"
        ),
    ],
)
def test_too_large(body: bytes, title: str, visiting: Visiting, strict: str) -> None:
    visit = visiting(strict)
    visit.expected.append(REFUSED)
    visit.page.evaluate("key => sessionStorage.setItem('objectcut.key', key)", KEY)
    visit.add(upload(body, "large.png"))
    expect(visit.at(".failure h2")).to_have_text(title)
    expect(visit.at("#retry")).to_be_hidden()


def test_a_damaged_file(visit: Visit) -> None:
    visit.expected.append(REFUSED)
    visit.add(upload(JPEG[:20_000], "half.jpg"))
    expect(visit.at(".failure h2")).to_have_text("The file is damaged")


@pytest.mark.parametrize(
    ("url", "title"),
    [
        pytest.param("http://10.0.0.1/a.jpg", "The picture could not be downloaded", id="forbidden"),
        pytest.param("{site}/nothing.jpg", "The picture could not be downloaded", id="missing"),
        pytest.param("{site}/page.html", "This is not a photo that can be read", id="a web page"),
    ],
)
def test_links_that_lead_nowhere(url: str, title: str, visit: Visit, site: str) -> None:
    visit.expected.append(REFUSED)
    visit.at("#link").click()
    visit.at("#url").fill(url.format(site=site))
    visit.page.keyboard.press("Enter")
    expect(visit.at(".failure h2")).to_have_text(title)


def test_the_service_goes_and_comes_back(visiting: Visiting, tmp_path: Path) -> None:
    port = free_port()
    with serve(tmp_path, port=port) as origin:
        visit = visiting(origin)
        visit.expected.append(REFUSED)
    visit.add()
    expect(visit.at(".failure h2")).to_have_text("The service cannot be reached")
    visit.shot("unreachable")
    with serve(tmp_path, port=port):
        visit.at("#retry").click()
        visit.done()


def test_a_busy_service_is_asked_again_when_it_said(visiting: Visiting, tmp_path: Path) -> None:
    """One at a time, and the page sends two: the other one is told 429 and how long to wait."""
    with serve(tmp_path, LIMITS__IN_FLIGHT="1") as origin:
        visit = visiting(origin)
        visit.expected.append(REFUSED)
        waits: list[str] = []

        def note(answer: Response) -> None:
            if answer.status == 429:
                waits.append(answer.headers["retry-after"])

        visit.page.on("response", note)
        visit.add(*(upload(JPEG, f"{n}.jpg") for n in range(4)))
        expect(visit.at('#strip li[data-state="pausing"]').first).to_be_attached()
        visit.shot("busy")
        visit.done(4)
        assert waits


def test_a_wait_is_told_and_kept(visit: Visit) -> None:
    visit.expected.append(REFUSED)
    asked: list[float] = []

    def busy_once(route: Route) -> None:
        asked.append(visit.page.evaluate("performance.now()"))
        if len(asked) == 1:
            route.fulfill(
                status=429, headers={"Retry-After": "3"}, json={"code": "rate_limited", "detail": None}
            )
        else:
            route.continue_()

    visit.page.route("**/v1/cutouts", busy_once)
    visit.add()
    expect(visit.at(".working")).to_contain_text("next try in 2 s")
    visit.done()
    assert 2900 <= asked[1] - asked[0] < 20_000


def test_a_wait_holds_for_the_whole_batch(visit: Visit) -> None:
    """The others would be told the same, and lose their tries."""
    visit.expected.append(REFUSED)
    asked: list[float] = []

    def busy_at_first(route: Route) -> None:
        asked.append(time.monotonic())
        if len(asked) <= 2:
            busy = {"code": "overloaded", "detail": None}
            route.fulfill(status=429, headers={"Retry-After": "2"}, json=busy)
        else:
            route.continue_()

    visit.page.route("**/v1/cutouts", busy_at_first)
    visit.add(*(upload(JPEG, f"{n}.jpg") for n in range(4)))
    visit.done(4)
    assert asked[2] - asked[1] > 1.5


def test_a_service_that_stays_busy_is_given_up(visit: Visit) -> None:
    visit.expected.append(REFUSED)
    asked: list[str] = []

    def busy(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=429, headers={"Retry-After": "1"}, json={"code": "overloaded", "detail": None})

    visit.page.route("**/v1/cutouts", busy)
    visit.add()
    expect(visit.at(".failure h2")).to_have_text("The service is busy")
    assert len(asked) == 7


def test_what_speaks_in_the_service_s_place(visit: Visit) -> None:
    """A proxy's own error page."""
    visit.expected.append(REFUSED)
    visit.page.route("**/v1/cutouts", lambda route: route.fulfill(status=502, body="<html>Bad gateway"))
    visit.add()
    expect(visit.at(".failure h2")).to_have_text("Something went wrong on the server")
    visit.page.unroute("**/v1/cutouts")
    visit.at("#retry").click()
    visit.done()


def test_every_failure_has_words_in_both_languages(visit: Visit) -> None:
    visit.expected.append(REFUSED)
    failing: list[type[ObjectCutError]] = []
    visit.page.route(
        "**/v1/cutouts",
        lambda route: route.fulfill(
            status=failing[-1].status, json={"code": failing[-1].code, "detail": None}
        ),
    )
    seen = set()
    for kind in KINDS:
        failing.append(kind)
        if len(failing) == 1:
            visit.add()
        else:
            visit.at("#strip .drop").click()
            visit.add()
        title = visit.at(".failure h2")
        expect(title).to_have_attribute("data-word", f"error.{kind.code}")
        if kind.code == "unauthorized":
            visit.page.keyboard.press("Escape")
        for language in ("en", "de"):
            visit.choose("language", language)
            words = f"{title.inner_text()} {visit.at('.failure .help').inner_text()}"
            assert "error." not in words
            seen.add((language, kind.code, words))
    assert len({words for *_, words in seen}) == 2 * len(KINDS)
    visit.shot("failure-german")


def test_a_link_that_cannot_be_made(visit: Visit) -> None:
    visit.expected.append(REFUSED)
    visit.add()
    visit.done()
    visit.page.route(
        "**/v1/cutouts",
        lambda route: route.fulfill(status=503, json={"code": "storage_full", "detail": None}),
    )
    visit.at("#copy-link").click()
    expect(visit.at("#notice")).to_have_text("The link could not be made")
    expect(visit.at("#text-dialog")).to_be_hidden()
