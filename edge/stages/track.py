"""Faces -> the same person over time.

Each track expects its face where the last one would be at constant speed; pairs of track and face are made best first,
by distance in face widths and by size. As in ByteTrack (Zhang et al. 2022, arXiv:2110.06864) faces of low confidence
come second: they may continue a track that found no other but never begin one. That is how a person turning away is
kept without taking curtains for people.

Whoever walks behind somebody is seen in part, then not at all, then in part again, and their box shrinks towards the
edge that still shows. A track remembers the whole face and lays it beside that edge, so that it goes on at the speed
the person has and meets them on the far side. Where that misses them, because what was seen last was their hair, they
are whoever appears beside somebody, at their height and size, soon after they went.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.config import DetectSettings, TrackSettings
from edge.contracts import Box, Face, Track

SPEED_MEMORY_S = 0.2
"""Time constant with which speed is learnt: a box's edges jitter by a few per cent of a face from look to look."""
HIDDEN_PACE = 0.5
"""Share of its time that a look at somebody who may be half hidden counts for in learning their speed."""
MIN_PART = 1 / 3
"""Of somebody who comes out from behind another, or goes behind them, at least this share of the width is seen."""
MIN_OF_WHOLE = 0.5
"""A face seen at less than this share of the whole both ways is no part of it: somebody hidden loses their width or
their height, somebody who goes away loses both."""
STOPPING = 0.5
"""Face widths that a face found where somebody was counts as further off than one where they should be: people stop
dead, but more often two cross, and each is where the other was."""
FIRST_REACH = 2.0
"""Somebody seen once may be going any way, and fast: they are looked for so many times as far."""
FAINT_REACH = 0.5
"""A faint face must lie this much nearer: most are no faces."""
MAX_SIZE_CHANGE = 2.0
"""Between two looks a face grows or shrinks by no more than this factor."""
MAX_MISSED = 3
"""Faint faces continue a person seen this many looks ago: behind a longer gap they are as likely somebody's ear."""
HIDDEN_REACH = 4.0
"""Who comes out from behind somebody does so within so many face widths, sideways, of where they went or should be."""
HIDER_REACH = 3.0
"""And within so many of the wider face of whom they were behind: people hide more than their face does."""
SAME_HEIGHT = 0.5
"""And at their height: of the one face's or the other's, whichever is less, at least this share is common to both."""
YOUNG_S = 0.3
"""A track this young may still turn out to be somebody who was hidden: an edge that comes out is not at once a face."""
MAX_SHARED = 0.5
"""Of two boxes that share more than this of the smaller one only one is a person."""


@dataclass(slots=True, eq=False)
class _State:
    id: int
    face: Face
    whole: Box  # where the whole face is, of which the box may show a part
    entered_s: float
    seen_s: float
    missed: int = 0
    speed: tuple[float, float] | None = None  # pixels a second

    def expected(self, now_s: float) -> Box:
        """Where the whole face should be."""
        speed_x, speed_y = self.speed or (0.0, 0.0)
        x, y = speed_x * (now_s - self.seen_s), speed_y * (now_s - self.seen_s)
        return Box(self.whole.xmin + x, self.whole.ymin + y, self.whole.xmax + x, self.whole.ymax + y)

    def is_outside(self, now_s: float, width: float, height: float) -> bool:
        """Whether they should have left the picture by now, with more than half of their face."""
        x, y = self.expected(now_s).centre
        return not (0 <= x <= width and 0 <= y <= height)

    def meet(self, face: Face, now_s: float, surely: bool, whole: bool) -> None:
        """Take the face found, by the detector ``surely``; ``whole`` is false where somebody may hide a part of it."""
        after_s = now_s - self.seen_s
        if surely and not self.missed:
            # Who goes away does so step by step; what halves at once is hidden.
            whole = whole or _share(face.box, self.whole) < MIN_OF_WHOLE < _share(face.box, self.face.box)
        if after_s > 0:
            box = face.box if whole else _completed(self.expected(now_s), face.box)
            (x, y), (old_x, old_y) = box.centre, self.whole.centre
            # The last that is seen of somebody hidden is faint, and as often their hair.
            if surely:
                self._learn((x - old_x) / after_s, (y - old_y) / after_s, after_s if whole else after_s * HIDDEN_PACE)
            self.whole = box
        self.face, self.seen_s, self.missed = face, now_s, 0

    def hidden_from(self, face: Face, now_s: float) -> float:
        """Face widths, sideways, from where they went or should be to where a face came out; infinite if not theirs."""
        low, high = max(self.whole.ymin, face.box.ymin), min(self.whole.ymax, face.box.ymax)
        share = face.box.width / max(self.whole.width, 1e-6)
        if high - low < SAME_HEIGHT * min(self.whole.height, face.box.height):
            return math.inf
        # Either may be a part: what was seen last, and what is seen first.
        if not MIN_PART < share < 1 / MIN_PART:
            return math.inf
        x = face.box.centre[0]
        went, should = self.whole.centre[0], self.expected(now_s).centre[0]
        away = min(abs(x - went), abs(x - should)) / max(1.0, self.whole.width)
        return away if away < HIDDEN_REACH else math.inf

    def _learn(self, x: float, y: float, for_s: float) -> None:
        old_x, old_y = self.speed or (x, y)
        share = 1 - math.exp(-for_s / SPEED_MEMORY_S)
        self.speed = old_x + share * (x - old_x), old_y + share * (y - old_y)


class Tracker:
    """Call :meth:`update` for every frame the detector looked at, :meth:`expected` for those between."""

    def __init__(self, track: TrackSettings, detect: DetectSettings) -> None:
        self._settings, self._start_score = track, detect.start_score
        self._states: list[_State] = []
        self._next_id = 1

    def update(
        self, faces: Sequence[Face], now_s: float, size: tuple[float, float] = (math.inf, math.inf)
    ) -> tuple[Track, ...]:
        """All people held to be present at ``now_s``, oldest first. ``size`` is the picture's width and height."""
        # Before pairing: whoever comes after a pause that long is somebody new, however near, and so is whoever comes
        # in where another has just gone out.
        lost_s = self._settings.lost_s
        self._states = [
            s for s in self._states if now_s - s.seen_s <= lost_s and not (s.missed and s.is_outside(now_s, *size))
        ]
        sure = [face for face in faces if face.score >= self._start_score]
        new = self._pair(sure, self._states, now_s)
        unmet = [state for state in self._states if state.seen_s < now_s]
        for state in unmet:
            state.missed += 1
        if unmet and len(sure) < len(faces):
            self._continue([face for face in faces if face.score < self._start_score], now_s)
        for face in new:
            if not _lies_on(face.box, self._seen(now_s)):
                self._states.append(_State(self._next_id, face, face.box, now_s, now_s))
                self._next_id += 1
        if unmet:
            self._reunite(now_s)
        return self.expected(now_s)

    def expected(self, now_s: float) -> tuple[Track, ...]:
        """The same people where they should be at ``now_s``, without a look."""
        return tuple(
            Track(
                s.id,
                s.face.box if s.seen_s == now_s else s.expected(now_s),
                s.face.score,
                s.entered_s,
                s.seen_s,
                s.missed,
            )
            for s in self._states
        )

    def _continue(self, faint: Sequence[Face], now_s: float) -> None:
        """Give those whose face was not found one that is faint; what lies on a face that was found is its ear."""
        unmet = [state for state in self._states if 0 < state.missed <= MAX_MISSED]
        seen = self._seen(now_s)
        self._pair([face for face in faint if not _lies_on(face.box, seen)], unmet, now_s, surely=False)

    def _reunite(self, now_s: float) -> None:
        """Let who has just come out from behind somebody be who went in, and who turns back who turned away."""
        hidden = [state for state in self._states if state.missed > 1]
        if not hidden:
            return
        for new in [s for s in self._states if not s.missed and now_s - s.entered_s <= YOUNG_S]:
            away, old = min(
                ((s.hidden_from(new.face, now_s), s) for s in hidden if self._may_be(new, s, now_s)),
                key=lambda pair: pair[0],
                default=(math.inf, new),
            )
            if away < math.inf:
                new.id, new.entered_s = old.id, old.entered_s
                hidden.remove(old)
                self._states.remove(new)
                self._states[self._states.index(old)] = new

    def _may_be(self, new: _State, old: _State, now_s: float) -> bool:
        """Whether somebody came in sight where ``old`` could: from behind others, or, alone, where they turned away."""
        if old.seen_s >= new.entered_s:
            return False
        box, others = new.face.box, [s for s in self._states if s is not new and s.missed <= 1]
        if any(_beside(box, s.face.box, HIDER_REACH) for s in others if not s.missed):
            return True
        return _lies_on(box, [old.whole, old.expected(now_s)]) and not _lies_on(box, [s.whole for s in others])

    def _seen(self, now_s: float) -> list[Box]:
        return [state.face.box for state in self._states if state.seen_s == now_s]

    def _pair(self, faces: Sequence[Face], states: Sequence[_State], now_s: float, surely: bool = True) -> list[Face]:
        """Give each of ``states`` its face, best pairs first; returns the faces nobody took."""
        if not faces or not states:
            return list(faces)
        whole = [
            surely and not any(_beside(face.box, other.box) for other in faces if other is not face) for face in faces
        ]
        expected = [state.expected(now_s) for state in states]
        there = [box for state, box in zip(states, expected, strict=True) if not state.missed]
        pairs = sorted(
            (cost, i, k)
            for i, state in enumerate(states)
            for k, face in enumerate(faces)
            if (cost := self._cost(state, expected[i], face, surely, whole[k])) < math.inf
            # Nobody who is hidden is seen on the face of somebody who was seen a look ago.
            and not (state.missed and surely and _lies_on(face.box, there))
        )
        met: set[int] = set()
        taken: set[int] = set()
        for _, i, k in pairs:
            if i not in met and k not in taken:
                met.add(i)
                taken.add(k)
                states[i].meet(faces[k], now_s, surely, whole[k])
        return [face for k, face in enumerate(faces) if k not in taken]

    def _cost(self, state: _State, expected: Box, face: Face, surely: bool, whole: bool) -> float:
        """How badly a face fits somebody: where they are ``expected`` by now, or where they were."""
        reach = self._settings.reach
        if not surely:
            reach *= FAINT_REACH
        elif state.speed is None and not state.missed:
            reach *= FIRST_REACH
        there = min(_misfit(expected, face.box, reach), _misfit(state.whole, face.box, reach) + STOPPING)
        share = face.box.width / max(expected.width, 1e-6)
        if surely and not whole and not state.missed:
            # Beside somebody, and not hidden by them: who goes away has long been smaller than the whole remembered.
            there = min(there, _misfit(state.face.box, face.box, reach) + STOPPING)
        elif surely and not whole and MIN_PART < share < 1 and expected.ymin < face.box.centre[1] < expected.ymax:
            # Out from behind somebody, at the height it went: what is seen is a part, and the whole of it has to fit.
            there = min(there, _misfit(expected, _completed(expected, face.box), reach) - math.log(share))
        return there


def _completed(expected: Box, part: Box) -> Box:
    """Where the whole face is of which ``part`` is seen: the side that is nearest to where it should be is seen.

    Upwards and downwards it stays where it should be unless the part shows that it is not.
    """
    xmin, xmax = _span(expected.xmin, expected.xmax, part.xmin, part.xmax)
    if part.height >= expected.height:
        return Box(xmin, part.ymin, xmax, part.ymax)
    shift = min(0.0, part.ymin - expected.ymin) + max(0.0, part.ymax - expected.ymax)
    return Box(xmin, expected.ymin + shift, xmax, expected.ymax + shift)


def _span(low: float, high: float, part_low: float, part_high: float) -> tuple[float, float]:
    if part_high - part_low >= high - low:
        return part_low, part_high
    shift = min(part_low - low, part_high - high, key=abs)
    return low + shift, high + shift


def _share(box: Box, whole: Box) -> float:
    """Of the whole's width or height, whichever is seen more of."""
    return max(box.width / max(whole.width, 1e-6), box.height / max(whole.height, 1e-6))


def _beside(box: Box, other: Box, reach: float = 2.0) -> bool:
    """Whether the two are within ``reach`` of the larger one's width and height, so that one may hide a part of the
    other; by default there is less than a face between two of one size."""
    xmin, ymin, xmax, ymax = box
    other_xmin, other_ymin, other_xmax, other_ymax = other
    apart = abs(xmin + xmax - other_xmin - other_xmax) / (2 * reach)
    if apart >= xmax - xmin and apart >= other_xmax - other_xmin:
        return False
    apart = abs(ymin + ymax - other_ymin - other_ymax) / (2 * reach)
    return apart < ymax - ymin or apart < other_ymax - other_ymin


def _lies_on(box: Box, others: Sequence[Box]) -> bool:
    """Whether it is mostly one of the others: a detector now and then gives one face two boxes."""
    return any(
        box.intersection(other) > MAX_SHARED * min(box.width * box.height, other.width * other.height)
        for other in others
    )


def _misfit(expected: Box, found: Box, reach: float) -> float:
    """Distance of the centres in face widths, and the logarithm of the sizes' ratio.

    Infinite beyond ``reach``, and where the sizes cannot be one face's.
    """
    # Asked for every pair of a person and a face, more than once: Box's properties would take half of the time.
    xmin, ymin, xmax, ymax = expected
    found_xmin, found_ymin, found_xmax, found_ymax = found
    width, found_width = max(xmax - xmin, 1e-6), max(found_xmax - found_xmin, 1e-6)
    if not found_width / MAX_SIZE_CHANGE <= width <= found_width * MAX_SIZE_CHANGE:
        return math.inf
    away = math.hypot(xmin + xmax - found_xmin - found_xmax, ymin + ymax - found_ymin - found_ymax)
    away /= max(2.0, width + found_width)
    return away + abs(math.log(width / found_width)) if away <= reach else math.inf
