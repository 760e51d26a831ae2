"""Where results are kept, for how long, and how their links are made."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_ORIGIN = r"^https?://[^\s/?#]+$"


class BucketConfig(BaseModel):
    """What the buckets of every provider have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bucket: str = Field("", max_length=222, description="Name of the bucket. Required for its `kind`.")
    prefix: str = Field(
        "cutouts/",
        pattern=r"^([A-Za-z0-9._-]+/)*$",
        description="Put before every object's name: empty, or folders that end in `/`.",
    )
    tries: int = Field(
        3, ge=1, le=5, description="Tries of one operation, all inside the request's deadline."
    )
    try_seconds: float = Field(
        5.0, gt=0, le=60, description="Longest wait of one try: to connect, to send, and for the answer. s"
    )
    workers: int = Field(8, ge=1, le=64, description="Operations at once; each holds a thread.")


class GcsConfig(BucketConfig):
    """The bucket of `kind=gcs`."""

    project: str | None = Field(None, description="Google Cloud project. Default: the credentials' own.")
    credentials_file: Path | None = Field(
        None, description="Service account key, JSON. Default: Application Default Credentials."
    )
    endpoint: str | None = Field(
        None,
        pattern=_ORIGIN,
        description="Another endpoint than storage.googleapis.com: a private one, or an emulator.",
    )
    public: bool = Field(
        False,
        description="Plain URLs instead of V4 signed ones. The bucket must be readable by all already.",
    )


class S3Config(BucketConfig):
    """The bucket of `kind=s3`."""

    region: str = Field("us-east-1", max_length=64, description="The bucket's region; Cloudflare R2: `auto`.")
    endpoint: str | None = Field(
        None, pattern=_ORIGIN, description="Of MinIO, R2 and others. Default: Amazon's for the region."
    )
    link_endpoint: str | None = Field(
        None,
        pattern=_ORIGIN,
        description="The endpoint under which clients reach the bucket, where it is not `endpoint`: links "
        "are signed for it.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+[^\s?#/]$",
        description="Plain URLs that begin with this, instead of signed ones: where a bucket that all may "
        "read is served. Key and prefix follow.",
    )
    access_key_id: SecretStr | None = Field(
        None, description="Default: AWS's own chain (AWS_… variables, profile, role of the machine or pod)."
    )
    secret_access_key: SecretStr | None = Field(None, description="With `access_key_id`.")
    conditional_puts: bool = Field(
        True,
        description="Objects are created by `If-None-Match: *`. False: for servers that do not know it; then "
        "the object is looked up before.",
    )

    @model_validator(mode="after")
    def _whole_key(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")
        return self


class StoreConfig(BaseModel):
    """Everything about storage; `kind` says which of the fields count."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["memory", "local", "gcs", "s3"] = Field(
        "local",
        description="`local`: files in `directory`. `memory`: gone with the process. "
        "`gcs`: Google Cloud Storage. `s3`: Amazon S3, MinIO, R2 (`objectcut[s3]`).",
    )
    ttl_seconds: int = Field(
        3 * 86_400,
        ge=60,
        le=365 * 86_400,
        description="Life of a result since it was last stored. A link lives as long, at most 7 days. s",
    )
    base_url: str = Field(
        "http://127.0.0.1:8000",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]+)?$",
        description="What clients reach this service under; links to it begin with it.",
    )
    signing_keys: tuple[Annotated[SecretStr, Field(min_length=32)], ...] = Field(
        (),
        max_length=8,
        description="`memory`, `local`: secrets of the links, at least 32 characters each. The first signs, "
        "all verify. Default: a random one, which `local` keeps in its directory.",
    )
    directory: Path = Field(
        Path("objectcut-data"), description="`local`: the folder of the results. Processes may share it."
    )
    min_free_bytes: int = Field(
        50_000_000, ge=0, description="`local`: refuses new results when less than this would be free. bytes"
    )
    min_free_share: float = Field(
        0.01, ge=0, lt=1, description="`local`: the same, as a share of the file system's size."
    )
    max_bytes: int = Field(
        256_000_000, gt=0, description="`memory`: refuses new results when it would hold more. bytes"
    )
    sweep_seconds: float = Field(
        600, ge=1, le=86_400, description="`memory`, `local`: time between two removals of expired results. s"
    )
    gcs: GcsConfig = GcsConfig()
    s3: S3Config = S3Config()

    @model_validator(mode="after")
    def _names_a_bucket(self) -> Self:
        if self.kind == "gcs" and not self.gcs.bucket:
            raise ValueError("kind=gcs needs gcs.bucket")
        if self.kind == "s3" and not self.s3.bucket:
            raise ValueError("kind=s3 needs s3.bucket")
        return self
