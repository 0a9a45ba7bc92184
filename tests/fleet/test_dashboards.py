"""Dashboards of Grafana: generated as committed, from metrics that exist, and provisioned where the files say."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import yaml

from tests.docs.test_prose import MAX_SENTENCE_WORDS, avoided_in
from tests.fleet.monitoring import FLEET, metric_names, rules, served_names

pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk needs Python 3.11")

from fleet.grafana.__main__ import FOLDER, rendered
from fleet.grafana.content import DASHBOARDS
from fleet.grafana.panels import COLUMNS, Panel, Query

EVERY = pytest.mark.parametrize("name", DASHBOARDS)
OF_PROMETHEUS = {"up", "ALERTS", "scrape_duration_seconds"}


def panels(name: str) -> list[Panel]:
    return [panel for section in DASHBOARDS[name].sections for panel in section.panels]


def queries(name: str) -> list[Query]:
    return [query for panel in panels(name) for query in panel.queries]


@EVERY
def test_the_committed_file_is_what_the_generator_writes(name: str) -> None:
    assert (FOLDER / name).read_text() == rendered(name), "run python -m fleet.grafana"


def test_the_folder_holds_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(DASHBOARDS)


@EVERY
def test_every_metric_is_served_or_recorded(name: str) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = {metric for query in queries(name) for metric in metric_names(query.expression)}
    assert {m for m in named if not m.startswith("prometheus_")} - served_names() - recorded - OF_PROMETHEUS == set()


def test_every_recorded_value_is_used() -> None:
    used = {m for name in DASHBOARDS for query in queries(name) for m in metric_names(query.expression)}
    used |= {m for rule in rules() for m in metric_names(rule["expr"])}
    assert {rule["record"] for rule in rules() if "record" in rule} - used == set()


@EVERY
def test_the_file_has_what_grafana_needs(name: str) -> None:
    made: dict[str, Any] = json.loads((FOLDER / name).read_text())
    shown = [panel for panel in made["panels"] if panel["type"] != "row"]
    assert len(shown) == len(panels(name))
    assert made["uid"] == DASHBOARDS[name].uid
    assert {panel["datasource"]["uid"] for panel in shown} == {"${datasource}"}
    assert next(v["name"] for v in made["templating"]["list"]) == "datasource"
    cells = Counter(
        (x, y)
        for panel in made["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    )
    assert max(cells.values()) == 1, "panels overlap"
    assert max(x for x, _ in cells) < COLUMNS


@EVERY
def test_a_panel_is_explained_in_plain_words(name: str) -> None:
    texts = [text for panel in panels(name) for text in (panel.title, panel.description)]
    assert [avoided_in(text) for text in texts if avoided_in(text)] == []
    assert [text for text in texts if not text or len(text.split()) > MAX_SENTENCE_WORDS * 2] == []


def test_provisioning_names_the_data_source_and_the_folder() -> None:
    of = {path.name: yaml.safe_load(path.read_text()) for path in (FLEET / "grafana/provisioning").rglob("*.yml")}
    assert of["fmd.yml"]["apiVersion"] == 1
    sources = yaml.safe_load((FLEET / "grafana/provisioning/datasources/fmd.yml").read_text())["datasources"]
    assert [(s["type"], s["url"], s["isDefault"]) for s in sources] == [("prometheus", "http://127.0.0.1:9090", True)]
    assert all("password" not in str(file).lower() for file in of.values())
    [provider] = yaml.safe_load((FLEET / "grafana/provisioning/dashboards/fmd.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/fmd"
