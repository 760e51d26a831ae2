"""The terms of the papers' losses, each for one output.

BASNet's hybrid loss is l = l_bce + l_ssim + l_iou on every output (Qin et al., 2021, equations 2 to 6);
BiRefNet weighs the same three (Zheng et al., 2024, equation 1). objectives.py puts them together.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def _gaussian_band(size: int, like: Tensor) -> Tensor:
    """(size, size) matrix whose rows are the window, shifted: blurring as a product, zeros beyond the border.

    On CPUs the product is about three times as fast as a depthwise convolution, forward and backward.
    """
    steps = torch.arange(size, device=like.device)
    distance = (steps[:, None] - steps[None, :]).to(like.dtype)
    band = torch.exp(-distance.square() / (2 * _SSIM_SIGMA**2)) * (distance.abs() <= _SSIM_WINDOW // 2)
    reach = torch.arange(-(_SSIM_WINDOW // 2), _SSIM_WINDOW // 2 + 1, device=like.device, dtype=like.dtype)
    return band / torch.exp(-reach.square() / (2 * _SSIM_SIGMA**2)).sum()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity of two maps, (B,1,H,W) in [0,1] (equation 4); zero padding at the border."""
    down, across = _gaussian_band(a.shape[-2], a), _gaussian_band(a.shape[-1], a)
    moments = down @ (torch.cat([a, b, a * a, b * b, a * b], dim=1) @ across)
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, dim=1)
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    similarity = ((2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)) / (
        (mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2)
    )
    return similarity.mean()


def soft_iou_loss(probability: Tensor, target: Tensor) -> Tensor:
    """1 - IoU of two soft maps, (B,1,H,W) in [0,1], mean over the batch (equation 6)."""
    intersection = (probability * target).sum(dim=(1, 2, 3))
    union = (probability + target - probability * target).sum(dim=(1, 2, 3))
    return (1 - intersection / union.clamp_min(1e-6)).mean()


def structure_loss(logits: Tensor, target: Tensor) -> Tensor:
    """BCE + soft IoU loss, pixels near an edge weighing up to six times as much (Wei et al., F3Net, 2020).

    logits, target: (B,1,H,W), target in [0,1].
    """
    local_mean = F.avg_pool2d(target, kernel_size=31, stride=1, padding=15)
    weight = 1 + 5 * (local_mean - target).abs()
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    bce = (weight * bce).sum(dim=(2, 3)) / weight.sum(dim=(2, 3))
    probability = logits.sigmoid()
    both = (weight * probability * target).sum(dim=(2, 3))
    either = (weight * (probability + target)).sum(dim=(2, 3)) - both
    return (bce + 1 - (both + 1) / (either + 1)).mean()


def contour_loss(probability: Tensor, target: Tensor, *, length_weight: float = 10.0) -> Tensor:
    """The active contour's energy: its length, and what it encloses wrongly (Chen et al., CVPR 2019).

    probability, target: (B,1,H,W) in [0,1]. Differences are taken one px on in either direction.
    """
    down = probability[:, :, 2:, :-2] - probability[:, :, 1:-1, :-2]
    across = probability[:, :, :-2, 2:] - probability[:, :, :-2, 1:-1]
    length = (down.square() + across.square() + 1e-8).sqrt().mean()
    inside = (probability * (target - 1).square()).mean()
    outside = ((1 - probability) * target.square()).mean()
    return length_weight * length + inside + outside


def hybrid_loss(logits: Tensor, target: Tensor) -> Tensor:
    """BCE + (1 - SSIM) + soft IoU loss of one output. logits, target: (B,1,H,W), target in [0,1]."""
    probability = logits.sigmoid()
    bce = F.binary_cross_entropy_with_logits(logits, target)
    return bce + (1 - ssim(probability, target)) + soft_iou_loss(probability, target)
