"""Sections of the settings: one frozen struct each, and what follows from their values.

:mod:`edge.config` reads them. ``default.toml`` explains every key.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

DEFAULT_PATH = Path(__file__).with_name("default.toml")
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
# At most a day: clocks and conditions overflow on inf, and no setting needs more.
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Pin = Annotated[int, msgspec.Meta(ge=0, le=27)] | str
"""A BCM number, a line's name, a chip and offset, or a file; empty if no output is wired."""
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Pattern = Annotated[tuple[Annotated[float, msgspec.Meta(ge=0.05, le=60)], ...], msgspec.Meta(max_length=16)]
"""Seconds on, off, on ... and so on from the start; empty is off, one number is on. Its clock ticks every 0.05 s."""


MAX_STALL_S = 5.0
"""Longest ``camera.stall_s``."""
CameraName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_-]{1,32}$", description="names of 1 to 32 letters, digits, - and _ for the cameras"
    ),
]
"""Name of a camera; it becomes part of MQTT topics and file names."""
Source = Annotated[str, msgspec.Meta(min_length=1)]
Topic = Annotated[
    str,
    msgspec.Meta(
        pattern="^[^#+/][^#+]{0,127}$", description="1 to 128 characters without # and +, of which / is not the first"
    ),
]

Polygon = tuple[tuple[float, float], ...]
"""Corners: x and y as shares of the upright picture's width and height."""
Regions = Annotated[
    tuple[Polygon, ...] | dict[CameraName, tuple[Polygon, ...]],
    msgspec.Meta(description="a list of polygons, each a list of corners [x, y], as in [[[0, 0], [1, 0], [1, 1]]]"),
]
"""Parts of the picture of the only camera, or of each of several by its name."""
MIN_STATIC_S = 10.0
"""Smallest ``watch.static_s``: within 6 seconds every real face moved, on the clips that the stage was measured on."""
MIN_AREA = 1e-4
"""Smallest area of a polygon, as a share of the picture: less is a typing error."""


class CameraSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    source: Source
    source_file: str
    sources: dict[CameraName, Source]
    detect_source: str
    detect_sources: dict[CameraName, Source]
    ca_file: str
    fingerprints: dict[str, str]
    width: Annotated[int, msgspec.Meta(ge=64, le=4096)]
    height: Annotated[int, msgspec.Meta(ge=64, le=4096)]
    fps: Annotated[float, msgspec.Meta(gt=0, le=240)]
    rotate: Literal[0, 90, 180, 270]
    mirror: bool
    rotations: dict[CameraName, Literal[0, 90, 180, 270]]
    rtsp_transport: Literal["auto", "tcp", "udp"]
    loop: bool
    live: bool
    # At most 5 s: a stalled camera, its closing and one step must fit into the unit's WatchdogSec of 15 s.
    stall_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_STALL_S)]
    frozen_s: Seconds
    frozen_stream_s: Seconds
    dark_s: PositiveSeconds
    dark_level: Annotated[int, msgspec.Meta(ge=0, le=255)]
    flat_level: Annotated[int, msgspec.Meta(ge=0, le=255)]
    open_s: PositiveSeconds
    give_up_s: PositiveSeconds
    simulate: str


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    detector: str
    classifier: str
    runtime: Literal[
        "auto",
        "ai-edge-litert",
        "tflite-runtime",
        "tensorflow",
        "onnxruntime",
        "onnxruntime-cpu",
        "fake-onnxruntime",
    ]
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)]


class WatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    gate: bool
    contrast: Annotated[int, msgspec.Meta(ge=1, le=255)]
    awake_s: Seconds
    still_s: PositiveSeconds
    recheck_s: PositiveSeconds
    ignore: Regions
    only: Regions
    static_s: Seconds


Degrees = Annotated[float, msgspec.Meta(ge=-90, le=90)]


class SensorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    driver: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(none|mlx90640|mlx90640-wide|amg8833|vl53l5cx|file:.+)$",
            description="none, mlx90640, mlx90640-wide, amg8833, vl53l5cx, or file:PATH",
        ),
    ]
    bus: Annotated[int, msgspec.Meta(ge=0, le=255)]
    address: Annotated[int, msgspec.Meta(ge=0, le=119)]
    camera: str
    camera_field_deg: Annotated[float, msgspec.Meta(ge=10, le=150)]
    offset_deg: tuple[Degrees, Degrees]
    rotate: Literal[0, 90, 180, 270]
    mirror: bool


class DetectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    every_s: Seconds
    undecided_s: Seconds
    min_score: Share
    start_score: Share
    min_face_px: Annotated[int, msgspec.Meta(ge=0, le=4096)]
    max_face_px: Annotated[int, msgspec.Meta(ge=0, le=4096)]


class TrackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    lost_s: PositiveSeconds
    reach: Annotated[float, msgspec.Meta(gt=0, le=100)]


class ClassifySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    every_s: Seconds
    settled_s: Seconds
    at_once: Annotated[int, msgspec.Meta(ge=1)]


class DecideSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    error_rate: Annotated[float, msgspec.Meta(gt=0, lt=0.5)]
    temperature: Annotated[float, msgspec.Meta(ge=0.1, le=10)]
    accept: tuple[str, ...]
    on_incorrect: Literal["alarm", "signal", "admit"]
    on_unsure: Literal["alarm", "signal", "admit"]
    unsure_after_s: PositiveSeconds
    observation_s: PositiveSeconds


PINS = ("led_pin", "buzzer_pin", "relay_pin", "heartbeat_pin")
"""Keys of [alert] that name the pin of an output."""
PIN_KEYS = (*(f"alert.{key}" for key in PINS), "arm.pin")
"""Every setting that names a pin."""


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    driver: Literal["auto", "gpiozero", "gpiod", "console"]
    led_pin: Pin
    buzzer_pin: Pin
    relay_pin: Pin
    heartbeat_pin: Pin
    active_high: bool
    relay_active_high: bool
    relay: Literal["siren", "hold", "strike"]
    strike_s: Annotated[float, msgspec.Meta(gt=0, le=60)]
    led_no_mask: Pattern
    led_incorrect: Pattern
    led_unsure: Pattern
    led_blind: Pattern
    led_disarmed: Pattern
    led_running: Pattern
    # What earlier versions recorded as outputs lacks these three.
    led_fallback: Pattern = ()
    led_examples: Pattern = ()
    led_faces: Pattern = ()
    buzzer_no_mask: Pattern
    buzzer_incorrect: Pattern
    buzzer_unsure: Pattern
    buzzer_blind: Pattern
    buzzer_running: Pattern
    # Four pins that wait this long in turn, and the models after them, must fit into the unit's TimeoutStartSec.
    busy_s: Annotated[float, msgspec.Meta(ge=0, le=10)]
    lease_s: Annotated[float, msgspec.Meta(ge=0.3, le=60)]
    longest_s: PositiveSeconds


class ArmSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    schedule: tuple[str, ...]
    time_zone: str
    trust_clock: bool
    pin: Pin
    contact: Literal["button", "key"]
    pull: Literal["up", "down", "none"]


class VoiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    enabled: bool
    file: str
    device: Annotated[str, msgspec.Meta(min_length=1)]
    every_s: Annotated[float, msgspec.Meta(ge=0.1, le=3600)]


class DisplaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    device: Annotated[str, msgspec.Meta(pattern="^(/.+)?$", description="a path such as /dev/fb0")]
    thanks: Annotated[str, msgspec.Meta(max_length=80)]
    please: Annotated[str, msgspec.Meta(max_length=80)]
    waiting: Annotated[str, msgspec.Meta(max_length=80)]
    show_s: Annotated[float, msgspec.Meta(ge=0.5, le=60)]
    blank_s: Seconds
    font: str


class PublishSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{0,64}$", description="up to 64 letters, digits, - and _")]
    every_s: Annotated[float, msgspec.Meta(ge=1, le=3600)]
    pictures: Literal["none", "blurred"]
    queue: Annotated[int, msgspec.Meta(ge=1, le=10000)]
    decisions: Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class MqttSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    host: str
    port: Port
    username: str
    password_file: str
    tls: bool
    ca_file: str
    commands: bool
    topic: Topic
    discovery: bool
    discovery_topic: Topic
    configuration_url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(https?://[^\s/]+\S*)?$", max_length=256, description="a link such as http://door.local:8080/"
        ),
    ]
    suggested_area: Annotated[str, msgspec.Meta(max_length=64)]


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    address: Annotated[str, msgspec.Meta(min_length=1)]


class NotifySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    urls: tuple[str, ...]
    urls_file: str
    on: tuple[Literal["violation", "reminder", "compliant", "unsure", "blind", "recovered"], ...]
    every_s: Seconds


class RecordSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    keep: bool
    every_s: PositiveSeconds
    mb_a_day: Annotated[float, msgspec.Meta(ge=1, le=10000)]
    mb_kept: Annotated[float, msgspec.Meta(ge=1, le=10000)]
    passages_days: Annotated[float, msgspec.Meta(ge=1, le=36500)]
    hours_years: Annotated[float, msgspec.Meta(gt=0, le=100)]
    examples: Literal["none", "unsure"]
    examples_kept: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    examples_days: Annotated[float, msgspec.Meta(ge=1, le=365)]


class ReportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    weekly: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^((mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9])?$",
            description='a day and time such as "mon 07:00"',
        ),
    ]


class PageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    show_faces: bool


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    camera: CameraSettings
    model: ModelSettings
    watch: WatchSettings
    sensor: SensorSettings
    detect: DetectSettings
    track: TrackSettings
    classify: ClassifySettings
    decide: DecideSettings
    alert: AlertSettings
    arm: ArmSettings
    voice: VoiceSettings
    display: DisplaySettings
    publish: PublishSettings
    mqtt: MqttSettings
    metrics: MetricsSettings
    notify: NotifySettings
    record: RecordSettings
    report: ReportSettings
    page: PageSettings


def only_camera(source: str) -> dict[str, Any]:
    """Return the overrides that make ``source`` the only camera, whatever cameras a settings file names."""
    others: dict[str, Any] = {"camera.sources": {}, "camera.rotations": {}, "camera.detect_sources": {}}
    return {"camera.source": source, "camera.detect_source": "", **others}


def cameras(settings: CameraSettings) -> dict[str, CameraSettings]:
    """Return the settings of each camera by its name; a single camera has the empty name.

    One of several cameras is live even if it is a recording, because cameras take turns in real time.
    """
    if not settings.sources:
        return {"": settings}
    return {
        name: msgspec.structs.replace(
            settings,
            source=source,
            sources={},
            live=True,
            rotate=settings.rotations.get(name, settings.rotate),
            rotations={},
            detect_source=settings.detect_sources.get(name, ""),
            detect_sources={},
        )
        for name, source in settings.sources.items()
    }


def stall_s(settings: CameraSettings) -> float:
    """Return after how many seconds without a picture a camera is stalled: at a low ``fps``, after two that are due."""
    return max(settings.stall_s, min(MAX_STALL_S, 2 / settings.fps))


def regions(settings: Settings, camera: str) -> tuple[tuple[Polygon, ...], tuple[Polygon, ...]]:
    """Return ``watch.ignore`` and ``watch.only`` of a camera; the name of a single camera is empty."""
    ignore, only = (
        found.get(camera, ()) if isinstance(found, dict) else found
        for found in (settings.watch.ignore, settings.watch.only)
    )
    return ignore, only


def door_name(settings: PublishSettings, host: str | None = None) -> str:
    """Return ``publish.name``, or else a name made of ``host``, the name of this board, without its domain."""
    if settings.name:
        return settings.name
    found = (socket.gethostname() if host is None else host).partition(".")[0]
    return re.sub("[^A-Za-z0-9_-]", "-", found)[:64] or "door"


def digits_of(fingerprint: str) -> str:
    """Return the 64 digits of a SHA-256 fingerprint in lower case, without colons or ``sha256:``."""
    return fingerprint.lower().removeprefix("sha256:").replace(":", "")


def is_file(pin: int | str) -> bool:
    """Return whether ``pin`` is a file such as /sys/class/leds/ACT/brightness, which any driver setting allows."""
    return isinstance(pin, str) and pin.startswith("/")


def wired(settings: AlertSettings) -> Iterator[tuple[str, int | str]]:
    """Yield name (led, buzzer ...) and pin of every output that has a pin."""
    for key in PINS:
        if (pin := getattr(settings, key)) != "":
            yield key.removesuffix("_pin"), pin
