import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from api.errors import Forbidden
from api.storage.signing import MAX_LINK_SECONDS, UrlSigner, kept_key
from tests.contract.store import Clock

NOW = 1_800_000_000
PATH = "/v1/cutouts/" + "0" * 32 + ".png"
OLD, NEW = b"old key " * 4, b"new key " * 4


def signer(*keys: bytes, now: float = NOW) -> UrlSigner:
    return UrlSigner(keys or (NEW,), "https://cut.test", clock=Clock(now))


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def link(*keys: bytes, path: str = PATH, after: float = 60) -> dict[str, str]:
    return query_of(signer(*keys).sign(path, datetime.fromtimestamp(NOW + after, UTC)))


def test_signed_link_verifies() -> None:
    url = signer().sign(PATH, datetime.fromtimestamp(NOW + 60, UTC))
    assert url.startswith(f"https://cut.test{PATH}?expires={NOW + 60}&signature=")
    signer().verify(PATH, query_of(url))


def test_signature_is_hmac_sha256_of_method_path_and_expiry() -> None:
    # From openssl dgst -sha256 -hmac, then basenc --base64url.
    assert link(path="/p")["signature"] == "2ehmucZsLhtDQlrdJi-ecQI7UgEKOAZPJwHNEyDsXLw"


GOOD = link()
ALTERED = [
    pytest.param(PATH, {}, id="no query"),
    pytest.param(PATH, {"expires": GOOD["expires"]}, id="no signature"),
    pytest.param(PATH, {"signature": GOOD["signature"]}, id="no expiry"),
    pytest.param(PATH, GOOD | {"signature": ""}, id="empty signature"),
    pytest.param(PATH, GOOD | {"signature": GOOD["signature"][:-1]}, id="truncated"),
    pytest.param(PATH, GOOD | {"signature": GOOD["signature"] + "="}, id="padded"),
    pytest.param(PATH, GOOD | {"signature": GOOD["signature"] + "A"}, id="lengthened"),
    pytest.param(PATH, GOOD | {"signature": GOOD["signature"].swapcase()}, id="altered"),
    pytest.param(PATH, GOOD | {"signature": "é" * 43}, id="not ASCII"),
    pytest.param(PATH, GOOD | {"signature": "\udcff" * 43}, id="lone surrogates"),
    pytest.param(PATH, GOOD | {"expires": str(NOW + 61)}, id="later expiry"),
    pytest.param(PATH, GOOD | {"expires": "0" + GOOD["expires"]}, id="leading zero"),
    pytest.param(PATH, GOOD | {"expires": "+" + GOOD["expires"]}, id="plus sign"),
    pytest.param(PATH, GOOD | {"expires": " " + GOOD["expires"]}, id="blank"),
    pytest.param(PATH, GOOD | {"expires": GOOD["expires"] + "\n"}, id="newline"),
    pytest.param(PATH, GOOD | {"expires": "١٨٠٠٠٠٠٠٦٠"}, id="digits that are not ASCII"),
    pytest.param(PATH, GOOD | {"expires": "1.8e9"}, id="float"),
    pytest.param(PATH, GOOD | {"expires": "-1"}, id="negative"),
    pytest.param(PATH, GOOD | {"expires": "9" * 5000}, id="huge"),
    pytest.param(PATH.replace("0.png", "1.png"), GOOD, id="another object"),
    pytest.param(PATH + "/", GOOD, id="another path"),
    pytest.param(PATH, link(OLD), id="another key"),
    pytest.param(PATH, link(path="/other"), id="swapped signature"),
    pytest.param(PATH + f"\n{NOW + 60}", GOOD, id="expiry smuggled into the path"),
    pytest.param(PATH, link(after=0), id="expired now"),
    pytest.param(PATH, link(after=-1), id="expired"),
]


@pytest.mark.parametrize(("path", "query"), ALTERED)
def test_altered_or_expired_link_is_forbidden(path: str, query: dict[str, str]) -> None:
    with pytest.raises(Forbidden) as refused:
        signer().verify(path, query)
    assert (refused.value.status, refused.value.code) == (403, "bad_signature")
    assert refused.value.public == Forbidden.title  # never says which of the reasons it was


def test_old_links_outlive_a_rotation_and_the_first_key_signs() -> None:
    signer(NEW, OLD).verify(PATH, link(OLD))
    signer(NEW, OLD).verify(PATH, link(NEW))
    assert link(NEW, OLD) == link(NEW)


def test_a_week_is_the_limit() -> None:
    link(after=MAX_LINK_SECONDS)
    with pytest.raises(ValueError, match="7 days"):
        link(after=MAX_LINK_SECONDS + 1)


@pytest.mark.parametrize("keys", [pytest.param([], id="none"), pytest.param([NEW, b""], id="an empty one")])
def test_signer_without_a_key_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="at least one key"):
        UrlSigner(keys, "https://cut.test")


def test_kept_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "signing-key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(kept_key, [path] * 8))
    assert len(keys) == 1
    assert len(keys.pop()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_key(path) == path.read_bytes()
    assert kept_key(tmp_path / "another") != kept_key(path)


def test_key_that_a_crash_cut_short_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "signing-key"
    path.write_bytes(b"half")
    assert len(kept_key(path)) == 64
    assert kept_key(path) == path.read_bytes()
