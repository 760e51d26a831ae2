"""What inference keeps between its calls must never be what no longer holds."""

import copy

import pytest
import torch

from model.nets.birefnet.swin import WindowAttention


@pytest.fixture
def attention() -> WindowAttention:
    torch.manual_seed(0)
    return WindowAttention(dim=16, heads=2, window=4, shift=2).eval()


def windows(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(2, 3, 5, 16, 16, generator=torch.Generator().manual_seed(1)).to(dtype)


def test_the_bias_is_computed_once(attention: WindowAttention) -> None:
    with torch.inference_mode():
        first = attention(windows())
        kept = attention._bias()
        assert torch.equal(attention(windows()), first)
        assert attention._bias() is kept
    torch.testing.assert_close(attention(windows()), first)


def test_other_parameters_are_noticed(attention: WindowAttention) -> None:
    with torch.inference_mode():
        before = attention(windows())
    state = attention.state_dict()
    state["relative_position_bias_table"] = 3 + torch.randn_like(state["relative_position_bias_table"])
    attention.load_state_dict(state)
    with torch.inference_mode():
        after = attention(windows())
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(attention(windows()), after)


def test_another_precision_is_noticed_by_a_copy(attention: WindowAttention) -> None:
    with torch.inference_mode():
        full = attention(windows())
    half = copy.deepcopy(attention).to(torch.bfloat16)
    with torch.inference_mode():
        torch.testing.assert_close(half(windows(torch.bfloat16)).float(), full, atol=0.05, rtol=0.05)
        assert attention._bias().dtype == torch.float32


def test_training_still_reaches_the_table(attention: WindowAttention) -> None:
    with torch.inference_mode():
        attention(windows())
    attention(windows()).sum().backward()
    assert attention.relative_position_bias_table.grad is not None
