"""Addresses of network cameras: their host and port, and which parts are safe to show.

Passwords occur at many places of an address: before the @, in the path (``/user=me&password=...``) and in the query. A
password that holds an unescaped / or # reaches even further, as RFC 3986 then ends the host there. No part that could
be a password is shown, nor a library's message that quotes the address.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from edge.errors import SettingsError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Default port of each scheme; fmd supports no other scheme."""
HINT = (
    "expected rtsp://user:password@host:554/path, in a password / written as %2F, # as %23, ? as %3F, [ as %5B, ] as "
    "%5D, @ as %40, % as %25"
)
HIDDEN = "***"
HOST_NAME = r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"
"""Pattern of a host name, or of an IPv4 address."""
_NAMED = re.compile(r"(user|usr|login|pass|pwd|token|auth|secret|key)[\w-]*=.*", re.IGNORECASE | re.DOTALL)


def redacted(source: str) -> str:
    """Return a ``camera.source`` without its secrets: what precedes the last @, the query, and ``password=...``."""
    scheme, sign, rest = source.partition("://")
    if not sign:
        # A path, unless the scheme was mistyped or left out.
        mistyped = re.fullmatch(r"[^@]*:.*@(.*)", source, re.DOTALL)
        return HIDDEN + "@" + _host_and_path(mistyped[1]) if mistyped else source
    before, at, where = rest.rpartition("@")
    if at and re.search("[?#]", before):
        return f"{scheme}://{HIDDEN}"  # what follows the @ may be the host or the end of a query
    return f"{scheme}://{HIDDEN + at if at else ''}{_host_and_path(where)}"


def _host_and_path(where: str) -> str:
    """Return host and path up to the first part that may be a secret."""
    return _NAMED.sub(lambda found: f"{found[1]}={HIDDEN}", re.split("[?#]", where, maxsplit=1)[0])


def hidden(value: Any) -> Any:
    """Return a setting's value as an error message may quote it: of every address in it only the scheme."""
    if isinstance(value, str):
        scheme, sign, _ = value.partition("://")
        return f"{scheme}://{HIDDEN}" if sign else redacted(value)
    if isinstance(value, dict):
        return {hidden(key): hidden(each) for key, each in value.items()}
    return [hidden(each) for each in value] if isinstance(value, (list, tuple)) else value


def place(source: str) -> tuple[str, int]:
    """Return host and port of an address. Raises SettingsError, which shows the redacted address only."""
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, PORTS[parts.scheme] if parts.port is None else parts.port
    except (ValueError, KeyError):  # their messages quote the address
        host, port = None, 0
    if not host or not port:  # nothing listens at port 0
        raise SettingsError(f"{redacted(source)}: not an address; {HINT}")
    return host, port


def with_login(address: str, other: str) -> str:
    """Return ``address`` with user and password of ``other``, if it has none and is of the same scheme and host.

    Of the same scheme only, so that no password of an encrypted stream is sent unencrypted.
    """
    ours, theirs = urlsplit(address), urlsplit(other)
    login, at, _ = theirs.netloc.rpartition("@")
    if not at or "@" in ours.netloc or (ours.scheme, ours.hostname) != (theirs.scheme, theirs.hostname):
        return address
    return ours._replace(netloc=f"{login}@{ours.netloc}").geturl()


def is_doubtful(source: str) -> bool:
    """Return whether an @ follows the host: a password with an unescaped / is as likely as a path with an @."""
    return "@" in source.partition("://")[2].removeprefix(urlsplit(source).netloc)


def is_host_name(text: str) -> bool:
    """Return whether ``text`` can be a host name."""
    return re.fullmatch(HOST_NAME, text) is not None and not text.endswith("\n")
