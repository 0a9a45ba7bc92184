"""Frame -> faces: letterbox, one inference, decode, non-maximum suppression.

The detector is anchor-free (FCOS: Tian et al. 2019, arXiv:1904.01355). Its file has two outputs over the cells
of all strides, smallest stride first, row by row:

* scores (1, cells, 1): probability that a face's box is centred near the cell, times its expected overlap
  (Generalized Focal Loss: Li et al. 2020, arXiv:2006.04388);
* boxes (1, cells, 4): natural logarithm of the distances from the cell's centre to the left, top, right and
  bottom edge, in strides. The logarithm keeps int8 steps at a few per cent of any face, small or large.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.contracts import Box, Face, Floats, Frame, Image, Stored, TensorSpec
from edge.errors import BundleError
from edge.inference.bundle import Model
from edge.inference.resize import resized

STRIDES = (8, 16, 32)
"""Input pixels between the cells of each of our detector's outputs."""
MAX_IOU = 0.45
"""Of two boxes that overlap more than this the better one stays."""
OUTWARDS = np.array([-1, -1, 1, 1], np.float32)
"""Which way from a cell's centre a box's xmin, ymin, xmax, ymax lie."""
MAX_LOGARITHM = 20.0
"""Of a distance in strides: further is nothing."""
PAD_VALUE = 114
"""Grey around a letterboxed picture; training pads with the same."""


class Letterbox(NamedTuple):
    """How a picture was fitted into the model's input: ``input = full * scale + offset``."""

    scale: float
    x_offset: int
    y_offset: int


def letterbox(image: Image, height: int, width: int, into: Image | None = None) -> tuple[Image, Letterbox]:
    """Fit (H, W, 3) RGB into (height, width, 3), aspect kept, centred on grey.

    ``into`` is what an earlier picture of the same shape was fitted into: grey already where it stays grey.
    """
    full_height, full_width = image.shape[:2]
    scale = min(height / full_height, width / full_width)
    inner_width = max(1, min(width, round(full_width * scale)))
    inner_height = max(1, min(height, round(full_height * scale)))
    fitted = np.full((height, width, 3), PAD_VALUE, np.uint8) if into is None else into
    x_offset, y_offset = (width - inner_width) // 2, (height - inner_height) // 2
    inner = fitted[y_offset : y_offset + inner_height, x_offset : x_offset + inner_width]
    resized(image, inner_width, inner_height, inner)
    return fitted, Letterbox(scale, x_offset, y_offset)


@functools.cache
def cell_centres(height: int, width: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Centres (cells, 2) as x, y in input pixels and the stride (cells,) of every output cell, in output order.

    Made once for every size, and read-only for that.
    """
    centres, sizes = [], []
    for stride in strides:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        centres.append(np.stack([x.ravel(), y.ravel()], axis=1) * stride + stride / 2)
        sizes.append(np.full(rows * columns, stride, np.float32))
    grid = np.concatenate(centres).astype(np.float32), np.concatenate(sizes)
    for array in grid:
        array.flags.writeable = False
    return grid


def decode(reaches: Floats, centres: Floats, strides: Floats) -> Floats:
    """Boxes (n, 4) as xmin, ymin, xmax, ymax in input pixels, from how many strides (n, 4) they reach from centres."""
    boxes = reaches * (strides[:, None] * OUTWARDS)
    boxes += centres.take((0, 1, 0, 1), axis=1)
    return boxes


def reach_of(distances: Floats) -> Floats:
    """Strides, of natural logarithms of strides; a broken model's do not overflow."""
    return np.exp(np.minimum(distances, MAX_LOGARITHM))


def faces_among(boxes: Floats, scores: Floats, max_iou: float) -> list[tuple[Box, float]]:
    """Boxes (n, 4) and their scores (n,), best first, of those that survive each other.

    Non-maximum suppression: of boxes that overlap a better one by more than ``max_iou``, none is kept. What overlaps
    a better one by less is believed in less, score * (1 - IoU) as in Soft-NMS (Bodla et al. 2017, arXiv:1704.04503):
    half of them are a second box around the same head.
    """
    found: list[tuple[Box, float]] = []
    corners, believed = boxes.tolist(), scores.tolist()
    sized = [(xmin, ymin, xmax - xmin, ymax - ymin) for xmin, ymin, xmax, ymax in corners]
    # In Python: few are left, and NumPy takes longer to begin than this to end.
    for k in cv2.dnn.NMSBoxes(sized, believed, 0.0, max_iou):
        box, score = Box(*corners[k]), believed[k]
        found.append((box, score * (1 - max([box.iou(better) for better, _ in found], default=0.0))))
    found.sort(key=lambda face: -face[1])
    return found


class FaceDetector:
    """Finds faces with a detector bundle.

    ``min_score`` 0..1 is the lowest confidence reported; an overlap with a better face takes its share off only then.
    """

    def __init__(self, model: Model, min_score: float, max_iou: float = MAX_IOU, most_faces: int = 100) -> None:
        contract = model.contract
        self._model = model
        self._shape: tuple[int, ...] = ()
        self._fitted: Image | None = None
        self._max_iou = max_iou
        self._most_faces = most_faces
        self._height, self._width = contract.input.height, contract.input.width
        self._grid = cell_centres(self._height, self._width, contract.strides)
        cells = len(self._grid[1])
        # By width, not by position: converters order a model's outputs as they please.
        self._scores = 0 if model.output_shapes[0][-1:] == (1,) else 1
        if sorted(model.output_shapes, key=lambda shape: shape[-1]) != [(1, cells, 1), (1, cells, 4)]:
            raise BundleError(
                f"{model.source}: a detector of strides {contract.strides} gives (1, {cells}, 1) and (1, {cells}, 4), "
                f"this one {model.output_shapes}; convert it again"
            )
        score_spec, distance_spec = model.outputs[self._scores], model.outputs[1 - self._scores]
        self._score_of = score_spec.reading(lambda real: real)
        self._reach_of = distance_spec.reading(reach_of)
        self._least = _least_stored(score_spec, min_score)

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """Faces of one frame, best first, in full-frame pixels, cut to the frame."""
        image = frame.image if frame.small is None else frame.small()
        if image.shape != self._shape:
            self._shape, self._fitted = image.shape, None
        self._fitted, fit = letterbox(image, self._height, self._width, self._fitted)
        outputs = self._model.run_stored(self._fitted)
        stored, distances = outputs[self._scores].reshape(-1), outputs[1 - self._scores].reshape(-1, 4)
        candidates = self._candidates(stored)
        if not candidates.size:
            return ()
        centres, strides = self._grid
        reaches = self._reach_of(distances.take(candidates, axis=0))
        boxes = decode(reaches, centres.take(candidates, axis=0), strides.take(candidates))
        found = faces_among(boxes, self._score_of(stored.take(candidates)), self._max_iou)
        return _in_full_frame(found[: self._most_faces], fit, frame.image.shape[1] / image.shape[1], frame)

    def _candidates(self, stored: Stored) -> npt.NDArray[np.intp]:
        """Cells (n,) of the scores (cells,) that may be faces; compared as stored, for nearly all are nothing."""
        candidates = (stored >= self._least).nonzero()[0]
        # No more than a few hundred ever reach the quadratic part, however noisy the picture.
        if candidates.size > 4 * self._most_faces:
            best = np.argsort(stored.take(candidates))[-4 * self._most_faces :]
            return np.asarray(candidates[best])
        return candidates


def _least_stored(spec: TensorSpec, real: float) -> float:
    """What a tensor's stored values are compared with to find those of at least ``real``."""
    return math.ceil(real / spec.scale) + spec.zero_point if spec.scale else real


def _in_full_frame(found: Sequence[tuple[Box, float]], fit: Letterbox, shrunk: float, frame: Frame) -> tuple[Face, ...]:
    """Boxes in input pixels as faces of the frame; ``shrunk`` is how much smaller the detector's picture was."""
    height, width = frame.image.shape[:2]
    scale = shrunk / fit.scale
    faces = []
    for (xmin, ymin, xmax, ymax), score in found:
        box = Box(
            max(0.0, (xmin - fit.x_offset) * scale),
            max(0.0, (ymin - fit.y_offset) * scale),
            min(float(width), (xmax - fit.x_offset) * scale),
            min(float(height), (ymax - fit.y_offset) * scale),
        )
        if box.width >= 1 and box.height >= 1:
            faces.append(Face(box, score))
    return tuple(faces)
