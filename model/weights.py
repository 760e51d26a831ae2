"""Parameters on disk: found, verified, loaded strictly; imported, pinned by sha256.

Beside the weights `NAME.safetensors` lies `NAME.golden.npy`, the (32, 32) float16 thumbnail of the alpha that
these weights give to the self-test's picture. Which file it is, and what it must be: model/files.py. A
published .safetensors is kept byte for byte, so its sha256 is the one that its page shows and half precision
stays half the bytes. No message here tells a path: ModelUnavailable's text is public.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import selftest
from model.errors import ModelUnavailable
from model.files import LOCK, Pin, find, pinned, read_lock, verified
from model.preprocess import AlphaNet
from model.registry import ModelSpec

__all__ = [
    "Checkpoint",
    "bare",
    "import_weights",
    "load",
    "load_into",
    "store",
    "verify",
]

_SAFE = ".safetensors"
_PREFIXES = ("module.", "_orig_mod.")
"""What data parallelism and torch.compile put before every name."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network in eval mode with its parameters, float32 on the CPU.

    sha256: of the file that they came from. golden: (32, 32) float32, see `selftest.thumbnail`; None when
    the weights were put in place by hand and nobody has computed it.
    """

    net: nn.Module
    sha256: str
    golden: NDArray[np.float32] | None


def load(spec: ModelSpec, directory: Path) -> Checkpoint:
    """The network of `spec` with its weights, from the package or from `directory`.

    Raises ModelUnavailable: missing (with the command that brings them), of the wrong size or sha256 (with
    what was expected and what is there), not readable, or of another network.
    """
    path = find(spec, directory)
    data = path.read_bytes()  # once, so that what is verified is what is loaded
    sha256 = verified(spec, data, pinned(spec, path.parent))
    state = _parse(data, path.name)
    del data  # hundreds of megabytes, for some
    net = spec.build()
    load_into(net, state, spec.name)
    return Checkpoint(net.eval(), sha256, _golden(path.with_name(f"{spec.name}.golden.npy")))


def verify(spec: ModelSpec, directory: Path) -> str:
    """Loads, and tests the result in float32; the sha256. Raises ModelUnavailable, as `load`."""
    checkpoint = load(spec, directory)
    alpha = _probe(spec, checkpoint.net)
    if checkpoint.golden is not None and not selftest.agree(selftest.thumbnail(alpha), checkpoint.golden):
        raise ModelUnavailable(f"model '{spec.name}' gives a wrong result in its self-test")
    return checkpoint.sha256


def load_into(net: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Strict; half floats are widened to the network's own.

    Raises ModelUnavailable with what is missing, unexpected or of another shape.
    """
    own = net.state_dict()
    differing = [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = {
        "missing": sorted(own.keys() - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": differing,
    }
    report = "; ".join(f"{len(keys)} {fault}: {_some(keys)}" for fault, keys in faults.items() if keys)
    if report:
        raise ModelUnavailable(f"these weights are not those of model '{name}': {report}")
    net.load_state_dict(state, strict=True)


def store(
    spec: ModelSpec, state: Mapping[str, Tensor], directory: Path, *, dtype: torch.dtype = torch.float32
) -> Pin:
    """Writes weights and golden alpha of `spec` into `directory`, each file atomically.

    dtype: of the floating-point tensors in the file. Raises ModelUnavailable when they do not fit the
    network, or when they give NaN.
    """
    stored = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    return _place(spec, _serialised(stored), stored, directory)


def import_weights(file: Path, spec: ModelSpec, directory: Path, *, revision: str | None = None) -> Path:
    """Brings a published checkpoint (.pth or .safetensors) into `directory`, pins it, and returns its path.

    revision: the commit of a hub that it was pulled from. Raises ModelUnavailable when it is not a checkpoint
    of this very network; `directory` is then as it was.
    """
    data = file.read_bytes()
    state = _parse(data, file.name)
    if file.suffix != _SAFE:
        data = _serialised(state)
    read_lock(directory)  # a damaged one is found before the work
    pin = replace(_place(spec, data, state, directory), revision=revision)
    pins = read_lock(directory) | {spec.name: pin}  # another import may have ended meanwhile
    entries = {
        name: {key: value for key, value in asdict(pin).items() if value is not None}
        for name, pin in pins.items()
    }
    _write(directory / LOCK, json.dumps(entries, indent=2, sort_keys=True).encode() + b"\n")
    return directory / spec.weights.file


def _serialised(state: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({key: value.contiguous() for key, value in state.items()})


def _place(spec: ModelSpec, data: bytes, state: Mapping[str, Tensor], directory: Path) -> Pin:
    """Writes `data`, the file of `state`, and its golden alpha, once the network has proven to take them."""
    net = spec.build()
    load_into(net, state, spec.name)
    golden = io.BytesIO()
    np.save(golden, selftest.thumbnail(_probe(spec, net)).astype(np.float16))
    directory.mkdir(parents=True, exist_ok=True)
    # Weights first: where this ends midway, they are not those of models.lock, and are brought again.
    _write(directory / spec.weights.file, data)
    _write(directory / f"{spec.name}.golden.npy", golden.getvalue())
    return Pin(hashlib.sha256(data).hexdigest(), len(data))


def _probe(spec: ModelSpec, net: nn.Module) -> NDArray[np.float32]:
    """The alpha of the self-test's picture, float32 on the CPU. Raises ModelUnavailable when it is NaN."""
    picture = selftest.picture(selftest.probe_size(spec.size))
    with torch.inference_mode():
        alpha: NDArray[np.float32] = AlphaNet(net, spec)(torch.from_numpy(picture)[None])[0].numpy()
    if not np.isfinite(alpha).all():
        raise ModelUnavailable(f"with these weights model '{spec.name}' gives NaN")
    return alpha


def _parse(data: bytes, name: str) -> dict[str, Tensor]:
    """The state dict in a .safetensors or .pth file, without its wrappers' prefixes.

    Nothing in the file is ever executed. Raises ModelUnavailable when it holds no state dict.
    """
    try:
        if name.endswith(_SAFE):
            state = safetensors.torch.load(data)
        else:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as exc:  # each format has its own family of errors, and they share no parent
        raise ModelUnavailable(f"{name} is not a readable checkpoint ({type(exc).__name__})") from exc
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelUnavailable(f"{name} holds no state dict")
    return {bare(key): value for key, value in state.items()}


def bare(key: str) -> str:
    """A parameter's name without what wrappers put before it."""
    while key.startswith(_PREFIXES):
        key = key.partition(".")[2]
    return key


def _golden(path: Path) -> NDArray[np.float32] | None:
    if not path.is_file():
        return None
    try:
        golden: NDArray[np.float16] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as exc:
        raise ModelUnavailable(f"{path.name} is damaged: import the weights again") from exc
    return golden.astype(np.float32)


def _write(path: Path, data: bytes) -> None:
    """All or nothing: readers see the old file or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would hide the file from the service's own user
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown}, …" if len(names) > 4 else shown
