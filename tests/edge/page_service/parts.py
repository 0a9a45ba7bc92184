"""Parts for the tests of the page's socket: steps of the built-in scene, a door, a served socket."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edge import config
from edge.config import Settings
from edge.contracts import Delivery, Image, Step
from edge.control import Client
from edge.drivers.doorway import DoorwayCamera
from edge.page_messages import SOCKET, Reply
from edge.page_service.serving import RunParts, serving_page
from edge.reporting.listener import Listener, Listeners, report_step
from edge.reporting.live_state import LiveState
from edge.service.arming_control import ArmingControl, BoardClock
from edge.service.reloads import Reloads
from edge.service.run import build_pipeline
from edge.service.settings_keeper import SettingsKeeper
from edge.service.signals import RunControl
from edge.stages.alert import Alert
from simulation.outputs import RecordingOutput

LIVE = Delivery(late_s=0.01)


class PageClient(Client):
    """A client of the page's socket."""

    SOCKET = SOCKET
    REPLIES = Reply


def settings(**changed: Any) -> Settings:
    return config.load(None, {key.replace("__", "."): value for key, value in changed.items()})


@cache
def scene(until_s: float = 3.0) -> tuple[Step, ...]:
    """Return the steps of the built-in scene, from the real pipeline: a person without a mask walks up."""
    chosen = settings(camera__source="doorway")
    alert = Alert(chosen.alert, None, None)
    pipeline = build_pipeline(chosen, alert)
    camera = DoorwayCamera(chosen.camera, "", lambda: 0.0)
    steps = []
    while (frame := camera.read()) is not None and frame.captured_s < until_s:
        steps.append(pipeline.step(frame))
    return tuple(steps)


def with_faces() -> Step:
    """Return an inspected step with a decided person."""
    return next(step for step in reversed(scene()) if step.detected and step.faces and step.passages)


def not_inspected(step: Step, image: Image | None = None) -> Step:
    """Return a step of a later frame that the detector did not inspect."""
    shown = step.frame if image is None else replace(step.frame, image=image, given_luma=None)
    return replace(step, frame=replace(shown, given_luma=None), detected=False, faces=(), observations={}, decisions=())


def decoded(jpeg: bytes) -> Image:
    """Return a JPEG as (H, W, 3) RGB."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture[:, :, ::-1], np.uint8)


class Clock:
    """A clock that the test moves."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Door:
    """A door whose page is served: outputs, arming, recorded events, and what listens to its run."""

    alert: Alert
    arming: ArmingControl
    outputs: dict[str, RecordingOutput]
    events: list[tuple[str, Any]] = field(default_factory=list)
    listener: Listener = field(default_factory=lambda: Listeners([]))
    clock: Clock = field(default_factory=Clock)

    def tick(self, seconds: float) -> None:
        """Let time pass at the door."""
        self.clock.now_s += seconds
        self.alert.tick(self.clock.now_s)

    def show(self, *steps: Step) -> None:
        """Report steps as the loop does."""
        for step in steps:
            report_step(self.listener, step, LIVE)


@contextmanager
def served(folder: Path, group: int | None = None, state: Path | None = None, **changed: Any) -> Iterator[Door]:
    """Serve the page of a door in ``folder``."""
    chosen = settings(**{"camera__source": "doorway", **changed})
    names = ("led", "buzzer", "relay", "voice")
    outputs = {name: RecordingOutput(name, number, True) for number, name in enumerate(names, 17)}
    alert = Alert(chosen.alert, outputs["led"], outputs["buzzer"], outputs["relay"], voice=outputs["voice"])
    arming = ArmingControl(chosen, BoardClock(None, lambda: True, lambda: True))
    arming.attach(alert)
    door = Door(alert, arming, outputs)
    live = LiveState(door.clock)
    run = RunParts(
        live=live,
        arming=arming,
        note=lambda kind, content: door.events.append((kind, msgspec.to_builtins(content))),
        state=state,
        turns={},
        models=lambda settings: ("classifier stub", "detector stub"),
        options=(),
        version="1.2.3",
        repeats=logging.Filter(),
        reloads=Reloads(SettingsKeeper(lambda over: config.read(None, over=over)), RunControl()),
        clock=door.clock,
    )
    with serving_page(folder, run, group) as listener:
        door.listener = Listeners([live, listener])
        door.listener.on_settings(chosen)
        door.listener.on_models(())
        door.tick(0.0)
        yield door


def names(hints: Sequence[str]) -> list[str]:
    """Return the first words of hints."""
    return [hint.split(":")[0] for hint in hints]
