"""The second, smaller stream of a network camera, for the detector (``camera.detect_source``).

The crops of faces come from the main stream. To each of its frames belongs the small picture that is nearest in time.
If there is none within MAX_APART_S, or the second stream is unusable, the detector gets the main picture: a second
stream can fail in any way without making the camera blind.

    it cannot be opened, or breaks off    opened again, ever more rarely
    it repeats a picture                  not used while the main stream shows that the view is another one by now;
                                          opened again after FROZEN_S
    other proportions, or larger          not used: coordinates would not fit, or nothing would be saved

Times are those of the camera's clock if it states them for both streams, else those of arrival.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from edge.contracts import Camera, Frame, Image
from edge.errors import FmdError, SourceEndedError
from edge.reading import read_frames

log = logging.getLogger(__name__)

MAX_APART_S = 0.1
"""Longest time between a small picture and the frame that it is used for."""
MAX_LAG_S = 5.0
"""Longest difference between the delays of both streams that is believed; beyond it the camera's clocks disagree."""
KEPT = 8
"""Newest small pictures that are kept: half a second at 15 frames per second."""
RETRY_S = (1.0, 60.0)
"""First and longest wait before a second stream that failed is opened again; the wait doubles."""
STEADY_S = 60.0
"""Time that a second stream has worked after which its next failure counts as its first."""
REPEAT_S = 0.5
"""Time after which the same picture again may be a frozen one: codecs repeat a picture for less in a moving view."""
FROZEN_S = 2.0
"""Time for which the main stream must differ before a second stream that repeats its picture is opened again."""
CHANGE, CHANGED_SHARE = 24, 0.004
"""How much a spot's brightness (0 to 255) changes, and the share of such spots, where the view has changed: noise and
codecs change a spot by less, and a person at the door covers far more."""
MAX_STRETCH = 0.02
"""Largest difference in proportions: encoders round sizes up to multiples of 16."""
MISSES = 50
"""Frames in a row without a picture of the same time after which this is reported."""
CLOSE_WAIT_S = 1.0
"""Time that the second stream has to close."""


class _Small(NamedTuple):
    """A picture of the second stream; ``sent_s`` is by the camera's clock."""

    frame: Frame
    sent_s: float | None


class SmallPictures:
    """The newest small pictures; another thread than the one that asks for them may add to them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[_Small] = deque(maxlen=KEPT)
        self._last: Frame | None = None
        self._changed_s = 0.0

    def add(self, frame: Frame, sent_s: float | None = None) -> None:
        """Add a picture of the second stream."""
        changed = self._last is None or not _same(self._last, frame)
        self._last = frame
        with self._lock:
            if changed:
                # What was repeated until now may be of any time.
                if self._kept and self._kept[-1].frame.captured_s - self._changed_s >= REPEAT_S:
                    self._kept.clear()
                self._changed_s = frame.captured_s
            self._kept.append(_Small(frame, sent_s))

    def clear(self) -> None:
        """Forget all pictures. The next one may still repeat the last."""
        with self._lock:
            self._kept.clear()

    @property
    def newest(self) -> tuple[Frame, float] | None:
        """The newest picture, and the time of the first in a row that is the same to the last bit; None if none."""
        with self._lock:
            return (self._kept[-1].frame, self._changed_s) if self._kept else None

    def nearest(self, captured_s: float, sent_s: float | None) -> Image | None:
        """Return the picture nearest to a main frame's times, None if there is none within MAX_APART_S."""
        with self._lock:
            kept = tuple(self._kept)
        if not kept:
            return None
        best = min(kept, key=lambda small: _apart(small, captured_s, sent_s))
        return best.frame.image if _apart(best, captured_s, sent_s) <= MAX_APART_S else None


def _same(one: Frame, other: Frame) -> bool:
    # The brightness first: it is small, and differs in nearly all pictures.
    return np.array_equal(one.luma, other.luma) and np.array_equal(one.image, other.image)


def _apart(small: _Small, captured_s: float, sent_s: float | None) -> float:
    arrived_s = small.frame.captured_s - captured_s
    if small.sent_s is None or sent_s is None:
        return abs(arrived_s)
    apart_s = small.sent_s - sent_s
    return abs(apart_s if abs(apart_s - arrived_s) <= MAX_LAG_S else arrived_s)


class PairedCamera:
    """Camera with a second stream for the detector; see :class:`edge.contracts.Camera`.

    ``open_second`` opens that stream, in a thread of its own; ``name`` is its address without secrets.
    """

    live = True

    def __init__(
        self,
        main: Camera,
        open_second: Callable[[], Camera],
        name: str,
        clock: Callable[[], float],
        retry_s: tuple[float, float] = RETRY_S,
    ) -> None:
        self._main, self._open, self._name, self._clock, self._retry_s = main, open_second, name, clock, retry_s
        self._pictures = SmallPictures()
        # Why the second stream gives no pictures, and why they are not used; empty if all is well.
        self._failed = self._unusable = self._logged = ""
        self._missed = 0
        self._reference: tuple[float, Image] | None = None
        self._stale_s: float | None = None
        self._reopen, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="second stream", daemon=True)
        self._thread.start()

    def read(self) -> Frame | None:
        """Return the next frame of the main stream. Raises what the main stream raises."""
        frame = self._main.read()
        if frame is None:
            return None
        usable, sent_s = self._check(frame), sent_of(self._main)
        hint = self._hint()
        # Looked up when the detector asks: the nearest picture may come later than the frame.
        return replace(frame, small=(lambda: self._small(frame, sent_s)) if usable else None, hint=hint)

    def close(self) -> None:
        """Disconnect both streams."""
        self._closed.set()
        self._reopen.set()
        self._main.close()
        self._thread.join(CLOSE_WAIT_S)

    def _small(self, frame: Frame, sent_s: float | None) -> Image:
        """Return the picture for the detector: of the second stream, or the frame's own."""
        found = self._pictures.nearest(frame.captured_s, sent_s)
        if found is None or unfit(frame.image, found):
            self._missed += 1
            return frame.image
        self._missed = 0
        return found

    def _check(self, frame: Frame) -> bool:
        """Return whether the detector may use the second stream now, and note why not."""
        newest = self._pictures.newest
        if newest is None:
            self._missed = 0
            return False
        small, changed_s = newest
        if wrong := unfit(frame.image, small.image):
            self._unusable = f"{self._name}: {wrong}"
            return False
        if self._reference is None or self._reference[0] != changed_s:
            self._reference, self._stale_s, self._unusable = (changed_s, frame.luma), None, ""
        if small.captured_s - changed_s < REPEAT_S or not view_changed(self._reference[1], frame.luma):
            self._stale_s = None
            return True
        if self._stale_s is None:
            self._stale_s = small.captured_s
        elif small.captured_s - self._stale_s >= FROZEN_S:
            self._unusable = f"{self._name}: it repeats one picture; its sender hangs"
            self._stale_s = None
            self._reopen.set()
        return False

    def _hint(self) -> str:
        """Return what is wrong, empty if nothing is; log its beginning and its end once."""
        why = self._failed or self._unusable
        if not why and self._missed >= MISSES:
            why = f"{self._name}: its pictures are taken more than {MAX_APART_S * 1000:g} ms before or after the others"
        hint = f"camera.detect_source: {why}; the detector uses the main stream" if why else ""
        if hint and not self._logged:
            log.warning("%s", hint)
        elif self._logged and not hint:
            log.info("camera.detect_source: %s is used again", self._name)
        self._logged = hint
        return hint

    def _work(self) -> None:
        wait_s = self._retry_s[0]
        while not self._closed.is_set():
            self._reopen.clear()
            began_s = self._clock()
            error = read_frames("the second stream", self._open, self._keep, self._ending)
            if error is not None and not isinstance(error, SourceEndedError):
                self._failed = str(error) if isinstance(error, FmdError) else f"{self._name}: {error!r}"
            self._pictures.clear()
            if self._clock() - began_s >= STEADY_S:
                wait_s = self._retry_s[0]
            self._closed.wait(wait_s)
            wait_s = min(2 * wait_s, self._retry_s[1])

    def _keep(self, camera: Camera, frame: Frame) -> None:
        self._pictures.add(frame, sent_of(camera))
        self._failed = ""

    def _ending(self) -> bool:
        return self._reopen.is_set() or self._closed.is_set()


def sent_of(camera: Camera) -> float | None:
    """Return when a camera sent its last picture, by its own clock in seconds; None if it does not state that."""
    sent_s: float | None = getattr(camera, "sent_s", None)
    return sent_s


def unfit(main: Image, small: Image) -> str:
    """Return why a picture of the second stream cannot stand for one of the main stream, empty if it can."""
    (height, width), (small_height, small_width) = main.shape[:2], small.shape[:2]
    sizes = f"{small_width} x {small_height}, the main stream {width} x {height}"
    if small_width > width or small_height > height:
        return f"it is larger than the main stream ({sizes}); exchange both addresses"
    if abs(small_width * height / (small_height * width) - 1) > MAX_STRETCH:
        return f"it has other proportions than the main stream ({sizes}); set its size in the camera"
    return ""


def view_changed(before: Image, now: Image) -> bool:
    """Return whether two brightness planes (h, w) show visibly different views."""
    if before.shape != now.shape:
        return True
    changed = np.count_nonzero(cv2.absdiff(before, now) > CHANGE)
    return bool(changed >= CHANGED_SHARE * now.size)
