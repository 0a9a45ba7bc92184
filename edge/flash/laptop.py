"""What this laptop says about its user, as defaults of questions: name, country, time zone, key. Empty if unknown."""

from __future__ import annotations

import ctypes
import locale
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
"""Names of a user's public keys, the best first."""
NAME_OF_COUNTRY = 16
"""Units of a buffer for a country's code, more than any has."""


@dataclass(frozen=True, slots=True)
class Laptop:
    """What a laptop says about its user; each part is empty if it says nothing."""

    user: str = ""
    country: str = ""
    zone: str = ""
    key: str = ""
    """Path of a public SSH key."""


def here() -> Laptop:
    """Return what this laptop says."""
    return Laptop(user_name(), country(), time_zone(), str(public_key() or ""))


def user_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of the user, as a name for a login on Linux."""
    name = environment.get("USERNAME") or environment.get("USER") or ""
    found = re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("0123456789-")
    return found[:32]


def public_key(home: Path | None = None) -> Path | None:
    """Return the public SSH key of the user, or None."""
    folder = (home or Path.home()) / ".ssh"
    return next((folder / name for name in KEYS if (folder / name).is_file()), None)


def country(environment: Mapping[str, str] = os.environ) -> str:
    """Return the country of the user's settings as two letters, as in ``DE``."""
    if sys.platform == "win32":
        return country_of_windows(ctypes.windll.kernel32)
    named = next((environment[key] for key in ("LC_ALL", "LC_TIME", "LANG") if environment.get(key)), "")
    found = re.match(r"[a-z]{2,3}_([A-Z]{2})\b", named or (locale.getlocale()[0] or ""))
    return found[1] if found else ""


def country_of_windows(kernel32: Any) -> str:
    name = ctypes.create_unicode_buffer(NAME_OF_COUNTRY)
    # Windows 10 of 2017 and later.
    if not hasattr(kernel32, "GetUserDefaultGeoName") or not kernel32.GetUserDefaultGeoName(name, NAME_OF_COUNTRY):
        return ""
    return name.value if re.fullmatch("[A-Z]{2}", name.value) else ""


def time_zone(root: Path = Path("/")) -> str:
    """Return the time zone of this machine as in ``Europe/Berlin``."""
    if sys.platform == "win32":
        try:
            # Part of Windows 10 of 2019 and later: Windows' own names of zones are others.
            return zone_of_icu(ctypes.CDLL("icu.dll"))
        except OSError:
            return ""
    try:
        # Linux: /usr/share/zoneinfo/..., macOS: /var/db/timezone/zoneinfo/...
        _, found, zone = str((root / "etc/localtime").readlink()).partition("zoneinfo/")
    except OSError:
        return ""
    return zone if found else ""


def zone_of_icu(icu: Any) -> str:
    name, status = ctypes.create_unicode_buffer(128), ctypes.c_int(0)
    length = icu.ucal_getDefaultTimeZone(name, 128, ctypes.byref(status))
    # Above 0 is an error; an unknown zone is called Etc/Unknown.
    return "" if status.value > 0 or not 0 < length < 128 or name.value == "Etc/Unknown" else name.value
