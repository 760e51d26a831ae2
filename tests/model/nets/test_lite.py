import pytest
import torch

from model.nets.lite import Encoder, Lite
from tests.model.training.conftest import published_names


@pytest.fixture(scope="module")
def network() -> Lite:
    torch.manual_seed(0)
    return Lite()


def test_stays_within_its_budget(network: Lite) -> None:
    assert sum(p.numel() for p in network.parameters()) <= 8_000_000


@pytest.mark.parametrize(
    "size", [pytest.param((64, 64), id="square"), pytest.param((64, 96), id="landscape")]
)
def test_logits_have_the_size_of_the_picture(network: Lite, size: tuple[int, int]) -> None:
    network.eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, *size))
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (2, 1, *size)
    assert torch.isfinite(logits).all()


def test_training_mode_gives_every_side_output_finest_first(network: Lite) -> None:
    network.train()
    outputs = network(torch.randn(2, 3, 64, 64))
    assert [output.shape[-1] for output in outputs] == [64, 32, 16, 8, 4, 2]


def test_the_last_output_of_training_is_that_of_eval_mode_but_for_batch_norm(network: Lite) -> None:
    picture = torch.randn(1, 3, 64, 64)
    network.eval()
    with torch.inference_mode():
        expected = network(picture)
        network.training = True  # the mode of the outermost module alone decides what is returned
        outputs = network(picture)
    network.eval()
    torch.testing.assert_close(outputs[0], expected)


def test_published_encoder_weights_load_strictly() -> None:
    torch.manual_seed(1)
    source, target = Encoder(), Encoder()
    target.load_pretrained(published_names(source.state_dict()))
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name]), name


def test_incomplete_encoder_weights_are_refused() -> None:
    weights = published_names(Encoder().state_dict())
    del weights["stem.bias"]
    with pytest.raises(RuntimeError, match=r"stem\.bias"):
        Encoder().load_pretrained(weights)
