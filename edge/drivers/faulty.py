"""Any camera with faults laid over it, to rehearse what a door does about them; and any recording at its own speed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edge.contracts import Camera, Frame, Image
from edge.errors import CameraError
from edge.faults import Fault, active

NOISE = 35
"""So many values has the noise of a sensor at full gain, as in the dark it is: standard deviation 10, mean 17."""
COVERED = (40, 80)
"""Brightness from left to right of a lens with a hand on it, and light from one side; the noise comes on top."""


class Faults:
    """What goes wrong with one camera, however often it is opened again. ``clock`` gives the time of the run."""

    def __init__(self, faults: Sequence[Fault], clock: Callable[[], float]) -> None:
        self._faults, self._clock, self._started_s = faults, clock, clock()
        self.met: set[Fault] = set()
        """Hangs and crashes that have happened."""
        self.over = threading.Event()
        """Never set: hanging reads wait for it."""

    def open(self, camera: Callable[[], Camera]) -> FaultyCamera:
        """Open ``camera``, as far as faults let it. Raises CameraError while it is unplugged."""
        self.meet()
        return FaultyCamera(camera(), self)

    def now(self) -> Fault | None:
        """The fault of this moment."""
        return active(self._faults, self._clock() - self._started_s)

    def meet(self) -> Fault | None:
        """Suffer what keeps a camera from giving anything; returns what it gives pictures in spite of."""
        while (fault := self.now()) is not None:
            if fault.kind == "stall":
                self.over.wait(max(0.0, self._started_s + fault.until_s - self._clock()))
            elif fault.kind == "unplug":
                raise CameraError("the camera is unplugged (simulated)")
            else:
                return fault
        return None

    def first(self, fault: Fault) -> bool:
        """True once for every fault."""
        new = fault not in self.met
        self.met.add(fault)
        return new


class FaultyCamera:
    """A camera while things go wrong with it; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, camera: Camera, faults: Faults) -> None:
        self._camera, self._faults = camera, faults
        self._last: Image | None = None

    def read(self) -> Frame | None:
        """The next frame, or what the fault of the moment makes of it."""
        frame = self._camera.read()
        fault = self._faults.meet()
        if fault is None or frame is None:
            self._last = None
            return frame
        if fault.kind in ("hang", "crash"):
            if self._faults.first(fault):
                self._break(fault)
            return frame
        return self._spoilt(frame, fault)

    def _break(self, fault: Fault) -> None:
        if fault.kind == "crash":
            raise RuntimeError("the camera's driver crashed (simulated)")
        self._faults.over.wait()

    def _spoilt(self, frame: Frame, fault: Fault) -> Frame:
        if fault.kind == "freeze":
            self._last = frame.image if self._last is None else self._last
            return replace(frame, image=self._last, given_luma=None, small=None)
        return spoilt(frame, fault.kind)

    def close(self) -> None:
        """Give the camera back."""
        self._camera.close()


def spoilt(frame: Frame, kind: str) -> Frame:
    """The frame as a ``dark`` or covered (``cover``) lens would give it, the noise of the sensor included."""
    picture = np.random.default_rng(frame.index).integers(0, NOISE, frame.image.shape, dtype=np.uint8)
    if kind == "cover":
        picture += np.linspace(*COVERED, picture.shape[1], dtype=np.uint8)[:, np.newaxis]
    return replace(frame, image=picture, given_luma=None, small=None)


class Paced:
    """A recording as if it were a live camera: each frame when its time has come, and timed by the run's clock."""

    live = True

    def __init__(self, camera: Camera, clock: Callable[[], float]) -> None:
        self._camera, self._clock, self._started_s = camera, clock, clock()
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        """The next frame, when it is due; None at the end."""
        frame = self._camera.read()
        if frame is None:
            return None
        self._closed.wait(max(0.0, self._started_s + frame.captured_s - self._clock()))
        return replace(frame, captured_s=self._clock())

    def close(self) -> None:
        """Close the recording."""
        self._closed.set()
        self._camera.close()
