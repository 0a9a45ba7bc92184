"""Faces -> the same person over time.

Each track expects its face where the last one would be at constant speed; pairs of track and face are made nearest
first, distance in face widths. As in ByteTrack (Zhang et al. 2022, arXiv:2110.06864) faces of low confidence may
continue a track but never begin one: that is how a person turning away is kept without taking curtains for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.config import DetectSettings, TrackSettings
from edge.contracts import Box, Face, Track

SPEED_MEMORY = 0.5
"""Share of the old speed kept at each new face; the rest is what was just measured."""
MOST_SIZE_CHANGE = 2.0
"""Between two looks a face grows or shrinks by no more than this factor."""


@dataclass(slots=True)
class _State:
    id: int
    face: Face
    entered_s: float
    seen_s: float
    missed: int = 0
    speed_x: float = 0.0  # pixels a second
    speed_y: float = 0.0

    def expected(self, now_s: float) -> Box:
        after_s = now_s - self.seen_s
        x, y = self.speed_x * after_s, self.speed_y * after_s
        box = self.face.box
        return Box(box.xmin + x, box.ymin + y, box.xmax + x, box.ymax + y)

    def meet(self, face: Face, now_s: float) -> None:
        after_s = now_s - self.seen_s
        if after_s > 0:
            (x, y), (old_x, old_y) = face.box.centre, self.face.box.centre
            self.speed_x = SPEED_MEMORY * self.speed_x + (1 - SPEED_MEMORY) * (x - old_x) / after_s
            self.speed_y = SPEED_MEMORY * self.speed_y + (1 - SPEED_MEMORY) * (y - old_y) / after_s
        self.face, self.seen_s, self.missed = face, now_s, 0


class Tracker:
    """Call :meth:`update` for every frame the detector looked at, :meth:`expected` for those between."""

    def __init__(self, track: TrackSettings, detect: DetectSettings) -> None:
        self._settings, self._start_score = track, detect.start_score
        self._states: list[_State] = []
        self._next_id = 1

    def update(self, faces: Sequence[Face], now_s: float) -> tuple[Track, ...]:
        """All people held to be present at ``now_s``, oldest first."""
        # Before pairing: whoever comes after a pause that long is somebody new, however near.
        self._states = [s for s in self._states if now_s - s.seen_s <= self._settings.lost_s]
        left = self._pair(list(faces), now_s)
        for face in left:
            if face.score >= self._start_score and not self._overlaps_somebody(face, now_s):
                self._states.append(_State(self._next_id, face, now_s, now_s))
                self._next_id += 1
        return self.expected(now_s)

    def expected(self, now_s: float) -> tuple[Track, ...]:
        """The same people where they should be at ``now_s``, without a look."""
        return tuple(
            Track(s.id, s.expected(now_s), s.face.score, s.entered_s, s.seen_s, s.missed) for s in self._states
        )

    def _pair(self, faces: list[Face], now_s: float) -> list[Face]:
        """Give every track its face, nearest pairs first; returns the faces nobody took."""
        expected = {state.id: state.expected(now_s) for state in self._states}
        pairs = sorted(
            (distance, i, k)
            for i, state in enumerate(self._states)
            for k, face in enumerate(faces)
            if (distance := _distance(expected[state.id], face.box)) <= self._settings.reach
        )
        met: set[int] = set()
        taken: set[int] = set()
        for _, i, k in pairs:
            if i not in met and k not in taken:
                met.add(i)
                taken.add(k)
                self._states[i].meet(faces[k], now_s)
        for i, state in enumerate(self._states):
            state.missed += i not in met
        return [face for k, face in enumerate(faces) if k not in taken]

    def _overlaps_somebody(self, face: Face, now_s: float) -> bool:
        """Two boxes on one face, as a detector gives now and then, must not make two people."""
        return any(face.box.iou(s.expected(now_s)) > 0.3 for s in self._states if s.seen_s == now_s)


def _distance(expected: Box, found: Box) -> float:
    """Between centres, in face widths; infinite where the sizes cannot be one face's."""
    ratio = max(expected.width, 1e-6) / max(found.width, 1e-6)
    if not 1 / MOST_SIZE_CHANGE <= ratio <= MOST_SIZE_CHANGE:
        return float("inf")
    (x, y), (found_x, found_y) = expected.centre, found.centre
    return float(((x - found_x) ** 2 + (y - found_y) ** 2) ** 0.5 / max(1.0, (expected.width + found.width) / 2))
