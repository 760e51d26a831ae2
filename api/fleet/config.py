"""The settings of the service's side of a fleet."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["WorkersConfig"]


class WorkersConfig(BaseModel):
    """Which workers infer, and how long they are waited for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: tuple[Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+/?|unix:/[^\s]+)$")], ...] = Field(
        (),
        max_length=64,
        description="Where workers, or a proxy that balances them, are: `http://host:port`, `https://…` or "
        "`unix:/path`. Then this process infers nothing, needs no torch, and offers the models in "
        "`engine.models`. Default: it infers itself.",
    )
    count: int = Field(
        0,
        ge=0,
        le=64,
        description="Workers that the service starts on this machine and starts again when they end. They "
        "share `engine.cores`; with `engine.device` `cuda` the first gets `cuda:0`, the next `cuda:1`, ….",
    )
    connect_timeout: float = Field(0.5, gt=0, le=30, description="Seconds for a connection to a worker.")
    read_timeout: float = Field(
        15.0, gt=0, le=600, description="Longest wait for a worker's answer, within the request's time. s"
    )
    poll_interval: float = Field(
        1.0, gt=0, le=60, description="Seconds between two looks at whether a worker is ready."
    )
    connections: int = Field(
        64, ge=1, le=4096, description="Pictures that one worker's URL is sent at once; more wait here."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.urls and self.count:
            raise ValueError("either urls, of workers that run already, or a count of those to be started")
        return self

    @property
    def remote(self) -> bool:
        """Whether inference happens elsewhere."""
        return bool(self.urls or self.count)
