"""Boot partitions of Raspberry Pi OS: recognise one, and find out how its first boot is configured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edge.errors import CardError
from edge.flash.target import Target

NEEDED = ("cmdline.txt", "config.txt", "issue.txt")
KERNELS_64 = frozenset({"kernel8.img", "kernel_2712.img"})
KERNELS_32 = frozenset({"kernel7.img", "kernel7l.img"})
FIRST_BOOKWORM = "2023-10-10"
"""Date of the first image of Bookworm. Older systems have Python 3.9 and mount the boot partition elsewhere."""


@dataclass(frozen=True, slots=True)
class Card:
    """A boot partition that fmd can prepare. ``issued`` is the date of the image, ``YYYY-MM-DD``."""

    issued: str
    first_boot: Literal["cloud-init", "firstrun"]

    def __str__(self) -> str:
        return f"Raspberry Pi OS of {self.issued}, first boot by {self.first_boot}"


def recognise(target: Target) -> Card:
    """Return which card ``target`` is. Raises :class:`edge.errors.CardError` unless it is a 64-bit Bookworm or later.

    Images since Trixie (2025) hold cloud-init's seed files. Older ones run firstrun.sh if cmdline.txt says so.
    """
    names = target.names()
    missing = [name for name in NEEDED if name not in names]
    if missing or not names & KERNELS_64:
        what = ", ".join(missing or ["kernel8.img"])
        raise CardError(f"{target}: not the boot partition of a 64-bit Raspberry Pi OS: no {what}; nothing was written")
    issued = _issued(target)
    if issued < FIRST_BOOKWORM:
        raise CardError(f"{target}: Raspberry Pi OS of {issued}, expected Bookworm ({FIRST_BOOKWORM}) or later")
    # A 32-bit image holds the 64-bit kernels as well, so the 32-bit ones decide.
    if names & KERNELS_32:
        raise CardError(f"{target}: a 32-bit Raspberry Pi OS; write the 64-bit image, fmd's package needs it")
    return Card(issued, "cloud-init" if {"user-data", "meta-data"} <= names else "firstrun")


def _issued(target: Target) -> str:
    issue = (target.read("issue.txt") or b"").decode(errors="replace")
    found = re.search(r"Raspberry Pi reference (\d{4}-\d\d-\d\d)", issue)
    if found is None:
        first_line = issue.partition("\n")[0][:60]
        raise CardError(f"{target}: issue.txt: got {first_line!r}, expected Raspberry Pi reference YYYY-MM-DD")
    return found[1]
