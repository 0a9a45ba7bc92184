"""Wrappers of cameras: one that simulates faults, for rehearsals, and one that plays a recording in real time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edge.contracts import Camera, Frame, Image
from edge.drivers.damage import DamagedPictures
from edge.errors import CameraError
from edge.faults import Fault, active

NOISE = 35
"""Number of values of a sensor's noise at full gain, as in the dark: standard deviation 10, mean 17."""
COVERED = (40, 80)
"""Brightness from left to right of a covered lens with light from one side, before the noise is added."""


class Faults:
    """Faults of one camera, kept while it is closed and reopened. ``clock`` gives the time of the run."""

    def __init__(self, faults: Sequence[Fault], clock: Callable[[], float], stall_s: float) -> None:
        self._faults, self._clock, self._started_s = faults, clock, clock()
        self.damaged = DamagedPictures("simulated camera", stall_s, clock)
        self.happened: set[Fault] = set()
        """Hangs and crashes that have happened: each happens once."""
        self.over = threading.Event()
        """Event that is never set: hanging reads wait for it."""

    def open(self, camera: Callable[[], Camera]) -> FaultyCamera:
        """Open ``camera`` unless a fault prevents it. Raises CameraError while the camera is unplugged."""
        self.apply()
        return FaultyCamera(camera(), self)

    def now(self) -> Fault | None:
        """Return the fault that is active now, or None."""
        return active(self._faults, self._clock() - self._started_s)

    def apply(self) -> Fault | None:
        """Wait through a stall, raise the error of an unplugged camera, or return any other fault that is active."""
        while (fault := self.now()) is not None:
            if fault.kind == "stall":
                self.over.wait(max(0.0, self._started_s + fault.until_s - self._clock()))
            elif fault.kind == "unplug":
                raise CameraError("the camera is unplugged (simulated)")
            else:
                return fault
        return None

    def is_first(self, fault: Fault) -> bool:
        """Return True for the first call with each fault."""
        new = fault not in self.happened
        self.happened.add(fault)
        return new


class FaultyCamera:
    """Camera with simulated faults; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, camera: Camera, faults: Faults) -> None:
        self._camera, self._faults = camera, faults
        self._last: Image | None = None

    def read(self) -> Frame | None:
        """Return the next frame, modified by the fault that is active."""
        frame = self._camera.read()
        while (fault := self._faults.apply()) is not None and fault.kind == "damage" and frame is not None:
            self._faults.damaged.skip()
            frame = self._camera.read()
        self._faults.damaged.good()
        if fault is None or frame is None:
            self._last = None
            return frame
        if fault.kind in ("hang", "crash"):
            if self._faults.is_first(fault):
                self._break(fault)
            return frame
        return self._degraded(frame, fault)

    def _break(self, fault: Fault) -> None:
        if fault.kind == "crash":
            raise RuntimeError("the camera's driver crashed (simulated)")
        self._faults.over.wait()

    def _degraded(self, frame: Frame, fault: Fault) -> Frame:
        if fault.kind == "freeze":
            self._last = frame.image if self._last is None else self._last
            return replace(frame, image=self._last, given_luma=None, small=None)
        return degraded(frame, fault.kind)

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()


def degraded(frame: Frame, kind: str) -> Frame:
    """Return the frame as a ``dark`` or covered (``cover``) lens would give it, with the noise of the sensor."""
    picture = np.random.default_rng(frame.index).integers(0, NOISE, frame.image.shape, dtype=np.uint8)
    if kind == "cover":
        picture += np.linspace(*COVERED, picture.shape[1], dtype=np.uint8)[:, np.newaxis]
    # The small pictures show the original view, so they are made again from the new one.
    return replace(frame, image=picture, given_luma=None, small=None)


class Paced:
    """Recording played as a live camera: each frame at its time, captured at the time of the run's clock."""

    live = True

    def __init__(self, camera: Camera, clock: Callable[[], float]) -> None:
        self._camera, self._clock, self._started_s = camera, clock, clock()
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        """Wait for the next frame to be due and return it; None at the end."""
        frame = self._camera.read()
        if frame is None:
            return None
        # An event and not a sleep, so that close() ends the wait.
        self._closed.wait(max(0.0, self._started_s + frame.captured_s - self._clock()))
        return replace(frame, captured_s=self._clock())

    def close(self) -> None:
        """Close the recording."""
        self._closed.set()
        self._camera.close()
