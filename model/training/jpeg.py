"""What JPEG does to a picture, on the device: 4:2:0 colour and quantised 8 x 8 blocks (ITU-T T.81)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["jpeg"]

_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""JFIF's colours."""

# Annex K of the standard, tables K.1 and K.2, row by row.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_BLOCK = 8


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """(B, 3, H, W) RGB float in [0, 1], written and read at a quality of its own each, (B,) in 1 to 100."""
    height, width = pictures.shape[-2:]
    right, below = -width % (2 * _BLOCK), -height % (2 * _BLOCK)
    padded = F.pad(pictures, (0, right, 0, below), mode="replicate")
    colours = torch.tensor(_TO_YCC, device=pictures.device, dtype=pictures.dtype)
    ycc = torch.einsum("oc,bchw->bohw", colours, padded * 255)
    # libjpeg's scale of the tables by quality.
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(-1, 1, 1, 1, 1, 1)
    luma = _quantised(ycc[:, :1] - 128, _LUMINANCE, scale) + 128
    chroma = _quantised(F.avg_pool2d(ycc[:, 1:], 2), _CHROMINANCE, scale)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    restored = torch.einsum("oc,bchw->bohw", torch.linalg.inv(colours), torch.cat([luma, chroma], dim=1))
    return (restored[..., :height, :width] / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], scale: Tensor) -> Tensor:
    """(B, C, H, W), sides multiples of 8, each block's cosine coefficients rounded to the table's steps."""
    batch, channels, height, width = planes.shape
    steps = torch.tensor(table, device=planes.device, dtype=planes.dtype)
    steps = (steps * scale).round().clamp(1, 255)
    cosines = _cosines(planes)
    blocks = planes.view(batch, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(3, 4)
    coefficients = ((cosines @ blocks @ cosines.T) / steps).round() * steps
    return (cosines.T @ coefficients @ cosines).transpose(3, 4).reshape(batch, channels, height, width)


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal matrix of the discrete cosine transform, (8, 8)."""
    steps = torch.arange(_BLOCK, device=like.device, dtype=like.dtype)
    waves = torch.cos((2 * steps[None] + 1) * steps[:, None] * math.pi / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    waves[0] = math.sqrt(1 / _BLOCK)
    return waves
