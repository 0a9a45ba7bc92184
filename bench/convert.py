"""A whole conversion over the bare call of TensorFlow's converter: processor seconds and peak memory.

Both convert MobileNetV2 at 224 x 224 with the papers' head to int8, calibrated on the same 200 pictures. They take
turns, each in a process of its own. The bare call is what a person would type: TFLiteConverter.from_keras_model, a
representative dataset, convert(). Reading its pictures and its model does not count. fmd's conversion counts as a
whole: it reads, identifies, quantizes, verifies on 200 held-back pictures, chooses golden inputs and writes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.measure import Measurement, report

SIZE, PICTURES = 224, 200
# fmd also reads, verifies and writes: it may take half as much time again for that, and 30% more memory.
MAX_TIME, MAX_MEMORY = 1.5, 1.3


class ConversionCost(NamedTuple):
    """Processor seconds of the call and of its whole process, and the process's peak memory in MB."""

    call_s: float
    process_s: float
    peak_mb: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--model", type=Path, help="Keras model to convert (default: an untrained MobileNetV2)")
    parser.add_argument("--pictures", type=Path, help="its calibration folder (default: drawn faces)")
    parser.add_argument("--rounds", type=int, default=1, help="conversions of each kind; the lowest cost counts")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the measurements, and return 1 if a bar is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, pictures = arguments.model, arguments.pictures
        if model is None or pictures is None:
            _child("make", folder)
            model, pictures = model or folder / "model.keras", pictures or folder / "pictures"
        # In turns, so that a change of the machine's load meets both sides.
        costs: dict[str, list[ConversionCost]] = {"bare": [], "ours": []}
        for _ in range(arguments.rounds):
            for kind, found in costs.items():
                found.append(ConversionCost(**_child(kind, model, pictures, folder / f"{kind}.tflite")))
                print(f"{kind}: {found[-1]}", file=sys.stderr, flush=True)
    return report(measurements(costs["bare"], costs["ours"]))


def measurements(bare: list[ConversionCost], ours: list[ConversionCost]) -> list[Measurement]:
    """Return the measurements of the lowest cost of each side: what other processes add to a cost is not theirs."""
    lowest = [ConversionCost(*(min(column) for column in zip(*found, strict=True))) for found in (bare, ours)]
    theirs, mine = lowest
    return [
        Measurement("bare converter call", theirs.call_s, "s of processor time"),
        Measurement("fmd conversion, from file to file", mine.call_s, "s of processor time"),
        Measurement("conversion over the bare call", mine.call_s / theirs.call_s, "times", MAX_TIME),
        Measurement("whole process over whole process", mine.process_s / theirs.process_s, "times"),
        Measurement("peak memory of the bare call's process", theirs.peak_mb, "MB"),
        Measurement("peak memory over that of the bare call", mine.peak_mb / theirs.peak_mb, "times", MAX_MEMORY),
    ]


def _child(task: str, *paths: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.convert", task, *map(str, paths)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def make(folder: Path) -> dict[str, float]:
    """Write an untrained model and class folders of drawn faces to ``folder``."""
    import keras

    from converter import draw
    from edge.inference.picture_file import write_rgb
    from training.backbone import mobilenet_v2
    from training.papers import head

    # The same weights in every run: quantization depends on them.
    keras.utils.set_random_seed(1)
    base = mobilenet_v2(SIZE, None)
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(7)(base.output))
    keras.Model(base.input, head(pooled.shape[1], 2)(pooled)).save(folder / "model.keras")
    images, labels = draw.faces(SIZE, SIZE, 2 * PICTURES + 40, 1)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / "pictures" / label / f"{i:03d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_rgb(place, image)
    return {}


def bare(model: Path, pictures: Path, target: Path) -> dict[str, float]:
    """Convert with TensorFlow's converter, as its guide calls it."""
    import keras
    import numpy as np
    import tensorflow as tf

    from converter.calibrate import Fit, gather
    from converter.evidence import composed
    from converter.noise import ProgressLine

    loaded = keras.saving.load_model(model, compile=False)
    fit = gather(pictures, Fit(SIZE, SIZE, False, 0.2), PICTURES, 1, 1, ProgressLine(None), composed).fit.images
    begun_s = time.process_time()
    converter = tf.lite.TFLiteConverter.from_keras_model(loaded)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in fit)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    target.write_bytes(converter.convert())
    return _cost(begun_s)


def ours(model: Path, pictures: Path, target: Path) -> dict[str, float]:
    """Convert with fmd as people type it, except for the label names, which drawn faces leave open."""
    import tensorflow  # noqa: F401 (importing it counts for neither side)

    from converter.flow import convert
    from converter.options import CHECKS, Gate, Options
    from converter.report import write_report

    begun_s = time.process_time()
    options = Options(
        output=target,
        labels=("with_mask", "without_mask"),
        # An untrained model recognises nothing: neither could be found out, and each check would refuse it.
        pixels="0..255",
        colour="RGB",
        accept=tuple(CHECKS),
        scheme="int8",
        calibration=pictures,
        pictures=PICTURES,
        gate=Gate(0, 1, 1, 1),  # an untrained model would fail; passing is the longer way
        force=True,
    )
    write_report(convert(model, options))
    return _cost(begun_s)


def _cost(begun_s: float) -> dict[str, float]:
    # ru_maxrss is in KiB on Linux.
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    now_s = time.process_time()
    return ConversionCost(now_s - begun_s, now_s, peak_mb)._asdict()


TASKS: dict[str, Callable[..., dict[str, float]]] = {"make": make, "bare": bare, "ours": ours}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](*map(Path, sys.argv[2:]))))
