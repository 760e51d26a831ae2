"""From colours and a matte to the picture that was asked for. Alpha is straight throughout."""

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.alpha import quantise
from postprocess.colour import Colour
from postprocess.grid import reduce
from postprocess.types import RGB, RGBA, Alpha

_SMOOTH = (
    256  # cells of the longer side: what is left of a picture that is blurred by more than a few of them
)


def invert(alpha: Alpha) -> Alpha:
    """The matte of the background: keeps it and cuts the subject away."""
    return np.float32(1) - alpha


def cutout(rgb: RGB, alpha: Alpha) -> RGBA:
    """(H, W, 4): the colours with their alpha; a hidden pixel is zero in all four channels."""
    eight_bit = quantise(alpha)
    rgba = _joined(rgb, eight_bit)
    whole = rgba.view(np.uint32)  # a pixel in one number
    whole *= (eight_bit > 0)[..., None]
    return rgba


def with_alpha(rgb: RGB, alpha: Alpha) -> RGBA:
    """(H, W, 4): as `cutout`, but hidden pixels keep their colours, as lossy codecs and ZIP want them."""
    return _joined(rgb, quantise(alpha))


def _joined(rgb: RGB, eight_bit: NDArray[np.uint8]) -> RGBA:
    rgba = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), np.uint8)
    cv2.insertChannel(eight_bit, rgba, 3)
    return rgba


def mask(alpha: Alpha) -> NDArray[np.uint8]:
    """(H, W) uint8: 255 where alpha is at least one half, else 0."""
    return (alpha >= 0.5).view(np.uint8) * np.uint8(255)


def over(rgb: RGB, alpha: Alpha, background: RGB) -> RGB:
    """(H, W, 3): the colours over a background picture of the same size."""
    eight_bit = quantise(alpha)
    # Nearly every pixel is all subject or all background: only the others are computed.
    result = np.asarray(cv2.copyTo(rgb, eight_bit, background.copy()), np.uint8).reshape(-1, 3)
    mixed = np.flatnonzero((eight_bit - np.uint8(1)) < 254)
    share = alpha.reshape(-1)[mixed, None]
    below = background.reshape(-1, 3)[mixed].astype(np.float32)
    above = result[mixed].astype(np.float32)
    result[mixed] = np.rint(below + share * (above - below)).astype(np.uint8)
    return result.reshape(rgb.shape)


def over_colour(rgb: RGB, alpha: Alpha, colour: Colour) -> RGB | RGBA:
    """The colours over one colour: (H, W, 3), or (H, W, 4) where the colour itself is not opaque."""
    red, green, blue, opacity = colour
    backdrop = np.empty_like(rgb)
    backdrop[:] = (red, green, blue)
    if opacity == 255:
        return over(rgb, alpha, backdrop)
    behind = np.float32(opacity / 255) * (np.float32(1) - alpha)
    total = alpha + behind
    # Porter and Duff's "over": of what shows, the subject's share.
    share = np.divide(alpha, total, out=np.zeros_like(alpha), where=total > 0)
    return cutout(over(rgb, share, backdrop), total)


def cover(picture: RGB, size: tuple[int, int]) -> RGB:
    """(height, width, 3): a background scaled to cover `size` (width, height), its middle."""
    width, height = size
    scale = max(width / picture.shape[1], height / picture.shape[0])
    # Cropped before it is scaled: what would be cut off costs nothing.
    columns = min(picture.shape[1], max(1, round(width / scale)))
    rows = min(picture.shape[0], max(1, round(height / scale)))
    left, top = (picture.shape[1] - columns) // 2, (picture.shape[0] - rows) // 2
    middle = picture[top : top + rows, left : left + columns]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, size, interpolation=method), np.uint8)


def blurred(rgb: RGB, alpha: Alpha, share: float) -> RGB:
    """(H, W, 3): the background out of focus, sigma = share of the longer side.

    The subject is left out of the average, so that no glow of its colours surrounds it; far inside the
    subject, where nothing else is in reach, its own colours are taken.
    """
    height, width = rgb.shape[:2]
    sigma = share * max(height, width)
    factor = 1
    while factor * 8 <= sigma and max(height, width) > _SMOOTH * factor:
        factor *= 2
    colours = reduce(rgb, factor).astype(np.float32)
    free = 1 - reduce(quantise(alpha), factor)[..., None] * np.float32(1 / 255)
    # Steep: a pixel that shows half of each would carry the subject's colour with it.
    weight = free**4 + np.float32(1e-3)
    weighted = np.dstack([colours * weight, weight])
    spread = np.asarray(
        cv2.GaussianBlur(weighted, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE), np.float32
    )
    smooth = spread[..., :3] / np.maximum(spread[..., 3:], 1e-6)
    size = (smooth.shape[1] * factor, smooth.shape[0] * factor)
    full = np.asarray(cv2.resize(np.rint(smooth).astype(np.uint8), size), np.uint8)
    return np.ascontiguousarray(full[:height, :width])
