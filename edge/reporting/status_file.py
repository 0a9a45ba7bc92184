"""``status.json`` in the runtime directory: what the running service says of its cameras, for the doctor and the page.

It is in memory, so it may be written at every change. A file of a process that no longer runs counts for nothing.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from edge import config, state_file
from edge.config import Settings
from edge.contracts import CameraState, Delivery, Health, Step
from edge.reporting.listener import Listener

log = logging.getLogger(__name__)

NAME = "status.json"


class CameraStatus(msgspec.Struct, frozen=True):
    """State of one camera. ``camera`` is empty if there is only one; ``since_s`` is on the boot's monotonic clock.

    ``hint`` says what is wrong with a camera that works, such as faces that are all too small.
    """

    camera: str
    state: str
    reason: str = ""
    slow: str = ""
    since_s: float = 0.0
    hint: str = ""


class ServiceStatus(msgspec.Struct, frozen=True):
    """What a running service reports. ``watching`` is true while frames of every camera pass all stages."""

    pid: int
    watching: bool
    cameras: tuple[CameraStatus, ...]


class StatusFile(Listener):
    """Keeps the file up to date. A folder of None (not under systemd) writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / NAME if folder else None
        self._cameras: dict[str, CameraStatus] = {}
        self._stepped: set[str] = set()

    def on_settings(self, settings: Settings) -> None:
        """Begin again with the cameras of these settings."""
        names = config.cameras(settings.camera)
        # Cameras of the settings before would stay in the file for ever.
        self._cameras = {name: CameraStatus(name, CameraState.STARTING.value) for name in names}
        self._stepped = set()
        self._write()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """A camera's first step may complete what "watching" needs; later ones change nothing."""
        if step.camera not in self._stepped:
            self._stepped.add(step.camera)
            self._write()

    def on_health(self, health: Health) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        before = self._cameras.get(health.camera)
        hint = before.hint if before else ""
        self._cameras[health.camera] = CameraStatus(
            health.camera, health.state.value, health.reason, health.slow, health.since_s, hint
        )
        self._write()

    def set_hint(self, camera: str, hint: str) -> None:
        """Set the hint about a camera; an empty one removes it."""
        self._cameras[camera] = msgspec.structs.replace(self._cameras[camera], hint=hint)
        self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        # A recording has no health: it is watched as soon as its first frame has passed.
        passing = CameraState.STREAMING.value, CameraState.STARTING.value
        watching = self._stepped >= self._cameras.keys() and all(c.state in passing for c in self._cameras.values())
        try:
            status = ServiceStatus(os.getpid(), watching, tuple(self._cameras.values()))
            state_file.write_state(self._file, status, for_all=True)
        except OSError as error:
            log.warning("%s: %s; fmd doctor will not know the state of the cameras", self._file, error.strerror)


def read_status(folder: Path) -> ServiceStatus | None:
    """Return what the running service reports in its runtime directory, or None if none runs."""
    status = state_file.read_state(folder / NAME, ServiceStatus)
    if status is None:
        return None
    try:
        os.kill(status.pid, 0)
    except PermissionError:
        return status  # it runs, as another user
    except OSError:
        return None
    return status
