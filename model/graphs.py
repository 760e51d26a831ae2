"""A network on a CUDA device: few shapes, launches recorded once, copies beside the computing."""

import logging
import threading
from collections.abc import Callable, Sequence
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.optimise import batch_sizes

__all__ = ["CudaRunner", "Graphs", "Network", "Recorder", "padded_size"]

_LOG = logging.getLogger(__name__)

_MOST = 16
"""Shapes that are remembered. They share their working memory; a graph's own is its input and its output."""

Network = Callable[[Tensor], Tensor]


class Graphs:
    """A network's CUDA graphs, one for each shape of input. Not for several threads at once.

    A shape runs as it is when it comes first, which also warms it up, and is recorded when it comes again.
    Where that fails it goes on running as it is. The shape that was not used for longest makes room.

    record: gives the network's recording for inputs like this one, to be called in its place.
    """

    def __init__(self, net: Network, record: Callable[[Network, Tensor], Network], most: int = _MOST) -> None:
        self._net = net
        self._record = record
        self._most = most
        self._known: dict[torch.Size, Network | None] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """The network's result, which no later call overwrites."""
        again = x.shape in self._known
        run = self._known.pop(x.shape, None)
        if again and run is None:
            run = self._recorded(x)
        self._known[x.shape] = run
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return (run or self._net)(x)

    def clear(self) -> None:
        """Forgets every shape, and frees its memory."""
        self._known.clear()

    def _recorded(self, x: Tensor) -> Network:
        try:
            return self._record(self._net, x)
        except RuntimeError as exc:  # the reasons are many, and the network itself is there
            _LOG.warning("no CUDA graph for inputs of %s: %s", tuple(x.shape), exc)
            return self._net


class Recorder:
    """Records networks as CUDA graphs that share their working memory.

    That is safe because they replay one after the other, on one stream, and each result is copied at once.
    """

    def __init__(self) -> None:
        self._alive: WeakSet[torch.cuda.CUDAGraph] = WeakSet()

    def __call__(self, net: Network, x: Tensor) -> Network:
        """The network for inputs like `x`, which have run before on the current stream.

        Raises RuntimeError when the network does something that cannot be recorded.
        """
        given = x.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph,
            pool=next((other.pool() for other in self._alive), None),
            stream=torch.cuda.current_stream(),
            capture_error_mode="thread_local",  # other threads, with models of their own, may go on
        ):
            result = net(given)
        self._alive.add(graph)

        def replay(x: Tensor) -> Tensor:
            given.copy_(x)
            graph.replay()
            return result.clone()

        return replay


def padded_size(count: int, sizes: Sequence[int]) -> int:
    """The smallest of the (ascending) sizes that holds so many; beyond the last one the number itself."""
    return next((size for size in sizes if size >= count), count)


class CudaRunner:
    """Uploads, runs and downloads batches, each on a stream of its own: two callers overlap.

    net: (n, h, w, 3) uint8 to (n, h, w) float32, both on the device. Batches are filled up with black to one
    of `batch_sizes(most)`, so that few shapes ever meet the network.
    """

    def __init__(self, net: Network, device: torch.device, most: int) -> None:
        self._device = device
        self._sizes = batch_sizes(most)
        streams = [torch.cuda.Stream(device) for _ in range(3)]  # type: ignore[no-untyped-call]
        self._upload, self._compute, self._download = streams
        self._graphs = Graphs(net, Recorder())
        self._lock = threading.Lock()

    def __call__(self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, h, w) float32 of pictures (h, w, 3) uint8 of one size. Raises RuntimeError, as torch does."""
        size = padded_size(len(pictures), self._sizes)
        # Pinned, hence copied without the host's help; torch keeps such memory for the next caller.
        batch = torch.empty((size, *pictures[0].shape), dtype=torch.uint8, pin_memory=True)
        batch[len(pictures) :] = 0
        for place, picture in zip(batch, pictures, strict=False):
            place.copy_(torch.from_numpy(picture))
        with torch.cuda.device(self._device), torch.inference_mode():
            with torch.cuda.stream(self._upload):
                x = batch.to(self._device, non_blocking=True)
                uploaded = self._upload.record_event()
            with self._lock, torch.cuda.stream(self._compute):
                self._compute.wait_event(uploaded)
                x.record_stream(self._compute)
                y = self._graphs(x)
                computed = self._compute.record_event()
            with torch.cuda.stream(self._download):
                self._download.wait_event(computed)
                y.record_stream(self._download)
                alphas = torch.empty(y.shape, dtype=y.dtype, pin_memory=True)
                alphas.copy_(y, non_blocking=True)
                there = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
                there.record()
            there.synchronize()
        return alphas[: len(pictures)].numpy()

    def clear(self) -> None:
        """Frees the graphs."""
        with self._lock:
            self._graphs.clear()
