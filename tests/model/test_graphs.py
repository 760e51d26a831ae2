"""Shapes on a CUDA device: which run as they are, which are recorded; and where there is a GPU, how."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from model.device import device_errors
from model.errors import InferenceFailed
from model.graphs import CudaRunner, Graphs, Network, Recorder, padded_size
from model.preprocess import AlphaNet
from tests.model.toy import SIDE, Toy, pictures, toy_spec

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")


class Tape:
    """Records by counting. refuses: batches of these sizes cannot be recorded."""

    def __init__(self, refuses: tuple[int, ...] = ()) -> None:
        self.plain: list[int] = []
        self.recorded: list[int] = []
        self.replayed: list[int] = []
        self._refuses = refuses

    def net(self, x: Tensor) -> Tensor:
        self.plain.append(len(x))
        return x + 1

    def record(self, net: Network, x: Tensor) -> Network:
        self.recorded.append(len(x))
        if len(x) in self._refuses:
            raise RuntimeError("operation not permitted when stream is capturing")

        def replay(x: Tensor) -> Tensor:
            self.replayed.append(len(x))
            return x + 1

        return replay


def run(graphs: Graphs, *sizes: int) -> None:
    for size in sizes:
        assert torch.equal(graphs(torch.zeros(size, 2)), torch.ones(size, 2))


def test_a_shape_is_recorded_when_it_comes_again() -> None:
    tape = Tape()
    run(Graphs(tape.net, tape.record), 4, 1, 4, 4, 1)
    assert tape.plain == [4, 1], "the first of each shape"
    assert tape.recorded == [4, 1]
    assert tape.replayed == [4, 4, 1]


def test_where_recording_fails_the_network_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    tape = Tape(refuses=(4,))
    run(Graphs(tape.net, tape.record), 4, 4, 4, 1, 1)
    assert tape.recorded == [4, 1], "once is enough"
    assert tape.plain == [4, 4, 4, 1]
    assert tape.replayed == [1]
    assert "no CUDA graph for inputs of (4, 2): operation not permitted" in caplog.text


def test_the_shape_unused_for_longest_makes_room() -> None:
    tape = Tape()
    run(Graphs(tape.net, tape.record, most=2), 1, 1, 2, 2, 1, 3, 1, 2)
    assert tape.plain == [1, 2, 3, 2], "2 has made room for 3"
    assert tape.replayed == [1, 2, 1, 1]


def test_forgotten_shapes_begin_anew() -> None:
    tape = Tape()
    graphs = Graphs(tape.net, tape.record)
    run(graphs, 1, 1)
    graphs.clear()
    run(graphs, 1)
    assert tape.plain == [1, 1]


@pytest.mark.parametrize(
    ("count", "size"),
    [
        pytest.param(1, 1, id="one"),
        pytest.param(3, 4, id="between"),
        pytest.param(4, 4, id="exactly"),
        pytest.param(5, 6, id="up to the largest"),
        pytest.param(7, 7, id="beyond"),
    ],
)
def test_batches_are_filled_up_to_a_known_size(count: int, size: int) -> None:
    assert padded_size(count, (1, 2, 4, 6)) == size


@pytest.fixture
def net() -> AlphaNet:
    return AlphaNet(Toy(), toy_spec()).to("cuda")


@gpu
def test_batches_of_every_size_are_right_before_and_after_recording(net: AlphaNet) -> None:
    runner = CudaRunner(net, torch.device("cuda"), 4)
    batch = pictures(4)
    with torch.inference_mode():
        plain = net(torch.from_numpy(batch).cuda()).cpu().numpy()
    for _ in range(4):
        for size in (1, 2, 3, 4):
            np.testing.assert_allclose(runner(list(batch[:size])), plain[:size], atol=1e-4)


@gpu
def test_results_are_not_overwritten_by_later_calls(net: AlphaNet) -> None:
    runner = CudaRunner(net, torch.device("cuda"), 1)
    one, other = pictures(2)[:1], pictures(2)[1:]
    runner(one), runner(one)
    kept = runner(one)
    copy = kept.copy()
    runner(other)
    assert np.array_equal(kept, copy)


@gpu
def test_callers_side_by_side_do_not_disturb_each_other(net: AlphaNet) -> None:
    runner = CudaRunner(net, torch.device("cuda"), 2)
    batch = pictures(8)
    alone = [runner([picture])[0] for picture in batch]
    wrong: list[int] = []

    def call(first: int) -> None:
        for turn in range(50):
            index = (first + turn) % 8
            if not np.allclose(runner([batch[index]])[0], alone[index], atol=1e-4):
                wrong.append(index)

    threads = [threading.Thread(target=call, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Synchronising(Toy):
    """Looks at its data in the middle, which no graph can record."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (2.0 if x.mean().item() > 1e6 else 1.0)


@gpu
def test_a_network_that_cannot_be_recorded_runs_all_the_same() -> None:
    net = AlphaNet(Synchronising(), toy_spec()).to("cuda")
    runner = CudaRunner(net, torch.device("cuda"), 2)
    first = runner(pictures(2))
    for _ in range(3):
        np.testing.assert_allclose(runner(pictures(2)), first, atol=1e-4)


@gpu
def test_graphs_that_share_their_working_memory_do_not_mix_up_their_results(net: AlphaNet) -> None:
    record = Recorder()
    inputs = [torch.from_numpy(pictures(count)).cuda() for count in (1, 4, 2)]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.inference_mode(), torch.cuda.stream(stream):
        plain = [net(x) for x in inputs]
        replays = [record(net, x) for x in inputs]
        for order in ((0, 1, 2), (2, 0, 1), (1, 1, 0)):
            results = {index: replays[index](inputs[index]) for index in order}
            for index, result in results.items():
                torch.testing.assert_close(result, plain[index])


@gpu
def test_after_a_batch_that_failed_the_next_one_works(net: AlphaNet) -> None:
    runner = CudaRunner(net, torch.device("cuda"), 2)
    with pytest.raises(InferenceFailed), device_errors():
        runner([np.zeros((SIDE, SIDE, 4), np.uint8)])
    assert runner(pictures(1)).shape == (1, SIDE, SIDE)
