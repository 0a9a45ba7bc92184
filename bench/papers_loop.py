"""The papers' loop, written from its description, to compare with.

A frame is made 400 pixels wide; OpenCV's DNN module finds faces with the res10 SSD (300 x 300, mean 104, 177, 123,
confidence over 0.5); every face is cut out along its box, turned to RGB, stretched to 224 x 224, scaled to -1..1; and
one Keras ``predict`` call per frame gives the mask classifier's two probabilities (MobileNetV2, 7 x 7 average pooling,
Dense 128, dropout, softmax). There is no gate, no tracking and no memory: every frame costs the same.

The Keras weights are random, because they do not change the time. The detector's weights are the published ones, given
by path: where it finds no face, there is no ``predict`` call, so that its results matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.contracts import Floats, Image
from edge.errors import DataError, RuntimeMissingError
from edge.files import native_name

FRAME_WIDTH = 400
DETECTOR_SIDE, DETECTOR_MEAN = 300, (104.0, 177.0, 123.0)
MIN_CONFIDENCE = 0.5
FACE_SIDE = 224
WEIGHTS, GRAPH = "opencv_face_detector_uint8.pb", "opencv_face_detector.pbtxt"


class PapersLoop:
    """The papers' loop. ``folder`` holds the detector's two files; raises DataError if one is missing."""

    def __init__(self, folder: Path) -> None:
        self._faces = _open_detector(folder)
        self._masks = _classifier()

    def step(self, frame: Image) -> Floats:
        """Return the probabilities (faces, 2), float32, for the faces of a frame (H, W, 3) uint8 in B, G, R order."""
        height = round(frame.shape[0] * FRAME_WIDTH / frame.shape[1])
        small = cv2.resize(frame, (FRAME_WIDTH, height), interpolation=cv2.INTER_AREA)
        crops = [self._prepared(small, box) for box in self._boxes(np.asarray(small, np.uint8))]
        # A box at the border may be empty after rounding.
        crops = [crop for crop in crops if crop.size]
        if not crops:
            return np.zeros((0, 2), np.float32)
        return np.asarray(self._masks.predict(np.stack(crops), batch_size=32, verbose=0))

    def warm_up(self) -> None:
        """Make the first calls of the process: they trace the graph and pack weights, which is not the loop's cost."""
        self._boxes(np.zeros((DETECTOR_SIDE, FRAME_WIDTH, 3), np.uint8))
        for faces in (1, 2, 3):
            self._masks.predict(np.zeros((faces, FACE_SIDE, FACE_SIDE, 3), np.float32), verbose=0)

    def _boxes(self, small: Image) -> list[tuple[int, int, int, int]]:
        side = (DETECTOR_SIDE, DETECTOR_SIDE)
        self._faces.setInput(cv2.dnn.blobFromImage(small, 1.0, side, DETECTOR_MEAN))
        rows = self._faces.forward()[0, 0]
        height, width = small.shape[:2]
        # A row holds image, class, confidence, and the box in shares of the picture's size.
        scaled = rows[rows[:, 2] > MIN_CONFIDENCE, 3:] * (width, height, width, height)
        boxes = scaled.astype(int)
        return [(max(0, a), max(0, b), min(width - 1, c), min(height - 1, d)) for a, b, c, d in boxes.tolist()]

    def _prepared(self, small: Image, box: tuple[int, int, int, int]) -> Floats:
        xmin, ymin, xmax, ymax = box
        crop = small[ymin:ymax, xmin:xmax]
        if not crop.size:
            return np.zeros(0, np.float32)
        resized = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), (FACE_SIDE, FACE_SIDE))
        return np.asarray(resized, np.float32) / 127.5 - 1


def _open_detector(folder: Path) -> Any:
    for name in (WEIGHTS, GRAPH):
        if not (folder / name).is_file():
            raise DataError(
                f"{folder / name}: missing; give the folder of the res10 SSD's TensorFlow form with --peers"
            )
    weights, graph = (native_name(folder / name, DataError) for name in (WEIGHTS, GRAPH))
    return cv2.dnn.readNetFromTensorflow(weights, graph)


def _classifier() -> Any:
    try:
        import keras
    except ImportError as error:
        raise RuntimeMissingError(
            "keras is missing, which the papers' loop runs on; in fmd's folder: pip install '.[convert]'"
        ) from error
    layers = keras.layers
    # No weights are loaded: they would be downloaded, and change no time.
    base = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(FACE_SIDE, FACE_SIDE, 3))
    x = layers.Flatten()(layers.AveragePooling2D(7)(base.output))
    x = layers.Dropout(0.5)(layers.Dense(128, activation="relu")(x))
    return keras.Model(base.input, layers.Dense(2, activation="softmax")(x))
