"""The choice among implementations, with candidates and a clock of the tests' own: no GPU is needed."""

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from model.nets.birefnet import deform_cuda, deform_plain
from model.nets.birefnet.deform_cuda import Implementation, Quickest
from tests.model.nets.deform_definition import arguments


@dataclass
class Candidate:
    """The plain implementation, counted, said to take `seconds`, with `error` added or `failure` raised."""

    seconds: float
    error: float = 0.0
    failure: Exception | None = None
    calls: int = 0

    def __call__(
        self, x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor | None, padding: int
    ) -> Tensor:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return deform_plain.deform_conv2d(x, offset, modulation, weight, bias, padding) + self.error


@dataclass
class Bench:
    """A choice among candidates, and what it did. `timed` lists the seconds that it was told."""

    plain: Candidate = field(default_factory=lambda: Candidate(seconds=1.0))
    candidates: Mapping[str, Implementation] = field(default_factory=dict)
    recording: bool = False
    classes: int = 64
    timed: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.choice = Quickest(
            self.plain, lambda: self.candidates, self._clock, lambda: self.recording, self.classes
        )

    def _clock(self, call: Callable[[], object]) -> float:
        assert isinstance(call, partial)
        assert isinstance(call.func, Candidate)
        call()
        self.timed.append(call.func.seconds)
        return call.func.seconds

    def run(self, lines: int = 4, kernel: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
        tensors = arguments(1, 2, (lines, 4), 3, kernel, kernel // 2, reach=1.0)
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
        return self.choice(**tensors, padding=kernel // 2)

    def users(self) -> list[str]:
        """Who computes the next call."""
        everybody = {"plain": self.plain, **self.candidates}
        before = {name: one.calls for name, one in everybody.items() if isinstance(one, Candidate)}
        self.run()
        return [name for name, calls in before.items() if everybody[name].calls > calls]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        pytest.param({"a": Candidate(0.5), "b": Candidate(0.1), "c": Candidate(0.3)}, "b", id="quickest"),
        pytest.param({"a": Candidate(2.0)}, "plain", id="plain is quicker"),
        pytest.param({"a": Candidate(0.1, error=0.01), "b": Candidate(0.5)}, "b", id="quickest disagrees"),
        pytest.param({"a": Candidate(0.1, error=float("nan"))}, "plain", id="not a number"),
        pytest.param({"a": Candidate(0.1, failure=RuntimeError("no ptxas"))}, "plain", id="fails"),
        pytest.param({"a": Candidate(0.1, error=1e-6)}, "a", id="differs as rounding does"),
        pytest.param({}, "plain", id="no candidates"),
    ],
)
def test_the_quickest_that_agrees_is_used(candidates: dict[str, Candidate], chosen: str) -> None:
    bench = Bench(candidates=candidates)
    expected = bench.run()
    assert bench.users() == [chosen]
    torch.testing.assert_close(bench.run(), expected)


def test_what_is_left_out_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    wrong, broken = Candidate(0.1, error=1.0), Candidate(0.1, failure=RuntimeError("no ptxas"))
    with caplog.at_level(logging.INFO, logger=deform_cuda.__name__):
        Bench(candidates={"wrong": wrong, "broken": broken, "right": Candidate(0.25)}).run()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["without wrong: differs by 1" in warnings[0], "without broken: no ptxas" in warnings[1]] == [
        True
    ] * 2
    assert "right of right 250.000 ms, plain 1000.000 ms" in caplog.messages[-1]
    assert broken.calls == wrong.calls == 1


def test_tolerance_is_that_of_the_precision() -> None:
    bench = Bench(candidates={"a": Candidate(0.1, error=0.02)})
    bench.run(dtype=torch.bfloat16)
    bench.run(dtype=torch.float32)
    assert bench.timed == [0.1, 1.0]  # in bfloat16 alone


@pytest.mark.parametrize(
    ("lines", "kernel", "dtype", "measured"),
    [
        pytest.param(4, 3, torch.float32, False, id="the same"),
        pytest.param(5, 3, torch.float32, False, id="a few places more"),
        pytest.param(8, 3, torch.float32, True, id="twice the places"),
        pytest.param(4, 1, torch.float32, True, id="another layer"),
        pytest.param(4, 3, torch.float16, True, id="another precision"),
    ],
)
def test_each_class_of_arguments_is_measured_once(
    lines: int, kernel: int, dtype: torch.dtype, measured: bool
) -> None:
    bench = Bench(candidates={"a": Candidate(0.1)})
    bench.run()
    assert bench.timed == [0.1, 1.0]
    for _ in range(2):
        bench.run(lines, kernel, dtype)
    assert bench.timed == [0.1, 1.0] * (1 + measured)


def test_the_oldest_of_many_classes_is_forgotten() -> None:
    bench = Bench(candidates={"a": Candidate(0.1)}, classes=2)
    for lines, measured in ((4, 1), (8, 2), (16, 3), (8, 3), (4, 4)):
        bench.run(lines)
        assert len(bench.timed) == 2 * measured


def test_nothing_is_measured_while_a_graph_is_recorded() -> None:
    bench = Bench(candidates={"a": Candidate(0.1)}, recording=True)
    assert bench.users() == ["plain"]
    assert bench.timed == []
    bench.recording = False
    bench.run()
    bench.recording = True
    assert bench.users() == ["a"]


def test_arguments_that_nothing_can_agree_about_decide_nothing() -> None:
    bench = Bench(candidates={"a": Candidate(0.1)})
    tensors = arguments(1, 2, (4, 4), 3, 3, 1, reach=1.0)
    tensors["x"][0, 0, 2, 2] = torch.nan
    result = bench.choice(**{name: tensor.float() for name, tensor in tensors.items()}, padding=1)
    assert result.isnan().any()
    assert bench.timed == []
    bench.run()
    assert bench.users() == ["a"]


def test_memory_that_runs_out_decides_nothing() -> None:
    candidate = Candidate(0.1, failure=torch.OutOfMemoryError("CUDA out of memory"))
    bench = Bench(candidates={"a": candidate})
    with pytest.raises(torch.OutOfMemoryError):
        bench.run()
    candidate.failure = None
    bench.run()
    assert bench.users() == ["a"]


def test_more_elements_than_kernels_count_go_the_plain_way() -> None:
    passed: list[torch.Size] = []

    def plain(x: Tensor, offset: Tensor, *_: object) -> Tensor:
        passed.append(offset.shape)
        return x

    def refuse(*_: object) -> Tensor:
        raise AssertionError("too many")

    choice = Quickest(plain, lambda: {"a": refuse}, lambda _: 0.0, lambda: False)
    few = torch.zeros(1)
    shapes = {"x": (1, 1), "offset": (1, 2), "modulation": (1, 1)}
    x, offset, modulation = (few.expand(*shape, 40_000, 40_000) for shape in shapes.values())
    assert choice(x, offset, modulation, few.view(1, 1, 1, 1), None, 0) is x
    assert passed == [offset.shape]


def test_the_operator_promises_shape_and_layout_of_the_plain_way() -> None:
    """torch.compile goes by this promise, and does not look inside."""
    tensors = arguments(2, 5, (8, 10), 4, 3, 0, reach=1.0)
    expected = deform_plain.deform_conv2d(**tensors, padding=0)
    with FakeTensorMode():
        given = {
            name: torch.empty(one.shape, dtype=one.dtype, device="cuda") for name, one in tensors.items()
        }
        promised = deform_cuda.deform_conv2d(**given, padding=0)
    assert (promised.shape, promised.stride(), promised.dtype, promised.device.type) == (
        expected.shape,
        expected.stride(),
        expected.dtype,
        "cuda",
    )


def test_torchvisions_operator_gets_its_arguments_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with its schema, which refuses what is not a stride, a dilation or a group of 1."""
    schema = (
        "(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h,"
        " SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups,"
        " SymInt offset_groups, bool use_mask) -> Tensor"
    )

    def run(x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *rest: int) -> Tensor:
        strides, (pad_h, pad_w), ones, use_mask = rest[:2], rest[2:4], rest[4:8], rest[8]
        assert (strides, ones, use_mask, pad_h) == ((1, 1), (1, 1, 1, 1), True, pad_w)
        return deform_plain.deform_conv2d(x, offset, mask, weight, bias, pad_h).contiguous()

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    torch.library.define("torchvision::deform_conv2d", schema, lib=library)
    torch.library.impl("torchvision::deform_conv2d", "CPU", run, lib=library)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    candidate = deform_cuda._torchvision()["torchvision"]
    tensors = arguments(2, 5, (8, 10), 4, 3, 1, reach=1.0)
    x, offset, modulation, weight, given = tensors.values()
    for bias in (given, None):
        expected = deform_plain.deform_conv2d(x, offset, modulation, weight, bias, 1)
        result = candidate(x, offset, modulation, weight, bias, 1)
        torch.testing.assert_close(result, expected, check_stride=True)
