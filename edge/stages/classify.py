"""Face -> observation: one crop, one inference, a probability for every label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import msgspec
import numpy as np

from edge.contracts import Box, Face, Floats, Frame, Heat, Image, Observation
from edge.errors import BundleError
from edge.inference.bundle import Contract, Model
from edge.inference.resize import bordered, resized

CROP_MARGIN = 0.2
"""Share of a face's longer side kept around it: the chin and the mask's straps tell as much as the mouth."""
GOOD_WIDTH = 48.0
"""Face width in pixels from which a look counts fully; below 16 it counts next to nothing."""
DOUBTFUL_SCORE, SURE_SCORE = 0.15, 0.45
"""Detector's confidence up to which a look counts nothing and from which it counts fully; chosen on passages composed
from the validation split, of which 0.938 were decided right with these (0.919 with 0.3 and 0.6)."""
PLAIN_AND_MIRRORED = (False, True)
"""The looks at a picture that stands alone."""
SHARP_SIDE = 68
"""Pixels a face has for sharpness to be measured: as many as a crop of 96 has without its margin."""
SHARP_VARIANCE = 34.0
"""Mean square of the Laplacian (Pech-Pacheco et al. 2000) of a face of so many pixels, green, from which on it is
sharp."""


def crop_square(box: Box, margin: float) -> tuple[int, int, int]:
    """Left, top and side, in pixels, of the square around ``box``, ``margin`` of its longer side wider all round."""
    centre_x, centre_y = box.centre
    side = max(box.width, box.height, 1.0) * (1 + 2 * margin)
    return round(centre_x - side / 2), round(centre_y - side / 2), max(1, round(side))


def crop_face(image: Image, box: Box, margin: float, size: tuple[int, int]) -> Image:
    """A square around ``box``, ``margin`` of its longer side wider on every side, as (height, width, 3) RGB.

    Reaches over the picture's edge by repeating the edge. Training cuts its crops with this very function.
    """
    height, width = size
    x, y, side_px = crop_square(box, margin)
    full_height, full_width = image.shape[:2]
    left, top = max(0, -x), max(0, -y)
    right, bottom = max(0, x + side_px - full_width), max(0, y + side_px - full_height)
    inner = image[max(0, y) : max(0, y + side_px), max(0, x) : max(0, x + side_px)]
    if inner.size == 0:
        return np.zeros((height, width, 3), np.uint8)
    if left or top or right or bottom:
        inner = bordered(inner, top, bottom, left, right)
    return resized(inner, width, height)


def probabilities_of(output: Floats, contract: Contract) -> dict[str, float]:
    """A classifier's raw output (1, n) as a probability for each label of the contract."""
    values: list[float] = output.ravel().tolist()
    if contract.output == "sigmoid":
        values = [1 - values[0], values[0]]
    total = sum(values) or 1.0
    return {label: value / total for label, value in zip(contract.labels, values, strict=True)}


def classify_crop(model: Model, crop: Image, views: Sequence[bool]) -> tuple[dict[str, float], Sequence[Floats]]:
    """The mean of a classifier's ``looks`` at a crop of its size, mirrored where one is true: a probability for each
    label of its contract, and the outputs of the first look."""
    answers = [model.run(cv2.flip(crop, 1) if mirrored else crop) for mirrored in views]
    told, *others = [probabilities_of(outputs[0], model.contract) for outputs in answers]
    if others:
        told = {label: sum(look[label] for look in (told, *others)) / len(views) for label in told}
    return told, answers[0]


def quality_of(crop: Image, margin: float, face: Face, full: Box) -> float:
    """How far a look can be trusted, 0..1: by the detector, the face's size, how much of it is seen, and sharpness.

    ``crop`` is what :func:`crop_face` cut with ``margin`` around it, ``full`` the whole picture.
    """
    box = face.box
    inside = box.intersection(full) / max(1e-9, box.width * box.height)
    size = (box.width - 12) / (GOOD_WIDTH - 12)
    surely = (face.score - DOUBTFUL_SCORE) / (SURE_SCORE - DOUBTFUL_SCORE)
    if min(inside, size, surely) <= 0:
        return 0.0
    # A face that touches the border is cut off there even though its box says nothing of it.
    touching = box.xmin < 1 or box.ymin < 1 or box.xmax >= full.xmax or box.ymax >= full.ymax
    quality = _share(surely) * _share(size) * max(0.1, _share(sharpness_of(crop, margin) / SHARP_VARIANCE)) * inside
    return quality * 0.5 if touching else quality


def sharpness_of(crop: Image, margin: float) -> float:
    """Mean square of the Laplacian, whose mean is next to zero, of the face in a crop at :data:`SHARP_SIDE` pixels."""
    height, width = crop.shape[:2]
    rows, columns = (round(side * margin / (1 + 2 * margin)) for side in (height, width))
    green = cv2.extractChannel(crop[rows : height - rows, columns : width - columns], 1)
    if green.shape != (SHARP_SIDE, SHARP_SIDE):
        green = cv2.resize(green, (SHARP_SIDE, SHARP_SIDE), interpolation=cv2.INTER_LINEAR)
    return float(cv2.norm(cv2.Laplacian(green, cv2.CV_16S), cv2.NORM_L2SQR)) / SHARP_SIDE**2


def _share(value: float) -> float:
    """Cut to 0..1; np.clip of one number takes longer than all the rest here."""
    return min(1.0, max(0.0, value))


def observation_of(probabilities: Mapping[str, float], quality: float, background: str | None) -> Observation:
    """A observation from the probabilities of all labels, ``background`` (the label for what is no face) among them.

    What may be no face is trusted that much less.
    """
    nothing = None if background is None else probabilities.get(background, 0.0)
    face = {label: p for label, p in probabilities.items() if label != background}
    total = sum(face.values()) or 1.0
    return Observation({label: p / total for label, p in face.items()}, quality * (1 - (nothing or 0.0)), nothing)


class View(NamedTuple):
    """A look to be taken at a face, or at its mirror image."""

    face: Face
    mirrored: bool = False


class MaskClassifier:
    """Judges faces with a classifier bundle. ``labels`` are those of a face, in the model's order."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._size = (model.contract.input.height, model.contract.input.width)
        self.labels = model.contract.worn
        wanted = (1, 1 if model.contract.output == "sigmoid" else len(model.contract.labels))
        # Heat maps (contract.heatmap) come second.
        if model.output_shapes[:1] != (wanted,) or len(model.output_shapes) != 1 + model.contract.heatmap:
            raise BundleError(
                f"{model.source}: a {model.contract.output} of labels {model.contract.labels} gives one output "
                f"{wanted}, this model {model.output_shapes}; convert it again"
            )
        self.compliant = model.contract.compliant

    def classify(self, frame: Frame, views: Sequence[View]) -> list[Observation]:
        """What each of these looks at faces of ``frame`` tells."""
        # Step by step and not face by face: every inference drives the steps' code out of the processor's caches.
        cuts = [self._cut(frame, look.face) for look in views]
        answers = [
            classify_crop(self._model, crop, (look.mirrored,)) for look, (crop, _) in zip(views, cuts, strict=True)
        ]
        return [
            self._verdict(look, quality, *answer)
            for look, (_, quality), answer in zip(views, cuts, answers, strict=True)
        ]

    def classify_single(self, frame: Frame, face: Face) -> Observation:
        """The mean of a look and one at the mirror image: at the door looks take turns, a single picture has but one.

        The heat map, where there is one, is the plain look's.
        """
        crop, quality = self._cut(frame, face)
        return self._verdict(View(face), quality, *classify_crop(self._model, crop, PLAIN_AND_MIRRORED))

    def _cut(self, frame: Frame, face: Face) -> tuple[Image, float]:
        """The crop of a face, and how far a look at it can be trusted."""
        margin, (height, width) = self._model.contract.crop_margin, frame.image.shape[:2]
        crop = crop_face(frame.image, face.box, margin, self._size)
        return crop, quality_of(crop, margin, face, Box(0, 0, width, height))

    def _verdict(
        self, look: View, quality: float, probabilities: Mapping[str, float], outputs: Sequence[Floats]
    ) -> Observation:
        contract = self._model.contract
        observation = observation_of(probabilities, quality, contract.background)
        if not contract.heatmap:
            return observation
        x, y, side = crop_square(look.face.box, contract.crop_margin)
        values = heat_of(outputs[1][0], contract.labels.index(observation.label))
        return msgspec.structs.replace(
            observation, heat=Heat(Box(x, y, x + side, y + side), values[:, ::-1] if look.mirrored else values)
        )


def heat_of(maps: Floats, label: int) -> Floats:
    """The map (h, w) of one label, by its index, of maps (h, w, neurons): a sigmoid's one neuron speaks for label 1."""
    if maps.shape[-1] > 1:
        return np.asarray(maps[..., label], np.float32)
    return np.asarray(maps[..., 0] if label else -maps[..., 0], np.float32)
