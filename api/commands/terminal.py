"""What commands say to the person at the terminal: on standard error, results go to standard output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.errors import ObjectCutError

__all__ = ["console", "progress", "told", "warn"]

console = Console(stderr=True, highlight=False)


def warn(message: str) -> None:
    """One line of bad news."""
    console.print(f"[red]{escape(message)}", soft_wrap=True)


def told(error: ObjectCutError) -> str:
    """What an error says to the machine's owner: its text for clients, and the logs' where it has one."""
    return error.public if str(error) == error.public else f"{error.public} ({error})"


@contextmanager
def progress(total: int, verb: str) -> Iterator[Callable[[], None]]:
    """A progress bar; call what it gives once for each item."""
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda: bar.advance(task)
