"""What the fetcher promises when nobody attacks it. tests/security/test_fetching.py has the rest."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from api.errors import DeadlineExceeded, SourceForbidden, SourceUnreachable
from api.source.fetch import FetchConfig, HttpFetcher
from model.deadline import Deadline
from tests.origin import PUBLIC, FakeDNS, LoopbackNetwork, ScriptedOrigin, redirect, reply

TLS = httpcore.default_ssl_context()  # costly to make, so made once
BODY = bytes(range(256)) * 40


def fetcher_for(origin: ScriptedOrigin, **settings: object) -> HttpFetcher:
    """Its img.example and other.example have public addresses that lead to `origin`."""
    names = {"img.example": [[PUBLIC]], "other.example": [["93.184.216.35"]]}
    config = FetchConfig(**settings)
    return HttpFetcher(config, resolve=FakeDNS(names), network=origin.network(), tls=TLS)


async def test_the_body_comes_back_whole() -> None:
    async with ScriptedOrigin({"/a.png": reply(BODY)}) as origin:
        assert (
            await fetcher_for(origin).fetch("http://img.example/a.png?x=1", deadline=Deadline.after(5))
            == BODY
        )
        assert origin.requests[0].startswith("GET /a.png?x=1 HTTP/1.1\r\nHost: img.example\r\n")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([reply(BODY, length=None)], id="until_the_connection_closes"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2800\r\n" + BODY + b"\r\n0\r\n\r\n"],
            id="chunked",
        ),
        pytest.param([b"HTTP/1.0 200 OK\r\n\r\n" + BODY], id="http_1_0"),
        pytest.param(
            [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", reply(BODY)], id="after_an_early_hint"
        ),
    ],
)
async def test_every_way_to_delimit_a_body(script: list[bytes]) -> None:
    async with ScriptedOrigin({"/": script}) as origin:
        assert await fetcher_for(origin).fetch("http://img.example/", deadline=Deadline.after(5)) == BODY


async def test_a_host_is_fetched_from_at_most_per_host_times_at_once() -> None:
    async with ScriptedOrigin({"/": [0.1, reply(b"ok")]}) as origin:
        fetcher = fetcher_for(origin, per_host=2)
        deadline = Deadline.after(5)
        await asyncio.gather(*(fetcher.fetch("http://img.example/", deadline=deadline) for _ in range(5)))
        assert (origin.connections, origin.busiest) == (5, 2)
        await asyncio.gather(
            *(fetcher.fetch(f"http://{n}.example/", deadline=deadline) for n in ("img", "other") * 2)
        )
        assert origin.busiest == 4


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    class HalfDeaf(LoopbackNetwork):
        async def connect_tcp(
            self, host: str, port: int, *args: object, **kw: object
        ) -> httpcore.AsyncNetworkStream:
            stream = await super().connect_tcp(host, port)
            if host == PUBLIC:
                await stream.aclose()
                raise httpcore.ConnectTimeout("nobody there")
            return stream

    async with ScriptedOrigin({"/": reply(BODY)}) as origin:
        network = HalfDeaf(origin.port)
        dns = FakeDNS({"img.example": [[PUBLIC, "93.184.216.35"]]})
        fetcher = HttpFetcher(resolve=dns, network=network)
        assert await fetcher.fetch("http://img.example/", deadline=Deadline.after(5)) == BODY
        assert [address for address, _ in network.dialled] == [PUBLIC, "93.184.216.35"]


async def test_a_lan_can_be_allowed_and_only_that() -> None:
    async with ScriptedOrigin({"/": reply(BODY), "/away": redirect("http://10.0.0.1/")}) as origin:
        fetcher = HttpFetcher(FetchConfig(allow_networks=("127.0.0.0/8",), ports=(origin.port, 80)))
        assert await fetcher.fetch(origin.url(), deadline=Deadline.after(5)) == BODY
        with pytest.raises(SourceForbidden):
            await fetcher.fetch(origin.url("/away"), deadline=Deadline.after(5))
        await fetcher.close()


async def test_the_requests_own_deadline_counts_when_it_is_nearer() -> None:
    async with ScriptedOrigin({"/": [5.0]}) as origin:
        with pytest.raises(DeadlineExceeded):
            await fetcher_for(origin).fetch("http://img.example/", deadline=Deadline.after(0.1))
        with pytest.raises(DeadlineExceeded):
            await fetcher_for(origin).fetch("http://img.example/", deadline=Deadline.after(0))


def certificate(folder: Path, name: str) -> Path:
    """A file with a key and a certificate that it has signed for `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return file


class TestTLS:
    async def test_the_judged_address_is_dialled_and_the_name_is_verified(self, tmp_path: Path) -> None:
        file = certificate(tmp_path, "img.example")
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(file)
        asked: list[str | None] = []

        def remember(sock: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            asked.append(name)

        server.sni_callback = remember
        client = ssl.create_default_context(cafile=str(file))
        async with ScriptedOrigin({"/": reply(BODY)}, tls=server) as origin:
            network = origin.network()
            names = {"img.example": [[PUBLIC]], "other.example": [[PUBLIC]]}
            fetcher = HttpFetcher(resolve=FakeDNS(names), network=network, tls=client)
            assert await fetcher.fetch("https://img.example/", deadline=Deadline.after(5)) == BODY
            assert network.dialled == [(PUBLIC, 443)]
            assert "Host: img.example\r\n" in origin.requests[0]
            with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await fetcher.fetch("https://other.example/", deadline=Deadline.after(5))
            assert asked == ["img.example", "other.example"]

    async def test_the_default_trusts_no_certificate_of_its_own_making(self, tmp_path: Path) -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate(tmp_path, "img.example"))
        async with ScriptedOrigin({"/": reply(BODY)}, tls=server) as origin:
            with pytest.raises(SourceUnreachable):
                await fetcher_for(origin).fetch("https://img.example/", deadline=Deadline.after(5))


async def test_nothing_is_left_open(recwarn: pytest.WarningsRecorder) -> None:
    async with ScriptedOrigin({"/": reply(BODY), "/slow": [5.0]}) as origin:
        fetcher = fetcher_for(origin, timeout=0.1)
        before = len(open_sockets())
        for path in ("/", "/slow", "/missing", "/"):
            fetching = fetcher.fetch(f"http://img.example{path}", deadline=Deadline.after(5))
            await asyncio.gather(fetching, return_exceptions=True)
        await asyncio.sleep(0.05)
        # What the origin still holds of the slow one is its own.
        assert len(open_sockets()) <= before + 1
    assert not recwarn.list


def open_sockets() -> list[str]:
    links = [path.readlink() if path.is_symlink() else path for path in Path("/proc/self/fd").iterdir()]
    return [str(link) for link in links if str(link).startswith("socket:")]


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param({"timeout": 0}, id="no_time"),
        pytest.param({"max_bytes": 0}, id="no_bytes"),
        pytest.param({"ports": (70_000,)}, id="no_such_port"),
        pytest.param({"ports": ()}, id="no_port"),
        pytest.param({"allow_networks": ("10.0.0.1/8",)}, id="host_bits_set"),
        pytest.param({"user_agent": "x\r\nX-Evil: 1"}, id="header_injection"),
        pytest.param({"timeuot": 5}, id="misspelt"),
    ],
)
def test_a_wrong_setting_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FetchConfig(**setting)


async def test_close_ends_the_resolvers_threads() -> None:
    fetcher = HttpFetcher()
    with pytest.raises((SourceForbidden, SourceUnreachable)):
        await fetcher.fetch(f"http://{socket.gethostname()}.invalid/", deadline=Deadline.after(5))
    await fetcher.close()
    with pytest.raises(RuntimeError):
        await fetcher.fetch("http://again.invalid/", deadline=Deadline.after(5))
