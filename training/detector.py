"""The face detector: MobileNetV2, a small feature pyramid, anchor-free heads at strides 8, 16 and 32.

See :mod:`edge.stages.detect` for what its outputs mean. Sources: MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381),
feature pyramid (Lin et al. 2017, arXiv:1612.03144), FCOS assignment, quality focal loss, GIoU (Rezatofighi et al.
2019, arXiv:1902.09630), and sampling scales by the face rather than by the picture (PyramidBox: Tang et al. 2018,
arXiv:1803.07737), without which a face that fills the picture is never learnt.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from converter.tables import IGNORE, LabelledFace
from edge.contracts import Box, Floats, Image
from edge.inference import resize
from edge.stages.detect import PAD_VALUE, STRIDES, cell_centres
from training import augment, backbone
from training.data import NOT_A_FACE

TAPS = ("block_6_expand_relu", "block_13_expand_relu", "block_16_project_BN")
SIZE_RANGES = {8: (0.0, 48.0), 16: (28.0, 120.0), 32: (72.0, float("inf"))}
"""Face sizes (square root of the area, input pixels) that each stride learns; they overlap, so none is left out."""
CHANNELS = 64
SMALLEST_FACE = 6.0
"""Faces below this many input pixels are ignored in training."""

NEGATIVE_VIEWS = 0.25
"""Share of views cut around a hard negative, in pictures that have some."""


def build(size: int, weights: str | None) -> tuple[keras.Model, keras.Model]:
    """Return the network as (for training, for shipping); both share their layers.

    Training: input (n, size, size, 3) RGB 0..255 float, output (n, cells, 5): score logit and four log distances.
    Shipping: the same input, outputs scores (n, cells, 1) and boxes (n, cells, 4).
    """
    base = backbone.mobilenet_v2(size, weights)
    features = [base.get_layer(name).output for name in TAPS]
    lateral = [_conv_bn(f, 1, f"lateral_{s}") for f, s in zip(features, STRIDES, strict=True)]
    for i in (1, 0):
        above = keras.layers.UpSampling2D(2, name=f"up_{STRIDES[i]}")(lateral[i + 1])
        lateral[i] = keras.layers.Add(name=f"merge_{STRIDES[i]}")([lateral[i], above])
    scores, boxes = [], []
    for feature, stride in zip(lateral, STRIDES, strict=True):
        shared = _separable(_separable(feature, f"head_{stride}_a"), f"head_{stride}_b")
        prior = keras.initializers.Constant(-4.0)  # most cells hold no face: start near a score of 0.02
        score = keras.layers.Conv2D(1, 1, bias_initializer=prior, name=f"score_{stride}")(shared)
        box = keras.layers.Conv2D(4, 1, bias_initializer=keras.initializers.Constant(0.5), name=f"box_{stride}")(shared)
        scores.append(keras.layers.Reshape((-1, 1), name=f"score_cells_{stride}")(score))
        boxes.append(keras.layers.Reshape((-1, 4), name=f"box_cells_{stride}")(box))
    logits = keras.layers.Concatenate(axis=1, name="logits")(scores)
    distances = keras.layers.Concatenate(axis=1, name="boxes")(boxes)
    probability = keras.layers.Activation("sigmoid", name="scores")(logits)
    shipped = keras.Model(base.input, {"scores": probability, "boxes": distances}, name="fmd_face_detector")
    return for_training(shipped), shipped


def for_training(shipped: keras.Model) -> keras.Model:
    """Return the network that trains a shipped one's layers; see :func:`build`."""
    outputs = [shipped.get_layer(name).output for name in ("logits", "boxes")]
    return keras.Model(shipped.input, keras.layers.Concatenate(axis=2)(outputs), name="detector_training")


def resized(shipped: keras.Model, height: int, width: int) -> keras.Model:
    """Return a copy of a shipped network for another input size, with the same weights and the same layers frozen."""
    pixels = keras.tree.pack_sequence_as(shipped.input, [keras.Input((height, width, 3), name="pixels")])
    copy = keras.models.clone_model(shipped, input_tensors=pixels)
    copy.set_weights(shipped.get_weights())
    return copy


def _conv_bn(x: Any, kernel: int, name: str) -> Any:
    x = keras.layers.Conv2D(CHANNELS, kernel, padding="same", use_bias=False, name=name)(x)
    return keras.layers.BatchNormalization(momentum=0.97, name=f"{name}_bn")(x)


def _separable(x: Any, name: str) -> Any:
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = keras.layers.BatchNormalization(momentum=0.97, name=f"{name}_depthwise_bn")(x)
    x = _conv_bn(keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x), 1, name)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def loss(truth: Any, predicted: Any) -> Any:
    """Return quality focal loss on scores plus twice the GIoU loss on boxes, per positive cell.

    ``truth`` (n, cells, 5): 1 positive, 0 negative, -1 ignored; log distances. ``predicted`` (n, cells, 5).
    """
    kind, wanted = truth[..., 0], ops.exp(truth[..., 1:])
    logit, got = predicted[..., 0], ops.exp(ops.clip(predicted[..., 1:], -4.0, 5.0))
    positive = ops.cast(kind > 0.5, "float32")
    counted = ops.cast(kind > -0.5, "float32")
    area = (wanted[..., 0] + wanted[..., 2]) * (wanted[..., 1] + wanted[..., 3])
    area_got = (got[..., 0] + got[..., 2]) * (got[..., 1] + got[..., 3])
    low, high = ops.minimum(wanted, got), ops.maximum(wanted, got)
    shared = (low[..., 0] + low[..., 2]) * (low[..., 1] + low[..., 3])
    hull = (high[..., 0] + high[..., 2]) * (high[..., 1] + high[..., 3])
    union = area + area_got - shared
    iou = shared / (union + 1e-6)
    giou = iou - (hull - union) / (hull + 1e-6)
    quality = ops.stop_gradient(ops.clip(iou, 0.1, 1.0)) * positive
    probability = ops.sigmoid(logit)
    entropy = ops.relu(logit) - logit * quality + ops.log1p(ops.exp(-ops.abs(logit)))
    focal = ops.square(ops.abs(quality - probability)) * entropy * counted
    faces = ops.maximum(ops.sum(positive), 1.0)
    return ops.sum(focal) / faces + 2.0 * ops.sum((1.0 - giou) * positive) / faces


@functools.cache
def _cells(size: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return centres and strides of every cell, and the smallest and largest face that each learns."""
    centres, strides = cell_centres(size, size, STRIDES)
    ranges = np.array([SIZE_RANGES[int(s)] for s in strides], np.float32)
    return centres, strides, ranges[:, 0], ranges[:, 1]


def targets(faces: Sequence[LabelledFace], size: int) -> Floats:
    """Return the network's wanted output for a picture: (cells, 5) as :func:`loss` takes it."""
    centres, strides, low, high = _cells(size)
    out = np.zeros((len(centres), 5), np.float32)
    taken = np.full(len(centres), np.inf, np.float32)
    for face in faces:
        if face.label == NOT_A_FACE:
            continue
        box = np.asarray(face.box, np.float32)
        reach = np.concatenate([centres - box[:2], box[2:] - centres], axis=1)
        face_size = float(np.sqrt(max(1.0, face.box.width * face.box.height)))
        if face.label == IGNORE or face_size < SMALLEST_FACE:
            inside = (reach > -strides[:, None] / 2).all(axis=1) & ~(taken < np.inf)
            out[inside, 0] = -1
            continue
        away = np.abs(centres - (box[:2] + box[2:]) / 2).max(axis=1)
        radius = np.maximum(strides * 0.5001, np.minimum(strides * 1.5, face_size * 0.3))
        chosen = (away <= radius) & (reach > 0).all(axis=1) & (face_size >= low) & (face_size < high)
        chosen &= face_size < taken
        out[chosen, 0] = 1
        out[chosen, 1:] = np.log(np.maximum(reach[chosen], 0.5) / strides[chosen, None])
        taken[chosen] = face_size
    return out


Sample = tuple[Image, list[LabelledFace]]
Pool = Sequence[Sequence[Sample]]
"""Pictures by table. Tables are drawn equally often, however many pictures each has."""


def sample(pool: Pool, size: int, rng: augment.Rng) -> Sample:
    """Return one augmented training picture of (size, size, 3): one view, or a mosaic of four or nine."""
    side = int(rng.choice([1, 2, 3], p=[0.5, 0.38, 0.12]))
    image, faces = _mosaic(pool, size, side, rng)
    for face in faces:
        if face.box.width > 16 and rng.random() < 0.1:
            image = augment.occlude(image, rng, face.box)
    return augment.photometric(image, rng), faces


def _mosaic(pool: Pool, size: int, side: int, rng: augment.Rng) -> Sample:
    """Return ``side`` x ``side`` views with jittered borders that fill (size, size, 3)."""
    canvas = np.empty((size, size, 3), np.uint8)
    jitter = rng.uniform(-0.2, 0.2, (2, side + 1)) * size / side
    jitter[:, [0, -1]] = 0
    x, y = (np.linspace(0, size, side + 1) + jitter).astype(int)
    faces: list[LabelledFace] = []
    for row in range(side):
        for column in range(side):
            table = pool[int(rng.integers(len(pool)))]
            source = table[int(rng.integers(len(table)))]
            x0, x1, y0, y1 = x[column], x[column + 1], y[row], y[row + 1]
            canvas[y0:y1, x0:x1], found = _view(source, int(y1 - y0), int(x1 - x0), rng)
            faces += [LabelledFace(_shifted(f.box, x0, y0), f.label) for f in found]
    return canvas, faces


def _shifted(box: Box, x: int, y: int) -> Box:
    return Box(box.xmin + x, box.ymin + y, box.xmax + x, box.ymax + y)


def _view(source: Sample, height: int, width: int, rng: augment.Rng) -> Sample:
    """Cut a (height, width) view out of a picture: mostly around one face at a size drawn log-uniformly.

    Sometimes it is around a hard negative instead: the network must see those at every size, too.
    """
    image, faces = source
    full_height, full_width = image.shape[:2]
    fit = min(height / full_height, width / full_width)
    asked = [f for f in faces if f.label not in (IGNORE, NOT_A_FACE)]
    negatives = [f for f in faces if f.label == NOT_A_FACE]
    if negatives and rng.random() < NEGATIVE_VIEWS:
        asked = negatives
    if asked and rng.random() < 0.6:
        box = asked[int(rng.integers(len(asked)))].box
        face_size = max(1.0, float(np.sqrt(box.width * box.height)))
        largest = min(0.95 * min(height, width), 4 * face_size)
        scale = float(np.exp(rng.uniform(np.log(9), np.log(max(10, largest))))) / face_size
        scale = max(scale, 0.8 * fit)  # a view that is mostly padding teaches nothing
        x, y = box.centre
        margin = min(0.5, 0.45 * face_size * scale / min(height, width))
        at_x, at_y = rng.uniform(margin, 1 - margin) * width, rng.uniform(margin, 1 - margin) * height
    else:
        scale = fit * float(rng.uniform(0.8, 1.6))
        x, y = full_width / 2, full_height / 2
        at_x, at_y = width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7)
    if scale < 0.8:  # warpAffine does not average
        image, shrunk, scale = _shrunk(image, scale, rng), scale, 1.0
    else:
        shrunk = 1.0
    flip = -1.0 if rng.random() < 0.5 else 1.0
    angle = np.deg2rad(augment.tilt(rng, 6))
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([flip, 1.0])
    shift = np.array([at_x, at_y]) - matrix @ (np.array([x, y]) * shrunk)
    affine = np.concatenate([matrix, shift[:, None]], axis=1)
    border = cv2.BORDER_CONSTANT if rng.random() < 0.7 else cv2.BORDER_REPLICATE
    view = cv2.warpAffine(image, affine, (width, height), borderMode=border, borderValue=(PAD_VALUE,) * 3)
    moved = [_moved(face, matrix * shrunk, shift, height, width) for face in faces]
    return np.asarray(view, np.uint8), [face for face in moved if face]


def _shrunk(image: Image, scale: float, rng: augment.Rng) -> Image:
    """Resize by ``scale``, as the runtime's letterbox does or smoother: low-resolution streams arrive averaged."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    if rng.random() < 0.6:
        return resize.resized(image, width, height)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _moved(
    face: LabelledFace, matrix: npt.NDArray[np.float64], shift: npt.NDArray[np.float64], height: int, width: int
) -> LabelledFace | None:
    """Return a face after an affine map, cut to the view; to ignore where little is left, None where nothing is."""
    x, y = matrix @ np.asarray(face.box.centre) + shift
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    half_width, half_height = face.box.width * scale / 2, face.box.height * scale / 2
    box = Box(x - half_width, y - half_height, x + half_width, y + half_height)
    seen = Box(max(0, box.xmin), max(0, box.ymin), min(width, box.xmax), min(height, box.ymax))
    if seen.width <= 1 or seen.height <= 1:
        return None
    share = seen.width * seen.height / (box.width * box.height)
    return LabelledFace(seen, face.label if share > 0.5 else IGNORE)
