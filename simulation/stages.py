"""fmd's stages joined for a simulated door."""

from __future__ import annotations

from edge.config import Settings
from edge.contracts import Detector
from edge.pipeline import Pipeline
from edge.stages.alert import Alert
from edge.stages.classify import MaskClassifier
from edge.stages.decide import Decider
from edge.stages.schedule import Scheduler
from edge.stages.track import Tracker
from edge.stages.watch import Watch


def joined(settings: Settings, detector: Detector, classifier: MaskClassifier, alert: Alert) -> Pipeline:
    """Return fmd's pipeline for one camera that watches the whole picture, without a presence sensor."""
    return Pipeline(
        Watch(settings.watch, settings.detect),
        detector,
        Tracker(settings.track, settings.detect),
        Scheduler(settings.classify),
        classifier,
        Decider(settings.decide, classifier.compliant),
        alert,
    )
