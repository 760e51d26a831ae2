"""BiRefNet: Bilateral Reference for High-Resolution Dichotomous Image Segmentation (Zheng et al., 2024).

    picture -> encoder, at two scales -> localisation module (LM) -> reconstruction module (RM) -> logits
                                                                       ^ picture tiles   ^ gradients

The paper's section 3 in the configuration of the weights that its authors published. A state dict of theirs,
its prefixes `module.` or `_orig_mod.` stripped, loads strictly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.birefnet.decoder import Decoder, ReconstructionBlock, SideOutputs, resize_like
from model.nets.birefnet.pvt_v2 import PVTv2, pvt_v2_b0, pvt_v2_b1, pvt_v2_b2, pvt_v2_b5
from model.nets.birefnet.swin import Swin, swin_v1_b, swin_v1_l, swin_v1_s, swin_v1_t

BACKBONES: Mapping[str, Callable[[], Swin | PVTv2]] = {
    "swin_v1_t": swin_v1_t,
    "swin_v1_s": swin_v1_s,
    "swin_v1_b": swin_v1_b,
    "swin_v1_l": swin_v1_l,
    "pvt_v2_b0": pvt_v2_b0,
    "pvt_v2_b1": pvt_v2_b1,
    "pvt_v2_b2": pvt_v2_b2,
    "pvt_v2_b5": pvt_v2_b5,
}
"""The encoders there are, with random parameters."""

_STRIDE = 32


@dataclass(frozen=True, slots=True)
class BiRefNetOutput:
    """What training supervises; all of it logits but for gradient_targets. Stages run from coarse to fine.

    final: (B, 1, H, W), the map M.
    sides: the intermediate maps M_3, M_2, M_1, (B, 1, H/k, W/k) for k = 32, 16, 8: multi-stage supervision.
    gradients: the predicted gradient maps of the same stages and sizes.
    gradient_targets: the masked gradient maps G^m of the picture that these are to match, (B, 1, H, W),
        constants to autograd. Like the predictions they go through a sigmoid before they are compared.
    deepest: the encoder's last features F^e_4, (B, C, H/32, W/32), for the auxiliary head of classes.
    """

    final: Tensor
    sides: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    gradient_targets: tuple[Tensor, ...]
    deepest: Tensor


class BiRefNet(nn.Module):
    """The network with one of BACKBONES and random parameters; nothing is downloaded.

    forward: pictures (B, 3, H, W), float, normalised with ImageNet's mean and deviation; H and W multiples of
    32. In eval mode the logits (B, 1, H, W); in training mode, which needs B > 1, a BiRefNetOutput.

    Raises:
        ValueError: an unknown backbone, or a side that is no multiple of 32.
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"no backbone {backbone!r}: there are {', '.join(BACKBONES)}")
        self.bb = BACKBONES[backbone]()
        c1, c2, c3, c4 = (2 * channels for channels in self.bb.channels)  # of two scales each
        self.squeeze_module = nn.Sequential(ReconstructionBlock(c1 + c2 + c3 + c4, c4))
        self.decoder = Decoder((c1, c2, c3, c4))

    def forward(self, picture: Tensor) -> Tensor | BiRefNetOutput:
        if picture.shape[-1] % _STRIDE or picture.shape[-2] % _STRIDE:
            raise ValueError(f"sides must be multiples of {_STRIDE} px, not {tuple(picture.shape[-2:])}")
        *laterals, deepest = self._encode(picture)
        context = [resize_like(feature, deepest) for feature in laterals]
        squeezed = self.squeeze_module(torch.cat((*context, deepest), dim=1))
        final, sides = self.decoder(picture, laterals, squeezed)
        return _supervised(picture, final, sides, deepest) if self.training else final

    def _encode(self, picture: Tensor) -> list[Tensor]:
        """F^e_1 to F^e_4 at strides 4 to 32: what the encoder sees at full and at half size, concatenated."""
        half = F.interpolate(picture, scale_factor=0.5, mode="bilinear", align_corners=True)
        pairs = zip(self.bb(picture), self.bb(half), strict=True)
        return [torch.cat((fine, resize_like(coarse, fine)), dim=1) for fine, coarse in pairs]


def _supervised(picture: Tensor, final: Tensor, sides: list[SideOutputs], deepest: Tensor) -> BiRefNetOutput:
    predictions = tuple(side.prediction for side in sides)
    gradient = gradient_map(picture)
    return BiRefNetOutput(
        final=final,
        sides=predictions,
        gradients=tuple(side.gradient for side in sides),
        gradient_targets=tuple(masked_gradient(gradient, prediction) for prediction in predictions),
        deepest=deepest,
    )


def gradient_map(picture: Tensor) -> Tensor:
    """The gradients G^gt: a 5x5 Laplacian of the mean colour, 0 where that is even. To (B, 1, H, W).

    Its kernel is 1 everywhere and -24 in the middle, over 48; the picture is mirrored at its border.
    """
    grey = picture.detach().mean(dim=1, keepdim=True)
    neighbourhood = F.avg_pool2d(F.pad(grey, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
    return (neighbourhood - grey) * (25 / 48)


def masked_gradient(gradient: Tensor, prediction: Tensor) -> Tensor:
    """G^m (section 3.4): gradients of the background, as far as M_i tells it from the subject, are put out.

    gradient (B, 1, H, W), prediction (B, 1, h, w) logits -> (B, 1, H, W). The mask is the prediction, dilated
    by one pixel of its own.
    """
    mask = F.max_pool2d(prediction.detach().sigmoid(), 3, stride=1, padding=1)
    return gradient * resize_like(mask, gradient)
