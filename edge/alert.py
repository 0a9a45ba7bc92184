"""Decision -> LED and buzzer. An alert is a lease: it goes off by itself unless somebody keeps renewing it.

The LED is lit while the alarm lasts; the buzzer beeps in the settings' rhythm until it has sounded for the longest
time allowed. Both are off before the first alarm, when the lease runs out, and after :meth:`Alert.close`, which the
service passes through however it ends; where it is killed outright, its unit runs ``fmd off``.
"""

from __future__ import annotations

import threading

from edge.config import AlertSettings
from edge.contracts import Output

REST_S = 5.0
"""After this long without an alarm the buzzer may sound for its longest time again; a flickering alarm gets no more."""


class Alert:
    """Drives the outputs. Calls may come from the loop and from a ticking thread at once."""

    def __init__(self, settings: AlertSettings, led: Output, buzzer: Output) -> None:
        self._settings, self._led, self._buzzer = settings, led, buzzer
        self._lock = threading.Lock()
        self._since_s = self._until_s = self._asked_s = self._now_s = float("-inf")
        self._closed = False

    def renew(self, alarm: bool, now_s: float) -> None:
        """Say whether somebody is in violation now; true keeps the alarm for another ``lease_s``."""
        with self._lock:
            self._pass(now_s)
            if not alarm:
                self._until_s = float("-inf")
            else:
                if self._now_s - self._asked_s > REST_S:
                    self._since_s = self._now_s
                self._asked_s = self._now_s
                self._until_s = self._now_s + self._settings.lease_s
            self._drive()

    def tick(self, now_s: float) -> None:
        """Let time pass: keeps the rhythm and ends a lease that nobody renewed."""
        with self._lock:
            self._pass(now_s)
            self._drive()

    def close(self) -> None:
        """Off, for good."""
        with self._lock:
            self._closed = True
            try:
                self._led.close()
            finally:
                self._buzzer.close()

    def _pass(self, now_s: float) -> None:
        # A frame's time lies behind the ticking clock's by what the step took; time here never runs back for it, or
        # the buzzer would stutter, and a lease renewed late would be shorter than promised.
        self._now_s = max(self._now_s, now_s)

    def _drive(self) -> None:
        if self._closed:
            return
        on = self._now_s < self._until_s
        try:
            self._led.set(on)
        finally:  # a lamp that fails must not leave the buzzer sounding
            self._buzzer.set(on and self._sounds(self._now_s - self._since_s))

    def _sounds(self, for_s: float) -> bool:
        settings = self._settings
        beat_s = for_s % (settings.beep_on_s + settings.beep_off_s)
        return for_s < settings.longest_s and (settings.beep_off_s == 0 or beat_s < settings.beep_on_s)
