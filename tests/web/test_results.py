"""What leaves the page."""

import base64
import io
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.web.conftest import Visiting
from tests.web.server import ask, astronaut, encoded, pixels
from tests.web.test_editor import HIDDEN, PORTRAIT, apart
from tests.web.test_editor import portrait as portrait
from tests.web.visit import Visit, upload

BASH = shutil.which("bash") or "/bin/bash"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")


def clipboard(visit: Visit) -> str:
    return str(visit.page.evaluate("navigator.clipboard.readText()"))


def test_png_is_the_service_s_own(portrait: Visit) -> None:
    assert portrait.download() == ("portrait-cutout.png", ask(portrait.origin, PORTRAIT, format="png"))


def test_webp_keeps_transparency(portrait: Visit) -> None:
    portrait.choose("format", "webp")
    name, file = portrait.download()
    assert (name, file[8:12]) == ("portrait-cutout.webp", b"WEBP")
    served = pixels(ask(portrait.origin, PORTRAIT, format="png"))
    assert apart(pixels(file)[..., 3], served[..., 3]) < 1


def test_jpeg_lies_over_white(portrait: Visit) -> None:
    portrait.choose("format", "jpeg")
    name, file = portrait.download()
    assert name == "portrait-cutout.jpg"
    assert pixels(file)[HIDDEN[1], HIDDEN[0]].tolist() == [255, 255, 255]


def test_zip_holds_colour_and_matte(portrait: Visit) -> None:
    portrait.choose("background", "colour")
    portrait.choose("format", "zip")
    assert "conic-gradient" in portrait.style(".paper", "background-image")  # it knows no background
    name, file = portrait.download()
    assert name == "portrait-cutout.zip"
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["color.jpg", "alpha.png"]
        colour, alpha = pixels(archive.read("color.jpg")), pixels(archive.read("alpha.png"))
    assert np.array_equal(alpha, pixels(ask(portrait.origin, PORTRAIT, format="png"))[..., 3])
    assert apart(colour[alpha == 255], astronaut()[alpha == 255]) < 5


def test_all_in_one_zip(portrait: Visit) -> None:
    expect(portrait.at("#download-all")).to_be_hidden()
    portrait.add()
    portrait.add(name="other.png")
    portrait.done(3)
    expect(portrait.at("#download-all")).to_have_text("Download all 3 as ZIP")
    name, file = portrait.download("#download-all")
    assert name == "cutouts.zip"
    served = ask(portrait.origin, PORTRAIT, format="png")
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["portrait-cutout.png", "portrait-cutout-2.png", "other-cutout.png"]
        assert all(archive.read(each) == served for each in archive.namelist())


@pytest.mark.parametrize("button", [pytest.param("#download"), pytest.param("#download-all")])
def test_files_are_as_was_wished_at_the_click(button: str, portrait: Visit) -> None:
    portrait.add(name="other.png")
    portrait.done(2)
    portrait.choose("format", "webp")
    portrait.page.evaluate("""() => {
      const {prototype} = HTMLCanvasElement, original = prototype.toBlob;
      const held = new Promise((resolve) => (window.release = resolve));
      prototype.toBlob = function (...given) { held.then(() => original.apply(this, given)); };
    }""")
    with portrait.page.expect_download() as waiting:
        portrait.at(button).click()
        portrait.choose("format", "jpeg")
        portrait.page.evaluate("release()")
    name, file = waiting.value.suggested_filename, waiting.value.path()
    names = zipfile.ZipFile(file).namelist() if name == "cutouts.zip" else [name]
    assert {each.rpartition(".")[2] for each in names} == {"webp"}


def test_copying_the_picture(portrait: Visit) -> None:
    portrait.at("#copy-picture").click()
    expect(portrait.at("#notice")).to_have_text("Copied. Paste it where you like.")
    text = portrait.page.evaluate("""async () => {
      const [item] = await navigator.clipboard.read();
      const bytes = new Uint8Array(await (await item.getType("image/png")).arrayBuffer());
      return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
    }""")
    copied, served = pixels(base64.b64decode(text)), pixels(ask(portrait.origin, PORTRAIT, format="png"))
    assert np.array_equal(copied[..., 3], served[..., 3])


def test_copying_the_link(portrait: Visit) -> None:
    portrait.choose("background", "colour")
    portrait.at("#colour").fill("#336699")
    portrait.page.get_by_role("switch").check()
    portrait.at("#copy-link").click()
    expect(portrait.at("#notice")).to_have_text(re.compile(r"Link copied\. It works until .*20\d\d"))
    answer = httpx.get(clipboard(portrait)).raise_for_status()
    assert answer.content == ask(portrait.origin, PORTRAIT, background="#336699", crop="true", format="png")


def test_a_link_of_a_picture_behind(portrait: Visit) -> None:
    sky = upload(encoded(astronaut()[::4, ::-4]), "sky.png")
    with portrait.page.expect_file_chooser() as chooser:
        portrait.choose("background", "picture")
    chooser.value.set_files(sky)
    portrait.at("#copy-link").click()
    expect(portrait.at("#notice")).to_contain_text("Link copied")
    behind = {"background_image": encoded(astronaut()[::4, ::-4])}
    assert httpx.get(clipboard(portrait)).content == ask(portrait.origin, PORTRAIT, behind, format="png")


@needs_curl
def test_the_command_asks_for_the_same(portrait: Visit, tmp_path: Path) -> None:
    portrait.choose("background", "blur")
    portrait.page.get_by_role("switch").check()
    portrait.at('input[name="margin"]').fill("12")
    portrait.choose("edges", "sharp")
    portrait.choose("format", "webp")
    portrait.done()
    portrait.at("#copy-curl").click()
    expect(portrait.at("#notice")).to_contain_text("Command copied")
    (tmp_path / "portrait.png").write_bytes(PORTRAIT)
    subprocess.run([BASH, "-c", clipboard(portrait)], cwd=tmp_path, check=True, timeout=60)
    look = {"background": "blur", "crop": "true", "crop_margin": "12"}
    given = ask(portrait.origin, PORTRAIT, None, **look, edges="sharp", format="webp")
    assert (tmp_path / "portrait-cutout.webp").read_bytes() == given


@needs_curl
@pytest.mark.parametrize(
    "name", [pytest.param("it's $HOME; `id`.png", id="shell"), pytest.param('a "b" \\ ,;c.png', id="curl")]
)
def test_the_command_stands_any_name(name: str, visit: Visit, tmp_path: Path) -> None:
    visit.add(name=name)
    visit.done()
    visit.at("#copy-curl").click()
    expect(visit.at("#notice")).to_contain_text("Command copied")
    (tmp_path / name).write_bytes(PORTRAIT)
    subprocess.run([BASH, "-c", clipboard(visit)], cwd=tmp_path, check=True, timeout=60)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_of_a_link(visit: Visit, site: str) -> None:
    visit.at("#link").click()
    visit.at("#url").fill(f"{site}/photo.png")
    visit.page.keyboard.press("Enter")
    visit.done()
    visit.at("#copy-curl").click()
    expect(visit.at("#notice")).to_contain_text("Command copied")
    assert f"image_url={site}/photo.png" in clipboard(visit)


def test_links_and_commands_say_that_touch_ups_stay_here(portrait: Visit) -> None:
    portrait.choose("tool", "keep")
    portrait.page.mouse.click(*portrait.where(*HIDDEN))
    for button in ("#copy-curl", "#copy-link"):
        portrait.at(button).click()
        expect(portrait.at("#notice")).to_contain_text("Touch-ups are not in it")


def test_where_the_browser_does_not_let_a_page_copy(visiting: Visiting) -> None:
    """As over plain HTTP in one's own network."""
    visit = visiting()
    visit.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    visit.page.reload()
    visit.add()
    visit.done()
    visit.at("#copy-curl").click()
    expect(visit.page.get_by_role("dialog", name="Copy this")).to_be_visible()
    expect(visit.at("#text")).to_have_value(re.compile(r"^curl .*portrait\.png.*v1/cutouts", re.DOTALL))
    visit.shot("copy-by-hand")
    visit.page.get_by_role("button", name="Close").click()
    visit.at("#copy-picture").click()
    expect(visit.at("#notice")).to_contain_text("does not let the page copy")
