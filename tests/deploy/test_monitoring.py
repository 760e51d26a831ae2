"""The dashboard and the alerts: fresh, sound, and about metrics that the running service has."""

import asyncio
import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.grafana import dashboard
from tests.fakes import photo
from tests.service import serving

ROOT = Path(__file__).parents[2] / "deploy"
PROMETHEUS = ROOT / "prometheus"
DASHBOARD = json.loads(dashboard.DOCUMENT.read_text())
RULES = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]

EXPRESSIONS = [
    *(pytest.param(rule["expr"], id=rule["alert"]) for rule in RULES),
    *(
        pytest.param(target["expr"], id=f"{panel['title']}: {target['legendFormat']}")
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ),
]
OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus puts to every sample."""


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    return asyncio.run(samples())


async def samples() -> dict[str, set[str]]:
    """Every sample on /metrics after some requests, with its labels; `up` is Prometheus' own."""
    labels: defaultdict[str, set[str]] = defaultdict(set, up=set())
    async with serving() as served:
        await served.http.post("/v1/cutouts", files={"image": ("a.jpg", photo())})
        await served.http.post("/v1/cutouts", files={"image": ("a.jpg", b"no image")})
        metrics = served.service.metrics
        metrics.batch("lite", 1)
        metrics.waited("lite", 0.1)
        metrics.refused("private")
        metrics.models({"lite": {"batch_cap": 8, "memory_bytes": 1}})
        text = metrics.text().decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels[sample.name] |= sample.labels.keys()
    return labels


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_speaks_of_metrics_and_labels_that_exist(expression: str, exposed: dict[str, set[str]]) -> None:
    selected = re.findall(r"\b((?:objectcut|process)_\w+|up)\b(?:\{([^}]*)\})?", expression)
    assert selected
    for name, matchers in selected:
        assert name in exposed
        named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert named <= exposed[name] | OF_PROMETHEUS, name
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
    assert all(grouped <= exposed[name] | OF_PROMETHEUS for name, _ in selected)


def test_the_dashboard_is_fresh() -> None:
    assert dashboard.main(["--check"]) == 0


def test_panels_have_places_of_their_own() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_is_tested_and_documented(rule: dict[str, Any]) -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert [bool(case.get("exp_alerts")) for case in cases].count(True) >= 1
    if "for" in rule:
        assert any(not case.get("exp_alerts") for case in cases), "quiet before it fires"
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert f"`{rule['alert']}`" in (ROOT.parent / "docs" / "OBSERVABILITY.md").read_text()


def promtool(*arguments: str | Path) -> None:
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("promtool is not installed: it is in Debian's package prometheus")
    done = subprocess.run(
        [command, *arguments], capture_output=True, text=True, timeout=60, cwd=PROMETHEUS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("check", "config", "prometheus.yml"), id="configuration and rules"),
        pytest.param(("test", "rules", "alerts_test.yml"), id="unit tests of the alerts"),
    ],
)
def test_promtool(arguments: tuple[str, ...]) -> None:
    promtool(*arguments)


def test_promtool_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions)
    ]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", path)
