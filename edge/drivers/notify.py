"""Notifications to people through Apprise: webhooks, mail, Telegram and a hundred more services, one per URL.

Apprise waits for the network: four seconds to connect and four to read, unless the URL says otherwise. Only the thread
of the outbox waits with it.
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
from edge.config import NotifySettings, Settings, door_name
from edge.contracts import ENDS, CameraState, ConfiguredPublisher, Message, MessageKind, Outcome, Signal
from edge.control import Commander
from edge.drivers.library import import_library, pip_extra
from edge.drivers.secret_file import read_secret
from edge.errors import PublishError, SettingsError
from edge.messages import ReportMessage

log = logging.getLogger(__name__)

MAX_ANSWER = 1 << 20
"""Longest answer that is read, bytes; fmd needs none of it."""
ANSWER_S = 20.0
"""Longest time that a server has for its whole answer; the limits of Apprise hold for each part of it."""
CHUNK = 1 << 14
EVENTS = {
    "violation": "warning",
    "reminder": "info",
    "compliant": "success",
    "unsure": "info",
    "blind": "failure",
    "recovered": "success",
}
"""Values of ``notify.on``, and Apprise's type of notification for each."""


def configured(
    settings: Settings, runtime: Path | None, command: Commander | None = None
) -> Iterator[ConfiguredPublisher]:
    """Yield one publisher per URL of the section ``[notify]``; ``runtime`` holds their state files.

    Raises SettingsError if ``notify.urls_file`` cannot be read.
    """
    del command  # a notification is one-way
    notify, name = settings.notify, door_name(settings.publish)
    for number, url in enumerate(urls_of(notify), 1):
        history = runtime / f"notify-{number}.json" if runtime else None
        opened = partial(ApprisePublisher, notify, url, name, file=history)
        yield ConfiguredPublisher(f"{url.partition(':')[0]} {number}", (url, notify.on, notify.every_s, name), opened)


class History(msgspec.Struct):
    """Notifications already sent to one URL: ``at_s`` by event, on the clock that all processes of one boot share."""

    where: str
    at_s: dict[str, float] = {}
    blind: set[str] = set()
    """Cameras whose last notification said that they are blind."""


class ApprisePublisher:
    """Publisher for one URL: sends each event of ``notify.on`` at most every ``every_s``, and each blindness once.

    ``file`` holds the history across restarts: fmd restarts repeatedly while a camera is away, and the next process
    must not repeat a notification.
    """

    kinds = frozenset({MessageKind.DECISION, MessageKind.HEALTH, MessageKind.REPORT})

    def __init__(
        self,
        settings: NotifySettings,
        url: str,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        file: Path | None = None,
    ) -> None:
        self._library = import_library("apprise", "notify.urls", pip_extra("notify"))
        _bound_answers(import_library("requests", "notify.urls", pip_extra("notify")))
        self._settings, self._name, self._clock = settings, name, clock
        reasons: list[str] = []
        with _CapturedLog(reasons):
            self._service = self._library.Apprise.instantiate(url, suppress_exceptions=True)
        if not self._service:
            # The scheme only, as the rest holds passwords; Apprise's own messages mask them.
            raise SettingsError(
                f"notify.urls: Apprise does not understand the URL {url.partition(':')[0]}://... ({'; '.join(reasons)})"
            )
        self._file, self._history = file, _read_history(file, self.where)
        self._omitted = Counter[str]()

    @property
    def where(self) -> str:
        """Return the URL without its secrets."""
        return str(self._service.url(privacy=True))

    def open(self) -> None:
        """Do nothing: every message opens a connection of its own."""

    def send(self, message: Message) -> None:
        """Send a notification if the settings ask for it and it is new. Raises PublishError if the service fails."""
        if isinstance(message.content, ReportMessage):
            # Asked for by report.weekly, so whatever notify.on says.
            page = self._in_memory(message.content.page.encode(), "report.html", "text/html")
            self._notify(message.content.text, message.content.title, "info", page)
            return
        event = event_of(message)
        if not self._is_new(event, message.camera):
            return
        if event not in self._settings.on:
            self._record(event, message.camera)
            return
        if self._is_too_soon(event):
            self._omitted[event] += 1
            # A blindness that comes too soon stays new, so that a later message reports it.
            if event == "recovered":
                self._record(event, message.camera)
            return
        self._notify(self._sentence(event, message), f"fmd {self._name}", EVENTS[event], self._attachment(message))
        self._history.at_s[event] = self._clock()
        del self._omitted[event]
        self._record(event, message.camera)

    def close(self) -> None:
        """Do nothing: no connection is open."""

    def _notify(self, body: str, title: str, kind: str, attachment: Any) -> None:
        reasons: list[str] = []
        with _CapturedLog(reasons):
            accepted = self._service.notify(body=body, title=title, notify_type=kind, attach=attachment)
        if not accepted:
            raise PublishError(reasons[-1] if reasons else "the service refused the message")

    def _is_new(self, event: str, camera: str) -> bool:
        """Return whether an event changes anything: a blind camera is blind once, and only then can it recover."""
        return event not in ("blind", "recovered") or (camera in self._history.blind) == (event == "recovered")

    def _is_too_soon(self, event: str) -> bool:
        return self._clock() - self._history.at_s.get(event, float("-inf")) < self._settings.every_s

    def _record(self, event: str, camera: str) -> None:
        if event == "blind":
            self._history.blind.add(camera)
        if event == "recovered":
            self._history.blind.discard(camera)
        if self._file is None:
            return
        try:
            state_file.write_state(self._file, self._history)
        except OSError as error:
            log.warning("%s: %s; after a restart fmd may repeat notifications", self._file, error.strerror)

    def _sentence(self, event: str, message: Message) -> str:
        values = message.values
        # Local time, because people read it.
        at = time.strftime("%H:%M:%S", time.localtime(message.at))
        unclear = values.get("outcome") == Outcome.UNSURE.value
        alarm = "the alarm is on for a person who could not be judged"
        sentence = {
            "violation": alarm if unclear else f"a person without a proper mask ({values.get('label')})",
            "reminder": "a person with a badly worn mask",
            "compliant": "a person with a mask",
            "unsure": "a person could not be judged",
            "blind": f"the camera is blind: {values.get('reason')}",
            "recovered": "the camera works again",
        }[event]
        camera = f" at {message.camera}" if message.camera else ""
        more = f" ({self._omitted[event]} more since the last message)" if self._omitted[event] else ""
        return f"{at}{camera}: {sentence}{more}"

    def _attachment(self, message: Message) -> Any:
        if message.picture is None:
            return None
        return self._in_memory(message.picture(), "door.jpg", "image/jpeg")

    @staticmethod
    def _in_memory(content: bytes, name: str, mimetype: str) -> Any:
        memory = importlib.import_module("apprise.attachment.memory")
        return memory.AttachMemory(content=content, name=name, mimetype=mimetype)


def _read_history(file: Path | None, where: str) -> History:
    """Return the history that the previous process left, or an empty one if it was of another URL."""
    history = state_file.read_state(file, History) if file else None
    return history if history and history.where == where else History(where)


def event_of(message: Message) -> str:
    """Return the key of EVENTS that a message belongs to, or an empty string."""
    values = message.values
    if message.kind is MessageKind.HEALTH:
        return {CameraState.STREAMING.value: "recovered", CameraState.STARTING.value: ""}.get(
            str(values["state"]), "blind"
        )
    if values["change"] in {change.value for change in ENDS}:
        return ""
    signal = Signal[str(values["signal"]).upper()]
    if signal.alarming:  # also for an unsure outcome, with decide.on_unsure = "alarm"
        return "violation"
    return "reminder" if signal is Signal.REMINDER else str(values["outcome"])


def urls_of(settings: NotifySettings) -> Iterator[str]:
    """Yield the URLs of the settings, then those of the file (one per line, # begins a comment).

    Raises SettingsError for a file without one.
    """
    yield from settings.urls
    if not settings.urls_file:
        return
    lines = read_secret("notify.urls_file", settings.urls_file).splitlines()
    urls = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not urls:
        raise SettingsError(f"notify.urls_file: {settings.urls_file}: names no URL, expected one per line")
    yield from urls


def _bound_answers(requests: Any, clock: Callable[[], float] = time.monotonic) -> None:
    """Limit every answer that requests reads in this process, by size and time: Apprise reads them whole.

    requests has no such limit, and Apprise uses its functions without a session. So the method that makes each answer
    is replaced, once.
    """
    adapter = requests.adapters.HTTPAdapter
    if hasattr(adapter.build_response, "bounded"):
        return
    build = adapter.build_response

    def build_response(self: Any, request: Any, answer: Any) -> Any:
        built, began_s = build(self, request, answer), clock()
        read = built.iter_content

        def iter_content(chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
            size = 0
            # Small steps, as an answer may also expand while it is decompressed.
            for chunk in read(CHUNK if chunk_size is None else min(chunk_size, CHUNK), decode_unicode):
                size += len(chunk)
                if size > MAX_ANSWER or clock() - began_s > ANSWER_S:
                    built.close()
                    raise requests.exceptions.ConnectionError(
                        f"the answer is longer than {MAX_ANSWER >> 20} MB or late"
                    )
                yield chunk

        built.iter_content = iter_content
        return built

    build_response.bounded = True  # type: ignore[attr-defined]
    adapter.build_response = build_response


class _CapturedLog(logging.Handler):
    """Collects what Apprise logs while it sends: it gives reasons nowhere else, and fmd decides what is logged."""

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
