"""Checks of what the user asks of the board, by the name of the option: one table for options and questions."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from edge.errors import SettingsError
from edge.flash.settings import read

SYSTEM_USERS = (
    *("root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data"),
    *("backup", "list", "irc", "nobody", "sshd", "messagebus", "fmd"),
)
"""Users that a board has already: none may become the one who logs in."""
PUBLIC_KEY = r"(ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/=]+( |$)"


@dataclass(frozen=True, slots=True)
class Rule:
    """Form of a value. ``also`` raises SettingsError for a value of that form that cannot be used either."""

    pattern: str
    expected: str
    also: Callable[[str], None] = lambda value: None


def _known_zone(value: str) -> None:
    known = zoneinfo.available_timezones()  # none on a laptop without the list, such as Windows
    if known and value not in known:
        near = get_close_matches(value, known, n=1)
        raise SettingsError(f"got {value!r}, which is no time zone{f'; did you mean {near[0]}?' if near else ''}")


def _own_user(value: str) -> None:
    if value in SYSTEM_USERS:
        raise SettingsError(f"got {value!r}, a user of the system; expected another name")


def _network_name(value: str) -> None:
    if not value.isprintable():
        raise SettingsError(f"got {value!r}, expected printable characters; set the terminal to UTF-8")
    if len(value.encode()) > 32:
        raise SettingsError(f"got {value!r}, expected a name of 1 to 32 bytes")


def _port(value: str) -> None:
    port = broker(value)[1]
    if not 1 <= port <= 65535:
        raise SettingsError(f"got port {port}, expected 1 to 65535")


RULES: Mapping[str, Rule] = {
    "door": Rule(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", "letters, digits, - and _, as in door-1"),
    "hostname": Rule(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "small letters, digits and hyphens, as in door-1"),
    "timezone": Rule(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", "as in Europe/Berlin", _known_zone),
    "wifi": Rule(r"(?s).+", "the name of the Wi-Fi", _network_name),
    "wifi-country": Rule(r"[A-Z]{2}", "two capital letters, as in DE"),
    "user": Rule(r"[a-z_][a-z0-9_-]{0,31}", "small letters, digits, _ and -", _own_user),
    "mqtt": Rule(
        r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?", "a broker's host name, as in broker.local:1883", _port
    ),
    "mqtt-user": Rule(r"[^\x00-\x1f\x7f]+", "a name without control characters"),
}
"""By the name of the option, without hyphens in front."""


def check(name: str, value: str) -> None:
    """Raise SettingsError, without the option's name, unless ``value`` can be used for the option ``name``."""
    rule = RULES[name]
    if not re.fullmatch(rule.pattern, value):
        raise SettingsError(f"got {value!r}, expected {rule.expected}")
    rule.also(value)


def host_name(door: str) -> str:
    """Return the host name of a board for the name of its door."""
    return door.lower().replace("_", "-")


def broker(value: str) -> tuple[str, int]:
    """Return host and port of an MQTT broker; 1883 if ``value`` states none."""
    host, port = re.fullmatch(r"(.*?)(?::([0-9]+))?", value).groups()  # type: ignore[union-attr]  # matches any text
    return host.strip("[]"), int(port or 1883)


def public_keys(path: Path) -> tuple[str, ...]:
    """Return the lines of a file of public SSH keys. Raises SettingsError if it is another file."""
    text = read(path).decode("utf-8-sig", errors="replace")
    keys = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not keys or not all(re.match(PUBLIC_KEY, key) and key.isprintable() for key in keys):
        raise SettingsError(f"{path}: not a public SSH key (a line such as ssh-ed25519 AAAA... you@laptop)")
    return keys
