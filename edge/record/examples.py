"""Pictures of faces that fmd could not judge, for a person to sort (``record.examples``), in a folder of the state.

The loop only cuts them out. The record's thread encodes and writes them, deletes those that are too old or too many,
and takes their cost from the record's daily budget.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge.config import RecordSettings
from edge.contracts import Image
from edge.files import write_atomically
from edge.inference import picture_file
from edge.record.budget import BLOCK

log = logging.getLogger(__name__)

FOLDER = "examples"
"""Name of the folder in the state directory. Only the service's user may enter it."""
UNSURE, REVISED, DRIFT = "unsure", "revised", "drift"
"""Why the pictures of a passage are kept: it ended unsure, its decision changed, or something at the camera has."""
MOST_SIDE = 224
"""Largest side of a picture, in pixels; a larger face is shrunk."""
FILE_BLOCKS = 5
"""Blocks that a new file costs besides its data, with the deletion of an old one: measured on ext4, 4.8 for a file
alone and 1.8 for each of four together."""
DAY_MS = 86_400_000
SUFFIX = ".jpg"
NAME = re.compile(r"(?P<entered>\d{13,})-\d+-(?P<reason>[a-z]+)(-[A-Za-z0-9_-]{1,32})?\.jpg")


class Example(NamedTuple):
    """Pictures of one passage, each (side, side, 3) uint8 RGB; ``entered`` is as in the row of the passage."""

    entered: int
    camera: str
    reason: str
    pictures: tuple[Image, ...]


def entered_of(name: str) -> int | None:
    """Return when the person in a picture entered, in milliseconds since 1970; None for another file."""
    match = NAME.fullmatch(name)
    return int(match["entered"]) if match else None


def cost(length: int) -> float:
    """Return the bytes that the card writes for a picture file of ``length`` bytes."""
    return BLOCK * (FILE_BLOCKS + math.ceil(length / BLOCK))


class Examples:
    """The folder, limited in number and age. Only the record's thread calls it."""

    def __init__(self, state: Path, settings: RecordSettings) -> None:
        self._folder, self._settings = state / FOLDER, settings
        self._last_warning = ""

    def write(self, example: Example, allowed: float) -> float:
        """Write pictures that together cost at most ``allowed`` bytes; return what those written cost."""
        spent = 0.0
        for number, picture in enumerate(example.pictures):
            camera = f"-{example.camera}" if example.camera else ""
            path = self._folder / f"{example.entered:013d}-{number}-{example.reason}{camera}{SUFFIX}"
            try:
                data = picture_file.encode(SUFFIX, picture)
                if spent + cost(len(data)) > allowed:
                    log.debug("left out a picture: the budget of record.mb_a_day is spent")
                    break
                spent += cost(len(data))
                self._folder.mkdir(mode=0o700, exist_ok=True)
                self._folder.chmod(0o700)
                write_atomically(path, data, mode=0o600)
            except OSError as error:
                self._warn(f"{path}: {error.strerror}; this picture is left out")
                break
            self._last_warning = ""
        return spent

    def trim(self, now_ms: int | None) -> None:
        """Delete what is too old at ``now_ms`` (None: the clock is not set), the oldest beyond the number allowed."""
        try:
            found = sorted(path for path in self._folder.iterdir())
        except OSError:
            return  # no pictures yet
        oldest = 0 if now_ms is None else now_ms - round(self._settings.examples_days * DAY_MS)
        pictures = [path for path in found if entered_of(path.name) is not None]
        surplus = set(pictures[: max(0, len(pictures) - self._settings.examples_kept)])
        for path in found:
            entered = entered_of(path.name)
            # A file that is not finished is of a process that was killed.
            if path in surplus or path.suffix == ".part" or (entered is not None and entered < oldest):
                try:
                    path.unlink()
                except OSError as error:
                    self._warn(f"{path}: cannot delete it: {error.strerror}")

    def _warn(self, warning: str) -> None:
        if warning != self._last_warning:
            self._last_warning = warning
            log.warning("%s", warning)


def pictures_of(state: Path) -> Sequence[Path]:
    """Return the pictures in a state directory, oldest first. Raises OSError if they cannot be read."""
    folder = state / FOLDER
    return sorted(p for p in folder.iterdir() if entered_of(p.name) is not None) if folder.is_dir() else []
