"""The picture on the stage: looking at it, changing what it shall be, touching it up."""

import re

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import FileChooser, Route, expect

from tests.web.server import ask, astronaut, encoded, pixels
from tests.web.visit import Visit, upload

PORTRAIT = encoded(astronaut())
HIDDEN = (470, 60)
"""px of the portrait: background, far from its subject."""
SUBJECT = (256, 350)


@pytest.fixture
def portrait(visit: Visit) -> Visit:
    """The portrait, cut out."""
    visit.add()
    visit.done()
    return visit


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference, of 255."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_before_and_after_by_mouse_and_keyboard(portrait: Visit) -> None:
    assert portrait.style("#stage", "--cover") == portrait.style("#stage", "--x")
    box = portrait.at("#split").bounding_box()
    assert box
    knob = (box["x"] + 22, box["y"] + 22)
    portrait.drag(knob, (knob[0] + 150, knob[1]))
    assert 200 < int(portrait.at("#split").input_value()) < 400
    portrait.shot("compare")
    portrait.at("#split").focus()
    portrait.page.keyboard.press("End")
    expect(portrait.at("#split")).to_have_value("1000")
    expect(portrait.at("#split")).to_have_attribute("aria-label", re.compile("Compare"))


def test_zoom_to_the_edges(portrait: Visit) -> None:
    fitted = portrait.at("#scale").inner_text()
    portrait.page.mouse.move(*portrait.where(330, 120))
    for _ in range(12):
        portrait.page.mouse.wheel(0, -120)
    expect(portrait.at("#scale")).to_have_text(re.compile(r"^\d{4} %|[3-9]\d\d %"))
    x, y = portrait.where(330, 120)  # what was under the pointer still is
    portrait.shot("zoomed")
    assert portrait.style("canvas.cut", "image-rendering") == "pixelated"
    portrait.drag((x, y), (x + 40, y + 30))
    assert portrait.where(330, 120) == pytest.approx((x + 40, y + 30), abs=0.5)
    portrait.at("#zoom-fit").click()
    expect(portrait.at("#scale")).to_have_text(fitted)
    portrait.at("#zoom-in").click()
    expect(portrait.at("#scale")).not_to_have_text(fitted)
    portrait.at("#zoom-out").click()
    expect(portrait.at("#scale")).to_have_text(fitted)


def test_zoom_and_pan_by_keyboard(portrait: Visit) -> None:
    portrait.at("#stage").focus()
    before = portrait.where(0, 0)
    portrait.page.keyboard.press("ArrowLeft")
    assert portrait.where(0, 0) == pytest.approx((before[0] + 40, before[1]))
    portrait.page.keyboard.press("+")
    assert portrait.where(0, 0) != pytest.approx(before, abs=1)
    portrait.page.keyboard.press("0")
    assert portrait.where(0, 0) == pytest.approx(before)


def test_pinching(portrait: Visit) -> None:
    was = float(portrait.style("#stage", "--scale"))
    portrait.at("#stage").evaluate("""(stage) => {
      stage.setPointerCapture = () => {};
      const {left, top} = stage.getBoundingClientRect();
      const send = (type, pointerId, x) => stage.dispatchEvent(
        new PointerEvent(type, {pointerId, clientX: left + x, clientY: top + 200, bubbles: true}));
      send("pointerdown", 11, 300); send("pointerdown", 12, 400);
      send("pointermove", 11, 250); send("pointermove", 12, 450);
      send("pointerup", 11, 250); send("pointerup", 12, 450);
    }""")
    assert float(portrait.style("#stage", "--scale")) == pytest.approx(2 * was, rel=0.01)


@pytest.mark.parametrize(
    ("view", "colour"),
    [
        pytest.param("white", "rgb(255, 255, 255)"),
        pytest.param("black", "rgb(0, 0, 0)"),
        pytest.param("own", "rgb(18, 52, 86)"),
    ],
)
def test_looked_at_on(view: str, colour: str, portrait: Visit) -> None:
    assert "conic-gradient" in portrait.style(".paper", "background-image")
    portrait.choose("view", view)
    if view == "own":
        portrait.at("#own").fill("#123456")
    assert portrait.style(".paper", "background-color") == colour
    assert portrait.style(".paper", "background-image") == "none"
    portrait.shot(f"on-{view}")
    assert portrait.download()[1] == ask(portrait.origin, PORTRAIT, format="png")  # looking changes nothing


def test_a_colour_behind(portrait: Visit) -> None:
    portrait.choose("background", "colour")
    portrait.at("#colour").fill("#336699")
    assert portrait.style(".paper", "background-color") == "rgb(51, 102, 153)"
    expect(portrait.at("#views")).to_have_attribute("disabled", "")
    portrait.shot("colour")
    given = ask(portrait.origin, PORTRAIT, background="#336699", format="png")
    made = pixels(portrait.download()[1])
    assert (made[..., 3] == 255).all()
    assert int(np.abs(made[..., :3].astype(int) - pixels(given)).max()) <= 2


def test_a_picture_behind(portrait: Visit) -> None:
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)
    sky = np.dstack(
        [np.tile(ramp, (200, 1)), np.full((200, 300), 90, np.uint8), np.tile(ramp[::-1], (200, 1))]
    )
    with portrait.page.expect_file_chooser() as chooser:
        portrait.choose("background", "picture")
    chooser.value.set_files(upload(encoded(sky), "sky.png"))
    expect(portrait.at("canvas.backdrop")).to_be_visible()
    portrait.shot("picture")
    given = ask(portrait.origin, PORTRAIT, {"background_image": encoded(sky)}, format="png")
    assert apart(pixels(portrait.download()[1])[..., :3], pixels(given)) < 1


def test_a_picture_behind_is_asked_for_once(portrait: Visit) -> None:
    asked: list[FileChooser] = []
    portrait.page.on("filechooser", lambda chooser: asked.append(chooser))
    portrait.choose("background", "picture")
    portrait.page.get_by_role("switch", name="Crop to the subject").check()
    portrait.page.wait_for_timeout(200)
    assert len(asked) == 1
    portrait.choose("background", "colour")
    portrait.at('input[name="background"][value="colour"]').focus()
    portrait.page.keyboard.press("ArrowRight")
    portrait.page.wait_for_timeout(200)
    expect(portrait.at('input[name="background"][value="picture"]')).to_be_checked()
    assert len(asked) == 1


def test_an_unreadable_picture_behind(portrait: Visit) -> None:
    with portrait.page.expect_file_chooser() as chooser:
        portrait.choose("background", "picture")
    chooser.value.set_files(upload(b"no", "sky.png"))
    expect(portrait.at("#notice")).to_contain_text("cannot be read")


def test_a_blurred_background(portrait: Visit) -> None:
    portrait.choose("background", "blur")
    expect(portrait.at("canvas.backdrop")).to_be_visible()
    portrait.shot("blur")
    made = pixels(portrait.download()[1])[..., :3]
    given = pixels(ask(portrait.origin, PORTRAIT, background="blur", format="png"))
    assert apart(made, given) < 4
    assert apart(made, astronaut()) > 2 * apart(made, given)
    portrait.at('input[name="blur"]').fill("0.1")
    stronger = pixels(portrait.download()[1])[..., :3]
    assert cv2.Laplacian(stronger[:, 400:], cv2.CV_64F).var() < cv2.Laplacian(made[:, 400:], cv2.CV_64F).var()


def test_the_background_chosen_last_is_shown(portrait: Visit) -> None:
    sky = upload(encoded(astronaut()[::4, ::-4]), "sky.png")
    with portrait.page.expect_file_chooser() as chooser:
        portrait.choose("background", "picture")
    chooser.value.set_files(sky)
    expect(portrait.at("canvas.backdrop")).to_be_visible()
    portrait.choose("background", "transparent")
    expect(portrait.at("canvas.backdrop")).to_be_hidden()
    portrait.page.evaluate("""() => {
      const original = window.createImageBitmap;
      const held = new Promise((resolve) => (window.release = resolve));
      window.createImageBitmap = async (...given) => { await held; return original(...given); };
    }""")
    portrait.choose("background", "picture")
    portrait.choose("background", "colour")
    portrait.page.evaluate("release()")
    portrait.page.wait_for_timeout(300)
    expect(portrait.at("canvas.backdrop")).to_be_hidden()
    portrait.choose("background", "blur")
    expect(portrait.at("canvas.backdrop")).to_be_visible()
    portrait.choose("format", "zip")  # which holds no background
    expect(portrait.at("canvas.backdrop")).to_be_hidden()


def test_cropping_with_a_margin(portrait: Visit) -> None:
    portrait.page.get_by_role("switch", name="Crop to the subject").check()
    portrait.at('input[name="margin"]').fill("20")
    expect(portrait.at("#margin-shown")).to_have_text("20 px")
    given = pixels(ask(portrait.origin, PORTRAIT, crop="true", crop_margin="20", format="png"))
    expect(portrait.at("#facts")).to_have_text(f"{given.shape[1]} × {given.shape[0]} px")
    portrait.shot("cropped")
    assert np.array_equal(pixels(portrait.download()[1]), given)


@pytest.mark.parametrize("edges", [pytest.param("sharp"), pytest.param("objectcut")])
def test_edges(edges: str, portrait: Visit) -> None:
    hint = portrait.at("#edges-hint").inner_text()
    portrait.choose("edges", edges)
    expect(portrait.at("#download")).to_be_disabled()
    portrait.done()
    expect(portrait.at("#edges-hint")).not_to_have_text(hint)
    assert portrait.download()[1] == ask(portrait.origin, PORTRAIT, edges=edges, format="png")


def test_the_choice_of_networks(visit: Visit) -> None:
    """Two that a service could have: which are here depends on what its operator pulled."""
    sent: list[str] = []

    def models(route: Route) -> None:
        body = route.fetch().json()
        for model in body["models"]:
            model["available"] = model["name"] in ("lite", "birefnet-portrait")
        body["models"].append(
            body["models"][0] | {"name": "newer", "available": True, "description": "Its own."}
        )
        route.fulfill(json=body)

    def cutouts(route: Route) -> None:
        sent.append((route.request.post_data_buffer or b"").decode("latin-1"))
        route.continue_()

    visit.page.route("**/v1/models", models)
    visit.page.route("**/v1/cutouts", cutouts)
    visit.page.reload()
    visit.add()
    visit.done()
    choice = visit.page.get_by_label("Network")
    expect(choice.locator("option")).to_have_text(["lite", "birefnet-portrait", "newer"])
    choice.select_option("newer")
    expect(visit.at("#model-hint")).to_have_text("Its own.")
    visit.expected.append("Failed to load resource: .*400")  # it exists in this test alone
    expect(visit.at(".failure h2")).to_have_text("The service cannot do this")
    choice.select_option("birefnet-portrait")
    expect(visit.at("#model-hint")).to_have_text("People: faces, hair and clothes.")
    visit.expected.append("Failed to load resource: .*503")
    expect(visit.at(".failure h2")).to_have_text("This network is not available")
    expect(visit.at(".failure .detail")).to_contain_text("objectcut models pull birefnet-portrait")
    visit.shot("network-missing")
    choice.select_option("lite")
    visit.done()
    assert [re.findall(r'name="model"\r\n\r\n([\w-]+)', body) for body in sent] == [
        [],
        ["newer"],
        ["birefnet-portrait"],
        [],
    ]


def test_keeping_what_was_lost(portrait: Visit) -> None:
    """The photo's own pixels come back, bit for bit; what the brush did not touch stays the service's."""
    served = pixels(ask(portrait.origin, PORTRAIT, format="png"))
    assert served[HIDDEN[1], HIDDEN[0], 3] == 0
    portrait.choose("tool", "keep")
    portrait.drag(portrait.where(*HIDDEN), portrait.where(HIDDEN[0] - 50, HIDDEN[1]))
    portrait.shot("brush")
    made = pixels(portrait.download()[1])
    area = np.s_[HIDDEN[1] - 8 : HIDDEN[1] + 8, HIDDEN[0] - 50 : HIDDEN[0]]
    assert (made[area][..., 3] == 255).all()
    assert np.array_equal(made[area][..., :3], astronaut()[area])
    changed = (made != served).any(axis=2)
    assert not changed[HIDDEN[1] + 30 :].any()
    assert not changed[:, : HIDDEN[0] - 80].any()
    rim = made[..., 3][changed]
    assert ((rim > 0) & (rim < 255)).any()  # the brush is soft at its rim


def test_erasing_undo_redo(portrait: Visit) -> None:
    served = ask(portrait.origin, PORTRAIT, format="png")
    portrait.choose("tool", "erase")
    expect(portrait.at("#undo")).to_be_disabled()
    portrait.drag(portrait.where(*SUBJECT), portrait.where(SUBJECT[0] + 30, SUBJECT[1]))
    portrait.drag(portrait.where(200, 400), portrait.where(200, 420))
    once = portrait.download()[1]
    assert pixels(once)[SUBJECT[1], SUBJECT[0]].tolist() == [0, 0, 0, 0]
    portrait.at("#undo").click()
    assert pixels(portrait.download()[1])[410, 200, 3] == 255
    portrait.page.keyboard.press("Control+z")
    expect(portrait.at("#undo")).to_be_disabled()
    assert portrait.download()[1] == served
    portrait.page.keyboard.press("Control+Shift+z")
    portrait.at("#redo").click()
    expect(portrait.at("#redo")).to_be_disabled()
    assert np.array_equal(pixels(portrait.download()[1]), pixels(once))


def test_a_finer_brush_by_zoom_and_by_size(portrait: Visit) -> None:
    portrait.choose("tool", "erase")
    portrait.at("#size").fill("20")
    portrait.page.mouse.click(*portrait.where(*SUBJECT))
    wide = int((pixels(portrait.download()[1])[330:370, 236:276, 3] < 128).sum())
    portrait.at("#undo").click()
    portrait.page.mouse.move(*portrait.where(*SUBJECT))
    for _ in range(4):
        portrait.page.mouse.wheel(0, -120)
    portrait.page.mouse.click(*portrait.where(*SUBJECT))
    fine = int((pixels(portrait.download()[1])[330:370, 236:276, 3] < 128).sum())
    assert 0 < fine < 0.6 * wide


def test_the_brush_by_keyboard(portrait: Visit) -> None:
    portrait.choose("tool", "erase")
    portrait.at("#stage").focus()
    portrait.page.keyboard.press("ArrowDown")
    expect(portrait.at(".ring")).to_be_visible()
    portrait.page.keyboard.press(" ")
    expect(portrait.at("#undo")).to_be_enabled()
    radius = 20 / float(portrait.style("#stage", "--scale"))
    assert pixels(portrait.download()[1])[round(256 + radius), 256, 3] == 0


def test_touch_ups_outlive_other_edges_and_other_photos(portrait: Visit) -> None:
    portrait.choose("tool", "keep")
    portrait.page.mouse.click(*portrait.where(*HIDDEN))
    portrait.add(name="second.png")
    portrait.done(2)
    expect(portrait.at("#undo")).to_be_disabled()
    portrait.at("#strip .thumb").nth(0).click()
    expect(portrait.at("#undo")).to_be_enabled()
    portrait.choose("edges", "sharp")
    portrait.done(2)
    made = pixels(portrait.download()[1])
    assert made[HIDDEN[1], HIDDEN[0]].tolist() == [*astronaut()[HIDDEN[1], HIDDEN[0]], 255]


def test_undo_waits_for_the_picture(portrait: Visit) -> None:
    portrait.choose("tool", "keep")
    portrait.page.mouse.click(*portrait.where(*HIDDEN))
    held: list[Route] = []
    portrait.page.route("**/v1/cutouts", lambda route: held.append(route))
    portrait.choose("edges", "sharp")
    expect(portrait.at('#strip li[data-state="done"]')).to_have_count(0)
    portrait.page.keyboard.press("Control+z")
    portrait.page.wait_for_timeout(50)
    for route in held:
        route.continue_()
    portrait.done()
    expect(portrait.at("#undo")).to_be_enabled()
    assert pixels(portrait.download()[1])[HIDDEN[1], HIDDEN[0], 3] == 255


def test_a_second_finger_takes_back_the_stroke_of_the_first(portrait: Visit) -> None:
    portrait.choose("tool", "erase")
    portrait.page.mouse.click(*portrait.where(*SUBJECT))
    portrait.at("#undo").click()
    portrait.at("#stage").evaluate("""(stage) => {
      stage.setPointerCapture = () => {};
      const {left, top} = stage.getBoundingClientRect();
      for (const pointerId of [11, 12]) stage.dispatchEvent(new PointerEvent(
        "pointerdown", {pointerId, clientX: left + 100 * pointerId / 3, clientY: top + 200, bubbles: true}));
    }""")
    expect(portrait.at("#undo")).to_be_disabled()
    expect(portrait.at("#redo")).to_be_enabled()  # what was undone before, and that alone
    portrait.at("#redo").click()
    expect(portrait.at("#redo")).to_be_disabled()
