"""Model store: the model files that were installed on this board, and which of them to use.

    classifier-0123456789ab.tflite    a model, named by its task and the beginning of its SHA-256
    classifier.json                   the models in use and before; without it, fmd uses the shipped one
    shadow-run.json                   request of a shadow run
    incoming/, results/               see :mod:`edge.service.model_installer`

The store of a board belongs to root and lies outside of the service's state directory. The service's user could
otherwise exchange a model, or lead root to another folder with a link. :mod:`edge.service.model_choice` records how a
model did, in folders of the service.

A file appears and changes only by renaming, so that a power cut leaves the old one or the new one.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import uuid
from pathlib import Path
from typing import NamedTuple

import msgspec

from edge import paths, state_file
from edge.errors import SettingsError
from edge.files import make_folder, read_regular, sync_folder, write_atomically
from edge.inference.bundle import ONNX_SUFFIX, TFLITE_SUFFIX, is_tflite

log = logging.getLogger(__name__)

SHIPPED = "shipped"
IN_USE = "in-use.json"
"""State file in the runtime directory, written after the first frame."""
NAME = re.compile(r"(classifier|detector)-[0-9a-f]{12}\.(tflite|onnx)")
MAX_CHOICE = 4096
"""Bytes of the largest file that states a choice."""
KEPT = 5
"""Installed files of a task that are kept, the newest; the models in use and before stay in any case."""


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Models of one task: file names in the store, or "shipped". ``previous`` is empty if there was no switch yet.

    Every switch has its own ``switch``, so that a model that failed can be installed and tried again. ``proven`` is
    true for models that an earlier version of fmd has used.
    """

    current: str = SHIPPED
    previous: str = ""
    switch: str = ""
    proven: bool = False


class Chosen(NamedTuple):
    """A choice, and why it is not the one that was stored (empty if it is)."""

    choice: Choice
    problem: str = ""


class ModelStore:
    """The models beside one state directory (default: the service's)."""

    def __init__(self, state: Path | None = None) -> None:
        self.folder = paths.model_folder(state)

    def read(self, task: str) -> Chosen:
        """Return the stored choice, or the shipped model if none is stored or it cannot be read. It raises nothing."""
        file = self._choice(task)
        try:
            choice = msgspec.json.decode(read_regular(file, MAX_CHOICE), type=Choice)
        except FileNotFoundError:
            # A store that ever had a model has a choice as well.
            return Chosen(Choice(), f"{file}: missing, although models are installed" if self.files(task) else "")
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            return Chosen(Choice(), f"{file}: {said}")
        for name in (choice.current, choice.previous):
            if name not in (SHIPPED, "") and not self.is_name(name, task):
                return Chosen(Choice(), f"{file}: names {name!r}, expected a {task} of this folder")
        return Chosen(choice)

    def is_name(self, name: str, task: str) -> bool:
        """Return whether ``name`` is that of an installed file for ``task``."""
        match = NAME.fullmatch(name)
        return match is not None and match[1] == task

    def chosen(self, task: str) -> Path | None:
        """Return the installed model to use, or None for the shipped one."""
        current = self.read(task).choice.current
        return None if current == SHIPPED else self.folder / current

    def previous(self, task: str) -> str | None:
        """Return the name of the model in use before, "shipped", or None if there was no switch yet."""
        return self.read(task).choice.previous or None

    def files(self, task: str) -> list[Path]:
        """Return the installed files, in use or not."""
        return sorted(path for path in self.folder.glob(f"{task}-*") if self.is_name(path.name, task))

    def create(self) -> None:
        """Create the folder. Raises SettingsError where another user could exchange what root puts there."""
        make_folder(self.folder, 0o755)
        check_own(self.folder)

    def add(self, data: bytes, task: str, sha256: str) -> Path:
        """Put a checked model file into the store and return its path. Raises OSError and SettingsError."""
        self.create()
        if not self._choice(task).exists():
            self.store(task, Choice())
        suffix = TFLITE_SUFFIX if is_tflite(data) else ONNX_SUFFIX
        path = self.folder / f"{task}-{sha256[:12]}{suffix}"
        write_atomically(path, data, mode=0o644, durable=True)
        return path

    def switch(self, task: str, name: str) -> Choice:
        """Use the model ``name`` (or "shipped") from the next start or reload on. Raises OSError and SettingsError."""
        before = self.read(task).choice
        previous = before.previous if before.current == name else before.current
        return self.store(task, Choice(name, previous, uuid.uuid4().hex))

    def store(self, task: str, choice: Choice) -> Choice:
        """Store a choice. Raises OSError and SettingsError."""
        self.create()
        write_atomically(self._choice(task), msgspec.json.encode(choice), mode=0o644, durable=True)
        return choice

    def roll_back(self, task: str) -> str:
        """Use the model that was in use before and return its name.

        Raises :class:`edge.errors.SettingsError` if there was none, or its file is missing.
        """
        name = self.previous(task)
        if name is None or (name != SHIPPED and not (self.folder / name).is_file()):
            raise SettingsError(
                f"{self.folder}: no earlier {task} to go back to; fmd model list shows the installed models"
            )
        self.switch(task, name)
        return name

    def prune(self, task: str) -> None:
        """Delete the oldest files that are no longer used. Raises OSError."""
        choice = self.read(task).choice
        newest = sorted(self.files(task), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in newest[KEPT:]:
            if path.name not in (choice.current, choice.previous):
                path.unlink(missing_ok=True)
        sync_folder(self.folder)

    def _choice(self, task: str) -> Path:
        return self.folder / f"{task}.json"


def check_own(folder: Path) -> None:
    """Raise SettingsError unless only this user and root can exchange ``folder``, or a folder above it.

    Otherwise root would write where that other user leads it to.
    """
    if not paths.is_root():
        return
    for each in (folder, *folder.absolute().parents):
        about = each.lstat()
        shared = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not about.st_mode & stat.S_ISVTX
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != 0 or shared:
            raise SettingsError(
                f"{folder}: user {about.st_uid} can exchange {each}, and root writes only where no other user can; "
                "choose a --state of which root owns all folders"
            )


class ModelsInUse(msgspec.Struct, frozen=True):
    """Process and model files of a running service, written to its runtime directory after the first frame."""

    pid: int
    detector: str
    classifier: str


def write_in_use(folder: Path | None, detector: Path, classifier: Path) -> None:
    """Write which model files the first frame has passed."""
    if folder is None:
        return
    try:
        state_file.write_state(folder / IN_USE, ModelsInUse(os.getpid(), str(detector), str(classifier)), for_all=True)
    except OSError as error:
        log.warning("%s: %s", folder, error.strerror)


def in_use(folder: Path) -> ModelsInUse | None:
    """Return what the running service has written, or None if none runs."""
    found = state_file.read_state(folder / IN_USE, ModelsInUse)
    return found if found and state_file.is_running(found.pid) else None
