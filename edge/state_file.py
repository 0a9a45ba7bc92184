"""Word that one process leaves for another: a small file, there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

Word = TypeVar("Word", bound=msgspec.Struct)


def leave(file: Path, word: msgspec.Struct, for_all: bool = False) -> None:
    """Write ``word`` as JSON, in place of what was there; ``for_all`` to read. Raises OSError."""
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(msgspec.json.encode(word))
    if for_all:
        unfinished.chmod(0o644)
    unfinished.replace(file)


def found(file: Path, kind: type[Word]) -> Word | None:
    """What was left there; None where nothing was, or nothing of this ``kind``."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
