"""Whether a service runs with a runtime directory, and how to ask it for a reload.

systemd knows its own unit; any other service answers at its control socket. No process number is read from a file:
root would signal whatever process the file's writer names.
"""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

from edge import paths
from edge.control import Client, DoneReply, ReloadRequest, StateReply, StateRequest
from edge.errors import ControlError, SettingsError

UNIT = "fmd.service"
COMMAND_S = 90.0
"""Longest time for systemctl: a reload first checks settings and models, which takes long on a cold card."""


def is_served(folder: Path) -> bool:
    """Return whether a service runs with this runtime directory. Raises ControlError if this user may not ask it."""
    if _is_units(folder):
        return _systemctl("is-active", "--quiet", UNIT).returncode == 0
    try:
        with Client(folder) as client:
            client.ask(StateRequest(), StateReply)
    except ControlError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            return False
        raise
    return True


def is_installed() -> bool:
    """Return whether systemd knows the service on this machine, running or not."""
    return _systemctl("cat", UNIT).returncode == 0


def reload(folder: Path) -> None:
    """Have the service of this runtime directory read settings and models again.

    Raises SettingsError or ControlError if it refuses.
    """
    if not _is_units(folder):
        with Client(folder) as client:
            client.ask(ReloadRequest(), DoneReply)
        return
    done = _systemctl("reload", UNIT)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise SettingsError(f"systemctl reload fmd: {lines[-1]}; use sudo, and see the reason in: journalctl -u fmd")


def _is_units(folder: Path) -> bool:
    return folder == paths.RUNTIME and Path("/run/systemd/system").is_dir()


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, errno.ETIME, "", str(error))
