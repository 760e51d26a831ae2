"""The shipped configurations by Ray's own schema, and what the application asks of its settings."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from api.environment import SettingsError
from api.fleet.rayserve import Arguments, Pool, build
from model.config import EngineConfig
from tests.ray.application import shipped

pytestmark = pytest.mark.ray

MANIFEST = Path(__file__).parents[2] / "deploy" / "ray" / "rayservice.yaml"


def embedded() -> dict[str, Any]:
    """What deploy/ray/rayservice.yaml says to Ray Serve."""
    _, service = yaml.safe_load_all(MANIFEST.read_text())
    config: dict[str, Any] = yaml.safe_load(service["spec"]["serveConfigV2"])
    return config


CONFIGS = [pytest.param(shipped(), id="serve.yaml"), pytest.param(embedded(), id="rayservice.yaml")]


@pytest.mark.parametrize("config", CONFIGS)
def test_is_sound_by_rays_schema(config: dict[str, Any]) -> None:
    ServeDeploySchema(**config)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_mistake_is_found_by_the_schema(config: dict[str, Any]) -> None:
    config["applications"][0]["deployments"][0]["max_ongoing_requests"] = 0
    with pytest.raises(ValidationError):
        ServeDeploySchema(**config)


@pytest.mark.parametrize(
    ("arguments", "settings", "what"),
    [
        pytest.param({}, {}, "SECRET_ACCESS is not set", id="nobody could come in"),
        pytest.param(
            {"ingresses": 2},
            {"ANONYMOUS": "true"},
            r"STORE__KIND.*REDIS_URL.*SECRET_ACCESS",
            id="several ingresses, and each with a state of its own",
        ),
    ],
)
def test_is_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], settings: dict[str, str], what: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"OBJECTCUT_{name}", value)
    with pytest.raises(SettingsError, match=what):
        build(Arguments.model_validate(arguments))


def test_a_pool_of_no_such_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECTCUT_ANONYMOUS", "true")
    with pytest.raises(ValueError, match="no such model: nope"):
        build(Arguments(pools={"one": Pool(models=("nope",))}))


@pytest.mark.parametrize(
    ("known", "own", "cores"),
    [
        pytest.param({}, {}, 3, id="those that Ray gives"),
        pytest.param({"cores": 5}, {}, 5, id="the settings'"),
        pytest.param({"cores": 5}, {"cores": 7}, 7, id="the pool's own"),
    ],
)
def test_cores_of_a_replica(known: dict[str, Any], own: dict[str, Any], cores: int) -> None:
    pool = Pool(models=("basnet",), engine=own)
    config = pool.config(EngineConfig.model_validate(known), 3)
    assert (config.cores, config.models) == (cores, ("basnet",))
