"""One visit to the page, as a person has it: what was seen, and what a browser would complain of."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, ConsoleMessage, FilePayload, Locator, Page, Request, expect

from tests.web.server import astronaut, encoded

PICTURES = Path(__file__).parents[2] / "web-screenshots"
SECONDS = 60.0
"""That anything may take, on a machine that is busy with others."""
expect.set_options(timeout=SECONDS * 1000)
WATCH = """
window.seen = {shifts: [], ready: null};
new PerformanceObserver((list) => {
  for (const {hadRecentInput, value, sources} of list.getEntries()) {
    const moved = sources.map(({node}) => node?.id || node?.className || node?.nodeName);
    if (!hadRecentInput) window.seen.shifts.push([value, ...moved]);
  }
}).observe({type: "layout-shift", buffered: true});
new MutationObserver((_, observer) => {
  if (document.documentElement?.dataset.ready === undefined) return;
  window.seen.ready = performance.now();
  observer.disconnect();
}).observe(document, {attributes: true, subtree: true, attributeFilter: ["data-ready"]});
"""


def upload(body: bytes, name: str) -> FilePayload:
    """A file as a browser takes it."""
    kinds = {"png": "image/png", "jpg": "image/jpeg", "txt": "text/plain"}
    return {"name": name, "mimeType": kinds[name.rpartition(".")[2]], "buffer": body}


@dataclass
class Visit:
    """context: fresh, with nothing remembered. origin: of the service. path: of the page that is visited."""

    context: BrowserContext
    origin: str
    path: str = "/"
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.add_init_script(WATCH)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error} {error.stack}"))
        self.page.on("request", self._request)
        self.page.goto(self.origin + self.path)
        expect(self.at("html[data-ready]")).to_have_count(1)

    def at(self, selector: str) -> Locator:
        """The elements of a CSS selector."""
        return self.page.locator(selector)

    def add(self, *files: FilePayload, name: str = "portrait.png") -> None:
        """Chooses files; without any, a portrait."""
        given = files or (upload(encoded(astronaut()), name),)
        self.at("#files").set_input_files(list(given))

    def done(self, count: int = 1) -> None:
        """Waits until so many photos are cut out and the one on the stage can be saved."""
        expect(self.at('#strip li[data-state="done"]')).to_have_count(count)
        expect(self.at("#download")).to_be_enabled(timeout=SECONDS * 1000)
        expect(self.at("#split")).to_have_value("0")  # the reveal is over

    def choose(self, name: str, value: str) -> None:
        """A radio button, by its label, as a mouse does."""
        self.at(f'label:has(input[name="{name}"][value="{value}"])').click()

    def download(self, button: str = "#download") -> tuple[str, bytes]:
        """The name and bytes of the file that a click saves."""
        with self.page.expect_download(timeout=SECONDS * 1000) as waiting:
            self.at(button).click()
        path = waiting.value.path()
        return waiting.value.suggested_filename, path.read_bytes()

    def stage(self, x: float, y: float) -> tuple[float, float]:
        """Where, in the window, a point of the stage is; shares of its width and height."""
        box = self.at("#stage").bounding_box()
        assert box
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def where(self, x: float, y: float) -> tuple[float, float]:
        """Where, in the window, a pixel of the photo is, as long as the picture is not cropped."""
        box = self.at("#stage").bounding_box()
        assert box
        left, top, scale = (
            float(self.style("#stage", f"--{n}").removesuffix("px")) for n in ("x", "y", "scale")
        )
        return box["x"] + left + x * scale, box["y"] + top + y * scale

    def drag(self, *points: tuple[float, float]) -> None:
        """With the mouse, along points of the window."""
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point, steps=6)
        self.page.mouse.up()

    def style(self, selector: str, name: str) -> str:
        """A computed style of an element."""
        script = "(element, name) => getComputedStyle(element).getPropertyValue(name)"
        return str(self.at(selector).evaluate(script, name)).strip()

    def shot(self, name: str) -> None:
        """Keeps a picture of what is seen."""
        PICTURES.mkdir(exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")

    def close(self) -> None:
        """Fails for everything that the browser complained of and the test did not expect."""
        self.context.close()
        left = [each for each in self.complaints if not any(re.search(p, each) for p in self.expected)]
        assert left == []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "blob:", "data:")):
            self.complaints.append(f"a request elsewhere: {request.url}")
