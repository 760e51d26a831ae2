"""objectcut bucket: lets the bucket remove what has expired."""

import asyncio
import math
from typing import TYPE_CHECKING, Annotated, Protocol, runtime_checkable

import typer

from api.commands.configuration import load_settings
from api.commands.terminal import warn

if TYPE_CHECKING:
    from api.types import Deadline

_DAY = 86_400
_SECONDS = 60.0


@runtime_checkable
class _Bucket(Protocol):
    async def ensure_lifecycle(self, days: int, *, deadline: "Deadline") -> bool: ...

    async def close(self) -> None: ...


def bucket(
    days: Annotated[
        int | None,
        typer.Option(min=1, help="Days after which it does. Default: one more than results live."),
    ] = None,
) -> None:
    """Makes the configured bucket (gcs, s3) remove results some days after they were last stored.

    It adds a rule to the bucket's lifecycle, or replaces its own, and leaves all others alone.
    """
    from api.storage import open_store

    config = load_settings().store
    days = days or 1 + math.ceil(config.ttl_seconds / _DAY)
    try:
        store = open_store(config)
        if not isinstance(store, _Bucket):
            raise ValueError(f"OBJECTCUT_STORE__KIND is {config.kind}: there is no bucket")
        news = asyncio.run(_ensure(store, days))
    except (OSError, ValueError) as exc:
        warn(str(exc))
        raise typer.Exit(2) from None
    typer.echo(f"results are removed {days} days after they were last stored{'' if news else ', as before'}")


async def _ensure(store: _Bucket, days: int) -> bool:
    from api.types import Deadline

    try:
        return await store.ensure_lifecycle(days, deadline=Deadline.after(_SECONDS))
    finally:
        await store.close()
