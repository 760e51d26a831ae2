"""Figures that the deployment's tests measure: one line at the end of the run."""

from collections.abc import Callable

import pytest

_FIGURES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = {}


@pytest.fixture(scope="session")
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Call it with a name and a value."""
    figures = request.config.stash[_FIGURES]

    def note(name: str, value: str) -> None:
        figures[name] = value

    return note


def pytest_unconfigure(config: pytest.Config) -> None:
    if figures := config.stash[_FIGURES]:
        print("deploy: " + " · ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201
