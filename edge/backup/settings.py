"""Settings in a backup, with or without their secrets, and what a restoration makes of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge import addresses, config, migrate, paths, toml
from edge.backup.archive import FILES, MAX_TEXT
from edge.drivers.selection import secret_settings
from edge.errors import SettingsError
from edge.files import read_regular
from edge.inference.bundle import MAX_FILE
from edge.redaction import redact

Values = dict[str, dict[str, Any]]
HEAD = """\
# Settings from a backup without secrets. Comments are left out, as they may hold some. Set these again:
# {keys}
"""


@dataclass(frozen=True)
class Gathered:
    """A settings file as it goes into a backup: its text, the files that it names, and the settings without a place."""

    text: str
    files: Mapping[str, bytes]
    left_out: tuple[str, ...]
    elsewhere: tuple[str, ...]


def gathered(base: Path, secrets: bool) -> Gathered:
    """Return the settings file ``base`` for a backup. Without ``secrets``, its values are written without them.

    Files beside it that it names go along. ``elsewhere`` are settings that name a file in another folder. Raises
    SettingsError for a file that cannot be read.
    """
    content = _read(base, MAX_TEXT)
    text = toml.decoded(content, str(base))
    values = plain(text, str(base))
    hidden = () if secrets else tuple(key for key, value in _flat(values) if is_secret(key, value))
    files, elsewhere = {}, []
    for key, name in named_files(values):
        if key in hidden:
            continue
        if name != Path(name).name:
            elsewhere.append(key)
        else:
            files[name] = _read(base.parent / name, MAX_FILE)
    if not secrets:
        text = without(values, hidden)
    return Gathered(text, files, hidden, tuple(elsewhere))


def plain(text: str, where: str) -> Values:
    """Return the values of a settings file under their present names. Raises SettingsError."""
    return dict(config.nested(config.flat(migrate.migrated(toml.parsed(text, where), where), where)))


def without(values: Values, keys: Iterable[str]) -> str:
    """Return a settings file with ``values`` except ``keys``."""
    kept = copy.deepcopy(values)
    for key in keys:
        section, _, name = key.partition(".")
        del kept[section][name]
    head = HEAD.format(keys=", ".join(keys) or "(none)")
    return head + toml.written({"version": migrate.VERSION, **kept})


def merged(text: str, left_out: Iterable[str], present: Values) -> str:
    """Return the settings of a backup; what it does not hold is taken from the ``present`` file of this board."""
    taken = {key: value for key in left_out if (value := _value(present, key)) is not None}
    if not taken:
        return text
    values = toml.parsed(text, "the backup")
    for key, value in taken.items():
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = value
    return "# Settings from a backup; its secrets were on this board already.\n" + toml.written(values)


def named_files(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield key and name of every file that the settings name."""
    for section, keys in paths.FILE_SETTINGS.items():
        table = values.get(section)
        for key in keys:
            if isinstance(table, Mapping) and isinstance(name := table.get(key), str) and name:
                yield f"{section}.{key}", name


def is_secret(key: str, value: Any) -> bool:
    """Return whether a backup without secrets must not hold this setting."""
    if key in secret_settings() and value:
        # A camera's source is a secret only if it is an address, which may hold a password.
        return key.endswith("_file") or key == "notify.urls" or "://" in str(value)
    return any(redact(addresses.redacted(text)) != text for text in _texts(value))


def has(values: Mapping[str, Any], key: str) -> bool:
    """Return whether the settings state ``section.key``."""
    return _value(values, key) is not None


def entry_of(name: str) -> str:
    """Return the name in the backup of a file that the settings name."""
    return f"{FILES}{name}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _flat(values: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Any]]:
    return [(f"{section}.{name}", value) for section, names in values.items() for name, value in names.items()]


def _value(values: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return values.get(section, {}).get(name)


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit)
    except OSError as error:
        hint = "; use sudo" if isinstance(error, PermissionError) else ""
        raise SettingsError(f"{path}: cannot be read for the backup: {error.strerror}{hint}") from error
