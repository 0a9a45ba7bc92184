"""Reloads with an answer: anyone who asks a run to read its settings again learns what became of them.

A run notes a reload between two frames, checks the new settings, and only their first frame shows that they work. Until
then the answer is open.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

from edge.config import Settings
from edge.errors import FmdError
from edge.service.settings_keeper import SettingsKeeper
from edge.service.signals import RunControl


class Reloads:
    """A :class:`edge.service.settings_keeper.Keeper` that passes all on to ``keeper``, and answers those who asked.

    ``control`` is that of the run.
    """

    def __init__(self, keeper: SettingsKeeper, control: RunControl) -> None:
        self.keeper, self._control = keeper, control
        self._lock = threading.Lock()
        self._asked: list[Future[str]] = []
        self._begun: list[Future[str]] = []

    def ask(self) -> Future[str]:
        """Ask for a reload. The result is why the settings were refused, or empty once a frame has passed with them.

        Raises ControlError if this run does not read its settings again.
        """
        answer: Future[str] = Future()
        with self._lock:
            self._control.hang_up()
            self._asked.append(answer)
        return answer

    def check(self) -> None:
        """Raise ControlError if this run does not read its settings again."""
        self._control.check_rereads()

    def read(self) -> Settings:
        """Read the settings again, for a reload that begins now. Raises SettingsError."""
        with self._lock:
            # Those who ask from now on want the settings that come after these.
            self._begun += self._asked
            self._asked = []
        return self.keeper.read()

    def proven(self) -> None:
        """A frame has passed all stages with the newest settings."""
        self.keeper.proven()
        self._answer("")

    def refused(self, error: FmdError) -> None:
        """The newest settings cannot be used; fmd goes on with the previous ones."""
        self.keeper.refused(error)
        self._answer(str(error))

    def _answer(self, why: str) -> None:
        with self._lock:
            answered, self._begun = self._begun, []
        for each in answered:
            each.set_result(why)
