"""Settings on the page: what there is, changes through the overlay, export and import.

A change is validated first, then written, then put into use by a reload. Its answer is that of the run: applied once a
frame has passed all stages with it. Otherwise the run goes on as before, and the overlay is the previous one again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as NoAnswerError
from typing import Any

import msgspec

from edge import config, overlay, settings
from edge.config import Layers, Origin
from edge.control import DoneReply, ReloadRequest
from edge.errors import ControlError
from edge.page_messages import (
    ChangeReply,
    ChangeRequest,
    ExportRequest,
    FileReply,
    ImportRequest,
    SettingsReply,
    SettingsRequest,
    SettingView,
)
from edge.page_service.limits import Limit
from edge.page_service.uploads import Uploads
from edge.service.arming_control import Note
from edge.service.reloads import Reloads
from edge.settings import Access, Outcome, Setting

log = logging.getLogger(__name__)

RELOAD_S = 45.0
"""Longest wait for the first frame after a reload: a slow board loads both models twice."""
EXPORTED = "fmd-settings.toml"
ACCESS: Mapping[Access, str] = {
    "editable": "edit",
    "needs_confirmation": "confirm",
    "read_only": "read",
    "secret": "secret",
}
ORIGIN: Mapping[Origin, str] = {"default": "default", "file": "file", "overlay": "page", "command line": "command"}
"""Words of :mod:`edge.settings` -> those of :class:`edge.page_messages.SettingView`."""
UNCONFIRMED = "a wrong value here leaves the door without alarms, or shows more of people; confirm the change"
NO_PICTURE = "no picture has come since; see the state of the camera"
NO_FILE = "fmd runs without a settings file (--config), so there is nothing that changes could lie over"


class SettingsEvent(msgspec.Struct, frozen=True):
    """Content of the event that settings were changed on the page: which keys, and who, as role and address."""

    changed: str
    who: str


class Changes:
    """Answers about settings; all but :meth:`listed` may take as long as a reload."""

    def __init__(self, reloads: Reloads, uploads: Uploads, note: Note, limit: Limit) -> None:
        self._reloads, self._uploads, self._note, self._limit = reloads, uploads, note, limit

    @property
    def _layers(self) -> Layers:
        return self._reloads.keeper.layers

    def listed(self, request: SettingsRequest) -> SettingsReply:
        """Return every setting."""
        return SettingsReply(settings=tuple(map(_view, settings.listed(self._layers))))

    def reload(self, request: ReloadRequest) -> DoneReply:
        """Read the settings file again. Raises ControlError with the reason if the run refuses it."""
        self._reloads.check()
        try:
            refused = self._reloads.ask().result(RELOAD_S)
        except NoAnswerError:
            raise ControlError(NO_PICTURE) from None
        if refused:
            raise ControlError(f"fmd goes on as before, as it cannot use the settings: {refused}")
        return DoneReply()

    def exported(self, request: ExportRequest) -> FileReply:
        """Return what differs from the defaults, without secrets and paths."""
        content = settings.exported(self._layers).encode()
        return FileReply(name=EXPORTED, content=content, size=len(content))

    def change(self, request: ChangeRequest) -> ChangeReply:
        """Change settings, and return what the run says."""
        given = request.changes.items()
        values = {key: None if text is None else settings.value_of(key, text) for key, text in given}
        confirmed = values if request.confirmed else ()
        return self._apply(lambda layers: settings.changed(layers, values, confirmed), request.who)

    def imported(self, request: ImportRequest) -> ChangeReply:
        """Replace all changed settings by an uploaded file, and return what the run says."""
        content = self._uploads.take("settings", request.name)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise ControlError(f"{request.name}: not a text file in UTF-8; export the settings again") from None
        confirmed = settings.NEEDS_CONFIRMATION if request.confirmed else ()
        return self._apply(lambda layers: settings.imported(layers, text, confirmed), request.who)

    def _apply(self, change: Callable[[Layers], Outcome], who: str) -> ChangeReply:
        layers = self._layers
        if layers.base is None:
            raise ControlError(NO_FILE)
        outcome = change(layers)
        if not outcome.is_accepted:
            errors = {**dict.fromkeys(outcome.unconfirmed, UNCONFIRMED), **outcome.errors}
            return ChangeReply(applied=False, words="Nothing was changed.", errors=errors)
        keys = ", ".join(sorted(_differing(layers.over, outcome.over)))
        if not keys:
            return ChangeReply(applied=True, words="Nothing differs from the settings in use.", errors={})
        self._reloads.check()
        self._limit.count()
        try:
            overlay.write(layers.base, config.nested(dict(outcome.over)))
        except OSError as error:
            raise ControlError(f"{error.filename or layers.base}: {error.strerror}; nothing was changed") from error
        log.info("web page: %s changes %s", who or "nobody named", keys)
        self._note("settings", SettingsEvent(keys, who))
        return self._in_use(self._reloads.ask().result, keys)

    def _in_use(self, wait: Callable[[float], str], keys: str) -> ChangeReply:
        try:
            refused = wait(RELOAD_S)
        except NoAnswerError:
            return ChangeReply(applied=False, words=f"The change is saved, but {NO_PICTURE}.", errors={})
        if refused:
            words = "fmd cannot run with this change, and goes on as before."
            return ChangeReply(applied=False, words=words, errors={"": refused})
        return ChangeReply(applied=True, words=f"In use: {keys}.", errors={})


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {key for key in {*before, *after} if before.get(key) != after.get(key)}


def _view(setting: Setting) -> SettingView:
    """Return a setting as the page shows it. A secret is "set" or "not set", whatever its value."""
    secret = setting.access == "secret"
    return SettingView(
        key=setting.key,
        section=setting.section,
        comment=setting.comment,
        value=str(setting.value) if secret else settings.text_of(setting.value),
        default=str(setting.default) if secret else settings.text_of(setting.default),
        origin=ORIGIN[setting.origin],
        kind=setting.kind,
        access=ACCESS[setting.access],
        choices=tuple(map(settings.text_of, setting.choices)),
    )
