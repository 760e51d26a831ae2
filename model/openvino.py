"""A model on a CPU, run by OpenVINO (Intel; Apache-2.0), which is quicker there than torch.

The network is converted at the start, straight from torch, and exists in no file. That goes by the frontend's
own interface: `openvino.convert_model` would report its use to an analytics service.
"""

import gc
import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset8
from openvino.frontend import ConversionExtension, FrontEndManager, NodeContext
from openvino.frontend.pytorch import ModuleExtension
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor

from model import selftest, weights
from model.config import EngineConfig
from model.device import device_errors, half_precisions
from model.engine import estimated_memory
from model.errors import InferenceFailed, ModelUnavailable
from model.loaded import LoadedModel, shaped
from model.nets.birefnet.deform import DeformableConv2d
from model.preprocess import AlphaNet
from model.registry import ModelSpec

__all__ = ["OpenVinoEngine", "converted"]

_LOG = logging.getLogger(__name__)

_HEAVY = 0.2
_CORES_EACH = 4
"""Above so many seconds of one core a picture gets so many cores of its own. How many it has is settled when
the network is compiled, so that a lone picture cannot have them all for a while, as it can with torch."""

_MORE_SIZES = 2
"""Sizes beside the model's own that stay compiled: each takes seconds to compile, and memory of its own."""

_TYPES = {
    "float32": openvino.Type.f32,
    "bfloat16": openvino.Type.bf16,
    "float16": openvino.Type.f16,
}

_DEFORM = "objectcut::deform_conv2d"


class OpenVinoEngine(LoadedModel):
    """A model that is ready when its constructor returns.

    clock: what decides how many cores a picture gets; a seam for tests. By default the calling thread's own
    time: other work of the machine does not count.
    Raises ModelUnavailable, from the constructor: the weights are missing, damaged or of another network, or
    the self-test's alpha is wrong in OpenVINO.

    Every size is compiled for itself: those of `ModelSpec.sides` when they are first asked for. The pictures
    of a batch follow one another, as more at once do not pay on CPUs.
    """

    def __init__(
        self, spec: ModelSpec, config: EngineConfig, *, clock: Callable[[], float] = time.thread_time
    ) -> None:
        self.spec = spec
        self.max_batch = config.max_batch or 1
        self._core = openvino.Core()
        self._networks: dict[tuple[int, int], _Network] = {}
        self._compiling = Lock()

        checkpoint = weights.load(spec, config.model_dir)
        self.sha256 = checkpoint.sha256
        net = AlphaNet(checkpoint.net, spec)
        self.memory_bytes = estimated_memory(spec, config.model_dir)
        probe = selftest.picture(selftest.probe_size(spec.size))
        torch.set_num_threads(config.cores)
        with torch.inference_mode():
            reference: NDArray[np.float32] = net(torch.from_numpy(probe)[None])[0].numpy()
        self._test(reference, checkpoint.golden)
        self._model = converted(net, _size(probe))
        self._precision, seconds = self._choose(config.precision, probe, reference, clock)

        seconds *= math.prod(spec.size) / math.prod(_size(probe))
        self._cores = config.cores
        self.streams = max(1, config.cores // _CORES_EACH) if seconds > _HEAVY else config.cores
        _LOG.info("%s: %.2f s of a core a picture, %d at once", spec.name, seconds, self.streams)
        self._networks[spec.size] = self._compiled(spec.size)
        same = _size(probe) == spec.size
        self._test(self.predict(selftest.picture(spec.size)[None])[0], checkpoint.golden if same else None)
        if spec.sides is None:
            self._model = None
        del net, checkpoint
        gc.collect()  # the tracer leaves circles, and they hold every parameter

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
        self,
        precision: str,
        probe: NDArray[np.uint8],
        reference: NDArray[np.float32],
        clock: Callable[[], float],
    ) -> tuple[str, float]:
        """The best precision that agrees with torch's alpha of the probe, and its seconds of one core for it.

        OpenVINO computes in another precision where the CPU has not the one that it is told to.
        """
        halves = [str(dtype).removeprefix("torch.") for dtype in half_precisions(torch.device("cpu"))]
        for wanted in [*halves, "float32"] if precision == "auto" else [precision]:
            network = _Network(self._core, self._model, wanted, cores=1, streams=1)
            network.alpha(probe)  # warms up
            start = clock()
            alpha = network.alpha(probe)[0]
            seconds = clock() - start
            if network.precision == wanted and selftest.agree(alpha, reference):
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


def converted(net: AlphaNet, size: tuple[int, int]) -> openvino.Model:
    """The network in OpenVINO's terms, of any size. net: of no use afterwards, as tracing leaves its marks.

    size: (height, width) in px of the picture that it is traced with; `reshape` makes it one of another size.
    """
    deformable = ModuleExtension(DeformableConv2d, _DEFORM, evaluate=_of_its_shape, convert=_sampling)
    with torch.no_grad(), warnings.catch_warnings():
        # Of the tracer, which cannot know that what it sees holds for every size: the self-test finds out.
        warnings.simplefilter("ignore")
        decoder = TorchScriptPythonDecoder(
            net,
            example_input=torch.zeros(1, *size, 3, dtype=torch.uint8),
            module_extensions={DeformableConv2d: deformable},
            trace_kwargs={"check_trace": False},
        )
    frontend = FrontEndManager().load_by_framework("pytorch")
    frontend.add_extension(ConversionExtension(_DEFORM, _deform_conv2d))
    model: openvino.Model = frontend.convert(frontend.load(decoder))
    model.reshape([1, *size, 3])
    return model


def _sampling(module: DeformableConv2d, convolve: Callable[..., Tensor], x: Tensor) -> Tensor:
    """What is traced in a deformable convolution's place. convolve: recorded as the one operation _DEFORM."""
    return convolve(x, *module.sampling(x), module.regular_conv.weight)


def _of_its_shape(
    _: DeformableConv2d, x: Tensor, offset: Tensor, _modulation: Tensor, weight: Tensor
) -> Tensor:
    """What tracing computes in a deformable convolution's place: nothing, of the right shape."""
    return x.new_zeros(len(x), len(weight), *offset.shape[2:])


def _deform_conv2d(context: NodeContext) -> list[openvino.Output]:
    """_DEFORM as OpenVINO's own operation, which finds its places in float32 whatever the hint."""
    x, offset, modulation, weight = (context.get_input(index) for index in range(4))
    pads = [side // 2 for side in list(weight.get_shape())[2:]]
    node = opset8.deformable_convolution(
        x, offset, weight, [1, 1], pads, pads, [1, 1], mask=modulation, bilinear_interpolation_pad=True
    )
    outputs: list[openvino.Output] = node.outputs()
    return outputs


def _size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return height, width
