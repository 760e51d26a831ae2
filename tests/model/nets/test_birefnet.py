import copy
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model.nets.birefnet import BACKBONES, BiRefNet, BiRefNetOutput
from model.nets.birefnet.birefnet import gradient_map, masked_gradient
from model.nets.birefnet.decoder import picture_patches
from model.nets.birefnet.swin import PatchMerging
from model.nets.birefnet.transformer import StochasticDepth
from tests.model.nets.parity import fill_by_name, normal_input

DATA = Path(__file__).parents[2] / "data"
LAYOUTS = json.loads(gzip.decompress((DATA / "birefnet_keys.json.gz").read_bytes()))
SMALL = ("pvt_v2_b0", "swin_v1_t")


def _reference(backbone: str) -> BiRefNet:
    network = BiRefNet(backbone).eval()
    fill_by_name(network)
    return network


@pytest.fixture(scope="module", params=SMALL)
def network(request: pytest.FixtureRequest) -> BiRefNet:
    """In eval mode, with the reference's weights; not to be changed."""
    return _reference(request.param)


@torch.inference_mode()
def _logits(network: BiRefNet, picture: torch.Tensor) -> torch.Tensor:
    logits = network(picture)
    assert isinstance(logits, torch.Tensor)
    return logits


@pytest.mark.parametrize("backbone", BACKBONES)
def test_state_dict_has_the_layout_of_the_published_weights(backbone: str) -> None:
    with torch.device("meta"):
        network = BiRefNet(backbone)
    layout = {
        name: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for name, tensor in network.state_dict().items()
    }
    published = {
        name: [shape, dtype.removeprefix("torch.")] for name, (shape, dtype) in LAYOUTS[backbone].items()
    }
    assert layout == published


@pytest.mark.timeout(600)  # the largest takes a while on a machine that is busy otherwise
@pytest.mark.parametrize("backbone", [*SMALL, "pvt_v2_b2", "swin_v1_l"])
def test_logits_agree_with_the_authors_network(backbone: str) -> None:
    """Compared: every fifth pixel of every fifth line of what the authors' code gives for these weights."""
    logits = _logits(_reference(backbone), normal_input(256, 320, count=1))
    assert logits.shape == (1, 1, 256, 320)
    with np.load(DATA / "birefnet_logits.npz") as expected:
        np.testing.assert_allclose(logits[0, 0, ::5, ::5].numpy(), expected[backbone], rtol=0, atol=1e-5)


def test_pictures_of_a_batch_do_not_touch(network: BiRefNet) -> None:
    pictures = torch.cat((normal_input(96, 160, count=2), torch.full((1, 3, 96, 160), 100.0)))
    together = _logits(network, pictures)
    for picture, logits in zip(pictures, together, strict=True):
        torch.testing.assert_close(_logits(network, picture[None])[0], logits, rtol=1e-4, atol=1e-5)


def test_layout_in_memory_does_not_matter(network: BiRefNet) -> None:
    picture = normal_input(64, 96, count=1)
    expected = _logits(network, picture)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    result = _logits(last, picture.to(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", ["autocast", "converted"])
def test_bfloat16_stays_near_float32(network: BiRefNet, how: str) -> None:
    picture = normal_input(64, 96, count=1)
    expected = _logits(network, picture)
    if how == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            result = _logits(network, picture)
    else:
        result = _logits(copy.deepcopy(network).bfloat16(), picture.bfloat16())
    assert (result.float() - expected).abs().max() < 0.1 * expected.abs().max()


def test_parameters_may_be_assigned_to_a_network_without_any(network: BiRefNet) -> None:
    backbone = "swin_v1_t" if hasattr(network.bb, "layers") else "pvt_v2_b0"
    with torch.device("meta"):
        empty = BiRefNet(backbone).eval()
    empty.load_state_dict(network.state_dict(), assign=True)
    picture = normal_input(64, 64, count=1)
    assert torch.equal(_logits(empty, picture), _logits(network, picture))


@pytest.mark.parametrize("name", ["conv_ms_spvn", "gdt_convs_pred"])
def test_eval_mode_does_no_work_for_side_outputs(network: BiRefNet, name: str) -> None:
    worked: list[str] = []
    parts = [(key, part) for key, part in network.named_modules() if name in key]
    assert parts
    hooks = [part.register_forward_hook(lambda *_, key=key: worked.append(key)) for key, part in parts]
    _logits(network, normal_input(64, 64, count=1))
    for hook in hooks:
        hook.remove()
    assert worked == []


def test_training_mode_gives_every_output_and_trains_every_parameter(network: BiRefNet) -> None:
    network = copy.deepcopy(network).train()
    outputs = network(normal_input(64, 96, count=2))
    assert isinstance(outputs, BiRefNetOutput)
    assert outputs.final.shape == (2, 1, 64, 96)
    stages = [(2, 1, 2, 3), (2, 1, 4, 6), (2, 1, 8, 12)]
    assert [side.shape for side in outputs.sides] == stages
    assert [gradient.shape for gradient in outputs.gradients] == stages
    assert [target.shape for target in outputs.gradient_targets] == [(2, 1, 64, 96)] * 3
    assert not any(target.requires_grad for target in outputs.gradient_targets)

    trained = (outputs.final, *outputs.sides, *outputs.gradients)
    loss = torch.stack([output.square().mean() for output in trained]).sum()
    torch.autograd.backward(loss)
    untouched = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert untouched == []


def test_training_mode_gives_the_logits_of_eval_mode_but_for_noise_and_batch_norm(network: BiRefNet) -> None:
    picture = normal_input(64, 64, count=1)
    expected = _logits(network, picture)
    network = copy.deepcopy(network)
    network.training = network.decoder.training = True  # these two alone decide what is returned
    outputs = network(picture)
    assert isinstance(outputs, BiRefNetOutput)
    torch.testing.assert_close(outputs.final.detach(), expected, rtol=0, atol=1e-5)


def test_gradient_map_is_a_laplacian() -> None:
    picture = normal_input(12, 9, count=2)
    kernel = torch.ones(1, 1, 5, 5)
    kernel[..., 2, 2] = -24
    padded = F.pad(picture.mean(1, keepdim=True), (2, 2, 2, 2), mode="reflect")
    torch.testing.assert_close(gradient_map(picture), F.conv2d(padded, kernel / 48), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("logit", "kept"), [pytest.param(50.0, 1.0, id="subject"), pytest.param(-50.0, 0.0, id="background")]
)
def test_gradients_are_kept_where_the_subject_is(logit: float, kept: float) -> None:
    gradient = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(masked_gradient(gradient, torch.full((1, 1, 4, 4), logit)), gradient * kept)


def test_the_mask_of_gradients_reaches_a_pixel_beyond_the_subject() -> None:
    prediction = torch.full((1, 1, 7, 7), -50.0)
    prediction[..., 3, 3] = 50
    mask = masked_gradient(torch.ones(1, 1, 7, 7), prediction)
    expected = torch.zeros(1, 1, 7, 7)
    expected[..., 2:5, 2:5] = 1
    torch.testing.assert_close(mask, expected)


def test_patches_are_tiles_of_the_picture() -> None:
    picture = torch.arange(2 * 3 * 6 * 8).view(2, 3, 6, 8)
    patches = picture_patches(picture, 3, 2).view(2, 3, 2, 4, 3, 2)
    for colour, row, column in np.ndindex(3, 2, 4):
        tile = picture[:, colour, 3 * row : 3 * row + 3, 2 * column : 2 * column + 2]
        assert torch.equal(patches[:, colour, row, column], tile)


def test_patch_merging_pads_odd_sides() -> None:
    torch.manual_seed(0)
    merging = PatchMerging(4)
    x = torch.randn(2, 5, 3, 4)
    padded = torch.zeros(2, 6, 4, 4)
    padded[:, :5, :3] = x
    corners = [padded[:, y::2, column::2] for y, column in ((0, 0), (1, 0), (0, 1), (1, 1))]
    expected = merging.reduction(merging.norm(torch.cat(corners, -1)))
    torch.testing.assert_close(merging(x), expected)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = StochasticDepth(0.25).train()
    dropped = layer(torch.ones(4000, 2, 3))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 4 / 3]))
    assert (dropped == dropped[:, :1, :1]).all()
    assert dropped.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(layer.eval()(torch.ones(2, 2)), torch.ones(2, 2))


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="swin_v1_l"):
        BiRefNet("resnet50")


@pytest.mark.parametrize("size", [(64, 80), (48, 64)])
def test_sides_that_tiles_do_not_fit_are_refused(network: BiRefNet, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        network(torch.zeros(1, 3, *size))
