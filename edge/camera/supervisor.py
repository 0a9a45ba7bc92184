"""Camera -> frame: the newest one only, never a wait without end, and a camera that fails is opened again.

A live camera is opened and read in a thread of its own, because both block in drivers and kernels beyond anybody's
reach. :class:`CameraSupervisor` checks what the thread has brought, names what is wrong with it, and starts another
thread where the camera must be opened again; it never waits and reads no clock.

    no picture for stall_s, or an error   opened again at once, then RETRY_S after each failure; after a stall it sees
                                          again with the second picture
    the same picture for frozen_s         not passed on until it has changed twice; opened again at once, then ever
                                          more rarely, unless it has worked for a minute
    black, or covered, for dark_s         passed on (a dark room may hold somebody); opened again ever more rarely

A thread whose read never comes back cannot be ended: it is left behind, and closes its camera should it return.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.camera.picture import PictureMonitor
from edge.config import CameraSettings
from edge.contracts import Camera, CameraState, Frame, Health
from edge.errors import CameraError, SourceEndedError

log = logging.getLogger(__name__)

RETRY_S = 0.4
"""Between two tries to open a camera that is gone. A try costs little; its return must be noticed within a second."""
RARELY_S = (10.0, 600.0)
"""First and longest wait before a camera that does give pictures, but frozen or dark ones, is opened once more."""
STEADY_S = 60.0
"""One that has worked for so long since then is opened again as if for the first time."""
POLITE_S = 1.0
"""How long a camera just let go of may take to close before it is opened again all the same."""
MAX_STUCK = 3
"""Threads left behind at one time; with so many, only another process helps."""


class Reader(Protocol):
    """Opens a camera and reads it elsewhere."""

    def take(self) -> Frame | None:
        """The newest frame not taken yet, or None.

        Raises, once, whatever opening or reading raised; SourceEndedError where there is no more to read.
        """

    @property
    def dropped(self) -> int:
        """How many frames were stale before they were taken."""

    @property
    def running(self) -> bool:
        """Whether it still reads, or has not come back from its last read."""

    def stop(self) -> None:
        """Read no more, and close the camera as soon as the present read comes back."""

    def join(self, timeout_s: float) -> None:
        """Wait so long for the camera to be closed."""


class ThreadReader:
    """A :class:`Reader` that is a thread; ``ring`` is called whenever there is something to take."""

    def __init__(self, open_camera: Callable[[], Camera], ring: Callable[[], None]) -> None:
        self._open, self._ring = open_camera, ring
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
        try:
            camera = self._open()
            try:
                self._keep_reading(camera)
            finally:
                camera.close()
        # Whatever breaks here must reach who takes the frames; a dead thread tells nobody.
        except Exception as error:
            log.debug("the camera's thread ends", exc_info=error)
            with self._lock:
                self._error = error
            self._ring()

    def _keep_reading(self, camera: Camera) -> None:
        while not self._stopping:
            frame = camera.read()
            if frame is None:
                raise SourceEndedError("the source has ended")
            with self._lock:
                self.dropped += self._frame is not None
                self._frame = frame
            self._ring()


@dataclass
class _Attempt:
    """One opened camera, or one that is being opened."""

    reader: Reader
    since_s: float
    fresh_s: float | None = None
    """When its newest picture came; None before the first."""
    pictures: int = 0


class CameraSupervisor:
    """One live camera, watched over. Time is passed in; nothing here waits but :meth:`close`."""

    def __init__(
        self, settings: CameraSettings, start: Callable[[], Reader], now_s: float, frozen_s: float, name: str = ""
    ) -> None:
        """``start`` opens the camera in a new reader; ``frozen_s`` is how long one picture may stay the same."""
        self._settings, self._start, self._name = settings, start, name
        self._judge = PictureMonitor(settings, frozen_s)
        self._try: _Attempt | None = _Attempt(start(), now_s)
        self._left_behind: list[Reader] = []
        self._before: Reader | None = None
        self._again_s = self._polite_until_s = float("inf")
        self._rest_s, self._rested_s = RARELY_S[0], float("-inf")
        self._dropped = 0
        self._worked_s: float | None = None
        self._began_s = now_s
        self._error: Exception | None = None
        self.health = Health(name, CameraState.STARTING, now_s)
        self.ended = False
        """Whether the source, a recording played as if live, has come to its end."""

    @property
    def dropped(self) -> int:
        """Frames that were stale before anybody came for them."""
        return self._dropped + (self._try.reader.dropped if self._try else 0)

    def poll(self, now_s: float) -> Frame | None:
        """The newest frame not seen yet; None where there is none to work on now. :attr:`health` says why."""
        if now_s >= self._again_s:
            self._open_again(now_s)
        if self._try is None or self.ended:
            return None
        try:
            frame = self._try.reader.take()
        except SourceEndedError:
            self.ended = True
            return None
        # A driver's defect is a fault of the camera as any other: it is told, and opened again.
        except Exception as error:  # noqa: BLE001
            self._lost(self._try, error, now_s)
            return None
        if frame is None:
            self._check_patience(self._try, now_s)
            return None
        self._try.fresh_s = now_s
        self._try.pictures += 1
        return self._judged(frame, now_s)

    def given_up(self, now_s: float, patience_s: float = 0.0) -> Exception | None:
        """Why it is no use to go on: it has given no picture for ``give_up_s``, or no first one for ``patience_s``.

        A dark camera is never given up: another process would see no more.
        """
        if self.health.state in (CameraState.STREAMING, CameraState.DARK, CameraState.STARTING):
            return None
        since_s, most_s = self._began_s, patience_s
        if self._worked_s is not None:
            since_s, most_s = self._worked_s, self._settings.give_up_s
        if now_s - since_s < most_s:
            return None
        return self._error or CameraError(self.health.reason)

    def stop(self) -> None:
        """Begin to close."""
        if self._try is not None:
            self._try.reader.stop()

    def close(self, timeout_s: float) -> None:
        """Stop reading and give the camera back; a read that hangs is left behind with its thread."""
        self.stop()
        if self._try is not None:
            self._try.reader.join(timeout_s)

    def _lost(self, attempt: _Attempt, error: Exception, now_s: float) -> None:
        # A camera that will not open while an earlier read of ours still hangs in it is not gone: we hold it.
        held = self.health.blind and attempt.fresh_s is None and any(reader.running for reader in self._left_behind)
        self._let_go(now_s)
        self._error, self._again_s = error, now_s + (RETRY_S if self.health.blind else 0.0)
        if not held:
            self._tell(CameraState.LOST, str(error) if isinstance(error, OSError) else repr(error), now_s)

    def _check_patience(self, attempt: _Attempt, now_s: float) -> None:
        if attempt.fresh_s is not None:
            if now_s - attempt.fresh_s >= self._settings.stall_s:
                self._stalled(self._settings.stall_s, now_s, now_s)
        elif now_s - attempt.since_s >= self._settings.open_s and self._again_s > now_s + RETRY_S:
            self._stalled(self._settings.open_s, now_s, now_s + RETRY_S)

    def _stalled(self, after_s: float, now_s: float, again_s: float) -> None:
        self._again_s = again_s
        if self.health.state not in (CameraState.STALLED, CameraState.LOST):
            self._tell(
                CameraState.STALLED, f"the camera gave no picture for {after_s:g} s; check its cable and power", now_s
            )

    def _judged(self, frame: Frame, now_s: float) -> Frame | None:
        state = self._judge.of(frame, now_s)
        if state is CameraState.STREAMING and not self._trusted(now_s):
            return None if self.health.state is CameraState.FROZEN else frame
        if state is CameraState.STREAMING:
            self._error, self._again_s = None, float("inf")
        elif self.health.state is not state:
            steady = now_s - self._rested_s >= STEADY_S
            if steady:
                self._rest_s = RARELY_S[0]
            self._again_s = now_s + (0.0 if steady and state is CameraState.FROZEN else self._rest_s)
        self._tell(state, REASONS.get(state, ""), now_s)
        if state is CameraState.FROZEN:
            return None
        self._worked_s = now_s
        return frame

    def _trusted(self, now_s: float) -> bool:
        """Whether a good picture ends what was wrong: some cameras give one whenever they are opened, and no more."""
        if self.health.state is CameraState.STALLED:
            return self._try is None or self._try.pictures > 1
        return self.health.state is not CameraState.FROZEN or self._judge.lively(now_s)

    def _open_again(self, now_s: float) -> None:
        self._left_behind = [reader for reader in self._left_behind if reader.running]
        if self._try is not None:
            if len(self._left_behind) >= MAX_STUCK:  # then what it still gives is better than one thread more
                self._again_s = now_s + RETRY_S
                return
            self._let_go(now_s)
        # Most cameras open once only: the one before gets time to close.
        if self._before is not None and self._before.running and now_s < self._polite_until_s:
            self._again_s = now_s
            return
        self._try, self._again_s = _Attempt(self._start(), now_s), float("inf")
        if self.health.state in (CameraState.FROZEN, CameraState.DARK):
            self._rested_s, self._again_s = now_s, now_s + self._rest_s
            self._rest_s = min(2 * self._rest_s, RARELY_S[1])

    def _let_go(self, now_s: float) -> None:
        if self._try is not None:
            self._try.reader.stop()
            self._dropped += self._try.reader.dropped
            self._before = self._try.reader
            self._left_behind.append(self._before)
        self._try, self._polite_until_s = None, now_s + POLITE_S

    def _tell(self, state: CameraState, reason: str, now_s: float) -> None:
        if state is not self.health.state or reason != self.health.reason:
            since_s = self.health.since_s if self.health.state is state else now_s
            self.health = Health(self._name, state, since_s, reason)


REASONS = {
    CameraState.FROZEN: "the camera repeats one picture; its driver, or the sender of the stream, hangs",
    CameraState.DARK: "the picture is black or without contrast; is the lens covered, or the light off?",
}
