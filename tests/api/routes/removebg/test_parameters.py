"""Each parameter, its default, and the code that a bad value is refused with."""

import base64
from typing import Any

import pytest

from api.routes.removebg.answers import Refused
from api.routes.removebg.config import RemoveBgConfig
from api.routes.removebg.parameters import Parameters, parse
from api.uploads import Upload
from postprocess.colour import Colour
from postprocess.lengths import parse_margins

SOURCE = {"image_file": b"bytes"}
CONFIG = RemoveBgConfig()


def parsed(**fields: Any) -> Parameters:
    return parse(Upload(fields, SOURCE))


def test_defaults() -> None:
    assert parsed() == Parameters(
        source=b"bytes",
        background_url=None,
        background_file=None,
        size="preview",
        type="auto",
        type_level="1",
        format="auto",
        roi="0% 0% 100% 100%",
        crop=False,
        crop_margin=parse_margins("0"),
        scale=None,
        position=None,
        channels="rgba",
        shadow=None,
        shadow_opacity=0.5,
        bg_color=None,
    )


EVERY = (
    "size",
    "type",
    "type_level",
    "format",
    "roi",
    "crop",
    "crop_margin",
    "scale",
    "position",
    "channels",
    "add_shadow",
    "shadow_type",
    "shadow_opacity",
    "semitransparency",
    "bg_color",
    "bg_image_url",
)


@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_what_is_empty_is_absent(nothing: str | None) -> None:
    assert parsed(**dict.fromkeys(EVERY, nothing)) == parsed()


def test_what_is_unknown_is_passed_over() -> None:
    assert parsed(image_filename="x", shadow_method="new", anything=["a"]) == parsed()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", ["§", ["a"], {"a": 1}])
def test_bad_values_have_their_own_codes(name: str, value: object) -> None:
    with pytest.raises(Refused) as told:
        parsed(**{name: value})
    assert told.value.findings[:2] == (400, f"invalid_{name}")
    assert told.value.public.startswith(f"{name}: ")


def test_json_has_its_own_values() -> None:
    from_json = parsed(crop=True, type_level=2, crop_margin=10, shadow_opacity=40, add_shadow=False)
    as_text = parsed(crop="true", type_level="2", crop_margin="10", shadow_opacity="40", add_shadow="false")
    assert from_json == as_text


@pytest.mark.parametrize(
    ("size", "format", "megapixels"),
    [
        pytest.param("preview", "png", 0.25, id="preview"),
        pytest.param("small", "png", 0.25, id="small"),
        pytest.param("regular", "jpg", 0.25, id="regular is preview"),
        pytest.param("medium", "png", 1.5, id="medium"),
        pytest.param("hd", "zip", 4, id="hd"),
        pytest.param("full", "jpg", 25, id="full as JPEG"),
        pytest.param("full", "zip", 25, id="full as ZIP"),
        pytest.param("full", "webp", 25, id="full as WebP"),
        pytest.param("full", "png", 10, id="full as PNG"),
        pytest.param("full", "auto", 10, id="full that will be PNG"),
        pytest.param("4k", "zip", 25, id="4k is full"),
        pytest.param("auto", "zip", 25, id="auto is all there is"),
        pytest.param("50MP", "zip", 50, id="50 megapixels"),
    ],
)
def test_sizes(size: str, format: str, megapixels: float) -> None:
    wish = parsed(size=size, format=format)
    assert wish.megapixels(wish.size, CONFIG) == megapixels


@pytest.mark.parametrize(("colour", "megapixels"), [("white", 25), ("#fff8", 10), ("transparent", 10)])
def test_auto_is_jpeg_over_an_opaque_colour(colour: str, megapixels: float) -> None:
    wish = parsed(size="full", bg_color=colour)
    assert wish.megapixels("full", CONFIG) == megapixels


def test_sizes_follow_the_configuration() -> None:
    config = RemoveBgConfig(megapixels=36, png_megapixels=36)
    assert parsed(size="full").megapixels("full", config) == 36
    assert parsed(size="full", format="zip").megapixels("full", config) == 36


def test_scale_implies_the_middle() -> None:
    assert (parsed(scale="50%").scale, parsed(scale="50%").position) == (0.5, (0.5, 0.5))
    assert parsed(scale="50%", position="10% 90%").position == (0.1, 0.9)
    assert parsed(scale="50%", position="original").position is None
    assert parsed(scale="original").position is None
    assert parsed(position="center").position == (0.5, 0.5)


@pytest.mark.parametrize(
    ("fields", "shadow"),
    [
        pytest.param({"add_shadow": "true"}, "drop", id="the old way"),
        pytest.param({"add_shadow": "true", "type": "car"}, "ground", id="of a car"),
        pytest.param({"add_shadow": "true", "shadow_type": "none"}, None, id="the new way counts"),
        pytest.param({"shadow_type": "drop", "type": "car"}, "drop", id="drop"),
        pytest.param({"shadow_type": "3D"}, "ground", id="3D"),
        pytest.param({"shadow_type": "car"}, "ground", id="car"),
        pytest.param({"shadow_type": "auto", "type": "product"}, "ground", id="auto, a product"),
        pytest.param({"shadow_type": "auto", "type": "person"}, "drop", id="auto, a person"),
    ],
)
def test_shadows(fields: dict[str, str], shadow: str | None) -> None:
    assert parsed(**fields).shadow == shadow


def test_background_colour() -> None:
    assert parsed(bg_color="81d4fa77").bg_color == Colour(129, 212, 250, 119)


IMAGE = base64.b64encode(b"picture").decode()


@pytest.mark.parametrize(
    ("fields", "files", "source"),
    [
        pytest.param({}, SOURCE, b"bytes", id="a file"),
        pytest.param({"image_file_b64": IMAGE}, {}, b"picture", id="base64"),
        pytest.param({"image_url": "http://a.b/c"}, {}, "http://a.b/c", id="a URL"),
        pytest.param({"image_url": "", "image_file_b64": ""}, SOURCE, b"bytes", id="the others empty"),
    ],
)
def test_sources(fields: dict[str, object], files: dict[str, bytes], source: object) -> None:
    assert parse(Upload(fields, files)).source == source


@pytest.mark.parametrize(
    ("fields", "files", "code"),
    [
        pytest.param({}, {}, "missing_source", id="none"),
        pytest.param({"image_file": "text"}, {}, "missing_source", id="a file as text"),
        pytest.param({"image_url": "http://a.b/c"}, SOURCE, "multiple_sources", id="file and URL"),
        pytest.param(
            {"image_url": "http://a.b/c", "image_file_b64": IMAGE}, {}, "multiple_sources", id="two texts"
        ),
        pytest.param({"image_url": "a.jpg"}, {}, "invalid_image_url", id="no URL"),
        pytest.param({"image_file_b64": "no!"}, {}, "failed_to_read_image", id="no base64"),
        pytest.param(
            {"bg_color": "red", "bg_image_url": "http://a.b/c"}, SOURCE, "multiple_bg_sources", id="two"
        ),
        pytest.param(
            {"bg_color": "red"}, SOURCE | {"bg_image_file": b"x"}, "multiple_bg_sources", id="colour and file"
        ),
        pytest.param({"format": "zip", "channels": "alpha"}, SOURCE, "invalid_channels", id="a ZIP of alpha"),
    ],
)
def test_refused(fields: dict[str, object], files: dict[str, bytes], code: str) -> None:
    with pytest.raises(Refused) as told:
        parse(Upload(fields, files))
    assert told.value.findings[:2] == (400, code)
