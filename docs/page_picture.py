"""Makes the picture of the page, in Chromium, from the running service: python -m docs.page_picture"""

import shutil
import tempfile
from pathlib import Path

import cv2
from playwright.sync_api import expect, sync_playwright
from skimage import data

from deploy.demo import say, service

TARGET = Path(__file__).parent / "images" / "page.jpg"
SECONDS = 120.0
SIZE = (1280, 800)
"""px: width and height of the window."""


def main() -> None:
    """Writes page.jpg: three of scikit-image's photographs, one half before and half after."""
    chromium = shutil.which("chromium")
    if chromium is None:
        say("no Chromium on this machine: the picture of the page stays as it is")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder)) as origin,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, locale="en-GB")
        page.goto(origin)
        for name in ("astronaut", "chelsea", "coffee"):
            png = cv2.imencode(".png", getattr(data, name)()[..., ::-1])[1].tobytes()
            page.set_input_files("#files", {"name": f"{name}.png", "mimeType": "image/png", "buffer": png})
        done = page.locator('#strip li[data-state="done"]')
        expect(done).to_have_count(3, timeout=SECONDS * 1000)
        page.locator("#strip .thumb").first.click()
        expect(page.locator("#download")).to_be_enabled()
        expect(page.locator("#split")).to_have_value("0")
        page.locator("#split").fill("430")
        page.locator("#download").hover()
        page.screenshot(path=TARGET, type="jpeg", quality=82)
        browser.close()


if __name__ == "__main__":
    main()
