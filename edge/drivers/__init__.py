"""Hardware and libraries behind the contracts: the only place that imports them. One file a backend.

The tables below are the whole registry. A backend is imported when it is opened, so that a machine needs only what it
uses. ``auto`` tries its list in order, logs why it falls back, and never picks a fake.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import addresses, faults
from edge.config import AlertSettings, CameraSettings, MetricsSettings, Settings, VoiceSettings, is_file
from edge.contracts import Camera, ConfiguredPublisher, Detector, Interpreter, Output
from edge.errors import CameraError, FmdError, OutputBusyError, OutputError

if TYPE_CHECKING:
    from edge.drivers.faulty import Paced

log = logging.getLogger(__name__)

CAMERAS: dict[str, str] = {
    "picamera2": "edge.drivers.pi_camera:PiCamera",
    "v4l2": "edge.drivers.v4l2:UsbCamera",
    "csi": "edge.drivers.csi:CsiCamera",
    "stream": "edge.drivers.stream:StreamCamera",
    "file": "edge.drivers.clip:Clip",
    "folder": "edge.drivers.folder:Folder",
    "doorway": "edge.drivers.doorway:DoorwayCamera",
}
"""``(settings, name, clock) -> Camera``. ``name`` is what follows the colon in ``camera.source``."""

RECORDED = ("file", "folder", "doorway")
"""Those that wait to be read, and bring their own time."""

AUTO_CAMERAS = ("picamera2", "csi", "v4l2")

RETRY_S = 0.5
"""How often a pin that is in use is tried again."""

OUTPUTS: dict[str, str] = {
    "gpiozero": "edge.drivers.gpio:GpioOutput",
    "gpiod": "edge.drivers.gpio_line:GpioLineOutput",
    "file": "edge.drivers.led_file:LedFileOutput",
    "console": "edge.drivers.console:ConsoleOutput",
}
"""``(name, pin, active_high) -> Output``."""


def open_onnx_detector(path: Path, min_score: float) -> Detector:
    """YuNet's ONNX file on OpenCV. Raises BundleError where it is none or this OpenCV cannot run it."""
    from edge.drivers.yunet import YuNetDetector

    return YuNetDetector(path, min_score)


def open_interpreter(flatbuffer: bytes, threads: int = 1, runtime: str = "auto") -> Interpreter:
    """A TFLite flatbuffer on the best runtime this machine has.

    Raises :class:`edge.errors.RuntimeMissingError`, or BundleError where the runtime refuses the model.
    """
    from edge.drivers.tflite import TFLiteInterpreter

    return TFLiteInterpreter(flatbuffer, threads, runtime)


def open_camera(settings: CameraSettings, clock: Callable[[], float]) -> Camera:
    """The camera that ``settings.source`` names; ``default.toml`` lists what it may be."""
    kind, name = camera_kind(settings.source)
    if kind != "auto":
        return _load(CAMERAS[kind])(settings, name, clock)  # type: ignore[no-any-return]
    reasons = []
    for candidate in AUTO_CAMERAS:
        try:
            camera: Camera = _load(CAMERAS[candidate])(settings, "", clock)
            log.info("camera.source auto: took %s", candidate)
            return camera
        except FmdError as error:
            log.info("falling back from %s: %s", candidate, error)
            reasons.append(f"{candidate}: {error}")
    raise CameraError(
        f"camera.source: auto found no camera ({'; '.join(reasons)}); plug one in, or name a clip with --source FILE"
    )


def camera_opener(settings: CameraSettings, clock: Callable[[], float]) -> Callable[[], Camera]:
    """What opens the camera, again and again if need be: simulated faults go on from one time to the next."""
    from edge.drivers.faulty import Faults, Paced

    if not settings.simulate:
        return lambda: _paced(settings, clock, Paced)
    simulated = Faults(faults.parse(settings.simulate), clock)
    return lambda: simulated.open(lambda: _paced(settings, clock, Paced))


def _paced(settings: CameraSettings, clock: Callable[[], float], paced: type[Paced]) -> Camera:
    camera = open_camera(settings, clock)
    return camera if camera.live or not is_live(settings) else paced(camera, clock)


def is_live(settings: CameraSettings) -> bool:
    """Whether the source gives frames in real time whether read or not; simulated faults happen in no other."""
    return settings.live or settings.simulate != "" or camera_kind(settings.source)[0] not in RECORDED


def frozen_s(settings: CameraSettings) -> float:
    """How long the source may give one picture again and again."""
    return settings.frozen_stream_s if camera_kind(settings.source)[0] == "stream" else settings.frozen_s


def camera_kind(source: str) -> tuple[str, str]:
    """What ``camera.source`` means, as (kind, name): the table's key and what to open."""
    if source == "auto":
        return "auto", ""
    if "://" in source:
        return "stream", source
    kind, _, name = source.partition(":")
    if kind in CAMERAS:
        return kind, name
    # /dev/video0, and /dev/v4l/by-id/..., which stays the same however often a camera is plugged in.
    if source.startswith("/dev/v") or source.isdigit():
        return "v4l2", f"/dev/video{source}" if source.isdigit() else source
    with suppress(OSError):  # longer than a name can be, and told whole by the system
        if Path(source).exists():
            return "folder" if Path(source).is_dir() else "file", source
    raise CameraError(
        f"camera.source: no such file or folder: {addresses.told(source)}; give auto, picamera2, csi, /dev/videoN, "
        "rtsp://..., a clip or a folder"
    )


def open_output(
    settings: AlertSettings, name: str, pin: int | str, pause: Callable[[float], None] = time.sleep
) -> Output:
    """The output ``name`` (led, buzzer, relay, heartbeat) on ``pin``, switched off.

    A pin that is in use is tried again for ``busy_s`` (the fmd before this one may still be letting go of it), with
    ``pause`` in between; then OutputBusyError names who holds it.
    """
    active_high = settings.relay_active_high if name == "relay" else settings.active_high
    driver = _load(OUTPUTS[output_kind(settings.driver, pin)])
    waited_s = 0.0
    while True:
        try:
            return driver(name, pin, active_high)  # type: ignore[no-any-return]
        except OutputError as error:
            if isinstance(error, OutputBusyError) and waited_s < settings.busy_s:
                log.info("%s; trying again", error)
            elif settings.driver == "auto":
                raise type(error)(f'{error}; to try fmd without GPIO set alert.driver = "console"') from error
            else:
                raise
        pause(RETRY_S)
        waited_s += RETRY_S


def open_voice(settings: VoiceSettings, file: Path) -> Output:
    """What says ``file`` (WAV) while it is on. Raises OutputError where this machine cannot play it."""
    from edge.drivers.voice import VoiceOutput

    return VoiceOutput(settings, file)


def publishers(settings: Settings, runtime: Path | None = None) -> Iterator[ConfiguredPublisher]:
    """Everybody the settings want told. Nobody's network is waited for.

    What they were told is remembered in ``runtime``, which outlasts a restart; None where there is no such folder.
    """
    name = settings.publish.name
    if settings.mqtt.host:
        from edge.drivers.mqtt import MqttPublisher

        mqtt, pictures, cameras = settings.mqtt, settings.publish.pictures != "none", tuple(settings.camera.sources)
        wanted = (mqtt, name, pictures, cameras, _as_of(mqtt.password_file), _as_of(mqtt.ca_file))
        yield ConfiguredPublisher("mqtt", wanted, partial(MqttPublisher, mqtt, name, pictures, cameras))
    if settings.notify.urls or settings.notify.urls_file:
        from edge.drivers.notify import ApprisePublisher, urls_of

        rest = (settings.notify.on, settings.notify.every_s, name)
        for number, url in enumerate(urls_of(settings.notify), 1):
            scheme = url.partition(":")[0]
            memory = runtime / f"notify-{number}.json" if runtime else None
            opened = partial(ApprisePublisher, settings.notify, url, name, memory=memory)
            yield ConfiguredPublisher(f"{scheme} {number}", (url, *rest), opened)


def _as_of(path: str) -> tuple[int, int] | None:
    """What tells a file from the same one written anew; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def check_metrics() -> None:
    """Raises RuntimeMissingError where figures cannot be served."""
    from edge.drivers.metrics import library

    library("prometheus_client")


def open_metrics(settings: MetricsSettings, snapshot: Callable[[], Any]) -> Any:
    """Serve figures to Prometheus until what this returns is closed."""
    from edge.drivers.metrics import MetricsServer

    return MetricsServer(settings, snapshot)


def output_kind(driver: str, pin: int | str) -> str:
    """Which of ``OUTPUTS`` drives a pin: a file whatever the driver, else by name or number where it is ``auto``."""
    if driver == "console":
        return driver
    if is_file(pin):
        return "file"
    return ("gpiod" if isinstance(pin, str) else "gpiozero") if driver == "auto" else driver


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
