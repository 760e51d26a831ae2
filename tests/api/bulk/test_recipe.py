"""What makes two cutouts of the same bytes the same."""

from hashlib import sha256
from pathlib import Path

import pytest

from api.bulk.recipe import Recipe, content_key, model_digest
from api.options import CutoutOptions
from model.errors import ModelUnavailable
from model.files import SHIPPED

PLAIN = Recipe(CutoutOptions(), "0" * 64)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(Recipe(CutoutOptions(model="lite"), "0" * 64), True, id="a default that is named"),
        pytest.param(Recipe(CutoutOptions(crop=True), "0" * 64), False, id="an option"),
        pytest.param(Recipe(CutoutOptions(), "1" * 64), False, id="other weights"),
        pytest.param(Recipe(CutoutOptions(), "0" * 64, b"beach"), False, id="a background"),
    ],
)
def test_recipes(other: Recipe, same: bool) -> None:
    assert (other.digest == PLAIN.digest) is same
    assert (content_key(other.digest, "5" * 64) == content_key(PLAIN.digest, "5" * 64)) is same


def test_the_source_counts() -> None:
    assert content_key(PLAIN.digest, "5" * 64) != content_key(PLAIN.digest, "6" * 64)


def test_the_digest_of_weights_is_their_file_s(tmp_path: Path) -> None:
    weights = (SHIPPED / "lite.safetensors").read_bytes()
    assert model_digest("lite", tmp_path) == sha256(weights).hexdigest()
    with pytest.raises(ModelUnavailable, match="objectcut models"):
        model_digest("birefnet-lite", tmp_path)
