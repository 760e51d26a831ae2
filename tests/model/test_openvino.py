"""OpenVinoEngine: torch's results by other means, proven before it serves."""

import errno
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import selftest, weights
from model.config import EngineConfig
from model.conversion import convert, converted
from model.converted import Conversion, elsewhere
from model.device import half_precisions
from model.errors import InferenceFailed, ModelUnavailable
from model.nets.basnet import BASNet
from model.nets.birefnet import BiRefNet
from model.openvino import OpenVinoEngine
from model.preprocess import AlphaNet
from model.registry import REGISTRY, ModelSpec
from tests.model.nets.parity import fill_by_name
from tests.model.toy import SIDE, Toy, Undecided, pictures, toy_spec, with_mean

HALVES = [str(dtype).removeprefix("torch.") for dtype in half_precisions(torch.device("cpu"))]


def started(
    directory: Path,
    spec: ModelSpec,
    *,
    seconds: float = 0.0,
    precision: str = "float32",
    cores: int = 2,
    max_batch: int | None = None,
) -> OpenVinoEngine:
    """An engine with the parameters that the network is born with.

    seconds: of a core that a picture takes; two share in it, if there are two.
    """
    weights.store(spec, spec.build().state_dict(), directory)
    settings = {"precision": precision, "cores": cores, "max_batch": max_batch}
    config = EngineConfig.model_validate({"model_dir": directory, **settings})
    clock = partial(next, readings(seconds / min(2, cores)))
    return OpenVinoEngine(spec, config, clock=clock, convert=convert)


def readings(seconds: float) -> Iterator[float]:
    """Of a clock, so many seconds apart."""
    now = 0.0
    while True:
        yield now
        now += seconds


def torchs(spec: ModelSpec, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The alphas that torch gives."""
    with torch.inference_mode():
        alphas: NDArray[np.float32] = AlphaNet(spec.build(), spec)(torch.from_numpy(batch)).numpy()
    return alphas


def noise(count: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def test_alphas_are_torchs_own(tmp_path: Path) -> None:
    spec = toy_spec()
    engine = started(tmp_path, spec)
    batch = pictures(3)
    alphas = engine.predict(batch)
    assert alphas.dtype == np.float32
    np.testing.assert_allclose(alphas, torchs(spec, batch), atol=1e-5)
    for alone, together in zip(engine.run(list(batch)), alphas, strict=True):
        np.testing.assert_array_equal(alone, together)


def test_facts(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec(), cores=3, max_batch=2)
    facts = engine.facts()
    name = str(facts.pop("device_name"))
    assert openvino.get_version().startswith(name.rpartition(" ")[2])
    assert facts == {
        "device": "cpu",
        "runtime": "openvino",
        "precision": "float32",
        "sha256": weights.load(toy_spec(), tmp_path).sha256,
        "streams": 1,
        "max_batch": 1,
        "memory_bytes": engine.memory_bytes,
    }
    assert engine.memory_bytes > sum(x.numel() * x.element_size() for x in Toy().parameters())
    assert engine.prepare(np.zeros((30, 50, 3), np.uint8)).shape == (SIDE, SIDE, 3)


def test_the_shipped_model_in_the_best_precision(tmp_path: Path) -> None:
    spec = REGISTRY["lite"]
    engine = OpenVinoEngine(spec, EngineConfig(model_dir=tmp_path, cores=1), convert=convert)
    assert engine.precision == [*HALVES, "float32"][0]
    picture = selftest.picture(spec.size)[None]
    with torch.inference_mode():
        net = AlphaNet(weights.load(spec, tmp_path).net, spec)
        expected = net(torch.from_numpy(picture)).numpy()
    assert np.abs(engine.predict(picture) - expected).mean() <= 0.002


def test_nothing_is_reported_to_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def report(*_: object) -> None:
        raise AssertionError("telemetry was set up")

    monkeypatch.setattr("openvino_telemetry.Telemetry.init", report)
    started(tmp_path, toy_spec())


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(BASNet, id="basnet"),
        pytest.param(partial(BiRefNet, "swin_v1_t"), id="birefnet swin"),
        pytest.param(partial(BiRefNet, "pvt_v2_b0"), id="birefnet pvt"),
    ],
)
@pytest.mark.timeout(300)
def test_networks_are_right_at_other_sizes_than_they_were_traced_with(
    build: Callable[[], nn.Module],
) -> None:
    inner = build()
    fill_by_name(inner)  # nothing is 0 any more, offsets of deformable convolutions least of all
    net = AlphaNet(inner, toy_spec())
    batch = noise(1, (96, 160))
    with torch.inference_mode():
        expected = net(torch.from_numpy(batch)).numpy()
    assert expected.std() > 0.02
    model = converted(net, (64, 64))
    model.reshape([1, 96, 160, 3])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": openvino.Type.f32})
    np.testing.assert_allclose(compiled([batch])[0], expected, atol=1e-4)


def test_a_wrong_result_never_serves(tmp_path: Path) -> None:
    spec = toy_spec()
    started(tmp_path, spec)
    with pytest.raises(ModelUnavailable, match="wrong result in its self-test"):
        OpenVinoEngine(with_mean(spec, (0.3, 0.4, 0.5)), EngineConfig(model_dir=tmp_path), convert=convert)


def test_a_network_that_cannot_be_converted_rightly_never_serves(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no right result in float32"):
        started(tmp_path, toy_spec(Undecided))


def test_where_nothing_can_be_written_there_is_no_engine(tmp_path: Path) -> None:
    def full(_: ModelSpec, __: Path, ___: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")

    with pytest.raises(ModelUnavailable, match="here: No space left on device") as caught:
        OpenVinoEngine(toy_spec(), EngineConfig(model_dir=tmp_path), convert=full)
    assert "secret" not in str(caught.value)


def test_a_conversion_that_fails_elsewhere_says_so_here(tmp_path: Path) -> None:
    spec = toy_spec()
    weights.store(spec, spec.build().state_dict(), tmp_path)
    (tmp_path / spec.weights.file).write_bytes(b"damaged")
    with pytest.raises(ModelUnavailable, match="is not a readable checkpoint"):
        elsewhere(spec, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("dtype", "each"), [pytest.param(torch.float16, 2, id="half"), pytest.param(torch.float32, 4, id="full")]
)
def test_weights_are_kept_in_the_precision_that_they_came_in(
    tmp_path: Path, dtype: torch.dtype, each: int
) -> None:
    spec = replace(toy_spec(), build=partial(nn.Conv2d, 3, 1, 101, padding=50))
    state = {name: weight.to(dtype) for name, weight in spec.build().state_dict().items()}
    weights.store(spec, state, tmp_path, dtype=dtype)
    convert(spec, tmp_path, tmp_path)
    size = Conversion.model(tmp_path).with_suffix(".bin").stat().st_size
    assert size == pytest.approx(each * 3 * 101**2, rel=0.01)


def test_what_another_process_cannot_import_is_not_converted_there(tmp_path: Path) -> None:
    spec = replace(toy_spec(), build=lambda: Toy())
    weights.store(spec, spec.build().state_dict(), tmp_path)
    with pytest.raises(ModelUnavailable, match="of this process alone"):
        elsewhere(spec, tmp_path, tmp_path)


def test_without_weights_there_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="has no weights here"):
        OpenVinoEngine(toy_spec(), EngineConfig(model_dir=tmp_path))


def test_weights_put_in_place_by_hand_serve(tmp_path: Path) -> None:
    torch.save(Toy().state_dict(), tmp_path / "toy.pth")
    engine = OpenVinoEngine(toy_spec(), EngineConfig(model_dir=tmp_path), convert=convert)
    assert engine.predict(pictures(1)).shape == (1, SIDE, SIDE)


class Fragile(Toy):
    """Loses all that is small to 512, on the way into a convolution: what follows one is fused with it."""

    def forward(self, x: Tensor) -> Tensor:
        return 8 * (nn.functional.conv2d(super().forward(x) + 512, torch.ones(1, 1, 1, 1)) - 512)


@pytest.mark.skipif(not HALVES, reason="this CPU has no half precision")
def test_half_precision_that_agrees_is_taken(tmp_path: Path) -> None:
    spec = toy_spec()
    engine = started(tmp_path, spec, precision="bfloat16")
    assert engine.precision == "bfloat16"
    apart = np.abs(engine.predict(pictures(2)) - torchs(spec, pictures(2)))
    assert 0 < apart.mean() <= 0.01


def test_half_precision_that_differs_is_not_taken(tmp_path: Path) -> None:
    assert started(tmp_path, toy_spec(Fragile), precision="auto").precision == "float32"


def test_half_precision_that_differs_or_is_not_there_cannot_be_forced(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no right result in bfloat16"):
        started(tmp_path, toy_spec(Fragile), precision="bfloat16")


class Delicate(Toy):
    """NaN for a picture with a white pixel in its upper left corner."""

    def forward(self, x: Tensor) -> Tensor:
        white = x[:, :, :1, :1].amin(dim=1, keepdim=True) > 1.9
        return torch.where(white, torch.nan, super().forward(x))


def test_nan_is_the_failure_of_one(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec(Delicate))
    results = engine.run(list(pictures(4, white_corner=(2,))))
    assert [isinstance(result, InferenceFailed) for result in results] == [False, False, True, False]


@pytest.mark.parametrize(
    ("seconds", "cores", "streams"),
    [
        pytest.param(0.1, 9, 4, id="light: two cores a picture"),
        pytest.param(0.1, 1, 1, id="light: the one core"),
        pytest.param(0.21, 9, 2, id="heavy: a few"),
        pytest.param(0.21, 2, 1, id="heavy: all there are"),
    ],
)
def test_cores_are_shared(tmp_path: Path, seconds: float, cores: int, streams: int) -> None:
    assert started(tmp_path, toy_spec(), seconds=seconds, cores=cores).streams == streams


def test_pictures_of_many_threads_are_not_mixed_up(tmp_path: Path) -> None:
    spec = toy_spec()
    engine = started(tmp_path, spec, cores=2)
    batch = pictures(24)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda picture: engine.predict(picture[None])[0], batch))
    np.testing.assert_allclose(results, torchs(spec, batch), atol=1e-5)


def test_the_whole_size_may_be_larger_than_the_probe_and_not_square(tmp_path: Path) -> None:
    spec = replace(toy_spec(), size=(384, 1024))
    engine = started(tmp_path, spec)
    batch = noise(1, spec.size)
    np.testing.assert_allclose(engine.predict(batch), torchs(spec, batch), atol=1e-5)


def test_other_sizes_are_refused_where_the_model_has_one(tmp_path: Path) -> None:
    engine = started(tmp_path, toy_spec())
    with pytest.raises(InferenceFailed, match=r"takes no pictures of \(96, 96\) px"):
        engine.run([np.zeros((96, 96, 3), np.uint8)])
    assert engine.predict(pictures(1)).shape == (1, SIDE, SIDE)


def test_a_few_sizes_stay_compiled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = replace(toy_spec(), sides=(32, 128))
    engine = started(tmp_path, spec)
    caplog.set_level(logging.INFO)
    for side in (96, 128, SIDE, 96, 32, SIDE, 128, 96):
        batch = noise(2, (side, side))
        np.testing.assert_allclose(engine.predict(batch), torchs(spec, batch), atol=1e-5)
    compiled = [record.message.rpartition(" for ")[2] for record in caplog.records]
    assert compiled == ["96 x 96 px", "128 x 128 px", "32 x 32 px", "96 x 96 px"]


def test_a_closed_engine_runs_nothing(tmp_path: Path) -> None:
    engine = started(tmp_path, replace(toy_spec(), sides=(32, 128)))
    engine.close()
    with pytest.raises(InferenceFailed):
        engine.predict(pictures(1))
