"""Face -> observation: one crop, one inference, a probability for every label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import msgspec
import numpy as np

from edge.contracts import Box, Face, Floats, Frame, Heat, Image, Observation, View
from edge.errors import BundleError
from edge.inference.bundle import Contract, Model
from edge.inference.resize import bordered, resized

CROP_MARGIN = 0.2
"""Share of a face's longer side kept around it: chin and straps of the mask show as much as the mouth does."""
GOOD_WIDTH = 48.0
"""Face width in pixels from which an observation counts fully; below 16 it counts next to nothing."""
DOUBTFUL_SCORE, SURE_SCORE = 0.15, 0.45
"""Detector score up to which an observation counts nothing, and from which it counts fully. On passages composed from
the validation split these two decide 0.938 right; 0.3 and 0.6 decide 0.919 right."""
PLAIN_AND_MIRRORED = (False, True)
"""Views of a picture that stands alone."""
SHARP_SIDE = 68
"""Side in pixels at which sharpness is measured: the face of a crop of 96 pixels, without its margin."""
SHARP_VARIANCE = 34.0
"""Mean square of the Laplacian (Pech-Pacheco et al. 2000) from which a face is sharp, measured on its green channel at
SHARP_SIDE pixels."""


def crop_square(box: Box, margin: float) -> tuple[int, int, int]:
    """Return left, top and side of the square around ``box``, ``margin`` of its longer side wider all round."""
    centre_x, centre_y = box.centre
    side = max(box.width, box.height, 1.0) * (1 + 2 * margin)
    return round(centre_x - side / 2), round(centre_y - side / 2), max(1, round(side))


def crop_face(image: Image, box: Box, margin: float, size: tuple[int, int]) -> Image:
    """Cut the square around ``box`` with ``margin`` of its longer side all round, as (height, width, 3) RGB uint8.

    ``image`` is (H, W, 3) RGB uint8, ``size`` is (height, width). Outside of the picture its edge is repeated. Training
    cuts its crops with this function as well, so that a model meets the crops it was trained on.
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
    """Return a classifier's raw output (1, n), float32, as a probability for each label of the contract."""
    values: list[float] = output.ravel().tolist()
    if contract.output == "sigmoid":
        values = [1 - values[0], values[0]]
    total = sum(values) or 1.0
    return {label: value / total for label, value in zip(contract.labels, values, strict=True)}


def classify_crop(model: Model, crop: Image, views: Sequence[bool]) -> tuple[dict[str, float], Sequence[Floats]]:
    """Classify a crop of the model's size, (height, width, 3) RGB uint8, and return the mean of its ``views``.

    A view is true where it is mirrored. Returns a probability for each label of the model's contract, and the model's
    outputs for the first view.
    """
    answers = [model.run(cv2.flip(crop, 1) if mirrored else crop) for mirrored in views]
    first, *others = [probabilities_of(outputs[0], model.contract) for outputs in answers]
    if not others:
        return first, answers[0]
    return {label: sum(p[label] for p in (first, *others)) / len(views) for label in first}, answers[0]


def quality_of(crop: Image, margin: float, face: Face, full: Box) -> float:
    """Return the quality 0..1 of an observation: from detector score, face size, visible share and sharpness.

    ``crop`` is the result of :func:`crop_face` with ``margin``, ``full`` the box of the whole picture.
    """
    box = face.box
    inside = box.intersection(full) / max(1e-9, box.width * box.height)
    size = (box.width - 12) / (GOOD_WIDTH - 12)
    surely = (face.score - DOUBTFUL_SCORE) / (SURE_SCORE - DOUBTFUL_SCORE)
    if min(inside, size, surely) <= 0:
        return 0.0
    # The picture's border cuts off a face that touches it, even though the box ends there.
    touching = box.xmin < 1 or box.ymin < 1 or box.xmax >= full.xmax or box.ymax >= full.ymax
    quality = _share(surely) * _share(size) * max(0.1, _share(sharpness_of(crop, margin) / SHARP_VARIANCE)) * inside
    return quality * 0.5 if touching else quality


def sharpness_of(crop: Image, margin: float) -> float:
    """Return the mean square of the Laplacian of the face in a crop, resized to SHARP_SIDE pixels.

    The Laplacian's mean is next to zero, so that this is its variance.
    """
    height, width = crop.shape[:2]
    rows, columns = (round(side * margin / (1 + 2 * margin)) for side in (height, width))
    green = cv2.extractChannel(crop[rows : height - rows, columns : width - columns], 1)
    if green.shape != (SHARP_SIDE, SHARP_SIDE):
        green = cv2.resize(green, (SHARP_SIDE, SHARP_SIDE), interpolation=cv2.INTER_LINEAR)
    return float(cv2.norm(cv2.Laplacian(green, cv2.CV_16S), cv2.NORM_L2SQR)) / SHARP_SIDE**2


def _share(value: float) -> float:
    """Limit to 0..1; np.clip of one number takes longer than all other work here."""
    return min(1.0, max(0.0, value))


def observation_of(probabilities: Mapping[str, float], quality: float, background: str | None) -> Observation:
    """Return the observation for the probabilities of all labels.

    ``background`` is the label of what is no face, None where the model has no such label. Its probability reduces the
    quality in proportion.
    """
    nothing = None if background is None else probabilities.get(background, 0.0)
    face = {label: p for label, p in probabilities.items() if label != background}
    total = sum(face.values()) or 1.0
    return Observation({label: p / total for label, p in face.items()}, quality * (1 - (nothing or 0.0)), nothing)


class MaskClassifier:
    """Classifies faces with a classifier bundle. ``labels`` are the labels of a face, in the model's order.

    Raises :class:`edge.errors.BundleError` if the model's outputs do not match its contract.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._size = (model.contract.input.height, model.contract.input.width)
        self.labels = model.contract.worn
        wanted = (1, 1 if model.contract.output == "sigmoid" else len(model.contract.labels))
        # Heat maps (contract.heatmap) are the second output.
        if model.output_shapes[:1] != (wanted,) or len(model.output_shapes) != 1 + model.contract.heatmap:
            raise BundleError(
                f"{model.source}: a {model.contract.output} of labels {model.contract.labels} gives one output "
                f"{wanted}, this model {model.output_shapes}; convert it again"
            )
        self.compliant = model.contract.compliant

    def classify(self, frame: Frame, views: Sequence[View]) -> list[Observation]:
        """Return one observation per view of the faces of ``frame``, in the same order."""
        # Step by step, not face by face: every inference drives the code of the steps out of the processor's caches.
        cuts = [self._cut(frame, view.face) for view in views]
        answers = [
            classify_crop(self._model, crop, (view.mirrored,)) for view, (crop, _) in zip(views, cuts, strict=True)
        ]
        return [
            self._observation(view, quality, *answer)
            for view, (_, quality), answer in zip(views, cuts, answers, strict=True)
        ]

    def classify_single(self, frame: Frame, face: Face) -> Observation:
        """Return the mean observation of a face and its mirror image, for a picture that stands alone.

        At the door the views alternate from frame to frame; a single picture has only this one. The heat map, if the
        model has one, is that of the plain view.
        """
        crop, quality = self._cut(frame, face)
        return self._observation(View(face), quality, *classify_crop(self._model, crop, PLAIN_AND_MIRRORED))

    def _cut(self, frame: Frame, face: Face) -> tuple[Image, float]:
        """Return the crop of a face and the quality of an observation of it."""
        margin, (height, width) = self._model.contract.crop_margin, frame.image.shape[:2]
        crop = crop_face(frame.image, face.box, margin, self._size)
        return crop, quality_of(crop, margin, face, Box(0, 0, width, height))

    def _observation(
        self, view: View, quality: float, probabilities: Mapping[str, float], outputs: Sequence[Floats]
    ) -> Observation:
        contract = self._model.contract
        observation = observation_of(probabilities, quality, contract.background)
        if not contract.heatmap:
            return observation
        x, y, side = crop_square(view.face.box, contract.crop_margin)
        values = heat_of(outputs[1][0], contract.labels.index(observation.label))
        return msgspec.structs.replace(
            observation, heat=Heat(Box(x, y, x + side, y + side), values[:, ::-1] if view.mirrored else values)
        )


def heat_of(maps: Floats, label: int) -> Floats:
    """Return the map (h, w) of the label with index ``label``, from maps (h, w, neurons), float32.

    The single neuron of a sigmoid is the evidence for label 1; label 0 has its negative.
    """
    if maps.shape[-1] > 1:
        return np.asarray(maps[..., label], np.float32)
    return np.asarray(maps[..., 0] if label else -maps[..., 0], np.float32)
