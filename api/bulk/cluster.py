"""The work on a Ray cluster: Ray Data brings small blocks of names to workers, and what became of them back.

Only names and rows travel through Ray: each worker reads pictures and writes results itself. A block whose
worker or machine is lost is done again by another one; results are written whole, under the same name and
with the same bytes, so that doing it again changes nothing.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from api.bulk.board import Board
from api.bulk.cutter import Order, of_worker, open_cutter
from api.bulk.manifest import SCHEMA
from api.bulk.run import Stop, Work
from api.bulk.share import Share, Wanted, fitting

__all__ = ["workers"]

_LOCAL_STORE = 256 * 2**20
"""Bytes of shared memory of a cluster of this machine alone: names and rows are all that lies there."""

_MOST_KNOWN = 1_000_000
"""Results that are remembered for pictures with the same bytes: some 300 MB."""

_TRIES = 3
"""Times that a block is begun. Ray itself would give it to one worker after another, for ever."""

_BLOCKS_EACH = 4
"""Blocks that there should be for each worker, so that all of them end at about the same time."""

_SMALL_BLOCK, _MANY_BLOCKS = 32, 4000
"""Pictures of a block while there are fewer blocks than this; beyond, Ray's work on each of them tells."""

_RESULT = SCHEMA.append(pa.field("row", pa.int64()))


class _Asked:
    """cutter.Results on the side of a worker. board: the actor."""

    def __init__(self, board: Any) -> None:
        self._board = board

    async def find(self, key: str) -> str | None:
        try:
            output: str | None = await self._board.find.remote(key)
        except ray.exceptions.RayError:  # only the work that it would have saved is lost
            return None
        return output

    def add(self, key: str, output: str) -> None:
        self._board.add.remote([key], [output])


class Worker:
    """What Ray Data makes one of in each of its processes, and calls from several threads.

    most: pictures of a block, as _rows was asked: blocks of one picture may be among others, too.
    """

    def __init__(self, order: Order, board: Any, most: int) -> None:
        self._board, self._most = board, most
        self._lost = threading.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="cutter", daemon=True).start()
        self._stack = AsyncExitStack()
        opening = self._stack.enter_async_context(
            open_cutter(order, _Asked(board), on_lost=lambda _: self._lost.set())
        )
        self._cutter = asyncio.run_coroutine_threadsafe(opening, self._loop).result()

    def __call__(self, block: pa.Table) -> pa.Table:
        """plan.WORK in, manifest.SCHEMA and `row` out; nothing of a block that kills whoever begins it."""
        begun: int = ray.get(self._board.begin.remote(self._most, block["row"][0].as_py()))
        if begun > _TRIES:
            return _RESULT.empty_table()
        cutting = asyncio.run_coroutine_threadsafe(self._cutter.cut(block.to_pylist()), self._loop)
        done = pa.Table.from_pylist(cutting.result(), schema=_RESULT)
        if self._lost.is_set():
            os._exit(1)  # Ray starts another process, and has the block done again
        return done


@contextmanager
def workers(order: Order, wanted: Wanted, before: pa.Table) -> Iterator[Work]:
    """What has the work of `order` done, for as long as this lasts. before: results' keys and outputs.

    Raises Stop.
    """
    with _cluster(wanted.address):
        share = fitting([node["Resources"] for node in ray.nodes() if node["Alive"]], wanted)
        order = replace(order, settings=of_worker(order.settings, share.cpus))
        with _board(before) as board:
            yield partial(_rows, order, share, board)


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Joins the cluster at `address`, or makes one of this machine for as long as it lasts. Raises Stop."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # by default it tells its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what it writes to the terminal, too
    own: dict[str, Any] = {} if address else {"include_dashboard": False, "object_store_memory": _LOCAL_STORE}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise Stop(f"Ray: {exc}") from exc
    # Ray's own answer to SIGTERM ends the process where it stands; a pod that is stopped gets one, too.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        ray.shutdown()


@contextmanager
def _board(before: pa.Table) -> Iterator[Any]:
    """A Board on this machine, so that it lives as long as the run."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote(_MOST_KNOWN)
    newest = before.slice(max(0, len(before) - _MOST_KNOWN))
    actor.add.remote(newest["key"].to_pylist(), newest["output"].to_pylist())
    try:
        yield actor
    finally:
        ray.kill(actor)


def _rows(order: Order, share: Share, board: Any, work: pa.Table, block: int) -> Iterator[pa.Table]:
    """What has become of the work, as it ends: tables of manifest.SCHEMA and `row`.

    work: of plan.WORK. block: most pictures of a block. What is missing in the end took its worker with it,
    again and again. Raises Stop.
    """
    size = max(_SMALL_BLOCK, len(work) // _MANY_BLOCKS)
    size = max(1, min(size, block, len(work) // (_BLOCKS_EACH * share.workers)))
    blocks = [work.slice(start, size) for start in range(0, len(work), size)]
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    cut = ray.data.from_arrow(blocks).map_batches(
        Worker,
        fn_constructor_args=(order, board, block),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=1,
            max_size=share.workers,
            initial_size=min(share.workers, len(blocks)),
            # The next block begins while the last pictures of this one are being written; but where pictures
            # are alone, as one of them may kill the worker, nobody else is to be there.
            max_concurrent_calls_per_actor=1 if block == 1 else 2,
            enable_true_multi_threading=True,
        ),
        num_cpus=share.cpus,
        num_gpus=share.gpus,
    )
    try:
        yield from cut.iter_batches(batch_size=None, batch_format="pyarrow")
    except ray.exceptions.RayError as exc:
        raise Stop(str(getattr(exc, "cause", None) or exc)) from exc
