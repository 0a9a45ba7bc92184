"""Camera -> frame: the newest one only, and never a wait without end.

A live camera is read in a thread of its own, because reads block in drivers and kernels beyond anybody's reach; the
loop takes the newest frame and waits no longer than ``stall_s``. Clips and folders are read frame by frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from edge.contracts import Camera, Frame
from edge.errors import CameraError


class Capture:
    """Frames of one camera. ``dropped`` counts those that were stale before the loop came for them."""

    def __init__(self, camera: Camera, stall_s: float) -> None:
        self._camera, self._stall_s = camera, stall_s
        self.dropped = 0
        self.read: Callable[[], Frame | None] = self._newest if camera.live else camera.read
        self._fresh = threading.Condition()
        self._frame: Frame | None = None
        self._error: BaseException | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._keep_reading, name="camera", daemon=True)
        if camera.live:
            self._thread.start()

    @property
    def live(self) -> bool:
        """True where frames keep coming whether read or not."""
        return self._camera.live

    def close(self) -> None:
        """Stop reading and give the camera back; a read that hangs is left behind with its thread."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join(self._stall_s)
            if self._thread.is_alive():
                return
        self._camera.close()

    def _newest(self) -> Frame | None:
        """The newest frame not seen yet; None at the end; CameraError where none comes within ``stall_s``."""
        with self._fresh:
            got = self._fresh.wait_for(lambda: self._frame is not None or self._error is not None, self._stall_s)
            if self._error is not None:
                raise self._error
            if not got:
                raise CameraError(
                    f"the camera gave no picture for {self._stall_s:g} s; check its cable and power, then restart fmd"
                )
            frame, self._frame = self._frame, None
            return frame

    def _keep_reading(self) -> None:
        while not self._stopping:
            try:
                frame = self._camera.read()
                if frame is None:
                    raise CameraError("the camera ended its stream; check its cable and power")
            # Whatever breaks here must reach the loop, which is the one to tell it; a dead thread tells nobody.
            except Exception as error:  # noqa: BLE001
                with self._fresh:
                    self._error = error
                    self._fresh.notify()
                return
            with self._fresh:
                self.dropped += self._frame is not None
                self._frame = frame
                self._fresh.notify()
