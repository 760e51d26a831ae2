"""What every store promises: subclass StoreContract and say how the store is made and its links opened."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import pytest

from api.errors import DeadlineExceeded, NotFound
from api.types import Deadline, Encoded, Store

HOUR = 3_600.0
DAY = 24 * HOUR
TTL = 3 * DAY

FACTS = {"width": "3", "model": "lite", "title": "été “雪”", "bounding_box": "[0, 1, 2, 3]"}


@dataclass
class Clock:
    """Seconds since 1970, moved by hand."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


Make = Callable[[float], Store]
"""Opens a store whose objects live for so many seconds."""


def key_of(name: str, extension: str = "png") -> str:
    return f"{blake2b(name.encode(), digest_size=16).hexdigest()}.{extension}"


def picture(body: bytes = b"\x89PNG a picture", media_type: str = "image/png") -> Encoded:
    return Encoded(body, media_type, 3, 2)


def soon() -> Deadline:
    return Deadline.after(60)


HOSTILE_KEYS = [
    pytest.param("", id="empty"),
    pytest.param(".", id="folder"),
    pytest.param("..", id="parent"),
    pytest.param("../../etc/passwd", id="traversal"),
    pytest.param("/etc/passwd", id="absolute"),
    pytest.param("..%2f..%2fetc%2fpasswd", id="traversal percent-encoded"),
    pytest.param("0" * 32 + ".png/../signing-key", id="traversal behind a key"),
    pytest.param("0" * 32 + "/.png", id="slash"),
    pytest.param("0" * 32 + "\\.png", id="backslash"),
    pytest.param("0" * 32 + ".png\x00", id="NUL at the end"),
    pytest.param("0" * 32 + "\x00.png", id="NUL inside"),
    pytest.param("0" * 32 + ".png\n", id="newline at the end"),
    pytest.param("0" * 32, id="no extension"),
    pytest.param("0" * 31 + ".png", id="too short"),
    pytest.param("0" * 33 + ".png", id="too long"),
    pytest.param("A" * 32 + ".png", id="upper case"),
    pytest.param("٣" * 32 + ".png", id="digits that are not ASCII"),
    pytest.param("g" * 32 + ".png", id="not hexadecimal"),
    pytest.param("0" * 32 + ".tar.gz", id="two extensions"),
]


class StoreContract:
    """The suite. Subclasses override `make` (a fixture) and `open_link`."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def make(self, clock: Clock) -> Make:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, make: Make) -> AsyncIterator[Store]:
        store = make(TTL)
        yield store
        await store.close()

    async def open_link(self, store: Store, url: str) -> tuple[bytes, str]:
        """Body and media type behind a link, had the way a client has them."""
        raise NotImplementedError

    async def test_finds_what_was_put(self, store: Store) -> None:
        link = await store.put(key_of("a"), picture(), facts=FACTS, deadline=soon())
        found = await store.find(key_of("a"), deadline=soon())
        assert (found.media_type, found.size, dict(found.facts)) == ("image/png", 14, FACTS)
        assert found.link.expires_at == link.expires_at

    async def test_link_leads_to_the_object(self, store: Store) -> None:
        item = picture(b"RIFF webp", "image/webp")
        link = await store.put(key_of("a", "webp"), item, facts={}, deadline=soon())
        found = await store.find(key_of("a", "webp"), deadline=soon())
        assert await self.open_link(store, link.url) == (b"RIFF webp", "image/webp")
        assert await self.open_link(store, found.link.url) == (b"RIFF webp", "image/webp")
        assert dict(found.facts) == {}

    async def test_large_object_arrives_whole(self, store: Store) -> None:
        body = bytes(range(256)) * 40_000  # 10 MB
        link = await store.put(key_of("large"), picture(body), facts=FACTS, deadline=soon())
        received, _ = await self.open_link(store, link.url)
        assert received == body
        assert dict((await store.find(key_of("large"), deadline=soon())).facts) == FACTS

    async def test_objects_are_kept_apart(self, store: Store) -> None:
        for name in ("a", "b"):
            await store.put(key_of(name), picture(name.encode()), facts={"name": name}, deadline=soon())
        await store.delete(key_of("a"), deadline=soon())
        assert dict((await store.find(key_of("b"), deadline=soon())).facts) == {"name": "b"}

    async def test_link_ends_with_the_object(self, store: Store, clock: Clock) -> None:
        link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        end = datetime.fromtimestamp(clock.now + TTL, UTC)
        assert link.expires_at is not None
        assert timedelta(0) <= end - link.expires_at <= timedelta(seconds=1)

    async def test_a_shorter_life_ends_sooner(self, store: Store, clock: Clock) -> None:
        link = await store.put(key_of("a"), picture(), facts={}, deadline=soon(), life=HOUR)
        end = datetime.fromtimestamp(clock.now + HOUR, UTC)
        assert link.expires_at is not None
        assert timedelta(0) <= end - link.expires_at <= timedelta(seconds=1)
        clock.now += HOUR - 1
        await store.find(key_of("a"), deadline=soon())
        clock.now += 1
        with pytest.raises(NotFound):
            await store.find(key_of("a"), deadline=soon())

    async def test_a_shorter_life_shortens_no_longer_one(self, store: Store, clock: Clock) -> None:
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        await store.put(key_of("a"), picture(), facts={}, deadline=soon(), life=HOUR)
        clock.now += TTL - 1
        await store.find(key_of("a"), deadline=soon())

    async def test_reads_what_was_put(self, store: Store) -> None:
        await store.put(key_of("a"), picture(b"bytes"), facts=FACTS, deadline=soon())
        assert await store.read(key_of("a"), deadline=soon()) == (b"bytes", "image/png")
        with pytest.raises(NotFound):
            await store.read(key_of("b"), deadline=soon())

    async def test_link_lives_a_week_at_most(self, make: Make, clock: Clock) -> None:
        store = make(30 * DAY)
        link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        clock.now += 20 * DAY
        renewed = (await store.find(key_of("a"), deadline=soon())).link
        await store.close()
        assert link.expires_at is not None
        assert renewed.expires_at is not None
        week = datetime.fromtimestamp(clock.now + 7 * DAY, UTC)
        assert timedelta(0) <= week - renewed.expires_at <= timedelta(seconds=1)
        assert renewed.expires_at - link.expires_at == timedelta(days=20)

    async def test_second_put_keeps_bytes_and_facts_and_renews_life(self, store: Store, clock: Clock) -> None:
        first = await store.put(key_of("a"), picture(b"first"), facts={"n": "1"}, deadline=soon())
        clock.now += 2 * DAY
        second = await store.put(key_of("a"), picture(b"second!"), facts={"n": "2"}, deadline=soon())
        assert first.expires_at is not None
        assert second.expires_at is not None
        assert second.expires_at - first.expires_at == timedelta(days=2)
        clock.now += 2 * DAY
        found = await store.find(key_of("a"), deadline=soon())
        assert (found.size, dict(found.facts)) == (5, {"n": "1"})
        assert (await self.open_link(store, second.url))[0] == b"first"

    async def test_concurrent_duplicates_all_succeed(self, store: Store) -> None:
        links = await asyncio.gather(
            *(
                store.put(key_of("a"), picture(b"same"), facts={"n": str(n)}, deadline=soon())
                for n in range(6)
            )
        )
        for link in links:
            assert (await self.open_link(store, link.url))[0] == b"same"
        assert dict((await store.find(key_of("a"), deadline=soon())).facts)["n"] in set("012345")

    async def test_expired_is_not_found(self, store: Store, clock: Clock) -> None:
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        clock.now += TTL + 1
        with pytest.raises(NotFound):
            await store.find(key_of("a"), deadline=soon())

    async def test_put_over_expired_starts_anew(self, store: Store, clock: Clock) -> None:
        await store.put(key_of("a"), picture(b"old"), facts={"n": "1"}, deadline=soon())
        clock.now += TTL + 1
        link = await store.put(key_of("a"), picture(b"new"), facts={"n": "2"}, deadline=soon())
        assert dict((await store.find(key_of("a"), deadline=soon())).facts) == {"n": "2"}
        assert (await self.open_link(store, link.url))[0] == b"new"

    async def test_deleted_is_not_found_and_can_be_put_again(self, store: Store) -> None:
        await store.put(key_of("a"), picture(b"old"), facts={}, deadline=soon())
        await store.delete(key_of("a"), deadline=soon())
        with pytest.raises(NotFound):
            await store.find(key_of("a"), deadline=soon())
        with pytest.raises(NotFound):
            await store.delete(key_of("a"), deadline=soon())
        link = await store.put(key_of("a"), picture(b"new"), facts={}, deadline=soon())
        assert (await self.open_link(store, link.url))[0] == b"new"

    async def test_unknown_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.find(key_of("never put"), deadline=soon())

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    async def test_only_our_own_keys_exist(self, store: Store, key: str) -> None:
        with pytest.raises(NotFound):
            await store.find(key, deadline=soon())
        with pytest.raises(NotFound):
            await store.delete(key, deadline=soon())
        with pytest.raises(NotFound):
            await store.put(key, picture(), facts={}, deadline=soon())

    async def test_nothing_is_done_after_the_deadline(self, store: Store) -> None:
        with pytest.raises(DeadlineExceeded):
            await store.put(key_of("a"), picture(), facts={}, deadline=Deadline.after(0))
        with pytest.raises(DeadlineExceeded):
            await store.find(key_of("a"), deadline=Deadline.after(0))
        with pytest.raises(NotFound):
            await store.find(key_of("a"), deadline=soon())
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        with pytest.raises(DeadlineExceeded):
            await store.delete(key_of("a"), deadline=Deadline.after(0))
        await store.find(key_of("a"), deadline=soon())
