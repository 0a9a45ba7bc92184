"""Camera of a simulated door: gives the scene's frames in real time, or what a fault leaves of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from edge.contracts import Frame, luma_of
from edge.errors import CameraError
from simulation.fleet.scene import Pictures, Scene

FAULTS = ("stalled", "lost", "frozen", "dark")
"""Faults of a camera: no frame comes, the device is gone, the same picture comes again, black pictures come."""
STALL_S = 3.0
"""Time after which a stalled device's read fails, as drivers' reads do."""


class SimulatedDevice:
    """The device of one door. ``fault`` is one of :data:`FAULTS`, or empty; any thread may set it."""

    def __init__(self, scene: Scene, pictures: Pictures, fps: float, clock: Callable[[], float]) -> None:
        self.scene, self.pictures, self.fps, self.clock = scene, pictures, fps, clock
        self.fault = ""

    def open(self) -> SimulatedCamera:
        """Return the opened camera. Raises CameraError if the device is gone."""
        if self.fault == "lost":
            raise CameraError("the device is gone")
        return SimulatedCamera(self)


class SimulatedCamera:
    """An opened device; see :class:`edge.contracts.Camera`."""

    live = True

    def __init__(self, device: SimulatedDevice) -> None:
        self._device, self._index = device, 0
        self._due_s = device.clock()
        self._still: Frame | None = None
        self._closed = threading.Event()

    def read(self) -> Frame:
        """Wait for the next frame. Raises CameraError if the device is gone, or gives none for STALL_S."""
        device = self._device
        self._due_s += 1 / device.fps
        self._closed.wait(max(0.0, self._due_s - device.clock()))
        now_s = device.clock()
        # A machine that could not keep up gives fewer frames; it does not deliver the missed ones in a burst.
        self._due_s = max(self._due_s, now_s - 1 / device.fps)
        self._wait_while_stalled()
        self._index += 1
        return self._frame(device.clock())

    def close(self) -> None:
        """See :class:`edge.contracts.Camera`."""
        self._closed.set()

    def _wait_while_stalled(self) -> None:
        waited_s, step_s = 0.0, 1 / self._device.fps
        while self._device.fault == "stalled" and not self._closed.wait(step_s):
            waited_s += step_s
            if waited_s >= STALL_S:
                raise CameraError(f"no picture for {STALL_S:g} s")

    def _frame(self, now_s: float) -> Frame:
        device, fault = self._device, self._device.fault
        if fault == "lost":
            raise CameraError("the device is gone")
        frame = device.pictures.frame(device.scene, now_s, self._index)
        if fault == "dark":
            black = np.zeros_like(frame.image)
            return Frame(black, luma_of(black), now_s, self._index)
        if fault != "frozen":
            self._still = None
            return frame
        self._still = self._still or frame
        return Frame(self._still.image, self._still.given_luma, now_s, self._index)
