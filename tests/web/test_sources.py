"""The ways in."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Route, expect

from tests.web.conftest import Visiting
from tests.web.server import astronaut, encoded, pixels
from tests.web.visit import Visit, upload

PORTRAIT = upload(encoded(astronaut()), "portrait.png")
SMALL = upload(encoded(astronaut()[::2, ::2], ".jpg"), "small.jpg")
TRANSFER = """([kind, files, text]) => {
  const transfer = new DataTransfer();
  for (const [name, type, body] of files) {
    const bytes = Uint8Array.from(atob(body), (each) => each.charCodeAt(0));
    transfer.items.add(new File([bytes], name, {type}));
  }
  if (text) transfer.setData(kind === "paste" ? "text/plain" : "text/uri-list", text);
  const target = document.body;
  if (kind === "paste") {
    const init = {clipboardData: transfer, bubbles: true, cancelable: true};
    target.dispatchEvent(new ClipboardEvent("paste", init));
  } else {
    for (const type of kind.split(" ")) {
      target.dispatchEvent(new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }
  }
}"""


def hand_over(visit: Visit, kind: str, *files: FilePayload, text: str = "") -> None:
    """A drop or a paste, as the page gets it from the browser."""
    packed = [[file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()] for file in files]
    visit.page.evaluate(TRANSFER, [kind, packed, text])


def test_the_empty_page_says_what_to_do(visit: Visit) -> None:
    expect(visit.at("h1#headline")).to_have_text("Keep the subject. Lose the rest.")
    expect(visit.at("#editor")).to_be_hidden()
    visit.shot("start-light")
    with visit.page.expect_file_chooser() as chooser:
        visit.at("#pick").click()
    assert chooser.value.is_multiple()
    chooser.value.set_files([PORTRAIT])
    visit.done()
    expect(visit.at("#start")).to_be_hidden()


def test_several_at_once_each_with_its_progress(visit: Visit) -> None:
    def slowly(route: Route) -> None:
        visit.page.wait_for_timeout(300)
        route.continue_()

    visit.page.route("**/v1/cutouts", slowly)
    visit.add(PORTRAIT, SMALL, upload(encoded(astronaut()), "third.png"))
    expect(visit.at("#strip li")).to_have_count(3)
    expect(visit.at("#strip li").nth(0).locator("progress")).to_be_visible()
    expect(visit.at(".working")).to_contain_text("portrait.png")
    visit.shot("working")
    visit.done(3)
    expect(visit.at("#strip progress:visible")).to_have_count(0)
    expect(visit.at("#strip .thumb").nth(1)).to_have_attribute("aria-label", "small.jpg: cut out")
    visit.at("#strip .thumb").nth(1).click()
    expect(visit.at("#facts")).to_have_text("256 × 256 px")
    expect(visit.at("#strip .thumb").nth(1)).to_have_attribute("aria-current", "true")
    visit.shot("several")
    visit.at("#strip .drop").nth(1).click()
    expect(visit.at("#strip li")).to_have_count(2)
    expect(visit.at("#facts")).to_have_text("512 × 512 px")
    for _ in range(2):
        visit.at("#strip li.current .drop").click()
    expect(visit.at("#pick")).to_be_focused()


def test_a_photo_may_be_removed_while_it_is_worked_on(visit: Visit) -> None:
    held: list[Route] = []
    visit.page.route("**/v1/cutouts", lambda route: held.append(route))
    with visit.page.expect_request("**/v1/cutouts"):
        visit.add()
    visit.at("#strip .drop").click()
    expect(visit.at("#pick")).to_be_focused()
    visit.page.wait_for_timeout(300)
    expect(visit.at("#strip li")).to_have_count(0)


def test_dropping(visit: Visit) -> None:
    hand_over(visit, "dragenter", PORTRAIT)
    expect(visit.at(".veil")).to_be_visible()
    visit.shot("dropping")
    hand_over(visit, "dragover drop", PORTRAIT, SMALL)
    expect(visit.at(".veil")).to_be_hidden()
    visit.done(2)


def test_pasting_a_picture(visit: Visit) -> None:
    hand_over(visit, "paste", PORTRAIT | {"name": "image.png"})  # a browser's name for what has none
    visit.done()
    expect(visit.at("#strip .thumb")).to_have_attribute("aria-label", "pasted.png: cut out")


def test_pasted_files_keep_their_names(visit: Visit) -> None:
    hand_over(visit, "paste", PORTRAIT, SMALL)
    visit.done(2)
    for thumb, name in enumerate(("portrait.png", "small.jpg")):
        expect(visit.at("#strip .thumb").nth(thumb)).to_have_attribute("aria-label", f"{name}: cut out")


def test_folders_are_left_out(visit: Visit, tmp_path: Path) -> None:
    folder, photo = tmp_path / "album", tmp_path / "small.jpg"
    folder.mkdir()
    photo.write_bytes(SMALL["buffer"])
    dragging = {"items": [], "files": [str(folder), str(photo)], "dragOperationsMask": 1}
    session = visit.context.new_cdp_session(visit.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": dragging})
    expect(visit.at("#notice")).to_have_text("Folders are not opened. Choose the photos inside.")
    visit.done()
    expect(visit.at("#strip li")).to_have_count(1)


@pytest.mark.parametrize("kind", [pytest.param("paste"), pytest.param("drop")])
def test_an_address_by(kind: str, visit: Visit, site: str) -> None:
    hand_over(visit, kind, text=f"{site}/photo.png")
    visit.done()
    expect(visit.at("#strip .thumb")).to_have_attribute("aria-label", "photo.png: cut out")


def test_a_link(visit: Visit, site: str) -> None:
    """A page may not read other sites' pictures, so the service gives the photo, too: for the comparison."""
    visit.at("#link").click()
    expect(visit.at("#url")).to_be_focused()
    visit.at("#url").fill(f"{site}/photo.png")
    visit.page.keyboard.press("Enter")
    visit.done()
    shown = visit.at("canvas.photo").evaluate("canvas => canvas.toDataURL()")
    assert np.array_equal(pixels(base64.b64decode(shown.partition(",")[2]))[..., :3], astronaut())


def test_addresses_count_as_photos_do(visit: Visit, site: str) -> None:
    visit.add(*[SMALL] * 60)
    hand_over(visit, "paste", text=f"{site}/photo.png")
    expect(visit.at("#notice")).to_have_text("The page holds at most 60 photos at a time.")
    expect(visit.at("#strip li")).to_have_count(60)


def test_what_is_behind_a_link_is_fetched_once(visit: Visit, site: str) -> None:
    """Whatever it leads to a moment later, what is shown is what is cut."""
    sent: list[str] = []
    visit.page.on(
        "request",
        lambda each: (
            sent.append((each.post_data_buffer or b"").decode("latin-1"))
            if "/v1/cutouts" in each.url
            else None
        ),
    )
    hand_over(visit, "paste", text=f"{site}/photo.png")
    visit.done()
    asked = ["image_url" in body for body in sent]
    assert asked == [True, False]


def test_what_only_the_service_reads_is_compared_all_the_same(visit: Visit) -> None:
    """Here a JPEG that this browser is made to refuse, as others refuse HEIC."""
    visit.page.evaluate("""() => {
      const original = window.createImageBitmap;
      window.createImageBitmap = (blob, ...rest) =>
        blob.type === "image/jpeg" ? Promise.reject(new Error("no")) : original(blob, ...rest);
    }""")
    visit.add(SMALL)
    visit.done()
    expect(visit.at("#strip img")).to_have_attribute("src", re.compile("^blob:"))


def test_the_camera(visit: Visit) -> None:
    visit.at("#take").click()
    expect(visit.at("#shoot")).to_be_enabled()
    visit.shot("camera")
    visit.at("#shoot").click()
    visit.done()
    expect(visit.at("#strip .thumb")).to_have_attribute("aria-label", "camera.jpg: cut out")
    assert visit.at("#viewfinder").evaluate("video => video.srcObject") is None


def test_a_double_click_leaves_no_camera_on(visit: Visit) -> None:
    visit.page.evaluate("""() => {
      const {mediaDevices} = navigator, original = mediaDevices.getUserMedia.bind(mediaDevices);
      window.tracks = [];
      mediaDevices.getUserMedia = async (wanted) => {
        const stream = await original(wanted);
        tracks.push(...stream.getTracks());
        return stream;
      };
    }""")
    visit.at("#take").evaluate("button => { button.click(); button.click(); }")
    visit.at("#shoot").click()
    visit.done()
    assert set(visit.page.evaluate("tracks.map(({readyState}) => readyState)")) == {"ended"}


def test_a_phone_uses_its_own_camera(visiting: Visiting) -> None:
    visit = visiting(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    with visit.page.expect_file_chooser() as chooser:
        visit.at("#take").click()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(SMALL)
    visit.done()


@pytest.mark.parametrize("name", [pytest.param("astronaut"), pytest.param("cat"), pytest.param("coffee")])
def test_a_sample(name: str, visit: Visit) -> None:
    visit.at(f"[data-sample={name}]").click()
    visit.done()
    assert visit.page.evaluate("window.seen.shifts") == []


def test_what_is_no_picture_is_told(visit: Visit) -> None:
    hand_over(visit, "drop", upload(b"no picture", "a.txt"))
    expect(visit.at("#notice")).to_have_text("There was no picture in that.")
    expect(visit.at("#start")).to_be_visible()
