"""What many tests start from."""

import os

import pytest

from api.settings import PREFIX


@pytest.fixture(autouse=True)
def _no_variables_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the settings of the shell that it runs in."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
