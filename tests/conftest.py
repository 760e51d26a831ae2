"""What many tests start from."""

import os
from collections.abc import Callable

import pytest

from api.settings import PREFIX

_FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture(autouse=True)
def _no_variables_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the settings of the shell that it runs in."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = {}


@pytest.fixture(scope="session")
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Call it with the name and the value of what a test measured: all are one line at the end."""
    figures = request.config.stash[_FIGURES]

    def note(name: str, value: str) -> None:
        figures[name] = value

    return note


def pytest_unconfigure(config: pytest.Config) -> None:
    if figures := config.stash.get(_FIGURES, {}):
        print("measured: " + " · ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201
