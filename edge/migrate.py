"""Settings files of earlier versions, read as if written today.

A file says which version it was written for (``version = 3`` at its top; without it, the first). Each step renames what
was renamed and tells what it did; the file itself is its owner's and stays. ``fmd run --check`` shows the steps.
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
    """Patterns took the place of one beep; how much of the view must move is found out, not set."""
    told = []
    alert, watch = values.get("alert"), values.get("watch")
    if isinstance(alert, dict) and {"beep_on_s", "beep_off_s"} & alert.keys():
        on_s, off_s = alert.pop("beep_on_s", 0.3), alert.pop("beep_off_s", 0.3)
        alert.setdefault("buzzer_bare", [on_s, off_s] if off_s else [on_s])
        told.append(f"alert.beep_on_s and alert.beep_off_s are now alert.buzzer_bare = {alert['buzzer_bare']}")
    if isinstance(watch, dict) and watch.pop("share", None) is not None:
        told.append("watch.share is gone: fmd measures the camera's noise itself")
    return told


def _to_3(values: Values) -> list[str]:
    """A mask worn badly and somebody unclear have a key each, of the same three values."""
    told: list[str] = []
    decide = values.get("decide")
    if not isinstance(decide, dict):
        return told
    if decide.get("on_unsure") == "pass":
        decide["on_unsure"] = "signal"
        told.append('decide.on_unsure = "pass" is now "signal" ("admit" opens the strike as well)')
    accepted = decide.get("accept")
    if isinstance(accepted, list) and WITH_INCORRECT_MASK in accepted:
        decide["accept"] = [label for label in accepted if label != WITH_INCORRECT_MASK]
        decide.setdefault("on_incorrect", "admit")
        told.append(f'{WITH_INCORRECT_MASK} in decide.accept is now decide.on_incorrect = "{decide["on_incorrect"]}"')
    return told


RENAMED_IN_4: Mapping[str, Mapping[str, str]] = {
    "alert": {"led_bare": "led_no_mask", "buzzer_bare": "buzzer_no_mask"},
    "decide": {"look_s": "observation_s"},
}


def _to_4(values: Values) -> list[str]:
    """Use the field's names for three keys and for the event of a camera that works again."""
    done = []
    for section, keys in RENAMED_IN_4.items():
        table = values.get(section)
        for old, new in keys.items():
            if isinstance(table, dict) and old in table:
                value = table.pop(old)
                table.setdefault(new, value)
                done.append(f"{section}.{old} is now {section}.{new}")
    notify = values.get("notify")
    events = notify.get("on") if isinstance(notify, dict) else None
    if isinstance(notify, dict) and isinstance(events, list) and "seeing" in events:
        notify["on"] = ["recovered" if event == "seeing" else event for event in events]
        done.append('"seeing" in notify.on is now "recovered"')
    return done


STEPS: Mapping[int, Callable[[Values], list[str]]] = {1: _to_2, 2: _to_3, 3: _to_4}
"""From version n to n + 1; changes the values it is given, returns what it did in words."""
VERSION = 1 + max(STEPS)


def migrated(values: Values, where: str) -> Values:
    """``values`` of the file ``where``, without its version, as of :data:`VERSION`.

    Raises :class:`edge.errors.SettingsError` where it is of a later version than this fmd, or says nothing sensible.
    """
    version = values.pop("version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SettingsError(f"{where}: version: got {version!r}, expected 1 to {VERSION}")
    if version > VERSION:
        raise SettingsError(
            f"{where}: written for a later fmd (version {version}, this one reads {VERSION}); update fmd"
        )
    for number in range(version, VERSION):
        for told in STEPS[number](values):
            log.info("%s: version %d settings: %s", where, number, told)
    return values
