"""Devices by name."""

import pytest
import torch

from model.device import choose_device


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:99", "mps"])
def test_a_device_that_is_not_there_is_an_error(name: str) -> None:
    there = {
        "cuda": torch.cuda.is_available(),
        "cuda:0": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if there.get(name):
        pytest.skip(f"this machine has {name}")
    with pytest.raises(ValueError, match=f"'{name}' was asked for"):
        choose_device(name)


def test_every_machine_has_a_device() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_the_first_gpu() -> None:
    assert choose_device("cuda:0") == torch.device("cuda", 0)
