"""Photoshop's protocol, against a server that derives nothing: it knows a password's key by heart."""

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import cv2
import numpy as np
import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from api.paste.photoshop import Photoshop
from api.paste.types import Paste, PasteFailed
from api.types import Picture

PASSWORD = "Swordfish"
KEY = bytes.fromhex("e44a93c04d79bf2e937191a63dbdde05bb15c2011498e1fb")
"""Of PASSWORD, as the examples of Adobe's SDK have it."""
CIPHER = Cipher(TripleDES(KEY), modes.CBC(bytes.fromhex("000000005d260000")))

Answer = Callable[[int, str, asyncio.StreamWriter], Awaitable[None]]


def message(transaction: int, kind: int, text: bytes, version: int = 1) -> bytes:
    plain = struct.pack(">3I", version, transaction, kind) + text
    padding = 8 - len(plain) % 8
    encryptor = CIPHER.encryptor()
    encrypted = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    return struct.pack(">2I", len(encrypted) + 4, 0) + encrypted


@asynccontextmanager
async def serving(answer: Answer, asked: list[str] | None = None) -> AsyncIterator[int]:
    """A port where one question is read, noted, and answered."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length, status = struct.unpack(">2I", await reader.readexactly(8))
        encrypted = await reader.readexactly(length - 4)
        decryptor = CIPHER.decryptor()
        plain = decryptor.update(encrypted) + decryptor.finalize()
        version, transaction, kind = struct.unpack(">3I", plain[:12])
        assert (status, version, kind) == (0, 1, 2)
        script = plain[12 : -plain[-1]].decode()
        if asked is not None:
            asked.append(script)
        await answer(transaction, script, writer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def saying(*kinds_and_texts: tuple[int, str]) -> Answer:
    async def answer(transaction: int, _: str, writer: asyncio.StreamWriter) -> None:
        for kind, text in kinds_and_texts:
            writer.write(message(transaction, kind, text.encode()))

    return answer


def raw(data: bytes) -> Answer:
    async def answer(_: int, __: str, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


async def test_a_script_and_its_result() -> None:
    asked: list[str] = []
    async with serving(saying((2, "größer")), asked) as port:
        assert await Photoshop(PASSWORD, port=port).run("'ä' + 1") == "größer"
    assert asked == ["'ä' + 1"]


async def test_what_is_not_the_answer_is_passed_over() -> None:
    async def answer(transaction: int, _: str, writer: asyncio.StreamWriter) -> None:
        writer.write(message(transaction + 7, 2, b"of another question"))
        writer.write(message(transaction, 6, b""))  # a sign of life
        whole = message(transaction, 2, b"at last")
        writer.write(whole[:11])  # in pieces
        await writer.drain()
        writer.write(whole[11:])

    async with serving(answer) as port:
        assert await Photoshop(PASSWORD, port=port).run("1") == "at last"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(saying((1, "no document is open")), "no document is open", id="the script's error"),
        pytest.param(raw(struct.pack(">2I", 4, 5)), "status 5.*password", id="a status"),
        pytest.param(raw(b""), "closed the connection", id="nothing"),
        pytest.param(raw(b"\0\0\0\x0c\0\0\0\0abc"), "closed the connection", id="half a message"),
        pytest.param(raw(b"\0\0\0\x0c\0\0\0\0abcdefgh"), "password", id="another key"),
        pytest.param(raw(b"\0\0\0\x0b\0\0\0\0abcdefg"), "password", id="not whole blocks"),
        pytest.param(raw(b"\xff" * 8), "not of its protocol", id="an endless message"),
        pytest.param(raw(b"\0\0\0\1\0\0\0\0"), "not of its protocol", id="a length below its own"),
        pytest.param(raw(message(1, 2, b"", version=2)), "version 2", id="another version"),
    ],
)
async def test_what_goes_wrong_is_told(answer: Answer, reason: str) -> None:
    async with serving(answer) as port:
        with pytest.raises(PasteFailed, match=reason):
            await Photoshop(PASSWORD, port=port).run("1")


async def test_nobody_there(unused_tcp_port: int) -> None:
    with pytest.raises(PasteFailed, match="cannot be reached"):
        await Photoshop(PASSWORD, port=unused_tcp_port).run("1")


async def test_a_paste_carries_the_picture_and_its_place() -> None:
    asked: list[str] = []
    picture = Picture(np.full((20, 30, 3), 9, np.uint8))
    async with serving(saying((2, "pasted")), asked) as port:
        photoshop = Photoshop(PASSWORD, port=port, origin=(100, 50), zoom=2)
        assert await photoshop.paste(Paste(b"", picture, 300, 250, (400, 300))) == "Photoshop"
    png = re.search(r'hex = "([0-9a-f]+)"', asked[0])
    assert png is not None
    sent = cv2.imdecode(np.frombuffer(bytes.fromhex(png[1]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert sent is not None
    assert sent.shape == (20, 30, 4)
    assert re.findall(r"([\d.]+) - \(box", asked[0]) == ["100.00", "100.00"]
