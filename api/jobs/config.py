"""What jobs, webhooks and kept answers may take, as settings."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class WebhookConfig(BaseModel):
    """How the end of a job is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    keys: tuple[Annotated[SecretStr, Field(min_length=32)], ...] = Field(
        (),
        max_length=4,
        description="Secrets from which each caller's signing secret is derived, at least 32 characters "
        "each. All sign, so that a new one can be put in front while receivers still know the old one. "
        "Default: a random one, kept in the database.",
    )
    timeout: float = Field(10.0, gt=0, le=60, description="Seconds for one delivery, from DNS to the status.")
    attempts: int = Field(12, ge=1, le=100, description="Deliveries tried before one is given up.")
    first_delay: float = Field(
        5.0, gt=0, le=3600, description="Seconds before the second try; each further wait is twice as long."
    )
    max_delay: float = Field(3600.0, gt=0, le=86_400, description="Longest wait between two tries. s")
    max_age: float = Field(86_400.0, gt=0, le=604_800, description="Age at which a delivery is given up. s")
    at_once: int = Field(8, ge=1, le=100, description="Deliveries on their way at once, of one caller 2.")


class JobsConfig(BaseModel):
    """Jobs: what is accepted, and how it is worked on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: Path = Field(
        Path("jobs.sqlite"),
        description="SQLite file of jobs, uploads, webhooks and kept answers, on a disk of this machine.",
    )
    timeout: float = Field(
        10.0, gt=0, le=60, description="Seconds to wait for the database; then the answer is 503."
    )
    at_once: int | None = Field(
        None,
        ge=1,
        le=512,
        description="Pictures of jobs begin only while fewer than so many pictures, of requests or jobs, are "
        "worked on; one of them always may. Default: cpu_jobs.",
    )
    item_timeout: float = Field(120.0, gt=0, le=3600, description="Seconds for one picture of a job.")
    attempts: int = Field(
        5, ge=1, le=100, description="Times that a picture is begun before it has failed for good."
    )
    max_age: float = Field(
        86_400.0, gt=0, le=604_800, description="Age of a job after which nothing of it is tried again. s"
    )
    images: int = Field(100, ge=1, le=1000, description="Pictures of one job.")
    per_caller: int = Field(50, ge=1, le=100_000, description="Unfinished jobs of one caller.")
    queued_images: int = Field(10_000, ge=1, le=1_000_000, description="Unfinished pictures of everybody.")
    queued_bytes: int = Field(2_000_000_000, ge=1, description="Uploads waiting of everybody. bytes")
    streams: int = Field(64, ge=1, le=10_000, description="Event streams open at once, of one caller 8.")
    sweep_seconds: float = Field(
        60.0, gt=0, le=86_400, description="Time between two removals of what has expired. s"
    )
    answers_seconds: float = Field(
        86_400.0, ge=1, le=604_800, description="Life of an answer kept for its Idempotency-Key. s"
    )
    answer_bytes: int = Field(
        100_000,
        ge=0,
        description="Largest JSON answer kept for its Idempotency-Key; a larger one, or one in bytes, is "
        "made again. bytes",
    )
    answers_bytes: int = Field(256_000_000, ge=0, description="All kept answers together. bytes")
    webhooks: WebhookConfig = Field(WebhookConfig(), description="Webhooks.")
