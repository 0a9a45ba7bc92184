"""For how long pictures show faces: at most ten minutes, shown at the door by the LED, and recorded.

Faces are personal data. The owner's setting ``page.show_faces`` allows it, and a request on the page begins it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import msgspec

from edge.config import Settings
from edge.errors import ControlError
from edge.page_service.live import utc
from edge.reporting.listener import Listener
from edge.service.arming_control import Note
from edge.stages.alert import Alert

log = logging.getLogger(__name__)


class FacesEvent(msgspec.Struct, frozen=True):
    """Content of the event that pictures on the page show faces until a time, empty for no longer."""

    by: str
    until: str


class Faces(Listener):
    """Whether pictures show faces now. ``alert`` returns that of the present run."""

    def __init__(
        self, alert: Callable[[], Alert | None], note: Note, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._alert, self._note, self._clock, self._wall = alert, note, clock, wall
        self._lock = threading.Lock()
        self._allowed, self._until_s, self._until, self._by = False, float("-inf"), "", ""

    @property
    def shown(self) -> bool:
        """Whether a picture may show faces at this moment."""
        return self._allowed and self._clock() < self._until_s

    @property
    def until(self) -> str:
        """Until when, ISO 8601 in UTC; empty while faces are blurred."""
        return self._until if self.shown else ""

    def show(self, for_s: float, by: str) -> None:
        """Show faces for ``for_s`` seconds, 0 ends it. Raises ControlError if the settings do not allow it."""
        if not self._allowed and for_s:
            raise ControlError(
                "faces stay blurred, as page.show_faces is false; to allow it, set page.show_faces = true in "
                "/etc/fmd/fmd.toml"
            )
        with self._lock:
            self._set(for_s, by)

    def _set(self, for_s: float, by: str) -> None:
        """Change it, at the door first."""
        if not for_s and not self.shown:
            return
        self._sign(for_s)
        self._until_s, self._by = self._clock() + for_s, by
        self._until = utc(self._wall() + for_s) if for_s else ""
        log.info("%s on the page: %s", "faces are shown" if for_s else "faces are blurred again", by or "nobody named")
        self._note("faces", FacesEvent(by, self._until))

    def _sign(self, for_s: float) -> None:
        if (alert := self._alert()) is not None:
            alert.show_faces(for_s)

    def on_settings(self, settings: Settings) -> None:
        """Go on over a reload, whose outputs are new ones, unless the new settings do not allow it."""
        with self._lock:
            if self.shown and not settings.page.show_faces:
                self._set(0.0, "page.show_faces = false")
            self._allowed = settings.page.show_faces
            if self.shown:
                try:
                    self._sign(self._until_s - self._clock())
                except ControlError as error:  # the new settings have no LED
                    self._until_s = float("-inf")
                    log.warning("%s", error)
                    self._note("faces", FacesEvent(self._by, ""))
