"""Signals of the people at the door -> LED, buzzer, relay, voice and heartbeat.

An alert is a lease: it ends by itself unless frames keep renewing it. On a board that needs long for a frame the lease
is longer, within a bound: it must end when the loop hangs, not when the loop works.

LED and buzzer show each :class:`edge.contracts.Signal` in its pattern. The buzzer falls silent after
``alert.longest_s`` and sounds again for a person it has not sounded for. The heartbeat beats only while frames pass all
stages of every camera's pipeline. So a heartbeat that is dark, or lit without beating, means that fmd does not work.

All outputs are off before the first signal, after the lease ends, and after :meth:`Alert.close`. The service calls
``close`` on every exit path; if the kernel kills the service, its unit runs ``fmd off``.

An output that fails ends the run, because an alarm that cannot sound must not count as alive. An alarm that another
output gives at that moment sounds to its end first. Heartbeat and voice give no alarm: fmd continues without them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from edge.config import AlertSettings
from edge.contracts import Output, Signal
from edge.errors import ControlError, OutputError

log = logging.getLogger(__name__)

BUZZER_REST_S = 5.0
"""Time without an alarm after which the buzzer may sound for ``alert.longest_s`` again; a flickering alarm may not."""
HEARTBEAT = (0.2, 1.3)
"""Seconds lit and dark. No whole number of frames per second fits them, so that a stuck loop cannot imitate them."""
REFRESH_S = 1.0
"""Longest time between two writes to an output, changed or not: fmd must notice a lost pin before an alarm needs it."""
LEASE_FACTOR = 2.0
"""Shortest lease as a multiple of the longest recent wait between two renewals: the next step may have more faces than
any before it."""
MAX_LEASE_S = 5.0
"""Longest lease, however slow the board; systemd's watchdog waits 15 s."""
WAIT_HALF_LIFE_S = 30.0
"""Time in which the longest recent wait loses half of its weight."""
RETRY_S = 30.0
"""Time between two attempts to open an optional output."""
TEST_S = 1.0
"""How long a test switches an output on, and how long it then rests: a test must not sound like an alarm."""
MAX_REMEMBERED = 32
"""People of one long alarm that the buzzer remembers, so that it does not sound for them again."""


def lit(pattern: Sequence[float], for_s: float) -> bool:
    """Return whether a repeated pattern (seconds on, off, on ...) is on ``for_s`` after its start.

    An empty pattern is never on, a pattern of one number is always on.
    """
    if len(pattern) < 2:
        return bool(pattern)
    at_s = for_s % sum(pattern)
    for i, span_s in enumerate(pattern):
        if at_s < span_s:
            return i % 2 == 0
        at_s -= span_s
    return False


@dataclass(slots=True)
class _Lease:
    """Signal that one camera's pipeline asked for last, its end, and the end of the progress that its frames proved.

    A blind camera has a second lease: frames of a covered lens pass the pipeline as well, and their signal must neither
    end the blind pattern nor restart it.
    """

    signal: Signal = Signal.RUNNING
    until_s: float = float("-inf")
    blind_until_s: float = float("-inf")
    progress_until_s: float = float("-inf")
    renewed_s: float | None = None
    longest_wait_s: float = 0.0

    def lasts_until_s(self, now_s: float, lease_s: float) -> float:
        """Return when a lease renewed at ``now_s`` ends, and learn how long renewals take."""
        if self.renewed_s is not None:
            wait_s = min(now_s - self.renewed_s, MAX_LEASE_S)
            self.longest_wait_s = max(wait_s, self.longest_wait_s * 0.5 ** (wait_s / WAIT_HALF_LIFE_S))
        self.renewed_s = now_s
        return now_s + max(lease_s, min(LEASE_FACTOR * self.longest_wait_s, MAX_LEASE_S))

    def shown(self, now_s: float, armed: bool) -> Signal | None:
        """Return the most urgent signal leased at ``now_s``, or None."""
        leased = [(Signal.BLIND, self.blind_until_s), (self.signal if armed else Signal.DISARMED, self.until_s)]
        return max((signal for signal, until_s in leased if now_s < until_s), default=None)

    def progressing(self, now_s: float) -> bool:
        return self.blind_until_s <= now_s < self.progress_until_s


def alarms(settings: AlertSettings) -> set[str]:
    """Return the names of the outputs that give an alarm; a strike opens a door, and voice or heartbeat may fail."""
    return {"led", "buzzer"} | ({"relay"} if settings.relay != "strike" else set())


class OptionalOutput:
    """Output that fmd can do without: if it cannot be opened or fails, a warning is logged and it is tried again.

    ``open_output`` opens it and must not wait; ``clock`` returns seconds. No method raises OutputError.
    """

    def __init__(self, name: str, open_output: Callable[[], Output], clock: Callable[[], float]) -> None:
        self._name, self._open, self._clock = name, open_output, clock
        self._output: Output | None = None
        self._retry_s = float("-inf")
        self._last_error = ""
        self.set(False)

    def set(self, on: bool) -> None:
        """Switch the output, if it is open or can be opened."""
        if self._output is None and self._clock() < self._retry_s:
            return
        try:
            if self._output is None:
                self._output = self._open()
            self._output.set(on)
        except OutputError as error:
            self._lost(str(error))
        else:
            if self._last_error:
                log.info("%s works again", self._name)
            self._last_error = ""

    def close(self) -> None:
        """Switch off and close the output, if it is open, and never open it again."""
        if self._output is not None:
            with suppress(OutputError):
                self._output.close()
        self._output, self._retry_s = None, float("inf")

    def _lost(self, error: str) -> None:
        self.close()
        self._retry_s = self._clock() + RETRY_S
        # Once for each error: a missing lamp would otherwise write to the log every half minute, for years.
        if error != self._last_error:
            log.warning("%s; fmd continues without it and tries again every %g s", error, RETRY_S)
        self._last_error = error


class Alert:
    """Drives the outputs. The cameras' loops and a ticking thread may call it at the same time.

    Outputs that are not wired are None.
    """

    def __init__(
        self,
        settings: AlertSettings,
        led: Output | None,
        buzzer: Output | None,
        relay: Output | None = None,
        heartbeat: Output | None = None,
        voice: Output | None = None,
    ) -> None:
        self._settings = settings
        wired = {"led": led, "buzzer": buzzer, "relay": relay, "heartbeat": heartbeat, "voice": voice}
        self._outputs = {name: output for name, output in wired.items() if output is not None}
        self._patterns = {(name, s): _pattern(settings, name, s) for name in ("led", "buzzer") for s in Signal}
        self._armed, self._muted = True, False
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}
        self._now_s = self._open_until_s = float("-inf")
        self._driven: dict[str, bool] = {}
        self._driven_s = float("-inf")
        self._shown: Signal | None = None
        self._shown_s = 0.0
        # Two budgets, for alarms and for all else: a reminder must not use up the time of an alarm that follows it.
        self._budgets = {True: _NoiseBudget(), False: _NoiseBudget()}
        self._closed = self._fallback = self._examples = False
        self._tested, self._tested_until_s = "", float("-inf")
        self._faces_until_s = float("-inf")
        self._last_error = ""

    @property
    def armed(self) -> bool:
        """Whether people lead to signals."""
        return self._armed

    def switch(self, armed: bool, muted: bool) -> None:
        """Arm or disarm, and mute buzzer and voice or not, from the next renewal or tick on.

        Disarmed, only a blind camera is shown, and a strike opens as before. An alarm that arming finds begins then.
        """
        with self._lock:
            if armed and not self._armed:
                self._budgets = {True: _NoiseBudget(), False: _NoiseBudget()}
            self._armed, self._muted = armed, muted

    def renew(
        self, signal: Signal, now_s: float, offenders: Collection[int] = (), cleared: bool = False, camera: str = ""
    ) -> None:
        """Show the signal of one frame for another ``lease_s`` (longer if frames take long), or until the next call.

        ``offenders`` are the ids of the people the signal is for. ``cleared`` is true if a person was just cleared.
        ``camera`` distinguishes several cameras that share one alert. BLIND is shown beside the signal of the frames,
        and counts as no progress. Raises OutputError if an output fails.
        """
        with self._lock:
            self._advance(now_s)
            lease = self._leases.setdefault(camera, _Lease())
            until_s = lease.lasts_until_s(self._now_s, self._settings.lease_s)
            if signal is Signal.BLIND:
                lease.blind_until_s = until_s
            else:
                lease.signal, lease.until_s, lease.progress_until_s = signal, until_s, until_s
            if cleared:
                self._open_until_s = self._now_s + self._settings.strike_s
            if self._armed or signal is Signal.BLIND:
                self._budgets[signal.alarming].request(self._now_s, {(camera, id_) for id_ in offenders}, signal)
            self._drive()

    def set_fallback(self, fallback: bool) -> None:
        """Show ``led_fallback`` while there is no other signal: a model replaces the installed one."""
        with self._lock:
            self._fallback = fallback

    def set_examples(self, kept: bool) -> None:
        """Show ``led_examples`` while there is no other signal: pictures of unclear faces are kept."""
        with self._lock:
            self._examples = kept

    def show_faces(self, for_s: float) -> None:
        """Show ``led_faces`` for this long while there is no signal for a person: pictures show faces; 0 ends it.

        Raises ControlError if there is no LED to show it.
        """
        if for_s and not ("led" in self._outputs and self._settings.led_faces):
            raise ControlError("faces stay blurred: the door has no LED that shows it; set alert.led_pin and led_faces")
        with self._lock:
            self._faces_until_s = self._now_s + for_s

    def test(self, output: str) -> None:
        """Switch an output on for TEST_S, armed, disarmed or muted; an alarm ends that at once.

        Raises ControlError if the output is not wired, during an alarm, and right after another test.
        """
        with self._lock:
            if output not in self._outputs:
                raise ControlError(f"{output}: no such output is wired at this door; see [alert] and [voice]")
            if self._shown is not None and self._shown.alarming:
                raise ControlError("there is an alarm at the door; test the outputs when it has ended")
            if self._now_s < self._tested_until_s + TEST_S:
                raise ControlError("another test has just been done; try again in two seconds")
            # From here on the ticks drive it, and end it; the caller never waits for a pin.
            self._tested, self._tested_until_s = output, self._now_s + TEST_S

    def hold(self, now_s: float, camera: str) -> None:
        """Renew a camera's last signal while its newest frame waits for the frames of other cameras.

        A lease that has ended stays ended. Raises OutputError if an output fails.
        """
        with self._lock:
            self._advance(now_s)
            if (lease := self._leases.get(camera)) is not None:
                until_s = lease.lasts_until_s(self._now_s, self._settings.lease_s)
                if self._now_s < lease.until_s:
                    lease.until_s = lease.progress_until_s = until_s
                if self._now_s < lease.blind_until_s:
                    lease.blind_until_s = until_s
            self._drive()

    def tick(self, now_s: float) -> None:
        """Move the patterns on and end a lease that no frame renewed. Raises OutputError if an output fails."""
        with self._lock:
            self._advance(now_s)
            self._drive()

    def close(self) -> None:
        """Switch every output off for good, even if closing another one fails."""
        with self._lock, ExitStack() as stack:
            self._closed = True
            for output in self._outputs.values():
                stack.callback(output.close)

    def _advance(self, now_s: float) -> None:
        # A frame's time is behind the ticking clock by the duration of its step. Time must not run back here: the
        # buzzer would stutter, and a lease renewed late would be shorter than promised.
        self._now_s = max(self._now_s, now_s)

    def _drive(self) -> None:
        if self._closed:
            return
        if self._now_s - self._driven_s >= REFRESH_S:
            self._driven, self._driven_s = {}, self._now_s
        wanted = self._wanted()
        changed = [name for name in self._outputs if self._driven.get(name) is not wanted[name]]
        if not changed:
            return
        errors: list[OutputError] = []
        with ExitStack() as stack:  # a lamp that fails must not leave the buzzer on
            for name in changed:
                stack.callback(self._set, name, self._outputs[name], wanted[name], errors)
        if errors and not (self._is_alarming() and alarms(self._settings) & self._driven.keys()):
            raise errors[0]
        if errors and str(errors[0]) != self._last_error:
            self._last_error = str(errors[0])
            log.error("%s; the other outputs continue the alarm, then fmd exits", self._last_error)

    def _set(self, name: str, output: Output, on: bool, errors: list[OutputError]) -> None:
        self._driven.pop(name, None)  # if it fails, the next call tries it again
        try:
            output.set(on)
        except OutputError as error:
            errors.append(error)
        else:
            self._driven[name] = on

    def _is_alarming(self) -> bool:
        """Return whether an alarm is shown that has not lasted for ``longest_s`` yet."""
        alarming = self._shown is not None and self._shown.alarming
        return alarming and self._budgets[True].since(self._now_s) < self._settings.longest_s

    def _wanted(self) -> Mapping[str, bool]:
        """Return the state of every output as of now."""
        now_s, settings = self._now_s, self._settings
        shown = self._leased(self._armed)
        if shown is not self._shown:
            self._shown, self._shown_s = shown, now_s
        alarming = shown is not None and shown.alarming
        in_time = self._budgets[alarming].since(now_s) < settings.longest_s
        for_s, noisy = now_s - self._shown_s, in_time and not self._muted
        # As if it were armed: a door that stays closed for a person without a mask does not open when fmd is disarmed.
        asked = shown if self._armed else self._leased(armed=True)
        if alarming:
            self._tested = ""
        testing = self._tested if now_s < self._tested_until_s else ""
        relay = {
            "siren": alarming and in_time,
            "hold": alarming,
            "strike": asked is not None and asked < Signal.BLIND and now_s < self._open_until_s,
        }
        wanted = {
            "led": shown is not None and lit(self._led(shown), for_s),
            "buzzer": shown is not None and noisy and lit(self._patterns["buzzer", shown], for_s),
            "relay": relay[settings.relay],
            "heartbeat": self._progressing() and lit(HEARTBEAT, now_s),
            "voice": alarming and noisy,
        }
        return {**wanted, testing: True} if testing else wanted

    def _leased(self, armed: bool) -> Signal | None:
        """Return the most urgent signal of all cameras, or None if no lease lasts."""
        leased = [lease.shown(self._now_s, armed) for lease in self._leases.values()]
        return max((signal for signal in leased if signal is not None), default=None)

    def _led(self, shown: Signal) -> Sequence[float]:
        # Who passes has a right to the first two; the third is also in the log and in every state.
        if self._now_s < self._faces_until_s and shown in (Signal.RUNNING, Signal.DISARMED):
            return self._settings.led_faces
        if self._examples and shown is Signal.RUNNING:
            return self._settings.led_examples
        if self._fallback and shown is Signal.RUNNING:
            return self._settings.led_fallback
        return self._patterns["led", shown]

    def _progressing(self) -> bool:
        leases = self._leases.values()
        return bool(leases) and all(lease.progressing(self._now_s) for lease in leases)


class _NoiseBudget:
    """Time since the noise for the present people began. A new person starts it again."""

    def __init__(self) -> None:
        self._since_s = self._requested_s = float("-inf")
        self._offenders: deque[tuple[str, int]] = deque(maxlen=MAX_REMEMBERED)

    def request(self, now_s: float, offenders: Collection[tuple[str, int]], signal: Signal) -> None:
        """Note that ``signal`` is shown for ``offenders`` (camera and person); start the time again for new people."""
        if signal is Signal.RUNNING:
            return
        new = [offender for offender in offenders if offender not in self._offenders]
        if new or now_s - self._requested_s > BUZZER_REST_S:
            self._since_s = now_s
        self._offenders.extend(new)
        self._requested_s = now_s

    def since(self, now_s: float) -> float:
        """Return how long the noise lasts at ``now_s``, in seconds."""
        return now_s - self._since_s


def _pattern(settings: AlertSettings, output: str, signal: Signal) -> Sequence[float]:
    if (output, signal) == ("buzzer", Signal.DISARMED):
        return ()
    pattern: Sequence[float] = getattr(settings, f"{output}_{signal.pattern}")
    return pattern
