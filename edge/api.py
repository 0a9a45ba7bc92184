"""Python API of fmd: turn a picture into faces, labels and probabilities.

>>> from edge import open_predictor, example_picture
>>> for face in open_predictor().predict(example_picture()):
...     print(face.label, {label: round(p) for label, p in face.probabilities.items()})
without_mask {'with_mask': 0, 'without_mask': 1, 'with_incorrect_mask': 0}

Pictures are numpy arrays of shape (height, width, 3) and type uint8, in R, G, B order. Boxes are ``xmin, ymin, xmax,
ymax`` in pixels of the picture, x to the right, y down, the maximum exclusive. Scores and probabilities are 0..1.

Import these names from :mod:`edge`. It loads this module, and with it numpy and OpenCV, when the first one is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge import config
from edge.contracts import Box, Image
from edge.drivers import doorway
from edge.errors import FmdError
from edge.reporting.predictor import PredictedFace, Predictor, read_picture
from edge.service import models

__all__ = ["Box", "FmdError", "PredictedFace", "Predictor", "example_picture", "open_predictor", "read_picture"]

EXAMPLE_S = {False: 4.0, True: 7.0}
"""Moments of the built-in scene, seconds: the person stands before the camera, without and with a mask."""


def open_predictor(settings_file: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> Predictor:
    """Load the models that ``fmd predict`` uses, check them on this machine, and return a predictor.

    ``settings_file`` is a settings file as of ``fmd run``; ``settings`` override it by key, for example
    ``{"model.classifier": "mask.tflite"}``. Raises FmdError where a file or a model cannot be used.
    """
    loaded = config.load(None if settings_file is None else Path(settings_file), settings or {})
    return predictor_of(loaded)


def predictor_of(settings: config.Settings) -> Predictor:
    """Load the models that ``settings`` name and return a predictor."""
    return Predictor(models.open_detector(settings, mirrored=True), models.open_classifier(settings))


def example_picture(masked: bool = False) -> Image:
    """Return a picture of the built-in scene, (480, 640, 3) uint8 RGB: a person without or with a mask.

    Raises RuntimeMissingError without scikit-image (``pip install 'fmd-edge[demo]'``), which has the portrait.
    """
    scene = doorway.DoorwayCamera(config.load().camera, "", lambda: 0.0)
    return scene.picture(EXAMPLE_S[masked])
