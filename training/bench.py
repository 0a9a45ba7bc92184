"""Time of the shipped models beside their peers: one thread, one process, interleaved, medians.

Milliseconds of a busy machine say little; a ratio of two things measured turn by turn says much. Detectors are
timed from the picture to the faces (resizing, decoding and suppression included), classifiers from the crop to the
probabilities.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edge import drivers
from edge.contracts import Frame, Image, Interpreter
from edge.errors import DataError, RuntimeMissingError
from edge.files import native_name
from edge.inference.bundle import Model
from edge.stages.classify import probabilities_of
from edge.stages.detect import FaceDetector

FRAMES = ((320, 320), (480, 640))
"""(height, width) of the pictures. YuNet gets them fitted to a longest side of 320; at 640 x 480 that is a quarter
fewer pixels than our square input, at 320 x 320 both see the same."""
PEER_SIDE = 320
WORKING_SCORE = 0.5
MOBILENET_SIZE = 224


class Comparison(NamedTuple):
    """Medians in milliseconds, and ours over theirs."""

    name: str
    ours_ms: float
    theirs_ms: float

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.theirs_ms


def interleaved(name: str, ours: Callable[[], object], theirs: Callable[[], object], pairs: int) -> Comparison:
    """Time both in turn, so that other load on the machine affects both alike."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):  # caches, lazily packed weights
        ours()
        theirs()
    for i in range(pairs):
        for which in (0, 1) if i % 2 else (1, 0):
            began_s = time.perf_counter()
            (ours, theirs)[which]()
            took[which].append(1000 * (time.perf_counter() - began_s))
    return Comparison(name, float(np.median(took[0])), float(np.median(took[1])))


def picture(height: int, width: int, seed: int = 1) -> Image:
    """Return smoothed coloured noise (height, width, 3): neither network's time depends on its input."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)


def detectors(detector: Model, yunet: Path, pairs: int) -> list[Comparison]:
    """Time our detector against a YuNet .onnx on OpenCV, both on one thread."""
    if not yunet.is_file():
        raise DataError(f"{yunet}: no such file; give the path of a YuNet .onnx with --yunet")
    cv2.setNumThreads(1)
    find = FaceDetector(detector, WORKING_SCORE)
    peer = cv2.FaceDetectorYN.create(native_name(yunet, DataError), "", (PEER_SIDE, PEER_SIDE), WORKING_SCORE)

    def theirs(image: Image) -> object:
        scale = PEER_SIDE / max(image.shape[:2])
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        peer.setInputSize((small.shape[1], small.shape[0]))
        return peer.detect(small)

    out = []
    for height, width in FRAMES:
        image = picture(height, width)
        frame = Frame(image, image[:, :, 1], 0.0, 0)
        name = f"detector / YuNet at {PEER_SIDE}, {width}x{height} picture"
        out.append(interleaved(name, lambda f=frame: find.detect(f), lambda i=image: theirs(i), pairs))  # type: ignore[misc]
    return out


def classifiers(classifier: Model, mobilenet: Interpreter, pairs: int) -> Comparison:
    """Time our classifier against a MobileNetV2 on the same runtime, a face each."""
    size = classifier.contract.input
    crop = picture(size.height, size.width)
    tensor = picture(*mobilenet.input.shape[1:3])[None].astype(mobilenet.input.dtype)
    return interleaved(
        "classifier / MobileNetV2 1.0 at 224, int8",
        lambda: probabilities_of(classifier.run(crop)[0], classifier.contract),
        lambda: mobilenet.run(tensor),
        pairs,
    )


def open_mobilenet(path: Path | None) -> Interpreter:
    """Open the peer on the runtime's own interpreter, one thread; make it where no file is given."""
    if path is None:
        return drivers.open_interpreter(mobilenet_int8())
    try:
        return drivers.open_interpreter(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}; leave --mobilenet out to make one") from error


def mobilenet_int8() -> bytes:
    """Return keras.applications.MobileNetV2(1.0, 224) in full int8 as a flatbuffer.

    Its weights are random: they change no time, and nobody needs to have ImageNet's.
    """
    try:
        import keras
        import tensorflow as tf
    except ImportError as error:
        raise RuntimeMissingError(
            "tensorflow is missing, which makes the peer; in fmd's folder: pip install '.[convert]', "
            "or give --mobilenet FILE"
        ) from error
    model = keras.applications.MobileNetV2(weights=None)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    shape = (1, MOBILENET_SIZE, MOBILENET_SIZE, 3)
    converter.representative_dataset = lambda: (
        [(picture(*shape[1:3], seed=i)[None] / 127.5 - 1).astype(np.float32)] for i in range(8)
    )
    return bytes(converter.convert())


def report(comparisons: list[Comparison]) -> str:
    """Return one line for each comparison."""
    return "\n".join(f"{c.name:48} {c.ours_ms:8.2f} ms {c.theirs_ms:8.2f} ms  ratio {c.ratio:.3f}" for c in comparisons)
