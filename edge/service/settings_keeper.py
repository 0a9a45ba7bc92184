"""The settings of a run over reloads, and what becomes of an overlay that does not work.

An overlay is written by a request, while nobody may be at the door to repair it. So the newest one with which a frame
has passed all stages is kept as a copy. One that is damaged, that no longer fits the settings file, or with which a run
cannot begin, is set aside; fmd returns to that copy, or to the settings file alone, and reports it. A settings file
with an error is not affected: it refuses a reload, as ever.

A process may also die with a new overlay, by the watchdog or with the power. A copy, removed as soon as the overlay is
proven, shows that to the next process, which does not try it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from edge import overlay, paths
from edge.config import Layers, Settings
from edge.errors import FmdError, SettingsError

log = logging.getLogger(__name__)

Read = Callable[[str | None], Layers]
"""Reads all layers, with the overlay of this name (None: without)."""


class Keeper(Protocol):
    """Follows what becomes of the settings of a run."""

    def proven(self) -> None:
        """A frame has passed all stages with the newest settings."""

    def refused(self, error: FmdError) -> None:
        """The newest settings cannot be used; fmd goes on with the previous ones."""


class NoKeeper:
    """Keeper of settings without an overlay."""

    def proven(self) -> None:
        """See :class:`Keeper`."""

    def refused(self, error: FmdError) -> None:
        """See :class:`Keeper`."""


class SettingsKeeper:
    """Reads the settings, and is the Keeper of their overlay. ``refusal`` says why the newest one was refused.

    ``note`` records a refusal; until :meth:`attach` gives it, refusals wait.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._note: Callable[[str], None] | None = None
        self._waiting: list[str] = []
        self.refusal = ""
        self.layers = self._usable()
        file = self._file(self.layers)
        if file is not None and overlay.is_tried(file):
            self._report("the process that began with them died before a frame had passed all stages")
            if self._do(overlay.revert, file):
                self.layers = self._usable()
        self._note_tried()

    def attach(self, note: Callable[[str], None]) -> None:
        """Give every refusal, past ones included, to ``note``."""
        self._note = note
        for refusal in self._waiting:
            note(refusal)
        self._waiting.clear()

    def read(self) -> Settings:
        """Return the settings as they are now. Raises SettingsError for an error in the settings file."""
        self.layers = self._usable()
        self._note_tried()
        return self.layers.settings

    def close(self) -> None:
        """Note that the process ends in order."""
        if (file := self._file(self.layers)) is not None:
            self._do(overlay.forget_tried, file)

    def fallback(self) -> Settings | None:
        """Return the settings of the proven overlay, or of the file alone, if the present overlay is not proven.

        None if it is.
        """
        file = self._file(self.layers)
        if file is None or overlay.is_proven(file):
            return None
        return self._read(overlay.PROVEN).settings

    def proven(self) -> None:
        """Keep a copy of the overlay; the next start may rely on it."""
        if (file := self._file(self.layers)) is not None:
            self._do(overlay.note_proven, file)

    def refused(self, error: FmdError) -> None:
        """Set the overlay aside, if it is not a proven one: then the fault is elsewhere."""
        file = self._file(self.layers)
        if file is not None and not overlay.is_proven(file):
            self._report(str(error))
            if self._do(overlay.revert, file):
                with suppress(SettingsError):  # the file itself has an error; what runs is of an earlier one
                    self.layers = self._usable()

    def _note_tried(self) -> None:
        file = self._file(self.layers)
        if file is not None and not overlay.is_proven(file):
            self._do(overlay.note_tried, file)

    def _usable(self) -> Layers:
        """Read all layers; set aside an overlay that cannot be used. Raises SettingsError."""
        layers = self._read(overlay.NAME)
        # Twice at most: the newest overlay, and then the proven one, may not fit the settings file.
        for _ in range(2):
            file = self._file(layers)
            if not layers.problem:
                break
            self._report(layers.problem)
            if file is None or not self._do(overlay.revert, file):
                break
            layers = self._read(overlay.NAME)
        return layers

    def _file(self, layers: Layers) -> Path | None:
        """Return where the overlay of this process is; None without a state directory of its own."""
        if layers.base is None or paths.state_folder() is None:
            return None
        file = overlay.file_of(layers.base)
        is_of_another = file is not None and layers.overlay is None and not layers.problem and file.exists()
        return None if is_of_another else file

    def _report(self, why: str) -> None:
        self.refusal = why
        log.error("changed settings are not used: %s", why)
        self._waiting.append(why) if self._note is None else self._note(why)

    def _do(self, act: Callable[[Path], None], file: Path) -> bool:
        """Return whether a change of files worked: the door is watched with a full or read-only card as well."""
        try:
            act(file)
        except OSError as error:
            log.warning("%s: %s", error.filename or file, error.strerror)
            return False
        return True
