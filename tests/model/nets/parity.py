"""Parameters that anybody can compute again, so that two implementations can be compared without weights."""

import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def fill_by_name(net: nn.Module) -> None:
    """Sets every floating-point entry of the state dict to values drawn from a seed that is its name."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(_values(name, tuple(tensor.shape))))


def normal_input(height: int, width: int, count: int) -> torch.Tensor:
    """(count, 3, height, width) float32, standard normal, always the same."""
    x = np.random.default_rng(7).standard_normal((count, 3, height, width))
    return torch.from_numpy(x.astype(np.float32))


def _values(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    x: NDArray[np.float32] = np.asarray(rng.standard_normal(shape), np.float32)
    leaf = name.rpartition(".")[2]
    if leaf == "running_var":
        return 1 + np.float32(0.25) * np.abs(x)
    if len(shape) >= 2 and "relative_position_bias_table" not in name:
        return x * np.float32(np.sqrt(1 / np.prod(shape[1:])))
    if leaf == "weight" and len(shape) == 1:
        return 1 + np.float32(0.1) * x
    return np.float32(0.1) * x
