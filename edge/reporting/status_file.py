"""``status.json`` in the runtime directory: what the running service says of its cameras, for the doctor and the page.

It is in memory, so it may be written at every change. A file of a process that no longer runs counts for nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge import config, state_file
from edge.config import Settings
from edge.contracts import CameraState, Delivery, Health, ModelFallback, Step
from edge.messages import ArmingMessage, ModelMessage, model_message
from edge.reporting.listener import Listener
from edge.reporting.live_state import LiveState

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
    """What a running service reports. ``watching`` is true while frames of every camera pass all stages.

    ``arming`` is None if an earlier version wrote the file. ``fallbacks`` are the tasks that do not use their installed
    model.
    """

    pid: int
    watching: bool
    cameras: tuple[CameraStatus, ...]
    arming: ArmingMessage | None = None
    fallbacks: tuple[ModelMessage, ...] = ()


class StatusFile(Listener):
    """Keeps the file up to date with ``live``, which must have received each event before.

    A folder of None (not under systemd) writes nothing.
    """

    def __init__(self, folder: Path | None, live: LiveState) -> None:
        self._file, self._live = folder / NAME if folder else None, live
        self._names: tuple[str, ...] = ()
        self._stepped: set[str] = set()
        self._fallbacks: tuple[ModelMessage, ...] = ()

    def on_settings(self, settings: Settings) -> None:
        """Begin again with the cameras of these settings."""
        self._names, self._stepped = tuple(config.cameras(settings.camera)), set()
        self._write()

    def on_models(self, fallbacks: Sequence[ModelFallback]) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        self._fallbacks = tuple(map(model_message, fallbacks))
        self._write()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """A camera's first step may complete what "watching" needs; later ones change nothing."""
        if step.camera not in self._stepped:
            self._stepped.add(step.camera)
            self._write()

    def on_health(self, health: Health) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        self._write()

    def on_arming(self, arming: ArmingMessage) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        self._write()

    def on_hint(self, camera: str, kind: str, hint: str) -> None:
        """See :class:`edge.reporting.listener.Listener`."""
        self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        healths = {health.camera: health for health in self._live.healths()}
        cameras = tuple(_status_of(name, healths.get(name), self._live.hint(name)) for name in self._names)
        # A recording has no health: it is watched as soon as its first frame has passed.
        passing = CameraState.STREAMING.value, CameraState.STARTING.value
        watching = all(self._live.latest(one.camera) is not None and one.state in passing for one in cameras)
        try:
            status = ServiceStatus(os.getpid(), watching, cameras, self._live.arming, self._fallbacks)
            state_file.write_state(self._file, status, for_all=True)
        except OSError as error:
            log.warning("%s: %s; fmd doctor will not know the state of the cameras", self._file, error.strerror)


def _status_of(name: str, health: Health | None, hint: str) -> CameraStatus:
    if health is None:
        return CameraStatus(name, CameraState.STARTING.value, hint=hint)
    return CameraStatus(name, health.state.value, health.reason, health.slow, health.since_s, hint)


def read_status(folder: Path) -> ServiceStatus | None:
    """Return what the running service reports in its runtime directory, or None if none runs."""
    status = state_file.read_state(folder / NAME, ServiceStatus)
    return status if status and state_file.is_running(status.pid) else None
