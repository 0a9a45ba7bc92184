"""What the doctor has other processes do: fmd's own settings, models, camera and outputs, tried as the service would.

    python -m edge.doctor.probes settings|models|camera|extras|metrics|outputs [--config F] [--set KEY=VALUE]
        [--camera NAME]

Prints one JSON object on standard output; what goes wrong is one line on standard error, as everywhere in fmd.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge import addresses, config, drivers
from edge.camera.picture import shows_nothing
from edge.config import CameraSettings, Settings
from edge.contracts import Box, Face, Frame, View
from edge.errors import CameraError, exit_code_of
from edge.reporting import reporter
from edge.service import models as model_selection
from edge.service import outputs as service_outputs
from edge.stages.classify import MaskClassifier
from edge.stages.detect import FaceDetector

RUNS = 15
SHOWN_S = 0.5
"""How long each output is on when tried: long enough to be seen and heard."""


def settings(its: Settings) -> dict[str, Any]:
    """The settings as plain values, the cameras, what is wired, and by which driver each pin is driven."""
    wired = [[name, pin, drivers.output_kind(its.alert.driver, pin)] for name, pin in config.wired(its.alert)]
    cameras = [_named(name, one) for name, one in config.cameras(its.camera).items()]
    plain: dict[str, Any] = msgspec.to_builtins(its)
    return {"settings": plain, "wired": wired, "cameras": cameras}


def _named(name: str, its: CameraSettings) -> dict[str, Any]:
    kind, device = drivers.camera_kind(its.source)
    told = {"name": name, "source": addresses.redacted(its.source), "live": drivers.is_live(its)}
    return {**told, "kind": kind, "device": device if kind == "v4l2" else ""}


def models(its: Settings) -> dict[str, Any]:
    """Both models with their golden inputs replayed, and the median milliseconds of one look of each: at a picture as
    large as the camera's, and at a face in it."""
    width, height = its.camera.width, its.camera.height
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = Frame(pixels, None, 0.0, 0)
    look = View(Face(Box(width * 0.4, height * 0.3, width * 0.6, height * 0.6), 1.0))
    if kind := drivers.detector_kind(its.model.detector):
        detector = model_selection.open_detector(its)
        runtime = str(getattr(detector, "runtime", kind))
    else:
        model = model_selection.load_model(its.model, "detector")
        detector, runtime = FaceDetector(model, its.detect.min_score), model.runtime
    model = model_selection.load_model(its.model, "classifier")
    classifier = MaskClassifier(model)
    return {
        "detector": {"runtime": runtime, "ms": _milliseconds(lambda: detector.detect(frame))},
        "classifier": {"runtime": model.runtime, "ms": _milliseconds(lambda: classifier.classify(frame, [look]))},
    }


def _milliseconds(look: Callable[[], object]) -> float:
    took = []
    for _ in range(RUNS):
        began_s = time.perf_counter()
        look()
        took.append(time.perf_counter() - began_s)
    return 1000 * statistics.median(took)


def camera(its: Settings, name: str) -> dict[str, Any]:
    """The camera of a name opened, and its first picture. No pixel is passed on."""
    one, began_s = config.cameras(its.camera)[name], time.monotonic()
    with closing(drivers.open_camera(one, time.monotonic)) as opened:
        frame: Frame | None = opened.read()
        took_s = time.monotonic() - began_s
        if frame is None:
            raise CameraError(f"camera.source: {addresses.redacted(one.source)}: no picture in it")
        # Many a camera's first pictures are black.
        while blank := shows_nothing(frame.luma, one):
            following = opened.read() if time.monotonic() - began_s - took_s < one.dark_s else None
            if following is None:
                break
            frame = following
    return {"seconds": took_s, "brightness": float(frame.luma.mean()), "blank": blank}


def extras(its: Settings) -> dict[str, Any]:
    """Voice and messages, as far as they are turned on, without a sound and without sending anything."""
    if its.voice.enabled:
        service_outputs.open_voice(its).close()
    reporter.check(its)
    return {}


def metrics(its: Settings) -> dict[str, Any]:
    """Let every server that the settings enable listen for a moment; no request is answered."""
    names = []
    for server in drivers.servers(its, lambda: None):
        server.open().close()
        names.append(server.name)
    return {"servers": names}


def outputs(its: Settings) -> dict[str, Any]:
    """Every wired output on for a moment, one after the other."""
    shown = []
    for name, pin in config.wired(its.alert):
        with closing(drivers.open_output(its.alert, name, pin)) as output:
            output.set(True)
            time.sleep(SHOWN_S)
        shown.append(f"{name} ({pin})")
    return {"shown": shown}


PROBES: Mapping[str, Callable[[Settings], dict[str, Any]]] = {
    "settings": settings,
    "models": models,
    "extras": extras,
    "metrics": metrics,
    "outputs": outputs,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="python -m edge.doctor.probes", description=__doc__)
    parser.add_argument("probe", choices=[*PROBES, "camera"])
    parser.add_argument("--camera", default="", help="which of several")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    def body() -> int:
        overrides = dict(config.parse_assignment(text) for text in arguments.set)
        its = config.load(arguments.config, overrides)
        found = camera(its, arguments.camera) if arguments.probe == "camera" else PROBES[arguments.probe](its)
        print(msgspec.json.encode(found).decode())
        return 0

    return exit_code_of(body)


if __name__ == "__main__":
    sys.exit(main())
