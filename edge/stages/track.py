"""Faces -> the same person over time.

Each track expects its face where constant speed takes the last one. The tracker pairs tracks and faces, best pairs
first, by distance in face widths and by size. As in ByteTrack (Zhang et al. 2022, arXiv:2110.06864), faces of low score
come second: they may continue a track that found no other face, but never start one. So the tracker keeps a person who
turns away and does not take curtains for people.

A person who walks behind another is visible in part, then not at all, then in part again. Their box shrinks towards the
edge that is still visible. A track remembers the whole face and lays it beside that edge. So it continues at the
person's speed and meets them on the far side.

It may miss them, because the last box was around their hair. Then it continues with the face that appears beside
another person soon after, at their height and size.

While the camera gives no frames, time stands still for the tracker, for a few seconds. A person who stood before such
an outage is the same person after it if the face is at the same place and of the same size. All others are new.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.config import DetectSettings, TrackSettings
from edge.contracts import Box, Face, Track

SPEED_MEMORY_S = 0.2
"""Time constant with which a track learns its speed: a box's edges jitter by a few per cent of a face per detection."""
PARTLY_HIDDEN_WEIGHT = 0.5
"""Weight, in learning speed, of a detection of a person who may be half hidden."""
MIN_PART = 1 / 3
"""Smallest share of its width at which a face counts as coming out from behind another person, or going behind."""
MIN_OF_WHOLE = 0.5
"""Share of the whole face, in width and height, below which a face is not a part of it. A hidden face loses its width
or its height; the face of a person who walks away loses both."""
STOPPING_PENALTY = 0.5
"""Face widths added to the distance from a person's last place, against that from the expected one. People stop dead,
but more often two people cross, and each is where the other was."""
FIRST_REACH_FACTOR = 2.0
"""Factor on ``track.reach`` for a person seen once: their direction and speed are not known yet."""
FAINT_REACH_FACTOR = 0.5
"""Factor on ``track.reach`` for a face of low score: most of them are no faces."""
MAX_SIZE_CHANGE = 2.0
"""Largest factor by which a face grows or shrinks between two detections."""
MAX_MISSED = 3
"""Detections after which a faint face continues a track no more: after a longer gap it is as likely another's ear."""
HIDDEN_REACH = 4.0
"""Distance, in face widths sideways, from where a hidden person went or should be to where their face comes out."""
HIDER_REACH = 3.0
"""Distance, in widths of the wider face, from the person who hid them: people hide more than their face does."""
MIN_COMMON_HEIGHT = 0.5
"""Share of the smaller face's height that both faces have in common: a person comes out at the height they went."""
YOUNG_S = 0.3
"""Age of a track up to which it may turn out to be a hidden person: an edge that comes out is not at once a face."""
SIZE_SLACK = 1.25
"""Factor by which a tracked face may exceed the limits that it had to meet at first: a box's edges jitter by a few per
cent, and a person at the limit must not become a new one with every step."""
OUTAGE_S = (0.8, 6.0)
"""Shortest and longest time without a frame that is an outage of the camera: of up to 5 s, with a second to reopen it.
A shorter one is no different from a person who is not seen; after a longer one anybody may stand there."""
STANDING_SPEED = 1.0
"""Speed, in face widths per second, up to which a person stands. Who walks is elsewhere after an outage; the boxes of a
person who stands jitter by a third of this."""
SAME_PLACE = 0.5
"""Distance, in face widths, up to which a face is at the same place after an outage."""
SAME_SIZE = 1.3
"""Largest factor between the widths of the same face before and after an outage."""
MAX_SHARED = 0.5
"""Share of the smaller of two boxes above which both are one person."""


@dataclass(slots=True, eq=False)
class _State:
    id: int
    face: Face
    whole: Box  # the whole face, of which ``face`` may show a part
    entered_s: float
    seen_s: float
    missed: int = 0
    speed: tuple[float, float] | None = None  # pixels per second; None until a second detection
    outage_s: float = 0.0  # time since ``seen_s`` in which the camera gave no frames

    def unseen_s(self, now_s: float) -> float:
        """Return for how long the person was not seen although there were frames."""
        return now_s - self.seen_s - self.outage_s

    def stands(self) -> bool:
        """Return whether the person stood when last seen, as far as it is known."""
        return self.speed is None or math.hypot(*self.speed) <= STANDING_SPEED * self.whole.width

    def expected(self, now_s: float) -> Box:
        """Return where the whole face should be at ``now_s``."""
        if self.outage_s:
            return self.whole
        speed_x, speed_y = self.speed or (0.0, 0.0)
        x, y = speed_x * (now_s - self.seen_s), speed_y * (now_s - self.seen_s)
        return Box(self.whole.xmin + x, self.whole.ymin + y, self.whole.xmax + x, self.whole.ymax + y)

    def is_outside(self, now_s: float, width: float, height: float) -> bool:
        """Return whether more than half of the face should have left the picture by ``now_s``."""
        x, y = self.expected(now_s).centre
        return not (0 <= x <= width and 0 <= y <= height)

    def meet(self, face: Face, now_s: float, surely: bool, whole: bool) -> None:
        """Continue with a face. ``surely`` is false for a low score, ``whole`` where a person may hide a part of it."""
        after_s = now_s - self.seen_s
        if surely and not self.missed:
            # The face of a person who walks away shrinks step by step; one that halves at once is hidden.
            whole = whole or _share(face.box, self.whole) < MIN_OF_WHOLE < _share(face.box, self.face.box)
        if after_s > 0:
            box = face.box if whole else _completed(self.expected(now_s), face.box)
            (x, y), (old_x, old_y) = box.centre, self.whole.centre
            # The last box of a person who disappears is faint, and as often around their hair: no speed follows from
            # it.
            if surely:
                weight_s = after_s if whole else after_s * PARTLY_HIDDEN_WEIGHT
                self._learn((x - old_x) / after_s, (y - old_y) / after_s, weight_s)
            self.whole = box
        self.face, self.seen_s, self.missed, self.outage_s = face, now_s, 0, 0.0

    def hidden_from(self, face: Face, now_s: float) -> float:
        """Return how far a face that came out is from this person, in face widths; infinite if it is not theirs.

        The distance is sideways, from where the person went or should be, whichever is nearer.
        """
        low, high = max(self.whole.ymin, face.box.ymin), min(self.whole.ymax, face.box.ymax)
        share = face.box.width / max(self.whole.width, 1e-6)
        if high - low < MIN_COMMON_HEIGHT * min(self.whole.height, face.box.height):
            return math.inf
        # Either box may be a part: the last one before they disappeared, and the first one after.
        if not MIN_PART < share < 1 / MIN_PART:
            return math.inf
        x = face.box.centre[0]
        went, should = self.whole.centre[0], self.expected(now_s).centre[0]
        distance = min(abs(x - went), abs(x - should)) / max(1.0, self.whole.width)
        return distance if distance < HIDDEN_REACH else math.inf

    def _learn(self, x: float, y: float, for_s: float) -> None:
        old_x, old_y = self.speed or (x, y)
        share = 1 - math.exp(-for_s / SPEED_MEMORY_S)
        self.speed = old_x + share * (x - old_x), old_y + share * (y - old_y)


class Tracker:
    """Call :meth:`update` for every frame that the detector inspected, :meth:`expected` for all others."""

    def __init__(self, track: TrackSettings, detect: DetectSettings) -> None:
        self._settings, self._start_score = track, detect.start_score
        self._min_px, self._max_px = detect.min_face_px, detect.max_face_px or math.inf
        self._states: list[_State] = []
        self._next_id = 1
        self._frame_s = math.inf

    def update(
        self, faces: Sequence[Face], now_s: float, size: tuple[float, float] = (math.inf, math.inf)
    ) -> tuple[Track, ...]:
        """Return the people present at ``now_s``, oldest first.

        ``faces`` are all faces of the frame, ``size`` the picture's width and height in pixels. A face outside
        ``detect.min_face_px`` and ``max_face_px`` starts no track.
        """
        self._bridge(now_s)
        # Before pairing: a face after a pause that long is a new person, however near. So is one that comes in where
        # another person has just gone out.
        lost_s = self._settings.lost_s
        self._states = [
            s for s in self._states if s.unseen_s(now_s) <= lost_s and not (s.missed and s.is_outside(now_s, *size))
        ]
        # Sure faces first: a faint box beside must not take a person from the sure one.
        sure = [face for face in faces if face.score >= self._start_score]
        new = self._pair(sure, self._states, now_s)
        unmet = [state for state in self._states if state.seen_s < now_s]
        for state in unmet:
            state.missed += 1
        if unmet and len(sure) < len(faces):
            self._continue([face for face in faces if face.score < self._start_score], now_s)
        self._states = [state for state in self._states if self._keeps_size(state.whole)]
        for face in new:
            if self._min_px <= face.box.width <= self._max_px and not _lies_on(face.box, self._seen(now_s)):
                self._states.append(_State(self._next_id, face, face.box, now_s, now_s))
                self._next_id += 1
        if unmet:
            self._reunite(now_s)
        return self.expected(now_s)

    def expected(self, now_s: float) -> tuple[Track, ...]:
        """Return the same people where they should be at ``now_s``, without a detection."""
        self._bridge(now_s)
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

    def _bridge(self, now_s: float) -> None:
        """After an outage of the camera, let it not count as time unseen for those who stood before it."""
        gap_s, self._frame_s = now_s - self._frame_s, now_s
        if not OUTAGE_S[0] <= gap_s <= OUTAGE_S[1]:
            return
        for state in self._states:
            # A second outage may come before the person is seen again.
            if state.outage_s or state.stands():
                state.outage_s += gap_s

    def _keeps_size(self, whole: Box) -> bool:
        """Return whether a tracked face is still within the limits of ``detect``, with some slack.

        The longer side counts against the lower limit: a face that turns, or leaves the picture, loses width alone.
        """
        return max(whole.width, whole.height) * SIZE_SLACK >= self._min_px and whole.width <= self._max_px * SIZE_SLACK

    def _continue(self, faint: Sequence[Face], now_s: float) -> None:
        """Give people whose face was not found a faint one. A faint box on a face that was found is usually its ear."""
        unmet = [state for state in self._states if 0 < state.missed <= MAX_MISSED]
        seen = self._seen(now_s)
        self._pair([face for face in faint if not _lies_on(face.box, seen)], unmet, now_s, surely=False)

    def _reunite(self, now_s: float) -> None:
        """Give a face that has just come out from behind a person, or turned back, the track of who was hidden."""
        hidden = [state for state in self._states if state.missed > 1 and not state.outage_s]
        if not hidden:
            return
        for new in [s for s in self._states if not s.missed and now_s - s.entered_s <= YOUNG_S]:
            distance, old = min(
                ((s.hidden_from(new.face, now_s), s) for s in hidden if self._may_be(new, s, now_s)),
                key=lambda pair: pair[0],
                default=(math.inf, new),
            )
            if distance < math.inf:
                new.id, new.entered_s = old.id, old.entered_s
                hidden.remove(old)
                self._states.remove(new)
                self._states[self._states.index(old)] = new

    def _may_be(self, new: _State, old: _State, now_s: float) -> bool:
        """Return whether a new face appeared where ``old`` could: from behind a person, or where they turned away."""
        if old.seen_s >= new.entered_s:
            return False
        box, others = new.face.box, [s for s in self._states if s is not new and s.missed <= 1]
        if any(_beside(box, s.face.box, HIDER_REACH) for s in others if not s.missed):
            return True
        return _lies_on(box, [old.whole, old.expected(now_s)]) and not _lies_on(box, [s.whole for s in others])

    def _seen(self, now_s: float) -> list[Box]:
        return [state.face.box for state in self._states if state.seen_s == now_s]

    def _pair(self, faces: Sequence[Face], states: Sequence[_State], now_s: float, surely: bool = True) -> list[Face]:
        """Give each of ``states`` its face, best pairs first; return the faces that no state took."""
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
            # A hidden person is not visible on a face that the last detection found.
            and not (state.missed and surely and _lies_on(face.box, there))
        )
        paired: set[int] = set()
        taken: set[int] = set()
        for _, i, k in pairs:
            if i not in paired and k not in taken:
                paired.add(i)
                taken.add(k)
                states[i].meet(faces[k], now_s, surely, whole[k])
        return [face for k, face in enumerate(faces) if k not in taken]

    def _cost(self, state: _State, expected: Box, face: Face, surely: bool, whole: bool) -> float:
        """Return how badly a face fits a person, infinite if not at all: where ``expected`` is, or where they were."""
        if state.outage_s:
            share = face.box.width / max(state.whole.width, 1e-6)
            same = 1 / SAME_SIZE <= share <= SAME_SIZE
            return _misfit(state.whole, face.box, SAME_PLACE) if same else math.inf
        reach = self._settings.reach
        if not surely:
            reach *= FAINT_REACH_FACTOR
        elif state.speed is None and not state.missed:
            reach *= FIRST_REACH_FACTOR
        cost = min(_misfit(expected, face.box, reach), _misfit(state.whole, face.box, reach) + STOPPING_PENALTY)
        share = face.box.width / max(expected.width, 1e-6)
        if surely and not whole and not state.missed:
            # Beside a person, but not hidden: the face of who walks away is smaller than the whole face remembered.
            cost = min(cost, _misfit(state.face.box, face.box, reach) + STOPPING_PENALTY)
        elif surely and not whole and MIN_PART < share < 1 and expected.ymin < face.box.centre[1] < expected.ymax:
            # Out from behind a person, at the height it went: a part is visible, and the whole of it has to fit.
            cost = min(cost, _misfit(expected, _completed(expected, face.box), reach) - math.log(share))
        return cost


def _completed(expected: Box, part: Box) -> Box:
    """Return the whole face of which ``part`` is visible: the edge nearest to its expected place is the visible one.

    The height stays as expected, unless the part reaches above or below.
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
    """Return the visible share of a face's width or height, whichever is larger."""
    return max(box.width / max(whole.width, 1e-6), box.height / max(whole.height, 1e-6))


def _beside(box: Box, other: Box, reach: float = 2.0) -> bool:
    """Return whether the boxes are within ``reach`` of the larger one's size, so that one may hide a part of the other.

    By default there is less than a face between two boxes of one size.
    """
    xmin, ymin, xmax, ymax = box
    other_xmin, other_ymin, other_xmax, other_ymax = other
    apart = abs(xmin + xmax - other_xmin - other_xmax) / (2 * reach)
    if apart >= xmax - xmin and apart >= other_xmax - other_xmin:
        return False
    apart = abs(ymin + ymax - other_ymin - other_ymax) / (2 * reach)
    return apart < ymax - ymin or apart < other_ymax - other_ymin


def _lies_on(box: Box, others: Sequence[Box]) -> bool:
    """Return whether a box is mostly one of the others: detectors sometimes give one face two boxes."""
    return any(
        box.intersection(other) > MAX_SHARED * min(box.width * box.height, other.width * other.height)
        for other in others
    )


def _misfit(expected: Box, found: Box, reach: float) -> float:
    """Return the distance of the centres in face widths, plus the logarithm of the ratio of the widths.

    Infinite beyond ``reach`` face widths, or if the sizes cannot be those of one face.
    """
    # Called several times for every pair of person and face: Box's properties would take half of the tracker's time.
    xmin, ymin, xmax, ymax = expected
    found_xmin, found_ymin, found_xmax, found_ymax = found
    width, found_width = max(xmax - xmin, 1e-6), max(found_xmax - found_xmin, 1e-6)
    if not found_width / MAX_SIZE_CHANGE <= width <= found_width * MAX_SIZE_CHANGE:
        return math.inf
    distance = math.hypot(xmin + xmax - found_xmin - found_xmax, ymin + ymax - found_ymin - found_ymax)
    distance /= max(2.0, width + found_width)
    return distance + abs(math.log(width / found_width)) if distance <= reach else math.inf
