"""Settings overlay: what the service itself has been asked to change, in its state directory.

    edge/default.toml  <  the settings file  <  overlay.toml  <  --set

The overlay lies over one settings file, which it names (``base``). Any other file is read without it, so that a run
in the foreground with settings of its own does not take the service's. The overlay is in the state directory of the
process (``$STATE_DIRECTORY``, ``--state``); without one, the service's settings file has that of the service.

Only the owner of the state directory writes it. Root reads it as well: so :mod:`edge.config` accepts no path, address
or secret in it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge import paths, toml
from edge.errors import SettingsError
from edge.files import read_regular, write_atomically
from edge.migrate import VERSION

NAME = "overlay.toml"
"""Name of the overlay in the state directory."""
PROVEN = "overlay.toml.proven"
"""Name of a copy of the newest overlay with which a frame has passed all stages."""
TRIED = "overlay.toml.tried"
"""Name of a copy of an overlay that a run has begun with; it stays if the process dies before that is proven."""
REFUSED = "overlay.toml.refused"
"""Name of an overlay that could not be used, and that the service has therefore set aside."""
LIMIT = 1 << 16
"""Bytes of the largest overlay; fmd writes a few thousand at most."""
BASE = "base"
"""Key of the settings file that the overlay lies over."""
HEAD = f"""\
# Settings that were changed through the running fmd. They win over the file that {BASE} names.
# fmd writes this file. To go back to your own file, delete this one and reload fmd.
"""

Values = dict[str, dict[str, Any]]
"""Section -> key -> value."""


@dataclass(frozen=True)
class Overlay:
    """An overlay as it was read. ``problem`` says why it cannot be used; ``values`` are then empty."""

    file: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def file_of(base: Path, state: Path | None = None) -> Path | None:
    """Return where the overlay of the settings file ``base`` is, or None if this process has none for it.

    ``state`` is the state directory (default: this process's, else the service's for its settings file).
    """
    folder = state or paths.state_folder()
    if folder is None and absolute(base) == paths.SETTINGS:
        folder = paths.STATE
    return folder / NAME if folder else None


def absolute(path: Path) -> Path:
    """Return ``path`` from the root, without following links."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve() would follow links)


def read(base: Path, name: str = NAME, state: Path | None = None) -> Overlay | None:
    """Return the overlay of the settings file ``base``, or None if there is none; ``name`` may be PROVEN."""
    file = file_of(base, state)
    if file is None:
        return None
    file = file.with_name(name)
    try:
        content = read_regular(file, LIMIT, owner=file.parent.stat().st_uid)
        values = toml.parsed(toml.decoded(content, str(file)), str(file))
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = "; only root and the user fmd may read it: use sudo" if error.errno == errno.EACCES else ""
        return Overlay(file, problem=f"{file}: {error.strerror}{hint}")
    except SettingsError as error:
        return Overlay(file, problem=str(error))
    if BASE not in values:
        return Overlay(file, problem=f"{file}: {BASE}: expected the settings file that it lies over, got none")
    if values.pop(BASE) != str(absolute(base)):
        return None
    return Overlay(file, values)


def write(base: Path, values: Values) -> Path:
    """Replace the overlay of the settings file ``base``, and return its path; without values remove it.

    Raises OSError, SettingsError if this process has no state directory of its own.
    """
    file = file_of(base)
    if file is None or paths.state_folder() is None:
        raise SettingsError(f"{base}: this fmd has no state directory for changed settings; name one with --state")
    if file.parent.stat().st_uid != os.geteuid():
        raise SettingsError(f"{file.parent}: belongs to another user, who alone may change settings in it")
    if values:
        write_atomically(file, text_of(base, values), mode=0o600, durable=True)
    else:
        file.unlink(missing_ok=True)
    file.with_name(REFUSED).unlink(missing_ok=True)
    return file


def text_of(base: Path, values: Values) -> bytes:
    """Return the content of an overlay of the settings file ``base``."""
    return (HEAD + toml.written({"version": VERSION, BASE: str(absolute(base)), **values})).encode()


def is_proven(file: Path) -> bool:
    """Return whether the overlay, or that there is none, has been noted by :func:`note_proven`."""
    return _bytes(file) == _bytes(file.with_name(PROVEN))


def is_tried(file: Path) -> bool:
    """Return whether a process has died with the overlay before a frame passed all stages."""
    content = _bytes(file)
    return content is not None and content == _bytes(file.with_name(TRIED))


def note_tried(file: Path) -> None:
    """Note that a run begins with the overlay. Raises OSError."""
    if (content := _bytes(file)) is not None:
        write_atomically(file.with_name(TRIED), content, mode=0o600, durable=True)


def forget_tried(file: Path) -> None:
    """Note that no run is going on with an overlay that is not proven. Raises OSError."""
    file.with_name(TRIED).unlink(missing_ok=True)


def note_proven(file: Path) -> None:
    """Keep a copy of the overlay, with which the door is watched. Raises OSError."""
    forget_tried(file)
    if is_proven(file):
        return
    if (content := _bytes(file)) is None:
        file.with_name(PROVEN).unlink(missing_ok=True)
    else:
        write_atomically(file.with_name(PROVEN), content, mode=0o600, durable=True)


def revert(file: Path) -> None:
    """Set an overlay aside that cannot be used, and return to the newest proven one, if that is another.

    Raises OSError.
    """
    forget_tried(file)
    failed, proven = _bytes(file), _bytes(file.with_name(PROVEN))
    if failed is not None:
        write_atomically(file.with_name(REFUSED), failed, mode=0o600)
    else:  # a pipe, a folder, a file of another user, or none
        with suppress(FileNotFoundError):
            file.replace(file.with_name(REFUSED))
    if proven is not None and proven != failed:
        write_atomically(file, proven, mode=0o600, durable=True)
    else:
        file.unlink(missing_ok=True)
        file.with_name(PROVEN).unlink(missing_ok=True)


def _bytes(file: Path) -> bytes | None:
    """Return the content of an overlay, None if there is none that can be read."""
    try:
        return read_regular(file, LIMIT, owner=file.parent.stat().st_uid)
    except OSError:
        return None
