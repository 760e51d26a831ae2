"""Where finished pictures go: one protocol (api.types.Store), one contract suite, four places."""

import secrets
import time
from collections.abc import Callable

from api.storage.config import GcsConfig, S3Config, StoreConfig
from api.storage.local import LocalStore
from api.storage.memory import MemoryStore
from api.storage.served import ServedStore, path_of
from api.storage.signing import UrlSigner, kept_key
from api.types import Store

__all__ = [
    "GcsConfig",
    "LocalStore",
    "MemoryStore",
    "S3Config",
    "ServedStore",
    "StoreConfig",
    "UrlSigner",
    "open_store",
    "path_of",
]


def open_store(config: StoreConfig, *, clock: Callable[[], float] = time.time) -> Store:
    """The store that the configuration asks for. One that is a ServedStore has to be started, too.

    clock: seconds since 1970. Raises OSError (the directory), ValueError (a bucket's credentials, or its
    library, which is an extra).
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
        case "s3":
            try:
                from api.storage.s3 import S3Store
            except ImportError as exc:
                raise ValueError("kind=s3 needs `pip install 'objectcut[s3]'`") from exc

            return S3Store(config.s3, ttl_seconds=config.ttl_seconds, clock=clock)
