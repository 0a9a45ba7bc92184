"""Passages composed from labelled faces, and how the whole line decides them.

    python -m simulation.passages BOXES.csv --split test --plot passages.png

People come through the drawn doorway one passage after the other: they enter, pause, leave; walk fast, shake their
heads, turn away, are out of focus; come in pairs, cross, walk up from afar; take the mask off once cleared. Each is a
piece cut from a photograph around one labelled face, moved as a flat card, with the blur that its movement makes at
1/30 s. What is measured of every person: decided right, alarms, flips, and the time from the first usable face.
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
from edge.contracts import Box, Change, Decision, Detector, Floats, Frame, Image, Outcome, Step
from edge.drivers.doorway import draw_doorway
from edge.pipeline import Pipeline
from edge.service import models
from edge.stages.alert import Alert
from edge.stages.classify import MaskClassifier
from edge.stages.decide import Decider
from edge.stages.schedule import Scheduler
from edge.stages.track import Tracker
from edge.stages.watch import Watch
from tests.edge.parts import RecordingOutput
from training.data import load_faces, of_split

FPS = 15.0
WIDTH, HEIGHT = 640, 480
EMPTY_S = 2.2
"""Between two passages; longer than ``track.lost_s``, so that the next person is somebody new."""
EXPOSURE_S = 1 / 30
MASKED, BARE, SLOPPY = "with_mask", "without_mask", "with_incorrect_mask"
SMALLEST_FACE = 40.0
"""Labelled faces narrower than this are no use at a door's distance: they would be blown up."""


class Pose(NamedTuple):
    """Where a person's face is: centre and width in pixels, turned away (0 to 1), defocus (sigma, pixels)."""

    x: float
    y: float
    width: float
    turned: float = 0.0
    defocus: float = 0.0


Gait = Callable[[float], Pose]
"""Seconds since the passage began -> pose."""
Whose = dict[int, Counter[int | None]]
"""How many looks a track lay on whom, by the track's id: which of the passage's people, None for nobody."""


@dataclass(frozen=True)
class Card:
    """A person cut out of a photograph: (h, w, 3) RGB, its soft outline (h, w) uint8, the face in it, its label."""

    image: Image
    outline: Image
    face: Box
    label: str
    name: str


@dataclass(frozen=True)
class Person:
    """Somebody who comes through; ``cards`` from when on each is to be seen, seconds of the passage."""

    cards: Sequence[tuple[float, Card]]
    gait: Gait

    def card(self, at_s: float) -> Card:
        return [card for from_s, card in self.cards if at_s >= from_s][-1]

    @property
    def violates(self) -> bool:
        """Whether the person ought to raise the alarm at some time."""
        return any(card.label != MASKED for _, card in self.cards)

    @property
    def bare_from_s(self) -> float:
        """When on the person ought to; infinite for never."""
        return next((from_s for from_s, card in self.cards if card.label != MASKED), math.inf)

    @property
    def kind(self) -> str:
        return "taken off" if len(self.cards) > 1 else self.cards[0][1].label


@dataclass(frozen=True)
class Passage:
    """Who comes through together, and how."""

    manner: str
    people: Sequence[Person]
    seconds: float


def faces_alone(pictures: Sequence[Picture]) -> Iterator[tuple[Picture, LabelledFace]]:
    """Faces large enough with nobody else's within what is cut out around them."""
    for picture in pictures:
        for face in picture.faces:
            around = _surroundings(face.box)
            others = (other for other in picture.faces if other is not face)
            if face.box.width >= SMALLEST_FACE and not any(other.box.intersection(around) for other in others):
                yield picture, face


def _surroundings(box: Box) -> Box:
    """What is cut out around a face: head and shoulders."""
    (x, y), side = box.centre, max(box.width, box.height)
    return Box(x - 1.1 * side, y - 1.0 * side, x + 1.1 * side, y + 1.7 * side)


def cut_out(picture: Picture, face: LabelledFace) -> Card:
    """The card of one labelled face."""
    image, faces = load_faces(picture)
    scaled = faces[picture.faces.index(face)].box
    around = _surroundings(scaled)
    xmin, ymin = max(0, int(around.xmin)), max(0, int(around.ymin))
    piece = image[ymin : int(around.ymax), xmin : int(around.xmax)].copy()
    side = max(scaled.width, scaled.height)
    soft = max(1, int(0.1 * side))
    outline = np.zeros(piece.shape[:2], np.uint8)
    outline[soft:-soft, soft:-soft] = 255
    box = Box(scaled.xmin - xmin, scaled.ymin - ymin, scaled.xmax - xmin, scaled.ymax - ymin)
    softened = np.asarray(cv2.GaussianBlur(outline, (0, 0), soft / 2), np.uint8)
    return Card(
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
    """In from one side, stop and sway, on to the other side; 1.2 s each way."""

    def gait(at_s: float) -> Pose:
        away = max(0.0, 1 - at_s / 1.2) - max(0.0, (at_s - 1.2 - pause_s) / 1.2)
        x = WIDTH * (stop_x + side * 0.7 * away) + 4 * math.sin(at_s * 3)
        return Pose(x, HEIGHT * y + 3 * math.sin(at_s * 9), width)

    return gait


def walking_past(width: float, side: float, seconds: float) -> Gait:
    """Straight through without a stop."""
    return lambda at_s: Pose(
        WIDTH * (0.5 + side * (0.7 - 1.4 * at_s / seconds)),
        HEIGHT * 0.42 + 4 * math.sin(at_s * 11),
        width,
    )


def walking_up(width: float, side: float) -> Gait:
    """From the far end of the corridor up to the camera in 3 s, a pause, out at the side."""

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
    """A head shake on top of a gait: two and a half a second, turning as far as a shake does."""

    def shaken(at_s: float) -> Pose:
        pose = gait(at_s)
        if not from_s <= at_s < to_s:
            return pose
        swing = math.sin((at_s - from_s) * 2.5 * 2 * math.pi)
        return pose._replace(x=pose.x + 0.18 * pose.width * swing, turned=0.6 * abs(swing))

    return shaken


def turning_away(gait: Gait, from_s: float = 1.7, to_s: float = 2.7) -> Gait:
    """Looks to the side for a second."""

    def turned(at_s: float) -> Pose:
        inside = min(at_s - from_s, to_s - at_s)
        return gait(at_s)._replace(turned=min(1.0, max(0.0, inside / 0.25)))

    return turned


def out_of_focus(gait: Gait, from_s: float = 1.4, to_s: float = 2.4) -> Gait:
    """The camera hunts for a second."""

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
"""What is drawn from in turn."""
SHARES = {MASKED: 0.45, BARE: 0.35, SLOPPY: 0.2}


class Pool:
    """People to draw from, in a random order; everybody comes once before anybody comes again."""

    def __init__(self, cards: Mapping[str, Sequence[Card]], rng: np.random.Generator) -> None:
        self._cards, self._rng = cards, rng
        self._left: dict[str, list[Card]] = {label: [] for label in cards}

    def draw(self, label: str | None = None) -> Card:
        """Somebody of this label; of any, by :data:`SHARES`."""
        label = label or str(self._rng.choice(list(SHARES), p=list(SHARES.values())))
        if not self._left[label]:
            self._left[label] = [self._cards[label][i] for i in self._rng.permutation(len(self._cards[label]))]
        return self._left[label].pop()


def passages_of(cards: Mapping[str, Sequence[Card]], number: int, seed: int = 1) -> Iterator[Passage]:
    """So many passages, seeded."""
    rng = np.random.default_rng(seed)
    pool = Pool(cards, rng)
    for i in range(number):
        yield _passage(MANNERS[i % len(MANNERS)], pool.draw, rng)


def _passage(manner: str, draw: Callable[..., Card], rng: np.random.Generator) -> Passage:
    width, side = float(rng.uniform(64, 150)), 1.0 if rng.random() < 0.5 else -1.0
    stop = pausing(width, side)
    if manner == "pair":
        near, far = (
            pausing(width, side, stop_x=0.32),
            pausing(width * 0.9, side, 0.4, stop_x=0.72),
        )
        people = [
            Person([(0.0, draw())], near),
            Person([(0.0, draw())], lambda at_s: far(at_s - 0.3)),
        ]
        return Passage(manner, people, 4.8)
    if manner == "cross":
        ways = [walking_past(width, side, 2.6), walking_past(width * 0.8, -side, 3.0)]
        return Passage(manner, [Person([(0.0, draw())], way) for way in ways], 3.1)
    if manner == "off":
        gait = pausing(width, side, pause_s=4.0)
        return Passage(manner, [Person([(0.0, draw(MASKED)), (3.0, draw(BARE))], gait)], 6.4)
    gaits: dict[str, tuple[Gait, float]] = {
        "walk": (walking_past(width, side, 2.4), 2.4),
        "fast": (walking_past(width, side, 1.3), 1.3),
        "shake": (shaking(stop), 4.2),
        "turn": (turning_away(stop), 4.2),
        "blur": (out_of_focus(stop), 4.2),
        "up": (walking_up(width, side), 5.0),
    }
    gait, seconds = gaits.get(manner, (stop, 4.2))
    return Passage(manner, [Person([(0.0, draw())], gait)], seconds)


class Scene:
    """Draws passages onto the doorway."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self._doorway = draw_doorway()
        self._noise = [rng.normal(0, 2, self._doorway.shape).round().astype(np.int16) for _ in range(8)]

    def frames(self, passage: Passage) -> Iterator[tuple[float, Image]]:
        """Time of the passage and (480, 640, 3) RGB; the empty doorway before it included, at times below zero."""
        for i in range(-int(EMPTY_S * FPS), int(passage.seconds * FPS)):
            scene = self._doorway.copy()
            # Who is larger is nearer, and hides the others.
            for person in sorted(passage.people, key=lambda p: p.gait(i / FPS).width) if i >= 0 else ():
                paste(
                    scene,
                    person.card(i / FPS),
                    person.gait(i / FPS),
                    person.gait(i / FPS + EXPOSURE_S),
                )
            yield (
                i / FPS,
                np.asarray(cv2.add(scene, self._noise[i % 8], dtype=cv2.CV_8U), np.uint8),
            )


def paste(scene: Image, card: Card, pose: Pose, after: Pose) -> None:
    """Blend a card into the scene at ``pose``, smeared towards where it is when the shutter closes."""
    scale = pose.width / card.face.width
    squeezed = scale * (1 - 0.6 * pose.turned)
    (x, y), (height, width) = card.face.centre, card.outline.shape
    left, top = pose.x - squeezed * x, pose.y - scale * y
    length = math.hypot(after.x - pose.x, after.y - pose.y)
    spread = 2 + length / 2 + 3 * pose.defocus
    # Only the part of the scene that is covered: a face is a tenth of it.
    xmin, xmax = (round(min(WIDTH, max(0, v))) for v in (left - spread, left + squeezed * width + spread))
    ymin, ymax = (round(min(HEIGHT, max(0, v))) for v in (top - spread, top + scale * height + spread))
    if xmax - xmin < 1 or ymax - ymin < 1:
        return
    matrix = np.array([[squeezed, 0, left - xmin], [0, scale, top - ymin]])
    image = cv2.GaussianBlur(card.image, (0, 0), 0.4 / scale) if scale < 0.7 else card.image
    person = cv2.warpAffine(image, matrix, (xmax - xmin, ymax - ymin), borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(card.outline, matrix, (xmax - xmin, ymax - ymin))
    if pose.defocus > 0.3:
        person, alpha = (cv2.GaussianBlur(p, (0, 0), pose.defocus) for p in (person, alpha))
    if length > 1.5:
        kernel = _smear(after.x - pose.x, after.y - pose.y, length)
        person, alpha = cv2.filter2D(person, -1, kernel), cv2.filter2D(alpha, -1, kernel)
    share = alpha[:, :, None].astype(np.float32) / 255
    covered = scene[ymin:ymax, xmin:xmax]
    covered[:] = (person * share + covered * (1 - share)).astype(np.uint8)


def _smear(dx: float, dy: float, length: float) -> Floats:
    """The kernel that draws a point out along (dx, dy) pixels."""
    size = 2 * int(length / 2) + 3
    kernel, middle = np.zeros((size, size), np.float32), size // 2
    start = (round(middle - dx / 2), round(middle - dy / 2))
    cv2.line(kernel, start, (round(middle + dx / 2), round(middle + dy / 2)), 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


@dataclass
class Seen:
    """What the line made of one person."""

    manner: str
    person: Person
    told: list[tuple[float, Decision]] = field(default_factory=list)
    usable_s: float = math.inf
    """When the face was first usable while the person was (or, never bare, in any case) in violation."""

    @property
    def alarms(self) -> int:
        """How often the person was held to be in violation, departures aside."""
        return sum(d.passage.outcome is Outcome.VIOLATION for _, d in self.told)

    @property
    def flips(self) -> int:
        """Changes of mind beyond the one that taking the mask off asks for; a first "unsure" is none."""
        outcomes = [d.passage.outcome for _, d in self.told if d.passage.outcome is not Outcome.UNSURE]
        changes = sum(one is not other for one, other in itertools.pairwise(outcomes))
        return max(0, changes - (self.person.kind == "taken off"))

    @property
    def outcome(self) -> str:
        """The last that was held, ``undecided`` where nothing was."""
        return self.told[-1][1].passage.outcome.value if self.told else "undecided"

    @property
    def right(self) -> bool:
        """Violators end as violations and were not accused before, everybody else ends as compliant, never accused."""
        if not self.person.violates:
            return self.outcome == "compliant" and not self.alarms
        early = any(d.passage.outcome is Outcome.VIOLATION and at_s < self.person.bare_from_s for at_s, d in self.told)
        return self.outcome == "violation" and not early

    @property
    def alarm_after_s(self) -> float | None:
        """Seconds from the first usable face to the alarm; None where there was none."""
        at_s = next(
            (at_s for at_s, d in self.told if d.passage.outcome is Outcome.VIOLATION),
            None,
        )
        return None if at_s is None else at_s - self.usable_s


class Rehearsal:
    """The whole line, fed passage after passage as on one day at the door."""

    def __init__(self, settings: Settings, detector: Detector, classifier: MaskClassifier) -> None:
        led, buzzer = RecordingOutput("led", 17, True), RecordingOutput("buzzer", 27, True)
        self.lamp = led.states
        self.pipeline = Pipeline(
            Watch(settings.watch, settings.detect),
            detector,
            Tracker(settings.track, settings.detect),
            Scheduler(settings.classify),
            classifier,
            Decider(settings.decide, classifier.compliant),
            Alert(settings.alert, led, buzzer),
        )
        self.spurious = 0
        """Violations told of nobody who was there."""
        self._index = 0

    def watch(self, passage: Passage, frames: Iterator[tuple[float, Image]]) -> list[Seen]:
        """Send one passage through; what became of each of its people."""
        seen = [Seen(passage.manner, person) for person in passage.people]
        whose: Whose = defaultdict(Counter)
        decisions: list[tuple[float, Decision]] = []
        for at_s, image in frames:
            step = self.pipeline.step(Frame(image, None, self._index / FPS, self._index))
            self._index += 1
            decisions += [(at_s, d) for d in step.decisions if d.change is not Change.LEFT]
            _attribute(step, passage, at_s, whose)
            for one in seen:
                if at_s >= 0 and one.usable_s == math.inf and _usable_now(one.person, at_s):
                    one.usable_s = at_s
        for at_s, decision in decisions:
            owners = whose[decision.passage.id].most_common(1)
            owner = owners[0][0] if owners else None
            if owner is not None:
                seen[owner].told.append((at_s, decision))
            else:
                self.spurious += decision.passage.outcome is Outcome.VIOLATION
        return seen


def _attribute(step: Step, passage: Passage, at_s: float, whose: Whose) -> None:
    """Take note of whose face each track lies on; of nobody's where another face is on somebody's card, say."""
    poses = [person.gait(at_s) for person in passage.people] if at_s >= 0 else []
    for track in step.tracks if step.detected else ():
        x, y = track.box.centre
        away = [math.hypot(x - pose.x, y - pose.y) / pose.width for pose in poses]
        if not track.missed:
            whose[track.id][away.index(min(away)) if away and min(away) < 0.7 else None] += 1


def _usable_now(person: Person, at_s: float) -> bool:
    """Whether a person who ought to alarm has their whole face in the picture, large, sharp and frontal enough."""
    pose = person.gait(at_s)
    half = pose.width / 2
    inside = half <= pose.x <= WIDTH - half and half <= pose.y <= HEIGHT - half
    due = at_s >= (person.bare_from_s if person.violates else 0.0)
    return due and inside and pose.width >= 32 and pose.turned < 0.3 and pose.defocus < 1


def summary(seen: Sequence[Seen]) -> str:
    """The table: a line for every kind of person and every manner, and one for all."""
    lines = [
        f"{'':<22}{'people':>7}{'right':>8}{'wrong':>7}{'open':>6}{'alarms':>8}{'flips':>7}{'median s':>10}{'p95 s':>8}"
    ]
    groups: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        groups[one.person.kind].append(one)
    for one in seen:
        groups[f"  {one.manner}"].append(one)
    groups["all"] = list(seen)
    for name, members in groups.items():
        lines.append(_row(name, members))
    return "\n".join(lines)


def _row(name: str, members: Sequence[Seen]) -> str:
    """``alarms`` are those of each violation that raised any, ``open`` who stayed undecided or unsure."""
    raised = [one.alarms for one in members if one.person.violates and one.alarms]
    waits = sorted(one.alarm_after_s for one in members if one.person.violates and one.alarm_after_s is not None)
    opened = sum(one.outcome in ("undecided", "unsure") for one in members)
    right = sum(one.right for one in members)
    times = f"{median(waits):>10.2f}{waits[int(0.95 * (len(waits) - 1))]:>8.2f}" if waits else ""
    alarms = f"{sum(raised) / len(raised):>8.3f}" if raised else f"{'':>8}"
    flips = sum(one.flips for one in members) / len(members)
    return (
        f"{name:<22}{len(members):>7}{right / len(members):>8.3f}{len(members) - right - opened:>7}{opened:>6}"
        f"{alarms}{flips:>7.3f}{times}"
    )


def cards_of(boxes: Path, split: str) -> dict[str, list[Card]]:
    """Everybody of a split who can be cut out, by label."""
    cards: dict[str, list[Card]] = {MASKED: [], BARE: [], SLOPPY: []}
    for picture, face in faces_alone(of_split(read_boxes(boxes), split)):
        if face.label in cards:
            cards[face.label].append(cut_out(picture, face))
    return cards


def rehearse(passages: Sequence[Passage], settings: Settings) -> tuple[list[Seen], int]:
    """Send passages through the line with the settings' models; what became of everybody, and spurious alarms."""
    rehearsal = Rehearsal(settings, models.open_detector(settings), models.open_classifier(settings))
    scene = Scene()
    seen: list[Seen] = []
    for i, passage in enumerate(passages):
        seen += rehearsal.watch(passage, scene.frames(passage))
        if i % 20 == 19:
            print(f"{i + 1}/{len(passages)} passages", flush=True)
    return seen, rehearsal.spurious


def plot(seen: Sequence[Seen], path: Path) -> None:
    """Who is decided rightly, by kind and manner, and how long violators wait for their alarm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    shares, waits = figure.subplots(1, 2)
    for shift, kind in enumerate((MASKED, BARE, SLOPPY, "taken off")):
        by_manner = [[o.right for o in seen if o.manner == m and o.person.kind == kind] for m in dict.fromkeys(MANNERS)]
        heights = [sum(right) / len(right) if right else 0.0 for right in by_manner]
        shares.bar(
            [i + 0.2 * shift - 0.3 for i in range(len(heights))],
            heights,
            0.2,
            label=kind,
        )
        times = sorted(o.alarm_after_s for o in seen if o.person.kind == kind and o.alarm_after_s is not None)
        if kind != MASKED and times:
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
    parser.add_argument("boxes", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--passages", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, as in fmd run",
    )
    arguments = parser.parse_args()
    settings = config.load(None, dict(map(config.parse_assignment, arguments.set)))
    cards = cards_of(arguments.boxes, arguments.split)
    seen, spurious = rehearse(list(passages_of(cards, arguments.passages, arguments.seed)), settings)
    print(summary(seen))
    print(f"alarms for nobody who was there: {spurious}")
    for one in seen:
        if not one.right:
            names = " then ".join(card.name for _, card in one.person.cards)
            print(f"not right: {one.manner:<6} {one.person.kind:<20} {one.outcome:<10} {one.alarms} alarms  {names}")
    if arguments.plot:
        plot(seen, arguments.plot)


if __name__ == "__main__":
    main()
