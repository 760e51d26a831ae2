"""The page, as far as it shows without a browser: tests/web has the rest."""

import gzip
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import PurePosixPath

import httpx
import pytest

from api import problems
from api.routes.page import Asset, assets
from model.registry import REGISTRY
from tests.service import serving

ASSETS = {asset.path: asset for asset in assets()}
SCRIPTS = {path: asset.body.decode() for path, asset in ASSETS.items() if path.endswith(".js")}
PAGES = {path: asset.body.decode() for path, asset in ASSETS.items() if asset.media_type == "text/html"}
HTML = PAGES[""]
LANGUAGES = ("de", "en")
MOST_BYTES = 150_000


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self.words: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.links.append(value)
            if name in ("data-word", "data-label", "data-title") and value:
                self.words.add(value)
            if name == "style" or name.startswith("on") or (tag == "script" and not dict(attrs).get("src")):
                self.inline.append(name)


PAGE = _Page(HTML)
PHONE = _Page(PAGES["phone.html"])


def words(language: str) -> dict[str, str]:
    """Every key and text of a language."""
    found = re.findall(
        r'^  "([\w.-]+)":\s+"((?:[^"\\]|\\.)*)",$', SCRIPTS[f"words/{language}.js"], re.MULTILINE
    )
    assert len(found) == SCRIPTS[f"words/{language}.js"].count('":')
    return dict(found)


def referenced(path: str) -> Iterator[str]:
    """What a file of the page asks the browser for, as paths below `/`."""
    text = ASSETS[path].body.decode() if ASSETS[path].packed else ""
    if path.endswith(".js"):
        found = re.findall(r'from "(\./[^"]+)"', text)
    elif path.endswith(".css"):
        found = re.findall(r'url\("([^"]+)"\)', text)
    else:
        found = {"": PAGE.links, "phone.html": PHONE.links}.get(path, [])
    folder = PurePosixPath(path).parent
    for link in found:
        if not link.startswith("#"):
            yield str(folder / link)


@pytest.mark.parametrize("asset", ASSETS.values(), ids=lambda asset: asset.path or "index")
async def test_every_file_is_served_packed_and_known_again(asset: Asset) -> None:
    async with serving() as served:
        plain = await served.http.get(f"/{asset.path}", headers={"Accept-Encoding": "identity"})
        assert plain.status_code == 200
        assert plain.content == asset.body
        assert plain.headers["content-type"].partition(";")[0] == asset.media_type
        for name, value in (
            ("cache-control", "no-cache"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("vary", "Accept-Encoding"),
        ):
            assert plain.headers[name] == value
        policy = plain.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        async with served.http.stream("GET", f"/{asset.path}", headers={"Accept-Encoding": "gzip"}) as packed:
            raw = b"".join([piece async for piece in packed.aiter_raw()])
            assert (packed.headers.get("content-encoding") == "gzip") == (asset.packed is not None)
            assert (gzip.decompress(raw) if asset.packed else raw) == asset.body
        again = await served.http.get(f"/{asset.path}", headers={"If-None-Match": plain.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == plain.headers["etag"]
        changed = await served.http.get(f"/{asset.path}", headers={"If-None-Match": 'W/"another"'})
        assert changed.status_code == 200


def test_every_reference_leads_to_a_file_and_every_file_is_used() -> None:
    asked = {path: list(referenced(path)) for path in ASSETS}
    routes = {"docs", "."}
    missing = {each for links in asked.values() for each in links} - ASSETS.keys() - routes
    assert missing == set()
    samples = {f"samples/{name}.jpg" for name in re.findall(r'data-sample="(\w+)"', HTML)}
    used = {each for links in asked.values() for each in links} | samples
    others = {"reference.css", "phone.html"}  # of /docs and /errors; a QR code leads there
    assert ASSETS.keys() - used - {""} - others == set()


def test_every_module_is_loaded_at_once() -> None:
    """None is found only after another one has been read."""
    assert {*PAGE.links, *PHONE.links} >= SCRIPTS.keys()
    for page in (PAGE, PHONE):
        scripts = {link for link in page.links if link.endswith(".js")}
        assert {each for script in scripts for each in referenced(script)} <= scripts


def test_nothing_is_inline_and_nothing_from_elsewhere() -> None:
    assert PAGE.inline == PHONE.inline == []
    for path, asset in ASSETS.items():
        if asset.packed:
            links = re.findall(r"https?://[^\s\"'<>)]*", asset.body.decode())
            assert set(links) <= {"http://www.w3.org/2000/svg", "https://"}, path


def test_it_is_small() -> None:
    first = {"", *PAGE.links, "handle.svg"} & ASSETS.keys()
    assert sum(len(ASSETS[path].packed or ASSETS[path].body) for path in first) < MOST_BYTES


def test_no_script_makes_code_or_markup_of_text() -> None:
    for path, text in SCRIPTS.items():
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_complete(language: str) -> None:
    have = words(language)
    wanted = (
        PAGE.words
        | PHONE.words
        | {f"error.{kind.code}{end}" for kind in problems.kinds() for end in ("", ".help")}
    )
    wanted |= {f"model.{name}" for name in REGISTRY}
    named = {
        key
        for path, text in SCRIPTS.items()
        if not path.startswith("words/")
        for key in re.findall(r'"([a-z]+\.[a-z.-]+)"', text)
        if not key.endswith((".js", ".jpg", ".png", ".zip", ".key", ".language"))
    }
    plural = {key for key in wanted | named if f"{key}.other" in have}
    assert (wanted | named) - plural - have.keys() == set()
    assert {f"{key}.one" for key in plural} <= have.keys()
    assert all(text.strip() for text in have.values())


def test_languages_say_the_same_things() -> None:
    german, english = words("de"), words("en")
    assert list(german) == list(english)
    for key, text in english.items():
        assert set(re.findall(r"\{(\w+)\}", german[key])) == set(re.findall(r"\{(\w+)\}", text)), key


async def test_head_and_a_browser_s_own_questions() -> None:
    async with serving() as served:
        answer = await served.http.head("/")
        assert answer.status_code == httpx.codes.OK
        assert answer.content == b""
        assert (await served.http.get("/samples/nothing.jpg")).status_code == 404
        assert (await served.http.get("/words/../page.py")).status_code == 404
