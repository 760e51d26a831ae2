"""What this contract asks of a picture beyond our own options: region of interest, size and place.

Pixels are resampled only where the contract says so: by `size`, when the picture is larger, and by `scale`.
"""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from api import finishing
from api.errors import NoSubject
from api.finishing import Canvas, Layers
from api.options import CutoutOptions
from api.routes.removebg.answers import Refused
from api.types import Picture
from postprocess.crop import BeyondPicture, Box, NoArea, around, bounded, crop, parse_region, rescaled
from postprocess.lengths import Margins, parse_margins
from postprocess.place import fitted, place, resample
from postprocess.shadow import Shadow, cast, under
from postprocess.types import RGB, Alpha

Wanted = Literal["auto", "png", "jpeg", "webp", "zip"]
WHOLE = "0% 0% 100% 100%"
NONE = parse_margins("0")


@dataclass(frozen=True, slots=True)
class Layout:
    """roi: see crop.parse_region. megapixels: of the result at most.

    margins: around the crop; they may reach beyond the picture, as far as the result's size goes. scale,
    position: see place.place; position None leaves the subject's relative place. shadow, opacity: see
    shadow.cast.
    """

    roi: str = WHOLE
    megapixels: float = 25.0
    crop: bool = False
    margins: Margins = NONE
    scale: float | None = None
    position: tuple[float, float] | None = None
    shadow: Shadow | None = None
    opacity: float = 0.5
    format: Wanted = "auto"

    def look(self, picture: Picture) -> RGB:
        """The region of interest, all that the network is shown. Raises Refused."""
        box = self._region(picture)
        return picture.rgb[box.top : box.top + box.height, box.left : box.left + box.width]

    def refine(self, picture: Picture, coarse: Alpha, wish: CutoutOptions) -> Alpha:
        """The matte at the result's size, nothing outside of the region. coarse: of the region alone."""
        size = picture.size
        small = self._fitted(picture)
        region = rescaled(self._region(picture), size, small.size)
        alpha = np.zeros(small.rgb.shape[:2], np.float32)
        part = finishing.refine(Picture(crop(small.rgb, region)), coarse, wish)
        alpha[region.top : region.top + region.height, region.left : region.left + region.width] = part
        return alpha

    def compose(
        self, picture: Picture, subject: Alpha, behind: Picture | None, wish: CutoutOptions
    ) -> Canvas:
        """The finished pixels. The box is the subject's in the picture as it came. Raises NoSubject."""
        small = self._fitted(picture)
        layers = finishing.separate(small, subject, wish)
        if layers.box is None:
            raise NoSubject("the matte is empty")
        framed = self._framed(layers, layers.box)
        if self.shadow and wish.output == "cutout":
            colours, alpha = under(framed.rgb, framed.alpha, cast(framed.alpha, self.shadow, self.opacity))
            framed = replace(framed, rgb=colours, alpha=alpha)
        canvas = finishing.paint(framed, behind, wish)
        box = rescaled(layers.box, small.size, picture.size)
        return Canvas(self._with_alpha(canvas.pixels), box, self._format(canvas))

    def _region(self, picture: Picture) -> Box:
        try:
            return parse_region(self.roi, picture.size)
        except BeyondPicture as exc:
            raise Refused("roi_exceeds_bounds", "Region of interest exceeds image bounds", str(exc)) from exc
        except NoArea as exc:
            raise Refused("roi_region_empty", "Region of interest is empty", str(exc)) from exc

    def _fitted(self, picture: Picture) -> Picture:
        size = fitted(picture.size, self.megapixels)
        return picture if size == picture.size else Picture(*resample(picture.rgb, picture.alpha, size))

    def _framed(self, layers: Layers, box: Box) -> Layers:
        if self.crop:
            window = bounded(box, around(box, self.margins), round(self.megapixels * 1e6))
            layers, box = finishing.cropped(layers, window), box.seen_from(window)
        if self.scale is None and self.position is None:
            return layers
        rgb, alpha = place(layers.rgb, layers.alpha, box, self.scale, self.position)
        return replace(layers, rgb=rgb, alpha=alpha)

    def _with_alpha(self, pixels: finishing.Pixels) -> finishing.Pixels:
        """A ZIP holds alpha even where a background leaves nothing transparent."""
        if self.format != "zip" or pixels.shape[2] == 4:
            return pixels
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), np.uint8)

    def _format(self, canvas: Canvas) -> Literal["png", "jpeg", "webp", "zip"]:
        """`auto` is JPEG where nothing is transparent."""
        if self.format != "auto":
            return self.format
        if canvas.pixels.ndim == 2:
            return "png"
        return "jpeg" if canvas.pixels.shape[2] == 3 or canvas.pixels[..., 3].min() == 255 else "png"
