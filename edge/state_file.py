"""State files: small JSON files exchanged between processes, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from edge.files import read_regular, write_atomically

State = TypeVar("State", bound=msgspec.Struct)
MAX_STATE = 1 << 20
"""Bytes of the largest state file; reading a larger one fails."""


def write_state(file: Path, state: msgspec.Struct, for_all: bool = False, durable: bool = False) -> None:
    """Write ``state`` as JSON and replace ``file`` with it; ``for_all`` makes it readable to every user.

    ``durable`` waits until the card has it.

    Raises OSError.
    """
    write_atomically(file, msgspec.json.encode(state), mode=0o644 if for_all else None, durable=durable)


def read_state(file: Path, kind: type[State]) -> State | None:
    """Return the state in ``file``, or None if it is missing or holds no state of this ``kind``."""
    try:
        return msgspec.json.decode(read_regular(file, MAX_STATE), type=kind)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def is_running(pid: int) -> bool:
    """Return whether the process that wrote ``pid`` into a state file still runs; the state of an ended one is old."""
    # 0 and negative numbers name groups of processes, which kill(2) would find.
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # as another user
    except (OSError, OverflowError):  # a damaged file may hold any number
        return False
    return True
