"""TorchEngine: right, proven right before it serves, and its device's failures told apart."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model import cores, weights
from model import engine as engine_module
from model.config import EngineConfig
from model.engine import TorchEngine
from model.errors import DeviceLost, InferenceFailed, ModelError, ModelUnavailable, OutOfMemory
from model.files import estimated_memory
from model.preprocess import AlphaNet
from model.registry import ModelSpec
from tests.model.toy import SIDE, Toy, giving, pictures, raising, toy_spec, with_mean


def started(
    directory: Path,
    spec: ModelSpec,
    *,
    precision: str = "float32",
    max_batch: int = 8,
    cores: int = 2,
    **settings: object,
) -> TorchEngine:
    """An engine on the CPU with the parameters that the network is born with; each batch takes a second."""
    weights.store(spec, spec.build().state_dict(), directory)
    settings |= {"precision": precision, "max_batch": max_batch, "cores": cores}
    config = EngineConfig.model_validate({"model_dir": directory, "device": "cpu", **settings})
    return TorchEngine(spec, config, clock=itertools.count().__next__)


def test_alphas_are_the_networks_own(tmp_path: Path) -> None:
    spec = toy_spec()
    engine = started(tmp_path, spec)
    batch = pictures(3)
    alphas = engine.predict(batch)
    with torch.inference_mode():
        plain = AlphaNet(Toy(), spec)(torch.from_numpy(batch)).numpy()
    assert alphas.dtype == np.float32
    np.testing.assert_allclose(alphas, plain, atol=1e-5)
    assert 0 <= alphas.min() < 0.3
    assert 0.7 < alphas.max() <= 1


def test_neighbours_do_not_matter(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec())
    batch = pictures(8)
    together = engine.predict(batch)
    for index in range(8):
        alone = engine.predict(batch[index : index + 1])[0]
        elsewhere = engine.predict(np.roll(batch, 3, axis=0))[(index + 3) % 8]
        assert np.abs(alone - together[index]).max() <= 1 / 255
        assert np.abs(elsewhere - together[index]).max() <= 1 / 255


def test_facts(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec(), max_batch=2, cores=3)
    assert engine.facts() == {
        "device": "cpu",
        "device_name": "cpu",
        "runtime": "torch",
        "precision": "float32",
        "sha256": engine.sha256,
        "streams": 3,
        "max_batch": 2,
        "memory_bytes": engine.memory_bytes,
    }
    picture = np.zeros((30, 50, 3), np.uint8)
    assert engine.prepare(picture).shape == (SIDE, SIDE, 3)
    assert engine.prepare(picture, (32, 96)).shape == (32, 96, 3)


def test_memory_is_told_before_and_after_loading(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec())
    parameters = sum(parameter.numel() for parameter in Toy().parameters())
    assert 4 * parameters < engine.memory_bytes < 100 * parameters
    assert engine.memory_bytes / 2 < estimated_memory(toy_spec(), tmp_path) < 4 * engine.memory_bytes


def test_a_closed_engine_holds_no_parameters(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec())
    engine.close()
    with pytest.raises(InferenceFailed):
        engine.predict(pictures(1))


@pytest.mark.parametrize(
    "mean",
    [
        pytest.param((0.3, 0.4, 0.5), id="red and blue exchanged"),
        pytest.param((0.1, 0.1, 0.1), id="another mean"),
    ],
)
def test_a_wrong_result_never_serves(tmp_path: Path, mean: tuple[float, float, float]) -> None:
    spec = toy_spec()
    started(tmp_path, spec)
    with pytest.raises(ModelUnavailable, match="wrong result in its self-test"):
        TorchEngine(with_mean(spec, mean), EngineConfig(model_dir=tmp_path, device="cpu"))


def test_weights_put_in_place_by_hand_serve(tmp_path: Path) -> None:
    torch.save(Toy().state_dict(), tmp_path / "toy.pth")
    engine = TorchEngine(toy_spec(), EngineConfig(model_dir=tmp_path, device="cpu"))
    assert engine.predict(pictures(1)).shape == (1, SIDE, SIDE)


class Fragile(Toy):
    """Loses everything when 512 swallows what is small."""

    def forward(self, x: Tensor) -> Tensor:
        return 8 * ((super().forward(x) + 512) - 512)


def test_half_precision_that_agrees_is_taken(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec(), precision="bfloat16")
    assert engine.precision == "bfloat16"
    full = started(tmp_path, toy_spec()).predict(pictures(2))
    assert np.abs(engine.predict(pictures(2)) - full).mean() <= 0.01


@pytest.mark.parametrize(
    ("precision", "outcome"),
    [
        pytest.param("auto", "float32", id="auto falls back"),
        pytest.param("float32", "float32", id="float32 is what it is"),
    ],
)
def test_half_precision_that_differs_is_not_taken(tmp_path: Path, precision: str, outcome: str) -> None:
    assert started(tmp_path, toy_spec(Fragile), precision=precision).precision == outcome


def test_half_precision_that_differs_cannot_be_forced(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="bfloat16 differs from float32"):
        started(tmp_path, toy_spec(Fragile), precision="bfloat16")


@pytest.mark.parametrize(
    ("net", "error"),
    [
        pytest.param(raising("mat1 and mat2 shapes cannot be multiplied"), InferenceFailed, id="shapes"),
        pytest.param(raising("CUDA out of memory. Tried to allocate 2 GiB"), OutOfMemory, id="GPU memory"),
        pytest.param(
            raising("[enforce fail] DefaultCPUAllocator: can't allocate memory"), OutOfMemory, id="memory"
        ),
        pytest.param(raising("CUDA error: device-side assert triggered"), DeviceLost, id="assert"),
        pytest.param(
            raising("CUDA error: an illegal memory access was encountered"), DeviceLost, id="illegal access"
        ),
        pytest.param(raising("CUDA error: unspecified launch failure"), DeviceLost, id="launch failure"),
        pytest.param(
            raising("CUDA error: the launch timed out and was terminated"), DeviceLost, id="watchdog"
        ),
        pytest.param(raising("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when ..."), OutOfMemory, id="cuBLAS"),
    ],
)
def test_failures_of_the_device(tmp_path: Path, net: type[nn.Module], error: type[ModelError]) -> None:
    engine = started(tmp_path, toy_spec(net))
    with pytest.raises(error):
        engine.run(list(pictures(2, white_corner=(1,))))
    assert len(engine.run(list(pictures(2)))) == 2


def test_nan_is_the_failure_of_one(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec(giving(torch.nan)))
    results = engine.run(list(pictures(4, white_corner=(2,))))
    assert [isinstance(result, InferenceFailed) for result in results] == [False, False, True, False]


class Forgetful(Toy):
    """Answers one picture too few when there are two."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y[:-1] if len(y) == 2 else y


class Narrow(Toy):
    """Answers at half its side when there are two pictures."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y[..., ::2, ::2] if len(y) == 2 else y


@pytest.mark.parametrize("net", [pytest.param(Forgetful, id="count"), pytest.param(Narrow, id="side")])
def test_an_answer_of_another_shape_is_refused(tmp_path: Path, net: type[nn.Module]) -> None:
    engine = started(tmp_path, toy_spec(net), max_batch=1)
    with pytest.raises(InferenceFailed, match="the network gave"):
        engine.predict(pictures(2))


def sized(build: Callable[[], nn.Module], size: tuple[int, int]) -> ModelSpec:
    return replace(toy_spec(build), size=size)


def test_pictures_need_not_be_square(tmp_path: Path) -> None:
    engine = started(tmp_path, sized(Toy, (32, 96)))
    picture = engine.prepare(np.zeros((30, 50, 3), np.uint8))
    assert picture.shape == (32, 96, 3)
    (alpha,) = engine.run([picture])
    assert isinstance(alpha, np.ndarray)
    assert alpha.shape == (32, 96)


class Seeing(Toy):
    """Notes the size of every batch and picture; NaN where pictures are larger than `most`."""

    most: ClassVar[int] = 4096
    seen: ClassVar[list[tuple[int, ...]]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape))
        y = super().forward(x)
        return y * torch.nan if x.mean() < 1e6 and x.shape[-1] > self.most else y


def test_precision_is_chosen_on_a_smaller_picture_and_the_whole_size_is_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Seeing, "seen", [])
    engine = started(tmp_path, sized(Seeing, (768, 1024)), precision="bfloat16", max_batch=1)
    assert engine.precision == "bfloat16"
    assert set(Seeing.seen[:-1]) == {(1, 3, 384, 512)}
    assert Seeing.seen[-1] == (1, 3, 768, 1024)


def test_a_wrong_result_at_the_whole_size_never_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Seeing, "most", 512)
    with pytest.raises(ModelUnavailable, match="wrong result in its self-test"):
        started(tmp_path, sized(Seeing, (768, 1024)), max_batch=1)


class Hungry(Toy):
    """Has memory for two pictures."""

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() < 1e6 and len(x) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return super().forward(x)


@pytest.mark.parametrize(
    ("net", "most", "expected"),
    [
        pytest.param(Toy, 8, 8, id="worth it"),
        pytest.param(Toy, 6, 6, id="no power of two"),
        pytest.param(Hungry, 8, 2, id="the memory ends"),
        pytest.param(Hungry, 1, 1, id="one"),
    ],
)
def test_batches_are_as_large_as_is_worth_while(
    tmp_path: Path, net: type[nn.Module], most: int, expected: int
) -> None:
    assert started(tmp_path, toy_spec(net), max_batch=most).max_batch == expected


def test_on_a_cpu_a_batch_is_one_picture(tmp_path: Path) -> None:
    weights.store(toy_spec(), Toy().state_dict(), tmp_path)
    assert TorchEngine(toy_spec(), EngineConfig(model_dir=tmp_path, device="cpu")).max_batch == 1


def half_of_it(net: nn.Module) -> nn.Module:
    """A compiler whose result is wrong."""
    return _Around(net, lambda y: y / 2)


def broken(net: nn.Module) -> nn.Module:
    """A compiler whose result fails when it is called first, as torch's do."""

    def fail(_: Tensor) -> Tensor:
        raise RuntimeError("no C compiler")

    return _Around(net, fail)


class _Around(nn.Module):
    def __init__(self, net: nn.Module, then: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.then = net, then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.net(x))


@pytest.mark.parametrize(
    "compiler", [pytest.param(broken, id="fails"), pytest.param(half_of_it, id="is wrong")]
)
def test_a_compiled_network_that_is_no_good_is_not_taken(
    tmp_path: Path, compiler: Callable[[nn.Module], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "compiled", compiler)
    plain = started(tmp_path, toy_spec()).predict(pictures(2))
    engine = started(tmp_path, toy_spec(), compile=True)
    assert np.array_equal(engine.predict(pictures(2)), plain)


def test_a_compiled_network_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.Size] = []

    def noting(net: nn.Module) -> nn.Module:
        return _Around(net, lambda y: calls.append(y.shape) or y)  # type: ignore[func-returns-value]

    monkeypatch.setattr(engine_module, "compiled", noting)
    engine = started(tmp_path, toy_spec(), compile=True)
    calls.clear()
    engine.predict(pictures(3))
    assert calls == [(3, SIDE, SIDE)]


class Counting(Toy):
    """Notes how many threads torch has for each call, which takes `seconds` of work."""

    seconds: ClassVar[float] = 0.0
    threads: ClassVar[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() < 1e6:  # always; a data-dependent course keeps the tracer out
            self.threads.append(torch.get_num_threads())
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                pass
        return super().forward(x)


@pytest.mark.parametrize(
    ("seconds", "alone"), [pytest.param(0.0, 1, id="light"), pytest.param(0.21, 3, id="heavy")]
)
def test_threads(tmp_path: Path, seconds: float, alone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "threads", [])
    monkeypatch.setattr(Counting, "seconds", seconds)
    engine = started(tmp_path, toy_spec(Counting), max_batch=1, cores=3)

    def call() -> None:
        engine.predict(pictures(1))

    Counting.threads.clear()
    in_thread(call)
    assert Counting.threads == [alone]
    if seconds:
        first = threading.Thread(target=call)
        first.start()
        while len(Counting.threads) < 2:
            time.sleep(0.001)
        in_thread(call)
        first.join()
        assert Counting.threads == [alone, alone, 1], "side by side, one core each"


def test_a_slow_network_has_a_few_cores_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "threads", [])
    monkeypatch.setattr(Counting, "seconds", 0.21)
    monkeypatch.setattr(cores, "_SLOW", 0.2)
    engine = started(tmp_path, toy_spec(Counting), max_batch=1, cores=9)
    assert engine.streams == 2
    Counting.threads.clear()
    first = threading.Thread(target=lambda: engine.predict(pictures(1)))
    first.start()
    while not Counting.threads:
        time.sleep(0.001)
    in_thread(lambda: engine.predict(pictures(1)))
    first.join()
    assert Counting.threads == [9, 4], "every core while alone, then its share"


def in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
