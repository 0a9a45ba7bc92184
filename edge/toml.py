"""TOML of strangers, read without surprises, and TOML that fmd writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from edge.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parsed(text: str, where: str) -> dict[str, Any]:
    """Return the content of a TOML file. Raises SettingsError, which names the file ``where``."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: not valid TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        what = "a number that is too long, or brackets nested too deep"
        raise SettingsError(f"{where}: not valid TOML: {what}") from error


def decoded(content: bytes, where: str) -> str:
    """Return the text of a file, without the byte order mark of Windows' editor. Raises SettingsError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where}: not a text file in UTF-8; save it as one") from error


def value(text: str) -> Any:
    """Return the value that ``text`` is in TOML; a word without quotes is a string."""
    try:
        found = tomllib.loads(f"value = {text}")
        return found["value"] if len(found) == 1 else text  # further lines are no part of a value
    except (ValueError, RecursionError):
        return text


def written(values: Mapping[str, Any]) -> str:
    """Return ``values`` as the text of a TOML file."""
    import tomli_w  # only here: a laptop that prepares a card reads settings and writes none

    return tomli_w.dumps(values)


def in_one_line(value: Any) -> str:
    """Return a single value as TOML writes it within a line."""
    if isinstance(value, Mapping):
        pairs = [f"{in_one_line(key)} = {in_one_line(each)}" for key, each in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_one_line, value))}]"
    return written({"value": value}).removeprefix("value = ").rstrip("\n")
