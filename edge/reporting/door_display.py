"""The display at the door: green "thank you", red "please wear a mask", neutral otherwise, dark while no one is there.

It never shows a picture of anyone. The listener only notes what a step led to; a thread of its own draws and writes. A
screen that is missing or fails is reported once and tried again; the door is watched all the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from edge import drivers
from edge.config import DisplaySettings, Settings
from edge.contracts import ENDS, Delivery, Health, Outcome, Screen, Signal, Step
from edge.errors import FmdError
from edge.reporting.listener import Listener

log = logging.getLogger(__name__)

RETRY_S = 60.0
"""Time after which a screen that failed is tried again, seconds."""
STALE_S = 5.0
"""Time without a step after which the display goes dark: it must not say anything that nobody has seen."""

POLL_S = 0.5
"""Interval at which a sign that ends by time alone is noticed, seconds."""

OpenScreen = Callable[[DisplaySettings], Screen]
Sign = tuple[str, str]
"""What is shown: kind (thanks, please, remind, waiting; empty for dark) and text."""
DARK: Sign = ("", "")


class SignState:
    """What the display shows, from what the steps of all cameras led to. Pure: the caller passes the time."""

    def __init__(self, settings: DisplaySettings) -> None:
        self._settings = settings
        self._signals: dict[str, Signal] = {}
        self._thanks_until_s = self._present_s = self._step_s = float("-inf")

    def add(self, step: Step, now_s: float) -> None:
        """Note a step."""
        self._signals[step.camera], self._step_s = step.signal, now_s
        if step.tracks:
            self._present_s = now_s
        if any(d.change not in ENDS and d.passage.outcome is Outcome.COMPLIANT for d in step.decisions):
            self._thanks_until_s = now_s + self._settings.show_s

    def lose(self, camera: str) -> None:
        """Note that a camera gives no pictures."""
        self._signals.pop(camera, None)

    def sign(self, now_s: float) -> Sign:
        """Return what to show at ``now_s``."""
        settings, signal = self._settings, max(self._signals.values(), default=Signal.RUNNING)
        if now_s - self._step_s > STALE_S:
            return DARK
        if signal.alarming:
            return "please", settings.please
        if Signal.REMINDER in self._signals.values():
            return "remind", settings.please
        if now_s < self._thanks_until_s:
            return "thanks", settings.thanks
        if settings.blank_s and now_s - self._present_s > settings.blank_s:
            return DARK
        return "waiting", settings.waiting


class DoorDisplay(Listener):
    """Shows :class:`SignState` on the screen that the settings name, as a context. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float], open_screen: OpenScreen = drivers.open_screen) -> None:
        self._clock, self._open = clock, open_screen
        self._changed = threading.Condition()
        self._settings: DisplaySettings | None = None
        self._state: SignState | None = None
        self._next: Sign = DARK
        self._done = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> DoorDisplay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        with self._changed:
            self._done = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(2.0)

    def on_settings(self, settings: Settings) -> None:
        """Show on the screen of these settings from now on."""
        with self._changed:
            self._settings, self._state = settings.display, SignState(settings.display)
            self._changed.notify()
            if settings.display.device and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="display", daemon=True)
                self._thread.start()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Note what the step led to; wake the thread only if the sign changes."""
        if self._thread is None or self._state is None:
            return
        with self._changed:
            now_s = self._clock()
            self._state.add(step, now_s)
            if self._state.sign(now_s) != self._next:
                self._changed.notify()

    def on_health(self, health: Health) -> None:
        """A blind camera says nothing about anyone."""
        if health.blind and self._state is not None:
            with self._changed:
                self._state.lose(health.camera)
                self._changed.notify()

    def _work(self) -> None:
        """Show what changes until the end. The screen is opened again after a failure, and for other settings."""
        screen: Screen | None = None
        opened: DisplaySettings | None = None
        shown: Sign | None = None
        retry_s, last_error = float("-inf"), ""
        while (wanted := self._wait(shown if screen else None)) is not None:
            settings, sign = wanted
            try:
                if opened != settings and screen is not None:
                    screen.close()
                    screen, retry_s = None, float("-inf")
                if screen is None and settings.device and self._clock() >= retry_s:
                    retry_s = self._clock() + RETRY_S
                    screen, opened, shown = self._open(settings), settings, None
                if screen is not None and sign != shown:
                    screen.show(*sign)
                    shown, last_error = sign, ""
            except FmdError as error:
                if str(error) != last_error:
                    log.warning("%s; the door is watched without the display", error)
                    last_error = str(error)
                if screen is not None:
                    screen.close()
                    screen = None
        if screen is not None:
            screen.close()

    def _wait(self, shown: Sign | None) -> tuple[DisplaySettings, Sign] | None:
        """Wait up to half a second for another sign than ``shown``; return settings and sign, None at the end."""
        with self._changed:
            # Also without a screen: then it is tried again later.
            if not self._done and shown in (None, self._sign()):
                self._changed.wait(POLL_S)
            self._next = self._sign()
            return None if self._done or self._settings is None else (self._settings, self._next)

    def _sign(self) -> Sign:
        return DARK if self._state is None else self._state.sign(self._clock())
