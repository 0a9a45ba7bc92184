"""From a frame's capture to the edge on the pin, in real time, on gpiozero's recording pins.

The service itself watches a camera that gives frames of the built-in scene at its pace, whether anybody comes for them
or not. The person is bare-faced until the lamp goes on and masked until it goes off, over and over: every change of the
lamp is one edge. Its latency runs from the moment the frame that led to it was captured (before the driver turned its
bytes into a frame) to the moment recorded by the pin. The bar is one frame interval (a frame may wait while the one
before is worked on) and one and a half times what detection and classification took (medians of the same run).

With ``--cameras`` others take turns with that one, each with somebody masked in view, and every camera is looked at as
often as settings allow, as if nobody ever stood still (``watch.gate`` is off). The bar has a detection and a
classification of each in it.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from bench import clips
from bench.measure import Figure, report
from edge import config
from edge.camera.supervisor import ThreadReader
from edge.contracts import Delivery, Frame, Image, Step
from edge.drivers.colour import frame_of_bgr
from edge.errors import RuntimeMissingError
from edge.reporting.listener import Listener
from edge.service import run as service
from edge.service.runtime import Runtime

BARE_S, MASKED_S = clips.Span(3.2, 5.4), clips.Span(6.0, 8.8)
"""When the scene's person stands bare-faced, and masked."""


class TogglingCamera:
    """Live: a frame every ``1 / fps`` seconds, bare-faced or ``masked``; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, clip: clips.Clip, fps: float, masked: bool = False) -> None:
        self._scenes = [self._swaying(clip, span) for span in (BARE_S, MASKED_S)]
        self._interval_s, self._due_s, self._index = 1 / fps, time.monotonic(), 0
        self.masked = masked

    @staticmethod
    def _swaying(clip: clips.Clip, span: clips.Span) -> Iterator[Image]:
        """To and fro through the span without an end."""
        frames = clip.frames[int(span.start_s * clip.fps) : int(span.end_s * clip.fps)]
        return itertools.cycle([*frames, *reversed(frames)])

    def read(self) -> Frame:
        """The next frame, when its time has come."""
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        captured_s = time.monotonic()
        self._due_s = max(self._due_s + self._interval_s, captured_s)
        self._index += 1
        return frame_of_bgr(next(self._scenes[self.masked]), captured_s, self._index)

    def close(self) -> None:
        """Nothing to give back."""


@dataclass
class Witness(Listener):
    """What the steps told: the frames that changed the alarm, and how long the networks took.

    ``dropped`` and ``observations`` are by camera.
    """

    wanted: int
    toggle: Callable[[bool], None]
    changed_s: list[float] = field(default_factory=list)
    detect_s: list[float] = field(default_factory=list)
    classify_s: list[float] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    observations: Counter[str] = field(default_factory=Counter)
    alarm: bool = False
    began_s: float = math.nan
    began_processor_s: float = math.nan
    lasted_s: float = math.nan
    processor_s: float = math.nan

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Note one step; raises EnoughError after as many edges as were wanted."""
        if step.observations:
            self.detect_s.append(step.timings_s.get("detect", 0.0))
            self.classify_s.append(step.timings_s["classify"] / len(step.observations))
        if not self.observations:
            self.began_s, self.began_processor_s = time.monotonic(), time.process_time()
        self.dropped[step.camera] = delivery.dropped
        self.observations[step.camera] += step.detected
        if step.camera not in ("", FIRST):
            return
        if step.alarm is not self.alarm:
            self.alarm = step.alarm
            self.toggle(step.alarm)
            self.changed_s.append(step.frame.captured_s)
            if len(self.changed_s) == self.wanted:
                self.lasted_s = time.monotonic() - self.began_s
                self.processor_s = time.process_time() - self.began_processor_s
                raise EnoughError


FIRST = "1"
"""Of several cameras, the one that the lamp's edges are of."""


class EnoughError(Exception):
    """As many edges as were asked for have been seen."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--edges", type=int, default=200, help="changes of the lamp; about one a second")
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2, help="model.threads (default: 2, as fmd's)")
    parser.add_argument("--cameras", type=int, default=1)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, judge."""
    clip, fps = clips.read(clips.SCENE), arguments.fps
    latency_s, witness = measured(clip, arguments.edges, fps, arguments.threads, arguments.cameras)
    return report(figures_of(latency_s, witness, 1 / fps, arguments.cameras))


def figures_of(latency_s: list[float], witness: Witness, interval_s: float, cameras: int = 1) -> list[Figure]:
    """Median and 99th percentile, against the interval and the networks' own time."""
    networks_s = float(np.median(witness.detect_s) + np.median(witness.classify_s))
    frames = cameras * witness.lasted_s / interval_s
    return [
        Figure("edges of the lamp", len(latency_s), ""),
        Figure("frames dropped as stale", 100 * sum(witness.dropped.values()) / frames, "%"),
        Figure("observations a second and camera", witness.observations.total() / cameras / witness.lasted_s, ""),
        Figure("processor time", 100 * witness.processor_s / witness.lasted_s, "% of one core"),
        Figure("detect + classify, median", 1000 * networks_s, "ms"),
        Figure("frame to GPIO edge, median", 1000 * float(np.median(latency_s)), "ms"),
        Figure(
            "frame to GPIO edge, 99th percentile",
            1000 * float(np.percentile(latency_s, 99)),
            "ms",
            1000 * (interval_s + 1.5 * cameras * networks_s),
        ),
    ]


def measured(clip: clips.Clip, edges: int, fps: float, threads: int, cameras: int = 1) -> tuple[list[float], Witness]:
    """Seconds from capture to edge, for every change of the lamp, with so many cameras taking turns."""
    factory = _recording_pins()
    changed: dict[str, Any] = {
        "alert.driver": "gpiozero",
        "camera.source": "v4l2",
        "camera.fps": fps,
        "model.threads": threads,
    }
    if cameras > 1:
        changed["watch.gate"] = False
        changed["camera.sources"] = {str(number): "v4l2" for number in range(1, cameras + 1)}
    settings = config.load(None, changed)
    camera = TogglingCamera(clip, fps)
    others = (TogglingCamera(clip, fps, masked=True) for _ in range(cameras - 1))
    opened = itertools.chain([camera], others)
    witness = Witness(edges, lambda alarm: setattr(camera, "masked", alarm))
    pin = factory.pin(settings.alert.led_pin)
    pin.clear_states()
    began_s = factory.ticks()
    runtime = Runtime(reader=lambda open_camera, ring: ThreadReader(partial(next, opened), ring))
    try:
        service.run(settings, [witness], runtime=runtime)
    except EnoughError:
        # Each state with the seconds since the one before; the first is the one it was made in.
        edges_s = began_s + np.cumsum([state.timestamp for state in pin.states])
        return _matched(witness.changed_s, edges_s[1 : edges + 1].tolist()), witness
    finally:
        factory.reset()
    # The camera has no end: the service was asked to stop, by a signal that it keeps to itself.
    raise KeyboardInterrupt


def _matched(changed_s: list[float], edges_s: list[float]) -> list[float]:
    """Edge k belongs to the frame that changed the alarm for the k-th time."""
    if len(edges_s) != len(changed_s):
        raise AssertionError(f"{len(changed_s)} changes of the alarm, {len(edges_s)} edges of the lamp")
    return [edge_s - frame_s for frame_s, edge_s in zip(changed_s, edges_s, strict=True)]


def _recording_pins() -> Any:
    os.environ["GPIOZERO_PIN_FACTORY"] = "mock"
    try:
        from gpiozero import Device
        from gpiozero.pins.mock import MockFactory
    except ImportError as error:
        raise RuntimeMissingError(f"gpiozero cannot be imported ({error}); pip install '.[pi]'") from error
    Device.pin_factory = MockFactory()
    return Device.pin_factory
