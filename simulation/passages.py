"""Passages composed from labelled faces, and how the whole pipeline decides them.

    python -m simulation.passages BOXES.csv --split test --plot passages.png

People come through the drawn doorway, one passage after the other. They enter, pause and leave; walk fast, shake their
heads, turn away, are out of focus; come in pairs, cross, walk up from afar; take the mask off once cleared. Each person
is cut from a photograph around one labelled face and moved as a flat cutout, with the motion blur of 1/30 s.

Measured for every person: decided right, alarms, changes of the decision, and the time from the first usable face.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np

from converter.tables import LabelledFace, Picture, read_boxes
from edge import config
from edge.config import Settings
from edge.contracts import (
    ENDS,
    WITH_INCORRECT_MASK,
    WITH_MASK,
    WITHOUT_MASK,
    Box,
    Decision,
    Delivery,
    Detector,
    Floats,
    Frame,
    Image,
    Outcome,
    Step,
)
from edge.drivers.doorway import draw_doorway
from edge.inference import bundle
from edge.reporting.listener import Callbacks, Listener, report_step
from edge.service import models
from edge.stages.alert import Alert
from edge.stages.classify import MaskClassifier
from simulation.outputs import RecordingOutput
from simulation.stages import joined
from training.confusion import Matrix
from training.data import load_faces, of_split
from training.decision import calibrate_passages

FPS = 15.0
WIDTH, HEIGHT = 640, 480
GAP_S = 2.2
"""Empty doorway before each passage, in seconds; longer than ``track.lost_s``, so that the next person is a new one."""
EXPOSURE_S = 1 / 30
"""Exposure of a frame, which makes the motion blur."""
MIN_FACE_WIDTH = 40.0
"""Narrowest labelled face, in pixels: smaller ones would have to be enlarged for a door's distance."""


class Pose(NamedTuple):
    """Place and appearance of a face: centre and width in pixels, turned away (0 to 1), defocus (sigma, pixels)."""

    x: float
    y: float
    width: float
    turned: float = 0.0
    defocus: float = 0.0


Gait = Callable[[float], Pose]
"""Seconds since the start of the passage -> pose."""
Owners = dict[int, Counter[int | None]]
"""Track id -> number of frames in which the track lay on each person of the passage (by index; None: on no person)."""


@dataclass(frozen=True)
class Cutout:
    """A person cut from a photograph: (h, w, 3) RGB uint8, soft outline (h, w) uint8, the face in it, its label."""

    image: Image
    outline: Image
    face: Box
    label: str
    name: str


@dataclass(frozen=True)
class Walker:
    """A person who walks through a passage. ``cutouts`` pairs each with the second from which it is visible."""

    cutouts: Sequence[tuple[float, Cutout]]
    gait: Gait

    def cutout(self, at_s: float) -> Cutout:
        """Return the cutout that is visible at a second of the passage."""
        return [cutout for from_s, cutout in self.cutouts if at_s >= from_s][-1]

    @property
    def violates(self) -> bool:
        """Whether the person must raise the alarm at some time."""
        return any(cutout.label != WITH_MASK for _, cutout in self.cutouts)

    @property
    def violates_from_s(self) -> float:
        """Second of the passage from which the person must raise the alarm; infinite if never."""
        return next((from_s for from_s, cutout in self.cutouts if cutout.label != WITH_MASK), math.inf)

    @property
    def kind(self) -> str:
        """Label of the person, or "taken off" if it changes."""
        return "taken off" if len(self.cutouts) > 1 else self.cutouts[0][1].label


@dataclass(frozen=True)
class ComposedPassage:
    """People who come through the doorway together, and the manner in which they do."""

    manner: str
    people: Sequence[Walker]
    seconds: float


def faces_alone(pictures: Sequence[Picture]) -> Iterator[tuple[Picture, LabelledFace]]:
    """Yield the faces that are large enough and have no other face within their surroundings."""
    for picture in pictures:
        for face in picture.faces:
            around = _surroundings(face.box)
            others = (other for other in picture.faces if other is not face)
            if face.box.width >= MIN_FACE_WIDTH and not any(other.box.intersection(around) for other in others):
                yield picture, face


def _surroundings(box: Box) -> Box:
    """Return the part to cut out around a face: head and shoulders."""
    (x, y), side = box.centre, max(box.width, box.height)
    return Box(x - 1.1 * side, y - 1.0 * side, x + 1.1 * side, y + 1.7 * side)


def cut_out(picture: Picture, face: LabelledFace) -> Cutout:
    """Return the cutout of one labelled face."""
    image, faces = load_faces(picture)
    # load_faces may shrink a large picture, so that boxes are those of the picture it returns.
    scaled = faces[picture.faces.index(face)].box
    around = _surroundings(scaled)
    xmin, ymin = max(0, int(around.xmin)), max(0, int(around.ymin))
    piece = image[ymin : int(around.ymax), xmin : int(around.xmax)].copy()
    side = max(scaled.width, scaled.height)
    soft = max(1, int(0.1 * side))
    outline = np.zeros(piece.shape[:2], np.uint8)
    # A hard edge around the cutout would be a feature that no real picture has.
    outline[soft:-soft, soft:-soft] = 255
    box = Box(scaled.xmin - xmin, scaled.ymin - ymin, scaled.xmax - xmin, scaled.ymax - ymin)
    softened = np.asarray(cv2.GaussianBlur(outline, (0, 0), soft / 2), np.uint8)
    return Cutout(
        piece,
        softened,
        box,
        face.label,
        f"{picture.name}@{face.box.xmin:.0f},{face.box.ymin:.0f}",
    )


def pausing(
    width: float,
    side: float,
    y: float = 0.42,
    pause_s: float = 1.8,
    stop_x: float = 0.5,
) -> Gait:
    """Return a gait: in from one side, stop and sway, on to the other side; 1.2 s each way."""

    def gait(at_s: float) -> Pose:
        away = max(0.0, 1 - at_s / 1.2) - max(0.0, (at_s - 1.2 - pause_s) / 1.2)
        x = WIDTH * (stop_x + side * 0.7 * away) + 4 * math.sin(at_s * 3)
        return Pose(x, HEIGHT * y + 3 * math.sin(at_s * 9), width)

    return gait


def walking_past(width: float, side: float, seconds: float) -> Gait:
    """Return a gait straight through, without a stop."""
    return lambda at_s: Pose(
        WIDTH * (0.5 + side * (0.7 - 1.4 * at_s / seconds)),
        HEIGHT * 0.42 + 4 * math.sin(at_s * 11),
        width,
    )


def walking_up(width: float, side: float) -> Gait:
    """Return a gait from the far end of the corridor up to the camera in 3 s, then a pause, then out at the side."""

    def gait(at_s: float) -> Pose:
        near = min(1.0, 0.25 + 0.75 * at_s / 3.0)
        out = max(0.0, (at_s - 4.0) / 1.0)
        return Pose(
            WIDTH * (0.5 + side * 0.8 * out),
            HEIGHT * (0.32 + 0.1 * near) + 2 * math.sin(at_s * 9),
            width * near,
        )

    return gait


def shaking(gait: Gait, from_s: float = 1.6, to_s: float = 2.8) -> Gait:
    """Add a head shake to a gait: 2.5 shakes a second, each as far as people turn their heads in result."""

    def shaken(at_s: float) -> Pose:
        pose = gait(at_s)
        if not from_s <= at_s < to_s:
            return pose
        swing = math.sin((at_s - from_s) * 2.5 * 2 * math.pi)
        return pose._replace(x=pose.x + 0.18 * pose.width * swing, turned=0.6 * abs(swing))

    return shaken


def turning_away(gait: Gait, from_s: float = 1.7, to_s: float = 2.7) -> Gait:
    """Add a turn of the head to the side to a gait, for a second."""

    def turned(at_s: float) -> Pose:
        inside = min(at_s - from_s, to_s - at_s)
        return gait(at_s)._replace(turned=min(1.0, max(0.0, inside / 0.25)))

    return turned


def out_of_focus(gait: Gait, from_s: float = 1.4, to_s: float = 2.4) -> Gait:
    """Add a second to a gait in which the camera searches its focus."""

    def blurred(at_s: float) -> Pose:
        pose, inside = gait(at_s), min(at_s - from_s, to_s - at_s)
        return pose._replace(defocus=pose.width / 12 * min(1.0, max(0.0, inside / 0.3)))

    return blurred


MANNERS = (
    "pause",
    "pause",
    "walk",
    "fast",
    "shake",
    "turn",
    "blur",
    "up",
    "pair",
    "cross",
    "off",
)
"""Manners of the passages, in turn."""
LABEL_SHARES = {WITH_MASK: 0.45, WITHOUT_MASK: 0.35, WITH_INCORRECT_MASK: 0.2}


class CutoutPool:
    """Cards in random order; each is drawn once before any is drawn again."""

    def __init__(self, cutouts: Mapping[str, Sequence[Cutout]], rng: np.random.Generator) -> None:
        self._cutouts, self._rng = cutouts, rng
        self._left: dict[str, list[Cutout]] = {label: [] for label in cutouts}

    def draw(self, label: str | None = None) -> Cutout:
        """Return a cutout with this label, or with a random one by :data:`LABEL_SHARES`."""
        label = label or str(self._rng.choice(list(LABEL_SHARES), p=list(LABEL_SHARES.values())))
        if not self._left[label]:
            self._left[label] = [self._cutouts[label][i] for i in self._rng.permutation(len(self._cutouts[label]))]
        return self._left[label].pop()


def passages_of(cutouts: Mapping[str, Sequence[Cutout]], number: int, seed: int = 1) -> Iterator[ComposedPassage]:
    """Yield ``number`` passages; the seed determines them."""
    rng = np.random.default_rng(seed)
    pool = CutoutPool(cutouts, rng)
    for i in range(number):
        yield _passage(MANNERS[i % len(MANNERS)], pool.draw, rng)


def _passage(manner: str, draw: Callable[..., Cutout], rng: np.random.Generator) -> ComposedPassage:
    width, side = float(rng.uniform(64, 150)), 1.0 if rng.random() < 0.5 else -1.0
    stop = pausing(width, side)
    if manner == "pair":
        near, far = (
            pausing(width, side, stop_x=0.32),
            pausing(width * 0.9, side, 0.4, stop_x=0.72),
        )
        people = [
            Walker([(0.0, draw())], near),
            Walker([(0.0, draw())], lambda at_s: far(at_s - 0.3)),
        ]
        return ComposedPassage(manner, people, 4.8)
    if manner == "cross":
        ways = [walking_past(width, side, 2.6), walking_past(width * 0.8, -side, 3.0)]
        return ComposedPassage(manner, [Walker([(0.0, draw())], way) for way in ways], 3.1)
    if manner == "off":
        gait = pausing(width, side, pause_s=4.0)
        return ComposedPassage(manner, [Walker([(0.0, draw(WITH_MASK)), (3.0, draw(WITHOUT_MASK))], gait)], 6.4)
    gaits: dict[str, tuple[Gait, float]] = {
        "walk": (walking_past(width, side, 2.4), 2.4),
        "fast": (walking_past(width, side, 1.3), 1.3),
        "shake": (shaking(stop), 4.2),
        "turn": (turning_away(stop), 4.2),
        "blur": (out_of_focus(stop), 4.2),
        "up": (walking_up(width, side), 5.0),
    }
    gait, seconds = gaits.get(manner, (stop, 4.2))
    return ComposedPassage(manner, [Walker([(0.0, draw())], gait)], seconds)


class SceneRenderer:
    """Renders passages onto the doorway."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self._doorway = draw_doorway()
        self._noise = [rng.normal(0, 2, self._doorway.shape).round().astype(np.int16) for _ in range(8)]

    def frames(self, passage: ComposedPassage) -> Iterator[tuple[float, Image]]:
        """Yield the time in the passage and the frame, (480, 640, 3) RGB uint8.

        The empty doorway before the passage comes first, at times below zero.
        """
        for i in range(-int(GAP_S * FPS), int(passage.seconds * FPS)):
            scene = self._doorway.copy()
            # The larger person is nearer, and hides the others.
            for person in sorted(passage.people, key=lambda p: p.gait(i / FPS).width) if i >= 0 else ():
                paste(
                    scene,
                    person.cutout(i / FPS),
                    person.gait(i / FPS),
                    person.gait(i / FPS + EXPOSURE_S),
                )
            yield (
                i / FPS,
                np.asarray(cv2.add(scene, self._noise[i % 8], dtype=cv2.CV_8U), np.uint8),
            )


def paste(scene: Image, cutout: Cutout, pose: Pose, after: Pose) -> None:
    """Blend a cutout into the scene at ``pose``, blurred towards its pose ``after`` the exposure."""
    scale = pose.width / cutout.face.width
    # A flat cutout cannot turn: it gets narrower instead, as the face in a picture does.
    squeezed = scale * (1 - 0.6 * pose.turned)
    (x, y), (height, width) = cutout.face.centre, cutout.outline.shape
    left, top = pose.x - squeezed * x, pose.y - scale * y
    length = math.hypot(after.x - pose.x, after.y - pose.y)
    spread = 2 + length / 2 + 3 * pose.defocus
    # Only the covered part of the scene is blended: a face covers a tenth of it.
    xmin, xmax = (round(min(WIDTH, max(0, v))) for v in (left - spread, left + squeezed * width + spread))
    ymin, ymax = (round(min(HEIGHT, max(0, v))) for v in (top - spread, top + scale * height + spread))
    if xmax - xmin < 1 or ymax - ymin < 1:
        return
    matrix = np.array([[squeezed, 0, left - xmin], [0, scale, top - ymin]])
    # A blur before shrinking: without it warpAffine skips pixels and makes patterns that no camera gives.
    image = cv2.GaussianBlur(cutout.image, (0, 0), 0.4 / scale) if scale < 0.7 else cutout.image
    person = cv2.warpAffine(image, matrix, (xmax - xmin, ymax - ymin), borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(cutout.outline, matrix, (xmax - xmin, ymax - ymin))
    if pose.defocus > 0.3:
        person, alpha = (cv2.GaussianBlur(p, (0, 0), pose.defocus) for p in (person, alpha))
    if length > 1.5:
        kernel = _smear(after.x - pose.x, after.y - pose.y, length)
        # The outline is blurred like the picture, so that the edge moves with it.
        person, alpha = cv2.filter2D(person, -1, kernel), cv2.filter2D(alpha, -1, kernel)
    share = alpha[:, :, None].astype(np.float32) / 255
    # covered is a view: the assignment changes the scene.
    covered = scene[ymin:ymax, xmin:xmax]
    covered[:] = (person * share + covered * (1 - share)).astype(np.uint8)


def _smear(dx: float, dy: float, length: float) -> Floats:
    """Return the kernel that blurs a point along (dx, dy) pixels."""
    size = 2 * int(length / 2) + 3
    kernel, middle = np.zeros((size, size), np.float32), size // 2
    start = (round(middle - dx / 2), round(middle - dy / 2))
    cv2.line(kernel, start, (round(middle + dx / 2), round(middle + dy / 2)), 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


@dataclass
class WalkerResult:
    """Decisions of the pipeline on one person. ``decisions`` pairs each with its second of the passage."""

    manner: str
    person: Walker
    decisions: list[tuple[float, Decision]] = field(default_factory=list)
    usable_s: float = math.inf
    """Second of the first usable face, from the violation on if the person is ever in violation."""

    @property
    def alarms(self) -> int:
        """Number of decisions for a violation, departures aside."""
        return sum(d.passage.outcome is Outcome.VIOLATION for _, d in self.decisions)

    @property
    def flips(self) -> int:
        """Number of changed decisions, except the one for taking the mask off; a first "unsure" is no change."""
        outcomes = [d.passage.outcome for _, d in self.decisions if d.passage.outcome is not Outcome.UNSURE]
        # The first decision is no change: pairs count, not decisions.
        changes = sum(one is not other for one, other in itertools.pairwise(outcomes))
        return max(0, changes - (self.person.kind == "taken off"))

    @property
    def outcome(self) -> str:
        """Outcome of the last decision, or ``undecided``."""
        return self.decisions[-1][1].passage.outcome.value if self.decisions else "undecided"

    @property
    def right(self) -> bool:
        """Whether every decision was right.

        A person in violation ends as one, without an alarm before. Everyone else ends as compliant, without an alarm.
        """
        if not self.person.violates:
            return self.outcome == "compliant" and not self.alarms
        early = any(
            d.passage.outcome is Outcome.VIOLATION and at_s < self.person.violates_from_s for at_s, d in self.decisions
        )
        return self.outcome == "violation" and not early

    @property
    def alarm_after_s(self) -> float | None:
        """Seconds from the first usable face to the alarm, or None."""
        at_s = next(
            (at_s for at_s, d in self.decisions if d.passage.outcome is Outcome.VIOLATION),
            None,
        )
        return None if at_s is None else at_s - self.usable_s


class Door:
    """The whole pipeline, which sees passage after passage as on one day at the door; ``listener`` follows it."""

    def __init__(
        self, settings: Settings, detector: Detector, classifier: MaskClassifier, listener: Listener | None = None
    ) -> None:
        self._listener = listener or Callbacks()
        led, buzzer = RecordingOutput("led", 17, True), RecordingOutput("buzzer", 27, True)
        self.led_states = led.states
        self.pipeline = joined(settings, detector, classifier, Alert(settings.alert, led, buzzer))
        self.spurious = 0
        """Number of decisions for a violation about a track that lay on no person."""
        self._index = 0

    def finish(self) -> None:
        """End every passage, as at the end of the day."""
        for decision in self.pipeline.finish(self._index / FPS):
            self._listener.on_decision(decision)

    def watch(self, passage: ComposedPassage, frames: Iterator[tuple[float, Image]]) -> list[WalkerResult]:
        """Send one passage through the pipeline and return the result of each of its people."""
        results = [WalkerResult(passage.manner, person) for person in passage.people]
        owners: Owners = defaultdict(Counter)
        decisions: list[tuple[float, Decision]] = []
        for at_s, image in frames:
            step = self.pipeline.step(Frame(image, None, self._index / FPS, self._index))
            self._index += 1
            report_step(self._listener, step, Delivery())
            decisions += [(at_s, d) for d in step.decisions if d.change not in ENDS]
            _count_owners(step, passage, at_s, owners)
            for result in results:
                if at_s >= 0 and result.usable_s == math.inf and _usable_now(result.person, at_s):
                    result.usable_s = at_s
        # Only after the passage is it clear on which person a track lay most of the time.
        for at_s, decision in decisions:
            most_common = owners[decision.passage.id].most_common(1)
            owner = most_common[0][0] if most_common else None
            if owner is not None:
                results[owner].decisions.append((at_s, decision))
            else:
                self.spurious += decision.passage.outcome is Outcome.VIOLATION
        return results


def _count_owners(step: Step, passage: ComposedPassage, at_s: float, owners: Owners) -> None:
    """Count for each track the person it lies on; None if it is on another face of a cutout, for example."""
    poses = [person.gait(at_s) for person in passage.people] if at_s >= 0 else []
    for track in step.tracks if step.detected else ():
        x, y = track.box.centre
        away = [math.hypot(x - pose.x, y - pose.y) / pose.width for pose in poses]
        # An expected box may lie anywhere; only found faces say whose the track is.
        if not track.missed:
            owners[track.id][away.index(min(away)) if away and min(away) < 0.7 else None] += 1


def _usable_now(person: Walker, at_s: float) -> bool:
    """Return whether the whole face is visible, large, sharp and frontal enough, and must raise the alarm by now."""
    pose = person.gait(at_s)
    half = pose.width / 2
    inside = half <= pose.x <= WIDTH - half and half <= pose.y <= HEIGHT - half
    # A person who takes the mask off is due only from then on, every other person from the start.
    due = at_s >= (person.violates_from_s if person.violates else 0.0)
    return due and inside and pose.width >= 32 and pose.turned < 0.3 and pose.defocus < 1


def summary(results: Sequence[WalkerResult]) -> str:
    """Return the table: a line for every kind of person and every manner, and one for all people."""
    lines = [
        f"{'':<22}{'people':>7}{'right':>8}{'wrong':>7}{'open':>6}{'alarms':>8}{'flips':>7}{'median s':>10}{'p95 s':>8}"
    ]
    groups: dict[str, list[WalkerResult]] = defaultdict(list)
    for result in results:
        groups[result.person.kind].append(result)
    for result in results:
        groups[f"  {result.manner}"].append(result)
    groups["all"] = list(results)
    for name, members in groups.items():
        lines.append(_row(name, members))
    return "\n".join(lines)


def confusion(results: Sequence[WalkerResult], labels: Sequence[str]) -> Matrix:
    """Return how decided passages are counted (labels, labels): the person's label down, the decision's label across.

    People who take the mask off have two labels, and people who stay unsure none; both are left out.
    """
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for result in results:
        if result.person.kind in labels and result.outcome in (Outcome.COMPLIANT.value, Outcome.VIOLATION.value):
            said = result.decisions[-1][1].passage.label
            counts[labels.index(result.person.kind), labels.index(said)] += 1
    return counts


def _row(name: str, members: Sequence[WalkerResult]) -> str:
    """Return one line of the table.

    ``alarms`` is the mean over the violations with an alarm, ``open`` counts undecided and unsure people.
    """
    raised = [result.alarms for result in members if result.person.violates and result.alarms]
    waits = sorted(
        result.alarm_after_s for result in members if result.person.violates and result.alarm_after_s is not None
    )
    opened = sum(result.outcome in ("undecided", "unsure") for result in members)
    right = sum(result.right for result in members)
    times = f"{median(waits):>10.2f}{waits[int(0.95 * (len(waits) - 1))]:>8.2f}" if waits else ""
    alarms = f"{sum(raised) / len(raised):>8.3f}" if raised else f"{'':>8}"
    flips = sum(result.flips for result in members) / len(members)
    return (
        f"{name:<22}{len(members):>7}{right / len(members):>8.3f}{len(members) - right - opened:>7}{opened:>6}"
        f"{alarms}{flips:>7.3f}{times}"
    )


def cutouts_of(boxes: Path, split: str) -> dict[str, list[Cutout]]:
    """Return the cutouts of all suitable people of a split, by label."""
    cutouts: dict[str, list[Cutout]] = {WITH_MASK: [], WITHOUT_MASK: [], WITH_INCORRECT_MASK: []}
    for picture, face in faces_alone(of_split(read_boxes(boxes), split)):
        if face.label in cutouts:
            cutouts[face.label].append(cut_out(picture, face))
    return cutouts


def run_passages(
    passages: Sequence[ComposedPassage], settings: Settings, listener: Listener | None = None
) -> tuple[list[WalkerResult], int]:
    """Send passages through the pipeline with the models of the settings; ``listener`` follows, as in a run.

    Returns the result of every person, and the number of alarms for no person.
    """
    door = Door(settings, models.open_detector(settings), models.open_classifier(settings), listener)
    scene = SceneRenderer()
    results: list[WalkerResult] = []
    for i, passage in enumerate(passages):
        results += door.watch(passage, scene.frames(passage))
        if i % 20 == 19:
            print(f"{i + 1}/{len(passages)} passages", flush=True)
    door.finish()
    return results, door.spurious


def plot(results: Sequence[WalkerResult], path: Path) -> None:
    """Plot the share of right decisions by kind and manner, and the time until an alarm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    shares, waits = figure.subplots(1, 2)
    for shift, kind in enumerate((WITH_MASK, WITHOUT_MASK, WITH_INCORRECT_MASK, "taken off")):
        by_manner = [
            [r.right for r in results if r.manner == m and r.person.kind == kind] for m in dict.fromkeys(MANNERS)
        ]
        heights = [sum(right) / len(right) if right else 0.0 for right in by_manner]
        shares.bar(
            [i + 0.2 * shift - 0.3 for i in range(len(heights))],
            heights,
            0.2,
            label=kind,
        )
        times = sorted(r.alarm_after_s for r in results if r.person.kind == kind and r.alarm_after_s is not None)
        if kind != WITH_MASK and times:
            waits.step(
                times,
                [(i + 1) / len(times) for i in range(len(times))],
                where="post",
                label=kind,
            )
    shares.set_xticks(range(len(dict.fromkeys(MANNERS))), list(dict.fromkeys(MANNERS)))
    shares.set(ylabel="people decided right", ylim=(0, 1))
    waits.set(
        xlabel="seconds from the first usable face to the alarm",
        ylabel="share of alarms",
        ylim=(0, 1),
    )
    shares.legend(loc="lower center", ncols=2)
    waits.legend()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("boxes", type=Path, help="table of labelled faces")
    parser.add_argument("--split", default="test", help="split that the people are from (default: %(default)s)")
    parser.add_argument("--passages", type=int, default=220, help="number of passages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the passages (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="picture file to plot the results to")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="CLASSIFIER",
        help="classifier .tflite to run, and to write the passages' confusion matrix into",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, as in fmd run",
    )
    arguments = parser.parse_args()
    chosen = dict(map(config.parse_assignment, arguments.set))
    if arguments.write:
        chosen["model.classifier"] = str(arguments.write)
    settings = config.load(None, chosen)
    cutouts = cutouts_of(arguments.boxes, arguments.split)
    results, spurious = run_passages(list(passages_of(cutouts, arguments.passages, arguments.seed)), settings)
    print(summary(results))
    print(f"alarms for no person: {spurious}")
    for result in results:
        if not result.right:
            person, outcome = result.person, result.outcome
            names = " then ".join(cutout.name for _, cutout in person.cutouts)
            print(f"not right: {result.manner:<6} {person.kind:<20} {outcome:<10} {result.alarms} alarms  {names}")
    if arguments.write:
        counts = confusion(results, bundle.unpack(arguments.write).contract.worn)
        calibrate_passages(arguments.write, counts)
        print(f"{arguments.write}: wrote the matrix per passage: {counts.tolist()}")
    if arguments.plot:
        plot(results, arguments.plot)


if __name__ == "__main__":
    main()
