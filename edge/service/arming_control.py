"""Keeps a door's arming: takes commands, reads the contact, follows the clock, saves the state, drives the alert.

Requests come from the control socket and from publishers, in their threads; a thread of its own reads the contact and
moves the time on. A lock protects the state, and nothing waits for a disk while it holds that lock. The alert follows
at once; the loop reports the change to its listeners between two frames.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from edge import board, drivers, state_file
from edge.config import ArmSettings, Settings
from edge.contracts import Input
from edge.control import ArmingRequest, ArmRequest, DisarmRequest
from edge.errors import ControlError, FmdError
from edge.files import write_atomically
from edge.messages import ArmingMessage, arming_in_words
from edge.service.arming import Arming, Moment, SavedArming
from edge.stages.alert import Alert
from edge.weekly import Weekly, zone_of

log = logging.getLogger(__name__)

NAME = "arming.json"
"""State file in the state directory."""
CLOCK_KNOWN = "clock-known"
"""File in the runtime directory: a previous process of this boot found the clock synchronised."""
POLL_S, CONTACT_POLL_S = 0.5, 0.02
"""How often the time moves on, and how often a contact is read."""
STEADY_S = 0.05
"""How long a contact must be steady: it bounces for some milliseconds, and the shortest press takes longer."""
RETRY_S = 30.0
"""Interval between two tries to open a contact that failed."""
CLOCK_S = 10.0
"""Interval between two checks whether the clock is synchronised, until it is."""

MAX_MESSAGES, MESSAGES_S = 20, 60.0
"""Most commands by message in that time: each is written to the card, and a broker may send thousands."""
DECODER: msgspec.json.Decoder[ArmingRequest] = msgspec.json.Decoder(ArmingRequest)

Note = Callable[[str, msgspec.Struct], None]
"""Records an event: (kind, content)."""


class BoardClock:
    """Whether the board's clock can be trusted: not before it was set from the network, and always after that.

    Without a network a clock that was set loses seconds a day, and a schedule has minutes.
    """

    def __init__(
        self,
        folder: Path | None,
        check: Callable[[], bool] = board.is_clock_synchronized,
        quick_check: Callable[[], bool] = lambda: board.is_clock_synchronized(ask=None),
        trusted: bool = False,
    ) -> None:
        """``folder`` is the runtime directory, which is empty after a boot. ``trusted`` makes the check needless."""
        self._file, self._check, self.trusted = folder / CLOCK_KNOWN if folder else None, check, trusted
        self._known = (self._file is not None and self._file.exists()) or quick_check()

    @property
    def known(self) -> bool:
        """Whether the time of day is known."""
        return self._known or self.trusted

    def check(self) -> bool:
        """Check it again, which may take seconds; return whether it is known."""
        if not self.known and self._check():
            self._known = True
            log.info("the clock is synchronised")
            if self._file is not None:
                try:
                    self._file.touch()
                except OSError as error:
                    log.warning("%s: %s; a restart checks the clock again", self._file, error.strerror)
        return self.known

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Check in a thread, until it is known."""
        done = threading.Event()

        def work() -> None:
            while not self.check() and not done.wait(CLOCK_S):
                pass

        threading.Thread(target=work, name="clock", daemon=True).start()
        try:
            yield
        finally:
            done.set()


class Contact:
    """A debounced contact. Without a pin, or while the pin cannot be read, there is no position."""

    def __init__(self, open_input: Callable[[], Input]) -> None:
        self._open = open_input
        self._input: Input | None = None
        self._retry_s = float("-inf")
        self._trouble = ""
        self._level: bool | None = None
        self._since_s = 0.0
        self._position: bool | None = None

    def position(self, now_s: float) -> bool | None:
        """Return whether it is closed, as soon as it has been steady; None before the first time."""
        if self._input is None and now_s < self._retry_s:
            return self._position
        try:
            self._input = self._input or self._open()
            level = self._input.closed()
        except FmdError as error:
            self._failed(str(error), now_s)
            return self._position
        self._trouble = ""
        if level is not self._level:
            self._level, self._since_s = level, now_s
        if now_s - self._since_s >= STEADY_S:
            self._position = level
        return self._position

    def close(self) -> None:
        """Release the pin."""
        if self._input is not None:
            with suppress(FmdError):  # its line is gone
                self._input.close()
        self._input, self._retry_s = None, float("inf")

    def _failed(self, trouble: str, now_s: float) -> None:
        self.close()
        self._level, self._retry_s = None, now_s + RETRY_S
        # Once for each error, not twice a minute for years.
        if trouble != self._trouble:
            log.warning("%s; fmd continues without it and tries again every %g s", trouble, RETRY_S)
        self._trouble = trouble


class ArmingControl:
    """The arming of one door, for every thread. ``file`` keeps it over a restart; None keeps nothing.

    ``note`` records events. ``clock`` is monotonic, ``wall`` gives seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        board_clock: BoardClock,
        file: Path | None = None,
        note: Note = lambda kind, content: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        boot: str | None = None,
    ) -> None:
        self._clock, self._wall, self.board_clock, self._note = clock, wall, board_clock, note
        self._file = file
        saved = state_file.read_state(file, SavedArming) if file else None
        self._settings = settings.arm
        board_clock.trusted = settings.arm.trust_clock
        self._arming = Arming(_schedule(settings.arm), boot or board.boot_id(), saved)
        self._lock, self._saving = threading.RLock(), threading.Lock()
        self._kept = self._arming.saved
        self.alert: Alert | None = None
        """The alert of the present run, None before the first."""
        self._messages: deque[float] = deque(maxlen=MAX_MESSAGES)
        self._contact = _contact(settings)
        self._pressed: bool | None = None
        self.message = ArmingMessage(armed=True, source="default")
        self._reported: ArmingMessage | None = None
        with self._lock:
            self._apply(self._moment())

    def follow(self, settings: Settings) -> None:
        """Use these settings from now on."""
        with self._lock:
            if settings.arm != self._settings:
                self.board_clock.trusted = settings.arm.trust_clock
                self._arming.follow(_schedule(settings.arm), self._moment())
                self._settings = settings.arm
            if self._contact is not None:
                self._contact.close()
            self._contact, self._pressed = _contact(settings), None
            self._apply(self._moment())
        self._save()

    def attach(self, alert: Alert) -> None:
        """Drive this alert from now on; it is the one of the present run."""
        with self._lock:
            self.alert = alert
            alert.switch(self.message.armed, bool(self.message.muted_until))

    def request(self, request: ArmingRequest, source: str, by: str = "") -> ArmingMessage:
        """Carry out a request and return the state that it leads to. Raises ControlError if it cannot be."""
        with self._lock:
            moment = self._moment()
            self._arming.request(request, source, by, moment)
            self._apply(moment)
            message = self.message
        self._save()
        return message

    def command(self, content: bytes, source: str) -> str:
        """Carry out a request that came as a message; return why not, or an empty string.

        ``content`` is ARM, DISARM, or a request in JSON as in :mod:`edge.control`, such as
        ``{"kind": "disarm", "for_s": 7200}``.
        """
        with self._lock:
            now_s = self._clock()
            if len(self._messages) == MAX_MESSAGES and now_s - self._messages[0] < MESSAGES_S:
                return f"more than {MAX_MESSAGES} commands in {MESSAGES_S:g} s"
            self._messages.append(now_s)
        plain: dict[bytes, ArmingRequest] = {b"ARM": ArmRequest(), b"DISARM": DisarmRequest()}
        try:
            request = plain.get(content.strip().upper()) or DECODER.decode(content)
            self.request(request, source)
        except (msgspec.MsgspecError, RecursionError) as error:
            return f"expected ARM, DISARM or a request in JSON ({error})"
        except ControlError as error:
            return str(error)
        return ""

    def tick(self) -> None:
        """Move the time on and read the contact."""
        with self._lock:
            moment = self._moment()
            self._read_contact(moment)
            self._apply(moment)
        self._save()

    def take(self) -> ArmingMessage | None:
        """Return the state if it has changed since the last call, for the loop's listeners; None if not."""
        with self._lock:
            if self.message == self._reported:
                return None
            self._reported = self.message
            return self.message

    @contextmanager
    def working(self) -> Iterator[None]:
        """Tick in a thread of its own."""
        done = threading.Event()

        def work() -> None:
            while not done.wait(CONTACT_POLL_S if self._contact else POLL_S):
                try:
                    self.tick()
                except Exception:  # a bug here must not leave a door disarmed for ever
                    log.exception("arming")

        thread = threading.Thread(target=work, name="arming", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            with self._lock:
                if self._contact is not None:
                    self._contact.close()

    def _moment(self) -> Moment:
        return Moment(self._clock(), self._wall(), self.board_clock.known)

    def _read_contact(self, moment: Moment) -> None:
        kind, closed = self._settings.contact, self._contact.position(moment.now_s) if self._contact else None
        # The position of a key is a state, which survives a restart; that of a button is not.
        before = self._arming.saved.contact if kind == "key" else self._pressed
        if closed is None or closed is before:
            return
        if kind == "key":
            self._arming.note_contact(closed)
            # An open key switch at the first start ever changes nothing: nobody has turned it.
            disarm, counts = closed, closed or before is not None
        else:
            self._pressed = closed
            # A button that is found pressed at the start was not pressed now.
            disarm, counts = self.message.armed, closed and before is not None
        if counts:
            self._arming.request(DisarmRequest() if disarm else ArmRequest(), "pin", kind, moment)

    def _apply(self, moment: Moment) -> None:
        before, self.message = self.message, self._arming.update(moment)
        now = self.message
        if now == before:
            return
        if self.alert is not None:
            self.alert.switch(now.armed, bool(now.muted_until))
        kind = "mute" if msgspec.structs.replace(now, muted_until=before.muted_until) == before else "arming"
        log.info("%s", arming_in_words(now))
        self._note(kind, now)

    def _save(self) -> None:
        """Write the state if it has changed; a power cut must not bring an earlier one back."""
        with self._saving:
            saved = self._arming.saved
            if self._file is None or saved == self._kept:
                return
            self._kept = saved
            try:
                write_atomically(self._file, msgspec.json.encode(saved), durable=True)
            except OSError as error:
                now = arming_in_words(self.message)
                log.warning("%s: %s; a restart will not know this: %s", self._file, error.strerror, now)


def _schedule(settings: ArmSettings) -> Weekly:
    return Weekly(settings.schedule, zone_of(settings.time_zone))


def _contact(settings: Settings) -> Contact | None:
    return Contact(lambda: drivers.open_input(settings)) if settings.arm.pin != "" else None
