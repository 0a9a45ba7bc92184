"""Outputs off after fmd was killed and could not switch them off itself: what the unit's ExecStopPost runs.

The settings may have changed since fmd started, or no longer be readable at all; so fmd leaves word in its runtime
directory of what it drives, and that is switched off whatever the settings say now. The folder is systemd's
($RUNTIME_DIRECTORY), in memory, and gone with the unit, though not with a restart of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge import config, drivers, state_file
from edge.config import AlertSettings, Settings
from edge.errors import OutputError, SettingsError

log = logging.getLogger(__name__)

RECORD = "outputs.json"
BUSY_S = 1.0
"""How long a pin in use is tried again: four of them fit into the unit's TimeoutStopSec."""


def remember(settings: AlertSettings, folder: Path | None) -> None:
    """Leave word in ``folder`` of what is driven from now on."""
    if folder is None:
        return
    try:
        state_file.write_state(folder / RECORD, settings)
    except OSError as error:  # no reason to leave the door unwatched
        log.warning("%s: %s; after a kill only the settings say what to switch off", folder / RECORD, error.strerror)


def recall(folder: Path | None) -> AlertSettings | None:
    """What was driven last; None where no word was left."""
    return state_file.read_state(folder / RECORD, AlertSettings) if folder else None


def switch_off(load: Callable[[], Settings], folder: Path | None) -> None:
    """Every output off that fmd drove or would drive, whatever becomes of the others.

    Raises OutputError naming all that could not be switched off, but for a heartbeat, which is warned of; SettingsError
    where nothing says what there is.
    """
    troubles = []
    for settings in _told(load, recall(folder)):
        for name, pin in config.wired(settings):
            try:
                drivers.open_output(settings, name, pin).close()
            except OutputError as error:
                if name == "heartbeat":  # watched without: a lamp that is gone is no failed stop of the unit
                    log.warning("%s", error)
                else:
                    troubles.append(str(error))
    if troubles:
        raise OutputError("; ".join(dict.fromkeys(troubles)))


def _told(load: Callable[[], Settings], recorded: AlertSettings | None) -> list[AlertSettings]:
    """What was recorded and what the settings say, once where they agree."""
    told = [recorded] if recorded else []
    try:
        current = load().alert
    except SettingsError as error:
        if not told:
            raise
        log.warning("%s; switching off what fmd drove", error)
    else:
        told += [current] if current != recorded else []
    return [msgspec.structs.replace(settings, busy_s=min(settings.busy_s, BUSY_S)) for settings in told]
