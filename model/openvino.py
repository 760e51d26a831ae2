"""A model on a CPU, run by OpenVINO (Intel; Apache-2.0), which is quicker there than torch and smaller.

The network is converted at the start, straight from torch, and is kept in no file.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Lock

import numpy as np
import openvino
from numpy.typing import NDArray

from model import converted, heap, selftest
from model.config import EngineConfig
from model.converted import Conversion
from model.errors import InferenceFailed, ModelUnavailable
from model.failures import device_errors
from model.files import estimated_memory
from model.loaded import LoadedModel, shaped
from model.registry import ModelSpec

__all__ = ["OpenVinoEngine"]

_LOG = logging.getLogger(__name__)

_HEAVY = 0.2
_CORES_EACH, _CORES_LIGHT = 4, 2
"""Above so many seconds of one core a picture gets so many cores of its own. How many it has is settled when
the network is compiled, so that a lone picture cannot have them all for a while, as it can with torch. Below,
two: a lone picture is answered a tenth sooner, for 3 to 6 % more of the machine's time under load."""

_MORE_SIZES = 2
"""Sizes beside the model's own that stay compiled: each takes seconds to compile, and memory of its own."""

_TYPES = {
    "float32": openvino.Type.f32,
    "bfloat16": openvino.Type.bf16,
    "float16": openvino.Type.f16,
}

Convert = Callable[[ModelSpec, Path, Path], None]
"""See model.conversion.convert."""


class OpenVinoEngine(LoadedModel):
    """A model that is ready when its constructor returns.

    clock: what decides how many cores a picture gets; a seam for tests. By default the calling thread's own
    time: other work of the machine does not count. convert: makes the network's files, in another process.
    Raises ModelUnavailable, from the constructor: the weights are missing, damaged or of another network,
    cannot be converted, or the self-test's alpha is wrong in OpenVINO.

    Every size is compiled for itself: those of `ModelSpec.sides` when they are first asked for. A batch is
    one picture, whatever is configured, as more at once do not pay on CPUs.
    """

    runtime = "openvino"

    def __init__(
        self,
        spec: ModelSpec,
        config: EngineConfig,
        *,
        clock: Callable[[], float] = time.thread_time,
        convert: Convert = converted.elsewhere,
    ) -> None:
        self.spec = spec
        self.max_batch = 1
        self._core = openvino.Core()
        self._networks: dict[tuple[int, int], _Network] = {}
        self._compiling = Lock()
        known, self._model = self._made(convert, config.model_dir)
        self.sha256 = known.sha256
        self.memory_bytes = estimated_memory(spec, config.model_dir)
        probe = selftest.picture(selftest.probe_size(spec.size))
        self._cores = config.cores
        self._precision, seconds = self._choose(config.precision, probe, known, clock)

        seconds *= math.prod(spec.size) / math.prod(_size(probe))
        self.streams = max(1, config.cores // (_CORES_EACH if seconds > _HEAVY else _CORES_LIGHT))
        _LOG.info("%s: %.2f s of a core a picture, %d at once", spec.name, seconds, self.streams)
        self._networks[spec.size] = self._compiled(spec.size)
        golden = selftest.thumbnail(known.reference) if _size(probe) == spec.size else None
        selftest.check(spec.name, self.predict(selftest.picture(spec.size)[None])[0], golden)
        if spec.sides is None:
            self._model = None
        heap.trim()

    @property
    def precision(self) -> str:
        """See LoadedModel."""
        return self._precision

    def place(self) -> tuple[str, str]:
        """See LoadedModel."""
        version = openvino.get_version().partition("-")[0]
        return "cpu", f"{self._core.get_property('CPU', 'FULL_DEVICE_NAME')}, OpenVINO {version}"

    def predict(self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """See LoadedModel."""
        size = _size(pictures[0])
        with device_errors():
            network = self._network(size)
            alphas = np.concatenate([network.alpha(picture) for picture in pictures])
        return shaped(alphas, (len(pictures), *size))

    def close(self) -> None:
        """See LoadedModel."""
        self._networks.clear()
        self._model = None

    def _made(self, convert: Convert, directory: Path) -> tuple[Conversion, openvino.Model]:
        """What `convert` makes; its files live as long as this takes, or are mapped where they are large."""
        try:
            with TemporaryDirectory(prefix="objectcut-", ignore_cleanup_errors=True) as name:
                folder = Path(name)
                convert(self.spec, directory, folder)
                return Conversion.read(folder), self._core.read_model(Conversion.model(folder))
        except OSError as exc:  # nowhere to write to, or no room there
            raise ModelUnavailable(
                f"model '{self.spec.name}' cannot be converted for OpenVINO here: {exc.strerror}"
            ) from exc

    def _network(self, size: tuple[int, int]) -> "_Network":
        if found := self._networks.get(size):
            return found
        with self._compiling:
            if found := self._networks.get(size):
                return found
            more = [known for known in self._networks if known != self.spec.size]
            for oldest in more[: len(more) + 1 - _MORE_SIZES]:
                del self._networks[oldest]
            network = self._networks[size] = self._compiled(size)
            return network

    def _compiled(self, size: tuple[int, int]) -> "_Network":
        if self._model is None:
            raise InferenceFailed(f"model '{self.spec.name}' takes no pictures of {size} px")
        self._model.reshape([1, *size, 3])
        _LOG.info("%s: compiling for %d x %d px", self.spec.name, size[1], size[0])
        return _Network(self._core, self._model, self._precision, self._cores, self.streams)

    def _choose(
        self, precision: str, probe: NDArray[np.uint8], known: Conversion, clock: Callable[[], float]
    ) -> tuple[str, float]:
        """The best precision that agrees with torch's alpha of the probe, and its seconds of one core for it.

        OpenVINO computes in another precision where the CPU has not the one that it is told to. It keeps the
        code that it makes for so many threads: as many as a light network then has, or there are two of it.
        """
        cores = min(self._cores, _CORES_LIGHT)
        for wanted in [*known.halves, "float32"] if precision == "auto" else [precision]:
            network = _Network(self._core, self._model, wanted, cores, streams=1)
            network.alpha(probe)  # warms up
            start = clock()
            alpha = network.alpha(probe)[0]
            seconds = cores * (clock() - start)
            if network.precision == wanted and selftest.agree(alpha, known.reference):
                return wanted, seconds
            _LOG.info("%s: %s is not right here", self.spec.name, wanted)
        raise ModelUnavailable(
            f"model '{self.spec.name}' gives no right result in {wanted} with OpenVINO here"
        )


class _Network:
    """A network compiled for one size of picture.

    model: of that size. cores: in all. streams: pictures at once, which share them; further ones wait.
    precision: what was meant to be computed in; afterwards, what is.
    """

    def __init__(
        self, core: openvino.Core, model: openvino.Model, precision: str, cores: int, streams: int
    ) -> None:
        settings = {
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": streams,
            # Threads that cannot move make room for nobody: neither for decoding nor for another model's.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(model, "CPU", settings)
        actual = compiled.get_property("INFERENCE_PRECISION_HINT")
        self.precision = next((name for name, kind in _TYPES.items() if kind == actual), str(actual))
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        for _ in range(streams):
            self._idle.put(compiled.create_infer_request())

    def alpha(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(h, w, 3) uint8 to (1, h, w) float32."""
        request = self._idle.get()
        try:
            alpha: NDArray[np.float32] = request.infer([picture[None]])[0]
            return alpha
        finally:
            self._idle.put(request)


def _size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return height, width
