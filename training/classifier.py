"""The mask classifier: MobileNetV2, average pooling, softmax; a small input, because faces at a door are small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import keras
import numpy as np
import numpy.typing as npt

from edge.contracts import WITHOUT_MASK, Box, Image
from edge.stages.classify import CROP_MARGIN, crop_face, crop_square
from training import augment, backbone, worn
from training.data import stretched

POOL = "pool"
"""The layer between backbone and head."""


def build(size: int, weights: str | None, outputs: int, alpha: float = 1.0, lite: bool = False) -> keras.Model:
    """Build the network: input (n, size, size, 3) RGB 0..255, output (n, outputs) softmax, or one sigmoid.

    ``lite`` asks for an EfficientNet-Lite; ``alpha`` is the width of a MobileNetV2.
    """
    base = backbone.efficientnet_lite(size, weights) if lite else backbone.mobilenet_v2(size, weights, alpha)
    pooled = keras.layers.GlobalAveragePooling2D(name=POOL)(base.output)
    dropped = keras.layers.Dropout(0.3, name="dropout")(pooled)
    activation = "sigmoid" if outputs == 1 else "softmax"
    head = keras.layers.Dense(outputs, activation=activation, name="labels")(dropped)
    return keras.Model(base.input, head, name="fmd_mask_classifier")


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A face to learn: ``box`` in ``image``, or the whole of it where ``box`` is None (class folders).

    ``landmarks`` (5, 2) in the picture's pixels let masks be drawn onto the face; None where it gets none.
    """

    image: Image
    box: Box | None
    label: int
    landmarks: worn.Points | None = None


def crop(example: Example, size: int) -> Image:
    """Return the crop as the runtime cuts it; class-folder pictures whole and stretched, as the papers do."""
    if example.box is None:
        return stretched(example.image, size)
    return crop_face(example.image, example.box, CROP_MARGIN, (size, size))


DRAWN_MASKS = 0.45
"""Chance that a bare face with landmarks gets a mask drawn on."""
JITTER = 0.06
"""Standard deviation of a crop's centre, in face sides: sets draw their boxes differently, and detectors err."""


def sample(example: Example, size: int, labels: Sequence[str], rng: augment.Rng) -> tuple[Image, int]:
    """Return one augmented crop (size, size, 3) and its label's index, which drawing a mask may change.

    The mouth of a face without a mask may be hidden by a hand or by paper: that is no mask.
    """
    wide = round(size * 1.3)
    label = example.label
    if example.box is None:
        image = crop(example, wide)
        zoom = rng.uniform(1.0, 1.3)
    else:
        box = example.box
        drawn_on = example.landmarks is not None and rng.random() < DRAWN_MASKS
        if labels[label] == WITHOUT_MASK and not drawn_on and rng.random() < 0.12:
            lower = (box.xmin, box.ymin + 0.5 * box.height, box.xmax, box.ymax + 0.2 * box.height)
            held = augment.hand if rng.random() < 0.6 else augment.occlude
            image = held(example.image, rng, lower)
        else:
            image = example.image
        side = max(box.width, box.height)
        x, y = rng.normal(0, JITTER, 2) * side
        moved = Box(box.xmin + x, box.ymin + y, box.xmax + x, box.ymax + y)
        margin = (1 + 2 * CROP_MARGIN) * 1.3 / 2 - 0.5
        image = crop_face(image, moved, margin, (wide, wide))
        if drawn_on and example.landmarks is not None:
            left, top, pixels = crop_square(moved, margin)
            worn_now = worn.put_on(image, (example.landmarks - (left, top)) * (wide / pixels), rng)
            if worn_now is not None and worn_now[1] in labels:
                # Drawn at the crop's resolution; the picture may hold less.
                image, label = augment.shrink(worn_now[0], max(16, pixels)), labels.index(worn_now[1])
        zoom = float(rng.uniform(0.82, 1.25))
    # Remove detail from both classes alike: in the papers' set resolution alone separates them.
    if rng.random() < 0.5:
        image = augment.shrink(image, int(np.exp(rng.uniform(np.log(28), np.log(wide)))))
    turn = cv2.getRotationMatrix2D((wide / 2, wide / 2), augment.tilt(rng, 9), zoom)
    turn[:, 2] += (size - wide) / 2
    squeeze = np.diag([rng.uniform(0.88, 1.12), 1.0]) @ turn[:, :2]
    turn[:, 2] += (turn[:, :2] - squeeze) @ np.array([wide / 2, wide / 2])
    turn[:, :2] = squeeze
    view = np.vstack([turn, (0, 0, 1)])
    if rng.random() < 0.3:
        view = augment.from_above(size, rng) @ view
    image = cv2.warpPerspective(image, view, (size, size), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return augment.photometric(np.ascontiguousarray(image, np.uint8), rng), label


def sampling_weights(labels: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the chance of each example (n,): classes by the square root of their size, so that rare ones are seen."""
    counts = np.bincount(labels)
    weights = np.array([1 / np.sqrt(counts[label]) for label in labels])
    return np.asarray(weights / weights.sum())
