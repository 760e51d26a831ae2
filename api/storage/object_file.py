"""One object in one file: magic, SHA-256 of all that follows, length of the header, header, body.

The header is JSON: media type and facts. Everything is in one file so that no state exists in which
an object has its body and not its facts.
"""

import json
import struct
from collections.abc import Mapping
from hashlib import sha256
from typing import IO

from postprocess.types import Encoded

_MAGIC = b"objectcut/1\n"
_LENGTH = struct.Struct(">I")


def write_object(file: IO[bytes], item: Encoded, facts: Mapping[str, str]) -> None:
    """Writes it from the file's position on, and out of Python's buffers. Raises OSError."""
    header = json.dumps({"media_type": item.media_type, "facts": dict(facts)}).encode()
    header = _LENGTH.pack(len(header)) + header
    checksum = sha256(header)
    checksum.update(item.body)
    file.write(_MAGIC + checksum.digest() + header)
    file.write(item.body)
    file.flush()


def parse_object(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """(media type, facts, body). Raises ValueError when a single bit is not as it was written."""
    start = len(_MAGIC) + 32
    covered = memoryview(data)[start:]
    if not data.startswith(_MAGIC) or len(covered) < _LENGTH.size:
        raise ValueError("not an object file")
    if sha256(covered).digest() != data[len(_MAGIC) : start]:
        raise ValueError("wrong checksum")
    (length,) = _LENGTH.unpack_from(covered)
    end = _LENGTH.size + length
    header = json.loads(bytes(covered[_LENGTH.size : end]))
    return header["media_type"], header["facts"], bytes(covered[end:])
