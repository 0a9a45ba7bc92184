"""Short sentences to people through Apprise: webhooks, mail, Telegram and a hundred more, one URL each.

Apprise waits for the network, four seconds to connect and four to read unless its URL says otherwise; only the
outbox's thread waits with it.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edge import state_file
from edge.config import NotifySettings, Settings
from edge.contracts import ConfiguredPublisher, Message, MessageKind, Outcome, Signal
from edge.drivers.library import import_library, pip_extra
from edge.drivers.secret_file import read_secret
from edge.errors import PublishError, SettingsError

log = logging.getLogger(__name__)

EVENTS = {
    "violation": "warning",
    "reminder": "info",
    "compliant": "success",
    "unsure": "info",
    "blind": "failure",
    "recovered": "success",
}
"""What may be told, and Apprise's type for it."""


def configured(settings: Settings, runtime: Path | None) -> Iterator[ConfiguredPublisher]:
    """Yield one publisher per URL of the section ``[notify]``; ``runtime`` holds their state files.

    Raises SettingsError if ``notify.urls_file`` cannot be read.
    """
    notify, name = settings.notify, settings.publish.name
    for number, url in enumerate(urls_of(notify), 1):
        memory = runtime / f"notify-{number}.json" if runtime else None
        opened = partial(ApprisePublisher, notify, url, name, memory=memory)
        yield ConfiguredPublisher(f"{url.partition(':')[0]} {number}", (url, notify.on, notify.every_s, name), opened)


class Told(msgspec.Struct):
    """What one URL was told: ``at_s`` by event, on the clock that all processes of one boot share."""

    where: str
    at_s: dict[str, float] = {}
    blind: set[str] = set()
    """Cameras last told to be blind."""


class ApprisePublisher:
    """One URL. Tells what ``notify.on`` names, each no more often than ``every_s``, and of a blindness once.

    ``memory`` is a file that outlasts the process: one started anew, for a camera that stays away, says nothing twice.
    """

    kinds = frozenset({MessageKind.DECISION, MessageKind.HEALTH})

    def __init__(
        self,
        settings: NotifySettings,
        url: str,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        memory: Path | None = None,
    ) -> None:
        self._library = import_library("apprise", "notify.urls", pip_extra("notify"))
        self._settings, self._name, self._clock = settings, name, clock
        reasons: list[str] = []
        with _Listening(reasons):
            self._service = self._library.Apprise.instantiate(url, suppress_exceptions=True)
        if not self._service:
            # No more of it than this, the rest holds passwords; Apprise's own words have them starred out.
            raise SettingsError(
                f"notify.urls: Apprise makes nothing of the URL {url.partition(':')[0]}://... ({'; '.join(reasons)})"
            )
        self._memory, self._told = memory, _told_before(memory, self.where)
        self._left_out = Counter[str]()

    @property
    def where(self) -> str:
        """The URL without what is secret in it."""
        return str(self._service.url(privacy=True))

    def open(self) -> None:
        """Nothing to hold open: every message is a connection of its own."""

    def send(self, message: Message) -> None:
        """Raises PublishError where the service did not take it."""
        event = event_of(message)
        if not self._is_news(event, message.camera):
            return
        if event not in self._settings.on:
            self._remember(event, message.camera)
            return
        if self._too_soon(event):
            self._left_out[event] += 1
            if event == "recovered":
                self._remember(event, message.camera)
            return
        reasons: list[str] = []
        with _Listening(reasons):
            taken = self._service.notify(
                body=self._sentence(event, message),
                title=f"fmd {self._name}",
                notify_type=EVENTS[event],
                attach=self._attachment(message),
            )
        if not taken:
            raise PublishError(reasons[-1] if reasons else "the message was not taken")
        self._told.at_s[event] = self._clock()
        del self._left_out[event]
        self._remember(event, message.camera)

    def close(self) -> None:
        """Nothing to close."""

    def _is_news(self, event: str, camera: str) -> bool:
        """A camera is blind once, however often it is found to be, and sees again only after that."""
        return event not in ("blind", "recovered") or (camera in self._told.blind) == (event == "recovered")

    def _too_soon(self, event: str) -> bool:
        return self._clock() - self._told.at_s.get(event, float("-inf")) < self._settings.every_s

    def _remember(self, event: str, camera: str) -> None:
        if event == "blind":
            self._told.blind.add(camera)
        if event == "recovered":
            self._told.blind.discard(camera)
        if self._memory is None:
            return
        try:
            state_file.write_state(self._memory, self._told)
        except OSError as error:
            log.warning("%s: %s; after a restart some may be told again", self._memory, error.strerror)

    def _sentence(self, event: str, message: Message) -> str:
        values = message.values
        at = time.strftime("%H:%M:%S", time.localtime(message.at))
        unclear = values.get("outcome") == Outcome.UNSURE.value
        alarm = "the alarm is on for somebody who could not be judged"
        said = {
            "violation": alarm if unclear else f"somebody without a proper mask ({values.get('label')})",
            "reminder": "somebody with a mask worn badly",
            "compliant": "somebody with a mask",
            "unsure": "somebody could not be judged",
            "blind": f"the camera is blind: {values.get('reason')}",
            "recovered": "the camera sees again",
        }[event]
        camera = f" at {message.camera}" if message.camera else ""
        more = f" ({self._left_out[event]} more since the last message)" if self._left_out[event] else ""
        return f"{at}{camera}: {said}{more}"

    def _attachment(self, message: Message) -> Any:
        if message.picture is None:
            return None
        memory = importlib.import_module("apprise.attachment.memory")
        return memory.AttachMemory(content=message.picture(), name="door.jpg", mimetype="image/jpeg")


def _told_before(memory: Path | None, where: str) -> Told:
    """By the process before this one; nothing where that told somebody else."""
    told = state_file.read_state(memory, Told) if memory else None
    return told if told and told.where == where else Told(where)


def event_of(message: Message) -> str:
    """Which of EVENTS a message is; empty where it is none."""
    values = message.values
    if message.kind is MessageKind.HEALTH:
        return {"streaming": "recovered", "starting": ""}.get(str(values["state"]), "blind")
    if values["change"] == "left":
        return ""
    signal = Signal[str(values["signal"]).upper()]
    if signal.alarming:  # with decide.on_unsure = "alarm" somebody unclear as well
        return "violation"
    return "reminder" if signal is Signal.REMINDER else str(values["outcome"])


def urls_of(settings: NotifySettings) -> Iterator[str]:
    """Those of the settings, then those of the file: one a line, # begins a comment."""
    yield from settings.urls
    if not settings.urls_file:
        return
    lines = read_secret("notify.urls_file", settings.urls_file).splitlines()
    yield from (line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


class _Listening(logging.Handler):
    """What Apprise logs while it tries: it gives reasons nowhere else, and they must not go to the journal unasked."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(logging.INFO)
        self._reasons, self._log = reasons, logging.getLogger("apprise")

    def emit(self, record: logging.LogRecord) -> None:
        self._reasons.append(record.getMessage())

    def __enter__(self) -> None:
        self._log.addHandler(self)
        self._log.propagate = False

    def __exit__(self, *error: object) -> None:
        self._log.removeHandler(self)
