"""Parameters on disk: only the right ones, whole and harmless, are ever loaded."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import selftest, weights
from model.config import EngineConfig
from model.engine import TorchEngine
from model.errors import ModelUnavailable
from model.registry import ModelSpec
from tests.model.toy import Toy, toy_spec

SPEC = toy_spec()
State = dict[str, Tensor]


def toy_state() -> State:
    state = Toy().state_dict()
    return {key: value + 0.01 if value.is_floating_point() else value for key, value in state.items()}


def imported(tmp_path: Path) -> Path:
    """A directory into which a published checkpoint has been imported."""
    torch.save(toy_state(), tmp_path / "published.pth")
    weights.import_weights(tmp_path / "published.pth", SPEC, tmp_path / "models")
    return tmp_path / "models"


def test_what_is_imported_is_what_is_loaded(tmp_path: Path) -> None:
    models = imported(tmp_path)
    checkpoint = weights.load(SPEC, models)
    for key, value in checkpoint.net.state_dict().items():
        torch.testing.assert_close(value, toy_state()[key], rtol=0, atol=0)
    data = (models / "toy.safetensors").read_bytes()
    assert checkpoint.sha256 == hashlib.sha256(data).hexdigest()
    assert json.loads((models / "models.lock").read_bytes()) == {
        "toy": {"sha256": checkpoint.sha256, "size": len(data)}
    }
    assert not checkpoint.net.training
    assert checkpoint.golden is not None
    assert checkpoint.golden.shape == (32, 32)
    assert sorted(path.name for path in models.iterdir()) == [
        "models.lock",
        "toy.golden.npy",
        "toy.safetensors",
    ]


def test_an_import_leaves_other_models_pinned(tmp_path: Path) -> None:
    models = imported(tmp_path)
    other = toy_spec(name="other")
    weights.import_weights(tmp_path / "published.pth", other, models)
    assert set(json.loads((models / "models.lock").read_bytes())) == {"toy", "other"}
    assert weights.load(SPEC, models).sha256 == weights.load(other, models).sha256


def test_an_import_beside_another_one_keeps_both_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, other, probe = imported(tmp_path), toy_spec(name="other"), weights._probe
    (models / "models.lock").unlink()

    def slow(spec: ModelSpec, net: nn.Module) -> NDArray[np.float32]:
        if spec is other:  # another process comes to its end meanwhile
            weights.import_weights(tmp_path / "published.pth", SPEC, models)
        return probe(spec, net)

    monkeypatch.setattr(weights, "_probe", slow)
    weights.import_weights(tmp_path / "published.pth", other, models)
    assert set(json.loads((models / "models.lock").read_bytes())) == {"toy", "other"}


def save_plain(state: State, path: Path) -> None:
    torch.save(state, path)


def save_wrapped(state: State, path: Path) -> None:
    torch.save({f"module._orig_mod.{key}": value for key, value in state.items()}, path)


def save_safetensors(state: State, path: Path) -> None:
    safetensors.torch.save_file({f"module.{key}": value for key, value in state.items()}, path)


def save_half(state: State, path: Path) -> None:
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    safetensors.torch.save_file(halves, path)


@pytest.mark.parametrize(
    ("save", "name", "tolerance"),
    [
        pytest.param(save_plain, "toy.pth", 0, id="pth"),
        pytest.param(save_wrapped, "toy.pth", 0, id="pth with prefixes"),
        pytest.param(save_safetensors, "toy.safetensors", 0, id="safetensors with a prefix"),
        pytest.param(save_half, "toy.safetensors", 1e-3, id="float16"),
    ],
)
def test_published_forms(
    tmp_path: Path, save: Callable[[State, Path], None], name: str, tolerance: float
) -> None:
    save(toy_state(), tmp_path / name)
    checkpoint = weights.load(SPEC, tmp_path)
    assert checkpoint.golden is None
    for key, value in checkpoint.net.state_dict().items():
        assert value.dtype == toy_state()[key].dtype
        torch.testing.assert_close(value, toy_state()[key], rtol=tolerance, atol=tolerance)


def test_half_floats_are_stored_at_half_the_size(tmp_path: Path) -> None:
    full = weights.store(SPEC, toy_state(), tmp_path / "full")
    half = weights.store(SPEC, toy_state(), tmp_path / "half", dtype=torch.float16)
    assert half.size < 0.75 * full.size
    pinned = replace(SPEC, weights=replace(SPEC.weights, sha256=half.sha256, size=half.size))
    assert weights.load(pinned, tmp_path / "half").sha256 == half.sha256


def test_a_published_file_is_kept_as_it_is(tmp_path: Path) -> None:
    save_half(toy_state(), tmp_path / "published.safetensors")
    path = weights.import_weights(tmp_path / "published.safetensors", SPEC, tmp_path / "models")
    assert path.read_bytes() == (tmp_path / "published.safetensors").read_bytes()


def test_half_floats_of_a_pth_stay_half(tmp_path: Path) -> None:
    torch.save({f"module.{key}": value.half() for key, value in toy_state().items()}, tmp_path / "toy.pth")
    state = safetensors.torch.load_file(
        weights.import_weights(tmp_path / "toy.pth", SPEC, tmp_path / "models")
    )
    assert state["enter.weight"].dtype == torch.float16


def test_verify_runs_the_self_test(tmp_path: Path) -> None:
    models = imported(tmp_path)
    assert weights.verify(SPEC, models) == weights.load(SPEC, models).sha256
    np.save(models / "toy.golden.npy", np.zeros((32, 32), np.float16))
    with pytest.raises(ModelUnavailable, match="wrong result in its self-test"):
        weights.verify(SPEC, models)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 0x10
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def exchange(path: Path) -> None:
    """Another network's file, whole in itself."""
    safetensors.torch.save_file({"conv.weight": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(flip_a_byte, r"sha256 [0-9a-f]{64}, expected [0-9a-f]{64}", id="flipped byte"),
        pytest.param(cut_short, r"\d+ bytes, expected \d+", id="short file"),
        pytest.param(exchange, r"\d+ bytes, expected \d+", id="another file"),
        pytest.param(Path.unlink, "objectcut models import toy FILE", id="missing"),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    models = imported(tmp_path)
    damage(models / "toy.safetensors")
    with pytest.raises(ModelUnavailable, match=says) as refused:
        weights.load(SPEC, models)
    assert str(tmp_path) not in str(refused.value)  # clients read this text


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        pytest.param("models.lock", b"{", "models.lock is damaged", id="lock cut short"),
        pytest.param(
            "models.lock", b'{"toy": {"sha": 1}}', "models.lock is damaged", id="lock of another kind"
        ),
        pytest.param("models.lock", b"[]", "models.lock is damaged", id="lock is a list"),
        pytest.param("toy.golden.npy", b"", "toy.golden.npy is damaged", id="empty golden"),
        pytest.param("toy.golden.npy", b"\x93NUMPY\x01", "toy.golden.npy is damaged", id="golden cut short"),
    ],
)
def test_damaged_companions_are_refused(tmp_path: Path, name: str, damage: bytes, says: str) -> None:
    models = imported(tmp_path)
    (models / name).write_bytes(damage)
    with pytest.raises(ModelUnavailable, match=says):
        weights.load(SPEC, models)


def renamed(state: State) -> State:
    state["entrance.weight"] = state.pop("enter.weight")
    return state


def reshaped(state: State) -> State:
    return state | {"leave.weight": torch.zeros(2, 16, 1, 1)}


def emptied(state: State) -> State:
    return {}


def poisoned(state: State) -> State:
    return state | {"leave.bias": torch.full((1,), torch.nan)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(renamed, "1 missing: enter.weight; 1 unexpected: entrance.weight", id="renamed key"),
        pytest.param(
            reshaped, r"1 of another shape: leave.weight \(2, 16, 1, 1\) for \(1, 16, 1, 1\)", id="shape"
        ),
        pytest.param(emptied, "15 missing: enter.weight, .*, …", id="nothing"),
        pytest.param(poisoned, "gives NaN", id="NaN"),
    ],
)
def test_weights_of_another_network_are_not_imported(
    tmp_path: Path, change: Callable[[State], State], says: str
) -> None:
    models = imported(tmp_path)
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    torch.save(change(toy_state()), tmp_path / "other.pth")
    with pytest.raises(ModelUnavailable, match=says):
        weights.import_weights(tmp_path / "other.pth", SPEC, models)
    assert {path.name: path.read_bytes() for path in models.iterdir()} == before


class Exploit:
    """A pickle that makes a file when it is loaded carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda value, path: torch.save({"enter.weight": value}, path), id="torch.save"),
        pytest.param(lambda value, path: path.write_bytes(pickle.dumps(value)), id="bare pickle"),
    ],
)
def test_a_malicious_checkpoint_runs_nothing(tmp_path: Path, write: Callable[[Exploit, Path], None]) -> None:
    canary = tmp_path / "pwned"
    write(Exploit(canary), tmp_path / "toy.pth")
    with pytest.raises(ModelUnavailable, match="not a readable checkpoint"):
        weights.load(SPEC, tmp_path)
    with pytest.raises(ModelUnavailable, match="not a readable checkpoint"):
        weights.import_weights(tmp_path / "toy.pth", SPEC, tmp_path / "models")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("x.pth", b"<html>Not found</html>", id="a web page"),
        pytest.param("x.safetensors", b"\xff" * 40, id="noise"),
        pytest.param("x.safetensors", b"", id="empty"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelUnavailable, match="not a readable checkpoint"):
        weights.import_weights(tmp_path / name, SPEC, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_tensor_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "x.pth")
    with pytest.raises(ModelUnavailable, match="holds no state dict"):
        weights.import_weights(tmp_path / "x.pth", SPEC, tmp_path / "models")


def test_golden_is_the_engines_own_answer(tmp_path: Path) -> None:
    models = imported(tmp_path)
    engine = TorchEngine(SPEC, EngineConfig(model_dir=models, device="cpu", precision="float32"))
    alpha = engine.predict(selftest.picture(SPEC.size)[None])[0]
    golden = weights.load(SPEC, models).golden
    assert golden is not None
    np.testing.assert_allclose(selftest.thumbnail(alpha), golden, atol=1e-3)
    assert golden.std() > 0.05, "the self-test's picture must tell right from wrong"


def test_an_incomplete_installation_says_so(tmp_path: Path) -> None:
    shipped = replace(SPEC, name="nothing", weights=replace(SPEC.weights, file="nothing", shipped=True))
    with pytest.raises(ModelUnavailable, match="install it again"):
        weights.load(shipped, tmp_path)
