"""fmd's own detector converts: scores before boxes, the same faces found, drawn golden inputs that catch a swap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from converter import Options, convert, draw
from edge.contracts import Box, Frame
from edge.drivers import open_interpreter
from edge.inference import bundle
from edge.stages.detect import FaceDetector, cell_centres

SIDE = 64


def scene(rng: np.random.Generator) -> tuple[np.ndarray[Any, Any], Box]:
    """A backdrop with one bare face on it, and where the face is."""
    image = draw.backdrop(SIDE, SIDE, rng)
    size = float(rng.uniform(26, 40))
    x, y = (float(v) for v in rng.uniform(22, 42, 2))
    draw.face(image, (x, y), size, "without_mask", rng)
    return image, Box(x - 0.4 * size, y - 0.5 * size, x + 0.4 * size, y + 0.5 * size)


@pytest.fixture(scope="module")
def detector(seeded: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shape of ``fmd-train detector``'s models, tiny, trained for some seconds with its own loss and targets."""
    import keras

    from converter.tables import LabelledFace
    from training.detector import loss, targets

    rng = np.random.default_rng(4)
    scenes = [scene(rng) for _ in range(400)]
    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    x = keras.layers.Conv2D(12, 3, strides=4, padding="same", activation="relu")(x)
    levels = []
    for width in (24, 32, 40):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(x)
        levels.append(keras.layers.Reshape((-1, 5))(keras.layers.Conv2D(5, 3, padding="same")(x)))
    raw = keras.layers.Concatenate(axis=1)(levels)
    training = keras.Model(pixels, raw)
    training.compile(keras.optimizers.Adam(4e-3), loss=loss)
    wanted = np.stack([targets([LabelledFace(box, "without_mask")], SIDE) for _, box in scenes])
    training.fit(np.stack([s[0] for s in scenes]).astype(np.float32), wanted, epochs=14, batch_size=16, verbose=0)
    scores = keras.layers.Activation("sigmoid")(raw[:, :, :1])
    path = tmp_path_factory.mktemp("detector") / "faces.keras"
    keras.Model(pixels, {"scores": scores, "boxes": raw[:, :, 1:]}).save(path)
    return path


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes")
    rng = np.random.default_rng(5)
    for i in range(60):
        cv2.imwrite(str(root / f"{i:02d}.png"), scene(rng)[0][:, :, ::-1])
    return root


def test_detector_finds_the_same_faces(detector: Path, scenes: Path, tmp_path: Path) -> None:
    target = tmp_path / "faces.tflite"
    found = convert(detector, Options(output=target, calibration=scenes, golden="drawn"))
    assert found.failures == ()
    assert found.parity.float_faces >= 15  # of 20 held-back scenes
    model = bundle.load(target, "detector", open_interpreter)
    assert (model.contract.output, model.contract.strides) == ("anchor-free", (8, 16, 32))
    cells = len(cell_centres(SIDE, SIDE, (8, 16, 32))[0])
    assert model.output_shapes == ((1, cells, 1), (1, cells, 4))
    assert model.replay() <= 1
    image, box = scene(np.random.default_rng(6))
    faces = FaceDetector(model, 0.3).detect(Frame(image, image[..., 1], 0.0, 0))
    assert max(face.box.iou(box) for face in faces) > 0.4
