"""Alert rules: cases by promtool, and what each rule and its texts name exists."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from edge.commands.main import COMMANDS
from tests.docs.test_prose import MAX_SENTENCE_WORDS, avoided_in
from tests.fleet.monitoring import (
    FLEET,
    MONITORING,
    RULE_TESTS,
    RULES,
    alerts,
    metric_names,
    milliseconds,
    needs,
    rules,
    served_names,
)

EVERY_ALERT = pytest.mark.parametrize("name", alerts())
CASE = re.compile(r'count by \((.*)\) \(ALERTS\{alertname="(\w+)",alertstate="firing"\}\)')
ALL_S = 60
"""An alert comes within this time after its condition holds, which for some is itself one of hours."""


@cache
def cases() -> list[tuple[str, set[str], bool]]:
    """Every case of promtool: the alert, the labels it is counted by, and whether it fires."""
    found = []
    for path in RULE_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["promql_expr_test"]:
                words = CASE.fullmatch(case["expr"])
                assert words, case["expr"]
                found.append((words[2], set(words[1].split(", ")), bool(case["exp_samples"])))
    return found


@needs("promtool")
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name)
def test_promtool_finds_each_alert_where_it_belongs(path: Any) -> None:
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@needs("promtool")
def test_promtool_accepts_the_files() -> None:
    config = MONITORING / "prometheus.yml"
    done = subprocess.run(["promtool", "check", "config", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["promtool", "check", "rules", *map(str, RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@EVERY_ALERT
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(name: str) -> None:
    assert {fires for alert, _, fires in cases() if alert == name} == {True, False}


def test_a_test_names_no_alert_that_does_not_exist() -> None:
    assert {alert for alert, _, _ in cases()} == set(alerts())


def test_every_metric_in_a_rule_is_served_or_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = {name for rule in rules() for name in metric_names(rule["expr"])}
    own = {name for name in named if not name.startswith(("prometheus_", "alertmanager_"))}
    assert own - served_names() - recorded == {"up"}
    assert len(own) > 30
    assert all(name.count(":") == 2 for name in recorded)


@EVERY_ALERT
def test_an_alert_says_in_plain_sentences_what_to_do(name: str) -> None:
    rule = alerts()[name]
    texts = rule["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info", "heartbeat"}
    assert set(texts) == {"summary", "description"}
    for text in texts.values():
        plain = re.sub(r"\{\{.*?\}\}", "X", text)
        assert avoided_in(plain) == {}
        assert "://" not in plain
        assert [s for s in re.split(r"(?<=[.!?:])\s+", plain) if len(s.split()) > MAX_SENTENCE_WORDS] == []
    commands = re.findall(r'"fmd ([a-z]+)', texts["description"])
    known = {command.name for command in COMMANDS} | {"enrol"}
    assert [command for command in commands if command not in known] == []


@EVERY_ALERT
def test_texts_name_only_labels_that_the_alert_has(name: str) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", str(alerts()[name]["annotations"])))
    has = set.union(*(by for alert, by, fires in cases() if alert == name and fires))
    assert named <= has


def test_every_alert_comes_within_a_minute() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]
    route = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())["route"]
    waits = [config["scrape_interval"], config["scrape_timeout"], config["evaluation_interval"]]
    fixed = sum(map(milliseconds, waits)) + max(milliseconds(route[key]) for key in ("group_wait", "group_interval"))
    slow = {name for name, rule in alerts().items() if fixed + milliseconds(rule.get("for", "0s")) > 1000 * ALL_S}
    assert slow == set()
    assert "= 54 s" in (MONITORING / "prometheus.yml").read_text()
    assert fixed + max(milliseconds(rule.get("for", "0s")) for rule in alerts().values()) == 54_000


def test_the_first_message_waits_until_a_whole_site_is_silent() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]
    route = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())["route"]
    spread = sum(milliseconds(config[key]) for key in ("scrape_interval", "scrape_timeout", "evaluation_interval"))
    site, door = (milliseconds(alerts()[name]["for"]) for name in ("FmdSiteSilent", "FmdDoorSilent"))
    assert spread <= milliseconds(route["group_wait"])
    # The first door's alert waits for the message until the site's alert, which suppresses it, has begun.
    assert spread + site < door + milliseconds(route["group_wait"])


def within(group: dict[str, Any], rule: dict[str, Any]) -> int:
    """Return the seconds from the fault to the message, as prometheus.yml adds them up."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]
    route = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())["route"]
    waits = [config["scrape_interval"], config["scrape_timeout"], group.get("interval", config["evaluation_interval"])]
    return sum(map(milliseconds, [*waits, rule.get("for", "0s"), route["group_wait"]])) // 1000


def test_the_page_has_each_alert_with_its_delay() -> None:
    page = (FLEET.parent / "docs/fleet.md").read_text()
    stated = dict(re.findall(r"^\| `(Fmd\w+)` \|.*\| (\d+) s \|$", page, re.MULTILINE))
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    delays = {rule["alert"]: str(within(group, rule)) for group in groups for rule in group["rules"] if "alert" in rule}
    assert stated == delays
    critical = [name for name in stated if alerts()[name]["labels"]["severity"] == "critical"]
    assert list(stated)[: len(critical)] == critical
    assert len(critical) == 8, "the page says how many"
