"""Plans as settings."""

from pathlib import Path
from typing import Any

import pytest

from api.accounts import AccountsConfig
from api.settings import SettingsError, load


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({"plans": {"default": {}}}, "not one of `plans`", id="two default plans"),
        pytest.param({"rapidapi": {"plans": {"PRO": "pro"}}}, "'pro', which is no plan", id="no such plan"),
        pytest.param({"plans": {"pro": {"request_per_minute": 1}}}, "request_per_minute", id="misspelt"),
        pytest.param({"plan": {"requests_per_minute": 0}}, "requests_per_minute", id="no requests at all"),
        pytest.param({"anonymous": {"credits": 5}}, "credits", id="anonymous credits"),
        pytest.param({"rapidapi": {"proxy_secret": "short"}}, "proxy_secret", id="a guessable secret"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AccountsConfig.model_validate(given)


def test_plans_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PLAN__REQUESTS_PER_MINUTE": "60",
        "PLANS": '{"pro": {"requests_per_minute": 600, "credits": 2.5}}',
        "ANONYMOUS__IN_FLIGHT": "3",
        "RAPIDAPI__PLANS": '{"ULTRA": "pro"}',
    }.items():
        monkeypatch.setenv(f"OBJECTCUT_ACCOUNTS__{name}", value)
    config = load().accounts
    default, pro = config.named("default"), config.named("pro")
    assert default
    assert pro
    assert (default.requests_per_minute, default.credits, default.name) == (60, None, "default")
    assert (pro.requests_per_minute, pro.credits, pro.name) == (600, 2.5, "pro")
    assert config.named("ultra") is None
    assert config.anonymous.in_flight == 3
    assert config.rapidapi.plans == {"ULTRA": "pro"}


def test_the_file_is_in_the_data_directory() -> None:
    assert load(data_dir="/d").accounts.database == Path("/d/accounts.sqlite")


@pytest.mark.parametrize(
    "accounts",
    [
        pytest.param({"rapidapi": {"proxy_secret": "x" * 16}}, id="RapidAPI"),
        pytest.param({"redis_url": "redis://127.0.0.1"}, id="Redis"),
    ],
)
def test_where_somebody_has_a_key_no_secret_is_needed(tmp_path: Path, accounts: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="objectcut keys create"):
        load(data_dir=tmp_path).access()
    assert load(data_dir=tmp_path, accounts=accounts).access() is None
    (tmp_path / "accounts.sqlite").touch()
    assert load(data_dir=tmp_path).access() is None


def test_secrets_are_masked() -> None:
    url = "redis://:the-password@127.0.0.1"
    shown = load(accounts={"redis_url": url, "rapidapi": {"proxy_secret": "the-proxy's-secret"}})
    assert "the-p" not in f"{shown!r} {shown.model_dump(mode='json')}"
