"""Photoshop's remote connection, as Adobe's Photoshop Connection SDK documents it.

One TCP connection to port 49494. A message, big-endian, is

    length       4 bytes  of all that follows
    status       4 bytes  0, or why this side did not understand; then nothing is encrypted
    encrypted:
      version      4 bytes  1
      transaction  4 bytes  an answer has its question's
      type         4 bytes  1 error, 2 JavaScript; others are not used here
      content               UTF-8 text

The cipher is Triple DES in CBC mode with PKCS padding; its key is PBKDF2-HMAC-SHA1 of the password with the
salt "Adobe Photoshop", 1000 rounds, 24 bytes. By today's measure that protects little: for one's own network.
"""

import asyncio
import hashlib
import struct
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

from api.paste.targets import subject_of
from api.paste.types import Paste, PasteFailed
from postprocess.encode import encode

PORT = 49494
ERROR, JAVASCRIPT = 1, 2
_VERSION = 1
_SALT, _ROUNDS, _KEY_BYTES = b"Adobe Photoshop", 1000, 24
_IV = bytes.fromhex("000000005d260000")
_BLOCK_BITS = 64
_LONGEST = 16 << 20  # bytes of an answer
_SECONDS = 20.0

_SCRIPT = """(function () {
    if (!documents.length) { throw new Error("no document is open"); }
    var target = activeDocument, units = preferences.rulerUnits;
    var file = new File(Folder.temp + "/objectcut-paste.png");
    var hex = "%(hex)s", bytes = [];
    for (var i = 0; i < hex.length; i += 2) {
        bytes.push(String.fromCharCode(parseInt(hex.substr(i, 2), 16)));
    }
    file.encoding = "BINARY";
    if (!file.open("w")) { throw new Error("cannot write " + file.fsName); }
    file.write(bytes.join(""));
    file.close();
    preferences.rulerUnits = Units.PIXELS;
    try {
        var source = app.open(file);
        source.activeLayer.duplicate(target, ElementPlacement.PLACEATBEGINNING);
        source.close(SaveOptions.DONOTSAVECHANGES);
        activeDocument = target;
        var layer = target.layers[0], box = layer.bounds;
        layer.translate(
            %(x).2f - (box[0].as("px") + box[2].as("px")) / 2,
            %(y).2f - (box[1].as("px") + box[3].as("px")) / 2
        );
    } finally {
        preferences.rulerUnits = units;
        file.remove();
    }
    return "pasted";
})()"""


@dataclass(frozen=True, slots=True)
class Message:
    """kind: ERROR, JAVASCRIPT, or one of those that are not used here. content: bytes of UTF-8 text."""

    transaction: int
    kind: int
    content: bytes


class Wire:
    """Messages as bytes, under one password."""

    def __init__(self, password: str) -> None:
        key = hashlib.pbkdf2_hmac("sha1", password.encode(), _SALT, _ROUNDS, _KEY_BYTES)
        self._cipher = Cipher(TripleDES(key), modes.CBC(_IV))

    def pack(self, message: Message) -> bytes:
        """A whole message."""
        plain = struct.pack(">3I", _VERSION, message.transaction, message.kind) + message.content
        padder, encryptor = PKCS7(_BLOCK_BITS).padder(), self._cipher.encryptor()
        encrypted = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
        return struct.pack(">2I", 4 + len(encrypted), 0) + encrypted

    async def read(self, reader: asyncio.StreamReader) -> Message:
        """The next message. Raises PasteFailed."""
        try:
            length, status = struct.unpack(">2I", await reader.readexactly(8))
            if not 4 <= length <= _LONGEST:
                raise PasteFailed("Photoshop: an answer that is not of its protocol")
            encrypted = await reader.readexactly(length - 4)
        except asyncio.IncompleteReadError:
            raise PasteFailed("Photoshop closed the connection") from None
        if status != 0:
            raise PasteFailed(f"Photoshop did not understand (status {status}): is the password right?")
        return self._unpack(encrypted)

    def _unpack(self, encrypted: bytes) -> Message:
        decryptor, unpadder = self._cipher.decryptor(), PKCS7(_BLOCK_BITS).unpadder()
        try:
            padded = decryptor.update(encrypted) + decryptor.finalize()
            plain = unpadder.update(padded) + unpadder.finalize()
            version, transaction, kind = struct.unpack(">3I", plain[:12])
        except (ValueError, struct.error):
            raise PasteFailed("Photoshop's answer cannot be decrypted: is the password right?") from None
        if version != _VERSION:
            raise PasteFailed(f"Photoshop speaks version {version} of its protocol")
        return Message(transaction, kind, plain[12:])


class Photoshop:
    """Puts cutouts into the open document, as a layer of their own.

    origin: where the document's upper left corner is on the screen, px. zoom: px of the screen per px of the
    document.
    """

    def __init__(
        self,
        password: str,
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        origin: tuple[float, float] = (0.0, 0.0),
        zoom: float = 1.0,
    ) -> None:
        self._wire = Wire(password)
        self._address = (host, port)
        self._origin = origin
        self._zoom = zoom

    async def paste(self, paste: Paste) -> str:
        """See Target."""
        subject = await asyncio.to_thread(lambda: encode(subject_of(paste.picture, paste.screen), "png"))
        script = _SCRIPT % {
            "hex": subject.body.hex(),
            "x": (paste.x - self._origin[0]) / self._zoom,
            "y": (paste.y - self._origin[1]) / self._zoom,
        }
        await self.run(script)
        return "Photoshop"

    async def run(self, script: str) -> str:
        """What a piece of ExtendScript returns, as text. Raises PasteFailed."""
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._run(script)
        except TimeoutError:
            raise PasteFailed("Photoshop does not answer") from None
        except OSError as exc:
            raise PasteFailed(f"Photoshop cannot be reached: {exc}") from exc

    async def _run(self, script: str) -> str:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            question = Message(1, JAVASCRIPT, script.encode())
            writer.write(self._wire.pack(question))
            await writer.drain()
            while True:
                answer = await self._wire.read(reader)
                text = answer.content.decode(errors="replace")
                if answer.transaction == question.transaction and answer.kind == ERROR:
                    raise PasteFailed(f"Photoshop: {text}")
                if answer.transaction == question.transaction and answer.kind == JAVASCRIPT:
                    return text
        finally:
            writer.close()
