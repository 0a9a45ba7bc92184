"""The files that become /etc/fmd: the settings, and every file that they name.

fmd flash checks them on the laptop, where the user can read the errors; the board at the door has no screen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge import toml
from edge.drivers.selection import detector_kind, needs_bus, needs_network, secret_settings
from edge.errors import CardError, SettingsError
from edge.flash.content import Etc
from edge.paths import FILE_SETTINGS

FMD_TOML = "fmd.toml"
"""Name of the settings file on the board."""
DROP_INS = {"network": (needs_network, "the network"), "sensor": (needs_bus, "the I2C bus")}
"""Drop-in of the service (``fmd-NAME.conf``) -> whether the settings need it, and what it gives."""
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~-]*"


def gathered(
    config_path: Path | None,
    models: Mapping[str, Path | None],
    options: Mapping[str, Any] | None = None,
    secrets: Mapping[str, bytes] | None = None,
) -> Etc:
    """Return the files that become /etc/fmd.

    ``models`` and ``options`` (``{"publish.name": "door-1"}``) come from the command line and are added to the
    settings; ``secrets`` are files that ``options`` name. Raises SettingsError, BundleError or CardError if the
    settings or a file that they name cannot be used. Without fmd's libraries only the names of files are checked:
    :attr:`Etc.unchecked` says so.
    """
    options = dict(options or {})
    if config_path is None and not options and not any(models.values()):
        return Etc()
    is_checked = _check(config_path, options)
    text = "" if config_path is None else _text(config_path)
    for task, path in models.items():
        if path is not None and not _named(text, "model", task):
            text = with_value(text, "model", task, file_name(path))
    for key, value in options.items():
        text = _with_option(text, key, value)
    files: dict[str, bytes] = {}
    # The settings may hold passwords in addresses.
    hidden: dict[str, bytes] = {FMD_TOML: text.encode(), **(secrets or {})}
    for section, key, name in _files_named(text):
        if name in hidden:
            continue
        path = _path(f"{section}.{key}", name, config_path, models.get(key) if section == "model" else None)
        if section == "model":
            is_checked &= _check_model(path, key)
        (hidden if f"{section}.{key}" in secret_settings() else files)[name] = read(path)
    values = toml.parsed(text, FMD_TOML)
    if source := _source_in_file(values, hidden):
        values["camera"]["source"] = source
    return Etc(files, hidden, _drop_ins(values), not is_checked)


def _drop_ins(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the drop-ins that the service needs with these settings, and what each gives."""

    def value(key: str) -> Any:
        return _value(values, *key.split("."))

    return {name: gives for name, (needs, gives) in DROP_INS.items() if needs(value)}


def _check(config_path: Path | None, options: Mapping[str, Any]) -> bool:
    """Raise SettingsError if the board would refuse the settings; return False if this machine cannot check them."""
    try:
        from edge import config
    except ImportError:
        return config_path is None
    config.read(config_path, options, over=None)
    return True


def _text(path: Path) -> str:
    """Return a settings file as text. Raises SettingsError if it is not TOML."""
    text = toml.decoded(read(path), str(path)).replace("\r\n", "\n")
    toml.parsed(text, str(path))
    return text


def _with_option(text: str, key: str, value: Any) -> str:
    """Return the settings with an option of the command line. Raises SettingsError if they state another value."""
    section, _, name = key.partition(".")
    stated = _value(toml.parsed(text, FMD_TOML), section, name)
    if stated in ("", value):
        return text if stated == value else with_value(text, section, name, value)
    raise SettingsError(
        f"command line: {key}: got {value!r}, but the settings file states {stated!r}; keep one of both"
    )


def _files_named(text: str) -> list[tuple[str, str, str]]:
    """Return section, key and file name of every file that the settings name."""
    named = [(section, key, _named(text, section, key)) for section, keys in FILE_SETTINGS.items() for key in keys]
    return [(section, key, name) for section, key, name in named if name]


def _source_in_file(values: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Return the camera's address in the file that the settings name for it, empty if they name none."""
    lines = files.get(str(_value(values, "camera", "source_file")), b"").decode("utf-8-sig", "replace").splitlines()
    return next((line.strip() for line in lines if line.strip()), "")


def read(path: Path) -> bytes:
    """Return the content of a file. Raises :class:`edge.errors.CardError`, which names the file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CardError(f"{path}: {error.strerror}") from error


def file_name(path: Path) -> str:
    """Return the name of a file. Raises CardError if FAT or a shell could misread it."""
    if not re.fullmatch(FILE_NAME, path.name):
        raise CardError(f"{path}: got {path.name!r}, expected letters, digits, . _ + ~ - only; rename the file")
    return path.name


def with_value(settings: str, section: str, key: str, value: str | int) -> str:
    """Return ``settings`` (TOML) with one more value; comments and order stay."""
    # A string of JSON is one of TOML as well.
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    head = re.search(rf"^\s*\[{section}\][^\n]*\n?", settings, re.MULTILINE)
    if head is None:
        return f"{settings.rstrip()}\n\n[{section}]\n{line}".lstrip()
    return settings[: head.end()].rstrip("\n") + "\n" + line + settings[head.end() :]


def _value(settings: Mapping[str, Any], section: str, key: str) -> Any:
    keys = settings.get(section, {})
    return keys.get(key, "") if isinstance(keys, Mapping) else ""


def _named(text: str, section: str, key: str) -> str:
    return str(_value(toml.parsed(text, FMD_TOML), section, key))


def _path(key: str, name: str, config_path: Path | None, chosen: Path | None) -> Path:
    """Return the path on this machine of a file that the settings name."""
    path = chosen if chosen is not None else (config_path.parent if config_path is not None else Path()) / name
    if name != path.name:
        raise SettingsError(
            f"{config_path}: {key}: got {name!r}, expected {path.name!r}: on the board the file is in /etc/fmd"
        )
    file_name(path)
    return path


def _check_model(path: Path, task: str) -> bool:
    """Raise BundleError or SettingsError unless the file is a model for ``task``; return False without libraries."""
    if task == "detector" and detector_kind(path):  # another project's format, which holds no contract to check
        return True
    try:
        from edge.inference import bundle
    except ImportError:
        return False
    found = bundle.unpack(path).contract.task
    if found != task:
        raise SettingsError(f"{path}: a {found}, expected a {task}")
    return True
