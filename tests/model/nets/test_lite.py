import re

import pytest
import torch
import torch.nn.functional as F

from model.errors import ModelUnavailable
from model.nets.lite import Encoder, Lite
from tests.model.training.conftest import published_encoder


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


def test_the_encoder_computes_what_the_published_weights_mean() -> None:
    """Convolutions without bias, a batch norm after each; TensorFlow's padding where a stride is 2."""
    published = published_encoder(seed=1)

    def normed(x: torch.Tensor, conv: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = published[f"{conv}.weight"]
        around = weight.shape[-1] - stride  # so many pixels in all: the larger half at right and bottom
        less, more = around // 2, around - around // 2
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = F.conv2d(F.pad(x, (less, more, less, more)), weight, stride=stride, groups=groups)
        moments = published[f"{norm}.running_mean"], published[f"{norm}.running_var"]
        return F.batch_norm(x, *moments, published[f"{norm}.weight"], published[f"{norm}.bias"], eps=1e-3)

    encoder = Encoder()
    encoder.load_pretrained(published)
    with torch.inference_mode():
        picture = torch.randn(1, 3, 64, 96)
        found = encoder(picture)
        x = F.relu6(normed(picture, "_conv_stem", "_bn0", 2))
        expected = []
        for index in range(21):
            name, y = f"_blocks.{index}", x
            if index > 0:
                y = F.relu6(normed(y, f"{name}._expand_conv", f"{name}._bn0"))
            stride = 2 if index in (1, 4, 7, 15) else 1
            y = F.relu6(normed(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
            y = normed(y, f"{name}._project_conv", f"{name}._bn2")
            if stride == 2:
                expected.append(x)
            x = x + y if x.shape == y.shape else y
        expected.append(F.relu6(normed(x, "_conv_head", "_bn1")))
    assert [map_.shape[1] for map_ in found] == list(Encoder.channels)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("absent", ["_conv_stem.weight", "_blocks.5._bn1.running_var"])
def test_incomplete_encoder_weights_are_refused(absent: str) -> None:
    weights = published_encoder(seed=2)
    del weights[absent]
    with pytest.raises(ModelUnavailable, match=re.escape(absent)):
        Encoder().load_pretrained(weights)


def test_another_networks_weights_are_refused() -> None:
    weights = published_encoder(seed=3)
    weights["_blocks.20._depthwise_conv.weight"] = torch.zeros(1248, 1, 7, 7)
    with pytest.raises(ModelUnavailable, match=r"(?s)no EfficientNet-Lite2.*blocks\.20"):
        Encoder().load_pretrained(weights)
