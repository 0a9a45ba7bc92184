"""Tracks -> people, and pictures that a presence sensor unmasks: faces as warm, or as far, as the wall behind them.

The stage sums log odds that a face is a person's, as the decider sums those of a missing mask:

    what is usual       of the faces that come into view, one in twenty is a picture
    movement            who walks is a person, but for one picture in fifty, which is carried
    the sensor          the mean of its readings within WINDOW_S (:mod:`edge.inference.presence`)

A face whose sum is below zero is a picture. The sensor has no veto: its part is never below the logarithm of the share
of people that it misses, so that a walking person outweighs it. It learns this share at the door, from people who
walk there, and unmasks no picture before it has seen half a dozen of them. A sensor that hangs wrongly therefore counts
for nothing, and is reported. A silent one counts for nothing at once.

Readings of one face err together, so their mean counts and not their sum.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from edge.contracts import Box, Frame, Reading, SensorFeed, Track
from edge.inference.presence import Evidence, SensorView, evidence

USUAL = math.log(20)
"""Log odds that a face which comes into view is a person's."""
WALKS = math.log(0.9 / 0.02)
"""Log odds of a person from their movement. It halves every WALKED_S: tracks of people may pass to a poster."""
WALKED_S = 10.0
MOVE, GROW = 0.5, 1.5
"""Movement in widths of the face, and ratio of widths, from which a face has moved: a detector's boxes tremble."""
WINDOW_S = 2.0
"""Age of the oldest reading that counts, and of the newest one of a sensor that is not silent."""
BACK = 1.0
"""Log odds from which a picture is a person again: above zero, so that the two do not alternate."""
MIN_OVERLAP = 0.5
"""Intersection over union of a face when a reading began and when it ended, from which the reading is of this face."""
AT_START_S = 1.0
"""A face that is there so soon after the first frame was there before it: an earlier reading is of this face."""
PLACE_S, MAX_PLACES = 600.0, 64
"""How long, and how many, places of pictures are remembered: a face there is taken for that picture at first."""
SURE_WALK_S = 3.0
"""Time after a movement in which a face is surely a person's, and the sensor should show something of it."""
STRONG = 2.0
"""Log odds that a reading is expected to give, from which on it shows whether the sensor sees a person."""
FIRST_MISSES, FIRST_PEOPLE = 0.5, 5.0
"""Share of people that the sensor is taken to miss before any were counted: too many for it to unmask a picture."""
FORGET = 0.98
"""Factor on earlier counts for each person: about the last fifty count."""
HINT_MISSES, HINT_SHARE = 4.0, 0.3
"""Missed people, and their share, from which on the sensor is reported."""


AT_ONCE = 8
"""Largest number of faces that one reading is weighed for, those that waited longest: in a crowd it costs time."""


class Counts(NamedTuple):
    """People who walked past: how many the sensor missed, and saw. Older ones count less."""

    missed: float = 0.0
    seen: float = 0.0

    @property
    def share(self) -> float:
        """Share of people that the sensor is expected to miss, 0..1."""
        return (FIRST_MISSES + self.missed) / (FIRST_PEOPLE + self.missed + self.seen)

    @property
    def trusted(self) -> bool:
        """Whether the sensor may unmask a picture."""
        return USUAL + math.log(self.share) < 0

    def one_more(self, seen: bool) -> Counts:
        """Return the counts after one more person."""
        return Counts(self.missed * FORGET + (not seen), self.seen * FORGET + seen)


@dataclass(slots=True, eq=False)
class _Face:
    """What is known of one track."""

    reference: Box
    first_s: float
    boxes: deque[tuple[float, Box]] = field(default_factory=lambda: deque(maxlen=32))
    moved_s: float = float("-inf")
    odds: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=16))
    guessed: bool = False  # its odds are those of a picture that was at its place
    counted: bool = False
    weighed_s: float = float("-inf")
    is_picture: bool = False
    began_s: float | None = None

    def at(self, time_s: float) -> Box:
        """Return where the face was."""
        known = [box for at_s, box in self.boxes if at_s <= time_s]
        return known[-1] if known else self.boxes[0][1]

    def log_odds(self, now_s: float) -> float:
        """Return the log odds of a person."""
        walked = WALKS * math.pow(0.5, (now_s - self.moved_s) / WALKED_S)
        sensed = [odds for at_s, odds in self.odds if now_s - at_s <= WINDOW_S]
        return USUAL + walked + (sum(sensed) / len(sensed) if sensed else 0.0)


class PresenceCheck:
    """Call :meth:`split` for every frame of the camera that the sensor of ``feed`` hangs beside.

    ``counts`` are those of an earlier run; ``keep`` gets them whenever the sensor becomes trusted, or no longer is.
    """

    def __init__(
        self,
        view: SensorView,
        feed: SensorFeed,
        counts: Counts | None = None,
        keep: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        self._view, self._feed, self._keep = view, feed, keep
        self.counts = counts or Counts()
        self._faces: dict[int, _Face] = {}
        self._places: list[tuple[Box, float, float]] = []  # box, when last seen, log odds
        self._last: Reading | None = None
        self._began_s: float | None = None

    @property
    def hint(self) -> str:
        """What is wrong with the sensor, empty if nothing is."""
        if fault := self._feed.fault:
            return f"the presence sensor counts for nothing: {fault}"
        missed, seen = self.counts
        if missed < HINT_MISSES or missed < HINT_SHARE * (missed + seen):
            return ""
        return (
            "the presence sensor does not see many of the people who walk past, so it counts for little; check "
            "sensor.offset_deg, sensor.rotate, sensor.mirror and sensor.camera_field_deg (docs/sensor.md)"
        )

    def split(
        self, tracks: tuple[Track, ...], frame: Frame, detected: bool
    ) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
        """Return the people and the pictures among the tracks of a frame.

        A face that was taken for a picture enters as a person when it moves, or when the sensor shows a person.
        """
        now_s = frame.captured_s
        self._began_s = now_s if self._began_s is None else self._began_s
        reading = self._reading(now_s)
        if detected:
            self._forget({track.id for track in tracks})
            for track in tracks:
                if not track.missed:
                    self._follow(track, now_s, reading)
            if reading is not None and reading is not self._last:
                self._weigh(tracks, frame, reading)
        for track in tracks:
            self._judge(track, now_s, reading)
        people = tuple(self._as_person(track) for track in tracks if not self._is_picture(track))
        return people, tuple(track for track in tracks if self._is_picture(track))

    def _reading(self, now_s: float) -> Reading | None:
        """Return the newest reading unless the sensor is silent: then nothing that it said counts any more."""
        reading = self._feed.newest
        if reading is not None and now_s - reading.ended_s <= WINDOW_S:
            return reading
        self._places.clear()
        for face in self._faces.values():
            face.odds.clear()
        return None

    def _follow(self, track: Track, now_s: float, reading: Reading | None) -> None:
        face = self._faces.get(track.id)
        if face is None:
            face = self._faces[track.id] = _Face(track.box, now_s)
            known = [
                odds for box, at_s, odds in self._places if box.iou(track.box) >= MIN_OVERLAP and now_s - at_s < PLACE_S
            ]
            if known and reading is not None:
                face.odds.append((now_s, min(known)))
                face.guessed = True
        face.boxes.append((now_s, track.box))
        (x, y), (old_x, old_y) = track.box.centre, face.reference.centre
        width, old_width = max(1.0, track.box.width), max(1.0, face.reference.width)
        far = math.hypot(x - old_x, y - old_y) >= MOVE * max(width, old_width)
        if far or max(width / old_width, old_width / width) >= GROW:
            face.reference, face.moved_s = track.box, now_s

    def _weigh(self, tracks: Sequence[Track], frame: Frame, reading: Reading) -> None:
        """Add what a new reading says of each face that was there while it was taken."""
        self._last = reading
        height, width = frame.image.shape[:2]
        places = {
            track.id: self._view.place(self._faces[track.id].at(reading.ended_s), (width, height), reading)
            for track in tracks
            if track.id in self._faces
        }
        there = [track for track in tracks if not track.missed and track.id in places]
        there = [track for track in there if self._was_there(self._faces[track.id], reading)]
        for track in sorted(there, key=lambda track: self._faces[track.id].weighed_s)[:AT_ONCE]:
            face = self._faces[track.id]
            others = [box for id_, box in places.items() if id_ != track.id]
            found = evidence(reading, places[track.id], others, self.counts.share)
            if face.guessed:
                face.odds.clear()
                face.guessed = False
            face.odds.append((frame.captured_s, found.odds))
            face.weighed_s = frame.captured_s
            self._learn(face, found, frame.captured_s)

    def _was_there(self, face: _Face, reading: Reading) -> bool:
        before = face.first_s - (self._began_s or 0.0) <= AT_START_S
        if face.first_s > reading.began_s and not before:
            return False
        return face.at(reading.began_s).iou(face.at(reading.ended_s)) >= MIN_OVERLAP

    def _learn(self, face: _Face, found: Evidence, now_s: float) -> None:
        """Count once for each person who walks whether the sensor sees them."""
        if face.counted or now_s - face.moved_s > SURE_WALK_S or found.expected < STRONG or -1.0 <= found.odds <= 0.5:
            return
        face.counted, trusted = True, self.counts.trusted
        self.counts = self.counts.one_more(found.odds > 0)
        if trusted is not self.counts.trusted:
            self._keep(self.counts)

    def _judge(self, track: Track, now_s: float, reading: Reading | None) -> None:
        face = self._faces.get(track.id)
        if face is None:
            return
        odds = face.log_odds(now_s)
        if face.is_picture and (odds > BACK or reading is None):
            # What was seen of it before does not count: the person comes in now.
            face.is_picture, face.began_s = False, now_s
        elif not face.is_picture and odds < 0:
            face.is_picture = True
        if face.is_picture and not face.guessed and face.odds:
            self._remember(track.box, now_s, sum(odds for _, odds in face.odds) / len(face.odds))

    def _remember(self, box: Box, now_s: float, odds: float) -> None:
        others = [place for place in self._places if place[0].iou(box) < MIN_OVERLAP]
        self._places = [*others, (box, now_s, odds)][-MAX_PLACES:]

    def _is_picture(self, track: Track) -> bool:
        face = self._faces.get(track.id)
        return face is not None and face.is_picture

    def _as_person(self, track: Track) -> Track:
        face = self._faces.get(track.id)
        if face is None or face.began_s is None:
            return track
        return msgspec.structs.replace(track, entered_s=face.began_s)

    def _forget(self, present: set[int]) -> None:
        for gone in self._faces.keys() - present:
            del self._faces[gone]
