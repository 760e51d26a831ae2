import cv2
import numpy as np
import pytest

from postprocess.alpha import enlarge, quantise
from postprocess.edges import refine
from postprocess.types import Alpha
from tests.postprocess.drawn import Scene, as_predicted, disc, natural, scenes
from tests.postprocess.measures import boundary_iou, gradient_error, sad

SIZE = (480, 640)


@pytest.fixture(scope="module")
def drawn() -> dict[str, Scene]:
    return {scene.name: scene for scene in scenes(*SIZE)}


def doubted(matte: Alpha) -> Alpha:
    """The matte of a network that is unsure of whole regions."""
    rng = np.random.default_rng(3)
    noise = cv2.resize(rng.random((5, 5)).astype(np.float32), matte.shape, interpolation=cv2.INTER_CUBIC)
    doubt = np.clip((noise - 0.55) * 4, 0, 0.8)
    return np.asarray(matte * (1 - doubt) + 0.5 * doubt, np.float32)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        pytest.param("sharp/texture", 0.4, id="sharp edge, textured sides"),
        pytest.param("sharp/photos", 0.4, id="sharp edge, photographs"),
        pytest.param("soft/photos", 0.8, id="out of focus"),
        pytest.param("hair/photos", 0.85, id="hair"),
    ],
)
def test_beats_cubic_enlargement(drawn: dict[str, Scene], name: str, share: float) -> None:
    scene = drawn[name]
    matte = as_predicted(scene.alpha)
    cubic, refined = enlarge(matte, SIZE[::-1]), refine(matte, scene.rgb)
    assert sad(refined, scene.alpha) < share * sad(cubic, scene.alpha)
    assert gradient_error(refined, scene.alpha) < gradient_error(cubic, scene.alpha)
    assert boundary_iou(refined, scene.alpha) > boundary_iou(cubic, scene.alpha)


@pytest.mark.parametrize("name", ["sharp/texture", "soft/texture", "sharp/photos", "hair/low-contrast"])
def test_does_no_harm_where_the_network_doubts(drawn: dict[str, Scene], name: str) -> None:
    """Texture inside a doubted region must not be taken for an edge: it once doubled the gradient error."""
    scene = drawn[name]
    matte = doubted(as_predicted(scene.alpha))
    cubic, refined = enlarge(matte, SIZE[::-1]), refine(matte, scene.rgb)
    assert sad(refined, scene.alpha) < sad(cubic, scene.alpha)
    assert gradient_error(refined, scene.alpha) < 1.1 * gradient_error(cubic, scene.alpha)


def test_texture_beside_the_edge_leaves_no_veil(drawn: dict[str, Scene]) -> None:
    """Where the network sees nothing, or the whole subject, colours like the other side's say nothing."""
    scene = drawn["sharp/low-contrast"]
    matte = as_predicted(scene.alpha)
    cubic, refined = enlarge(matte, SIZE[::-1]), refine(matte, scene.rgb)
    window = np.ones((3, 3), np.uint8)
    assert (refined[cv2.dilate(cubic, window) == 0] == 0).all()
    assert (refined[cv2.erode(cubic, window) == 1] == 1).all()


@pytest.mark.parametrize("name", ["sharp/photos", "sharp/texture", "hair/photos"])
def test_a_hard_matte_is_refined_along_its_edge(drawn: dict[str, Scene], name: str) -> None:
    scene = drawn[name]
    matte = (as_predicted(scene.alpha) > 0.5).astype(np.float32)
    cubic, refined = enlarge(matte, SIZE[::-1]), refine(matte, scene.rgb)
    assert sad(refined, scene.alpha) < 0.95 * sad(cubic, scene.alpha)


def test_a_grey_picture_is_refined_as_well(drawn: dict[str, Scene]) -> None:
    """Its colours' covariance is singular."""
    scene = drawn["sharp/photos"]
    grey = cv2.cvtColor(cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    matte = as_predicted(scene.alpha)
    cubic, refined = enlarge(matte, SIZE[::-1]), refine(matte, np.asarray(grey, np.uint8))
    assert sad(refined, scene.alpha) < 0.8 * sad(cubic, scene.alpha)


def test_a_soft_edge_stays_soft(drawn: dict[str, Scene]) -> None:
    scene = drawn["soft/photos"]
    refined = refine(as_predicted(scene.alpha), scene.rgb)
    between = [((matte > 0.1) & (matte < 0.9)).mean() for matte in (refined, scene.alpha)]
    assert 0.6 < between[0] / between[1] < 1.7


def test_interior_is_opaque_and_background_is_empty() -> None:
    rgb = natural(480, 640, 1, (120, 110, 100), 40).astype(np.uint8)
    truth = cv2.resize(disc(320, 4.0), (640, 480))
    # What sigmoids leave behind: a veil, and an interior that is nearly sure.
    refined = quantise(refine(np.asarray(0.015 + 0.97 * disc(320, 4.0), np.float32), rgb))
    window = np.ones((41, 41), np.uint8)
    assert (refined[cv2.erode(truth, window) == 1] == 255).all()
    assert (refined[cv2.dilate(truth, window) == 0] == 0).all()


@pytest.mark.parametrize(
    ("level", "expected"), [(0.0, 0.0), (0.02, 0.0), (0.99, 1.0), (1.0, 1.0), (0.5, 0.5)]
)
def test_a_flat_matte_stays_flat(level: float, expected: float) -> None:
    rgb = natural(90, 120, 2, (120, 110, 100), 40).astype(np.uint8)
    assert np.allclose(refine(np.full((32, 32), level, np.float32), rgb), expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (7, 3), (3, 2000), (641, 5), (479, 641)])
@pytest.mark.parametrize("side", [320, 1024])
def test_any_shape(shape: tuple[int, int], side: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    refined = refine(disc(side, 4.0), rgb)
    assert refined.shape == shape
    assert refined.dtype == np.float32
    assert refined.flags.c_contiguous
    assert refined.min() >= 0
    assert refined.max() <= 1


def test_the_same_picture_gives_the_same_matte(drawn: dict[str, Scene]) -> None:
    scene = drawn["hair/photos"]
    matte = as_predicted(scene.alpha)
    before = matte.copy()
    assert np.array_equal(refine(matte, scene.rgb), refine(matte, scene.rgb))
    assert np.array_equal(matte, before)
