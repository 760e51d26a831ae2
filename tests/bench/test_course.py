import numpy as np

from tests.bench.course import interleaved, photos, together


class Calls:
    """What was called, in order; the calls take no time."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __getitem__(self, name: str) -> "Call":
        return Call(self, name)


class Call:
    def __init__(self, calls: Calls, name: str) -> None:
        self.calls, self.name = calls, name

    def __call__(self) -> None:
        self.calls.made.append(self.name)


def test_calls_take_turns() -> None:
    calls = Calls()
    seconds = interleaved({"a": calls["a"], "b": calls["b"]}, rounds=3, seconds=60)
    assert calls.made == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3}


def test_there_is_a_round_however_little_time_there_is() -> None:
    calls = Calls()
    assert len(interleaved({"a": calls["a"]}, rounds=5, seconds=0)["a"]) == 1


def test_streams_share_the_calls() -> None:
    calls = Calls()
    assert together(calls["a"], streams=3, seconds=0.5) > 0
    assert len(calls.made) == 3 * 4


def test_photos_take_turns() -> None:
    batch = photos((64, 96), 6)
    assert batch.shape == (6, 64, 96, 3)
    assert batch.dtype == np.uint8
    assert [int(np.abs(photo.astype(int) - batch[0]).mean()) > 20 for photo in batch] == [
        False,
        True,
        True,
        True,
        False,
        True,
    ]
    assert (photos((64, 96), 1) == batch[:1]).all()
