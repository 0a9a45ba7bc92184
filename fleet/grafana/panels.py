"""Panels as rows of a table -> panels and dashboards of grafana-foundation-sdk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import bargauge, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    FieldColor,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    Dashboard as BuiltDashboard,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

COLUMNS = 24
"""Width of a dashboard in Grafana's grid."""
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
REFRESH, PERIOD = "10s", "now-6h"


class Kind(Enum):
    """How a panel shows its values."""

    STAT = "stat"
    TABLE = "table"
    TIMELINE = "state timeline"
    BARS = "bar gauge"
    LINES = "time series"


class Query(NamedTuple):
    """A PromQL expression and the legend of its series; ``{{label}}`` stands for a label."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel: ``width`` is in columns of 24, ``limits`` are (value, colour) from which a value has that colour.

    ``names`` renames the columns of a table, in their order; ``texts`` maps values to words. ``link`` is where a click
    on the first column leads.
    """

    title: str
    description: str
    queries: Sequence[Query]
    kind: Kind = Kind.LINES
    unit: str = "short"
    width: int = 12
    height: int = 8
    limits: Sequence[tuple[float, str]] = ()
    texts: Mapping[str, tuple[str, str]] | None = None
    names: Sequence[tuple[str, str]] = ()
    units: Mapping[str, str] | None = None
    stacked: bool = False
    link: str = ""


@dataclass(frozen=True)
class Section:
    """A row of a dashboard with its panels."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Content:
    """A dashboard: ``variables`` are (name, label, query, several), in the order in which they depend on each other."""

    uid: str
    title: str
    description: str
    variables: Sequence[tuple[str, str, str, bool]]
    sections: Sequence[Section]
    links: Sequence[tuple[str, str]] = ()


def build(content: Content) -> BuiltDashboard:
    """Return the dashboard as objects of the SDK."""
    made = Dashboard(content.title).uid(content.uid).description(content.description).tags(["fmd"])
    made = made.refresh(REFRESH).time(PERIOD, "now").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    made = made.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for variable in content.variables:
        made = made.with_variable(_variable(*variable))
    for title, url in content.links:
        link = DashboardLink(title).type(DashboardLinkType.LINK).url(url).keep_time(True)
        made = made.link(link)
    for section in content.sections:
        made = made.with_row(Row(section.title))
        for panel in section.panels:
            made = made.with_panel(_panel(panel))
    return made.build()


def _variable(name: str, label: str, query: str, several: bool) -> QueryVariable:
    made = QueryVariable(name).label(label).query(query).datasource(DATASOURCE)
    made = made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    if not several:
        return made
    return made.multi(True).include_all(True).all_value(".*").current(VariableOption(text="All", value="$__all"))


def _panel(panel: Panel) -> Any:
    """Return the builder of a panel; those of the kinds have most methods in common, but no common class."""
    made: Any = _OF_KIND[panel.kind](panel)
    made = made.title(panel.title).description(panel.description).datasource(DATASOURCE)
    made = made.height(panel.height).span(panel.width).unit(panel.unit)
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(panel, query, chr(ord("A") + number)))
    if panel.limits:
        steps = [Threshold(value=None, color=panel.limits[0][1])]
        steps += [Threshold(value=value, color=color) for value, color in panel.limits[1:]]
        made = made.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        made = made.color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    if panel.texts:
        options = {
            value: ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(panel.texts.items())
        }
        made = made.mappings([ValueMap(options=options)])
    return made


def _target(panel: Panel, query: Query, ref_id: str) -> Dataquery:
    made = Dataquery().expr(query.expression).legend_format(query.legend).ref_id(ref_id).datasource(DATASOURCE)
    made = made.instant() if panel.kind in (Kind.TABLE, Kind.BARS, Kind.STAT) else made.range()
    return made.format(PromQueryFormat.TABLE if panel.kind is Kind.TABLE else PromQueryFormat.TIME_SERIES)


def _stat(panel: Panel) -> stat.Panel:
    return stat.Panel().reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False)).no_value("none")


def _bars(panel: Panel) -> bargauge.Panel:
    return bargauge.Panel().reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False)).min(0)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    made = timeseries.Panel().legend(legend).min(0)
    return made.fill_opacity(40 if panel.stacked else 8)


def _timeline(panel: Panel) -> statetimeline.Panel:
    return statetimeline.Panel().merge_values(True)


def _table(panel: Panel) -> table.Panel:
    """Return a table that merges the lines of its queries that have all labels in common."""
    made = table.Panel().filterable(True)
    if len(panel.queries) > 1:
        made = made.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    order = {name: index for index, (name, _) in enumerate(panel.names)}
    options = {
        "excludeByName": dict.fromkeys(("Time", "__name__", "job", "instance", "hub"), True),
        "indexByName": order,
        "renameByName": dict(panel.names),
    }
    made = made.with_transformation(DataTransformerConfig(id_val="organize", options=options))
    for column, unit in (panel.units or {}).items():
        made = made.override_by_name(column, [DynamicConfigValue(id_val="unit", value=unit)])
    if panel.link:
        links = [{"title": "Open", "url": panel.link}]
        made = made.override_by_name(panel.names[0][1], [DynamicConfigValue(id_val="links", value=links)])
    return made


_OF_KIND = {
    Kind.STAT: _stat,
    Kind.TABLE: _table,
    Kind.TIMELINE: _timeline,
    Kind.BARS: _bars,
    Kind.LINES: _lines,
}
