"""Ways of running networks, timed turn by turn."""

import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray

from model.errors import OutOfMemory
from model.preprocess import resize
from tests.bench import flops
from tests.bench.contenders import Contender
from tests.bench.figures import EAGER, Row
from tests.bench.report import progress

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
"""Of scikit-image; a batch has them in turn."""

_GPU_WARM_UP = 3
"""More calls: graphs are recorded when a shape comes again, and clocks rise."""

Key = TypeVar("Key", bound=Hashable)


class Course:
    """Runs contenders against each other, and remembers what the straightforward way gave."""

    def __init__(self, rounds: int, seconds: float, *, on_cpu: bool) -> None:
        self._rounds = rounds
        self._seconds = seconds
        self._on_cpu = on_cpu
        self._expected: dict[str, NDArray[np.float32]] = {}
        self._flops: dict[str, int] = {}

    def run(self, entrants: Sequence[Contender], batch: int) -> Iterator[Row]:
        """A row for each that has memory for such a batch, and one for many calls at once where that pays."""
        calls: dict[Contender, Callable[[], object]] = {}
        apart: dict[Contender, float | None] = {}
        seconds: dict[Contender, list[float]] = {}
        for entrant in entrants:
            progress(f"{entrant.spec.name}, {entrant.way}, batch {batch}")
            call = partial(entrant.run, photos(entrant.spec.size, batch))
            start = time.perf_counter()
            try:
                alphas = call()
            except (OutOfMemory, torch.OutOfMemoryError):
                progress("not enough memory")
                continue
            seconds[entrant] = [time.perf_counter() - start]
            apart[entrant] = self._apart(entrant, alphas)
            calls[entrant] = call
            for _ in range(0 if self._on_cpu else _GPU_WARM_UP):
                call()
        if 2 * sum(map(sum, seconds.values())) < self._seconds:  # else the first call has to do
            seconds = interleaved(calls, self._rounds, self._seconds)
        for entrant, taken in seconds.items():
            yield self._row(entrant, batch, 1, taken, apart[entrant])
            if entrant.streams > 1 and (batch == 1 or not self._on_cpu):
                each = together(calls[entrant], entrant.streams, statistics.median(taken))
                yield self._row(entrant, batch, entrant.streams, [each], apart[entrant])

    def _apart(self, entrant: Contender, alphas: NDArray[np.float32]) -> float | None:
        """From the straightforward way's alphas of PHOTOS, as far as it had memory for a batch of them."""
        name, different = entrant.spec.name, alphas[: len(PHOTOS)]
        if entrant.way == EAGER and len(different) > len(self._expected.get(name, ())):
            self._expected[name] = different
        if name not in self._expected:
            return None
        pairs = zip(different, self._expected[name], strict=False)
        return float(np.mean([np.abs(one - other).mean(dtype=np.float64) for one, other in pairs]))

    def _row(
        self, entrant: Contender, batch: int, at_once: int, seconds: Sequence[float], apart: float | None
    ) -> Row:
        name = entrant.spec.name
        if name not in self._flops:
            self._flops[name] = flops.count(entrant.spec)
        return Row(
            network=name,
            size=entrant.spec.size,
            way=entrant.way,
            precision=entrant.precision,
            batch=batch,
            at_once=at_once,
            flops=self._flops[name],
            seconds=tuple(seconds),
            apart=apart,
        )


def photos(size: tuple[int, int], batch: int) -> NDArray[np.uint8]:
    """(batch, *size, 3) uint8: PHOTOS in turn."""
    different = [resize(getattr(skimage.data, name)(), size) for name in PHOTOS[:batch]]
    return np.stack([different[i % len(PHOTOS)] for i in range(batch)])


def interleaved(
    calls: Mapping[Key, Callable[[], object]], rounds: int, seconds: float
) -> dict[Key, list[float]]:
    """Seconds of each call, turn by turn: `rounds` times, or as often as `seconds` allow, but once."""
    taken: dict[Key, list[float]] = {key: [] for key in calls}
    begin = time.perf_counter()
    for done in range(1, rounds + 1):
        for key, call in calls.items():
            start = time.perf_counter()
            call()
            taken[key].append(time.perf_counter() - start)
        if (time.perf_counter() - begin) * (done + 1) / done > seconds:
            break
    return taken


def together(call: Callable[[], object], streams: int, seconds: float) -> float:
    """Seconds that a call takes while `streams` of them are at work. seconds: what it takes alone."""
    count = streams * max(2, round(2 / seconds))
    with ThreadPoolExecutor(streams) as pool:
        start = time.perf_counter()
        for _ in pool.map(lambda _: call(), range(count)):
            pass
        return (time.perf_counter() - start) * streams / count
