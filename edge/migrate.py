"""Settings files of earlier versions, converted to the present version when they are read.

A file states its version (``version = 3`` at its top; a file without one has the first version). Each step renames keys
and values and reports its changes. The file itself stays as its owner wrote it. ``fmd run --check`` shows the changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from edge.contracts import WITH_INCORRECT_MASK
from edge.errors import SettingsError

log = logging.getLogger(__name__)

Values = dict[str, Any]
"""A settings file: section -> key -> value."""


def _to_2(values: Values) -> list[str]:
    """Replace the beep by a pattern; drop ``watch.share``, as fmd now measures the camera's noise."""
    changes = []
    alert, watch = values.get("alert"), values.get("watch")
    if isinstance(alert, dict) and {"beep_on_s", "beep_off_s"} & alert.keys():
        on_s, off_s = alert.pop("beep_on_s", 0.3), alert.pop("beep_off_s", 0.3)
        alert.setdefault("buzzer_bare", [on_s, off_s] if off_s else [on_s])
        changes.append(f"alert.beep_on_s and alert.beep_off_s are now alert.buzzer_bare = {alert['buzzer_bare']}")
    if isinstance(watch, dict) and watch.pop("share", None) is not None:
        changes.append("watch.share is gone: fmd measures the camera's noise itself")
    return changes


def _to_3(values: Values) -> list[str]:
    """Give badly worn masks and unsure passages a key each, with the same three values."""
    changes: list[str] = []
    decide = values.get("decide")
    if not isinstance(decide, dict):
        return changes
    if decide.get("on_unsure") == "pass":
        decide["on_unsure"] = "signal"
        changes.append('decide.on_unsure = "pass" is now "signal" ("admit" opens the strike as well)')
    accepted = decide.get("accept")
    if isinstance(accepted, list) and WITH_INCORRECT_MASK in accepted:
        decide["accept"] = [label for label in accepted if label != WITH_INCORRECT_MASK]
        on_incorrect = decide.setdefault("on_incorrect", "admit")
        changes.append(f'{WITH_INCORRECT_MASK} in decide.accept is now decide.on_incorrect = "{on_incorrect}"')
    return changes


# The keys and values below are of the versions that each step converts: they stay, whatever is renamed later.
RENAMED_IN_4: Mapping[str, Mapping[str, str]] = {
    "alert": {"led_bare": "led_no_mask", "buzzer_bare": "buzzer_no_mask"},
    "decide": {"look_s": "observation_s"},
}


def _to_4(values: Values) -> list[str]:
    """Rename three keys, and the event of a camera that works again, to the field's terms."""
    changes = []
    for section, keys in RENAMED_IN_4.items():
        table = values.get(section)
        for old, new in keys.items():
            if isinstance(table, dict) and old in table:
                value = table.pop(old)
                table.setdefault(new, value)
                changes.append(f"{section}.{old} is now {section}.{new}")
    notify = values.get("notify")
    events = notify.get("on") if isinstance(notify, dict) else None
    if isinstance(notify, dict) and isinstance(events, list) and "seeing" in events:
        notify["on"] = ["recovered" if event == "seeing" else event for event in events]
        changes.append('"seeing" in notify.on is now "recovered"')
    return changes


def _to_5(values: Values) -> list[str]:
    """Replace the log of events by the record, which keeps more and writes less often."""
    events = values.pop("events", None)
    if events is None:
        return []
    if not isinstance(events, dict):
        return ["events is now the section [record]"]
    record = values.setdefault("record", {})
    changes = []
    for key, value in events.items():
        if key == "mb_kept":
            changes.append("events.mb_kept is gone: record.mb_kept and record.passages_days limit the record")
        elif isinstance(record, dict):
            record.setdefault(key, value)
            changes.append(f"events.{key} is now record.{key}")
    return changes


STEPS: Mapping[int, Callable[[Values], list[str]]] = {1: _to_2, 2: _to_3, 3: _to_4, 4: _to_5}
"""Version n -> the step to version n + 1, which modifies the given values and returns its changes in words."""
VERSION = 1 + max(STEPS)
UNSTATED = 3
"""Version of values that state none and come from no file. Later steps change no value that has its present name."""


def migrated(values: Values, where: str) -> Values:
    """Return the ``values`` of the file ``where``, converted to :data:`VERSION` and without the key ``version``.

    Raises :class:`edge.errors.SettingsError` if the version is later than this fmd's, or no version number.
    """
    version = values.pop("version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SettingsError(f"{where}: version: got {version!r}, expected 1 to {VERSION}")
    if version > VERSION:
        raise SettingsError(
            f"{where}: written for a later fmd (version {version}, this one reads {VERSION}); update fmd"
        )
    for number in range(version, VERSION):
        for change in STEPS[number](values):
            log.info("%s: settings of version %d: %s", where, number, change)
    return values


def current(values: Values, where: str) -> Values:
    """Return ``values`` that state no version (the command line's, a state file's) under their present names.

    A state file may be that of the version before an upgrade; a unit's drop-in may still name old settings.
    """
    return migrated({"version": UNSTATED, **values}, where)


def new_name(section: str, key: str) -> str | None:
    """Return the present name of a key that an earlier version had, or None."""
    return RENAMED_IN_4.get(section, {}).get(key)


def new_section(section: str) -> str | None:
    """Return the present name of a section that an earlier version had, or None."""
    return {"events": "record"}.get(section)
