"""Faces -> the same person over time.

Each track expects its face where the last one would be at constant speed, or where it was; pairs of track and face are
made nearest first, distance in face widths. As in ByteTrack (Zhang et al. 2022, arXiv:2110.06864) faces of low
confidence come second: they may continue a track that found no other but never begin one. That is how a person turning
away is kept without taking curtains for people.
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
MOST_MISSED = 3
"""Faint faces continue a person seen this many looks ago: behind a longer gap they are as likely somebody's ear."""
MOST_SHARED = 0.5
"""Of two boxes that share more than this of the smaller one only one is a person."""


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

    def meet(self, face: Face, now_s: float, surely: bool) -> None:
        after_s = now_s - self.seen_s
        # A face half hidden behind somebody is faint and has its box elsewhere: it tells nothing of the speed.
        if after_s > 0 and surely:
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
        new = self._pair([face for face in faces if face.score >= self._start_score], self._states, now_s)
        for state in self._states:
            state.missed += state.seen_s < now_s
        self._continue([face for face in faces if face.score < self._start_score], now_s)
        for face in new:
            if not _lies_on(face.box, self._seen(now_s)):
                self._states.append(_State(self._next_id, face, now_s, now_s))
                self._next_id += 1
        return self.expected(now_s)

    def expected(self, now_s: float) -> tuple[Track, ...]:
        """The same people where they should be at ``now_s``, without a look."""
        return tuple(
            Track(s.id, s.expected(now_s), s.face.score, s.entered_s, s.seen_s, s.missed) for s in self._states
        )

    def _continue(self, faint: Sequence[Face], now_s: float) -> None:
        """Give those whose face was not found one that is faint; what lies on a face that was found is its ear."""
        unmet = [state for state in self._states if 0 < state.missed <= MOST_MISSED]
        seen = self._seen(now_s)
        self._pair([face for face in faint if not _lies_on(face.box, seen)], unmet, now_s, surely=False)

    def _seen(self, now_s: float) -> list[Box]:
        return [state.face.box for state in self._states if state.seen_s == now_s]

    def _pair(self, faces: Sequence[Face], states: Sequence[_State], now_s: float, surely: bool = True) -> list[Face]:
        """Give each of ``states`` its face, nearest pairs first; returns the faces nobody took."""
        expected = [state.expected(now_s) for state in states]
        pairs = sorted(
            (distance, i, k)
            for i, (box, state) in enumerate(zip(expected, states, strict=True))
            for k, face in enumerate(faces)
            # Where they would be by now, or where they were: people stop dead.
            if (distance := min(_distance(box, face.box), _distance(state.face.box, face.box))) <= self._settings.reach
        )
        met: set[int] = set()
        taken: set[int] = set()
        for _, i, k in pairs:
            if i not in met and k not in taken:
                met.add(i)
                taken.add(k)
                states[i].meet(faces[k], now_s, surely)
        return [face for k, face in enumerate(faces) if k not in taken]


def _lies_on(box: Box, others: Sequence[Box]) -> bool:
    """Whether it is mostly one of the others: a detector now and then gives one face two boxes."""
    return any(
        box.intersection(other) > MOST_SHARED * min(box.width * box.height, other.width * other.height)
        for other in others
    )


def _distance(expected: Box, found: Box) -> float:
    """Between centres, in face widths; infinite where the sizes cannot be one face's."""
    ratio = max(expected.width, 1e-6) / max(found.width, 1e-6)
    if not 1 / MOST_SIZE_CHANGE <= ratio <= MOST_SIZE_CHANGE:
        return float("inf")
    (x, y), (found_x, found_y) = expected.centre, found.centre
    return float(((x - found_x) ** 2 + (y - found_y) ** 2) ** 0.5 / max(1.0, (expected.width + found.width) / 2))
