"""What the running fmd does now, as one struct, and whether it goes on watching for a time.

:mod:`edge.commands.status` prints it, and ``fmd model install --watch`` goes back to the previous model by it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge.commands.config_change import PageSocket
from edge.contracts import CameraState
from edge.errors import ControlError
from edge.page_messages import CameraView, LiveReply, LiveRequest
from edge.reporting.status_file import ServiceStatus, read_status

log = logging.getLogger(__name__)

POLL_S = 1.0
"""Time between two samples, seconds."""
GRACE_S = 10.0
"""A problem that ends sooner is none: a reload, or a camera that is reopened."""
STALE_S = 5.0
"""Age from which a camera's newest picture is a problem, seconds."""


class CameraStatus(msgspec.Struct, frozen=True):
    """A camera: its state, how many pictures a second pass all stages, and the age of the newest in seconds."""

    name: str
    state: str
    per_s: float
    age_s: float | None


class DoorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a fmd does. ``healthy`` is true without ``problems``, each a line that says why people could pass unseen.

    ``state`` is the door's, ``models`` are file names by task, ``watched_s`` is for how long there was no problem.
    """

    healthy: bool
    problems: tuple[str, ...] = ()
    running: bool = True
    state: str = ""
    armed: bool = False
    version: str = ""
    models: dict[str, str] = {}
    cameras: tuple[CameraStatus, ...] = ()
    watched_s: float = 0.0


class Sample(NamedTuple):
    """A status and the number of the process that it is of, 0 if none runs."""

    status: DoorStatus
    pid: int


def read(runtime: Path, expected: Mapping[str, str] | None = None) -> Sample:
    """Return what the fmd of a runtime directory does; another model than ``expected`` (by task) is a problem.

    A fmd that does not run or answer is a problem as well. Raises ControlError only if this user may not ask.
    """
    try:
        with PageSocket(runtime) as client:
            live = client.ask(LiveRequest(), LiveReply)
    except ControlError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        return Sample(DoorStatus(healthy=False, problems=(str(error),), running=False), 0)
    service = read_status(runtime)
    models = dict(model.split(" ", 1) for model in live.models if " " in model)
    problems = tuple(_problems(live, service, models, expected or {}))
    status = DoorStatus(
        healthy=not problems,
        problems=problems,
        state=live.state,
        armed=live.arming.armed,
        version=live.version,
        models=models,
        cameras=tuple(CameraStatus(each.name, _state(each), each.per_s, each.age_s) for each in live.cameras),
    )
    return Sample(status, service.pid if service else 0)


def watched(
    runtime: Path,
    seconds: float,
    expected: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    sample: Callable[[Path, Mapping[str, str] | None], Sample] = read,
) -> DoorStatus:
    """Return the status after ``seconds``, or as soon as a problem lasts for :data:`GRACE_S` or fmd has restarted.

    Raises ControlError if this user may not ask.
    """
    began_s = well_s = clock()
    first = now = sample(runtime, expected)
    while clock() < began_s + seconds:
        if now.status.healthy:
            well_s = clock()
        elif clock() - well_s >= GRACE_S:
            break
        sleep(min(POLL_S, max(0.0, began_s + seconds - clock())))
        before, now = now, sample(runtime, expected)
        if now.status.problems != before.status.problems:
            log.info("%s", "; ".join(now.status.problems) or "no problem any more")
        if first.pid and now.pid and now.pid != first.pid:
            return _ended(now.status, clock() - began_s, f"fmd was restarted (process {first.pid}, now {now.pid})")
    return _ended(now.status, clock() - began_s if seconds else 0.0)


def _ended(status: DoorStatus, watched_s: float, *more: str) -> DoorStatus:
    problems = (*more, *status.problems)
    return msgspec.structs.replace(status, healthy=not problems, problems=problems, watched_s=round(watched_s, 1))


def _problems(
    live: LiveReply, service: ServiceStatus | None, models: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[str]:
    if not live.cameras:
        yield "no camera is watched"
    for camera in live.cameras:
        name = f"camera {camera.name}" if camera.name else "camera"
        if (state := _state(camera)) != CameraState.STREAMING.value:
            reason = camera.health.reason if camera.health else ""
            yield f"{name}: {state}{reason and f', {reason}'}"
        elif camera.age_s is not None and camera.age_s > STALE_S:
            yield f"{name}: the newest picture that passed all stages is {camera.age_s:.0f} s old"
        if camera.health and camera.health.slow:
            yield f"{name}: {camera.health.slow}"
    for fallback in service.fallbacks if service else ():
        yield f"{fallback.task}: uses {fallback.used} instead of {fallback.wanted}: {fallback.reason}"
    for task, name in expected.items():
        if models.get(task) != name:
            yield f"{task}: uses {models.get(task, 'none')}, expected {name}"


def _state(camera: CameraView) -> str:
    """Return a camera's state. A recording has no health, and streams as soon as its first picture has passed."""
    if camera.picture == 0:
        return CameraState.STARTING.value
    return camera.health.state if camera.health else CameraState.STREAMING.value
