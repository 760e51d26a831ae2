"""What every engine of a model does alike, whatever it runs on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from model.errors import InferenceFailed
from model.registry import ModelSpec
from model.resample import resampled
from model.second_look import closer, combined, surroundings, uncertainty

__all__ = ["LoadedModel", "shaped"]


class LoadedModel(ABC):
    """A model that is loaded, warm and proven. Its methods may be called from several threads.

    runtime: what runs it. sha256: of the weights. streams: calls of `run` that may be at work at once.
    max_batch: pictures that one of them may have. memory_bytes: what the model takes of its device.
    on_second_look: called by `run` with the number of pictures that got a second look, if any did.
    """

    runtime: ClassVar[str]
    spec: ModelSpec
    sha256: str
    streams: int
    max_batch: int
    memory_bytes: int
    on_second_look: Callable[[int], None] | None = None

    @property
    @abstractmethod
    def precision(self) -> str:
        """float32, bfloat16 or float16: what the network computes in."""

    @abstractmethod
    def place(self) -> tuple[str, str]:
        """The device as the settings name it, and its name for people."""

    @abstractmethod
    def predict(self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """n pictures (h, w, 3) uint8 of one size to (n, h, w) float32.

        Raises OutOfMemory (fewer may fit), DeviceLost (nothing will work any more), InferenceFailed.
        """

    @abstractmethod
    def close(self) -> None:
        """Frees the memory. Nothing may be run any more."""

    def facts(self) -> dict[str, str | int]:
        """What is known of the model once it runs: where, how, and with which weights."""
        device, device_name = self.place()
        return {
            "device": device,
            "device_name": device_name,
            "runtime": self.runtime,
            "precision": self.precision,
            "sha256": self.sha256,
            "streams": self.streams,
            "max_batch": self.max_batch,
            "memory_bytes": self.memory_bytes,
        }

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 to the (*size, 3) uint8 that `run` takes. Work for a thread of the host.

        size: see ModelSpec.input_size; the model's own by default.
        """
        return resampled(rgb, size or self.spec.size)

    def run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32] | InferenceFailed]:
        """Alphas (h, w) float32 in [0, 1] of pictures (h, w, 3) uint8 of one size, each failure in its place.

        Those that the network is unsure of, by the spec's limit, get its second look (model/second_look.py).
        Raises as `predict` does.
        """
        alphas = list(self.predict(pictures))
        limit = self.spec.second_look
        windows = {
            index: surroundings(alpha)
            for index, alpha in enumerate(alphas)
            if limit is not None and uncertainty(alpha) > limit
        }
        if windows:
            again = self.predict([closer(pictures[index], window) for index, window in windows.items()])
            for (index, window), alpha in zip(windows.items(), again, strict=True):
                alphas[index] = combined(alphas[index], alpha, window)
            if self.on_second_look:
                self.on_second_look(len(windows))
        return [
            alpha if np.isfinite(alpha).all() else InferenceFailed("the network gave NaN") for alpha in alphas
        ]


def shaped(alphas: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The alphas. Raises InferenceFailed when they are not as many, or not as large, as the pictures."""
    if alphas.shape != shape:
        raise InferenceFailed(f"the network gave {alphas.shape} for {shape}")
    return alphas
