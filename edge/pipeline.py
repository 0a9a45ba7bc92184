"""The page to read first: what happens to one frame, top to bottom.

    camera -> watch -> detect -> regions -> track -> static -> presence -> schedule -> classify -> decide -> alert

Each stage is one file in :mod:`edge.stages`. Stages know only :mod:`edge.contracts`; the pipeline knows the stages; the
service knows the pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from edge.contracts import Decision, Detector, Face, Frame, Observation, Passage, Signal, Step, Track, Turned
from edge.stages.alert import Alert
from edge.stages.classify import MaskClassifier
from edge.stages.decide import Decider
from edge.stages.presence import PresenceCheck
from edge.stages.regions import Regions
from edge.stages.schedule import Scheduler
from edge.stages.static import StaticFaces
from edge.stages.track import Tracker
from edge.stages.upright import UprightCheck
from edge.stages.watch import Watch


class Pipeline:
    """The stages of one camera, joined. :meth:`step` is the product. ``camera`` is empty if there is only one."""

    def __init__(
        self,
        watch: Watch,
        detector: Detector,
        tracker: Tracker,
        scheduler: Scheduler,
        classifier: MaskClassifier,
        decider: Decider,
        alert: Alert,
        camera: str = "",
        stopwatch: Callable[[], float] = time.perf_counter,
        regions: Regions | None = None,
        static: StaticFaces | None = None,
        upright: UprightCheck | None = None,
        presence: PresenceCheck | None = None,
    ) -> None:
        self._watch, self._detector, self._tracker, self._scheduler = watch, detector, tracker, scheduler
        self._classifier, self._decider, self._alert = classifier, decider, alert
        self._camera, self._stopwatch = camera, stopwatch
        self._upright, self._presence = upright, presence
        self._regions, self._static = regions or Regions(), static or StaticFaces(0)
        self._tracks: tuple[Track, ...] = ()
        self._passages: Mapping[int, Passage] = {}
        self._timings_s: dict[str, float] = {}
        self._lapped_s = 0.0

    def step(self, frame: Frame) -> Step:
        """Process one frame from pixels to pins and return everything that it led to."""
        self._timings_s, self._lapped_s = {}, self._stopwatch()
        # The frame's own time, not the clock's: a recording is decided as it would have been live.
        now_s = frame.captured_s
        faces: tuple[Face, ...] = ()
        ignored: tuple[Face, ...] = ()
        turned: Turned | None = None
        observations: Mapping[int, Observation] = {}
        detected = self._watch.due(frame, self._scheduler.presence(self._tracks, self._passages, now_s))
        self._lap("watch")
        height, width = frame.image.shape[:2]
        if detected:
            faces, ignored = self._regions.split(self._detector.detect(frame), (width, height))
            turned = self._upright.check(frame, faces) if self._upright else None
            self._lap("detect")
        elif not self._tracks:
            # An empty doorway: the alert hears that the loop is alive, and no further stage costs anything.
            self._alert.renew(Signal.RUNNING, now_s, camera=self._camera)
            self._lap("alert")
            signal = Signal.RUNNING if self._alert.armed else Signal.DISARMED
            return Step(
                frame, False, False, (), (), {}, (), (), signal, self._timings_s, self._camera, sensor=self._sensor_hint
            )
        # Between detections people move on at their last speed, so that their passages and the alarm go on.
        tracks = self._tracker.update(faces, now_s, (width, height)) if detected else self._tracker.expected(now_s)
        self._tracks, pictures = self._static.split(tracks, frame, detected)
        measured: tuple[Track, ...] = ()
        if self._presence is not None:
            self._tracks, measured = self._presence.split(self._tracks, frame, detected)
            pictures += measured
        self._lap("track")
        if detected:
            observations = self._observe(frame)
            self._lap("classify")
        # In every frame, also without observations: passages end and people become unsure by time alone.
        armed, unreal = self._alert.armed, {track.id for track in pictures}
        found = self._decider.update(self._tracks, observations, now_s, armed, unreal)
        self._passages = {passage.id: passage for passage in found.passages}
        self._lap("decide")
        self._alert.renew(found.signal, now_s, found.offenders, found.cleared, self._camera)
        self._lap("alert")
        return Step(
            frame,
            True,
            detected,
            faces,
            self._tracks,
            observations,
            found.passages,
            found.decisions,
            found.signal if armed else Signal.DISARMED,
            self._timings_s,
            self._camera,
            ignored,
            pictures,
            turned,
            frozenset(track.id for track in measured),
            self._sensor_hint,
        )

    def finish(self, now_s: float) -> tuple[Decision, ...]:
        """End every passage and the alarm, because the source has ended; return the decisions."""
        self._alert.renew(Signal.RUNNING, now_s, camera=self._camera)
        return self._decider.closing(now_s)

    @property
    def _sensor_hint(self) -> str:
        return self._presence.hint if self._presence else ""

    def _observe(self, frame: Frame) -> Mapping[int, Observation]:
        views = self._scheduler.select(self._tracks, self._passages, frame.captured_s)
        if not views:
            return {}
        return dict(zip(views, self._classifier.classify(frame, list(views.values())), strict=True))

    def _lap(self, stage: str) -> None:
        """Record the time since the last call as the time of ``stage``."""
        now_s = self._stopwatch()
        self._timings_s[stage], self._lapped_s = now_s - self._lapped_s, now_s
