"""Which drivers the settings select. Reads the tables and plain values only; loads no driver and no large library.

Settings come as a function from ``"section.key"`` to a value, so that a parsed TOML file serves as well as
:class:`edge.config.Settings`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge import addresses, board
from edge.drivers.table import (
    CAMERAS,
    DETECTORS,
    OUTPUTS,
    PUBLISHERS,
    SENSORS,
    SERVERS,
    TABLES,
    Driver,
    NetworkDriver,
)
from edge.errors import CameraError
from edge.inference import onnx_file

Lookup = Callable[[str], Any]
"""Returns the value of a setting by ``"section.key"``; an empty value if the setting is absent."""


def camera_kind(source: str) -> tuple[str, str]:
    """Return kind and name of a ``camera.source``: the key of the table (or "auto"), and what that driver opens.

    Raises CameraError if ``source`` is neither a kind, an address, a device nor an existing file or folder.
    """
    if (named := _named_camera(source)) is not None:
        return named
    with suppress(OSError):  # raised for a name that is longer than a file name can be
        if Path(source).exists():
            return "folder" if Path(source).is_dir() else "file", source
    raise CameraError(
        f"camera.source: no such file or folder: {addresses.redacted(source)}; give auto, picamera2, csi, /dev/videoN, "
        "rtsp://..., http://..., a clip or a folder"
    )


def _named_camera(source: str) -> tuple[str, str] | None:
    """Return kind and name of a source that says itself what it is; None for a path, which the disk must answer."""
    if source == "auto":
        return "auto", ""
    if "://" in source:
        return "http" if source.lower().startswith(("http://", "https://")) else "stream", source
    kind, _, name = source.partition(":")
    if kind in CAMERAS:
        return kind, name
    # Names under /dev/v4l/by-id stay the same across replugging, so users are advised to set them.
    if source.startswith("/dev/v") or source.isdigit():
        return "v4l2", f"/dev/video{source}" if source.isdigit() else source
    return None


def output_kind(driver: str, pin: int | str) -> str:
    """Return the key in OUTPUTS and INPUTS of the driver for ``pin``, given ``alert.driver``.

    A path goes to the driver of files whatever the settings name, unless they name one that takes any pin.
    """
    from edge.config import is_file  # only here: edge.config needs msgspec

    form = "path" if is_file(pin) else "name" if isinstance(pin, str) else "number"
    named = OUTPUTS.get(driver)
    if named is not None and (named.pins == "any" or form != "path"):
        return driver
    return next(kind for kind, entry in OUTPUTS.items() if entry.pins == form)


def may_have(pin: int | str, root: Path = Path("/")) -> bool:
    """Return whether this machine may have ``pin``: any board has, a PC only files and lines of an added chip.

    ``root`` is the folder that holds dev, etc and proc. Commands, the doctor and the service all decide by this.
    """
    kind = output_kind("auto", pin)
    if kind == "gpiozero":
        # A pin factory that the user names may be a remote one (pigpio) or a simulation. A GPIO chip says nothing here:
        # many laptops have one for their touchpad, and gpiozero's numbers are a Raspberry Pi's.
        # "lgpio" is what the driver sets if nothing is named, and drives this machine's own pins.
        return not board.is_pc(root) or os.environ.get("GPIOZERO_PIN_FACTORY", "") not in ("", "lgpio")
    return kind != "gpiod" or not board.is_pc(root) or any((root / "dev").glob("gpiochip*"))


def sensor_kind(driver: str) -> tuple[str, str]:
    """Return kind and name of a ``sensor.driver`` other than "none": the key of the table, and what follows a colon."""
    kind, _, name = driver.partition(":")
    return kind, name


def detector_kind(file: str | Path) -> str:
    """Return the key in DETECTORS of the driver that reads ``file``; empty if it can only be one of fmd's bundles.

    An ONNX file with a contract is a bundle, whatever its name.
    """
    name = str(file).lower()
    kind = next((kind for kind, entry in DETECTORS.items() if name.endswith(entry.suffixes)), "")
    return "" if kind and onnx_file.is_bundle(Path(file)) else kind


def is_enabled(driver: NetworkDriver, value: Lookup) -> bool:
    """Return whether the settings switch a publisher or server on."""
    return any(value(key) for key in driver.enabled_by)


def needs_network(value: Lookup) -> bool:
    """Return whether any driver that the settings select needs the network."""
    return any(driver.network for driver in _selected(value))


def needs_bus(value: Lookup) -> bool:
    """Return whether the sensor that the settings select needs the I2C bus."""
    kind, _ = sensor_kind(str(value("sensor.driver")))
    return kind in SENSORS and SENSORS[kind].bus


def _selected(value: Lookup) -> Iterator[Driver]:
    yield from (driver for driver in (*PUBLISHERS.values(), *SERVERS.values()) if is_enabled(driver, value))
    if (output := OUTPUTS.get(value("alert.driver"))) is not None:
        yield output
    for source in (value("camera.source"), *(value("camera.sources") or {}).values()):
        kind, _ = _named_camera(str(source or "")) or ("file", "")
        if kind in CAMERAS:
            yield CAMERAS[kind]


def secret_settings() -> frozenset[str]:
    """Return the settings (``section.key``) that hold a secret or name a file that holds one, of every driver."""
    return frozenset(key for table in TABLES for driver in table.values() for key in driver.secrets)
