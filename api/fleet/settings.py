"""Every setting of a worker."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from api.environment import PREFIX, Environment, SettingsError
from api.logs import LogConfig
from api.tracing import TracingConfig
from model.config import EngineConfig

__all__ = ["WorkerSettings"]


class WorkerTracingConfig(TracingConfig):
    """Where traces go, under a worker's own name."""

    service_name: str = Field(
        "objectcut-worker", min_length=1, description="Name of the worker in the traces."
    )


class WorkerSettings(Environment):
    """The whole configuration of `objectcut worker`."""

    worker_token: SecretStr | None = Field(
        None, description="What callers must show, at least 16 characters: the service's own `worker_token`."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8001, ge=0, le=65535, description="Port to listen on.")
    socket: Path | None = Field(None, description="Unix socket to listen on instead.")
    data_dir: Path = Field(
        Path("objectcut-data"), description="Where imported models are, unless `engine.model_dir` says else."
    )
    drain_delay: float = Field(
        5.0,
        ge=0,
        le=300,
        description="Seconds between the signal to stop, when /readyz turns 503, and the end of accepting.",
    )
    in_flight: int = Field(
        64, ge=1, le=10_000, description="Pictures worked on or waiting at once; more are answered 429."
    )
    timeout: float = Field(
        20.0, gt=0, le=600, description="Longest time that a picture may have, whatever its frame says. s"
    )
    engine: EngineConfig = Field(default_factory=EngineConfig, description="Inference.")
    logs: LogConfig = Field(LogConfig(), description="Logs.")
    tracing: WorkerTracingConfig = Field(WorkerTracingConfig(), description="Traces.")

    @model_validator(mode="after")
    def _fill_model_dir(self) -> Self:
        if "model_dir" not in self.engine.model_fields_set:
            known = self.engine.model_copy(update={"model_dir": self.data_dir / "models"})
            object.__setattr__(self, "engine", known)
        return self

    def token(self) -> str:
        """Raises SettingsError when there is none that protects anything."""
        token = self.worker_token.get_secret_value() if self.worker_token else ""
        if len(token) < 16:
            raise SettingsError(
                f"{PREFIX}WORKER_TOKEN: at least 16 characters that nobody can guess are wanted"
            )
        return token
