"""The bars: accessible, steady, small, quick, by itself; in two languages, by keyboard, on a phone."""

import re
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.web.conftest import Visiting
from tests.web.server import astronaut, encoded
from tests.web.visit import PICTURES, Visit, upload

PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
SMALL_PHONE = PHONE | {"viewport": {"width": 320, "height": 568}}
DARK = {"color_scheme": "dark"}
GERMAN = {"locale": "de-AT"}
LOW = [(667, 375), (844, 390), (640, 400), (320, 256), (810, 520)]
"""Windows of phones held across and of much enlarged pages, px."""
LOOKS = [
    pytest.param({}, id="light"),
    pytest.param(DARK, id="dark"),
    pytest.param(PHONE | GERMAN, id="phone"),
    pytest.param(SMALL_PHONE | GERMAN | DARK, id="small-phone"),
]
MOST_BYTES = 150_000
MOST_MS = 1000


def violations(visit: Visit) -> list[str]:
    """What axe-core finds on the page as it is, best practices included."""
    visit.page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
    found = visit.page.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found["violations"]]


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(look: dict[str, Any], visiting: Visiting, request: pytest.FixtureRequest) -> None:
    visit = visiting(**look)
    visit.expected.append("Failed to load resource")
    name = request.node.callspec.id
    visit.at("#link").click()
    assert violations(visit) == []
    visit.shot(f"start-{name}")
    visit.add()
    visit.done()
    assert violations(visit) == []
    visit.shot(f"editor-{name}")
    visit.choose("tool", "keep")
    visit.choose("background", "blur")
    visit.at('input[name="crop"]').check()
    visit.at("#copy-link").click()
    expect(visit.at("#notice")).to_have_class(re.compile("shown"))
    visit.page.wait_for_timeout(300)  # the notice fades in
    assert violations(visit) == []
    visit.add(upload(b"no", "bad.jpg"))
    expect(visit.at('#strip li[data-state="failed"]')).to_have_count(1)
    visit.at("#strip .thumb").nth(1).click()
    expect(visit.at(".failure")).to_be_visible()
    assert violations(visit) == []
    visit.shot(f"failure-{name}")
    for dialog in ("#key-dialog", "#text-dialog", "#camera-dialog"):
        visit.at(dialog).evaluate("dialog => dialog.showModal()")
        assert violations(visit) == [], dialog
        visit.page.keyboard.press("Escape")


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_moves_under_the_reader(look: dict[str, Any], visiting: Visiting) -> None:
    visit = visiting(**look)
    visit.page.wait_for_timeout(500)
    visit.at("[data-sample=cat]").click()
    visit.done()
    visit.page.wait_for_timeout(500)
    visit.add(*(upload(encoded(astronaut(), ".jpg"), f"{n}.jpg") for n in "ab"))
    visit.done(3)
    visit.page.wait_for_timeout(500)
    assert visit.page.evaluate("window.seen.shifts") == []


def test_small_and_quick(visiting: Visiting) -> None:
    """From an empty cache, the best of three. Ready: every control works."""
    visits = [visiting() for _ in range(3)]
    visits[0].page.wait_for_load_state("networkidle")
    sizes: dict[str, int] = visits[0].page.evaluate("""() => Object.fromEntries(
      [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
        .map((each) => [each.name, each.encodedBodySize]))""")
    assert all(sizes.values())
    assert sum(sizes.values()) < MOST_BYTES
    ready = min(visit.page.evaluate("window.seen.ready") for visit in visits)
    assert ready < MOST_MS
    PICTURES.mkdir(exist_ok=True)
    told = f"{sum(sizes.values()) / 1000:.1f} kB in {len(sizes)} files, ready after {ready:.0f} ms\n"
    (PICTURES / "figures.txt").write_text(told)


def test_nothing_is_loaded_twice(visit: Visit) -> None:
    visit.page.wait_for_load_state("networkidle")
    answers: dict[str, int] = {}
    visit.page.on("response", lambda answer: answers.update({answer.url: answer.status}))
    visit.page.reload()
    expect(visit.at("html[data-ready]")).to_have_count(1)
    visit.page.wait_for_load_state("networkidle")
    code = {status for url, status in answers.items() if url.endswith((".js", ".css"))}
    assert code == {304}


def test_offline_once_it_is_open(visit: Visit) -> None:
    """The parts are all there: without a network only the service is missing, and the page says so."""
    visit.expected.append("Failed to load resource")
    visit.context.set_offline(True)
    visit.add()
    expect(visit.at(".failure h2")).to_have_text("The service cannot be reached")
    visit.context.set_offline(False)  # which the browser tells, and the page tries again
    visit.done()


def test_german_by_the_browser_english_by_choice_remembered(visiting: Visiting) -> None:
    visit = visiting(**GERMAN)
    expect(visit.at("html")).to_have_attribute("lang", "de")
    expect(visit.at("h1#headline")).to_have_text("Das Motiv bleibt. Der Rest geht.")
    visit.add()
    visit.done()
    expect(visit.at("#download")).to_have_text("Herunterladen")
    expect(visit.at("#strip .thumb")).to_have_attribute("aria-label", "portrait.png: freigestellt")
    visit.shot("editor-german")
    visit.choose("language", "en")
    expect(visit.at("#download")).to_have_text("Download")
    expect(visit.at("#strip .thumb")).to_have_attribute("aria-label", "portrait.png: cut out")
    visit.page.reload()
    expect(visit.at("html")).to_have_attribute("lang", "en")
    expect(visit.at('input[name="language"][value="en"]')).to_be_checked()


def test_from_photo_to_download_by_keyboard(visit: Visit) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            visit.page.keyboard.press("Tab")
            if visit.at(selector).evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"no way to {selector}")

    photo = upload(encoded(astronaut()), "a.png")
    visit.page.on("filechooser", lambda chooser: chooser.set_files(photo))
    tab_to("#pick")
    visit.page.keyboard.press("Enter")
    visit.done()
    tab_to("#split")
    visit.page.keyboard.press("PageUp")
    expect(visit.at("#split")).not_to_have_value("0")
    tab_to('input[name="background"]:checked')
    visit.page.keyboard.press("ArrowRight")
    expect(visit.at('input[name="background"][value="colour"]')).to_be_checked()
    tab_to('input[name="crop"]')
    visit.page.keyboard.press(" ")
    expect(visit.at('input[name="margin"]')).to_be_visible()
    tab_to('input[name="format"]:checked')
    visit.page.keyboard.press("ArrowRight")
    tab_to("#download")
    outline = visit.style("#download", "outline-style")
    assert outline == "solid"
    with visit.page.expect_download() as waiting:
        visit.page.keyboard.press("Enter")
    assert waiting.value.suggested_filename == "a-cutout.webp"


@pytest.mark.parametrize(
    "look", [pytest.param(PHONE, id="phone"), pytest.param(SMALL_PHONE | GERMAN, id="small")]
)
def test_a_phone_scrolls_in_one_direction(look: dict[str, Any], visiting: Visiting) -> None:
    visit = visiting(**look)
    wider = "document.documentElement.scrollWidth > innerWidth"
    assert not visit.page.evaluate(wider)
    visit.add()
    visit.done()
    for tool in ("look", "keep"):
        visit.choose("tool", tool)
        assert not visit.page.evaluate(wider)
    expect(visit.at("#download")).to_be_in_viewport()
    visit.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(visit.at("#copy-curl")).to_be_in_viewport()
    copies, download = visit.at(".copies").bounding_box(), visit.at("#download").bounding_box()
    assert copies
    assert download
    assert copies["y"] + copies["height"] < download["y"]  # which stays in sight and hides nothing
    small = visit.page.evaluate("""() => [...document.querySelectorAll("button, select, input[type=range]")]
      .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 24)
      .map((each) => each.id)""")
    assert small == []  # WCAG 2.2, 2.5.8


@pytest.mark.parametrize("size", [pytest.param(size, id=f"{size[0]}x{size[1]}") for size in LOW])
def test_nothing_lies_over_the_tools_of_a_low_window(size: tuple[int, int], visiting: Visiting) -> None:
    visit = visiting(viewport={"width": size[0], "height": size[1]})
    visit.add()
    visit.done()
    visit.choose("tool", "keep")
    visit.shot(f"low-{size[0]}x{size[1]}")

    def edge(selector: str, side: str) -> float:
        return float(visit.at(selector).evaluate("(each, side) => each.getBoundingClientRect()[side]", side))

    assert edge("#stage", "bottom") < edge(".tools", "top")
    assert edge(".zoom", "bottom") < edge(".strip", "top")  # the last of the tools, where they wrap
    beside = edge(".tools", "right") < edge("#download", "left")
    assert beside or edge(".zoom", "bottom") < edge("#download", "top")
    fitted = visit.at("#scale").inner_text()
    visit.at("#zoom-in").click()
    expect(visit.at("#scale")).not_to_have_text(fitted)


def test_a_tap_does_not_remove_what_it_does_not_show(visiting: Visiting) -> None:
    visit = visiting(**PHONE)
    visit.add()
    visit.done()
    visit.add(name="second.png")
    visit.done(2)
    other = visit.at("#strip li:not(.current)")
    box = other.locator(".drop").bounding_box()
    assert box
    visit.page.touchscreen.tap(box["x"] + 8, box["y"] + 16)
    visit.page.wait_for_timeout(300)
    expect(visit.at("#strip li")).to_have_count(2)
    visit.at("#strip .current .drop").tap()
    expect(visit.at("#strip li")).to_have_count(1)


def test_forced_colours_leave_what_is_a_colour(visiting: Visiting) -> None:
    visit = visiting(forced_colors="active")
    visit.add()
    visit.done()
    assert visit.style(".views .white", "background-color") == "rgb(255, 255, 255)"
    assert visit.style(".views .black", "background-color") == "rgb(0, 0, 0)"
    assert "gradient" in visit.style(".tiles .blurry", "background-image")
    off = visit.style('input[name="crop"]', "background-color")
    visit.at('input[name="crop"]').check()
    visit.page.wait_for_timeout(300)  # it fades
    assert visit.style('input[name="crop"]', "background-color") != off
    visit.shot("forced-colours")


def test_touch_paints(visiting: Visiting) -> None:
    visit = visiting(**PHONE)
    visit.add()
    visit.done()
    visit.choose("tool", "erase")
    visit.page.touchscreen.tap(*visit.where(256, 350))
    expect(visit.at("#undo")).to_be_enabled()
    visit.shot("brush-phone")


def test_who_wants_no_motion_gets_none(visiting: Visiting) -> None:
    visit = visiting(reduced_motion="reduce")
    assert visit.style(".ants", "animation-name") == "none"
    visit.add()
    expect(visit.at("#download")).to_be_enabled(timeout=60_000)
    assert visit.at("#split").input_value() == "0"  # without a wipe


def test_without_scripts_it_says_where_to_go(browser: Browser, origin: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(origin)
    expect(page.locator("noscript")).to_be_visible()
    assert "needs JavaScript" in page.locator("noscript").inner_text()
    expect(page.locator("#pick")).to_be_hidden()
    context.close()
