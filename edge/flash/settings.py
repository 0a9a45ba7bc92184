"""The settings that go to /etc/fmd, and every file they name: checked here, where somebody reads what is wrong."""

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

MODELS = ("detector", "classifier")
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~-]*"


def gathered(config_path: Path | None, models: Mapping[str, Path | None]) -> Etc:
    """What becomes /etc/fmd; ``models`` are those given on the command line, which the settings come to name."""
    if config_path is None and not any(models.values()):
        return Etc()
    # Only here: it brings libraries that a card without settings can do without.
    from edge import config

    text = ""
    if config_path is not None:
        config.load(config_path)
        text = read(config_path).decode("utf-8-sig")
    for task, path in models.items():
        if path is not None and not _named(text, "model", task):
            text = with_model(text, task, file_name(path))
    files: dict[str, bytes] = {"fmd.toml": text.encode()}
    secrets: dict[str, bytes] = {}
    for section, keys in config.FILES.items():
        for key in keys:
            if name := _named(text, section, key):
                path = _path(f"{section}.{key}", name, config_path, models.get(key) if section == "model" else None)
                if section == "model":
                    _check_model(path, key)
                (secrets if f"{section}.{key}" in secret_settings() else files)[name] = read(path)
    values = tomllib.loads(text)
    return Etc(files, secrets, needs_network(lambda key: _value(values, *key.split("."))))


def read(path: Path) -> bytes:
    """A file's content; raises :class:`edge.errors.CardError` with its name."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CardError(f"{path}: {error.strerror}") from error


def file_name(path: Path) -> str:
    """Its name, if FAT and a shell both take it."""
    if not re.fullmatch(FILE_NAME, path.name):
        raise CardError(f"{path}: a name that a FAT partition or a shell may trip over; rename it")
    return path.name


def with_model(settings: str, task: str, name: str) -> str:
    """``settings`` (TOML) with one model named; comments and order stay."""
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
    """Where a file that the settings name lies on this machine."""
    path = chosen if chosen is not None else (config_path.parent if config_path is not None else Path()) / name
    if name != path.name:
        raise SettingsError(f"{config_path}: {key}: got {name!r}, expected {path.name!r}: it will lie in /etc/fmd")
    file_name(path)
    return path


def _check_model(path: Path, task: str) -> None:
    if task == "detector" and detector_kind(path.name):  # another project's format, which holds no contract to check
        return
    from edge.inference import bundle

    found = bundle.unpack(path).contract.task
    if found != task:
        raise SettingsError(f"{path}: a {found}, expected a {task}")
