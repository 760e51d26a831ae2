"""Nothing that is not public is reached, by any address, spelling, detour or contract: no socket is opened.

The fetcher resolves, judges and dials as in production; the network records every address it is asked for.
"""

from pathlib import Path
from typing import Any

import pytest

from api.errors import InvalidOptions, SourceForbidden, SourceUnreachable
from api.source.fetch import FetchConfig, HttpFetcher
from model.deadline import Deadline
from tests.api.routes.accepted import ended, made
from tests.api.source.test_netguard import BAD_URLS, NAMED, RANGES
from tests.fakes import photo
from tests.origin import PUBLIC, FakeDNS, LoopbackNetwork, ScriptedOrigin, redirect
from tests.service import serving

ADDRESSES = sorted({first for _, _, first, _, _ in RANGES} | {last for _, _, _, last, _ in RANGES}) + [
    address for address, _, _ in NAMED
]
SPELLINGS = {name: url for url, name in BAD_URLS if name != "too_long"} | {
    "dword": "http://2130706433/",
    "hex": "http://0x7f000001/",
    "short": "http://127.1/",
    "octal_parts": "http://0177.0.0.01/",
    "hex_parts": "http://0x7f.0.0.1/",
    "zero": "http://0/",
    "localhost": "http://localhost/",
    "localhost_dot": "http://localhost./",
    "upper_case": "HTTP://LOCALHOST/",
    "mapped": "http://[::ffff:127.0.0.1]/",
    "mapped_hex": "http://[::ffff:7f00:1]/",
    "long_ipv6": "http://[0:0:0:0:0:0:0:1]/",
    "ideographic_dots": "http://127。0。0。1/",
    "credentials_before_loopback": "http://img.example@127.0.0.1/",
    "fragment": "http://127.0.0.1#@img.example/",
    "query": "http://127.0.0.1?@img.example/",
}
BACK = {"localhost": [["127.0.0.1"]], "localhost.": [["127.0.0.1"]]}
"""What a system's resolver says of names; of numbers it says what they spell."""
NUMBERS = ("2130706433", "0x7f000001", "127.1", "0177.0.0.01", "0x7f.0.0.1", "0")


def literal(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


def guarded(network: LoopbackNetwork, names: dict[str, list[list[str]]]) -> HttpFetcher:
    public = {"img.example": [[PUBLIC]]}
    numbers = {number: [["127.0.0.1"]] for number in NUMBERS}
    return HttpFetcher(FetchConfig(), resolve=FakeDNS(public | BACK | numbers | names), network=network)


def test_there_are_as_many_as_we_say() -> None:
    assert len(set(ADDRESSES)) >= 60
    assert len(SPELLINGS) >= 20


@pytest.mark.parametrize("address", ADDRESSES)
async def test_no_address_is_reached(address: str) -> None:
    """As a literal, as a name's answer, after a public answer of the same name, and behind a redirect."""
    async with ScriptedOrigin(
        {"/to-it": redirect(literal(address)), "/to-its-name": redirect("http://evil.example/")}
    ) as origin:
        network = origin.network()
        fetcher = guarded(network, {"evil.example": [[address]], "rebound.example": [[PUBLIC], [address]]})
        for url in (literal(address), "http://evil.example/"):
            with pytest.raises((SourceForbidden, InvalidOptions)):
                await fetcher.fetch(url, deadline=Deadline.after(5))
        assert (network.dialled, origin.connections) == ([], 0)
        for url in ("http://img.example/to-it", "http://img.example/to-its-name"):
            with pytest.raises(SourceForbidden):
                await fetcher.fetch(url, deadline=Deadline.after(5))
        with pytest.raises(SourceUnreachable):  # the first answer is public, and has nothing here
            await fetcher.fetch("http://rebound.example/", deadline=Deadline.after(5))
        with pytest.raises(SourceForbidden):
            await fetcher.fetch("http://rebound.example/", deadline=Deadline.after(5))
        assert network.dialled == [(PUBLIC, 80)] * 3


@pytest.mark.parametrize("url", [pytest.param(url, id=name) for name, url in SPELLINGS.items()])
async def test_no_spelling_is_reached(url: str) -> None:
    async with ScriptedOrigin({"/": photo()}) as origin:
        network = origin.network()
        with pytest.raises((SourceForbidden, InvalidOptions)):
            await guarded(network, {}).fetch(url, deadline=Deadline.after(5))
        assert (network.dialled, origin.connections) == ([], 0)


EVIL = "http://evil.example/"
FILE = ("a.jpg", photo())


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"url": "/v1/cutouts", "json": {"image_url": EVIL}}, id="native"),
        pytest.param(
            {"url": "/v1/cutouts", "files": {"image": FILE}, "data": {"background_image_url": EVIL}},
            id="native background",
        ),
        pytest.param({"url": "/remove", "data": {"image_url": EVIL}}, id="original"),
        pytest.param({"method": "GET", "url": "/api/remove", "params": {"url": EVIL}}, id="rembg"),
        pytest.param({"url": "/v1.0/removebg", "data": {"image_url": EVIL}}, id="remove.bg"),
        pytest.param(
            {"url": "/v1.0/removebg", "files": {"image_file": FILE}, "data": {"bg_image_url": EVIL}},
            id="remove.bg background",
        ),
        pytest.param({"url": "/v1.0/improve", "data": {"image_url": EVIL}}, id="remove.bg improve"),
    ],
)
async def test_no_contract_is_a_way_around(request_: dict[str, Any]) -> None:
    async with ScriptedOrigin() as origin:
        network = origin.network()
        fetcher = guarded(network, {"evil.example": [["169.254.169.254"]]})
        async with serving(fetcher=fetcher) as served:
            answer = await served.http.request(**{"method": "POST"} | request_)
            assert answer.status_code in (200, 400, 422)
            assert "image_url" not in answer.json().get("response", {})
            assert "169.254" not in answer.text
        assert (network.dialled, origin.connections) == ([], 0)


async def test_nor_is_a_job(tmp_path: Path) -> None:
    async with ScriptedOrigin() as origin:
        network = origin.network()
        fetcher = guarded(network, {"evil.example": [["169.254.169.254"]]})
        async with serving({"data_dir": tmp_path}, fetcher=fetcher) as served:
            job = await ended(served.http, (await made(served.http, json={"image_urls": [EVIL]}))["id"])
            assert (job["status"], job["items"][0]["error"]["code"]) == ("failed", "source_forbidden")
        assert (network.dialled, origin.connections) == ([], 0)
