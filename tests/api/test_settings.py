"""Settings: complete, documented, and never silently other than meant."""

from pathlib import Path

import pytest

from api import environment
from api.settings import PREFIX, Settings, SettingsError, load, variables
from docs import configuration


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        pytest.param("OBJECTCUT_FETHC__TIMEOUT", "2", "OBJECTCUT_FETCH__TIMEOUT is", id="misspelt group"),
        pytest.param("OBJECTCUT_FETCH__TIMEOT", "2", "OBJECTCUT_FETCH__TIMEOUT is", id="misspelt field"),
        pytest.param("OBJECTCUT_SECRET", "s", "OBJECTCUT_SECRET is not a setting", id="no such setting"),
        pytest.param("objectcut_prot", "s", "OBJECTCUT_PORT is", id="lower case"),
        pytest.param("OBJECTCUT_PORT", "http", "OBJECTCUT_PORT: ", id="not a number"),
        pytest.param("OBJECTCUT_FETCH__TIMEOUT", "0", "OBJECTCUT_FETCH__TIMEOUT: ", id="out of range"),
        pytest.param("OBJECTCUT_STORE__KIND", "ftp", "OBJECTCUT_STORE__KIND: ", id="not a choice"),
        pytest.param("OBJECTCUT_STORE__KIND", "gcs", "kind=gcs needs gcs.bucket", id="across fields"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=told):
        load()


def test_values_are_not_repeated_in_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECTCUT_STORE__SIGNING_KEYS", '["short-but-secret"]')
    with pytest.raises(SettingsError) as told:
        load()
    assert "SIGNING_KEYS" in str(told.value)
    assert "short-but-secret" not in str(told.value)


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECTCUT_SECRET_ACCESS", "the-secret")
    loaded = load()
    assert "the-secret" not in f"{loaded!r} {loaded.model_dump(mode='json')}"
    assert loaded.access() == "the-secret"


@pytest.mark.parametrize("secret", [pytest.param(None, id="unset"), pytest.param("", id="empty")])
def test_without_a_secret_nothing_is_served(secret: str | None) -> None:
    with pytest.raises(SettingsError, match="OBJECTCUT_SECRET_ACCESS is not set"):
        load(secret_access=secret).access()
    assert load(secret_access=secret, anonymous=True).access() is None


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "objectcut_secret_access").write_text("from-a-file\n")
    monkeypatch.setattr(environment, "SECRETS", tmp_path)
    assert load().access() == "from-a-file"


def test_files_name_the_settings_of_a_group_as_variables_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "objectcut_store__s3__access_key_id").write_text("the-id\n")
    (tmp_path / "objectcut_store__s3__secret_access_key").write_text("the-key\n")
    (tmp_path / "somebody-elses").write_text("x")
    monkeypatch.setattr(environment, "SECRETS", tmp_path)
    monkeypatch.setenv("OBJECTCUT_STORE__S3__BUCKET", "cutouts")
    s3 = load().store.s3
    assert s3.access_key_id
    assert s3.secret_access_key
    assert (s3.access_key_id.get_secret_value(), s3.secret_access_key.get_secret_value(), s3.bucket) == (
        "the-id",
        "the-key",
        "cutouts",
    )


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        pytest.param({"port": 81}, "http://127.0.0.1:81", id="port"),
        pytest.param({"host": "0.0.0.0"}, "http://127.0.0.1:8000", id="every address"),
        pytest.param({"host": "::1"}, "http://[::1]:8000", id="IPv6"),
        pytest.param({"store": {"base_url": "https://c.example/x"}}, "https://c.example/x", id="told"),
    ],
)
def test_links_lead_to_where_the_service_listens(given: dict[str, object], base_url: str) -> None:
    assert load(**given).store.base_url == base_url


def test_groups_are_filled_from_the_rest() -> None:
    loaded = load(data_dir="/d", store={"base_url": "https://cut.example"}, cpu_jobs=3, engine={"cores": 4})
    assert loaded.store.directory == Path("/d/cutouts")
    assert loaded.engine.model_dir == Path("/d/models")
    assert loaded.fetch.deny_hosts == ("cut.example",)
    assert loaded.pictures_at_once() == 3 + 2 * 2


def test_what_a_group_was_told_stays() -> None:
    loaded = load(data_dir="/d", store={"directory": "/s"}, fetch={"deny_hosts": ["a.example"]})
    assert loaded.store.directory == Path("/s")
    assert loaded.fetch.deny_hosts == ("a.example",)


def test_names_of_results_depend_on_the_secret() -> None:
    assert load(secret_access="a").naming_key() == load(secret_access="a").naming_key()
    assert load(secret_access="a").naming_key() != load(secret_access="b").naming_key()
    assert load().naming_key() != load().naming_key()


@pytest.mark.parametrize(
    ("variable", "field"), [pytest.param(*row, id=row[0].removeprefix(PREFIX)) for row in variables(Settings)]
)
def test_every_setting_is_described(variable: str, field: object) -> None:
    assert getattr(field, "description", None), variable


def test_the_document_is_fresh() -> None:
    assert configuration.main(["--check"]) == 0


def test_the_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # type: ignore[misc]


def test_nothing_is_left_to_the_environment_in_tests() -> None:
    assert load() == Settings()
