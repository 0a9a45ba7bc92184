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
from edge.inference.evidence import CLIP
from edge.inference.resize import resized

STRIDES = (8, 16, 32)
"""Input pixels between neighbouring cells, for each output scale of the shipped detector."""
MAX_IOU = 0.45
"""Intersection over union from which two boxes are one face: only the better one is kept."""
OUTWARDS = np.array([-1, -1, 1, 1], np.float32)
"""Signs of the distances from a cell's centre to a box's xmin, ymin, xmax, ymax."""
MAX_LOGARITHM = 20.0
"""Limit of the logarithm of a distance in strides: no box reaches further, and exp must not overflow."""
PAD_VALUE = 114
"""Grey level around a letterboxed picture; training pads with the same level."""


class Letterbox(NamedTuple):
    """Place of a picture in the model's input: ``input = full * scale + offset``, in pixels."""

    scale: float
    x_offset: int
    y_offset: int


def letterbox(image: Image, height: int, width: int, into: Image | None = None) -> tuple[Image, Letterbox]:
    """Fit (H, W, 3) RGB uint8 into (height, width, 3), centred on grey, with its aspect ratio kept.

    ``into`` is the result for an earlier picture of the same shape: its border is grey already. It is overwritten.
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
    """Return the centres (cells, 2), x and y in input pixels, and strides (cells,) of all cells, in output order.

    Computed once per size and shared, and therefore read-only.
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


def mirrored_cells(height: int, width: int, strides: tuple[int, ...]) -> npt.NDArray[np.intp]:
    """Return for every cell, in output order, the cell (cells,) that sees the same place in the mirrored input."""
    cells, first = [], 0
    for stride in strides:
        rows, columns = -(-height // stride), -(-width // stride)
        cells.append(first + np.arange(rows * columns).reshape(rows, columns)[:, ::-1].ravel())
        first += rows * columns
    return np.concatenate(cells)


def odds_of(scores: Floats) -> Floats:
    """Return p / (1 - p) of scores 0..1, finite for 0 and 1: a network's bytes cannot be surer than :data:`CLIP`."""
    p = np.clip(scores, CLIP, 1 - CLIP)
    return np.asarray(p / (1 - p), np.float32)


def decode(reaches: Floats, centres: Floats, strides: Floats) -> Floats:
    """Return boxes (n, 4), xmin, ymin, xmax, ymax in input pixels.

    ``reaches`` (n, 4) are the distances from the ``centres`` (n, 2) to the edges, in ``strides`` (n,).
    """
    boxes = reaches * (strides[:, None] * OUTWARDS)
    boxes += centres.take((0, 1, 0, 1), axis=1)
    return boxes


def reach_of(distances: Floats) -> Floats:
    """Return distances in strides from their natural logarithms; those of a broken model do not overflow."""
    return np.exp(np.minimum(distances, MAX_LOGARITHM))


def faces_among(boxes: Floats, scores: Floats, max_iou: float) -> list[tuple[Box, float]]:
    """Return the boxes and scores that survive non-maximum suppression, best first.

    ``boxes`` (n, 4) have ``scores`` (n,). A box that overlaps a better one by more than ``max_iou`` is dropped. One
    that overlaps it by less keeps score * (1 - IoU), as in Soft-NMS (Bodla et al. 2017, arXiv:1704.04503): half of such
    boxes are a second box around the same head.
    """
    found: list[tuple[Box, float]] = []
    corners, believed = boxes.tolist(), scores.tolist()
    sized = [(xmin, ymin, xmax - xmin, ymax - ymin) for xmin, ymin, xmax, ymax in corners]
    # In plain Python: few boxes are left, and the overhead of NumPy's calls would exceed the work.
    for k in cv2.dnn.NMSBoxes(sized, believed, 0.0, max_iou):
        box, score = Box(*corners[k]), believed[k]
        found.append((box, score * (1 - max([box.iou(better) for better, _ in found], default=0.0))))
    found.sort(key=lambda face: -face[1])
    return found


class FaceDetector:
    """Finds faces with a detector bundle.

    ``min_score`` 0..1 is the lowest score that the model's output must have; an overlap with a better face lowers the
    reported score afterwards. ``max_iou`` and ``max_faces`` bound the faces of one frame. ``mirrored`` runs on the
    mirrored frame as well and takes the mean, in twice the time: for pictures that stand alone, as no next frame makes
    good for an error in one. Raises :class:`edge.errors.BundleError` if the model's outputs do not match its contract.
    """

    def __init__(
        self, model: Model, min_score: float, max_iou: float = MAX_IOU, max_faces: int = 100, mirrored: bool = False
    ) -> None:
        contract = model.contract
        self._model = model
        self._shape: tuple[int, ...] = ()
        self._fitted: Image | None = None
        self._max_iou = max_iou
        self._max_faces = max_faces
        self._height, self._width = contract.input.height, contract.input.width
        self._grid = cell_centres(self._height, self._width, contract.strides)
        cells = len(self._grid[1])
        # By width, not by position: converters choose the order of a model's outputs.
        self._scores = 0 if model.output_shapes[0][-1:] == (1,) else 1
        if sorted(model.output_shapes, key=lambda shape: shape[-1]) != [(1, cells, 1), (1, cells, 4)]:
            raise BundleError(
                f"{model.source}: a detector of strides {contract.strides} gives (1, {cells}, 1) and (1, {cells}, 4), "
                f"this one {model.output_shapes}; convert it again"
            )
        score_spec, distance_spec = model.outputs[self._scores], model.outputs[1 - self._scores]
        self._score_of = score_spec.reading(lambda real: real)
        self._reach_of = distance_spec.reading(reach_of)
        self._min_score, self._min_stored = min_score, _min_stored(score_spec, min_score)
        self._mirrored = mirrored_cells(self._height, self._width, contract.strides) if mirrored else None

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        """Return the faces of one frame, best first, in full-frame pixels, clipped to the frame."""
        image = frame.image if frame.small is None else frame.small()
        if image.shape != self._shape:
            self._shape, self._fitted = image.shape, None
        fitted, fit = letterbox(image, self._height, self._width, self._fitted)
        self._fitted = fitted
        cells, scores, reaches = (
            self._run_once(fitted) if self._mirrored is None else self._run_twice(fitted, self._mirrored)
        )
        if not cells.size:
            return ()
        centres, strides = self._grid
        boxes = decode(reaches, centres.take(cells, axis=0), strides.take(cells))
        found = faces_among(boxes, scores, self._max_iou)
        return _in_full_frame(found[: self._max_faces], fit, frame.image.shape[1] / image.shape[1], frame)

    def _infer(self, fitted: Image) -> tuple[Stored, Stored]:
        """Return the stored scores (cells,) and distances (cells, 4) of one inference."""
        outputs = self._model.run_stored(fitted)
        return outputs[self._scores].reshape(-1), outputs[1 - self._scores].reshape(-1, 4)

    def _run_once(self, fitted: Image) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
        """Return the cells that may be a face (n,), their scores (n,), and distances to the edges (n, 4) in strides."""
        stored, distances = self._infer(fitted)
        cells = self._candidates(stored, self._min_stored)
        return cells, self._score_of(stored.take(cells)), self._reach_of(distances.take(cells, axis=0))

    def _run_twice(self, fitted: Image, mirrored: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], Floats, Floats]:
        """Return the same from the mean of two inferences, cell by cell: of log odds, and of logarithms of distances.

        ``mirrored`` is what :func:`mirrored_cells` returns.
        """
        stored, distances = self._infer(fitted)
        odds, reaches = odds_of(self._score_of(stored)), self._reach_of(distances)
        stored, distances = self._infer(np.ascontiguousarray(fitted[:, ::-1]))
        odds = np.sqrt(odds * odds_of(self._score_of(stored))[mirrored])
        # What is left of a face is right of it in the mirror.
        reaches = np.sqrt(reaches * self._reach_of(distances)[mirrored][:, (2, 1, 0, 3)])
        scores = odds / (1 + odds)
        cells = self._candidates(scores, self._min_score)
        return cells, scores.take(cells), reaches.take(cells, axis=0)

    def _candidates(self, stored: Stored, least: float) -> npt.NDArray[np.intp]:
        """Return the indices (n,) of the cells whose score may be a face, ``least`` or more; nearly all are not.

        After one inference the comparison is on stored values, so that only the few candidates are dequantized.
        """
        candidates = (stored >= least).nonzero()[0]
        # Suppression takes time in the square of its boxes: a noisy picture must not bring more than a few hundred.
        if candidates.size > 4 * self._max_faces:
            best = np.argsort(stored.take(candidates))[-4 * self._max_faces :]
            return np.asarray(candidates[best])
        return candidates


def _min_stored(spec: TensorSpec, real: float) -> float:
    """Return the lowest stored value of a tensor that stands for ``real`` or more."""
    return math.ceil(real / spec.scale) + spec.zero_point if spec.scale else real


def _in_full_frame(found: Sequence[tuple[Box, float]], fit: Letterbox, shrunk: float, frame: Frame) -> tuple[Face, ...]:
    """Convert boxes in input pixels to faces of the frame.

    ``shrunk`` is the frame's width divided by the width of the picture that the detector was given.
    """
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
