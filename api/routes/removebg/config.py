"""What an operator may decide about /v1.0."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RemoveBgConfig(BaseModel):
    """The contract of remove.bg."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    credits: Literal["integer", "decimal"] = Field(
        "integer",
        description="Prices and X-Credits-Charged: `integer` is 1, and 0 for previews, as clients that read "
        "a whole number need it; `decimal` is 1.0 and 0.25.",
    )
    megapixels: float = Field(
        25.0, gt=0, le=1000, description="Largest result of `size=full`, `4k` and `auto`, megapixels."
    )
    png_megapixels: float = Field(10.0, gt=0, le=1000, description="The same for PNG, megapixels.")
    improve_per_day: int = Field(
        100, ge=0, le=100_000, description="Pictures that one caller may hand in to POST /improve in a day."
    )
