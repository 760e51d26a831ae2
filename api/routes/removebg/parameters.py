"""remove.bg's parameters: text fields in, one frozen record out.

What is empty is absent, and what is unknown is passed over: that is how its clients send what nobody set.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from api.options import CutoutOptions, Format
from api.pipeline import Job
from api.routes.removebg.answers import Refused
from api.routes.removebg.config import RemoveBgConfig
from api.routes.removebg.grammar import (
    DEFAULT_OPACITY,
    boolean,
    choice,
    file_from_text,
    hex_or_name,
    limited_margins,
    or_original,
    percentage,
    region,
    web_address,
)
from api.routes.removebg.layout import NONE, WHOLE, Layout, Wanted
from api.uploads import Upload
from postprocess.colour import Colour
from postprocess.lengths import Margins, parse_position, parse_scale
from postprocess.shadow import Shadow

Size = Literal["preview", "small", "regular", "medium", "hd", "full", "4k", "50mp", "auto"]
Kind = Literal["auto", "person", "product", "car", "animal", "graphic", "transportation", "other"]
ShadowType = Literal["none", "auto", "drop", "3d", "car"]

PREVIEWS = frozenset({"preview", "small", "regular"})
_MEGAPIXELS: Mapping[Size, float] = {
    "preview": 0.25,
    "small": 0.25,
    "regular": 0.25,
    "medium": 1.5,
    "hd": 4.0,
    "50mp": 50.0,
}
"""What does not depend on the configuration."""
_FORMATS: Mapping[str, Wanted] = {
    "auto": "auto",
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "webp": "webp",
    "zip": "zip",
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """A request to POST /removebg, as it is meant."""

    source: str | bytes
    background_url: str | None
    background_file: bytes | None
    size: Size
    type: Kind
    type_level: Literal["none", "1", "2", "latest"]
    format: Wanted
    roi: str
    crop: bool
    crop_margin: Margins
    scale: float | None
    position: tuple[float, float] | None
    channels: Literal["rgba", "alpha"]
    shadow: Shadow | None
    shadow_opacity: float
    bg_color: Colour | None

    @property
    def preview(self) -> bool:
        """Whether it has the price of a preview."""
        return self.size in PREVIEWS

    def megapixels(self, size: Size, config: RemoveBgConfig) -> float:
        """The largest result of a size: PNG is held smaller than what may leave as JPEG or ZIP."""
        opaque = bool(self.background_url or self.background_file) or (
            self.bg_color is not None and self.bg_color.alpha == 255
        )
        png = self.format == "png" or (self.format == "auto" and not opaque)
        return _MEGAPIXELS.get(size) or (
            min(config.megapixels, config.png_megapixels) if png else config.megapixels
        )

    def job(self, config: RemoveBgConfig, background: bytes | None) -> Job:
        """background: the picture behind the subject, downloaded or sent."""
        layout = Layout(
            roi=self.roi,
            megapixels=self.megapixels(self.size, config),
            crop=self.crop,
            margins=self.crop_margin,
            scale=self.scale,
            position=self.position,
            shadow=self.shadow,
            opacity=self.shadow_opacity,
            format=self.format,
        )
        # What a ZIP holds and what `auto` means, the layout decides when it has seen the pixels.
        colour = self.bg_color if self.bg_color and self.bg_color.alpha else None
        behind = colour is not None or background is not None
        late = self.format == "auto" or (self.format == "zip" and behind)
        options = CutoutOptions(
            output="alpha" if self.channels == "alpha" else "cutout",
            background="#{:02x}{:02x}{:02x}{:02x}".format(*colour) if colour else None,
            format=None if late else _as_format(self.format),
        )
        return Job(
            self.source,
            options,
            background,
            look=layout.look,
            refine=layout.refine,
            compose=layout.compose,
        )


def _as_format(wanted: Wanted) -> Format | None:
    return None if wanted == "auto" else wanted


_GRAMMAR: Mapping[str, tuple[Callable[[str], object], object]] = {
    "size": (choice(*get_args(Size)), "preview"),
    "type": (choice(*get_args(Kind), "graphics"), "auto"),
    "type_level": (choice("none", "1", "2", "latest"), "1"),
    "format": (lambda text: _FORMATS[choice(*_FORMATS)(text)], "auto"),
    "roi": (region, WHOLE),
    "crop": (boolean, False),
    "crop_margin": (limited_margins, NONE),
    "scale": (or_original(parse_scale), None),
    "position": (or_original(parse_position), None),
    "channels": (choice("rgba", "alpha"), "rgba"),
    "add_shadow": (boolean, False),
    "shadow_type": (choice(*get_args(ShadowType)), None),
    "shadow_opacity": (percentage, DEFAULT_OPACITY),
    "semitransparency": (boolean, True),
    "bg_color": (hex_or_name, None),
    "bg_image_url": (web_address, None),
}
"""Each parameter's parser, which raises ValueError, and its default."""


def parse(upload: Upload) -> Parameters:
    """Raises Refused, with the parameter's own code."""
    given = texts(upload.fields)
    source = source_of(given, upload.files)
    values: dict[str, Any] = {
        name: _parsed(name, given[name], parser) if name in given else default
        for name, (parser, default) in _GRAMMAR.items()
    }
    background_file = upload.files.get("bg_image_file")
    if sum(each is not None for each in (values["bg_color"], values["bg_image_url"], background_file)) > 1:
        raise Refused(
            "multiple_bg_sources",
            "Multiple background sources given",
            "Give one of bg_color, bg_image_url and bg_image_file.",
        )
    if values["format"] == "zip" and values["channels"] == "alpha":
        raise Refused("invalid_channels", "Invalid channels", "A ZIP holds both: leave channels out.")
    if values["scale"] is not None and "position" not in given:
        values["position"] = parse_position("center")
    values.pop("semitransparency")  # no effect: the matte is as transparent as the network found the subject
    return Parameters(
        source=source,
        background_url=values.pop("bg_image_url"),
        background_file=background_file,
        shadow=_shadow(values.pop("shadow_type"), values["type"], add=values.pop("add_shadow")),
        **values,
    )


def texts(fields: Mapping[str, object]) -> dict[str, str]:
    """What was given, JSON's values as forms write them. Raises Refused: no text, and not to be made one."""
    return {name: text for name, value in fields.items() if (text := _text(name, value))}


def source_of(fields: Mapping[str, str], files: Mapping[str, bytes]) -> str | bytes:
    """The one picture of a request: a URL, or a file's bytes. Raises Refused."""
    names = [name for name in ("image_file_b64", "image_url") if name in fields]
    if len(names) + ("image_file" in files) != 1:
        wanted = "Give one of image_file, image_file_b64 and image_url."
        if names or "image_file" in files:
            raise Refused("multiple_sources", "Multiple image sources given", wanted)
        raise Refused("missing_source", "No image given", wanted)
    if not names:
        return files["image_file"]
    if names == ["image_url"]:
        return str(_parsed("image_url", fields["image_url"], web_address))
    try:
        return file_from_text(fields["image_file_b64"])
    except ValueError as exc:
        raise Refused("failed_to_read_image", "Failed to read image", f"image_file_b64: {exc}.") from exc


def _text(name: str, value: object) -> str:
    """Empty for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str | int | float):
        return "" if value is None else str(value).strip()
    if name in _GRAMMAR:
        raise Refused(f"invalid_{name}", f"Invalid {name}", f"{name}: a text is wanted.")
    return ""


def _parsed(name: str, text: str, parser: Callable[[str], Any]) -> Any:
    try:
        return parser(text)
    except ValueError as exc:
        raise Refused(f"invalid_{name}", f"Invalid {name}", f"{name}: {exc}.") from exc


def _shadow(wanted: ShadowType | None, kind: Kind, *, add: bool) -> Shadow | None:
    """`add_shadow` is `auto`; that lets what stands on the ground stand on it."""
    wanted = wanted or ("auto" if add else "none")
    if wanted == "auto":
        return "ground" if kind in ("car", "product", "transportation") else "drop"
    return {"none": None, "drop": "drop", "3d": "ground", "car": "ground"}[wanted]
