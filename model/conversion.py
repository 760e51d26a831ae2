"""A network in torch as the files that model.openvino runs.

That goes by the frontend's own interface: `openvino.convert_model` would report its use to an analytics
service.
"""

import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset8
from openvino.frontend import ConversionExtension, FrontEndManager, NodeContext
from openvino.frontend.pytorch import ModuleExtension
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from model import selftest, weights
from model.converted import Conversion
from model.device import half_precisions
from model.errors import ModelUnavailable
from model.nets.birefnet.deform import DeformableConv2d
from model.preprocess import AlphaNet
from model.registry import ModelSpec

__all__ = ["convert", "converted", "main"]

_DEFORM = "objectcut::deform_conv2d"


def main() -> None:
    """The process that model.converted.elsewhere starts: what to convert comes in on its standard input."""
    spec, directory, folder = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started it
    try:
        convert(spec, directory, folder)
    except ModelUnavailable as exc:
        sys.stdout.write(str(exc))
        sys.exit(1)


def convert(spec: ModelSpec, directory: Path, folder: Path) -> None:
    """Writes a Conversion into `folder`. directory: of the models. Raises ModelUnavailable, as weights.load.

    The reference is torch's alpha in float32, which must be the one that is known of these weights.
    """
    checkpoint = weights.load(spec, directory)
    net = AlphaNet(checkpoint.net, spec)
    probe = selftest.picture(selftest.probe_size(spec.size))
    with torch.inference_mode():
        reference: NDArray[np.float32] = net(torch.from_numpy(probe)[None])[0].numpy()
    selftest.check(spec.name, reference, checkpoint.golden)
    halves = [str(dtype).removeprefix("torch.") for dtype in half_precisions(torch.device("cpu"))]
    # OpenVINO keeps the file in memory: weights that came in half precision take no more than that.
    in_half = _exact_in_half(checkpoint.net)
    openvino.save_model(
        converted(net, selftest.probe_size(spec.size)), Conversion.model(folder), compress_to_fp16=in_half
    )
    Conversion(checkpoint.sha256, tuple(halves), reference).write(folder)


def _exact_in_half(net: nn.Module) -> bool:
    floats = (weight for weight in net.state_dict().values() if weight.is_floating_point())
    return all(torch.equal(weight, weight.half().to(weight.dtype)) for weight in floats)


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
