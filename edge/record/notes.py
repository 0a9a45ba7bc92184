"""Small values that the record keeps over restarts: what has drifted, and which reports were sent."""

from __future__ import annotations

import sqlite3
from typing import TypeVar

import msgspec

DRIFT, DRIFT_STATE, DRIFT_MODELS, VIEWS = "drift", "drift-state", "drift-models", "views"
"""Names of the findings, of what the detector has learned, of the models that it learned with, and of the views."""
ACCEPT_MS = 14 * 86_400_000
"""After this time a change is the new usual: the camera was moved on purpose, or nobody minds."""
Value = TypeVar("Value")


class Finding(msgspec.Struct, frozen=True):
    """Something that has changed at one camera.

    ``of_camera`` is true if the camera or the light changed, false if people's behaviour did. ``since`` is
    milliseconds since 1970, ``message`` is for the operator.
    """

    camera: str
    signal: str
    of_camera: bool
    since: int
    message: str


def read(connection: sqlite3.Connection, name: str, kind: type[Value]) -> Value | None:
    """Return the value under ``name``, None if there is none or one of an earlier shape."""
    row = connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
    try:
        return None if row is None else msgspec.json.decode(row[0], type=kind)
    except msgspec.MsgspecError:
        return None


def write(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Store ``value`` under ``name``, as JSON."""
    connection.execute("INSERT OR REPLACE INTO notes VALUES(?, ?)", (name, msgspec.json.encode(value)))


def findings(connection: sqlite3.Connection) -> list[Finding]:
    """Return what the drift detector has found and not withdrawn."""
    return read(connection, DRIFT, list[Finding]) or []
