"""What a backup holds, and writing it."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

import msgspec

from edge import config, migrate, overlay, paths, toml
from edge.backup import settings, snapshot
from edge.backup.archive import FORMAT, MODELS, OVERLAY, RECORD, SETTINGS, Manifest, Part, Writer
from edge.errors import BackupError, SettingsError
from edge.files import read_regular, sync_folder
from edge.inference.bundle import MAX_FILE
from edge.paths import TASKS
from edge.record import database
from edge.service.model_store import SHIPPED, ModelStore
from edge.version import version

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where the parts of one door are: its settings file (None: it has none), and its state directory."""

    base: Path | None
    state: Path

    @property
    def store(self) -> ModelStore:
        """The model store beside the state directory."""
        return ModelStore(self.state)


def write(
    target: BinaryIO, places: Places, parts: Collection[Part], secrets: bool, now: datetime | None = None
) -> Manifest:
    """Write a backup to ``target``, and return what it holds.

    ``secrets`` includes passwords, addresses that may hold one, and the files that hold some. Raises FmdError and
    OSError.
    """
    writer = Writer(target)
    try:
        left_out = _add_parts(writer, places, parts, secrets)
        manifest = Manifest(
            format=FORMAT,
            version=version()[:100],
            door=_door(places),
            made_at=(now or datetime.now(timezone.utc)).isoformat(timespec="seconds"),
            secrets=secrets,
            left_out=left_out,
            entries=(),
        )
        return writer.close(manifest)
    except BaseException:
        writer.discard()
        raise


def _add_parts(writer: Writer, places: Places, parts: Collection[Part], secrets: bool) -> tuple[str, ...]:
    """Add all parts; return the settings that are left out."""
    left_out: tuple[str, ...] = ()
    if "settings" in parts and places.base is not None:
        left_out = _add_settings(writer, places.base, places.state, secrets)
    if "models" in parts:
        _add_models(writer, places.store)
    if "record" in parts and (places.state / database.NAME).is_file():
        with snapshot.taken(places.state) as record:
            writer.copy(RECORD, record)
    return left_out


def write_file(path: Path, places: Places, parts: Collection[Part], secrets: bool) -> Manifest:
    """Write a backup to ``path``, which only this user can read, and replace an earlier one as a whole.

    Raises BackupError if there is nothing to keep; FmdError and OSError. ``path`` then stays as it was.
    """
    with _replacing(path) as file:
        manifest = write(file, places, parts, secrets)
        if not manifest.entries:
            raise BackupError(f"{path}: there is nothing to back up; name a settings file with --config, or --state")
    return manifest


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes ``path`` at the end of the block, if that does not raise."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        # x: in a folder that others can write to, a link must not lead root to another file.
        with unfinished.open("x+b") as file:
            os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _give_to_caller(file)
        unfinished.replace(path)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(unfinished)):  # of a full disk it names none
            error.filename = str(path)
        raise
    sync_folder(path.parent)


def _give_to_caller(file: BinaryIO) -> None:
    """Give a file of root to the user who typed sudo, so that they can copy it elsewhere."""
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if paths.is_root() and user.isdigit() and group.isdigit():
        os.fchown(file.fileno(), int(user), int(group))


def _add_settings(writer: Writer, base: Path, state: Path, secrets: bool) -> tuple[str, ...]:
    """Add the settings file, what it names, and the overlay; return the settings that are left out."""
    found = settings.gathered(base, secrets)
    writer.add(SETTINGS, found.text.encode())
    for name, content in found.files.items():
        writer.add(settings.entry_of(name), content)
    for key in found.elsewhere:
        log.warning("%s names a file in another folder, which is not part of the backup", key)
    layers = config.read(base, state=state)
    if layers.problem:
        log.warning("changed settings are not part of the backup: %s", layers.problem)
    elif layers.over:
        writer.add(OVERLAY, toml.written({"version": migrate.VERSION, **config.nested(layers.over)}).encode())
    return found.left_out


def _add_models(writer: Writer, store: ModelStore) -> None:
    """Add the installed models in use and before, and the choice between them."""
    for task in TASKS:
        choice, problem = store.read(task)
        if problem:
            raise BackupError(f"{problem}; repair it with fmd model install, or leave it out with --only")
        names = [name for name in dict.fromkeys((choice.current, choice.previous)) if store.is_name(name, task)]
        if not names and choice.current == SHIPPED:
            continue
        writer.add(f"{MODELS}{task}.json", msgspec.json.encode(choice))
        for name in names:
            try:
                writer.add(MODELS + name, read_regular(store.folder / name, MAX_FILE))
            except FileNotFoundError as error:
                if name == choice.current:
                    raise BackupError(f"{store.folder / name}: missing, although it is in use") from error


def _door(places: Places) -> str:
    try:
        return config.door_name(config.read(places.base, state=places.state).settings.publish)
    except SettingsError:  # a backup of the record alone needs no settings
        return config.door_name(config.read().settings.publish)


def overlay_values(content: bytes) -> dict[str, object]:
    """Return the settings of an overlay in a backup by key. Raises SettingsError."""
    where = "the backup's overlay"
    values = toml.parsed(toml.decoded(content, where), where)
    values.pop(overlay.BASE, None)
    return config.flat(migrate.migrated(values, where), where)
