"""The page's own settings: ``/etc/fmd/page.toml``, which the page's user can read. It cannot read those of fmd."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edge import toml
from edge.addresses import HOST_NAME
from edge.errors import SettingsError

HostName = Annotated[str, msgspec.Meta(pattern=HOST_NAME)]


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
    content: dict[str, Any] = {}
    if path is not None:
        with suppress(FileNotFoundError):
            content = toml.parsed(toml.decoded(path.read_bytes(), str(path)), str(path))
    try:
        return msgspec.convert(content, ServerSettings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {error}; docs/page.md lists the settings") from error
