"""Where finished pictures go: one protocol (api.types.Store), one contract suite, three places."""

import secrets
import time
from collections.abc import Callable

from api.storage.config import GcsConfig, StoreConfig
from api.storage.local import LocalStore
from api.storage.memory import MemoryStore
from api.storage.served import ServedStore, path_of
from api.storage.signing import UrlSigner, kept_key
from api.types import Store

__all__ = [
    "GcsConfig",
    "LocalStore",
    "MemoryStore",
    "ServedStore",
    "StoreConfig",
    "UrlSigner",
    "open_store",
    "path_of",
]


def open_store(config: StoreConfig, *, clock: Callable[[], float] = time.time) -> Store:
    """The store that the configuration asks for. One that is a ServedStore has to be started, too.

    clock: seconds since 1970. Raises OSError (the directory), ValueError (Google's credentials).
    """
    keys = [key.get_secret_value().encode() for key in config.signing_keys]
    match config.kind:
        case "memory":
            return MemoryStore(
                UrlSigner(keys or [secrets.token_bytes(32)], config.base_url.rstrip("/"), clock=clock),
                ttl_seconds=config.ttl_seconds,
                max_bytes=config.max_bytes,
                sweep_seconds=config.sweep_seconds,
                clock=clock,
            )
        case "local":
            config.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            keys = keys or [kept_key(config.directory / "signing-key")]
            return LocalStore(
                config.directory,
                UrlSigner(keys, config.base_url.rstrip("/"), clock=clock),
                ttl_seconds=config.ttl_seconds,
                min_free_bytes=config.min_free_bytes,
                min_free_share=config.min_free_share,
                sweep_seconds=config.sweep_seconds,
                clock=clock,
            )
        case "gcs":
            # Google's libraries cost a sixth of a second of CPU: only those pay who use them.
            from api.storage.gcs import GcsStore

            return GcsStore(config.gcs, ttl_seconds=config.ttl_seconds, clock=clock)
