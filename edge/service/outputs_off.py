"""Switches every output off after fmd was killed and could not do so itself; the unit's ExecStopPost runs it.

The settings may have changed since fmd started, or be unreadable. So fmd records in its runtime directory which outputs
it drives, and these are switched off whatever the settings say now. systemd keeps that folder ($RUNTIME_DIRECTORY) in
memory; it survives a restart of the unit, but not its stop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge import config, drivers, migrate, state_file
from edge.config import AlertSettings, Settings
from edge.errors import OutputError, SettingsError
from edge.files import read_regular

log = logging.getLogger(__name__)

RECORD = "outputs.json"
BUSY_S = 1.0
"""How long fmd retries a pin that is in use: four such pins fit into the unit's TimeoutStopSec."""


def remember(settings: AlertSettings, folder: Path | None) -> None:
    """Record in ``folder`` which outputs are driven from now on; None records nothing."""
    if folder is None:
        return
    try:
        state_file.write_state(folder / RECORD, settings)
    except OSError as error:  # must not stop the watch
        log.warning("%s: %s; after a kill only the settings show what to switch off", folder / RECORD, error.strerror)


def recall(folder: Path | None) -> AlertSettings | None:
    """Return the record of the last run, also of an earlier version's, or None."""
    if folder is None:
        return None
    try:
        recorded = msgspec.json.decode(read_regular(folder / RECORD, state_file.MAX_STATE))
        # After an upgrade the unit runs this version over the record of the version before, which had other keys.
        values = migrate.current({"alert": recorded}, str(folder / RECORD))
        return msgspec.convert(values["alert"], AlertSettings)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def switch_off(load: Callable[[], Settings], folder: Path | None, root: Path = Path("/")) -> list[str]:
    """Switch off every output that fmd drove or would drive, even if some fail; return the names of these outputs.

    Outputs that this machine, a PC, cannot have are left out; ``root`` is the folder that holds dev, etc and proc.
    Raises OutputError with all outputs that failed, and SettingsError if neither record nor settings can be read. A
    heartbeat that fails is only logged.
    """
    failures, names = [], []
    for settings in _recorded_and_current(load, recall(folder)):
        for name, pin in config.wired(settings):
            if settings.driver == "auto" and not drivers.may_have(pin, root):
                continue
            names.append(name)
            try:
                drivers.open_output(settings, name, pin).close()
            except OutputError as error:
                if name == "heartbeat":  # a missing heartbeat LED must not fail the stop of the unit
                    log.warning("%s", error)
                else:
                    failures.append(str(error))
    if failures:
        raise OutputError("; ".join(dict.fromkeys(failures)))
    return list(dict.fromkeys(names))


def _recorded_and_current(load: Callable[[], Settings], recorded: AlertSettings | None) -> list[AlertSettings]:
    """Return the recorded and the current settings, once if they are equal."""
    found = [recorded] if recorded else []
    try:
        current = load().alert
    except SettingsError as error:
        if not found:
            raise
        log.warning("%s; switching off the recorded outputs", error)
    else:
        found += [current] if current != recorded else []
    return [msgspec.structs.replace(settings, busy_s=min(settings.busy_s, BUSY_S)) for settings in found]
