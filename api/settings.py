"""Every setting of the service, from OBJECTCUT_… variables and /run/secrets.

docs/configuration.py makes docs/CONFIGURATION.md from the models below.
"""

import hmac
import ipaddress
import secrets
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, model_validator

from api import environment
from api.accounts import AccountsConfig
from api.environment import PREFIX, Environment, SettingsError, variables
from api.fleet.config import WorkersConfig
from api.jobs.config import JobsConfig
from api.limits import RequestLimits
from api.logs import LogConfig
from api.rooms import RoomsConfig
from api.routes.removebg.config import RemoveBgConfig
from api.source.fetch import FetchConfig
from api.source.isolation import IsolationConfig
from api.source.limits import DecodeLimits
from api.storage import StoreConfig
from api.tracing import TracingConfig
from model.config import EngineConfig

__all__ = ["DERIVED", "PREFIX", "Settings", "SettingsError", "load", "variables"]

DERIVED = {
    f"{PREFIX}STORE__DIRECTORY": f"`cutouts` in {PREFIX}DATA_DIR",
    f"{PREFIX}STORE__BASE_URL": f"`http://`{PREFIX}HOST`:`{PREFIX}PORT",
    f"{PREFIX}ENGINE__MODEL_DIR": f"`models` in {PREFIX}DATA_DIR",
    f"{PREFIX}ACCOUNTS__DATABASE": f"`accounts.sqlite` in {PREFIX}DATA_DIR",
    f"{PREFIX}JOBS__DATABASE": f"`jobs.sqlite` in {PREFIX}DATA_DIR",
    f"{PREFIX}FETCH__DENY_HOSTS": f"the host name in {PREFIX}STORE__BASE_URL",
}
"""Defaults of the groups that the service fills in: see `_fill_groups`."""


class Settings(Environment):
    """The whole configuration; each group belongs to the part that it configures."""

    secret_access: SecretStr | None = Field(
        None,
        description="The operator's key, without any quota: shown in X-Api-Key, Authorization: Bearer or "
        "X-Secret-Access. Required unless `anonymous`, or there are keys: see ACCOUNTS.md.",
    )
    anonymous: bool = Field(
        False, description="Serves everybody, also without a key, as `accounts.anonymous` allows."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed. Default: nobody's.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    data_dir: Path = Field(
        Path("objectcut-data"),
        description="Where results and imported models are, unless their groups say else.",
    )
    cpu_jobs: int = Field(
        default_factory=lambda: EngineConfig().cores,
        ge=1,
        le=512,
        description="Pictures decoded, composed and encoded at once. Default: the cores.",
    )
    pictures: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Requests that may hold decoded pictures at once, from decoding to encoding: with the "
        "limit of pixels it bounds the memory. Default: cpu_jobs, and twice what the device works on.",
    )
    drain_delay: float = Field(
        5.0,
        ge=0,
        le=300,
        description="Seconds between the signal to stop, when /readyz turns 503, and the end of accepting.",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="Origins whose pages may call the service. Default: only its own."
    )
    fetch: FetchConfig = Field(FetchConfig(), description="Downloads of sources by URL.")
    decode: DecodeLimits = Field(DecodeLimits(), description="Pictures that are accepted.")
    isolation: IsolationConfig = Field(default_factory=IsolationConfig, description="Where they are decoded.")
    engine: EngineConfig = Field(default_factory=EngineConfig, description="Inference.")
    worker_token: SecretStr | None = Field(
        None, description="What workers ask for before they answer: the same text on both sides."
    )
    workers: WorkersConfig = Field(WorkersConfig(), description="Inference in processes of their own.")
    store: StoreConfig = Field(StoreConfig(), description="Where results are kept.")
    limits: RequestLimits = Field(RequestLimits(), description="Limits of requests.")
    accounts: AccountsConfig = Field(AccountsConfig(), description="Keys, plans and credits.")
    jobs: JobsConfig = Field(JobsConfig(), description="Jobs, webhooks and kept answers.")
    rooms: RoomsConfig = Field(RoomsConfig(), description="Rooms, where phones send cutouts to the page.")
    removebg: RemoveBgConfig = Field(RemoveBgConfig(), description="The contract of remove.bg, /v1.0.")
    logs: LogConfig = Field(LogConfig(), description="Logs.")
    tracing: TracingConfig = Field(TracingConfig(), description="Traces.")

    @model_validator(mode="after")
    def _fill_groups(self) -> Self:
        """What one group needs to know of the rest, unless it was told."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 (compared only)
        self._default("store", "directory", self.data_dir / "cutouts")
        self._default("store", "base_url", f"http://{f'[{host}]' if ':' in host else host}:{self.port}")
        self._default("engine", "model_dir", self.data_dir / "models")
        self._default("accounts", "database", self.data_dir / "accounts.sqlite")
        self._default("jobs", "database", self.data_dir / "jobs.sqlite")
        self._default("fetch", "deny_hosts", self._own_names())
        return self

    def _own_names(self) -> tuple[str, ...]:
        """The name under which clients know this service: it must not be made to call itself."""
        name = urlsplit(self.store.base_url).hostname or ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return (name,)
        return ()  # addresses are judged by the guard's own table

    def _default(self, group: str, name: str, value: object) -> None:
        config: BaseModel = getattr(self, group)
        if name not in config.model_fields_set:
            object.__setattr__(self, group, config.model_copy(update={name: value}))

    def shared_token(self) -> str:
        """What the workers at `workers.urls` are shown. Raises SettingsError when there is none."""
        token = self.worker_token.get_secret_value() if self.worker_token else ""
        if not token:
            raise SettingsError(f"{PREFIX}WORKER_TOKEN is not set: the workers ask for it")
        return token

    def access(self) -> str | None:
        """The operator's key, if there is one. Raises SettingsError when nobody at all could come in."""
        secret = self.secret_access.get_secret_value() if self.secret_access else ""
        if not (secret or self.anonymous or self.accounts.serves_somebody()):
            raise SettingsError(
                f"{PREFIX}SECRET_ACCESS is not set: set it to the key that clients must show, make keys with "
                f"`objectcut keys create`, or set {PREFIX}ANONYMOUS=true (`objectcut serve --anonymous`) to "
                "serve everybody."
            )
        return secret or None

    def pictures_at_once(self) -> int:
        """Decoded pictures in memory: see `pictures`. A CPU works on as many as it has pairs of cores."""
        return self.pictures or self.cpu_jobs + 2 * (self.engine.max_batch or max(1, self.engine.cores // 2))

    def jobs_at_once(self) -> int:
        """Pictures worked on at once below which those of jobs may begin."""
        return self.jobs.at_once or self.cpu_jobs

    def naming_key(self) -> bytes:
        """What makes the names of results: with a secret, equal results share one for ever."""
        secret = self.secret_access.get_secret_value().encode() if self.secret_access else b""
        return hmac.digest(secret, b"names of results", "sha256") if secret else secrets.token_bytes(32)


def load(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` (the command line) go before the variables.

    Raises SettingsError.
    """
    return environment.load(Settings, **overrides)
