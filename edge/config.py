"""Settings: read from their layers, and checked. ``default.toml`` beside this file explains every key.

``default.toml`` is the only source of defaults. A user's file is laid over it, then the overlay, then the command line.
The result must fit the structs of :mod:`edge.sections`, key by key, and the rules of :mod:`edge.config_checks`. Unknown
keys, wrong types and values out of range are errors that name file, key and expected value.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from edge import addresses, config_checks, migrate, overlay, paths, redaction, toml
from edge.errors import SettingsError
from edge.sections import (
    DEFAULT_PATH,
    PIN_KEYS,
    PINS,
    AlertSettings,
    ArmSettings,
    CameraSettings,
    ClassifySettings,
    DecideSettings,
    DetectSettings,
    DisplaySettings,
    MetricsSettings,
    ModelSettings,
    MqttSettings,
    NotifySettings,
    PageSettings,
    Pin,
    Polygon,
    PublishSettings,
    RecordSettings,
    Regions,
    ReportSettings,
    SensorSettings,
    Settings,
    TrackSettings,
    VoiceSettings,
    WatchSettings,
    cameras,
    digits_of,
    door_name,
    is_file,
    only_camera,
    regions,
    stall_s,
    wired,
)

__all__ = [
    "COMMAND_LINE",
    "DEFAULT_PATH",
    "PINS",
    "PIN_KEYS",
    "READ_ONLY",
    "WRITABLE_TEXT",
    "AlertSettings",
    "ArmSettings",
    "CameraSettings",
    "ClassifySettings",
    "DecideSettings",
    "DetectSettings",
    "DisplaySettings",
    "Layers",
    "MetricsSettings",
    "ModelSettings",
    "MqttSettings",
    "NotifySettings",
    "Origin",
    "PageSettings",
    "Pin",
    "Polygon",
    "PublishSettings",
    "RecordSettings",
    "Regions",
    "ReportSettings",
    "SensorSettings",
    "Settings",
    "TrackSettings",
    "VoiceSettings",
    "WatchSettings",
    "below",
    "cameras",
    "check_key",
    "check_over",
    "choices_of",
    "digits_of",
    "door_name",
    "flat",
    "hint_of",
    "is_file",
    "is_writable",
    "laid",
    "load",
    "nested",
    "only_camera",
    "parse_assignment",
    "read",
    "regions",
    "stall_s",
    "warn",
    "wired",
]

log = logging.getLogger(__name__)

COMMAND_LINE = "command line"
"""Place of a setting that a command's option names, in messages."""
Origin = Literal["default", "file", "overlay", "command line"]
"""Layer that sets a setting, the lowest first."""


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
    config_checks.check(settings, origins)
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
READ_ONLY = frozenset({"mqtt.port", "mqtt.tls", "sensor.bus", "sensor.address"})
"""Settings without text that only the settings file may set: where a password is sent, and how; which chip the doctor,
as root, writes to."""


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
    place = f"{config_checks.origin_of(origins, 'camera.source_file')}: camera.source_file: {file}"
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
    return config_checks.wrong(origins, f"{message[:1].lower()}{message[1:]}; got {shown!r}", key)


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
