"""A browser, services, and visits."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.web.server import astronaut, encoded, serve, web
from tests.web.visit import Visit

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

Launch = Callable[..., Browser]
Visiting = Callable[..., Visit]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.web)
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="package")
def launch() -> Iterator[Launch]:
    """Starts a browser; its arguments are flags."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:

        def launch(*flags: str) -> Browser:
            return playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])

        yield launch


@pytest.fixture(scope="package")
def browser(launch: Launch) -> Iterator[Browser]:
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def site() -> Iterator[str]:
    """Somebody else's web site, with a photo."""
    with web({"/photo.png": encoded(astronaut()), "/page.html": b"<html>"}) as origin:
        yield origin


@pytest.fixture(scope="package")
def origin(tmp_path_factory: pytest.TempPathFactory, site: str) -> Iterator[str]:
    """A service for everybody, which may also download from that site."""
    folder, port = tmp_path_factory.mktemp("web"), urlsplit(site).port
    with serve(folder, FETCH__ALLOW_NETWORKS='["127.0.0.0/8"]', FETCH__PORTS=f"[80, {port}]") as running:
        yield running


@pytest.fixture
def visiting(browser: Browser, origin: str) -> Iterator[Visiting]:
    """Makes visits: of the service unless another origin is given, with options of a browser's context."""
    visits: list[Visit] = []

    def visit(at: str = origin, **options: Any) -> Visit:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB"} | options
        )
        context.grant_permissions(["clipboard-read", "clipboard-write", "camera"], origin=at)
        visits.append(Visit(context, at))
        return visits[-1]

    yield visit
    for each in visits:
        each.close()


@pytest.fixture
def visit(visiting: Visiting) -> Visit:
    """A visit with a mouse and a large screen."""
    return visiting()
