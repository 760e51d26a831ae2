"""From a network's matte to a file, as the options ask: postprocess' functions in their order.

The matte is scaled, never the picture. Everything here is work on whole pictures, for a thread of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.errors import InvalidOptions, NoSubject
from api.options import CutoutOptions, Format
from api.types import Encoded, Picture
from postprocess import compose as composing
from postprocess import encode as encoding
from postprocess.alpha import clean, enlarge, quantise, sharpen, with_source
from postprocess.colour import Colour, parse_colour
from postprocess.crop import Box, bounding_box, crop, with_margin
from postprocess.edges import refine as refine_along_edges
from postprocess.foreground import decontaminate, extend
from postprocess.objectcut import objectcut
from postprocess.types import RGB, Alpha

Pixels = NDArray[np.uint8]
GREY = frozenset({"alpha", "mask"})
"""The outputs that hold no colours."""
WHITE = Colour(255, 255, 255)
_OPAQUE = 0.95
"""Alpha of a source from which on it is a photograph's: some programs write 254 for all of it."""


@dataclass(frozen=True, slots=True)
class Layers:
    """What a picture is taken apart into, cropped or not.

    rgb: the colours to show. alpha: how much they show. original: the photo's own colours.
    box: the subject's, px of the whole picture; None without one.
    """

    rgb: RGB
    alpha: Alpha
    original: RGB
    box: Box | None


@dataclass(frozen=True, slots=True)
class Canvas:
    """Finished pixels: (h, w), (h, w, 3) or (h, w, 4) uint8. box: the subject's, px of the original."""

    pixels: Pixels
    box: Box | None
    format: Format


Look = Callable[[Picture], RGB]
Refine = Callable[[Picture, Alpha, CutoutOptions], Alpha]
Compose = Callable[[Picture, Alpha, Picture | None, CutoutOptions], Canvas]


def look(picture: Picture) -> RGB:
    """What the network is shown: all of it."""
    return picture.rgb


def refine(picture: Picture, coarse: Alpha, wish: CutoutOptions) -> Alpha:
    """The subject's matte, (H, W), from the network's, (h, w); of a transparent source only what shows."""
    matte = clean(coarse, wish.morphology, wish.radius)
    if wish.edges == "sharp":
        matte = sharpen(matte, wish.sharp_sigma, wish.sharp_amount)
    if wish.edges == "objectcut":
        return objectcut(matte, picture.size)
    return refine_along_edges(matte, picture.rgb) if wish.refine else enlarge(matte, picture.size)


def compose(picture: Picture, subject: Alpha, behind: Picture | None, wish: CutoutOptions) -> Canvas:
    """What is to be seen, cropped. behind: a picture for the background. Raises NoSubject."""
    layers = separate(picture, subject, wish)
    if wish.crop:
        if layers.box is None:
            raise NoSubject("nothing to crop to")
        window = with_margin(layers.box, wish.crop_margin, picture.size)
        layers = cropped(layers, window)
    return paint(layers, behind, wish)


def cropped(layers: Layers, window: Box) -> Layers:
    """The part in the window; where this leaves the picture nothing shows."""
    alpha = crop(layers.alpha, window, "constant")
    return Layers(crop(layers.rgb, window), alpha, crop(layers.original, window), layers.box)


def separate(picture: Picture, subject: Alpha, wish: CutoutOptions) -> Layers:
    """What is kept and what shows of it, before it is cropped."""
    source = picture.alpha if wish.source_alpha == "multiply" else None
    box = bounding_box(with_source(subject, source))
    matte = composing.invert(subject) if wish.to_remove == "foreground" else subject
    coloured = wish.output not in GREY and wish.decontaminate
    rgb = _unmixed(picture.rgb, matte, source) if coloured else picture.rgb
    return Layers(rgb, with_source(matte, source), picture.rgb, box)


def paint(layers: Layers, behind: Picture | None, wish: CutoutOptions) -> Canvas:
    """The pixels of the output, over the background if one is wanted."""
    if wish.output in GREY:
        pixels = quantise(layers.alpha) if wish.output == "alpha" else composing.mask(layers.alpha)
    elif wish.output == "foreground":
        pixels = extend(layers.rgb, layers.alpha)
    else:
        pixels = _cutout(layers.rgb, layers.alpha, layers.original, behind, wish)
    opaque_cutout = wish.output == "cutout" and pixels.shape[2] == 3
    return Canvas(pixels, layers.box, wish.format or ("jpeg" if opaque_cutout else "png"))


def warm() -> None:
    """One small picture through every stage: what libraries do at their first call, no request waits for."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 64
    matte = np.clip(4 - 10 * np.hypot(x - 0.5, y - 0.5), 0, 1)
    picture = Picture(np.rint(np.dstack([x, y, matte]) * 255).astype(np.uint8))
    wish = CutoutOptions()
    encode(compose(picture, refine(picture, matte, wish), None, wish), wish)


def encode(canvas: Canvas, wish: CutoutOptions) -> Encoded:
    """The file. Raises InvalidOptions: a format that cannot hold this picture."""
    try:
        return encoding.encode(canvas.pixels, canvas.format, wish.quality)
    except ValueError as exc:
        raise InvalidOptions(public=f"format: {exc}") from exc


def _unmixed(rgb: RGB, matte: Alpha, source: Alpha | None) -> RGB:
    """Without the background's share, which the colours of what is transparent in the file do not have."""
    clean = decontaminate(rgb, matte)
    if source is not None:
        np.copyto(clean, rgb, where=(source < _OPAQUE)[..., None])
    return clean


def _cutout(rgb: RGB, alpha: Alpha, original: RGB, behind: Picture | None, wish: CutoutOptions) -> Pixels:
    """(h, w, 4) without a background, or with one that is not opaque itself; else (h, w, 3)."""
    if behind is not None:
        colours = behind.rgb
        if behind.alpha is not None:
            colours = composing.over_colour(colours, behind.alpha, WHITE)
        return composing.over(rgb, alpha, composing.cover(colours, (rgb.shape[1], rgb.shape[0])))
    if wish.background == "blur":
        return composing.over(rgb, alpha, composing.blurred(original, alpha, wish.blur))
    if wish.background is not None and (colour := parse_colour(wish.background)).alpha:
        return composing.over_colour(rgb, alpha, colour)
    if wish.format in ("avif", "zip") or (wish.format == "webp" and wish.quality < 100):
        # What is lossy mixes neighbours: hidden ones must have the subject's colours, or its edge changes.
        return composing.with_alpha(extend(rgb, alpha), alpha)
    return composing.cutout(rgb, alpha)
