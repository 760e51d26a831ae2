"""Mutated files, sent to the service with its real decoding processes.

Whatever the bytes are, the answer is a cutout or one of the documented errors of a picture; no process dies,
and nothing is left behind: no file, no descriptor, no memory.
"""

import asyncio
import gc
import logging
import os
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.source.isolation import DecodePool, IsolationConfig
from api.source.limits import DecodeLimits
from model import heap
from tests.api.source.files import deep_png, encode, exif, scene, wide_profile
from tests.api.source.hostile import ENTRY
from tests.processes import children, pictures, resident_bytes
from tests.service import SyncClient, serving, serving_synchronously

LIMITS = DecodeLimits(formats=("JPEG", "PNG", "WEBP", "AVIF"), max_pixels=1_000_000)
PARTS = 5
GROWTH = 0.05
"""Of the memory of all processes: the most that the later parts may add to it."""
EXPECTED = {(200, ""), (415, "unsupported_image"), (422, "corrupt_image"), (422, "image_too_large")}
SCENE = scene(40, 56)
RGBA = np.dstack([SCENE, SCENE[..., 0]])
SEEDS = [
    encode(SCENE, "JPEG"),
    encode(SCENE, "JPEG", progressive=True, exif=exif(6), icc_profile=wide_profile()),
    encode(SCENE[..., 0], "JPEG", subsampling=0),
    encode(RGBA, "PNG", exif=exif(5)),
    encode(SCENE, "PNG", icc_profile=wide_profile()),
    deep_png(SCENE.astype(np.uint16) * 257, 2),
    encode(RGBA, "WEBP", exif=exif(3)),
    encode(SCENE, "WEBP", lossless=True, icc_profile=wide_profile()),
    encode(SCENE, "AVIF"),
    encode(RGBA, "AVIF", exif=exif(8), quality=100),
]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "insert", "delete", "copy", "cut"]),
        st.integers(0, 9_999),  # of ten thousand: the place. Floats would mostly be 0 and 1.
        st.binary(min_size=1, max_size=8),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=6,
)
FILES = st.builds(lambda seed, edits: repaired(mutated(seed, edits)), st.sampled_from(SEEDS), EDITS).filter(
    bool
)
NOISE = st.builds(
    lambda head, tail: head + tail, st.sampled_from([seed[:40] for seed in SEEDS]), st.binary(max_size=400)
)


def mutated(data: bytes, edits: list[tuple[str, int, bytes, int]]) -> bytes:
    for kind, place, text, count in edits:
        at = place * len(data) // 10_000
        match kind:
            case "set":
                data = data[:at] + text + data[at + len(text) :]
            case "flip":
                data = data[:at] + bytes(byte ^ 1 << count % 8 for byte in data[at : at + 1]) + data[at + 1 :]
            case "insert":
                data = data[:at] + text + data[at:]
            case "delete":
                data = data[:at] + data[at + count :]
            case "copy":
                data = data[:at] + data[at : at + count] * 2 + data[at + count :]
            case "cut":
                data = data[: max(at, 12)]
    return data


def repaired(data: bytes) -> bytes:
    """With right checksums, where it is a PNG: else no decoder would look at what they cover."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            break
        parts += [data[at:end], struct.pack(">I", zlib.crc32(data[at + 4 : end]))]
        at = end + 4
    return b"".join([*parts, data[at:]])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncClient]:
    """A service whose temporary files would be seen, and in which nothing is left at its end."""
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        before = children()
        with serving_synchronously(decoder=DecodePool(LIMITS, workers=1)) as client:
            yield client
        assert children() == before
        assert list(temporary.iterdir()) == []


class TestCrashes:
    """A library that fails as C fails, in the middle of other people's pictures."""

    @pytest.mark.parametrize("deed", ["segfault", "abort", "signal", "exit"])
    async def test_a_file_that_kills_its_decoder_costs_nobody_else_anything(self, deed: str) -> None:
        decoder = DecodePool(LIMITS, IsolationConfig(cpu_seconds=1), workers=2, entry=ENTRY)
        async with serving(decoder=decoder) as served:
            bodies = [deed.encode() if n % 4 == 1 else SEEDS[n % len(SEEDS)] for n in range(12)]
            sent = [served.http.post("/v1/cutouts", content=body) for body in bodies]
            answers = await asyncio.gather(*sent)
            for body, answer in zip(bodies, answers, strict=True):
                if body == deed.encode():
                    assert (answer.status_code, answer.json()["code"]) == (422, "corrupt_image")
                else:
                    assert answer.status_code == 201, answer.text
            served.assert_at_rest()


def send_all(client: SyncClient, files: st.SearchStrategy[bytes], count: int) -> Counter[tuple[int, str]]:
    """Sends `count` files and proves that nothing but answers came of them. Returns how many had which."""
    answers: Counter[tuple[int, str]] = Counter()

    @given(data=files)
    @settings(max_examples=count // PARTS, deadline=None, suppress_health_check=list(HealthCheck))
    def each(data: bytes) -> None:
        answer = client.request("POST", "/v1/cutouts", content=data, headers={"Accept": "image/png"})
        code = "" if answer.status_code == 200 else answer.json()["code"]
        assert (answer.status_code, code) in EXPECTED
        answers[answer.status_code, code] += 1

    client.request("POST", "/v1/cutouts", content=SEEDS[0])
    family, descriptors = children(), len(os.listdir("/proc/self/fd"))
    memory = []
    for _ in range(PARTS):  # between them hypothesis forgets what it has drawn
        each()
        memory.append(in_use())
    client.served.assert_at_rest()
    assert children() == family  # none has died, or it would have been replaced
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    assert pictures() == 0
    assert memory[-1] <= memory[0] * (1 + GROWTH), memory
    return answers


def in_use() -> int:
    """Bytes of this process and of its decoders."""
    gc.collect()
    heap.trim()
    return sum(map(resident_bytes, [os.getpid(), *children()]))


@pytest.fixture(autouse=True)
def _few_records(caplog: pytest.LogCaptureFixture) -> None:
    """pytest would keep each warning about a profile, and its memory would be taken for ours."""
    caplog.set_level(logging.ERROR, "objectcut.decode")


def test_seeds_are_pictures(client: SyncClient) -> None:
    for seed in SEEDS:
        answer = client.request("POST", "/v1/cutouts", content=repaired(seed))
        assert answer.status_code == 201, answer.text


def test_mutated_files(client: SyncClient) -> None:
    answers = send_all(client, FILES, 200)
    assert answers[200, ""]
    assert answers[422, "corrupt_image"]


def test_noise_behind_a_good_start(client: SyncClient) -> None:
    send_all(client, NOISE, 100)


@pytest.mark.slow
def test_many_mutated_files(client: SyncClient) -> None:
    assert send_all(client, FILES, 5_000).total() >= 5_000
