"""Model store: the model files that ``fmd model install`` has put into the state directory, and which are in use.

    models/classifier-0123456789ab.tflite     a model, named by its task and the beginning of its hash
    models/classifier.tflite                  link to the model in use; without it, fmd uses the shipped one
    models/classifier.previous                link to the model before ("shipped" if it was the shipped one)
    models/classifier.unproven                exists from a switch until the first frame has passed all stages

Links are replaced by renaming, so that a power cut leaves the old link or the new one.
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
from edge.paths import TASKS

log = logging.getLogger(__name__)

SHIPPED = "shipped"
IN_USE = "in-use.json"
"""State file in the runtime directory, written after the first frame."""


class ModelStore:
    """The models of one state directory (default: the service's)."""

    def __init__(self, state: Path | None = None) -> None:
        self.folder = (state or paths.state_folder() or paths.STATE) / "models"

    def chosen(self, task: str) -> Path | None:
        """Return the installed model in use, or None if the shipped one is in use."""
        link = self._link(task)
        try:
            return self.folder / link.readlink()
        except OSError:  # no link, or no permission to read it: a run by hand uses the shipped model
            return None

    def previous(self, task: str) -> str | None:
        """Return the name of the model in use before, "shipped", or None if there was no switch yet."""
        try:
            return str(self._previous(task).readlink())
        except OSError:
            return None

    def add(self, data: bytes, checked: Bundle) -> Path:
        """Put a checked model file into the store and return its path. Raises OSError."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        above = self.folder.parent.stat()
        if os.geteuid() == 0:  # the service, which is not root, changes links here
            # Not through a link: the service's user could have put one here, to be given any folder of the system.
            os.chown(self.folder, above.st_uid, above.st_gid, follow_symlinks=False)
        path = self.folder / f"{checked.contract.task}-{bundle.sha256(data)[:12]}{checked.suffix}"
        write_atomically(path, data, mode=0o644, durable=True)
        return path

    def switch(self, task: str, name: str) -> None:
        """Use the model ``name`` (or "shipped") from the next start or reload on. Raises OSError."""
        # The link back comes first: a power cut in between leaves the old model in use and a way back to it.
        now = self.chosen(task)
        self._point(self._previous(task), now.name if now else SHIPPED)
        self._unproven(task).touch()
        if name == SHIPPED:
            self._link(task).unlink(missing_ok=True)
        else:
            self._point(self._link(task), name)
        sync_folder(self.folder)

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
        self.prove(task)
        return name

    def prove(self, task: str) -> None:
        """Note that a frame has passed all stages with the model in use."""
        try:
            self._unproven(task).unlink(missing_ok=True)
        except OSError as error:  # a read-only card must not stop the watch
            log.warning("%s: %s", self._unproven(task), error.strerror)

    def settle(self) -> None:
        """Go back from models with which the previous process did not finish a single frame; call it at the start."""
        for task in TASKS:
            if self._unproven(task).exists():
                log.error("the newly installed %s did not finish a frame; back to %s", task, self.roll_back(task))

    def files(self, task: str) -> list[Path]:
        """Return the installed files, in use or not."""
        found = (path for path in self.folder.glob(f"{task}-*") if path.suffix in bundle.SUFFIXES)
        return sorted(found)

    def _link(self, task: str) -> Path:
        return self.folder / f"{task}.tflite"

    def _previous(self, task: str) -> Path:
        return self.folder / f"{task}.previous"

    def _unproven(self, task: str) -> Path:
        return self.folder / f"{task}.unproven"

    def _point(self, link: Path, target: str) -> None:
        # A link cannot be replaced in place; renaming a new one over it is atomic.
        new = link.with_name(f"{link.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(link)


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
