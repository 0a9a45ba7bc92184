"""What the settings' screen shows: every setting in its section, with the control that fits it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

from edge import toml
from edge.page_messages import SettingsReply, SettingView

SECTIONS = {
    "camera": "where pictures come from",
    "model": "models in use",
    "watch": "when and where fmd searches for faces",
    "sensor": "a second sensor, for warmth or distance",
    "detect": "which faces count",
    "track": "how fmd follows a person",
    "classify": "how often a face is classified",
    "decide": "when and how fmd decides",
    "alert": "LED, buzzer, relay, and their pins",
    "arm": "when fmd gives alarms",
    "voice": "the spoken sentence",
    "display": "a screen at the door",
    "publish": "messages to other systems",
    "mqtt": "a broker, and Home Assistant",
    "metrics": "numbers for Prometheus",
    "notify": "webhooks, mail and chat",
    "record": "what fmd keeps, and how long",
    "report": "the weekly report",
    "page": "this page",
}
"""Section of the settings file -> what it is about."""
ORIGINS = {"page": "changed here", "file": "from fmd.toml", "command": "from the command line"}
"""Origin of a value -> words; a default needs none."""
CLOSED = {
    "read": "Only the settings file /etc/fmd/fmd.toml can change this.",
    "secret": "A secret: only the settings file can change it, and this page never shows it.",
}
"""Access -> why there is no control."""
COMMAND = "The command line of the running fmd sets this."
WORDS = {"true": "yes", "false": "no"}
NUMBERS = ("int", "float")
AS_TEXT = ("text", "choice", "pin")
"""Kinds whose texts are shown without the quotes of TOML."""


class Setting(NamedTuple):
    """A setting: ``control`` is choice, number, text, area or none; ``choices`` are values with their words."""

    key: str
    name: str
    id: str
    comment: str
    control: str
    value: str
    default: str
    choices: tuple[tuple[str, str], ...]
    changed: bool
    origin: str
    resettable: bool
    confirm: bool
    closed: str
    problem: str


class Section(NamedTuple):
    """A section of the settings file. ``confirm`` asks for a confirmation of some changes."""

    name: str
    about: str
    settings: tuple[Setting, ...]
    changed: int
    problems: int
    confirm: bool
    editable: bool
    open: bool


def sections(
    reply: SettingsReply, errors: Mapping[str, str] | None = None, typed: Mapping[str, str] | None = None
) -> tuple[Section, ...]:
    """Return all settings by section. After a refused change, ``errors`` and what was ``typed`` go with their keys."""
    errors, typed = errors or {}, typed or {}
    return tuple(
        _section(name, tuple(views), errors, typed)
        for name, views in groupby(reply.settings, key=lambda view: view.section)
    )


def _section(name: str, views: tuple[SettingView, ...], errors: Mapping[str, str], typed: Mapping[str, str]) -> Section:
    settings = tuple(setting(view, errors.get(view.key, ""), typed.get(view.key)) for view in views)
    problems = sum(bool(each.problem) for each in settings)
    return Section(
        name=name,
        about=SECTIONS.get(name, ""),
        settings=settings,
        changed=sum(each.changed for each in settings),
        problems=problems,
        confirm=any(each.confirm for each in settings),
        editable=any(not each.closed for each in settings),
        open=problems > 0,
    )


def setting(view: SettingView, problem: str = "", typed: str | None = None) -> Setting:
    """Return a setting with its control. ``typed`` replaces the value that the service has, after an error."""
    closed = COMMAND if view.origin == "command" else CLOSED.get(view.access, "")
    value = shown(view.value, view.kind)
    return Setting(
        key=view.key,
        name=view.key.partition(".")[2],
        id=view.key.replace(".", "-"),
        comment=view.comment,
        control="none" if closed else _control(view),
        value=value if typed is None else typed,
        default=shown(view.default, view.kind),
        choices=_choices(view),
        changed=view.value != view.default,
        origin=ORIGINS.get(view.origin, ""),
        resettable=view.origin == "page" and not closed,
        confirm=view.access == "confirm" and not closed,
        closed=closed,
        problem=problem,
    )


def shown(text: str, kind: str) -> str:
    """Return a value as people type it: texts without the quotes of TOML."""
    value = toml.value(text) if kind in AS_TEXT else text
    return value if isinstance(value, str) else text


def _control(view: SettingView) -> str:
    if _choices(view):
        return "choice"
    if view.kind in NUMBERS:
        return "number"
    return "area" if view.kind in ("regions", "table") or len(view.value) > 60 else "text"


def _choices(view: SettingView) -> tuple[tuple[str, str], ...]:
    if view.kind == "bool":
        return tuple(WORDS.items())
    return tuple((choice, choice) for choice in (shown(each, view.kind) for each in view.choices))
