"""Doors made of files, and backups of them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge import config, overlay
from edge.backup import archive, sources
from edge.backup.sources import Places
from edge.errors import BundleError
from edge.paths import TASKS
from edge.record import database
from edge.service.model_proof import Replayed
from edge.service.model_store import Choice
from tests.edge.record.parts import Clock, passage

MODELS = {task: b"\x1c\0\0\0TFL3" + task.encode() * 50 for task in TASKS}
LOGIN = "s3cret99"
SETTINGS = f"""\
# my door, old password: {LOGIN}
version = 5
[camera]
source = "rtsp://me:{LOGIN}@cam/1"
[watch]
still_s = 0.4
[mqtt]
host = "broker"
username = "me"
password_file = "mqtt-password"
[display]
font = "door.ttf"
"""


def name_of(task: str) -> str:
    return f"{task}-{hashlib.sha256(MODELS[task]).hexdigest()[:12]}.tflite"


def model_check(data: bytes, path: Path) -> Replayed:
    """Stands for the check in a child process: it accepts the models of these tests."""
    for task in TASKS:
        if data == MODELS[task]:
            return Replayed(0.0, "stub 1", task, ())  # type: ignore[arg-type]
    raise BundleError(f"{path}: damaged")


class Door:
    """A settings file with everything beside it, a state directory with a record, and a model store."""

    def __init__(self, folder: Path) -> None:
        (folder / "etc").mkdir(parents=True)
        (folder / "state").mkdir()
        self.folder, self.base, self.state = folder, folder / "etc" / "fmd.toml", folder / "state"
        self.places = Places(self.base, self.state)

    def fill(self, passages: int = 3) -> Door:
        """Put everything there that a backup can hold."""
        self.base.write_text(SETTINGS)
        (self.base.parent / "mqtt-password").write_text(LOGIN)
        (self.base.parent / "door.ttf").write_bytes(b"a font")
        self.change({"watch.gate": False})
        for task, data in MODELS.items():
            path = self.places.store.add(data, task, hashlib.sha256(data).hexdigest())
            self.places.store.store(task, Choice(path.name, "shipped", "a switch", proven=True))
        self.record(passages)
        return self

    def change(self, values: Mapping[str, Any]) -> None:
        file = self.state / overlay.NAME
        file.write_bytes(overlay.text_of(self.base, config.nested(values)))
        file.chmod(0o600)

    def record(self, passages: int) -> None:
        record = Clock().record(self.state, mb_a_day=1000)
        for number in range(1, passages + 1):
            record.add_passage(passage(number))
        record.close()

    @property
    def passages(self) -> int:
        with database.reading(self.state) as connection:
            return int(connection.execute("SELECT count(*) FROM passages").fetchone()[0])

    def backup(self, *parts: Any, secrets: bool = True) -> bytes:
        file = io.BytesIO()
        sources.write(file, self.places, parts or archive.PARTS, secrets)
        return file.getvalue()

    @property
    def content(self) -> dict[str, bytes]:
        """Every file of the door, to see that nothing has changed."""
        found = {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        return {name: content for name, content in found.items() if not name.endswith(("-shm", "-wal"))}


def changed(backup: bytes, entries: Callable[[dict[str, bytes]], object], **manifest: Any) -> bytes:
    """Return a backup whose entries and manifest a stranger has changed, with hashes that are right again."""
    with zipfile.ZipFile(io.BytesIO(backup)) as before:
        content = {name: before.read(name) for name in before.namelist()}
    about = {**json.loads(content.pop(archive.MANIFEST)), **manifest}
    entries(content)
    listed = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in content.items()
    ]
    about.setdefault("entries", listed)
    about["entries"] = manifest.get("entries", listed)
    return zipped({**content, archive.MANIFEST: msgspec.json.encode(about)})


def zipped(content: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, data in content.items():
            made.writestr(name, data)
    return file.getvalue()
