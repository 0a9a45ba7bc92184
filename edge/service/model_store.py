"""Which model files are in use: beside those fmd ships, those that ``fmd model install`` put into the state directory.

    models/classifier-0123456789ab.tflite     a file, named by its task and the beginning of its hash
    models/classifier.tflite                  a link to the one in use; without it, it is the shipped one
    models/classifier.previous                a link to the one before ("shipped" where it was that)
    models/classifier.unproven                there from a switch to the first frame that went all the way through

Links are replaced by renaming, so that a power cut leaves either the old one or the new.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from edge import paths, state_file
from edge.errors import SettingsError
from edge.files import sync_folder, write_atomically
from edge.inference import bundle
from edge.inference.bundle import Bundle

log = logging.getLogger(__name__)

TASKS = ("detector", "classifier")
SHIPPED = "shipped"


class ModelStore:
    """The models of one state directory."""

    def __init__(self, state: Path | None = None) -> None:
        self.folder = (state or paths.state_folder() or paths.STATE) / "models"

    def chosen(self, task: str) -> Path | None:
        """The installed model in use; None where it is the shipped one."""
        link = self._link(task)
        try:
            return self.folder / link.readlink()
        except OSError:  # none, or not ours to read: whoever runs fmd by hand has the shipped one
            return None

    def previous(self, task: str) -> str | None:
        """Name of the file in use before, "shipped", or None where there was no switch yet."""
        try:
            return str(self._previous(task).readlink())
        except OSError:
            return None

    def add(self, data: bytes, checked: Bundle) -> Path:
        """Lay a checked model file into the store, whole on the card before it has its name."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        above = self.folder.parent.stat()
        if os.geteuid() == 0:  # the service settles what it finds here, and it is not root
            os.chown(self.folder, above.st_uid, above.st_gid)
        path = self.folder / f"{checked.contract.task}-{bundle.sha256(data)[:12]}.tflite"
        write_atomically(path, data, mode=0o644, durable=True)
        return path

    def switch(self, task: str, name: str) -> None:
        """Use the file ``name`` (or "shipped") from the next start or reload on."""
        now = self.chosen(task)
        self._point(self._previous(task), now.name if now else SHIPPED)
        self._unproven(task).touch()
        if name == SHIPPED:
            self._link(task).unlink(missing_ok=True)
        else:
            self._point(self._link(task), name)
        sync_folder(self.folder)

    def roll_back(self, task: str) -> str:
        """Use what was in use before; returns its name.

        Raises :class:`edge.errors.SettingsError` where nothing was, or it is gone.
        """
        name = self.previous(task)
        if name is None or (name != SHIPPED and not (self.folder / name).is_file()):
            raise SettingsError(f"{self.folder}: no earlier {task} to go back to; fmd model list shows what there is")
        self.switch(task, name)
        self.prove(task)
        return name

    def prove(self, task: str) -> None:
        """A frame went all the way through the model in use."""
        try:
            self._unproven(task).unlink(missing_ok=True)
        except OSError as error:  # a read-only card is no reason to leave the door unwatched
            log.warning("%s: %s", self._unproven(task), error.strerror)

    def settle(self) -> None:
        """At the start of a process: go back from a model that the process before did not get one frame through."""
        for task in TASKS:
            if self._unproven(task).exists():
                log.error("the %s installed last did not get a frame through; back to %s", task, self.roll_back(task))

    def files(self, task: str) -> list[Path]:
        """The installed files, in use or not."""
        return sorted(self.folder.glob(f"{task}-*.tflite"))

    def _link(self, task: str) -> Path:
        return self.folder / f"{task}.tflite"

    def _previous(self, task: str) -> Path:
        return self.folder / f"{task}.previous"

    def _unproven(self, task: str) -> Path:
        return self.folder / f"{task}.unproven"

    def _point(self, link: Path, target: str) -> None:
        new = link.with_name(f"{link.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(link)


class ModelsInUse(msgspec.Struct, frozen=True):
    """What a running service says of itself in its runtime directory, from its first frame on."""

    pid: int
    detector: str
    classifier: str


def write_in_use(folder: Path | None, detector: Path, classifier: Path) -> None:
    """Say which files the first frame went through."""
    if folder is None:
        return
    try:
        state_file.write_state(
            folder / "in-use.json", ModelsInUse(os.getpid(), str(detector), str(classifier)), for_all=True
        )
    except OSError as error:
        log.warning("%s: %s", folder, error.strerror)


def in_use(folder: Path) -> ModelsInUse | None:
    """What the running service says; None where none runs."""
    try:
        said = msgspec.json.decode((folder / "in-use.json").read_bytes(), type=ModelsInUse)
        os.kill(said.pid, 0)
    except PermissionError:
        return said
    except (OSError, msgspec.MsgspecError):
        return None
    return said
