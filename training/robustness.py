"""Figures in hard conditions and by brightness of the brow.

Conditions change whole labelled pictures: no colour, infrared light, dark, haze, blur, and a tilted camera. Brightness
of the brow stands for skin tone, which no set labels; light and exposure change it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from converter.tables import IGNORE, LabelledFace, Picture
from edge.contracts import WITH_MASK, Box, Image
from edge.inference.bundle import Model
from edge.reporting.predictor import Predictor
from training import augment, decision, score
from training.data import read_rgb, with_progress
from training.evaluate import predictor_of
from training.score import Match, Predicted, is_right

MAX_LOSS = 0.03
"""How far a condition's figure may be below the original's."""
BANDS = 4
BAND_LOSS = 0.02
"""A band fails where its 95% interval lies wholly below the mean less this."""
BROW = (0.3, 0.12, 0.7, 0.3)
"""The brow in a face's box, as shares of its width and height: xmin, ymin, xmax, ymax."""

Changed = tuple[Image, tuple[LabelledFace, ...]]


def _pixels(change: Callable[[Image], Image]) -> Callable[[Image, tuple[LabelledFace, ...]], Changed]:
    return lambda image, faces: (change(image), faces)


def gray(image: Image) -> Image:
    """Return the picture without colour."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)


def infrared(image: Image) -> Image:
    """Return the picture about as an infrared camera gives it: red light only, flat contrast, grain."""
    red = cv2.GaussianBlur(image[:, :, 0], (0, 0), 0.8).astype(np.float32)
    grain = np.random.default_rng(0).normal(0, 6, red.shape)
    return np.repeat(np.clip(90 + 0.55 * red + grain, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def blurred(image: Image) -> Image:
    """Return the picture out of focus, by 1/320 of its longer side."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(image.shape[:2]) / 320), np.uint8)


def rotated(degrees: float) -> Callable[[Image, tuple[LabelledFace, ...]], Changed]:
    """Return a change that turns a picture about its centre; boxes keep their size, and those cut off are ignored."""

    def change(image: Image, faces: tuple[LabelledFace, ...]) -> Changed:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turned = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(turned, np.uint8), tuple(_moved(face, matrix, width, height) for face in faces)

    return change


def _moved(face: LabelledFace, matrix: augment.Matrix, width: int, height: int) -> LabelledFace:
    x, y = matrix @ np.array([*face.box.centre, 1.0])
    half_width, half_height = face.box.width / 2, face.box.height / 2
    box = Box(x - half_width, y - half_height, x + half_width, y + half_height)
    inside = box.intersection(Box(0, 0, width, height)) >= 0.9 * box.width * box.height
    return LabelledFace(box, face.label if inside else IGNORE)


CONDITIONS: Mapping[str, Callable[[Image, tuple[LabelledFace, ...]], Changed]] = {
    "original": lambda image, faces: (image, faces),
    "gray": _pixels(gray),
    "infrared": _pixels(infrared),
    "dark": _pixels(lambda image: augment.dim(image, 0.25)),
    "haze": _pixels(lambda image: augment.haze(image, 0.5, 190)),
    "blur": _pixels(blurred),
    "turned 15 degrees": rotated(15),
    "turned 30 degrees": rotated(-30),
}


class Result(NamedTuple):
    """Figures of one condition; ``lost`` is how far ``right_side`` is below the original's, on the same faces."""

    name: str
    faces: int
    recall: float
    right_side: float
    violations_caught: float
    lost: float


class Band(NamedTuple):
    """One band of brow brightness, 0..255: found and right with 95% intervals; ``fails`` as :data:`BAND_LOSS` says."""

    low: float
    high: float
    faces: int
    recall: float
    right_side: float
    interval: tuple[float, float]
    fails: bool


def measure(
    pictures: Sequence[Picture], detector: Model, classifier: Model, min_score: float
) -> tuple[list[Result], list[Band]]:
    """Predict on the pictures in every condition, as ``fmd predict`` does; return results and bands of brightness."""
    predictor = predictor_of(detector, classifier, min_score)
    matched: dict[str, dict[tuple[str, int], Match]] = {}
    brightness: dict[tuple[str, int], float] = {}
    for name, change in CONDITIONS.items():
        matched[name] = {}
        for picture in with_progress(pictures, name):
            image, faces = change(read_rgb(picture.path), picture.faces)
            found = _predicted(predictor, np.ascontiguousarray(image))
            # Copies, so that each match can be traced to its place in the table.
            numbered = tuple(replace(face) for face in faces)
            for match in score.match({picture.name: numbered}, {picture.name: found}).matches:
                key = (picture.name, next(i for i, face in enumerate(numbered) if face is match.face))
                matched[name][key] = match
                if name == "original":
                    brightness[key] = brow_brightness(image, match.face.box)
    return results(matched), bands(matched["original"], brightness)


def _predicted(predictor: Predictor, image: Image) -> list[Predicted]:
    return [Predicted(face.box, face.score, face.label or "") for face in predictor.predict(image)]


def results(matched: Mapping[str, Mapping[tuple[str, int], Match]]) -> list[Result]:
    """Return each condition's figures; the loss is over the faces that it shares with the original."""
    out = []
    for name, matches in matched.items():
        shared = [key for key in matches if key in matched["original"]]
        before = np.mean([is_right(matched["original"][key]) for key in shared]) if shared else 0.0
        after = [is_right(matches[key]) for key in shared]
        bad = [is_right(matches[key]) for key in shared if matches[key].face.label != WITH_MASK]
        found = [matches[key].found is not None for key in shared]
        now = float(np.mean(after)) if after else 0.0
        out.append(
            Result(
                name,
                len(shared),
                float(np.mean(found)) if found else 0.0,
                now,
                float(np.mean(bad)) if bad else 0.0,
                float(before) - now,
            )
        )
    return out


def brow_brightness(image: Image, box: Box) -> float:
    """Return the mean luma 0..255 of the brow of a face in (H, W, 3) RGB; its centre where the brow is cut off."""
    height, width = image.shape[:2]
    x0, x1 = (int(np.clip(box.xmin + share * box.width, 0, width - 1)) for share in (BROW[0], BROW[2]))
    y0, y1 = (int(np.clip(box.ymin + share * box.height, 0, height - 1)) for share in (BROW[1], BROW[3]))
    part = image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].astype(np.float32)
    return float((part @ np.array([0.299, 0.587, 0.114], np.float32)).mean())


def bands(matches: Mapping[tuple[str, int], Match], brightness: Mapping[tuple[str, int], float]) -> list[Band]:
    """Return :data:`BANDS` bands with equally many faces, darkest first."""
    ordered = sorted(matches, key=brightness.__getitem__)
    mean = float(np.mean([is_right(matches[key]) for key in ordered])) if ordered else 0.0
    out = []
    for part in np.array_split(np.arange(len(ordered)), BANDS):
        if not len(part):
            continue
        keys = [ordered[i] for i in part]
        share = float(np.mean([is_right(matches[key]) for key in keys]))
        limits = decision.interval(share, len(keys))
        recall = float(np.mean([matches[key].found is not None for key in keys]))
        low, high = brightness[keys[0]], brightness[keys[-1]]
        out.append(Band(low, high, len(keys), recall, share, limits, limits[1] < mean - BAND_LOSS))
    return out


def report(conditions: Sequence[Result], by_brow: Sequence[Band]) -> str:
    """Return both tables as text for the terminal."""
    lines = [f"{'condition':20} {'faces':>5} {'found':>6} {'right':>6} {'caught':>6} {'lost':>6}"]
    lines += [
        f"{r.name:20} {r.faces:5} {r.recall:6.3f} {r.right_side:6.3f} {r.violations_caught:6.3f} {r.lost:6.3f}"
        + ("  more than allowed" if r.lost > MAX_LOSS else "")
        for r in conditions
    ]
    lines.append(f"{'brow brightness':20} {'faces':>5} {'found':>6} {'right':>6} 95% interval")
    lines += [
        f"{f'{b.low:.0f} to {b.high:.0f}':20} {b.faces:5} {b.recall:6.3f} {b.right_side:6.3f} "
        f"{b.interval[0]:.3f} to {b.interval[1]:.3f}" + ("  fails" if b.fails else "")
        for b in by_brow
    ]
    return "\n".join(lines)
