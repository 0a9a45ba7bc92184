"""The files that become /etc/fmd: the settings, and every file that they name.

fmd flash checks them on the laptop, where the user can read the errors; the board at the door has no screen.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.drivers.selection import detector_kind, needs_network, secret_settings
from edge.errors import CardError, SettingsError
from edge.flash.content import Etc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~-]*"


def gathered(config_path: Path | None, models: Mapping[str, Path | None]) -> Etc:
    """Return the files that become /etc/fmd. The settings are made to name the ``models`` of the command line.

    Raises SettingsError, BundleError or CardError if the settings or a file that they name cannot be used.
    """
    if config_path is None and not any(models.values()):
        return Etc()
    # Imported here only: it needs libraries, and a card without settings can be prepared without them.
    from edge import config

    text = ""
    source = ""
    if config_path is not None:
        loaded = config.read(config_path, over=None).settings
        source = loaded.camera.source if loaded.camera.source_file else ""
        # As in edge.config: files from Windows may begin with a byte order mark.
        text = read(config_path).decode("utf-8-sig")
    for task, path in models.items():
        if path is not None and not _named(text, "model", task):
            text = with_model(text, task, file_name(path))
    files: dict[str, bytes] = {}
    # The settings may hold passwords in addresses.
    secrets: dict[str, bytes] = {"fmd.toml": text.encode()}
    for section, keys in config.FILES.items():
        for key in keys:
            if name := _named(text, section, key):
                path = _path(f"{section}.{key}", name, config_path, models.get(key) if section == "model" else None)
                if section == "model":
                    _check_model(path, key)
                (secrets if f"{section}.{key}" in secret_settings() else files)[name] = read(path)
    values = tomllib.loads(text)
    if source:
        values["camera"]["source"] = source
    return Etc(files, secrets, needs_network(lambda key: _value(values, *key.split("."))))


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


def with_model(settings: str, task: str, name: str) -> str:
    """Return ``settings`` (TOML) with one model named; comments and order stay."""
    line = f'{task} = "{name}"\n'
    head = re.search(r"^\s*\[model\][^\n]*\n?", settings, re.MULTILINE)
    if head is None:
        return f"{settings.rstrip()}\n\n[model]\n{line}".lstrip()
    return settings[: head.end()].rstrip("\n") + "\n" + line + settings[head.end() :]


def _value(settings: Mapping[str, Any], section: str, key: str) -> Any:
    return settings.get(section, {}).get(key, "")


def _named(text: str, section: str, key: str) -> str:
    return str(_value(tomllib.loads(text), section, key))


def _path(key: str, name: str, config_path: Path | None, chosen: Path | None) -> Path:
    """Return the path on this machine of a file that the settings name."""
    path = chosen if chosen is not None else (config_path.parent if config_path is not None else Path()) / name
    if name != path.name:
        raise SettingsError(
            f"{config_path}: {key}: got {name!r}, expected {path.name!r}: on the board the file is in /etc/fmd"
        )
    file_name(path)
    return path


def _check_model(path: Path, task: str) -> None:
    if task == "detector" and detector_kind(path):  # another project's format, which holds no contract to check
        return
    from edge.inference import bundle

    found = bundle.unpack(path).contract.task
    if found != task:
        raise SettingsError(f"{path}: a {found}, expected a {task}")
