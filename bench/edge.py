"""Latency from a frame's capture to the edge on the pin, in real time, on gpiozero's recording pins.

The service itself watches a camera that gives frames of the built-in scene at its own rate, taken or not. The person
wears no mask until the LED goes on, and a mask until it goes off, over and over: every change of the LED is one edge.
Its latency starts when the frame that led to it is captured, before the driver makes a frame of the bytes. It ends at
the time that the pin records. The bar is one frame interval, as a frame may wait for the one before. To that it adds
one and a half times detection and classification (medians of the same run).

With ``--cameras`` other cameras take turns with that one, each with a person with a mask in view. ``watch.gate`` is
off: the detector runs as often as the settings allow, as if the people never stood still. The bar then has a detection
and a classification for each camera.
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
from bench.measure import Measurement, report
from edge import config
from edge.camera.supervisor import ThreadReader
from edge.contracts import Delivery, Frame, Image, Step
from edge.drivers.colour import frame_of_bgr
from edge.errors import RuntimeMissingError
from edge.reporting.listener import Listener
from edge.service import run as service
from edge.service.runtime import Runtime

NO_MASK_S, MASK_S = clips.Interval(3.2, 5.4), clips.Interval(6.0, 8.8)
"""Parts of the scene in which the person stands without a mask, and with one."""


class TogglingCamera:
    """A live :class:`edge.contracts.Camera`: a frame every ``1 / fps`` s; the person wears a mask if ``masked``."""

    live = True

    def __init__(self, clip: clips.LoadedClip, fps: float, masked: bool = False) -> None:
        self._scenes = [self._swaying(clip, interval) for interval in (NO_MASK_S, MASK_S)]
        self._interval_s, self._due_s, self._index = 1 / fps, time.monotonic(), 0
        self.masked = masked

    @staticmethod
    def _swaying(clip: clips.LoadedClip, interval: clips.Interval) -> Iterator[Image]:
        """Return an endless iterator forwards and backwards through a part of the clip."""
        frames = clip.frames[int(interval.start_s * clip.fps) : int(interval.end_s * clip.fps)]
        return itertools.cycle([*frames, *reversed(frames)])

    def read(self) -> Frame:
        """Wait until the next frame is due and return it."""
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        captured_s = time.monotonic()
        # After a late read the schedule continues from now, as with a camera: missed frames do not pile up.
        self._due_s = max(self._due_s + self._interval_s, captured_s)
        self._index += 1
        return frame_of_bgr(next(self._scenes[self.masked]), captured_s, self._index)

    def close(self) -> None:
        """Do nothing: there is no device to release."""


@dataclass
class StepRecorder(Listener):
    """Records the frames that changed the alarm, and the duration of the networks. Times are seconds.

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
        """Record one step; raises EnoughError after ``wanted`` edges."""
        if step.observations:
            self.detect_s.append(step.timings_s.get("detect", 0.0))
            self.classify_s.append(step.timings_s["classify"] / len(step.observations))
        # The clocks start with the first step: opening cameras and models does not count.
        if not self.observations:
            self.began_s, self.began_processor_s = time.monotonic(), time.process_time()
        self.dropped[step.camera] = delivery.dropped
        self.observations[step.camera] += step.detected
        # Only the first camera's person changes; the LED's edges are all its own.
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
"""Name of the camera, of several, that drives the LED."""


class EnoughError(Exception):
    """Raised once the requested number of edges has been recorded."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--edges", type=int, default=200, help="changes of the LED; about one a second (default: %(default)s)"
    )
    parser.add_argument("--fps", type=float, default=15.0, help="camera.fps (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="model.threads (default: %(default)s, as fmd's)")
    parser.add_argument("--cameras", type=int, default=1, help="cameras that take turns (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the measurements, and return 1 if a bar is missed."""
    clip, fps = clips.read(clips.SCENE), arguments.fps
    latency_s, recorder = measured(clip, arguments.edges, fps, arguments.threads, arguments.cameras)
    return report(measurements_of(latency_s, recorder, 1 / fps, arguments.cameras))


def measurements_of(
    latency_s: list[float], recorder: StepRecorder, interval_s: float, cameras: int = 1
) -> list[Measurement]:
    """Return median and 99th percentile of the latency, against the frame interval and the networks' time."""
    networks_s = float(np.median(recorder.detect_s) + np.median(recorder.classify_s))
    frames = cameras * recorder.lasted_s / interval_s
    return [
        Measurement("edges of the LED", len(latency_s), ""),
        Measurement("frames dropped as stale", 100 * sum(recorder.dropped.values()) / frames, "%"),
        Measurement(
            "observations a second and camera", recorder.observations.total() / cameras / recorder.lasted_s, ""
        ),
        Measurement("processor time", 100 * recorder.processor_s / recorder.lasted_s, "% of one core"),
        Measurement("detect + classify, median", 1000 * networks_s, "ms"),
        Measurement("frame to GPIO edge, median", 1000 * float(np.median(latency_s)), "ms"),
        Measurement(
            "frame to GPIO edge, 99th percentile",
            1000 * float(np.percentile(latency_s, 99)),
            "ms",
            1000 * (interval_s + 1.5 * cameras * networks_s),
        ),
    ]


def measured(
    clip: clips.LoadedClip, edges: int, fps: float, threads: int, cameras: int = 1
) -> tuple[list[float], StepRecorder]:
    """Return the seconds from capture to edge for every change of the LED, with ``cameras`` that take turns."""
    factory = _recording_pins()
    changed: dict[str, Any] = {
        "alert.driver": "gpiozero",
        "camera.source": "v4l2",
        "camera.fps": fps,
        "model.threads": threads,
    }
    if cameras > 1:
        # With the gate on, cameras with nothing new would cost next to nothing.
        changed["watch.gate"] = False
        changed["camera.sources"] = {str(number): "v4l2" for number in range(1, cameras + 1)}
    settings = config.load(None, changed)
    camera = TogglingCamera(clip, fps)
    others = (TogglingCamera(clip, fps, masked=True) for _ in range(cameras - 1))
    opened = itertools.chain([camera], others)
    recorder = StepRecorder(edges, lambda alarm: setattr(camera, "masked", alarm))
    pin = factory.pin(settings.alert.led_pin)
    pin.clear_states()
    began_s = factory.ticks()
    runtime = Runtime(reader=lambda open_camera, ring: ThreadReader(partial(next, opened), ring))
    try:
        service.run(settings, [recorder], runtime=runtime)
    except EnoughError:
        # Each state has the seconds since the one before. The first is the state at construction, and no edge.
        edges_s = began_s + np.cumsum([state.timestamp for state in pin.states])
        return _matched(recorder.changed_s, edges_s[1 : edges + 1].tolist()), recorder
    finally:
        factory.reset()
    # The camera has no end. So a signal stopped the service, which has handled it: the user wants the bench to stop.
    raise KeyboardInterrupt


def _matched(changed_s: list[float], edges_s: list[float]) -> list[float]:
    """Return the latency of each edge: edge k belongs to the frame that changed the alarm for the k-th time."""
    if len(edges_s) != len(changed_s):
        raise AssertionError(f"{len(changed_s)} changes of the alarm, {len(edges_s)} edges of the LED")
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
