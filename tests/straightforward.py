"""Networks run the plain way: what ours are checked against, and what their speed is compared with.

Eager, float32, NCHW, batch norm as it is, and deformable convolutions as one writes them first: every sample
of every tap by one `grid_sample`, then one matrix product.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.birefnet.deform import DeformableConv2d


def straightforward(net: nn.Module) -> nn.Module:
    """A copy of the network, weights and all, that runs the plain way. (B, 3, H, W) float32 to logits."""
    plain = copy.deepcopy(net).eval().float()
    plain = plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    layers = [name for name, part in plain.named_modules() if isinstance(part, DeformableConv2d)]
    for name in layers:
        plain.set_submodule(name, _GridSampleConv2d(plain.get_submodule(name)))
    return _Plain(plain)


def deform_conv2d_grid_sample(
    x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Tensor:
    """What `model.nets.birefnet.deform.deform_conv2d` computes, arguments as there, NCHW in memory."""
    batch, channels, height, width = x.shape
    outputs, _, kernel_height, kernel_width = weight.shape
    taps = kernel_height * kernel_width
    out_height, out_width = offset.shape[-2:]
    tap = torch.arange(taps, device=x.device).view(-1, 1, 1)
    tap_y = torch.arange(out_height, device=x.device).view(-1, 1) + tap // kernel_width - padding
    tap_x = torch.arange(out_width, device=x.device) + tap % kernel_width - padding
    offset = offset.view(batch, taps, 2, out_height, out_width)
    # grid_sample counts from the edge of the picture, -1 to 1, and a pixel's value stands in its middle.
    y = (2 * (offset[:, :, 0] + tap_y) + 1) / height - 1
    x_ = (2 * (offset[:, :, 1] + tap_x) + 1) / width - 1
    grid = torch.stack((x_, y), dim=-1).view(batch, taps * out_height, out_width, 2)
    samples = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    samples = samples.view(batch, channels, taps, out_height, out_width) * modulation[:, None]
    result = weight.view(outputs, -1) @ samples.view(batch, channels * taps, -1)
    if bias is not None:
        result += bias.view(-1, 1)
    return result.view(batch, outputs, out_height, out_width)


class _Plain(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x.contiguous())
        return logits


class _GridSampleConv2d(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.layer, DeformableConv2d)
        conv, x = self.layer.regular_conv, x.contiguous()
        offset, modulation = self.layer.offset_conv(x), 2 * self.layer.modulator_conv(x).sigmoid()
        return deform_conv2d_grid_sample(x, offset, modulation, conv.weight, conv.bias, self.layer.padding)
