"""How much a network computes, and how much the device could."""

import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.registry import ModelSpec
from tests.straightforward import straightforward

_SIDE = {"cpu": 2048, "cuda": 8192}
_PEAK_SECONDS = 1.0


def count(spec: ModelSpec) -> int:
    """Operations for one picture of spec.size, in convolutions and matrix products: two for a multiplication
    with its addition. Nothing is computed: shapes suffice.

    Counted in the straightforward form, so that every way of running is measured by the same work: deformable
    convolutions as matrix products, attention as the two products that it is made of.
    """
    with torch.device("meta"):
        net = straightforward(spec.build()).to("meta")
        picture = torch.empty(1, 3, *spec.size)
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(picture)
    return int(counter.get_total_flops())


def matmul_peak(device: torch.device, precision: str, cores: int) -> float:
    """Operations per second of a large matrix product, the best of about a second of them."""
    torch.set_num_threads(cores)
    side = _SIDE.get(device.type, 4096)
    matrix = torch.randn(side, side, device=device).to(getattr(torch, precision))
    best, end = 0.0, time.perf_counter() + _PEAK_SECONDS
    while time.perf_counter() < end or not best:
        _wait(device)
        start = time.perf_counter()
        _ = matrix @ matrix
        _wait(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
