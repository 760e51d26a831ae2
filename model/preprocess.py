"""What happens between a picture and its network: resizing on the host, normalisation on the device."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.registry import ModelSpec

__all__ = ["AlphaNet", "resize", "whitened"]


def resize(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 to (*size, 3) uint8, aspect not kept, bilinear with antialiasing.

    torch's uint8 kernel: as good as going by way of float, at a small part of the time.
    """
    if not rgb.flags.writeable:
        rgb = rgb.copy()  # torch refuses to share memory that it must not write
    # Channels last all the way: the permuted views copy nothing.
    x = torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0)
    y = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    return np.ascontiguousarray(y[0].permute(1, 2, 0).numpy())


def whitened(pictures: Tensor, white: float) -> Tensor:
    """Pictures (B, ...) brightened so that the greatest value of each is `white`; all black stays so."""
    greatest = pictures.flatten(1).amax(1).float().clamp(min=white / 255)
    return pictures * (white / greatest).view(-1, *[1] * (pictures.ndim - 1))


class AlphaNet(nn.Module):
    """A network with its normalisation and its sigmoid, so that no caller can get them wrong.

    (B, H, W, 3) uint8 sRGB in, (B, H, W) float32 in [0, 1] out. The network keeps the precision that its
    parameters have; normalisation and sigmoid are float32. No per-image stretching of the result.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.net = net.eval()
        self.precision = next(net.parameters()).dtype
        self.own_white = spec.own_white
        mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
        # (x / 255 - mean) / std, as one multiplication and one addition
        self.register_buffer("scale", (1 / (255 * std)).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Alphas of the pictures, shapes as in the class."""
        if self.own_white:
            pictures = whitened(pictures, 255)
        x = pictures.permute(0, 3, 1, 2) * self.scale + self.shift
        logits: Tensor = self.net(x.to(self.precision))
        return logits.squeeze(1).float().sigmoid()
