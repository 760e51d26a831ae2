"""Many pairs, on every core."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol

import cv2

from model.evaluation.metrics import Gray, PairScores, evaluate_pair
from model.evaluation.report import Report, report

__all__ = ["ArrayPair", "Pair", "evaluate", "score"]

WORTH_A_PROCESS = 16
"""Pairs: scoring about that many small ones takes as long as starting a process."""


class Pair(Protocol):
    """A pair that can be carried to another process and loaded there."""

    @property
    def name(self) -> str:
        """What the report calls it; no two pairs share one."""
        ...

    def load(self) -> tuple[Gray, Gray]:
        """Prediction and truth, each (H, W) uint8."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayPair:
    """A pair that is in memory already."""

    name: str
    prediction: Gray
    truth: Gray

    def load(self) -> tuple[Gray, Gray]:
        """The two arrays."""
        return self.prediction, self.truth


def evaluate(
    pairs: Sequence[Pair],
    *,
    attributes: Mapping[str, Set[str]] | None = None,
    jobs: int | None = None,
    on_pair: Callable[[str], None] = lambda _: None,
) -> Report:
    """Scores every pair and the whole.

    attributes: the names of the pairs that bear each attribute, for a breakdown.
    jobs: processes, the machine's cores by default; few pairs are scored in this one.
    on_pair: called here with each pair's name once it is scored, in order.

    Raises ValueError for no pairs, for two of one name, for an attribute of none, and what a pair's `load`
    raises.
    """
    return report(score(pairs, jobs=jobs, on_pair=on_pair), attributes)


def score(
    pairs: Sequence[Pair], *, jobs: int | None = None, on_pair: Callable[[str], None] = lambda _: None
) -> dict[str, PairScores]:
    """Every pair's scores with its curves, by name: `summarise` makes the figures of any part of them.

    Arguments as of `evaluate`. Raises ValueError for two of one name, and what a pair's `load` raises.
    """
    names = [pair.name for pair in pairs]
    if len(set(names)) < len(names):
        raise ValueError("two pairs share a name")
    jobs = min(jobs or os.cpu_count() or 1, max(1, len(pairs) // WORTH_A_PROCESS))
    scored: dict[str, PairScores] = {}
    for name, scores in zip(names, _scores(pairs, jobs), strict=True):
        scored[name] = scores
        on_pair(name)
    return scored


def _scores(pairs: Sequence[Pair], jobs: int) -> Iterator[PairScores]:
    if jobs == 1:
        yield from map(_score, pairs)
        return
    # Spawned, not forked: the caller may hold threads, of torch or a server, that a fork would break.
    with ProcessPoolExecutor(jobs, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(_score, pairs, chunksize=4)


def _score(pair: Pair) -> PairScores:
    return evaluate_pair(*pair.load())
