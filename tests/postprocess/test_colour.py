import pytest
from PIL import ImageColor

from postprocess.colour import Colour, parse_colour


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#f0a", (255, 0, 170, 255)),
        ("#f0a8", (255, 0, 170, 136)),
        ("#12AB9f", (18, 171, 159, 255)),
        ("#12ab9f40", (18, 171, 159, 64)),
        (" White ", (255, 255, 255, 255)),
        ("rebeccapurple", (102, 51, 153, 255)),
        ("transparent", (0, 0, 0, 0)),
    ],
)
def test_parse_colour(text: str, colour: tuple[int, int, int, int]) -> None:
    assert parse_colour(text) == Colour(*colour)


@pytest.mark.parametrize(
    "text", ["", "#", "#12", "#12345", "#ggg", "123456", "fff", "#red", "blurple", "#１２３", "red;"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="not a colour"):
        parse_colour(text)


@pytest.mark.parametrize("name", sorted(ImageColor.colormap))
def test_every_css_name(name: str) -> None:
    assert parse_colour(name)[:3] == ImageColor.getrgb(name)[:3]
