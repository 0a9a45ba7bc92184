"""Tracks -> people, and pictures: faces that have not moved at all for ``watch.static_s``, such as those on a poster.

A person who stands still moves: they sway, blink and breathe. A picture changes only by the noise of the camera and the
light. So the measure is the change of the pixels in the face's box, against a reference from when it was last seen to
move. Both are reduced to :data:`SIDE` x :data:`SIDE` spots of brightness and averaged over a second, so that noise
averages out, and scaled to one mean and contrast, so that the light may change.

On the clips that the limits were chosen on, every real face changed by more than MAX_CHANGE within 6 seconds, and by
three times as much within 10. Pictures with sensor noise, compression, flicker and changing light stay below it.

A picture stays one if it is hidden for a while: its place is remembered. It becomes a person again when it moves.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, field

import cv2
import msgspec
import numpy as np

from edge.contracts import Box, Floats, Frame, Image, Track

SIDE = 12
"""Spots of a face, in width and height: each covers several pixels of a face of 40."""
CONTRAST = 40.0
"""Standard deviation of brightness that every reference is scaled to, in steps of 256."""
MIN_CONTRAST = 8.0
"""Lowest standard deviation that is scaled: a face in the dark is mostly noise, and must not become a picture."""
MAX_CHANGE = 3.0
"""Mean change of a spot, in scaled steps of brightness, up to which a face does not move."""
REFERENCE_S = 1.0
"""Time over which a reference is averaged, seconds."""
MEMORY_S = 1.0
"""Time constant of the average that is compared with the reference, seconds."""
MOVED_S = 1.0
"""Time for which a known picture must look different before it counts as a person: people walk past it."""
LIGHT_S = 60.0
"""Time constant with which the memory of a picture follows the light, such as a shadow that wanders, seconds."""
MIN_OVERLAP = 0.5
"""Intersection over union of a face and a picture's place from which the face is taken for that picture."""
MAX_PLACES = 64
"""Pictures that are remembered, the last seen."""


@dataclass(slots=True, eq=False)
class _Watched:
    """A face since it last moved."""

    box: Box
    since_s: float
    total: Floats
    count: int = 1
    recent: Floats | None = None
    seen_s: float = 0.0

    @property
    def reference(self) -> Floats:
        return self.total / np.float32(self.count)


@dataclass(slots=True, eq=False)
class _Place:
    """Place of a picture, and its spots."""

    box: Box
    reference: Floats
    seen_s: float
    differs_since_s: dict[int, float] = field(default_factory=dict)  # by track id


class StaticFaces:
    """Call :meth:`split` for every frame. ``static_s`` of 0 takes no face for a picture and costs nothing."""

    def __init__(self, static_s: float) -> None:
        self._static_s = static_s
        self._watched: dict[int, _Watched] = {}
        self._places: list[_Place] = []
        self._pictures: set[int] = set()
        self._began_s: dict[int, float] = {}

    def split(
        self, tracks: tuple[Track, ...], frame: Frame, detected: bool
    ) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
        """Return the people and the pictures among the tracks of a frame.

        A person who was taken for a picture enters when they move.
        """
        if not self._static_s:
            return tracks, ()
        if detected:
            ids = {track.id for track in tracks}
            self._forget(ids)
            for track in tracks:
                if not track.missed:
                    self._update(track, frame)
        people = tuple(self._as_person(track) for track in tracks if track.id not in self._pictures)
        return people, tuple(track for track in tracks if track.id in self._pictures)

    def _update(self, track: Track, frame: Frame) -> None:
        now_s = frame.captured_s
        place = max(self._places, key=lambda each: each.box.iou(track.box), default=None)
        if place is not None and place.box.iou(track.box) >= MIN_OVERLAP:
            self._compare(track, place, frame)
        elif self._has_stayed(track, frame):
            self._remember(track, now_s)
        else:
            self._set(track, False, now_s)

    def _compare(self, track: Track, place: _Place, frame: Frame) -> None:
        """Decide a face where a known picture is."""
        now_s = frame.captured_s
        look = _look(frame, place.box)
        if look is not None and _change(look, place.reference) <= MAX_CHANGE:
            share = 1 - math.exp((place.seen_s - now_s) / LIGHT_S)
            place.reference, place.seen_s = place.reference + share * (look - place.reference), now_s
            place.differs_since_s.pop(track.id, None)
            self._set(track, True, now_s)
        elif now_s - place.differs_since_s.setdefault(track.id, now_s) >= MOVED_S:
            self._set(track, False, now_s)
        else:
            self._set(track, True, now_s)

    def _has_stayed(self, track: Track, frame: Frame) -> bool:
        """Follow a face; return whether it has not moved for the time that makes a picture."""
        now_s, watched = frame.captured_s, self._watched.get(track.id)
        look = _look(frame, watched.box if watched else track.box)
        if look is None:
            self._watched.pop(track.id, None)
            return False
        if watched is None:
            self._watched[track.id] = _Watched(track.box, now_s, look, seen_s=now_s)
            return False
        after_s, watched.seen_s = now_s - watched.seen_s, now_s
        if now_s - watched.since_s <= REFERENCE_S:
            watched.total, watched.count = watched.total + look, watched.count + 1
            return False
        if watched.recent is None:
            watched.recent = look
        watched.recent = watched.recent + (1 - math.exp(-after_s / MEMORY_S)) * (look - watched.recent)
        if _change(watched.recent, watched.reference) > MAX_CHANGE or track.box.iou(watched.box) < MIN_OVERLAP:
            self._watched.pop(track.id)
            return False
        return now_s - watched.since_s >= self._static_s

    def _remember(self, track: Track, now_s: float) -> None:
        watched = self._watched.pop(track.id)
        self._places.append(_Place(watched.box, watched.reference, now_s))
        self._places = sorted(self._places, key=lambda place: place.seen_s)[-MAX_PLACES:]
        self._set(track, True, now_s)

    def _set(self, track: Track, is_picture: bool, now_s: float) -> None:
        if is_picture:
            self._pictures.add(track.id)
            self._watched.pop(track.id, None)
        elif track.id in self._pictures:
            self._pictures.discard(track.id)
            # Whatever was seen before was a picture: the person comes in now.
            self._began_s[track.id] = now_s

    def _as_person(self, track: Track) -> Track:
        began_s = self._began_s.get(track.id)
        return track if began_s is None else msgspec.structs.replace(track, entered_s=began_s)

    def _forget(self, present: Set[int]) -> None:
        """Forget people who have left. Places stay."""
        self._pictures &= present
        for gone in self._watched.keys() - present:
            del self._watched[gone]
        for began_s in (self._began_s, *(place.differs_since_s for place in self._places)):
            for gone in began_s.keys() - present:
                del began_s[gone]


def _look(frame: Frame, box: Box) -> Floats | None:
    """Return the face in ``box`` as (SIDE, SIDE) float32 of scaled brightness; None if it is cut off or too flat."""
    height, width = frame.image.shape[:2]
    xmin, ymin, xmax, ymax = (round(v) for v in box)
    if xmin < 0 or ymin < 0 or xmax > width or ymax > height or xmax - xmin < 2 or ymax - ymin < 2:
        return None
    green: Image = np.ascontiguousarray(frame.image[ymin:ymax, xmin:xmax, 1])
    spots = np.asarray(cv2.resize(green, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
    spots -= spots.mean()
    contrast = float(spots.std())
    return None if contrast < MIN_CONTRAST else spots * np.float32(CONTRAST / contrast)


def _change(look: Floats, reference: Floats) -> float:
    """Return the mean change of a spot."""
    return float(np.abs(look - reference).mean())
