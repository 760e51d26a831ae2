"""objectcut keys: who may use the service."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from api.commands.configuration import DataDir, load_settings
from api.commands.terminal import console, warn

if TYPE_CHECKING:
    from api.accounts import AccountsConfig, Ledger

T = TypeVar("T")

keys = typer.Typer(no_args_is_help=True, help="Makes, lists, revokes and tops up API keys.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="`key_…`, of `objectcut keys list`.")]


@keys.command()
def create(
    label: Annotated[str, typer.Option(help="Whose it is, for `list`.")] = "",
    plan: Annotated[str, typer.Option(help="One of the settings' plans.")] = "default",
    credits: Annotated[
        float | None, typer.Option(min=0, help="Credits to start with. Default: the plan's.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Makes a key and prints it, this once: only its hash is kept."""
    from api.accounts.keys import KeyRecord, make_key, thousandths

    config = _config(data_dir)
    chosen = config.named(plan)
    if chosen is None:
        raise typer.BadParameter(
            f"no such plan: {plan}; there are {', '.join(['default', *config.plans])}", param_hint="--plan"
        )
    start = chosen.credits if credits is None else credits
    balance = None if start is None else thousandths(start)
    key, id, digest = make_key()
    record = KeyRecord(id, digest, plan, label, int(time.time()), balance=balance, granted=balance)
    _with_ledger(config, lambda ledger: ledger.add(record))
    console.print(f"{id}: keep the key, it is not shown again.")
    typer.echo(key)


@keys.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """Lists the keys, revoked ones included; never the keys themselves."""
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from api.accounts.keys import THOUSAND

    def day(seconds: int | None) -> str:
        return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"

    table = Table("id", "label", "plan", "credits", "of", "made", "revoked", box=None)
    for record in _with_ledger(_config(data_dir), lambda ledger: ledger.all()):
        amounts = ("" if n is None else f"{n / THOUSAND:g}" for n in (record.balance, record.granted))
        times = day(record.created_at), day(record.revoked_at)
        table.add_row(record.id, escape(record.label), escape(record.plan), *amounts, *times)
    Console().print(table)


@keys.command()
def revoke(id: KeyId, data_dir: DataDir = None) -> None:
    """Ends a key, from its next request on."""
    if not _with_ledger(_config(data_dir), lambda ledger: ledger.revoke(id)):
        warn(f"{id}: there is no such key, or it was revoked before")
        raise typer.Exit(1)
    typer.echo(f"{id}: revoked")


@keys.command()
def credit(
    id: KeyId,
    amount: Annotated[float, typer.Argument(min=0.001, help="Credits to add.")],
    data_dir: DataDir = None,
) -> None:
    """Adds credits to a key that counts them."""
    from api.accounts.keys import thousandths

    if not _with_ledger(_config(data_dir), lambda ledger: ledger.grant(id, thousandths(amount))):
        warn(f"{id}: there is no such key, or its credits are unlimited")
        raise typer.Exit(1)
    typer.echo(f"{id}: {amount:g} credits added")


def _config(data_dir: "DataDir") -> "AccountsConfig":
    return load_settings(data_dir=data_dir).accounts


def _with_ledger(config: "AccountsConfig", act: "Callable[[Ledger], Awaitable[T]]") -> T:
    """What `act` gives; ends the command, status 2, when the configuration cannot be used."""
    from api.accounts import open_state

    async def acting() -> T:
        ledger, _ = open_state(config)
        try:
            return await act(ledger)
        finally:
            await ledger.close()

    try:
        return asyncio.run(acting())
    except ValueError as exc:
        warn(str(exc))
        raise typer.Exit(2) from None
