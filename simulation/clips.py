"""Doorway clips composed from labelled faces: one person after the other slides in, pauses, sways and walks on.

    python -m simulation.clips BOXES.csv OUT.mp4 --label with_mask --people 20

The program writes the truth beside the clip, as CSV: person, label, image, entered_s, left_s.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from converter.tables import LabelledFace, Picture, read_boxes
from edge.contracts import WITH_MASK, Frame, Image, luma_of
from edge.drivers.doorway import draw_doorway
from edge.drivers.sensor_noise import SensorNoise
from edge.errors import DataError
from edge.files import native_name
from training.data import load_faces

FPS = 15.0
WIDTH, HEIGHT = 640, 480
ENTER_S, PAUSE_S, LEAVE_S, GAP_S = 1.2, 1.6, 1.2, 2.4


@dataclass(frozen=True)
class ClipPerson:
    """A person in a clip: a picture with one face, and the width of that face in the clip, in pixels."""

    picture: Picture
    face: LabelledFace
    width: float


def choose(pictures: Sequence[Picture], label: str, people: int, split: str, seed: int = 1) -> list[ClipPerson]:
    """Return up to ``people`` people with one large enough face each; the seed determines them."""
    rng = np.random.default_rng(seed)
    fitting = [
        p
        for p in pictures
        if p.split == split and len(p.faces) == 1 and p.faces[0].label == label and p.faces[0].box.width >= 50
    ]
    chosen = [fitting[i] for i in rng.permutation(len(fitting))[:people]]
    return [ClipPerson(p, p.faces[0], float(rng.uniform(70, 150))) for p in chosen]


def frames_of(people: Sequence[ClipPerson], seed: int = 1) -> Iterator[tuple[Image, int]]:
    """Yield frames (480, 640, 3) RGB uint8, each with the index of the person in it (-1: none)."""
    noise = SensorNoise(HEIGHT, WIDTH)
    for number, (scene, person) in enumerate(_scenes_of(people, seed)):
        yield noise.added(scene, number), person


def _scenes_of(people: Sequence[ClipPerson], seed: int) -> Iterator[tuple[Image, int]]:
    rng = np.random.default_rng(seed)
    doorway = draw_doorway()
    gap = [(doorway, -1)] * int(GAP_S * FPS)
    for number, person in enumerate(people):
        yield from gap
        image, (face,) = load_faces(person.picture)
        from_left = bool(rng.random() < 0.5)
        for i in range(int((ENTER_S + PAUSE_S + LEAVE_S) * FPS)):
            yield _with_person(doorway, image, face, person.width, i / FPS, from_left), number
    yield from gap


def _with_person(scene: Image, image: Image, face: LabelledFace, width: float, at_s: float, from_left: bool) -> Image:
    """Return the scene with the person's picture at its place on the walk, as a card in the doorway."""
    enter, leave = min(1.0, at_s / ENTER_S), max(0.0, (at_s - ENTER_S - PAUSE_S) / LEAVE_S)
    side = 1.0 if from_left else -1.0
    # In from 0.75 of the width beside the middle, out to the same distance on the other side; a sway of 5 pixels
    # between.
    x = WIDTH / 2 + side * WIDTH * 0.75 * (enter - 1 + leave) + 5 * np.sin(at_s * 3)
    scale = width / face.box.width * (0.9 + 0.1 * enter)
    centre_x, centre_y = face.box.centre
    matrix = np.array([[scale, 0, x - scale * centre_x], [0, scale, HEIGHT * 0.42 - scale * centre_y]])
    # A blur before shrinking: without it warpAffine skips pixels and makes patterns that no camera gives.
    source = cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 0.7 else image
    card = cv2.warpAffine(source, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_CONSTANT)
    inside = cv2.warpAffine(np.full(image.shape[:2], 255, np.uint8), matrix, (WIDTH, HEIGHT))
    # Only head and shoulders: other people in the picture, labelled or not, must not walk through as well.
    around = np.zeros((HEIGHT, WIDTH), np.uint8)
    middle, chin = (round(x), round(HEIGHT * 0.42)), round(HEIGHT * 0.42 + width)
    cv2.ellipse(around, middle, (round(0.9 * width), round(1.3 * width)), 0, 0, 360, 255, -1)
    cv2.rectangle(around, (round(x - 1.2 * width), chin), (round(x + 1.2 * width), HEIGHT), 255, -1)
    return np.asarray(cv2.copyTo(card, cv2.min(around, cv2.compare(inside, 127, cv2.CMP_GT)), scene.copy()), np.uint8)


class ComposedCamera:
    """A camera that gives the frames of a clip, without a file."""

    live = False

    def __init__(self, people: Sequence[ClipPerson]) -> None:
        self._frames = enumerate(frames_of(people))

    def read(self) -> Frame | None:
        """Return the next frame, or None at the end."""
        index, (image, _) = next(self._frames, (0, (None, -1)))
        return None if image is None else Frame(image, luma_of(image), index / FPS, index)

    def close(self) -> None:
        """Do nothing: there is no device to release."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("boxes", type=Path, help="table of labelled faces")
    parser.add_argument("out", type=Path, help="clip to write (MP4)")
    parser.add_argument("--label", default=WITH_MASK, help="label of the people (default: %(default)s)")
    parser.add_argument("--people", type=int, default=20, help="number of people (default: %(default)s)")
    parser.add_argument("--split", default="test", help="split that the people are from (default: %(default)s)")
    arguments = parser.parse_args()
    people = choose(read_boxes(arguments.boxes), arguments.label, arguments.people, arguments.split)
    writer = cv2.VideoWriter(
        native_name(arguments.out, DataError), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT)
    )
    # Person -> first and last second in the clip.
    intervals_s: dict[int, list[float]] = {}
    for i, (image, number) in enumerate(frames_of(people)):
        writer.write(np.ascontiguousarray(image[:, :, ::-1]))
        intervals_s.setdefault(number, [i / FPS, 0.0])[1] = i / FPS
    writer.release()
    with arguments.out.with_suffix(".csv").open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["person", "label", "image", "entered_s", "left_s"])
        for number, person in enumerate(people):
            out.writerow(
                [number, person.face.label, person.picture.path.name, *(round(v, 2) for v in intervals_s[number])]
            )
    print(f"{arguments.out}: {len(people)} people")


if __name__ == "__main__":
    main()
