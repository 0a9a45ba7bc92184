"""What frames say of a camera: size and rate in the log, and hints, as of faces that are all too small.

All are what a user needs to see once after mounting a camera, and none changes what fmd does.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from edge import addresses, config
from edge.config import CameraSettings, DetectSettings, Settings
from edge.contracts import Box, Change, Delivery, Frame, Step, Track, Turned
from edge.reporting.listener import Listener

log = logging.getLogger(__name__)

MEASURED_S = 2.0
"""Time over which the rate is measured. Drivers report the rate they were asked for, not the one that they give."""
HINT_DETECTIONS = 50
"""Detections of small moving faces, with no person tracked in between, that make a hint: two or three people who pass
far away. A person who walks up to the door is small in about 20 detections."""
VOTES, MIN_VOTES = 10, 8
"""Newest votes on how a camera hangs that count, and how many of them must agree."""
MIN_MOVE = 0.25
"""Distance in face widths from which a face has moved. A poster on the wall stays, and is no badly mounted camera."""


Report = Callable[[str, str, str], object]
"""Reports a hint: :meth:`edge.reporting.listener.Listener.on_hint`."""


class SourceLog(Listener):
    """Logs device, size and measured rate of every live camera once."""

    def __init__(self) -> None:
        self._cameras: dict[str, CameraSettings] = {}
        self._waiting: set[str] = set()
        self._first: dict[str, Frame] = {}
        self._newest: dict[str, int] = {}

    def on_settings(self, settings: Settings) -> None:
        """Begin with the cameras of these settings; the ones that stay the same were logged before."""
        cameras = config.cameras(settings.camera)
        changed = {name for name, camera in cameras.items() if self._cameras.get(name) != camera}
        self._waiting = (self._waiting | changed) & cameras.keys()
        self._cameras, self._first, self._newest = cameras, {}, {}

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Measure the rate until it is logged. A recording has none of its own."""
        if step.camera not in self._waiting or delivery.late_s is None:
            return
        if step.frame.index <= self._newest.get(step.camera, -1):  # opened again: it counts from 0
            self._first.pop(step.camera)
        self._newest[step.camera] = step.frame.index
        first = self._first.setdefault(step.camera, step.frame)
        frames, seconds = step.frame.index - first.index, step.frame.captured_s - first.captured_s
        if seconds >= MEASURED_S:
            height, width = step.frame.image.shape[:2]
            camera = self._cameras[step.camera]
            log.info(
                "camera%s is %s: %d x %d, %.1f frames per second (requested: %d x %d, %g)",
                step.camera and f" {step.camera}",
                step.frame.device or addresses.redacted(camera.source),
                width,
                height,
                frames / seconds,
                camera.width,
                camera.height,
                camera.fps,
            )
            self._waiting.discard(step.camera)
            del self._first[step.camera]


class FaceSizeMonitor(Listener):
    """Hints that a camera is too far away: people pass, and the faces of all are below ``detect.min_face_px``.

    The hint is logged once. ``report`` gets the camera's name, the hint's kind, and the hint: empty once a person is
    tracked.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._detect: DetectSettings  # of on_settings, which comes before any step
        self._counts: dict[str, int] = {}
        self._last: dict[str, Box] = {}
        self._hinted: set[str] = set()
        self._logged = False

    def on_settings(self, settings: Settings) -> None:
        """Begin again: cameras, their place and the limit may be other ones."""
        self._detect = settings.detect
        self._counts, self._last, self._hinted = {}, {}, set()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Count small faces that move; a tracked person ends the count."""
        if step.tracks:
            self._clear(step.camera)
        elif small := self._small(step):
            last = self._last.get(step.camera)
            self._last[step.camera] = small
            if last is not None and _moved(last, small):
                self._count(step.camera)

    def _small(self, step: Step) -> Box | None:
        """Return the box of the best face if it is too small, None if there is none or a larger one."""
        sure = [face.box for face in step.faces if face.score >= self._detect.start_score]
        return sure[0] if sure and max(box.width for box in sure) < self._detect.min_face_px else None

    def _count(self, camera: str) -> None:
        self._counts[camera] = self._counts.get(camera, 0) + 1
        if self._counts[camera] < HINT_DETECTIONS or camera in self._hinted:
            return
        self._hinted.add(camera)
        hint = (
            f"faces too small: all are narrower than detect.min_face_px ({self._detect.min_face_px} pixels), so no one "
            "is judged; mount it closer, or increase camera.width and camera.height (docs/mounting.md)"
        )
        if not self._logged:
            log.warning("camera%s: %s", camera and f" {camera}", hint)
        self._logged = True
        self._report(camera, "size", hint)

    def _clear(self, camera: str) -> None:
        self._counts.pop(camera, None)
        self._last.pop(camera, None)
        if camera in self._hinted:
            self._hinted.discard(camera)
            self._report(camera, "size", "")


class TurnReport(Listener):
    """Reports a camera in whose pictures faces are upside down or on their side.

    The hint is logged once. It is empty again once most faces are upright.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._cameras: dict[str, CameraSettings] = {}
        self._votes: dict[str, deque[Turned]] = {}
        self.rotations: dict[str, int] = {}
        """Camera -> ``camera.rotate`` that would make its faces upright."""

    def on_settings(self, settings: Settings) -> None:
        """Begin again: cameras and their rotation may be other ones."""
        self._cameras, self._votes = config.cameras(settings.camera), {}
        self.rotations.clear()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Collect the votes of faces that move, upright and turned ones."""
        if step.turned is None:
            return
        votes = self._votes.setdefault(step.camera, deque(maxlen=VOTES))
        # A poster that hangs on its side must not outvote people.
        if votes and not _moved(votes[-1].box, step.turned.box):
            return
        votes.append(step.turned)
        degrees, count = Counter(vote.degrees for vote in votes).most_common(1)[0]
        if count < MIN_VOTES:
            return
        if degrees and step.camera not in self.rotations:
            self._hint(step.camera, degrees)
        elif not degrees and step.camera in self.rotations:
            del self.rotations[step.camera]
            self._report(step.camera, "turn", "")

    def _hint(self, camera: str, degrees: int) -> None:
        settings = self._cameras[camera]
        # The picture is turned first and mirrored then, so that a mirrored one needs the opposite turn.
        rotate = (settings.rotate + (-degrees if settings.mirror else degrees)) % 360
        key = f"camera.rotations.{camera}" if camera else "camera.rotate"
        how = "upside down" if degrees == 180 else "on their side"
        hint = f"faces are {how}, and decisions on them are wrong; turn the camera, or set {key} = {rotate}"
        log.warning("camera%s: %s", camera and f" {camera}", hint)
        self.rotations[camera] = rotate
        self._report(camera, "turn", hint)


STILL, FLAT = "does not move", "is as warm, or as far, as the wall behind it"
"""Why a face counts as a picture: by the camera, and by a presence sensor."""


class PictureReport(Listener):
    """Reports faces that count as pictures (``watch.static_s``, ``[sensor]``): where each is, in the log and as a hint.

    The log states each once.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._places: dict[str, dict[int, str]] = {}
        self._logged: set[tuple[str, str]] = set()

    def on_settings(self, settings: Settings) -> None:
        """Begin again: every face is judged at first."""
        self._places, self._logged = {}, set()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Add the pictures that this step found, and remove the ones that have moved."""
        places = self._places.setdefault(step.camera, {})
        moved = places.keys() & {track.id for track in step.tracks} if places else ()
        found = {decision.passage.id for decision in step.decisions if decision.change is Change.PICTURE}
        for id_ in moved:
            del places[id_]
        # A picture that the sensor unmasks gives no decision at all.
        found |= step.measured - places.keys()
        for track in step.pictures:
            if track.id in found:
                self._add(step, track, places)
        if moved or found:
            self._report(step.camera, "picture", _hint(list(dict.fromkeys(places.values()))))

    def _add(self, step: Step, track: Track, places: dict[int, str]) -> None:
        place = places[track.id] = _place(track.box, step.frame)
        if (step.camera, place) not in self._logged:
            self._logged.add((step.camera, place))
            log.info(
                "camera%s: the face at %s %s: it counts as a picture, and gives no alarm until it moves",
                step.camera and f" {step.camera}",
                place,
                FLAT if track.id in step.measured else STILL,
            )


class StepHints(Listener):
    """Reports what steps themselves say is wrong, as of a presence sensor or a camera's second stream.

    ``kind`` is the hint's; ``hint`` returns what a step says, empty if all is well.
    """

    def __init__(self, report: Report, kind: str, hint: Callable[[Step], str]) -> None:
        self._report, self._kind, self._hint = report, kind, hint
        self._hints: dict[str, str] = {}

    def on_settings(self, settings: Settings) -> None:
        """Begin again: a run begins without hints, and the cameras may be other ones."""
        self._hints = {}

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Report a hint that differs from the last one of this camera."""
        hint = self._hint(step)
        if hint != self._hints.get(step.camera, ""):
            self._hints[step.camera] = hint
            self._report(step.camera, self._kind, hint)


def driver_hints(report: Report) -> StepHints:
    """Return the listener for what a camera's driver says of its own faults."""
    return StepHints(report, "driver", lambda step: step.frame.hint)


def sensor_hints(report: Report) -> StepHints:
    """Return the listener for what is wrong with the presence sensor: that it fails, or does not see people."""
    return StepHints(report, "sensor", lambda step: step.sensor)


def _place(box: Box, frame: Frame) -> str:
    """Return the centre of a box as a corner in ``watch.ignore``: shares of the picture's width and height."""
    (x, y), (height, width) = box.centre, frame.image.shape[:2]
    return f"[{x / width:.2f}, {y / height:.2f}]"


def _hint(places: list[str]) -> str:
    """Return the hint about the pictures at ``places``, empty if there is none."""
    if not places:
        return ""
    one = len(places) == 1
    what = "a face counts as a picture" if one else "faces count as pictures"
    return f"{what}, at {', '.join(places)}; to leave them out for good, cover them or use watch.ignore"


def _moved(before: Box, now: Box) -> bool:
    (x, y), (before_x, before_y) = now.centre, before.centre
    return max(abs(x - before_x), abs(y - before_y)) > MIN_MOVE * now.width
