"""Which workers a service may be told of."""

import pytest

from api.app import create_app
from api.settings import Settings, SettingsError, load


@pytest.mark.parametrize(
    ("url", "accepted"),
    [
        pytest.param("http://10.0.0.5:8001", True, id="an address"),
        pytest.param("https://gpu.internal/", True, id="a name"),
        pytest.param("unix:/run/objectcut/0.sock", True, id="a socket"),
        pytest.param("10.0.0.5:8001", False, id="no scheme"),
        pytest.param("http://a/path", False, id="a path"),
        pytest.param("http://user:password@a", False, id="credentials, which logs would tell"),
        pytest.param("ftp://a", False, id="another scheme"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_urls(url: str, accepted: bool) -> None:
    if accepted:
        assert load(workers={"urls": [url]}).workers.remote
    else:
        with pytest.raises(SettingsError, match="OBJECTCUT_WORKERS__URLS__0"):
            load(workers={"urls": [url]})


def test_either_workers_elsewhere_or_ones_own() -> None:
    with pytest.raises(SettingsError, match="either urls"):
        load(workers={"urls": ["http://a"], "count": 2})


def test_workers_elsewhere_want_a_token() -> None:
    settings = Settings.model_validate({"anonymous": True, "workers": {"urls": ["http://a"]}})
    with pytest.raises(SettingsError, match="OBJECTCUT_WORKER_TOKEN is not set"):
        create_app(settings)
