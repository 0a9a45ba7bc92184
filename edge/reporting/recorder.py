"""Steps, decisions and health of a run -> rows of the record. Costs the loop microseconds for each observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np

from edge import config
from edge.config import Settings
from edge.contracts import (
    ENDS,
    Box,
    CameraState,
    Change,
    Decision,
    Delivery,
    Frame,
    Health,
    Image,
    Observation,
    Outcome,
    Step,
    Track,
)
from edge.inference.evidence import MIN_LOG_ODDS_AT_DOOR, is_face
from edge.messages import ArmingMessage, DriftMessage
from edge.record import examples, view
from edge.record.evidence import MOST, Weighed, packed
from edge.record.notes import Finding
from edge.record.rows import PassageRow, RunRow, SpanState
from edge.record.store import Record
from edge.reporting.listener import Listener
from edge.stages.classify import CROP_MARGIN, crop_face, crop_square, sharpness_of
from edge.stages.decide import SURE_FACE

CROP = (96, 96)
"""Size, (height, width) in pixels, of the crop whose sharpness is recorded: one scale for every model."""
MOST_PEOPLE = 16
"""People in view whose pictures are held for ``record.examples``; each may take half a megabyte of memory."""
DRIFT_EVERY_S = 600.0
"""Shortest time between two passages that are kept only because the camera has changed: they displace older ones."""
EXAMPLES_HINT = "it keeps pictures of unclear faces (record.examples)"


@dataclass(slots=True)
class _Open:
    """A person who is in view: what their row will hold."""

    id: int
    entered_s: float
    followed_s: float = 0.0  # time of the last frame in which the decider knew this person
    observations: list[Weighed] = field(default_factory=list)
    count: int = 0
    score_sum: float = 0.0
    last_wrong: float | None = None
    differences: float = 0.0
    decided_s: float | None = None
    alarm_s: float | None = None
    cleared_s: float | None = None
    width: float = 0.0
    brightness: float = 0.0
    sharpness: float = 0.0
    place: tuple[float, float] = (0.0, 0.0)
    revised: bool = False
    pictures: dict[str, tuple[float, Image]] = field(default_factory=dict)  # label -> its best observation's quality


class Recorder(Listener):
    """Records each passage with an outcome, and what each camera did at each time.

    ``describe`` returns the row of a run with these settings.
    """

    def __init__(self, record: Record, describe: Callable[[Settings], RunRow]) -> None:
        self._record, self._describe = record, describe
        self._open: dict[tuple[str, int], _Open] = {}
        self._run = RunRow()
        self._passages = 0
        self._seeing: dict[str, SpanState] = {}
        self._seen_s: dict[str, float] = {}
        self._armed = True
        self._examples = False
        self._drift_kept_s: dict[str, float] = {}

    def on_settings(self, settings: Settings) -> None:
        """Begin a run: later passages are of these models and settings."""
        self._open.clear()
        self._drift_kept_s.clear()
        self._examples = settings.record.examples != "none"
        self._run = self._describe(settings)
        self._record.begin_run(self._run)
        for camera in self._record.spans().keys() - config.cameras(settings.camera).keys():
            self._record.span(camera, None)
            self._seeing.pop(camera, None)

    def on_health(self, health: Health) -> None:
        """Record whether the camera sees anything from now on."""
        state = SpanState.WATCHING
        if health.state is CameraState.DARK:
            state = SpanState.DARK
        elif health.blind:
            state = SpanState.BLIND
        self._seeing[health.camera] = state
        self._record_span(health.camera)

    def on_arming(self, arming: ArmingMessage) -> None:
        """Record that a camera that sees people gives no alarm from now on, or gives it again."""
        self._armed = arming.armed
        for camera in self._seeing:
            self._record_span(camera)

    def _record_span(self, camera: str) -> None:
        state = self._seeing[camera]
        disarmed = state is SpanState.WATCHING and not self._armed
        self._record.span(camera, SpanState.DISARMED if disarmed else state)

    def _see(self, step: Step) -> None:
        """Hand on what the camera sees while the doorway is empty, once a minute."""
        now_s = step.frame.captured_s
        if step.tracks or now_s - self._seen_s.get(step.camera, float("-inf")) < view.EVERY_S:
            return
        self._seen_s[step.camera] = now_s
        if (
            self._seeing.get(step.camera) is SpanState.WATCHING
            and (found := view.edge_map(step.frame.luma)) is not None
        ):
            self._record.add_view(step.camera, found)

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Collect the observations of this frame, and forget people who left without an outcome."""
        self._see(step)
        if not step.tracks and not self._open:
            return
        for track in step.tracks:
            if (observation := step.observations.get(track.id)) is not None:
                person = self._person(step.camera, track.id, track.entered_s)
                self._observe(person, track, observation, step.frame)
        for decision in step.decisions:
            self._describe_face(decision, step)
        present = {passage.id for passage in step.passages}
        for id_ in present:
            if (followed := self._open.get((step.camera, id_))) is not None:
                followed.followed_s = step.frame.captured_s
        for key in [key for key in self._open if key[0] == step.camera and key[1] not in present]:
            del self._open[key]

    def on_decision(self, decision: Decision) -> None:
        """Record the end of a passage; one that ends with the source has no step of its own."""
        at_s, passage = decision.at_s, decision.passage
        person = self._person(decision.camera, passage.id, passage.entered_s)
        if decision.change in ENDS:
            self._add(person, decision, passage.seen_s)
            del self._open[decision.camera, passage.id]
            return
        # An unsure person who is decided later was only slow.
        person.revised |= decision.change is Change.REVISED and person.decided_s is not None
        if person.decided_s is None and passage.outcome is not Outcome.UNSURE:
            person.decided_s = at_s
        if passage.outcome is Outcome.VIOLATION and person.alarm_s is None:
            person.alarm_s = at_s
        person.cleared_s = at_s if passage.outcome is Outcome.COMPLIANT and passage.violated else None

    def _person(self, camera: str, id_: int, entered_s: float) -> _Open:
        person = self._open.get((camera, id_))
        if person is None:
            self._passages += 1
            person = self._open[camera, id_] = _Open(self._passages, entered_s)
        return person

    def _observe(self, person: _Open, track: Track, observation: Observation, frame: Frame) -> None:
        at_s = frame.captured_s
        if not is_face(track.score, observation.background, MIN_LOG_ODDS_AT_DOOR):
            return  # the decider does not weigh it either
        shares = tuple(observation.probabilities.get(label, 0.0) for label in self._labels(observation))
        if len(person.observations) < MOST:
            sure = track.score >= SURE_FACE
            person.observations.append(Weighed(at_s - person.entered_s, observation.quality, sure, shares))
        wrong = 1 - observation.probabilities.get(self._run.compliant, 0.0)
        if person.last_wrong is not None:
            person.differences += abs(wrong - person.last_wrong)
        person.last_wrong = wrong
        person.count += 1
        person.score_sum += track.score
        if self._examples and len(self._open) <= MOST_PEOPLE:
            self._cut(person, track, observation, frame.image)

    def _cut(self, person: _Open, track: Track, observation: Observation, image: Image) -> None:
        """Hold the best picture for each label that the classifier gave this person."""
        label, quality = observation.label, observation.quality
        if quality <= person.pictures.get(label, (0.0, None))[0]:
            return
        margin = self._run.margin
        side = min(examples.MOST_SIDE, crop_square(track.box, margin)[2])
        person.pictures[label] = (quality, crop_face(image, track.box, margin, (side, side)))

    def _reason(self, person: _Open, decision: Decision) -> str:
        """Return why the pictures of a passage that ends are kept, or an empty string."""
        if decision.passage.outcome is Outcome.UNSURE:
            return examples.UNSURE
        if person.revised:
            return examples.REVISED
        due_s = self._drift_kept_s.get(decision.camera, float("-inf")) + DRIFT_EVERY_S
        if decision.at_s < due_s or not any(f.camera == decision.camera for f in self._record.findings):
            return ""
        self._drift_kept_s[decision.camera] = decision.at_s
        return examples.DRIFT

    def _labels(self, observation: Observation) -> tuple[str, ...]:
        return self._run.labels or tuple(observation.probabilities)

    def _describe_face(self, decision: Decision, step: Step) -> None:
        """Measure the face of a person who was decided in this frame, and record a violation before they leave."""
        person = self._open.get((decision.camera, decision.passage.id))
        track = next((t for t in step.tracks if t.id == decision.passage.id), None)
        if person is None or track is None or decision.change in ENDS:
            return
        height, width = step.frame.image.shape[:2]
        x, y = track.box.centre
        person.width, person.place = track.box.width, (x / width, y / height)
        person.brightness = _brightness(step.frame, track.box)
        person.sharpness = sharpness_of(crop_face(step.frame.image, track.box, CROP_MARGIN, CROP), CROP_MARGIN)
        if decision.passage.outcome is Outcome.VIOLATION:
            self._add(person, decision, None)

    def _add(self, person: _Open, decision: Decision, left_s: float | None) -> None:
        passage = decision.passage
        # Frames have monotonic times, or a clip's: in both, the passage began as long ago as it has lasted.
        age_s, count = decision.at_s - person.entered_s, person.count
        # What turned out to be a picture was no passage: it counts nowhere, and its evidence is of no use.
        real = decision.change is not Change.PICTURE
        entered = self._record.now_ms() - _ms(age_s)
        if left_s is not None and real and person.pictures and (reason := self._reason(person, decision)):
            pictures = tuple(picture for _, picture in person.pictures.values())
            self._record.add_example(examples.Example(entered, decision.camera, reason, pictures))
        lasted = person.followed_s - person.entered_s
        self._record.add_passage(
            PassageRow(
                id=person.id,
                camera=decision.camera,
                entered=entered,
                decided=_since(person, person.decided_s),
                alarm=_since(person, person.alarm_s),
                cleared=_since(person, person.cleared_s),
                ended=_since(person, left_s),
                outcome=passage.outcome.value if real else Change.PICTURE.value,
                label=passage.label,
                violated=passage.violated and real,
                observations=passage.observations,
                width=person.width,
                brightness=person.brightness,
                score=person.score_sum / max(1, count),
                sharpness=person.sharpness,
                disagreement=person.differences / max(1, count - 1),
                place=person.place,
                evidence=packed(person.observations, lasted) if left_s is not None and real else b"",
            )
        )


class ExampleHints(Listener):
    """Reports to ``report`` (camera, kind, hint) that pictures of unclear faces are kept, while they are."""

    def __init__(self, report: Callable[[str, str, str], None]) -> None:
        self._report = report

    def on_settings(self, settings: Settings) -> None:
        """Report it for each camera: a run begins without hints."""
        if settings.record.examples != "none":
            for camera in config.cameras(settings.camera):
                self._report(camera, "examples", EXAMPLES_HINT)


class DriftReport(Listener):
    """Hands the record's findings to ``follower``, in the loop's thread: those about a camera as a hint as well."""

    def __init__(self, record: Record, follower: Listener) -> None:
        self._record, self._follower = record, follower
        self._shown: dict[str, tuple[Finding, ...]] = {}
        self._last: tuple[Finding, ...] | None = None

    def on_settings(self, settings: Settings) -> None:
        """Report again, also that nothing has changed: a run begins without hints."""
        self._shown = dict.fromkeys(config.cameras(settings.camera), ())
        self._last = None

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Report findings that are new, and that are gone."""
        findings = self._record.findings
        if findings is self._last:
            return
        first, self._last = self._last is None, findings
        for camera, shown in self._shown.items():
            own = tuple(finding for finding in findings if finding.camera == camera)
            if first or own != shown:
                self._shown[camera] = own
                self._report(camera, own, first)

    def _report(self, camera: str, findings: Sequence[Finding], first: bool) -> None:
        of_camera = [finding for finding in findings if finding.of_camera]
        if of_camera or not first:
            self._follower.on_hint(camera, "drift", _listed(of_camera))
        behaviour = [finding for finding in findings if not finding.of_camera]
        self._follower.on_drift(
            camera,
            DriftMessage(
                bool(of_camera),
                _listed(of_camera),
                _first(of_camera),
                bool(behaviour),
                _listed(behaviour),
                _first(behaviour),
            ),
        )


def _listed(findings: Sequence[Finding]) -> str:
    return "; ".join(finding.message for finding in findings)


def _first(findings: Sequence[Finding]) -> str:
    """Return when the first of these changes was, ISO 8601 in UTC."""
    if not findings:
        return ""
    first_s = min(finding.since for finding in findings) / 1000
    return datetime.fromtimestamp(first_s, timezone.utc).isoformat(timespec="seconds")


def _since(person: _Open, at_s: float | None) -> int | None:
    return None if at_s is None else _ms(at_s - person.entered_s)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _brightness(frame: Frame, box: Box) -> float:
    """Return the mean brightness 0..255 of a face, from the small brightness plane."""
    luma = frame.luma
    height, width = luma.shape
    full_height, full_width = frame.image.shape[:2]
    x, y = width / full_width, height / full_height
    part = luma[
        max(0, int(box.ymin * y)) : max(1, int(box.ymax * y) + 1),
        max(0, int(box.xmin * x)) : max(1, int(box.xmax * x) + 1),
    ]
    return float(np.mean(part)) if part.size else 0.0
