"""Tracks -> the faces to classify in this frame, and how much attention the door needs.

Classification is the most expensive stage, so a person whose decision stands is observed rarely. In a crowd nobody can
be observed in every frame. If all took turns, the first alarm would wait until nearly everybody is decided. So half of
the observations go to those closest to an alarm, the others to those who waited longest.

Every second observation of a person is of the mirror image: a person who stands still shows the same picture again and
again, and a second opinion of it costs no more than the first (test-time augmentation: Krizhevsky et al. 2012).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.config import ClassifySettings
from edge.contracts import Face, Passage, Presence, Track, View

ROUNDING_S = 1e-6
"""Frame times are floats: an observation is due although its interval seems a rounding error too short."""


class Scheduler:
    """Selects the faces to classify. Call :meth:`select` for every frame in which the detector ran."""

    def __init__(self, settings: ClassifySettings) -> None:
        self._settings = settings
        self._observed_s: dict[int, float] = {}
        self._mirrored: dict[int, bool] = {}
        self._allowance = 0.0  # observations that suspects may have before those who waited longer

    def presence(self, tracks: Sequence[Track], passages: Mapping[int, Passage], now_s: float) -> Presence:
        """Return whether anyone is here, and whether the decisions of all who are here stand."""
        if not tracks:
            return Presence.NOBODY
        return Presence.SETTLED if all(_settled(passages, t.id, now_s) for t in tracks) else Presence.OPEN

    def select(self, tracks: Sequence[Track], passages: Mapping[int, Passage], now_s: float) -> dict[int, View]:
        """Return the faces of this frame to classify, by track id: at most ``at_once``.

        Half of them are those closest to an alarm, the others those who waited longest. ``passages`` are by track id,
        as of the frame before; a person who has just come has none.
        """
        # Both are rebuilt from the tracks, so that people who left are forgotten.
        self._observed_s = {t.id: self._observed_s.get(t.id, float("-inf")) for t in tracks}
        self._mirrored = {t.id: self._mirrored.get(t.id, True) for t in tracks}
        due = [t for t in tracks if not t.missed and self._is_due(t, passages, now_s)]
        due.sort(key=lambda track: self._observed_s[track.id])
        chosen = self._closest_to_alarm(due, passages) if len(due) > self._settings.at_once else []
        chosen += [track for track in due if track not in chosen]
        return {track.id: self._next_view(track, now_s) for track in chosen[: self._settings.at_once]}

    def _closest_to_alarm(self, due: Sequence[Track], passages: Mapping[int, Passage]) -> list[Track]:
        """Return the most suspicious of ``due``; over several frames at most half of the observations are theirs."""
        at_once = self._settings.at_once
        self._allowance = min(self._allowance + at_once / 2, at_once)
        suspects = [track for track in due if track.id in passages and passages[track.id].suspicion > 0]
        suspects.sort(key=lambda track: -passages[track.id].suspicion)
        chosen = suspects[: int(self._allowance)]
        self._allowance -= len(chosen)
        return chosen

    def _is_due(self, track: Track, passages: Mapping[int, Passage], now_s: float) -> bool:
        interval_s = self._settings.every_s
        if _settled(passages, track.id, now_s):
            interval_s = max(interval_s, self._settings.settled_s)
        return now_s - self._observed_s[track.id] >= interval_s - ROUNDING_S

    def _next_view(self, track: Track, now_s: float) -> View:
        self._mirrored[track.id] = not self._mirrored[track.id]
        self._observed_s[track.id] = now_s
        return View(Face(track.box, track.score), self._mirrored[track.id])


def _settled(passages: Mapping[int, Passage], id_: int, now_s: float) -> bool:
    return id_ in passages and now_s > passages[id_].settled_s
