"""Camera -> frame: the newest one only, without an endless wait; a camera that fails is opened again.

A live camera is opened and read in a thread of its own: both block in drivers and in the kernel, where nothing can
interrupt them. :class:`CameraSupervisor` checks what the thread brings, sets the camera's state, and starts another
thread if the camera must be opened again. It never waits and reads no clock.

    no picture for stall_s, or an error   opened again at once, then RETRY_S after each failure; after a stall the
                                          second picture ends it
    the same picture for frozen_s         not passed on until it has changed twice; opened again at once, then ever
                                          more rarely, unless it has worked for a minute
    black, or covered, for dark_s         passed on (there may be people in a dark room); opened again ever more rarely

A thread whose read never returns cannot be ended: it is left behind, and closes its camera if it ever returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge import config
from edge.camera.picture import PictureMonitor
from edge.config import CameraSettings
from edge.contracts import Camera, CameraState, Frame, Health
from edge.errors import CameraError, SourceEndedError
from edge.reading import read_frames

RETRY_S = 0.4
"""Time between two attempts to open a lost camera: one costs little, and fmd must notice its return within a second."""
REOPEN_S = (10.0, 600.0)
"""First and longest wait before a camera whose pictures are frozen or dark is opened again; the wait doubles."""
STEADY_S = 60.0
"""Time since it was opened again after which the next fault of a camera counts as its first."""
CLOSE_WAIT_S = 1.0
"""Time that a released camera has to close; after that it is opened again even if it has not."""
SPARSE_ATTEMPTS = 2
"""Attempts in a row with a single picture that make a slow camera more likely than a broken one."""
MAX_STUCK = 3
"""Largest number of threads left behind; with more, only another process helps."""


class Reader(Protocol):
    """Opens a camera and reads it outside of the caller's thread."""

    def take(self) -> Frame | None:
        """Return the newest frame not taken yet, or None.

        Raises once what opening or reading raised, and SourceEndedError at the end of the source.
        """

    @property
    def dropped(self) -> int:
        """Number of frames that were stale before they were taken."""

    @property
    def running(self) -> bool:
        """Whether the reader still reads, or its last read has not returned yet."""

    def stop(self) -> None:
        """Stop reading, and close the camera as soon as the current read returns."""

    def join(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for the camera to be closed."""


class ThreadReader:
    """A :class:`Reader` with a thread of its own, which calls ``notify`` whenever there is something to take."""

    def __init__(self, open_camera: Callable[[], Camera], notify: Callable[[], None]) -> None:
        self._open, self._notify = open_camera, notify
        self._lock = threading.Lock()
        self._frame: Frame | None = None
        self._error: Exception | None = None
        self._stopping = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="camera", daemon=True)
        self._thread.start()

    def take(self) -> Frame | None:
        """See :class:`Reader`."""
        with self._lock:
            error, self._error = self._error, None
            frame, self._frame = self._frame, None
        if error is not None:
            raise error
        return frame

    @property
    def running(self) -> bool:
        """See :class:`Reader`."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """See :class:`Reader`."""
        self._stopping = True

    def join(self, timeout_s: float) -> None:
        """See :class:`Reader`."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        error = read_frames("the camera's thread", self._open, self._keep, lambda: self._stopping)
        if error is not None:
            with self._lock:
                self._error = error
            self._notify()

    def _keep(self, camera: Camera, frame: Frame) -> None:
        with self._lock:
            self.dropped += self._frame is not None
            self._frame = frame
        self._notify()


@dataclass
class _Attempt:
    """One attempt to open and read the camera."""

    reader: Reader
    since_s: float
    fresh_s: float | None = None
    """Time of its newest picture; None before the first."""
    pictures: int = 0


class CameraSupervisor:
    """Supervises one live camera. The caller passes the time; only :meth:`close` waits."""

    def __init__(
        self, settings: CameraSettings, start: Callable[[], Reader], now_s: float, frozen_s: float, name: str = ""
    ) -> None:
        """``start`` opens the camera in a new reader; one picture may stay the same for ``frozen_s``."""
        self._settings, self._start, self._name = settings, start, name
        self._stall_s, self._sparse = config.stall_s(settings), 0
        self._monitor = PictureMonitor(settings, frozen_s)
        self._attempt: _Attempt | None = _Attempt(start(), now_s)
        self._left_behind: list[Reader] = []
        self._previous: Reader | None = None
        self._reopen_at_s = self._closing_until_s = float("inf")
        self._reopen_wait_s, self._reopened_s = REOPEN_S[0], float("-inf")
        self._dropped = 0
        self._worked_s: float | None = None
        self._began_s = now_s
        self._error: Exception | None = None
        self.health = Health(name, CameraState.STARTING, now_s)
        self.ended = False
        """Whether the source, a recording played as if it were live, has ended."""

    @property
    def dropped(self) -> int:
        """Number of frames that were stale before they were taken, over all attempts."""
        return self._dropped + (self._attempt.reader.dropped if self._attempt else 0)

    def poll(self, now_s: float) -> Frame | None:
        """Return the newest frame not returned yet, or None; :attr:`health` then has the reason."""
        if now_s >= self._reopen_at_s:
            self._open_again(now_s)
        if self._attempt is None or self.ended:
            return None
        try:
            frame = self._attempt.reader.take()
        except SourceEndedError:
            self.ended = True
            return None
        # A bug in a driver is a camera fault like any other: it is reported, and the camera is opened again.
        except Exception as error:  # noqa: BLE001
            self._lost(self._attempt, error, now_s)
            return None
        if frame is None:
            self._check_patience(self._attempt, now_s)
            return None
        self._attempt.fresh_s = now_s
        self._attempt.pictures += 1
        return self._checked(frame, now_s)

    def given_up(self, now_s: float, patience_s: float = 0.0) -> Exception | None:
        """Return the error for which the service gives the camera up, or None.

        That is: no picture for ``give_up_s``, or no first picture for ``patience_s``. A dark camera is never given up,
        because another process would see no more.
        """
        if self.health.state in (CameraState.STREAMING, CameraState.DARK, CameraState.STARTING):
            return None
        since_s, limit_s = self._began_s, patience_s
        if self._worked_s is not None:
            since_s, limit_s = self._worked_s, self._settings.give_up_s
        if now_s - since_s < limit_s:
            return None
        return self._error or CameraError(self.health.reason)

    def stop(self) -> None:
        """Start to close the camera, without waiting."""
        if self._attempt is not None:
            self._attempt.reader.stop()

    def close(self, timeout_s: float) -> None:
        """Stop reading and close the camera, waiting up to ``timeout_s``; a read that hangs is left behind."""
        self.stop()
        if self._attempt is not None:
            self._attempt.reader.join(timeout_s)

    def _lost(self, attempt: _Attempt, error: Exception, now_s: float) -> None:
        # A camera that does not open while an earlier read of this process hangs in it is not lost.
        held = self.health.blind and attempt.fresh_s is None and any(reader.running for reader in self._left_behind)
        self._release(now_s)
        self._error, self._reopen_at_s = error, now_s + (RETRY_S if self.health.blind else 0.0)
        if not held:
            self._set_health(CameraState.LOST, str(error) if isinstance(error, OSError) else repr(error), now_s)

    def _check_patience(self, attempt: _Attempt, now_s: float) -> None:
        if attempt.fresh_s is not None:
            if now_s - attempt.fresh_s >= self._stall_s:
                self._sparse = self._sparse + 1 if attempt.pictures == 1 else 0
                self._stalled(self._stall_s, now_s, now_s)
        elif now_s - attempt.since_s >= self._settings.open_s and self._reopen_at_s > now_s + RETRY_S:
            self._sparse = 0
            self._stalled(self._settings.open_s, now_s, now_s + RETRY_S)

    def _stalled(self, after_s: float, now_s: float, reopen_at_s: float) -> None:
        self._reopen_at_s = reopen_at_s
        reason = f"the camera gave no picture for {after_s:g} s; check its cable and power"
        if self._sparse >= SPARSE_ATTEMPTS:
            reason = (
                f"the camera gives one picture whenever it is opened, and no second one within {after_s:g} s; if it is "
                "that slow, set its rate as camera.fps, or increase camera.stall_s; else check its cable and power"
            )
        elif self.health.state in (CameraState.STALLED, CameraState.LOST):
            return
        self._set_health(CameraState.STALLED, reason, now_s)

    def _checked(self, frame: Frame, now_s: float) -> Frame | None:
        state = self._monitor.update(frame, now_s)
        if state is CameraState.STREAMING and not self._trusted(now_s):
            return None if self.health.state is CameraState.FROZEN else frame
        if state is CameraState.STREAMING:
            self._error, self._reopen_at_s, self._sparse = None, float("inf"), 0
        elif self.health.state is not state:
            steady = now_s - self._reopened_s >= STEADY_S
            if steady:
                self._reopen_wait_s = REOPEN_S[0]
            self._reopen_at_s = now_s + (0.0 if steady and state is CameraState.FROZEN else self._reopen_wait_s)
        self._set_health(state, REASONS.get(state, ""), now_s)
        if state is CameraState.FROZEN:
            return None
        self._worked_s = now_s
        return frame

    def _trusted(self, now_s: float) -> bool:
        """Return whether a good picture ends the fault: some cameras give one whenever they are opened, and no more."""
        if self.health.state is CameraState.STALLED:
            return self._attempt is None or self._attempt.pictures > 1
        return self.health.state is not CameraState.FROZEN or self._monitor.is_changing(now_s)

    def _open_again(self, now_s: float) -> None:
        self._left_behind = [reader for reader in self._left_behind if reader.running]
        if self._attempt is not None:
            if len(self._left_behind) >= MAX_STUCK:  # the pictures it still gives are worth more than another thread
                self._reopen_at_s = now_s + RETRY_S
                return
            self._release(now_s)
        # Most cameras can be open only once: the previous reader gets time to close its own.
        if self._previous is not None and self._previous.running and now_s < self._closing_until_s:
            self._reopen_at_s = now_s
            return
        self._attempt, self._reopen_at_s = _Attempt(self._start(), now_s), float("inf")
        if self.health.state in (CameraState.FROZEN, CameraState.DARK):
            self._reopened_s, self._reopen_at_s = now_s, now_s + self._reopen_wait_s
            self._reopen_wait_s = min(2 * self._reopen_wait_s, REOPEN_S[1])

    def _release(self, now_s: float) -> None:
        if self._attempt is not None:
            self._attempt.reader.stop()
            self._dropped += self._attempt.reader.dropped
            self._previous = self._attempt.reader
            self._left_behind.append(self._previous)
        self._attempt, self._closing_until_s = None, now_s + CLOSE_WAIT_S

    def _set_health(self, state: CameraState, reason: str, now_s: float) -> None:
        if state is not self.health.state or reason != self.health.reason:
            since_s = self.health.since_s if self.health.state is state else now_s
            self.health = Health(self._name, state, since_s, reason)


REASONS = {
    CameraState.FROZEN: "the camera repeats one picture; its driver, or the sender of the stream, hangs",
    CameraState.DARK: "the picture is black or without contrast; is the lens covered, or the light off?",
}
