"""BiRefNet (Zheng et al., 2024) and its backbones, with the layout of the authors' published weights."""

from model.nets.birefnet.birefnet import BACKBONES, BiRefNet, BiRefNetOutput

__all__ = ["BACKBONES", "BiRefNet", "BiRefNetOutput"]
