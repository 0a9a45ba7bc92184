"""The checks that the doctor runs in other processes: settings, models, camera and outputs, used as the service does.

    python -m edge.doctor.probes settings|models|camera|sensor|extras|metrics|outputs|status [--config F]
        [--set KEY=VALUE] [--camera NAME]

Prints one JSON object on standard output. An error is one line on standard error, as everywhere in fmd.
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

from edge import addresses, config, drivers, overlay, paths
from edge.camera.picture import shows_nothing
from edge.config import CameraSettings, Layers, Settings
from edge.contracts import Box, CameraState, Face, Frame, Interpreter, Sensed, View
from edge.drivers.orientation import turned
from edge.drivers.second_stream import unfit
from edge.errors import CameraError, SensorError, exit_code_of
from edge.inference.bundle import is_tflite
from edge.messages import arming_in_words
from edge.reporting import reporter
from edge.reporting.status_file import read_status
from edge.service import confined
from edge.service import models as model_selection
from edge.service import outputs as service_outputs
from edge.service.model_choice import ModelChooser, TrialRecord
from edge.service.sensor import turned as upright
from edge.stages.classify import MaskClassifier
from edge.stages.detect import FaceDetector

RUNS = 15
"""Inferences whose median is reported: the first ones are slower."""
SHOWN_S = 0.5
"""Time that each output is on in a test, in seconds: long enough to see and hear it."""


def settings(loaded: Settings) -> dict[str, Any]:
    """Return the settings as plain values, the cameras, name, pin and driver of each wired output, and the contact."""
    wired = [
        [name, pin, drivers.output_kind(drivers.output_settings(loaded, pin).driver, pin)]
        for name, pin in config.wired(loaded.alert)
    ]
    cameras = [_named(name, one) for name, one in config.cameras(loaded.camera).items()]
    plain: dict[str, Any] = msgspec.to_builtins(loaded)
    pin = loaded.arm.pin
    contact = [pin, drivers.output_kind(drivers.output_settings(loaded, pin).driver, pin)] if pin != "" else []
    return {"settings": plain, "wired": wired, "contact": contact, "cameras": cameras}


def changes(layers: Layers) -> dict[str, Any]:
    """Return which settings were changed through the running fmd, why they are not used, and the file set aside."""
    refused = layers.base and overlay.file_of(layers.base)
    refused = refused and refused.with_name(overlay.REFUSED)
    shown = str(refused) if refused and refused.exists() else ""
    return {"keys": sorted(layers.over), "problem": layers.problem, "refused": shown}


def _named(name: str, camera: CameraSettings) -> dict[str, Any]:
    kind, device = drivers.camera_kind(camera.source)
    shown = {"name": name, "source": addresses.redacted(camera.source), "live": drivers.is_live(camera)}
    return {**shown, "kind": kind, "device": device if kind == "v4l2" else ""}


def models(loaded: Settings) -> dict[str, Any]:
    """Replay the golden inputs of both models; return of each its runtime and the median milliseconds of an inference.

    ``failures`` are the providers of onnxruntime that were tried before and failed.

    ``fallback`` is why a model replaces the installed one, and empty otherwise. The detector runs on a picture of the
    camera's size, the classifier on a face in it.
    """
    # Root opens an installed model in a process of user nobody; onnxruntime's failures are known in this one alone.
    with confined.opening() as apart:

        def opened(network: bytes, threads: int, runtime: str) -> Interpreter:
            opener = apart if paths.is_root() and is_tflite(network) else drivers.open_interpreter
            return opener(network, threads, runtime)

        return _models(loaded, opened)


def _models(loaded: Settings, open_one: model_selection.OpenInterpreter) -> dict[str, Any]:
    width, height = loaded.camera.width, loaded.camera.height
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = Frame(pixels, None, 0.0, 0)
    view = View(Face(Box(width * 0.4, height * 0.3, width * 0.6, height * 0.6), 1.0))
    interpreters: list[Interpreter] = []

    def opened(network: bytes, threads: int, runtime: str) -> Interpreter:
        interpreters.append(open_one(network, threads, runtime))
        return interpreters[-1]

    folders = paths.state_folder() or paths.STATE, paths.runtime_folder() or paths.RUNTIME
    chooser = ModelChooser(record=TrialRecord(*folders, read_only=True))
    if kind := drivers.detector_kind(loaded.model.detector):
        detector = model_selection.open_detector(loaded)
        runtime = str(getattr(detector, "runtime", kind))
    else:
        model = model_selection.load_model(loaded.model, "detector", opened, chooser)
        detector, runtime = FaceDetector(model, loaded.detect.min_score), model.runtime
    model = model_selection.load_model(loaded.model, "classifier", opened, chooser)
    classifier = MaskClassifier(model)
    # Both models fail alike, as a rule; each failure counts once.
    failures = dict.fromkeys(failure for one in interpreters for failure in getattr(one, "failures", ()))
    reasons = {task: fallback.reason for task, fallback in chooser.fallbacks.items()}
    return {
        "detector": {
            "runtime": runtime,
            "ms": _milliseconds(lambda: detector.detect(frame)),
            "fallback": reasons.get("detector", ""),
        },
        "classifier": {
            "runtime": model.runtime,
            "ms": _milliseconds(lambda: classifier.classify(frame, [view])),
            "fallback": reasons.get("classifier", ""),
        },
        "failures": [failure._asdict() for failure in failures],
    }


def _milliseconds(infer: Callable[[], object]) -> float:
    took = []
    for _ in range(RUNS):
        began_s = time.perf_counter()
        infer()
        took.append(time.perf_counter() - began_s)
    return 1000 * statistics.median(took)


def camera(loaded: Settings, name: str) -> dict[str, Any]:
    """Open a camera by name; return delay, brightness and blankness of its first picture, and none of its pixels.

    ``second`` is what is wrong with its second stream, empty if nothing is, or if it has none.
    """
    one, began_s = config.cameras(loaded.camera)[name], time.monotonic()
    # The second stream is opened afterwards: here, a fault of it would not show.
    alone = msgspec.structs.replace(one, detect_source="")
    with closing(drivers.open_camera(alone, time.monotonic)) as opened:
        frame: Frame | None = opened.read()
        took_s = time.monotonic() - began_s
        if frame is None:
            raise CameraError(f"camera.source: {addresses.redacted(one.source)}: no picture in it")
        # The first pictures of many cameras are black.
        while blank := shows_nothing(frame.luma, one):
            following = opened.read() if time.monotonic() - began_s - took_s < one.dark_s else None
            if following is None:
                break
            frame = following
    second = _second(one, frame) if one.detect_source else ""
    return {"seconds": took_s, "brightness": float(frame.luma.mean()), "blank": blank, "second": second}


def _second(one: CameraSettings, main: Frame) -> str:
    """Return why the detector cannot use the second stream of a camera that gave the picture ``main``."""
    try:
        with closing(drivers.open_second(one, time.monotonic)) as opened:
            frame = opened.read()
    except CameraError as error:
        return str(error)
    name = addresses.redacted(one.detect_source)
    if frame is None:
        return f"{name}: no picture in it"
    wrong = unfit(main.image, turned(frame.image, one.rotate, one.mirror))
    return f"{name}: {wrong}" if wrong else ""


def sensor(loaded: Settings) -> dict[str, Any]:
    """Open the presence sensor; return what it measures: rows, columns, least and most, and where the most is."""
    with closing(drivers.open_sensor(loaded.sensor)) as opened:
        values = upright(opened.read(), loaded.sensor)
    rows, columns = values.shape
    if not np.isfinite(values).any():
        raise SensorError("sensor.driver: the sensor measures nothing; check its wires and its lens")
    # What stands out: what is warm, or close.
    place = np.nanargmax(values if opened.sensed is Sensed.WARMTH else -values)
    row, column = divmod(int(place), columns)
    where = f"{_third(row, rows, ('upper', 'middle', 'lower'))} {_third(column, columns, ('left', 'middle', 'right'))}"
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    return {"sensed": opened.sensed.value, "rows": rows, "columns": columns, "least": least, "most": most, "at": where}


def _third(index: int, count: int, names: Sequence[str]) -> str:
    return names[min(2, 3 * index // count)]


def extras(loaded: Settings) -> dict[str, Any]:
    """Open voice and publishers that the settings enable, without a sound and without sending anything."""
    if loaded.voice.enabled:
        service_outputs.open_voice(loaded).close()
    reporter.check(loaded)
    return {}


def metrics(loaded: Settings) -> dict[str, Any]:
    """Let every server that the settings enable listen for a moment; no request is answered."""
    names = []
    for server in drivers.servers(loaded, lambda: None):
        server.open().close()
        names.append(server.name)
    return {"servers": names}


def outputs(loaded: Settings) -> dict[str, Any]:
    """Switch every wired output on for a moment, one after the other."""
    shown = []
    for name, pin in config.wired(loaded.alert):
        with closing(drivers.open_output(drivers.output_settings(loaded, pin), name, pin)) as output:
            output.set(True)
            time.sleep(SHOWN_S)
        shown.append(f"{name} ({pin})")
    return {"shown": shown}


def status() -> dict[str, Any]:
    """Return what the running service reports of its cameras, and how it is disarmed or muted, if it is.

    ``blind`` is true if a person could pass unseen.
    """
    reported = read_status(paths.runtime_folder() or paths.RUNTIME)
    if reported is None:
        return {"watching": False, "cameras": [], "disarmed": ""}
    sighted = (CameraState.STREAMING.value, CameraState.STARTING.value)
    cameras = [{**msgspec.to_builtins(one), "blind": one.state not in sighted} for one in reported.cameras]
    arming = reported.arming
    disarmed = arming_in_words(arming) if arming and (not arming.armed or arming.muted_until) else ""
    more = {"fallbacks": [msgspec.to_builtins(one) for one in reported.fallbacks]} if reported.fallbacks else {}
    return {"watching": reported.watching, "cameras": cameras, "disarmed": disarmed, **more}


PROBES: Mapping[str, Callable[[Settings], dict[str, Any]]] = {
    "settings": settings,
    "models": models,
    "sensor": sensor,
    "extras": extras,
    "metrics": metrics,
    "outputs": outputs,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="python -m edge.doctor.probes", description=__doc__)
    parser.add_argument("probe", choices=[*PROBES, "camera", "status"])
    parser.add_argument("--camera", default="", help="name of the camera, if there are several")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    def body() -> int:
        if arguments.probe == "status":  # it needs no settings, and they may be broken
            print(msgspec.json.encode(status()).decode())
            return 0
        overrides = dict(config.parse_assignment(text) for text in arguments.set)
        layers = config.read(arguments.config, overrides)
        loaded = layers.settings
        found = camera(loaded, arguments.camera) if arguments.probe == "camera" else PROBES[arguments.probe](loaded)
        if arguments.probe == "settings":
            found["changes"] = changes(layers)
        print(msgspec.json.encode(found).decode())
        return 0

    return exit_code_of(body)


if __name__ == "__main__":
    sys.exit(main())
