"""The Triton kernel run in a process of its own: `python -m tests.model.nets.triton_cases run|compile`.

run: the kernel's errors on CASES as JSON, {case: {tiling: error}}, each the largest difference from the
definition in float64, as a share of the largest value. On a GPU where there is one, else in Triton's
interpreter, which TRITON_INTERPRET=1 must ask for before Triton is imported.

compile: what the compiler makes of every tiling for a GPU that need not be here (compute capability 9.0, as
H100 and H200 have) as JSON, {precision tiling: bytes of shared memory}.
"""

import json
import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tests.model.nets.deform_definition import arguments, definition


@dataclass(frozen=True)
class Case:
    """Sizes as `arguments` takes them. The precision is that of x, offset and modulation; that of the weights
    may be another, as tl.dot multiplies the bit patterns of bfloat16 in the interpreter (Triton 3.9)."""

    sizes: tuple[int, int, tuple[int, int], int, int, int, float]
    dtype: torch.dtype = torch.float32
    weights: torch.dtype | None = None
    bias: bool = True
    broken: bool = False  # a place is not a number, another one infinite


_HALF, _BRAIN = torch.float16, torch.bfloat16

CASES = {
    "1x1": Case((2, 5, (6, 9), 4, 1, 0, 1.0)),
    "3x3": Case((2, 3, (7, 5), 2, 3, 1, 1.0)),
    "7x7": Case((1, 4, (9, 8), 3, 7, 3, 1.0)),
    "3x3 without padding": Case((1, 2, (8, 10), 2, 3, 0, 1.0)),
    "7x7 smaller output": Case((2, 2, (9, 7), 2, 7, 1, 1.0)),
    "mostly outside": Case((1, 2, (6, 6), 2, 3, 1, 8.0)),
    "far outside": Case((1, 2, (5, 5), 2, 3, 1, 1e12)),
    "whole places": Case((1, 2, (5, 7), 2, 3, 1, 0.0)),
    "a single pixel": Case((1, 1, (1, 1), 1, 3, 1, 0.7)),
    "no bias": Case((1, 3, (4, 6), 5, 3, 1, 1.0), bias=False),
    "not a number": Case((1, 2, (4, 4), 2, 1, 0, 1.0), broken=True),
    "several blocks of places, outputs and channels": Case((3, 70, (5, 11), 270, 1, 0, 2.0)),
    "BiRefNet's layer": Case((1, 64, (5, 6), 256, 3, 1, 2.0)),
    "1x1 float16": Case((2, 5, (6, 9), 4, 1, 0, 1.0), _HALF),
    "3x3 float16": Case((2, 20, (7, 5), 18, 3, 1, 1.0), _HALF),
    "7x7 float16": Case((1, 4, (9, 8), 3, 7, 3, 1.0), _HALF),
    "3x3 bfloat16, float32 weights": Case((2, 3, (7, 5), 2, 3, 1, 1.0), _BRAIN, torch.float32),
}
ON_GPU = {
    "1x1 bfloat16": Case((2, 5, (6, 9), 4, 1, 0, 1.0), _BRAIN),
    "7x7 bfloat16": Case((1, 64, (9, 8), 256, 7, 3, 1.0), _BRAIN),
}
"""What the interpreter computes wrongly."""


def errors(case: Case, device: str) -> dict[str, float]:
    """Those of every tiling."""
    from model.nets.birefnet import deform_plain, deform_triton

    tensors = {name: tensor.to(case.dtype) for name, tensor in arguments(*case.sizes).items()}
    tensors["weight"] = tensors["weight"].to(case.weights or case.dtype)
    if case.broken:
        tensors["offset"][0, 0, 1, 2] = torch.nan
        tensors["offset"][0, 1, 3, 3] = torch.inf
    padding = case.sizes[5]
    exact = {name: tensor.double() for name, tensor in tensors.items()}
    if not case.bias:
        exact["bias"].zero_()
    if case.broken:  # the loops know no place that is none; the plain way does, and has its own test
        expected = deform_plain.deform_conv2d(**exact, padding=padding).numpy()
    else:
        expected = definition(exact, padding)
    x, offset, modulation, weight, bias = (tensor.to(device) for tensor in tensors.values())
    given = (x, offset, modulation, weight, bias if case.bias else None, padding)
    return {name: _error(run(*given), expected) for name, run in deform_triton.VARIANTS.items()}


def _error(result: Tensor, expected: np.ndarray) -> float:
    """Infinite where a result is a number and should not be, or the other way round."""
    values = result.double().cpu().numpy()
    if not np.array_equal(np.isnan(values), np.isnan(expected)):
        return float("inf")
    return float(np.nanmax(np.abs(values - expected)) / np.nanmax(np.abs(expected)))


def compiled(dtype: torch.dtype) -> dict[str, int]:
    """The shared memory that each tiling takes for BiRefNet's layers, in bytes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from model.nets.birefnet import deform_triton

    pointer = {torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32"}[dtype]
    kernel, taken = deform_triton._kernel, {}
    for name, tiling in deform_triton._TILINGS.items():
        known = {"CHANNELS": 64, "OUTPUTS": 256, "HAS_BIAS": True, "BLOCK_CHANNELS": 64}
        known |= {"BLOCK_PLACES": tiling.places, "BLOCK_OUTPUTS": tiling.outputs}
        signature = {
            argument: "constexpr"
            if argument in known
            else pointer
            if argument in ("x", "offset", "modulation", "weight", "bias", "y")
            else "i32"
            for argument in kernel.arg_names
        }
        aligned = {
            (place,): [["tt.divisibility", 16]]
            for place, argument in enumerate(kernel.arg_names)
            if signature[argument] == pointer or argument == "places"
        }
        binary = triton.compile(
            ASTSource(kernel, signature, known, aligned),
            target=GPUTarget("cuda", 90, 32),
            options={"num_warps": tiling.warps, "num_stages": tiling.stages},
        )
        assert binary.asm["cubin"]
        taken[f"{str(dtype).removeprefix('torch.')} {name}"] = int(binary.metadata.shared)
    return taken


def main(what: str) -> dict[str, object]:
    """What the module's head says."""
    if what == "compile":
        return {k: v for dtype in (_HALF, _BRAIN, torch.float32) for k, v in compiled(dtype).items()}
    gpu = torch.cuda.is_available()
    cases = CASES | (ON_GPU if gpu else {})
    return {name: errors(case, "cuda" if gpu else "cpu") for name, case in cases.items()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))  # noqa: T201
