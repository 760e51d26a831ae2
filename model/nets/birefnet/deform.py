"""Modulated deformable convolution (Zhu et al., Deformable ConvNets v2, CVPR 2019).

    y(p) = bias + sum over the taps k of  w_k . x(p + p_k + dp_k) . dm_k                       (equation 1)

where p_k is the tap's place in an ordinary kernel, dp_k the learned offset and dm_k the learned modulation,
both read at p, and x between pixels is bilinear, and zero outside the picture.

Plain torch computes it on CPUs and for autograd; on CUDA, without autograd, what was measured to be quickest.
"""

import torch
from torch import Tensor, nn

from model.nets.birefnet import deform_cuda, deform_plain

__all__ = ["DeformableConv2d", "deform_conv2d"]


def deform_conv2d(
    x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Tensor:
    """Modulated deformable convolution with stride 1 and dilation 1. Differentiable in every tensor.

    Args:
        x: (B, C, H, W) floats.
        offset: (B, 2K, H', W') in px for K taps, row by row: dy of tap k in channel 2k, dx in 2k + 1.
        modulation: (B, K, H', W'), a factor on each sample.
        weight: (O, C, kernel height, kernel width).
        bias: (O,) or None.
        padding: px of zeros on every side: H' = H + 2 * padding - kernel height + 1, and W' likewise.

    Returns:
        (B, O, H', W') of x's dtype, channels last in memory. Places are computed in float32 at least.

    Raises:
        ValueError: the shapes do not fit together.
    """
    batch, channels, height, width = x.shape
    _, channels_in, kernel_height, kernel_width = weight.shape
    taps = kernel_height * kernel_width
    out_height, out_width = height + 2 * padding - kernel_height + 1, width + 2 * padding - kernel_width + 1
    expected = {"offset": (offset, 2 * taps), "modulation": (modulation, taps)}
    for name, (tensor, depth) in expected.items():
        if tensor.shape != (batch, depth, out_height, out_width):
            raise ValueError(f"{name} is {tuple(tensor.shape)}, not {(batch, depth, out_height, out_width)}")
    if channels_in != channels:
        raise ValueError(f"weight takes {channels_in} channels, x has {channels}")
    fused = x.is_cuda and not torch.is_grad_enabled()
    run = deform_cuda.deform_conv2d if fused else deform_plain.deform_conv2d
    return run(x, offset, modulation, weight, bias, padding)


class DeformableConv2d(nn.Module):
    """A modulated deformable convolution that reads its offsets and modulation from its own input.

    Offsets and modulation start at 0 and 1, so that training begins with an ordinary convolution.
    (B, channels_in, H, W) -> (B, channels_out, H, W); kernel is odd.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.padding = kernel // 2
        taps = kernel * kernel
        self.offset_conv = nn.Conv2d(channels_in, 2 * taps, kernel, padding=self.padding)
        self.modulator_conv = nn.Conv2d(channels_in, taps, kernel, padding=self.padding)
        # Only its parameters are used: the name is that of the published weights.
        self.regular_conv = nn.Conv2d(channels_in, channels_out, kernel, padding=self.padding, bias=False)
        for conv in (self.offset_conv, self.modulator_conv):
            for parameter in conv.parameters():
                nn.init.zeros_(parameter)

    def sampling(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The offset and the modulation that `deform_conv2d` is to take."""
        return self.offset_conv(x), 2 * self.modulator_conv(x).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        conv = self.regular_conv
        return deform_conv2d(x, *self.sampling(x), conv.weight, conv.bias, self.padding)
