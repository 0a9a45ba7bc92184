"""Numbers in a settings file, changed without touching the rest of it: comments, order and line ends stay."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edge.errors import SettingsError

if TYPE_CHECKING:
    from edge.config import Layers

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def check_effect(layers: Layers, keys: Iterable[str]) -> None:
    """Raise SettingsError if the overlay sets one of ``keys``: a change in the file would have no effect."""
    for key in keys:
        if layers.origin(key) == "overlay":
            raise SettingsError(
                f"{layers.overlay}: {key}: changed through the running fmd, which wins over {layers.base}; change it "
                "there, or reset it first"
            )


def changed(text: str, values: Mapping[str, float], where: str) -> str:
    """Return the content of a settings file with ``values`` (``{"decide.error_rate": 0.01}``) in it.

    Raises SettingsError for a file in which that cannot be done line by line; ``where`` names it.
    """
    lines = text.splitlines(keepends=True)
    for key, value in values.items():
        section, _, name = key.partition(".")
        _set(lines, section, name, f"{value:g}")
    new = "".join(lines)
    # Whatever the form of the file (a table in one line, a text over several): nothing else may have changed.
    try:
        expected = tomllib.loads(text.lstrip("\ufeff"))
        found = tomllib.loads(new.lstrip("\ufeff"))
        for key, value in values.items():
            section, _, name = key.partition(".")
            expected.setdefault(section, {})[name] = float(f"{value:g}")
        same = found == expected
    except (tomllib.TOMLDecodeError, AttributeError, TypeError):
        same = False
    if not same:
        shown = ", ".join(f"{key} = {value:g}" for key, value in values.items())
        raise SettingsError(f"{where}: fmd cannot change it line by line; write into it yourself: {shown}")
    return new


def _set(lines: list[str], section: str, name: str, value: str) -> None:
    end = next((line[len(line.rstrip("\r\n")) :] for line in lines if line.endswith("\n")), "\n")
    header = re.compile(rf"\ufeff?\s*\[\s*{section}\s*\]\s*(#.*)?")
    start = next((i for i, line in enumerate(lines) if header.fullmatch(line.rstrip("\r\n"))), None)
    if start is None:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += end
        lines += [*([end] if lines else []), f"[{section}]{end}", f"{name} = {value}{end}"]
        return
    for i in range(start + 1, len(lines)):
        if re.match(r"\s*\[", lines[i]):
            break
        if match := re.match(rf"(\s*{name}\s*=\s*)[^\s#]+", lines[i]):
            lines[i] = f"{match[1]}{value}{lines[i][match.end() :]}"
            return
    if not lines[start].endswith("\n"):
        lines[start] += end
    lines.insert(start + 1, f"{name} = {value}{end}")
