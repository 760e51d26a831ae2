"""What a caller may ask of a cutout: one model for the API, the command line and every contract."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from postprocess.colour import parse_colour

Output = Literal["cutout", "alpha", "mask", "foreground"]
Format = Literal["png", "webp", "jpeg", "avif", "zip"]
Edges = Literal["soft", "sharp", "objectcut"]
Operation = Literal["open", "close", "erode", "dilate", "keep_largest", "fill_holes"]


class CutoutOptions(BaseModel):
    """Every option of POST /v1/cutouts. px are pixels of the original picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field("lite", description="A key of GET /v1/models.")
    resolution: int | None = Field(
        None,
        ge=32,
        le=4096,
        multiple_of=32,
        description="Side of the square that the network sees the picture in, px, a multiple of 32. Only for "
        "models to which GET /v1/models gives a range. Default: the model's own size.",
    )
    output: Output = Field(
        "cutout",
        description="`cutout`: the subject with its transparency. `alpha`: the soft matte, 8-bit grey. "
        "`mask`: the matte cut at one half, black and white. `foreground`: the colours of the subject "
        "without the background's share at the edge, opaque.",
    )
    to_remove: Literal["background", "foreground"] = Field(
        "background", description="`foreground` keeps the background and cuts the subject away."
    )
    edges: Edges = Field(
        "soft",
        description="`soft` keeps hair and blur. `sharp` is the BASNet paper's unsharp mask and morphology. "
        "`objectcut` is, bit for bit, what the original service did.",
    )
    sharp_sigma: float = Field(
        1.0, gt=0, le=20, description="Unsharp mask of `sharp`: sigma, px of the matte."
    )
    sharp_amount: float = Field(5.0, ge=0, le=50, description="Unsharp mask of `sharp`: gain.")
    refine: bool = Field(
        True, description="Lets the matte follow the picture's own edges at full resolution."
    )
    decontaminate: bool = Field(
        True, description="Takes the background's colour out of half-transparent edge pixels."
    )
    morphology: tuple[Operation, ...] = Field(
        (), max_length=8, description="Operations on the matte, in this order."
    )
    radius: int = Field(
        1, ge=1, le=64, description="Radius of open, close, erode and dilate, px of the matte."
    )
    source_alpha: Literal["multiply", "ignore"] = Field(
        "multiply", description="What a source's own transparency does to the result."
    )
    background: str | None = Field(
        None,
        description="Fills the transparent part: a colour (`#rgb`, `#rrggbb`, `#rrggbbaa`, `white`, …) or "
        "`blur` for the blurred original. Not together with background_image.",
    )
    blur: float = Field(0.02, gt=0, le=0.2, description="Blur of the background, share of the longer side.")
    crop: bool = Field(False, description="Crops to the subject.")
    crop_margin: int = Field(0, ge=0, le=2000, description="Margin kept around the crop, px.")
    format: Format | None = Field(None, description="Default: png; jpeg for an opaque background.")
    quality: int = Field(90, ge=1, le=100, description="Of jpeg, webp and avif; webp at 100 is lossless.")

    @field_validator("morphology", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        """`open,keep_largest` as well as a list: forms and queries know only text."""
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return value
        return [part.strip() for word in words for part in word.split(",") if part.strip()]

    @field_validator("background")
    @classmethod
    def _is_a_colour(cls, value: str | None) -> str | None:
        if value is not None and value != "blur":
            parse_colour(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.format == "zip" and self.output != "cutout":
            raise ValueError("format=zip holds colour and alpha of a cutout: leave `output` out")
        if self.format == "zip" and self.background is not None:
            raise ValueError("format=zip holds colour and alpha: leave `background` out")
        return self
