"""BiRefNet's reconstruction module (Zheng et al. 2024, sections 3.3 and 3.4).

The paper's words: a reconstruction block (RB) mixes deformable convolutions of several receptive fields; the
inward reference (InRef) gives every stage the picture itself at its original resolution; the outward
reference (OutRef) turns predicted gradients into attention. Parameter names are those of the published
weights.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.birefnet.deform import DeformableConv2d

_INNER = 64  # channels inside reconstruction blocks and inward references
_BRANCH = 256  # channels of each branch of the deformable ASPP
_GRADIENT = 16  # channels of the gradient features
_KERNELS = (1, 3, 7)  # section 3.3: hierarchical receptive fields


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, corners aligned, to the height and width of `like`."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def picture_patches(picture: Tensor, height: int, width: int) -> Tensor:
    """Cuts a picture into tiles of height x width px and stacks them as channels: no pixel is resampled.

    (B, C, H, W), H and W multiples of height and width -> (B, C * H/height * W/width, height, width), colour
    first, then the tile's row, then its column.
    """
    batch, channels, full_height, full_width = picture.shape
    rows, columns = full_height // height, full_width // width
    tiles = picture.reshape(batch, channels, rows, height, columns, width)
    return tiles.transpose(3, 4).reshape(batch, channels * rows * columns, height, width)


class DeformableBranch(nn.Module):
    """Deformable convolution, batch norm, ReLU. (B, 64, H, W) -> (B, 256, H, W)."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.atrous_conv = DeformableConv2d(_INNER, _BRANCH, kernel)
        self.bn = nn.BatchNorm2d(_BRANCH)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.atrous_conv(x)), inplace=True)


class DeformableASPP(nn.Module):
    """Atrous spatial pyramid pooling with deformable convolutions of 1x1, 3x3 and 7x7 instead of atrous ones.

    Their outputs, a further 1x1 branch and a global average are concatenated, then mixed 1x1 (section 3.3).
    (B, 64, H, W) -> the same. The batch norm of the global branch needs B > 1 in training mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.aspp1 = DeformableBranch(1)
        self.aspp_deforms = nn.ModuleList(DeformableBranch(kernel) for kernel in _KERNELS)
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(_INNER, _BRANCH, 1, bias=False),
            nn.BatchNorm2d(_BRANCH),
            nn.ReLU(inplace=True),
        )
        self.conv1 = nn.Conv2d((2 + len(_KERNELS)) * _BRANCH, _INNER, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_INNER)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.aspp1(x), *(branch(x) for branch in self.aspp_deforms)]
        branches.append(self.global_avg_pool(x).expand_as(branches[0]))
        mixed: Tensor = self.dropout(F.relu(self.bn1(self.conv1(torch.cat(branches, dim=1))), inplace=True))
        return mixed


class ReconstructionBlock(nn.Module):
    """RB: squeeze to 64 channels, deformable ASPP, expand. (B, C_in, H, W) -> (B, C_out, H, W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels_in, _INNER, 3, padding=1)
        self.bn_in = nn.BatchNorm2d(_INNER)
        self.dec_att = DeformableASPP()
        self.conv_out = nn.Conv2d(_INNER, channels_out, 3, padding=1)
        self.bn_out = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn_in(self.conv_in(x)), inplace=True)
        reconstructed: Tensor = self.bn_out(self.conv_out(self.dec_att(x)))
        return reconstructed


class InwardReference(nn.Module):
    """InRef: appends features of the picture's own tiles to those of a stage (section 3.4).

    forward: features (B, C, H/stride, W/stride), picture (B, 3, H, W) -> features with channels_out more.
    """

    def __init__(self, stride: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3 * stride**2, _INNER, 3, padding=1)
        self.conv_out = nn.Conv2d(_INNER, channels_out, 3, padding=1)

    def forward(self, features: Tensor, picture: Tensor) -> Tensor:
        patches = picture_patches(picture, *features.shape[-2:])
        return torch.cat((features, self.conv_out(self.conv1(patches))), dim=1)


class Lateral(nn.Module):
    """The lateral connection: a 1x1 convolution. (B, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        lateral: Tensor = self.conv(x)
        return lateral


@dataclass(frozen=True, slots=True)
class SideOutputs:
    """What supervises one stage in training, at the stage's resolution, (B, 1, h, w) each.

    prediction: logits of the intermediate map M_i.
    gradient: logits of the predicted gradient map, the paper's G-hat_i.
    """

    prediction: Tensor
    gradient: Tensor


class Decoder(nn.Module):
    """From the squeezed encoder features to the map, stage by stage: strides 32, 16, 8, then 4.

    Args:
        channels: of the encoder's maps at strides 4, 8, 16 and 32.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        c1, c2, c3, c4 = channels
        # Stage i works at stride 2**(i+1); its inward reference is numbered one higher, 1 being the picture.
        for number, stride, width in ((5, 32, c4), (4, 16, c4), (3, 8, c3), (2, 4, c2), (1, 1, c1)):
            self.add_module(f"ipt_blk{number}", InwardReference(stride, width // 8))
        stages = ((4, c4 + c4 // 8, c3), (3, c3 + c4 // 8, c2), (2, c2 + c3 // 8, c1))
        for number, channels_in, channels_out in stages:
            self.add_module(f"decoder_block{number}", ReconstructionBlock(channels_in, channels_out))
            self.add_module(f"lateral_block{number}", Lateral(channels_out))
            self.add_module(f"conv_ms_spvn_{number}", nn.Conv2d(channels_out, 1, 1))
            gradient_features = (
                nn.Conv2d(channels_out, _GRADIENT, 3, padding=1),
                nn.BatchNorm2d(_GRADIENT),
                nn.ReLU(inplace=True),
            )
            self.add_module(f"gdt_convs_{number}", nn.Sequential(*gradient_features))
            self.add_module(f"gdt_convs_pred_{number}", nn.Sequential(nn.Conv2d(_GRADIENT, 1, 1)))
            self.add_module(f"gdt_convs_attn_{number}", nn.Sequential(nn.Conv2d(_GRADIENT, 1, 1)))
        self.decoder_block1 = ReconstructionBlock(c1 + c2 // 8, c1 // 2)
        self.conv_out1 = nn.Sequential(nn.Conv2d(c1 // 2 + c1 // 8, 1, 1))

    def forward(
        self, picture: Tensor, laterals: list[Tensor], squeezed: Tensor
    ) -> tuple[Tensor, list[SideOutputs]]:
        """The final logits and, in training mode alone, the side outputs, coarse to fine.

        Args:
            picture: (B, 3, H, W), sides multiples of 32.
            laterals: the encoder's maps at strides 4, 8 and 16.
            squeezed: F^d, (B, C, H/32, W/32).
        """
        x = squeezed
        sides = []
        for number in (4, 3, 2):
            x = self._part("ipt_blk", number + 1)(x, picture)
            x, side = self._stage(number, x)
            sides += side
            lateral = laterals[number - 2]
            x = resize_like(x, lateral) + self._part("lateral_block", number)(lateral)
        x = self.decoder_block1(self._part("ipt_blk", 2)(x, picture))
        x = self._part("ipt_blk", 1)(resize_like(x, picture), picture)
        return self.conv_out1(x), sides

    def _stage(self, number: int, x: Tensor) -> tuple[Tensor, list[SideOutputs]]:
        """RB, then OutRef: features that predict gradients say, through a sigmoid, where to attend."""
        x = self._part("decoder_block", number)(x)
        gradient_features = self._part("gdt_convs_", number)(x)
        sides = []
        if self.training:
            prediction = self._part("conv_ms_spvn_", number)(x)
            gradient = self._part("gdt_convs_pred_", number)(gradient_features)
            sides.append(SideOutputs(prediction, gradient))
        attention = self._part("gdt_convs_attn_", number)(gradient_features).sigmoid()
        return x * attention, sides

    def _part(self, name: str, number: int) -> nn.Module:
        return self.get_submodule(f"{name}{number}")
