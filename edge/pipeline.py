"""The page to read first: what happens to one frame, top to bottom.

    capture -> watch -> detect -> track -> classify -> decide -> alert

Stages know only :mod:`edge.contracts`; what is inside them, their own file says. The pipeline knows the stages, the
service knows the pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from edge.alert import Alert
from edge.classify import MaskClassifier
from edge.config import ClassifySettings
from edge.contracts import Change, Decision, Face, Frame, Outcome, Signal, Step, Track, Verdict
from edge.decide import Decider
from edge.detect import FaceDetector
from edge.track import Tracker
from edge.watch import Presence, Watch


class Pipeline:
    """One camera's stages, joined. :meth:`step` is the product."""

    def __init__(
        self,
        watch: Watch,
        detector: FaceDetector,
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
        self._timings_s: dict[str, float] = {}

    def step(self, frame: Frame) -> Step:
        """Take one frame all the way from pixels to pins."""
        self._timings_s = {}
        now_s = frame.captured_s
        with self._timed("watch"):
            looked = self._watch.due(frame, self._presence(now_s))
        if not looked and not self._tracks:
            with self._timed("alert"):
                self._alert.renew(Signal.RUNNING, now_s)
            return Step(frame, False, (), (), {}, (), (), False, self._timings_s, looked=False)
        faces: tuple[Face, ...] = ()
        if looked:
            with self._timed("detect"):
                faces = self._detector.detect(frame)
        with self._timed("track"):
            self._tracks = self._tracker.update(faces, now_s) if looked else self._tracker.expected(now_s)
        verdicts: Mapping[int, Verdict] = {}
        if looked:
            with self._timed("classify"):
                verdicts = self._look(frame, self._tracks)
        with self._timed("decide"):
            passages, decisions = self._decider.update(self._tracks, verdicts, now_s)
        with self._timed("alert"):
            signal = max(map(self._decider.signal, passages), default=Signal.RUNNING)
            offenders = [passage.id for passage in passages if self._decider.signal(passage).alarming]
            self._alert.renew(signal, now_s, offenders, cleared=any(map(_clears, decisions)))
        alarm, timings_s = signal.alarming, self._timings_s
        return Step(
            frame, True, faces, self._tracks, verdicts, passages, decisions, alarm, timings_s, looked, signal=signal
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

    def _look(self, frame: Frame, tracks: Sequence[Track]) -> Mapping[int, Verdict]:
        """Classify the faces seen in this frame whose turn it is, those who waited longest first."""
        now_s = frame.captured_s
        self._looked_s = {t.id: self._looked_s.get(t.id, float("-inf")) for t in tracks}
        due = [t for t in tracks if not t.missed and now_s - self._looked_s[t.id] >= self._interval_s(t, now_s) - 1e-6]
        due.sort(key=lambda t: self._looked_s[t.id])
        verdicts = {t.id: self._classifier.classify(frame, Face(t.box, t.score)) for t in due[: self._settings.at_once]}
        self._looked_s.update(dict.fromkeys(verdicts, now_s))
        return verdicts

    def _interval_s(self, track: Track, now_s: float) -> float:
        settled = self._decider.settled(track.id, now_s)
        return max(self._settings.every_s, self._settings.settled_s) if settled else self._settings.every_s

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started_s = self._stopwatch()
        try:
            yield
        finally:
            self._timings_s[stage] = self._stopwatch() - started_s


def _clears(decision: Decision) -> bool:
    """Whether a decision lets somebody in who was not let in before."""
    return decision.change is not Change.LEFT and decision.passage.outcome is Outcome.COMPLIANT
