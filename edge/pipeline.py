"""The page to read first: what happens to one frame, top to bottom.

    capture -> watch -> detect -> track -> classify -> decide -> alert

Stages know only :mod:`edge.contracts`; what is inside them, their own file says. The pipeline knows the stages, the
service knows the pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from edge.config import ClassifySettings
from edge.contracts import Change, Decision, Detector, Face, Frame, Observation, Signal, Step, Track
from edge.stages.alert import Alert
from edge.stages.classify import MaskClassifier, View
from edge.stages.decide import Decider
from edge.stages.track import Tracker
from edge.stages.watch import Presence, Watch


class Pipeline:
    """One camera's stages, joined. :meth:`step` is the product."""

    def __init__(
        self,
        watch: Watch,
        detector: Detector,
        tracker: Tracker,
        classifier: MaskClassifier,
        decider: Decider,
        alert: Alert,
        settings: ClassifySettings,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._watch, self._detector, self._tracker = watch, detector, tracker
        self._classifier, self._decider, self._alert = classifier, decider, alert
        self._settings, self._stopwatch = settings, stopwatch
        self._tracks: tuple[Track, ...] = ()
        self._looked_s: dict[int, float] = {}
        self._mirrored: dict[int, bool] = {}
        self._timings_s: dict[str, float] = {}
        self._lapped_s = 0.0

    def step(self, frame: Frame) -> Step:
        """Take one frame all the way from pixels to pins."""
        self._timings_s, self._lapped_s = {}, self._stopwatch()
        now_s = frame.captured_s
        faces: tuple[Face, ...] = ()
        observations: Mapping[int, Observation] = {}
        looked = self._watch.due(frame, self._presence(now_s))
        self._lap("watch")
        if looked:
            faces = self._detector.detect(frame)
            self._lap("detect")
        elif not self._tracks:
            self._alert.renew(Signal.RUNNING, now_s)
            self._lap("alert")
            return Step(frame, False, (), (), {}, (), (), False, self._timings_s, detected=False)
        height, width = frame.image.shape[:2]
        self._tracks = self._tracker.update(faces, now_s, (width, height)) if looked else self._tracker.expected(now_s)
        self._lap("track")
        if looked:
            observations = self._look(frame, self._tracks)
            self._lap("classify")
        passages, decisions = self._decider.update(self._tracks, observations, now_s)
        self._lap("decide")
        signal = max((passage.signal for passage in passages), default=Signal.RUNNING)
        offenders = [p.id for p in passages if p.signal and p.signal.alarming is signal.alarming]
        self._alert.renew(signal, now_s, offenders, cleared=any(map(_clears, decisions)))
        self._lap("alert")
        alarm, timings_s = signal.alarming, self._timings_s
        return Step(
            frame, True, faces, self._tracks, observations, passages, decisions, alarm, timings_s, looked, signal=signal
        )

    def finish(self, now_s: float) -> tuple[Decision, ...]:
        """The source has ended: everybody leaves, the alarm ends."""
        self._alert.renew(Signal.RUNNING, now_s)
        return self._decider.closing(now_s)

    def _presence(self, now_s: float) -> Presence:
        if not self._tracks:
            return Presence.NOBODY
        settled = all(self._decider.settled(track.id, now_s) for track in self._tracks)
        return Presence.SETTLED if settled else Presence.OPEN

    def _look(self, frame: Frame, tracks: Sequence[Track]) -> Mapping[int, Observation]:
        """Classify the faces seen in this frame whose turn it is, those who waited longest first.

        Every other look at a person is at the mirror image: somebody who stands still shows the same picture over and
        over, and a second opinion of it costs no more than the first (test-time augmentation: Krizhevsky et al. 2012).
        """
        now_s = frame.captured_s
        self._looked_s = {t.id: self._looked_s.get(t.id, float("-inf")) for t in tracks}
        due = [t for t in tracks if not t.missed and now_s - self._looked_s[t.id] >= self._interval_s(t, now_s) - 1e-6]
        due.sort(key=lambda t: self._looked_s[t.id])
        self._mirrored = {t.id: self._mirrored.get(t.id, True) for t in tracks}
        due = due[: self._settings.at_once]
        if not due:
            return {}
        for track in due:
            self._mirrored[track.id] = not self._mirrored[track.id]
            self._looked_s[track.id] = now_s
        looks = [View(Face(track.box, track.score), self._mirrored[track.id]) for track in due]
        return dict(zip((track.id for track in due), self._classifier.classify(frame, looks), strict=True))

    def _interval_s(self, track: Track, now_s: float) -> float:
        settled = self._decider.settled(track.id, now_s)
        return max(self._settings.every_s, self._settings.settled_s) if settled else self._settings.every_s

    def _lap(self, stage: str) -> None:
        """Note how long it is since the last call, as the time of ``stage``."""
        now_s = self._stopwatch()
        self._timings_s[stage], self._lapped_s = now_s - self._lapped_s, now_s


def _clears(decision: Decision) -> bool:
    """Whether a decision lets somebody in."""
    return decision.change is not Change.LEFT and decision.passage.signal is Signal.RUNNING
