"""Addresses of network cameras: where they lead, and what of them may be told.

Passwords stand in addresses in many ways: before the @, in the path (``/user=me&password=...``), in the query, and,
where one holds a / or # unescaped, wherever RFC 3986 puts what follows. Nothing that could be one is told, and no
library's message that quotes the address.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from edge.errors import SettingsError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Where a server listens that the address names no port of; also all the schemes there are."""
HINT = (
    "expected rtsp://user:password@host:554/path, in a password / written as %2F, # as %23, ? as %3F, [ as %5B, ] as "
    "%5D, @ as %40, % as %25"
)
HIDDEN = "***"
_NAMED = re.compile(r"(user|usr|login|pass|pwd|token|auth|secret|key)[\w-]*=.*", re.IGNORECASE | re.DOTALL)


def told(source: str) -> str:
    """A ``camera.source`` as it may be told: without what stands before the last @, the query, and ``password=...``."""
    scheme, sign, rest = source.partition("://")
    if not sign:
        # A path, unless the scheme was mistyped or left out.
        mistyped = re.fullmatch(r"[^@]*:.*@(.*)", source, re.DOTALL)
        return HIDDEN + "@" + _open(mistyped[1]) if mistyped else source
    before, at, where = rest.rpartition("@")
    if at and re.search("[?#]", before):
        return f"{scheme}://{HIDDEN}"  # the host, or the end of a query: nobody can know
    return f"{scheme}://{HIDDEN + at if at else ''}{_open(where)}"


def _open(where: str) -> str:
    """Host and path, up to the first thing that may be a secret."""
    return _NAMED.sub(lambda found: f"{found[1]}={HIDDEN}", re.split("[?#]", where, maxsplit=1)[0])


def hidden(value: Any) -> Any:
    """A setting's value as an error may quote it: of every address in it the scheme alone."""
    if isinstance(value, str):
        scheme, sign, _ = value.partition("://")
        return f"{scheme}://{HIDDEN}" if sign else told(value)
    if isinstance(value, dict):
        return {hidden(key): hidden(each) for key, each in value.items()}
    return [hidden(each) for each in value] if isinstance(value, (list, tuple)) else value


def place(source: str) -> tuple[str, int]:
    """Host and port of an address. Raises SettingsError, without a word of the address that may not be told."""
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):  # whose messages quote it
        host, port = None, 0
    if not host:
        raise SettingsError(f"{told(source)}: not an address; {HINT}")
    return host, port


def is_doubtful(source: str) -> bool:
    """Whether an @ comes after the host: a password with a / in it, as likely as a path with an @."""
    return "@" in source.partition("://")[2].removeprefix(urlsplit(source).netloc)
