"""The files in deploy/: promtool accepts them, and every metric and label that they name is exported."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from realtime.dashboard.metrics import METRICS, PREFIX, STATES
from realtime.dashboard.observed import CAUSES, REASONS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
# What prometheus_client adds for this process, and labels that Prometheus adds to all.
OWN = {f"{PREFIX}dashboard_process_{name}" for name in ("cpu_seconds_total", "resident_memory_bytes")}
LABELS = {PREFIX + metric.name: {*metric.labels, "job", "instance", "le"} for metric in METRICS} | {
    name: {"job", "instance"} for name in OWN
}
TYPES = {PREFIX + metric.name: metric.kind for metric in METRICS} | dict.fromkeys(OWN, "any")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed"
)


def panels(of=DASHBOARD):
    for panel in of["panels"]:
        yield panel
        yield from panels(panel) if panel.get("panels") else ()


def targets():
    return [(panel["title"], target) for panel in panels() for target in panel.get("targets", [])]


def expressions():
    """Every PromQL expression, with a name for messages."""
    yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES)
    yield from ((title, target["expr"]) for title, target in targets())
    yield from (("annotation", a["expr"]) for a in DASHBOARD["annotations"]["list"])
    yield from ((v["name"], v["query"]["query"]) for v in DASHBOARD["templating"]["list"] if v["type"] == "query")


def family(name):
    """The metric of a sample: a histogram has three kinds of samples."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if TYPES.get(base) == "histogram" else name


def used(expression):
    """The metrics of an expression, and the labels that are selected of each."""
    without_strings = re.sub(r'"[^"]*"', '""', expression)
    for name, selector in re.findall(r"\b(realtime_pose_\w+)(?:\{([^}]*)\})?", without_strings):
        yield family(name), {*re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)}


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "deploy/prometheus.yml"],
        ["check", "rules", "deploy/alerts.yml"],
        ["test", "rules", "tests/dashboard/alerts_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_accepts(arguments):
    done = subprocess.run(["promtool", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test():
    tests = yaml.safe_load((ROOT / "tests" / "dashboard" / "alerts_test.yml").read_text())["tests"]
    tested = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert tested == {rule["alert"] for rule in RULES if "alert" in rule}


@pytest.mark.parametrize(("title", "expression"), [*expressions()])
def test_every_metric_and_label_of_an_expression_is_exported(title, expression):
    for name, labels in used(expression):
        assert name in LABELS, name
        assert labels <= LABELS[name], name
    grouped = re.findall(r"\b(?:by|without|on|ignoring) ?\(([^)]*)\)", expression)
    known = set().union(*(LABELS[name] for name, _ in used(expression))) | {"job", "instance", "camera", "pipeline"}
    assert {label for words in grouped for label in re.findall(r"\w+", words)} <= known


def test_a_histogram_is_used_only_by_its_samples():
    for title, expression in expressions():
        for name in re.findall(r"\brealtime_pose_\w+", expression):
            assert TYPES[family(name)] != "histogram" or name != family(name), (title, name)


def test_a_counter_is_used_only_as_a_rate():
    for title, expression in expressions():
        for name in re.findall(r"\brealtime_pose_\w+_total\b", expression):
            inside = rf"\b(?:rate|increase)\({name}(?:\{{[^}}]*\}})?\["
            assert re.search(inside, expression), (title, name)


def test_a_legend_names_labels_that_the_expression_keeps():
    for title, target in targets():
        wanted = {*re.findall(r"{{(\w+)}}", target["legendFormat"])}
        by = re.search(r"\bby \(([^)]*)\)", target["expr"])
        kept = {*re.findall(r"\w+", by[1])} if by else set().union(*(LABELS[name] for name, _ in used(target["expr"])))
        assert wanted <= kept, title


def test_an_annotation_of_an_alert_names_labels_that_the_expression_keeps():
    for rule in RULES:
        text = " ".join(rule.get("annotations", {}).values())
        metrics = [name for name, _ in used(rule["expr"])]
        kept = set().union({"job", "instance", "camera", "pipeline"}, *(LABELS[name] for name in metrics))
        assert {*re.findall(r"\$labels\.(\w+)", text)} <= kept, rule["alert"]


def test_the_words_that_alerts_and_panels_select_exist():
    values = {"state": STATES, "cause": CAUSES, "reason": REASONS}
    for title, expression in expressions():
        for label, words in re.findall(r'\b(state|cause|reason)(?:=~|!~|=|!=)"([^"]*)"', expression):
            assert {*words.split("|")} <= {*values[label]}, title


def test_the_panels_do_not_overlap_and_have_different_ids():
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len({*ids})
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len({*cells})
    assert max(x for x, _ in cells) < 24


def test_a_row_is_repeated_for_each_camera():
    assert [panel["title"] for panel in panels() if panel.get("repeat") == "camera"] == ["$camera"]


def test_every_panel_uses_the_chosen_data_source():
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert all(panel["datasource"] == chosen for panel in panels() if panel["type"] != "row")


@needs_promtool
def test_promtool_parses_every_expression_of_the_dashboard(tmp_path):
    """As rules, with a value for each variable."""
    variables = {"$__rate_interval": "1m", "$job": "realtime-pose", "$pipeline": ".*", "$camera": ".*"}
    rules = []
    for number, (title, target) in enumerate(targets()):
        expression = target["expr"]
        for variable, value in variables.items():
            expression = expression.replace(variable, value)
        assert "$" not in expression, title
        rules.append({"record": f"panel:{number}", "expr": expression, "labels": {"panel": title}})
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_names_every_alert():
    text = (ROOT / "docs" / "monitoring.md").read_text()
    assert not [rule["alert"] for rule in RULES if "alert" in rule and f"`{rule['alert']}`" not in text]
