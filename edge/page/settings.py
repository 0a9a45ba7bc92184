"""The page's own settings: ``/etc/fmd/page.toml``, which the page's user can read. It cannot read those of fmd."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec

from edge.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PASSWORDS = "page.passwords"
"""Name of the password file beside the settings file."""

HostName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the page answers. ``names`` are host names besides this board's own and those that end in .local.

    ``certificate`` and ``key`` are PEM files for TLS, relative to the settings file; without them the page is plain
    HTTP. ``address`` is empty for all addresses of the board.
    """

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080
    address: str = ""
    names: tuple[HostName, ...] = ()
    certificate: str = ""
    key: str = ""


def load(path: Path | None) -> ServerSettings:
    """Return the settings in a file; the defaults for None and for a file that does not exist. Raises SettingsError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except FileNotFoundError:
        content = {}
    except (OSError, ValueError) as error:  # unreadable, not UTF-8, not TOML
        raise SettingsError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return msgspec.convert(content, ServerSettings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {error}; docs/page.md lists the settings") from error
