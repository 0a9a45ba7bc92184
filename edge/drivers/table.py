"""The driver tables: one literal table per kind, the only registry of fmd's drivers.

Importing this module loads no driver and no library outside the standard library, so that ``fmd flash`` can read the
tables on a laptop without fmd's libraries. A new driver needs its file, an entry here and its section of the settings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Driver:
    """An entry of a table: which object opens the driver (``"module:attribute"``), and what the driver needs."""

    opens: str
    network: bool = False
    """Whether the service needs the network for it (``fmd-network.conf``)."""
    secrets: tuple[str, ...] = ()
    """Settings (``section.key``) that hold a secret or name a file that holds one."""


@dataclass(frozen=True, slots=True)
class CameraDriver(Driver):
    """A camera, opened with ``(settings, name, clock)``; ``name`` is the part of ``camera.source`` after the colon."""

    live: bool = True
    """True if frames arrive in real time whether read or not; False for recordings, which bring their own time."""
    auto: bool = False
    """Whether ``camera.source = "auto"`` tries it, in the order of the table."""
    turns: bool = False
    """Whether the driver applies ``camera.rotate`` and ``camera.mirror`` itself; a wrapper does for all others."""
    repeats: bool = False
    """Whether a still view may give the same picture to the last bit, as a codec does (``camera.frozen_stream_s``)."""
    pauses: bool = False
    """Whether its pictures may be seconds apart without a fault, as in a clip whose recording paused."""


@dataclass(frozen=True, slots=True)
class OutputDriver(Driver):
    """An output, opened with ``(name, pin, active_high)``."""

    pins: str = "any"
    """Pins it takes with ``alert.driver = "auto"``: "number", "name" or "path"; "any" only if the settings name it."""


@dataclass(frozen=True, slots=True)
class RuntimeDriver(Driver):
    """A runtime. For TFLite files it is the library's Interpreter class, for others a function ``(model, threads)``."""

    reads: str = "TFLite"
    """Format of the model files that it runs: "TFLite" or "ONNX"."""
    auto: bool = True
    """Whether ``model.runtime = "auto"`` tries it for such a file, in the order of the table."""


@dataclass(frozen=True, slots=True)
class InputDriver(Driver):
    """A contact, opened with ``(pin, pull)``; ``pins`` as for an output."""

    pins: str = "any"


@dataclass(frozen=True, slots=True)
class DetectorDriver(Driver):
    """A face detector with a file format of its own, opened with ``(path, min_score)``."""

    suffixes: tuple[str, ...] = ()
    """Endings of the files it reads, in lower case. fmd's own bundles have no entry: their detector is a stage."""


@dataclass(frozen=True, slots=True)
class NetworkDriver(Driver):
    """A publisher or a server, which the settings of its section switch on."""

    enabled_by: tuple[str, ...] = ()
    """Settings (``section.key``) that switch it on: it is enabled if one of them is neither empty nor zero."""


@dataclass(frozen=True, slots=True)
class SensorDriver(Driver):
    """A presence sensor, opened with ``(settings, name)``; ``name`` is what follows ``sensor.driver``'s colon."""

    library: str = ""
    """The module that it needs, and the distribution that holds it, for the doctor."""
    distribution: str = ""
    repeats: bool = False
    """Whether equal values again and again are no fault. A real sensor has noise."""
    bus: bool = True
    """Whether the service needs the nodes of the I2C bus for it (``fmd-sensor.conf``)."""


ADDRESSES = ("camera.source", "camera.source_file", "camera.sources", "camera.detect_source", "camera.detect_sources")
"""Settings that may hold the address of a network camera, with its password."""

CAMERAS: dict[str, CameraDriver] = {
    "picamera2": CameraDriver("edge.drivers.pi_camera:PiCamera", auto=True, turns=True),
    "csi": CameraDriver("edge.drivers.csi:CsiCamera", auto=True),
    # Last of those that auto tries: a Raspberry Pi's codecs are /dev/video* devices as well.
    "v4l2": CameraDriver("edge.drivers.v4l2:UsbCamera", auto=True),
    "stream": CameraDriver(
        "edge.drivers.stream:StreamCamera",
        network=True,
        secrets=ADDRESSES,
        repeats=True,
    ),
    "http": CameraDriver(
        "edge.drivers.http_camera:HttpCamera",
        network=True,
        secrets=ADDRESSES,
        repeats=True,
    ),
    "file": CameraDriver("edge.drivers.clip:Clip", live=False, pauses=True),
    "folder": CameraDriver("edge.drivers.folder:Folder", live=False),
    "doorway": CameraDriver("edge.drivers.doorway:DoorwayCamera", live=False),
}
"""By the kind that ``camera.source`` names."""

OUTPUTS: dict[str, OutputDriver] = {
    "gpiozero": OutputDriver("edge.drivers.gpio:GpioOutput", pins="number"),
    "gpiod": OutputDriver("edge.drivers.gpio_line:GpioLineOutput", pins="name"),
    "file": OutputDriver("edge.drivers.led_file:LedFileOutput", pins="path"),
    "console": OutputDriver("edge.drivers.console:ConsoleOutput"),
}
"""By ``alert.driver``."""

INPUTS: dict[str, InputDriver] = {
    "gpiozero": InputDriver("edge.drivers.gpio:GpioInput", pins="number"),
    "gpiod": InputDriver("edge.drivers.gpio_line:GpioLineInput", pins="name"),
    "file": InputDriver("edge.drivers.contact_file:ContactFile", pins="path"),
    "console": InputDriver("edge.drivers.console:OpenContact"),
}
"""By ``alert.driver``, which selects the driver of ``arm.pin`` as well."""

VOICE = Driver("edge.drivers.voice:VoiceOutput")
"""The output of the section ``[voice]``, opened with ``(settings, file)``; it has no pin."""

DISPLAY = Driver("edge.drivers.display:DoorScreen")
"""The screen of the section ``[display]``, opened with ``(settings)``."""

RUNTIMES: dict[str, RuntimeDriver] = {
    "ai-edge-litert": RuntimeDriver("ai_edge_litert.interpreter:Interpreter"),
    "tflite-runtime": RuntimeDriver("tflite_runtime.interpreter:Interpreter"),
    "tensorflow": RuntimeDriver("tensorflow:lite.Interpreter"),
    "onnxruntime": RuntimeDriver("edge.drivers.onnx:opened", reads="ONNX"),
    "onnxruntime-cpu": RuntimeDriver("edge.drivers.onnx:opened_on_processor", reads="ONNX", auto=False),
    "fake-onnxruntime": RuntimeDriver("edge.drivers.fake_onnxruntime:opened", reads="ONNX", auto=False),
}
"""By ``model.runtime`` and, for real ones, the name of the distribution. ``auto`` tries those that read the file."""

SENSORS: dict[str, SensorDriver] = {
    "mlx90640": SensorDriver(
        "edge.drivers.thermal:Mlx90640",
        library="adafruit_mlx90640",
        distribution="adafruit-circuitpython-mlx90640",
    ),
    "mlx90640-wide": SensorDriver(
        "edge.drivers.thermal:Mlx90640Wide",
        library="adafruit_mlx90640",
        distribution="adafruit-circuitpython-mlx90640",
    ),
    "amg8833": SensorDriver(
        "edge.drivers.thermal:Amg8833",
        library="adafruit_amg88xx",
        distribution="adafruit-circuitpython-amg88xx",
    ),
    "vl53l5cx": SensorDriver(
        "edge.drivers.depth:Vl53l5cx", library="qwiic_vl53l5cx", distribution="sparkfun-qwiic-vl53l5cx"
    ),
    "file": SensorDriver("edge.drivers.sensor_file:SensorFile", repeats=True, bus=False),
}
"""By ``sensor.driver``, the part before a colon."""

DETECTORS: dict[str, DetectorDriver] = {
    "yunet": DetectorDriver("edge.drivers.yunet:YuNetDetector", suffixes=(".onnx",)),
}
"""By name."""

PUBLISHERS: dict[str, NetworkDriver] = {
    "mqtt": NetworkDriver(
        "edge.drivers.mqtt:configured", network=True, secrets=("mqtt.password_file",), enabled_by=("mqtt.host",)
    ),
    "notify": NetworkDriver(
        "edge.drivers.notify:configured",
        network=True,
        secrets=("notify.urls", "notify.urls_file"),
        enabled_by=("notify.urls", "notify.urls_file"),
    ),
}
"""By section. Each entry names a function ``(settings, runtime_folder, command)`` that yields ConfiguredPublisher
objects; ``command`` is a :data:`edge.control.Commander`."""

SERVERS: dict[str, NetworkDriver] = {
    "metrics": NetworkDriver("edge.drivers.metrics:configured", network=True, enabled_by=("metrics.port",)),
}
"""By section. Each entry names a function ``(settings, snapshot)`` that yields ConfiguredServer objects."""

TABLES = (
    CAMERAS,
    OUTPUTS,
    INPUTS,
    {"voice": VOICE, "display": DISPLAY},
    RUNTIMES,
    SENSORS,
    DETECTORS,
    PUBLISHERS,
    SERVERS,
)
