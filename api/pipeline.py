"""THE page: what happens to a photo, one line a stage."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

from api import finishing
from api.naming import stored_name
from api.options import CutoutOptions
from api.stopwatch import Stopwatch
from api.turns import Threads, Turns
from api.types import Deadline, Decoder, Encoded, Engine, Fetcher, Link, Spend, Store


@dataclass(frozen=True, slots=True)
class Job:
    """One photo and what to do with it. source, background_image: a URL, or an image file's bytes.

    name: a secret that the stored object is named by, else its bytes. owner: whose it is. life: s, else the
    store's. look, refine, compose: what these mean to contracts that ask for more than our options say.
    """

    source: str | bytes
    options: CutoutOptions = field(default_factory=CutoutOptions)
    background_image: str | bytes | None = None
    store: bool = False
    name: str | None = None
    owner: str | None = None
    life: float | None = None
    look: finishing.Look = finishing.look
    refine: finishing.Refine = finishing.refine
    compose: finishing.Compose = finishing.compose


@dataclass(frozen=True, slots=True)
class Outcome:
    """bounding_box: left, top, width, height of the subject, px of the original; None without a subject.

    timings: ms per stage, waiting included. size: of the original, width, height. id, link: if it was stored.
    """

    encoded: Encoded
    model: str
    bounding_box: tuple[int, int, int, int] | None
    timings: Mapping[str, float]
    size: tuple[int, int] = (0, 0)
    id: str | None = None
    link: Link | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What is known of the picture: beside it in the store, and in the headers of an answer in bytes."""
        return {
            "width": str(self.encoded.width),
            "height": str(self.encoded.height),
            "model": self.model,
            "bounding_box": ",".join(map(str, self.bounding_box or ())),
        }


class Pipeline:
    """Fetch, decode, matte, refine, compose, encode, store. Everything that it needs is handed to it.

    executor: threads for the work on whole pictures; their number bounds how many are worked on at once.
    turns: how many jobs may have decoded pictures in memory at once, and how long one waits for that.
    naming_key: see stored_name. stopwatch: makes one for each job, which is told its stages.
    """

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        decoder: Decoder,
        engine: Engine,
        store: Store,
        executor: Executor,
        turns: Turns | None = None,
        naming_key: bytes = b"",
        stopwatch: Callable[[], Stopwatch] = Stopwatch,
    ) -> None:
        self._fetcher, self._decoder, self._engine, self._store = fetcher, decoder, engine, store
        self._executor, self._key, self._stopwatch = executor, naming_key, stopwatch
        self.turns = turns or Turns(8)

    async def remove_background(
        self, job: Job, deadline: Deadline, *, spend: Spend | None = None, placed: bool = False
    ) -> Outcome:
        """Raises ObjectCutError, ModelError. spend: may refuse megapixels. placed: a turn is held already."""
        stage, wish = self._stopwatch(), job.options
        decode = partial(self._decoder.decode, deadline=deadline)
        matte = partial(self._engine.matte, model=wish.model, resolution=wish.resolution, deadline=deadline)
        on_cpu = Threads(self._executor)
        async with stage.within(deadline):
            data = await stage("fetch", self.bytes_of(job.source, deadline))
            behind = job.background_image or b""  # of one URL two looks might show two pictures
            backdrop = data if behind == job.source else await stage("fetch", self.bytes_of(behind, deadline))
            async with nullcontext() if placed else self.turns.turn(on_cpu):
                picture = await stage("decode", decode(data))
                scene = await stage("decode", decode(backdrop)) if backdrop else None
                if spend:
                    await spend(sum(each.megapixels for each in (picture, scene) if each))
                coarse = await stage("matte", matte(job.look(picture)))
                alpha = await stage("refine", on_cpu(job.refine, picture, coarse, wish))
                canvas = await stage("compose", on_cpu(job.compose, picture, alpha, scene, wish))
                size = picture.size
                del picture, scene, coarse, alpha  # most of the memory of a request
                encoded = await stage("encode", on_cpu(finishing.encode, canvas, wish))
            outcome = Outcome(encoded, wish.model, canvas.box, stage.timings, size)
            if not job.store:
                return outcome
            key = await on_cpu(stored_name, encoded, outcome.facts, job.name, job.life, self._key, job.owner)
            put = self._store.put(key, encoded, facts=outcome.facts, deadline=deadline, life=job.life)
            link = await stage("store", put)
            return replace(outcome, id=key, link=link)

    async def bytes_of(self, source: str | bytes, deadline: Deadline) -> bytes:
        """What is behind a URL, or what is there already. Raises SourceError, InvalidOptions."""
        return await self._fetcher.fetch(source, deadline=deadline) if isinstance(source, str) else source
