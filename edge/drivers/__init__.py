"""Cameras, outputs, runtimes of models, detectors, publishers and servers: one file per driver, fakes included.

    table        one literal table per kind, the only registry
    selection    which entries the settings select
    library      imports of optional libraries

This package alone imports hardware libraries and network clients. The functions here open what the settings select.
They load a driver when they open it, so that a machine needs only the libraries that it uses. ``auto`` tries its
drivers in the order of the table, logs why it falls back, and never selects a fake.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import addresses, faults
from edge.drivers.library import load
from edge.drivers.selection import camera_kind, detector_kind, is_enabled, may_have, output_kind, sensor_kind
from edge.drivers.table import (
    CAMERAS,
    DETECTORS,
    DISPLAY,
    INPUTS,
    OUTPUTS,
    PUBLISHERS,
    RUNTIMES,
    SENSORS,
    SERVERS,
    VOICE,
)
from edge.errors import BundleError, CameraError, FmdError, OutputBusyError, OutputError

# Types only: importing them needs msgspec and NumPy, and the tables below this package must import without.
if TYPE_CHECKING:
    from edge.config import AlertSettings, CameraSettings, DisplaySettings, SensorSettings, Settings, VoiceSettings
    from edge.contracts import Camera, ConfiguredPublisher, Detector, Input, Interpreter, Output, Screen, Sensor
    from edge.control import Commander
    from edge.drivers.faulty import Paced
    from edge.drivers.server import ConfiguredServer

__all__ = [
    "camera_kind",
    "camera_opener",
    "check_camera",
    "detector_kind",
    "frozen_s",
    "is_live",
    "is_paced",
    "may_have",
    "open_camera",
    "open_detector",
    "open_input",
    "open_interpreter",
    "open_output",
    "open_screen",
    "open_second",
    "open_sensor",
    "open_voice",
    "output_kind",
    "output_settings",
    "proof_runtime",
    "publishers",
    "runtime_version",
    "sensor_kind",
    "sensor_repeats",
    "servers",
]

log = logging.getLogger(__name__)

RETRY_S = 0.5
"""Interval between two tries to open a pin that another process holds."""


def open_detector(path: Path, min_score: float) -> Detector:
    """Open the driver that reads ``path``, a file for which :func:`detector_kind` names one.

    Raises BundleError if the file cannot be read or the driver's library cannot run it.
    """
    return load(DETECTORS[detector_kind(path)].opens)(path, min_score)  # type: ignore[no-any-return]


def open_interpreter(flatbuffer: bytes, threads: int = 1, runtime: str = "auto", quiet: bool = True) -> Interpreter:
    """Load a network, TFLite or ONNX, with the named runtime, or with the first for its format that works here.

    ``quiet`` holds back what the runtime writes to standard error, until it has loaded the model or refused it.

    Raises :class:`edge.errors.RuntimeMissingError` if there is none, BundleError if the runtime rejects the model.
    """
    from edge.drivers.tflite import TFLiteInterpreter

    name = _runtime_for(flatbuffer, runtime)
    if RUNTIMES[name].reads == "TFLite":
        return TFLiteInterpreter(flatbuffer, threads, runtime, quiet)
    return load(RUNTIMES[name].opens)(flatbuffer, threads)  # type: ignore[no-any-return]


def proof_runtime(network: bytes, runtime: str = "auto") -> str:
    """Return the runtime on which a model file is proven in a child process: never the GPU, which it cannot open."""
    return "onnxruntime-cpu" if RUNTIMES[_runtime_for(network, runtime)].reads == "ONNX" else runtime


def runtime_version(network: bytes, runtime: str = "auto") -> str:
    """Return name and version of the runtime on which ``network``, or a whole model file, is proven.

    Imports all that opening it needs. Raises RuntimeMissingError.
    """
    from edge.drivers import tflite

    name = proof_runtime(network, runtime)
    return str(load("edge.drivers.onnx:version")()) if name == "onnxruntime-cpu" else tflite.opened(name)[0]


def _runtime_for(network: bytes, runtime: str) -> str:
    """Return the key in RUNTIMES of the first runtime for the format of ``network``, or of the named one.

    Raises BundleError if the named one runs the other format.
    """
    from edge.inference.bundle import is_tflite

    reads = "TFLite" if is_tflite(network) else "ONNX"
    if runtime == "auto":
        return next(name for name, driver in RUNTIMES.items() if driver.reads == reads and driver.auto)
    if RUNTIMES[runtime].reads == reads:
        return runtime
    convert = "" if reads == "ONNX" else ", or convert the Keras model with --also onnx (docs/jetson-gpu.md)"
    raise BundleError(
        f"model.runtime: {runtime} runs {RUNTIMES[runtime].reads} files, got a model in {reads}; set model.runtime = "
        f'"auto"{convert}'
    )


def open_camera(settings: CameraSettings, clock: Callable[[], float]) -> Camera:
    """Open the camera that ``settings.source`` names (``default.toml`` lists the choices). Raises CameraError."""
    kind, name = camera_kind(settings.source)
    if kind != "auto":
        return _opened(kind, settings, name, clock)
    from edge.drivers.found import FoundCamera

    reasons = []
    # Every failure is a reason to try the next camera: a missing library, a missing device.
    for candidate in (kind for kind, driver in CAMERAS.items() if driver.auto):
        try:
            camera = load(CAMERAS[candidate].opens)(settings, "", clock)
            log.info("camera.source auto: using %s", candidate)
            found = FoundCamera(camera, getattr(camera, "device", candidate))
            return _upright(found, candidate, settings)
        except FmdError as error:
            reason = str(error).removeprefix("camera.source: ")  # the setting named "auto", not this driver
            log.info("falling back from %s: %s", candidate, reason)
            # What to do about each is in the log.
            reasons.append(f"{candidate}: {reason.partition(';')[0]}")
    raise CameraError(
        f"camera.source: auto found no camera; plug one in, or name a clip with --source FILE ({'; '.join(reasons)})"
    )


def _opened(kind: str, settings: CameraSettings, name: str, clock: Callable[[], float]) -> Camera:
    """Open a camera whose pictures are as ``camera.rotate`` and ``camera.mirror`` say."""
    camera: Camera = load(CAMERAS[kind].opens)(settings, name, clock)
    if settings.detect_source:
        from edge.drivers.second_stream import PairedCamera

        name = addresses.redacted(settings.detect_source)
        camera = PairedCamera(camera, lambda: open_second(settings, clock), name, clock)
    return _upright(camera, kind, settings)


def _upright(camera: Camera, kind: str, settings: CameraSettings) -> Camera:
    from edge.drivers.orientation import TurnedCamera, is_turned

    return TurnedCamera(camera, settings) if is_turned(settings) and not CAMERAS[kind].turns else camera


def open_second(settings: CameraSettings, clock: Callable[[], float]) -> Camera:
    """Open the stream at ``camera.detect_source``; its pictures are not turned. Raises CameraError."""
    address = addresses.with_login(settings.detect_source, settings.source)
    return load(CAMERAS[camera_kind(address)[0]].opens)(settings, address, clock)  # type: ignore[no-any-return]


def check_camera(settings: CameraSettings) -> None:
    """Check what needs neither device nor network. Raises CameraError for the source or a file that it needs."""
    for source in filter(None, (settings.source, settings.detect_source)):
        if camera_kind(source)[0] in ("stream", "http"):
            from edge.drivers import tls

            if tls.uses_tls(source):
                tls.trust_in(settings, addresses.place(source)[0])


def camera_opener(settings: CameraSettings, clock: Callable[[], float]) -> Callable[[], Camera]:
    """Return a function that opens the camera, as often as needed. A simulated fault continues when it is reopened."""
    from edge import config
    from edge.drivers.faulty import Faults, Paced

    if not settings.simulate:
        return lambda: _paced(settings, clock, Paced)
    simulated = Faults(faults.parse(settings.simulate), clock, config.stall_s(settings))
    return lambda: simulated.open(lambda: _paced(settings, clock, Paced))


def _paced(settings: CameraSettings, clock: Callable[[], float], paced: type[Paced]) -> Camera:
    camera = open_camera(settings, clock)
    return camera if camera.live or not is_live(settings) else paced(camera, clock)


def is_live(settings: CameraSettings) -> bool:
    """Return whether the source gives frames in real time, whether read or not. Simulated faults need such a source."""
    driver = CAMERAS.get(camera_kind(settings.source)[0])  # None for auto, which tries live cameras only
    return settings.live or settings.simulate != "" or driver is None or driver.live


def is_paced(settings: CameraSettings) -> bool:
    """Return whether the source is a recording with pauses that is played as if it were live."""
    driver = CAMERAS.get(camera_kind(settings.source)[0])
    return is_live(settings) and driver is not None and driver.pauses


def all_live(settings: Settings) -> bool:
    """Return whether every camera of the settings is live: then frames have the clock's time, else a recording's."""
    from edge import config

    return all(is_live(camera) for camera in config.cameras(settings.camera).values())


def frozen_s(settings: CameraSettings) -> float:
    """Return for how long the source may repeat one picture before it counts as frozen, in seconds."""
    driver = CAMERAS.get(camera_kind(settings.source)[0])
    return settings.frozen_stream_s if driver is not None and driver.repeats else settings.frozen_s


def output_settings(settings: Settings, pin: int | str, root: Path = Path("/")) -> AlertSettings:
    """Return the settings with which to open the output on ``pin``: ``settings.alert``, or with the console for a PC.

    A PC has no pins, and a recording needs none. So "auto" selects the console if all sources are recordings and this
    machine cannot have the pin; ``root`` is the folder that holds dev, etc and proc. It never does for a live camera,
    nor on a board: an alarm that cannot fire is an error there. Raises CameraError if a source does not exist.
    """
    import msgspec

    from edge import config

    if settings.alert.driver != "auto" or may_have(pin, root):
        return settings.alert
    kinds = {camera_kind(camera.source)[0] for camera in config.cameras(settings.camera).values()}
    if any(kind not in CAMERAS or CAMERAS[kind].live for kind in kinds):
        return settings.alert
    return msgspec.structs.replace(settings.alert, driver="console")


def open_output(
    settings: AlertSettings, name: str, pin: int | str, pause: Callable[[float], None] = time.sleep
) -> Output:
    """Open the output ``name`` (led, buzzer, relay, heartbeat) on ``pin``, switched off.

    A pin that is in use is tried again for ``busy_s``, calling ``pause`` in between: a previous fmd may not have
    released it yet. Then OutputBusyError names the process that holds the pin.
    """
    active_high = settings.relay_active_high if name == "relay" else settings.active_high
    driver = load(OUTPUTS[output_kind(settings.driver, pin)].opens)
    waited_s = 0.0
    while True:
        try:
            return driver(name, pin, active_high)  # type: ignore[no-any-return]
        except OutputError as error:
            if isinstance(error, OutputBusyError) and waited_s < settings.busy_s:
                log.info("%s; trying again", error)
            elif not may_have(pin):
                raise _without_pins(f"alert.{name}_pin", pin) from error
            elif settings.driver == "auto":
                raise type(error)(f'{error}; to try fmd without GPIO set alert.driver = "console"') from error
            else:
                raise
        pause(RETRY_S)
        waited_s += RETRY_S


def open_input(settings: Settings) -> Input:
    """Open the contact on ``arm.pin``. Raises OutputError if this machine cannot read it."""
    driver = output_settings(settings, settings.arm.pin).driver
    opens = INPUTS[output_kind(driver, settings.arm.pin)].opens
    try:
        return load(opens)(settings.arm.pin, settings.arm.pull)  # type: ignore[no-any-return]
    except OutputError as error:
        if may_have(settings.arm.pin):
            raise
        raise _without_pins("arm.pin", settings.arm.pin) from error


def _without_pins(setting: str, pin: int | str) -> OutputError:
    """Return the error of a machine that can have no pins: what its libraries say would lead nowhere."""
    return OutputError(
        f'{setting}: got {pin}, but this machine has no pins; set alert.driver = "console" in the settings, or add '
        "--set alert.driver=console"
    )


def open_voice(settings: VoiceSettings, file: Path) -> Output:
    """Open the output that plays ``file`` (WAV) while it is on. Raises OutputError if this machine cannot play it."""
    return load(VOICE.opens)(settings, file)  # type: ignore[no-any-return]


def open_screen(settings: DisplaySettings) -> Screen:
    """Open the screen of the section ``[display]``. Raises OutputError if it or what draws on it is missing."""
    return load(DISPLAY.opens)(settings)  # type: ignore[no-any-return]


def open_sensor(settings: SensorSettings) -> Sensor:
    """Open the presence sensor of the section ``[sensor]``. Raises SensorError if it or its library is missing."""
    kind, name = sensor_kind(settings.driver)
    return load(SENSORS[kind].opens)(settings, name)  # type: ignore[no-any-return]


def sensor_repeats(settings: SensorSettings) -> bool:
    """Return whether the sensor may give equal values again and again without a fault."""
    return SENSORS[sensor_kind(settings.driver)[0]].repeats


def publishers(
    settings: Settings, runtime: Path | None = None, command: Commander | None = None
) -> Iterator[ConfiguredPublisher]:
    """Yield the publishers that the settings enable, not yet opened; no network is waited for.

    Publishers that must not repeat a message after a restart keep a state file in ``runtime``, the runtime directory.
    Publishers that take commands pass them to ``command``.
    Raises SettingsError if a file that the settings name cannot be read.
    """
    for driver in PUBLISHERS.values():
        if is_enabled(driver, lambda key: attrgetter(key)(settings)):
            yield from load(driver.opens)(settings, runtime, command)


def servers(settings: Settings, snapshot: Callable[[], Any]) -> Iterator[ConfiguredServer]:
    """Yield the servers that the settings enable, not yet listening. ``snapshot`` returns the current metrics.

    Raises RuntimeMissingError if a server's library is missing.
    """
    for driver in SERVERS.values():
        if is_enabled(driver, lambda key: attrgetter(key)(settings)):
            yield from load(driver.opens)(settings, snapshot)
