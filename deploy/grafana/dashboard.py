"""Writes deploy/grafana/objectcut.json, the dashboard; `--check` fails when the file is stale."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).with_name("objectcut.json")
SOURCE = {"type": "prometheus", "uid": "${source}"}
OF = '{job=~"$job",instance=~"$instance"}'
COLUMNS = 3
WIDTH, HEIGHT = 24 // COLUMNS, 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. unit: Grafana's name of it. lines: by their legend, PromQL in which OF selects replicas."""

    title: str
    unit: str
    lines: dict[str, str]
    stacked: bool = False


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """Per second, added up over replicas."""
    chosen = OF[:-1] + (f",{labels}" if labels else "") + "}"
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{chosen}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "", labels: str = "") -> str:
    """Of a histogram, over replicas."""
    by = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', by, labels)})"


def spread(metric: str, labels: str = "") -> dict[str, str]:
    """Median, 95 and 99 of 100."""
    return {f"p{int(100 * share)}": quantile(share, metric, labels=labels) for share in (0.5, 0.95, 0.99)}


CUTOUTS = 'route="/v1/cutouts"'
ROWS: dict[str, list[Panel]] = {
    "Requests": [
        Panel("Answers", "reqps", {"{{status}}": rate("objectcut_requests_total", "status")}, stacked=True),
        Panel("Time of POST /v1/cutouts", "s", spread("objectcut_request_seconds", CUTOUTS)),
        Panel("Failures", "reqps", {"{{code}}": rate("objectcut_errors_total", "code")}, stacked=True),
    ],
    "Room": [
        Panel(
            "In flight",
            "short",
            {"in flight": f"sum(objectcut_in_flight{OF})", "limit": f"sum(objectcut_in_flight_limit{OF})"},
        ),
        Panel("Turned away", "reqps", {"{{code}}": rate("objectcut_shed_total", "code")}),
        Panel(
            "Replicas",
            "short",
            {"answer": 'sum(up{job=~"$job"})', "ready": f"sum(objectcut_ready{OF})"},
        ),
    ],
    "Pipeline": [
        Panel(
            "Stages, mean",
            "s",
            {
                "{{stage}}": f"{rate('objectcut_stage_seconds_sum', 'stage')}"
                f" / {rate('objectcut_stage_seconds_count', 'stage')}"
            },
            stacked=True,
        ),
        Panel("Stages, p95", "s", {"{{stage}}": quantile(0.95, "objectcut_stage_seconds", "stage")}),
        Panel(
            "Forbidden addresses", "reqps", {"{{reason}}": rate("objectcut_fetch_refused_total", "reason")}
        ),
    ],
    "Device": [
        Panel(
            "Wait for a batch",
            "s",
            {
                "{{model}} p50": quantile(0.5, "objectcut_queue_seconds", "model"),
                "{{model}} p95": quantile(0.95, "objectcut_queue_seconds", "model"),
            },
        ),
        Panel(
            "Pictures in a batch, mean",
            "short",
            {
                "{{model}}": f"{rate('objectcut_batch_size_sum', 'model')}"
                f" / {rate('objectcut_batch_size_count', 'model')}",
                "{{model}} cap": f"max by (model) (objectcut_batch_cap{OF})",
            },
        ),
        Panel("Pictures waiting", "short", {"{{instance}}": f"objectcut_queue_depth{OF}"}),
    ],
    "Processes": [
        Panel("CPU", "percentunit", {"{{instance}}": rate("process_cpu_seconds_total", "instance")}),
        Panel(
            "Memory",
            "bytes",
            {
                "{{instance}}": f"process_resident_memory_bytes{OF}",
                "{{model}} on its device": f"sum by (model) (objectcut_model_bytes{OF})",
            },
        ),
        Panel("File descriptors", "short", {"{{instance}}": f"process_open_fds{OF}"}),
    ],
}


def dashboard() -> dict[str, Any]:
    """Grafana's model of it, schema 39."""
    panels: list[dict[str, Any]] = []
    for title, row in ROWS.items():
        top = (HEIGHT + 1) * (len(panels) // (COLUMNS + 1))
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "panels": []})
        for column, panel in enumerate(row):
            place = {"x": column * WIDTH, "y": top + 1, "w": WIDTH, "h": HEIGHT}
            panels.append({"id": len(panels) + 1, "gridPos": place} | _graph(panel))
    return {
        "uid": "objectcut",
        "title": "OBJECT CUT",
        "tags": ["objectcut"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _graph(panel: Panel) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none"}
    custom = {"fillOpacity": 20 if panel.stacked else 0, "stacking": stacking}
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend}
            for number, (legend, expression) in enumerate(panel.lines.items())
        ],
    }


def _variables() -> list[dict[str, Any]]:
    def values(name: str, query: str) -> dict[str, Any]:
        return {
            "name": name,
            "type": "query",
            "datasource": SOURCE,
            "query": query,
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "current": {"text": "All", "value": "$__all"},
        }

    return [
        {"name": "source", "type": "datasource", "query": "prometheus"},
        values("job", "label_values(objectcut_ready, job)"),
        values("instance", 'label_values(objectcut_ready{job=~"$job"}, instance)'),
    ]


def main(arguments: list[str]) -> int:
    """Writes the file, or compares it."""
    text = json.dumps(dashboard(), indent=1) + "\n"
    if arguments != ["--check"]:
        DOCUMENT.write_text(text, encoding="utf-8")
        return 0
    if DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("deploy/grafana/objectcut.json is stale: run `python deploy/grafana/dashboard.py`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
