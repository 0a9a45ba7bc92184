"""Typed settings: one frozen struct per section. ``default.toml`` beside this file explains every key.

``default.toml`` is the only source of defaults. A user's file is laid over it, and the result must fit the structs
here, key by key. Unknown keys, wrong types and values out of range are errors that name file, key and expected value.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from edge import addresses, faults, migrate, overlay, paths, redaction, toml, weekly
from edge.contracts import WITH_INCORRECT_MASK
from edge.errors import SettingsError

log = logging.getLogger(__name__)

DEFAULT_PATH = Path(__file__).with_name("default.toml")
COMMAND_LINE = "command line"
"""Place of a setting that a command's option names, in messages."""
Origin = Literal["default", "file", "overlay", "command line"]
"""Layer that sets a setting, the lowest first."""
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
MAX_POLYGONS, MAX_CORNERS = 16, 32
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


@dataclass(frozen=True)
class Layers:
    """Settings, and what they are made of. Keys are ``"section.key"``.

    ``over`` are the overlay's values; ``problem`` says why it could not be used, and is empty if it could.
    ``overrides`` are the command line's. ``origins`` names the place of every setting that is not at its default.
    """

    settings: Settings
    base: Path | None
    over: Mapping[str, Any]
    overlay: Path | None
    overrides: Mapping[str, Any]
    origins: Mapping[str, str]
    problem: str = ""

    def origin(self, key: str) -> Origin:
        """Return the layer that sets ``key``."""
        place = self.origins.get(key)
        named: dict[str | None, Origin] = {None: "default", COMMAND_LINE: "command line", str(self.overlay): "overlay"}
        return named.get(place, "file")


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of all layers, as :func:`read` does. An overlay that cannot be used is logged."""
    layers = read(path, overrides)
    if layers.problem:
        warn(layers.problem)
    return layers.settings


@cache
def warn(problem: str) -> None:
    """Log once that an overlay is not used: some commands read the settings many times."""
    log.warning("changed settings are not used: %s", problem)


def read(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    over: str | None = overlay.NAME,
    state: Path | None = None,
) -> Layers:
    """Return the defaults, over them the user's TOML file ``path``, its overlay, and ``overrides``.

    ``overrides`` are as in ``{"camera.source": "clip.mp4"}``. ``over`` is the name of the overlay's file; None leaves
    it out. An overlay that cannot be used is left out as well, and ``problem`` of the result says why. ``state`` is the
    state directory that it is in (default: this process's).

    Raises :class:`edge.errors.SettingsError`, which names file, key and expected value.
    """
    # First without the overlay, which may hide an error in the file: fmd must be able to go on without it.
    without = laid(path, {}, overrides)
    found = overlay.read(path, over, state) if path is not None and over else None
    if found is None or found.problem:
        return dataclasses.replace(without, problem=found.problem if found else "")
    try:
        theirs = migrate.migrated({**found.values}, str(found.file))
        return laid(path, flat(theirs, str(found.file)), overrides, found.file)
    except SettingsError as error:
        return dataclasses.replace(without, problem=str(error))


def laid(
    path: Path | None, over: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, file: Path | None = None
) -> Layers:
    """Return the layers with ``over`` as the overlay's values; ``file`` is its place. Raises SettingsError."""
    redaction.learn(str(overrides or ""))
    origins: dict[str, str] = {}
    values = below(path, origins)
    for key, value in over.items():
        _lay_over(values, nested({key: value}), str(file), origins)
        check_over(key, value, str(file))
    for key, value in (overrides or {}).items():
        _lay_over(values, migrate.current(nested({key: value}), COMMAND_LINE), COMMAND_LINE, origins)
    _drop_polygons_of_others(values, origins)
    try:
        # Strict conversion: a number in quotes is an error, not a number.
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise _readable(error, values, origins) from error
    settings = _with_source_of_file(settings, origins)
    _check_together(settings, origins)
    return Layers(settings, path, dict(over), file, dict(overrides or {}), origins)


def below(path: Path | None, origins: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the plain values of the two lowest layers, the defaults and the file ``path``, not yet validated.

    ``origins`` receives the place of each setting that the file names. Raises SettingsError for an unknown key.
    """
    values = _parse(DEFAULT_PATH)
    if path is not None:
        theirs = migrate.migrated(_parse(path), str(path))
        redaction.learn(str(theirs))
        _lay_over(values, _with_paths_beside(path, theirs), str(path), {} if origins is None else origins)
    return values


def check_key(key: str) -> None:
    """Raise SettingsError if there is no setting ``section.key``."""
    if "." not in key:
        what = "expected section.key, as in alert.led_pin"
        raise SettingsError(f"{key}: {what}").about(what, key)
    _lay_over(_parse(DEFAULT_PATH), nested({key: None}), "settings", {})


def nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ``{"section.key": value}`` as ``{"section": {"key": value}}``."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return sections


def flat(sections: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Undo :func:`nested`. Raises SettingsError for a key outside of a section."""
    for section, keys in sections.items():
        if not isinstance(keys, Mapping):
            raise SettingsError(f"{where}: {section}: expected a section, as in [{section}]")
    return {f"{section}.{name}": value for section, keys in sections.items() for name, value in keys.items()}


def hint_of(key: str) -> Any:
    """Return the annotated type of the setting ``section.key``. Raises KeyError."""
    section, _, name = key.partition(".")
    return _hints()[section][name]


@cache
def _hints() -> Mapping[str, Mapping[str, Any]]:
    """Return the annotated type of every setting, by section; they are parsed from text, which takes long."""
    return {name: get_type_hints(section, include_extras=True) for name, section in get_type_hints(Settings).items()}


WRITABLE_TEXT = frozenset(
    {"camera.rotations", "camera.simulate", "watch.ignore", "watch.only", "decide.accept", "report.weekly"}
    | {*(f"alert.{pin}" for pin in PINS), "arm.pin", "arm.schedule", "arm.time_zone"}
    | {"display.thanks", "display.please", "display.waiting"}
    | {"publish.name", "mqtt.topic", "mqtt.discovery_topic", "mqtt.suggested_area"}
)
"""Settings that hold text and that the overlay may set. Any other text may be a path, an address or a secret."""
READ_ONLY = frozenset({"mqtt.port", "mqtt.tls"})
"""Settings without text that only the settings file may set: where a password is sent, and how."""


def is_writable(key: str) -> bool:
    """Return whether the overlay may set ``section.key``. Raises KeyError if there is no such setting."""
    return key in WRITABLE_TEXT or (key not in READ_ONLY and not _holds_text(hint_of(key)))


def _holds_text(hint: Any) -> bool:
    """Return whether a type has a place for any text; one of some given words is none."""
    return hint is str or (get_origin(hint) is not Literal and any(map(_holds_text, get_args(hint))))


def check_over(key: str, value: Any, where: str) -> None:
    """Raise SettingsError if the overlay may not set an existing ``key`` to ``value``."""
    if not is_writable(key):
        what = "only the settings file can set it: it is a path, an address or a secret"
    elif key in PIN_KEYS and isinstance(value, str) and is_file(value):
        what = "only the settings file can name a file as a pin"
    else:
        return
    raise SettingsError(f"{where}: {key}: {what}").about(what, key)


def _with_source_of_file(settings: Settings, origins: Mapping[str, str]) -> Settings:
    """Return the settings with the address in ``camera.source_file``, unless the command line names another."""
    file = settings.camera.source_file
    if not file or COMMAND_LINE in (origins.get("camera.source"), origins.get("camera.sources")):
        return settings
    place = f"{_origin(origins, 'camera.source_file')}: camera.source_file: {file}"
    if settings.camera.sources:
        raise SettingsError(f"{place}: camera.sources names cameras as well; keep one of both")
    try:
        # -sig: editors on Windows write a byte order mark.
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SettingsError(f"{place}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{place}: not a text file in UTF-8; save it as one") from None
    source = next((line.strip() for line in lines if line.strip()), "")
    if not source:
        raise SettingsError(f"{place}: empty, expected the camera's address in its first line")
    redaction.learn(source)
    return msgspec.structs.replace(settings, camera=msgspec.structs.replace(settings.camera, source=source))


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


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return key and value of ``section.key=value``, the value in TOML; a word without quotes is a string."""
    key, sign, value = text.partition("=")
    if not sign or "." not in key:
        raise SettingsError(
            f"command line: --set {addresses.hidden(text)}: expected section.key=value, as in alert.led_pin=22"
        )
    return key.strip(), toml.value(value)


def _with_paths_beside(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Make the paths in a settings file relative to its folder, in whichever directory the service was started."""
    for section, keys in paths.FILE_SETTINGS.items():
        named = values.get(section)
        if isinstance(named, dict):
            for key in keys:
                if isinstance(named.get(key), str) and named[key]:
                    named[key] = str(path.parent / named[key])
    return values


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "; only root and the group fmd may read it: use sudo" if isinstance(error, PermissionError) else ""
        raise SettingsError(f"{path}: cannot read the settings: {error.strerror}{hint}") from error
    return toml.parsed(toml.decoded(content, str(path)), str(path))


def _lay_over(values: dict[str, Any], over: Mapping[str, Any], where: str, origins: dict[str, str]) -> None:
    """Put ``over`` into ``values``, and into ``origins`` the place (``where``) that set each ``section.key``."""
    for section, keys in over.items():
        if section not in values:
            new = migrate.new_section(section)
            hint = f"; it is now [{new}]" if new else _did_you_mean(section, values)
            error = SettingsError(f"{where}: unknown section [{section}]{hint}")
            raise error.about(f"unknown section{hint}", *(f"{section}.{key}" for key in _names(keys)))
        if not isinstance(keys, Mapping):
            shown = addresses.hidden(keys)
            raise SettingsError(
                f"{where}: {section}: got {shown!r}, expected a section; write [{section}] on its own line"
            )
        for key, value in keys.items():
            if key not in values[section]:
                # The name of an earlier version, in a file that states the present one.
                new = migrate.new_name(section, key)
                hint = f"; it is now {new}" if new else _did_you_mean(key, values[section])
                error = SettingsError(f"{where}: unknown key {section}.{key}{hint}")
                raise error.about(f"unknown key{hint}", f"{section}.{key}")
            values[section][key] = value
            origins[f"{section}.{key}"] = where


def _drop_polygons_of_others(values: dict[str, Any], origins: Mapping[str, str]) -> None:
    """Drop the polygons by camera of a settings file if the command line names the only camera, which is another."""
    if origins.get("camera.sources") != COMMAND_LINE or values["camera"]["sources"]:
        return
    for key in ("ignore", "only"):
        if isinstance(values["watch"][key], dict) and origins.get(f"watch.{key}") != COMMAND_LINE:
            values["watch"][key] = []


def _names(keys: object) -> list[str]:
    return list(map(str, keys)) if isinstance(keys, Mapping) else []


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    # A list of all keys only if no key is similar: it is long.
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"


def _readable(error: msgspec.ValidationError, values: Mapping[str, Any], origins: Mapping[str, str]) -> SettingsError:
    """Return msgspec's error in words of the settings file."""
    # "... - at `$.camera.width`", and for the names in a table "... - at `key` in `$.camera.sources`"
    message, _, place = str(error).partition(" - at `")
    key = place.removeprefix("key` in `").removeprefix("$.").rstrip("`").partition("[")[0]
    section, _, name = key.partition(".")
    hint = hint_of(key)
    if message.startswith("Invalid enum value"):
        message = f"Expected one of {', '.join(map(str, choices_of(hint)))}"
    for meta in _metas(hint):
        if meta.description and (meta.pattern is None or repr(meta.pattern) in message):
            message = f"Expected {meta.description}"
            break
    message = re.sub("`([^`]+)`", lambda found: " or ".join(map(_in_words, found[1].split(" | "))), message)
    shown = addresses.hidden(values[section][name])
    return _wrong(origins, f"{message[:1].lower()}{message[1:]}; got {shown!r}", key)


def _metas(hint: Any) -> list[msgspec.Meta]:
    """Return what a type's annotations state, those with a pattern first."""
    found = [meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    found += [meta for part in get_args(hint) for meta in _metas(part)]
    return sorted(found, key=lambda meta: meta.pattern is None)


def choices_of(hint: Any) -> list[Any]:
    """Return the values that a type allows: those of the Literal in it; none if it allows others."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [choice for part in get_args(hint) for choice in choices_of(part)]


def _in_words(name: str) -> str:
    """Return the name that msgspec has for a type in words."""
    words = {"array": "a list", "str": "text", "int": "a whole number", "float": "a number", "object": "a table"}
    return {**words, "bool": "true or false"}.get(name, name)


def _origin(origins: Mapping[str, str], *keys: str) -> str:
    """Return the place that set the first of ``keys`` that is not at its default."""
    return next((origins[key] for key in keys if key in origins), str(DEFAULT_PATH))


def _wrong(origins: Mapping[str, str], what: str, *keys: str) -> SettingsError:
    """Return the error of the first of ``keys``; ``what`` may name the others."""
    return SettingsError(f"{_origin(origins, *keys)}: {keys[0]}: {what}").about(what, *keys)


def digits_of(fingerprint: str) -> str:
    """Return the 64 digits of a SHA-256 fingerprint in lower case, without colons or ``sha256:``."""
    return fingerprint.lower().removeprefix("sha256:").replace(":", "")


def _check_together(settings: Settings, origins: Mapping[str, str]) -> None:
    for host, shown in settings.camera.fingerprints.items():
        if not re.fullmatch("[0-9a-f]{64}", digits_of(shown)):
            raise _wrong(
                origins,
                f"{host}: expected the SHA-256 of "
                f"a certificate, 32 pairs of hexadecimal digits; got {dict(settings.camera.fingerprints)!r}",
                "camera.fingerprints",
            )
    for name, camera in cameras(settings.camera).items():
        _check_address("camera.sources" if name else "camera.source", name, camera.source, origins)
        _check_second("camera.detect_sources" if name else "camera.detect_source", name, camera, origins)
    _check_names_of_second(settings.camera, origins)
    if unknown := settings.camera.rotations.keys() - settings.camera.sources.keys():
        raise _wrong(
            origins,
            f"got {', '.join(sorted(unknown))}, expected names of camera.sources; a single camera has camera.rotate",
            "camera.rotations",
        )
    if WITH_INCORRECT_MASK in settings.decide.accept:
        raise _wrong(
            origins,
            f'got {WITH_INCORRECT_MASK}, which has a key of its own; set decide.on_incorrect = "admit"',
            "decide.accept",
        )
    try:
        faults.parse(settings.camera.simulate)
    except SettingsError as error:
        raise _wrong(origins, str(error).removeprefix("camera.simulate: "), "camera.simulate") from error
    # A pin that two outputs share would follow the one that was switched last.
    taken: dict[int | str, str] = {}
    for key, pin in ((key, attrgetter(key)(settings)) for key in PIN_KEYS):
        if pin in taken:
            raise _wrong(origins, f"the same pin as {taken[pin]} ({pin}), expected another", key, taken[pin])
        if pin != "":
            taken[pin] = key
            _check_pin(settings.alert.driver, key, pin, origins)
    for key, check in (
        ("arm.time_zone", lambda: weekly.zone_of(settings.arm.time_zone)),
        ("arm.schedule", lambda: weekly.Weekly(settings.arm.schedule, None)),
    ):
        try:
            check()
        except SettingsError as error:
            raise _wrong(origins, f"{error}", key) from error
    _check_sensor(settings, origins)
    if settings.record.examples != "none" and not settings.record.keep:
        raise _wrong(
            origins,
            f"got {settings.record.examples!r} "
            'while record.keep is false, expected "none": pictures belong to the record; or set record.keep = true',
            "record.examples",
            "record.keep",
        )
    if settings.detect.start_score < settings.detect.min_score:
        raise _wrong(
            origins,
            f"got {settings.detect.start_score}, expected at least detect.min_score ({settings.detect.min_score})",
            "detect.start_score",
            "detect.min_score",
        )
    if 0 < settings.detect.max_face_px <= settings.detect.min_face_px:
        raise _wrong(
            origins,
            f"got {settings.detect.max_face_px}, expected 0 or more than detect.min_face_px "
            f"({settings.detect.min_face_px})",
            "detect.max_face_px",
            "detect.min_face_px",
        )
    for key in ("ignore", "only"):
        _check_regions(f"watch.{key}", getattr(settings.watch, key), settings.camera, origins)
    if 0 < settings.watch.static_s < MIN_STATIC_S:
        raise _wrong(
            origins,
            f"got {settings.watch.static_s:g}, expected 0 or at "
            f"least {MIN_STATIC_S:g}: a person who waits moves little for some seconds",
            "watch.static_s",
        )
    if settings.watch.still_s >= settings.track.lost_s:
        raise _wrong(
            origins,
            f"got {settings.watch.still_s:g}, "
            f"expected less than track.lost_s ({settings.track.lost_s:g}): the tracker would lose a person who stands "
            "still between two detections",
            "watch.still_s",
            "track.lost_s",
        )


def _check_sensor(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError if the sensor hangs beside no camera of the settings."""
    if settings.sensor.driver == "none" or settings.sensor.camera in cameras(settings.camera):
        return
    names = ", ".join(settings.camera.sources)
    expected = f"one of camera.sources ({names})" if names else '"" for the only camera'
    raise _wrong(origins, f"got {settings.sensor.camera!r}, expected {expected}", "sensor.camera", "sensor.driver")


def _check_regions(key: str, found: Regions, camera: CameraSettings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for polygons that cannot be meant, or that name no camera."""
    names = list(camera.sources)
    if names and found and not isinstance(found, dict):
        what = f"got polygons without a camera, expected them by its name, as in {{ {names[0]} = [...] }}"
        raise _wrong(origins, what, key)
    by_camera = found if isinstance(found, dict) else {"": found}
    for name, polygons in by_camera.items():
        if name and name not in names:
            known = f"one of camera.sources ({', '.join(names)})" if names else "a list of polygons for the only camera"
            raise _wrong(origins, f"got the camera {name!r}, expected {known}", key)
        if len(polygons) > MAX_POLYGONS:
            raise _wrong(origins, f"got {len(polygons)} polygons, expected at most {MAX_POLYGONS}", key)
        for number, polygon in enumerate(polygons, 1):
            if wrong := _fault_of(polygon):
                raise _wrong(origins, f"{name and f'{name}: '}polygon {number}: {wrong}", key)


def _fault_of(polygon: Polygon) -> str:
    """Return what is wrong with a polygon, or an empty string."""
    if not 3 <= len(polygon) <= MAX_CORNERS:
        return f"got {len(polygon)} corners, expected 3 to {MAX_CORNERS}"
    for corner in polygon:
        if not all(0 <= share <= 1 for share in corner):  # also for nan
            return (
                f"got the corner [{corner[0]:g}, {corner[1]:g}], expected shares of the picture, 0 to 1: divide pixels "
                "by its width and height"
            )
    pairs = list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))
    for i, (a, b) in enumerate(pairs):
        for c, d in pairs[i + 1 :]:
            if _cross(a, b, c, d):
                return f"the edge from {list(a)} to {list(b)} crosses the one from {list(c)} to {list(d)}"
    if abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2 < MIN_AREA:
        return "it has no area; name its corners in order"
    return ""


def _cross(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]) -> bool:
    """Return whether two edges cross inside both; edges that only touch do not."""

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _check_address(key: str, camera: str, source: str, origins: Mapping[str, str]) -> None:
    if "://" in source:
        try:
            addresses.place(source)
        except SettingsError as error:
            raise _wrong(origins, f"{camera and f'{camera}: '}{error}", key) from None


def _check_second(key: str, name: str, camera: CameraSettings, origins: Mapping[str, str]) -> None:
    """Raise SettingsError unless the second stream is an address, and the camera one on the network."""
    if not camera.detect_source:
        return
    which = name and f"{name}: "
    if "://" not in camera.detect_source:
        raise _wrong(
            origins,
            f"{which}expected the address of a network camera's second stream, as in rtsp://host/stream2; got "
            f"{addresses.hidden(camera.detect_source)!r}",
            key,
        )
    _check_address(key, name, camera.detect_source, origins)
    if "://" not in camera.source:
        what = f"{which}a network camera alone has a second stream, and this camera is {camera.source}; remove the key"
        raise _wrong(origins, what, key)


def _check_names_of_second(camera: CameraSettings, origins: Mapping[str, str]) -> None:
    if camera.sources and camera.detect_source:
        raise _wrong(
            origins,
            "for the only camera; with "
            f"camera.sources set camera.detect_sources, as in {{ {next(iter(camera.sources))} = ... }}",
            "camera.detect_source",
        )
    if unknown := camera.detect_sources.keys() - camera.sources.keys():
        raise _wrong(
            origins,
            f"got {', '.join(sorted(unknown))}, "
            "expected names of camera.sources; a single camera has camera.detect_source",
            "camera.detect_sources",
        )


def _check_pin(driver: str, key: str, pin: int | str, origins: Mapping[str, str]) -> None:
    """Raise SettingsError for a pin that the driver would misread: a BCM number as an offset is another line."""
    by_name = isinstance(pin, str) and not pin.isdigit()
    wanted = {"gpiod": by_name, "gpiozero": not isinstance(pin, str), "auto": by_name or not isinstance(pin, str)}
    if is_file(pin) or wanted.get(driver, True):
        return
    expected = {
        "gpiod": 'a line\'s name or chip and offset, as in "PQ.05" or "gpiochip1:12"',
        "gpiozero": "a BCM number",
        "auto": "a BCM number without quotes, or a line's name",
    }[driver]
    raise _wrong(origins, f"got {pin!r}, expected {expected} for alert.driver {driver!r}", key, "alert.driver")


def is_file(pin: int | str) -> bool:
    """Return whether ``pin`` is a file such as /sys/class/leds/ACT/brightness, which any driver setting allows."""
    return isinstance(pin, str) and pin.startswith("/")


def wired(settings: AlertSettings) -> Iterator[tuple[str, int | str]]:
    """Yield name (led, buzzer ...) and pin of every output that has a pin."""
    for key in PINS:
        if (pin := getattr(settings, key)) != "":
            yield key.removesuffix("_pin"), pin
