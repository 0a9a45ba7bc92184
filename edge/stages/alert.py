"""What is held of the people at the door -> LED, buzzer, relay, voice and heartbeat.

An alert is a lease: it goes off by itself unless somebody keeps renewing it. On a machine that takes long for a frame
the lease is longer, within a bound: it is to end where the loop hangs, not where it works. LED and buzzer show each
:class:`edge.contracts.Signal` in its pattern; the buzzer falls silent after the longest time allowed, and sounds anew
for a person it has not sounded for. The heartbeat beats only while frames go all the way through every camera's
pipeline, so that dark (and lit without beating) means broken. All outputs are off before the first signal, when the
lease runs out, and after :meth:`Alert.close`, which the service passes through however it ends; where it is killed
outright, its unit runs ``fmd off``.

An output that fails ends the run, as an alarm that cannot fire must not count as alive; but an alarm that is being
given by another sounds first. Heartbeat and voice are no alarm: watching goes on without them.
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
from edge.errors import OutputError

log = logging.getLogger(__name__)

REST_S = 5.0
"""After this long without an alarm the buzzer may sound for its longest time again; a flickering alarm gets no more."""
HEARTBEAT = (0.2, 1.3)
"""Seconds lit and dark. No whole number of frames a second makes a stuck loop look like it."""
REFRESH_S = 1.0
"""Every output is driven at least this often, changed or not: a pin that is gone must be noticed before an alarm."""
ROOM = 2.0
"""A lease is at least this many times as long as the longest wait between two renewals lately: a step may have more
faces in it than any before."""
LONGEST_LEASE_S = 5.0
"""However slow the machine, a lease grows no longer than this; systemd's watchdog waits 15 s."""
HALF_LIFE_S = 30.0
"""The longest wait counts half as much after this."""
AGAIN_S = 30.0
"""An output that watching does without is tried again this often."""
MAX_HEARD = 32
"""People of one long alarm that the buzzer remembers having sounded for."""


def lit(pattern: Sequence[float], for_s: float) -> bool:
    """Whether a pattern (seconds on, off, on ... over again) is on ``for_s`` after it began.

    An empty pattern is never on, one of a single number always.
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
    """What one camera's pipeline last asked for, until when, and when a frame last went all the way through it.

    Blindness has a lease of its own: the frames of a covered lens go through the pipeline as well, and what they say
    must neither end it nor begin its pattern anew.
    """

    signal: Signal = Signal.RUNNING
    until_s: float = float("-inf")
    blind_until_s: float = float("-inf")
    progress_until_s: float = float("-inf")
    renewed_s: float | None = None
    longest_wait_s: float = 0.0

    def lasts_until_s(self, now_s: float, lease_s: float) -> float:
        """When what is said now ends, unless it is said again before."""
        if self.renewed_s is not None:
            wait_s = min(now_s - self.renewed_s, LONGEST_LEASE_S)
            self.longest_wait_s = max(wait_s, self.longest_wait_s * 0.5 ** (wait_s / HALF_LIFE_S))
        self.renewed_s = now_s
        return now_s + max(lease_s, min(ROOM * self.longest_wait_s, LONGEST_LEASE_S))

    def shown(self, now_s: float) -> Signal | None:
        """The worst of what is leased now; None where nothing is."""
        leased = [(Signal.BLIND, self.blind_until_s), (self.signal, self.until_s)]
        return max((signal for signal, until_s in leased if now_s < until_s), default=None)

    def progressing(self, now_s: float) -> bool:
        return self.blind_until_s <= now_s < self.progress_until_s


def alarms(settings: AlertSettings) -> set[str]:
    """The outputs that give an alarm; a strike opens a door, and a voice or heartbeat may fail."""
    return {"led", "buzzer"} | ({"relay"} if settings.relay != "strike" else set())


class OptionalOutput:
    """An output that watching does without: where it cannot be had, or fails, that is told, and it is tried again.

    ``open_output`` is called for that, and must not wait; ``clock`` gives seconds. Nothing here raises OutputError.
    """

    def __init__(self, name: str, open_output: Callable[[], Output], clock: Callable[[], float]) -> None:
        self._name, self._open, self._clock = name, open_output, clock
        self._output: Output | None = None
        self._again_s = float("-inf")
        self._trouble = ""
        self.set(False)

    def set(self, on: bool) -> None:
        """Switch, if it is there."""
        if self._output is None and self._clock() < self._again_s:
            return
        try:
            if self._output is None:
                self._output = self._open()
            self._output.set(on)
        except OutputError as error:
            self._lost(str(error))
        else:
            if self._trouble:
                log.info("%s works again", self._name)
            self._trouble = ""

    def close(self) -> None:
        """Switch off, if it is there."""
        if self._output is not None:
            with suppress(OutputError):
                self._output.close()
        self._output, self._again_s = None, float("inf")

    def _lost(self, trouble: str) -> None:
        self.close()
        self._again_s = self._clock() + AGAIN_S
        if trouble != self._trouble:
            log.warning("%s; watching goes on without it, and tries it again", trouble)
        self._trouble = trouble


class Alert:
    """Drives the outputs. Calls may come from the cameras' loops and from a ticking thread at once.

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
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}
        self._now_s = self._open_until_s = float("-inf")
        self._driven: dict[str, bool] = {}
        self._driven_s = float("-inf")
        self._shown: Signal | None = None
        self._shown_s = 0.0
        self._loud = {True: _Budget(), False: _Budget()}
        self._closed = False
        self._trouble = ""

    def renew(
        self, signal: Signal, now_s: float, offenders: Collection[int] = (), cleared: bool = False, camera: str = ""
    ) -> None:
        """Say what one frame led to; it is shown for another ``lease_s`` (more where frames take long), or until said
        otherwise.

        ``offenders`` are the ids of those the signal is for, ``cleared`` is true where somebody was just let in,
        ``camera`` tells several cameras on one alert apart. BLIND is shown beside what the frames say, and
        counts as no progress.
        """
        with self._lock:
            self._pass(now_s)
            lease = self._leases.setdefault(camera, _Lease())
            until_s = lease.lasts_until_s(self._now_s, self._settings.lease_s)
            if signal is Signal.BLIND:
                lease.blind_until_s = until_s
            else:
                lease.signal, lease.until_s, lease.progress_until_s = signal, until_s, until_s
            if cleared:
                self._open_until_s = self._now_s + self._settings.strike_s
            self._loud[signal.alarming].ask(self._now_s, {(camera, offender) for offender in offenders}, signal)
            self._drive()

    def hold(self, now_s: float, camera: str) -> None:
        """A camera's newest frame waits while others are worked on: what it asked for last lasts another lease.

        A lease that has run out stays so.
        """
        with self._lock:
            self._pass(now_s)
            if (lease := self._leases.get(camera)) is not None:
                until_s = lease.lasts_until_s(self._now_s, self._settings.lease_s)
                if self._now_s < lease.until_s:
                    lease.until_s = lease.progress_until_s = until_s
                if self._now_s < lease.blind_until_s:
                    lease.blind_until_s = until_s
            self._drive()

    def tick(self, now_s: float) -> None:
        """Let time pass: keeps the rhythm and ends a lease that nobody renewed."""
        with self._lock:
            self._pass(now_s)
            self._drive()

    def forget(self, camera: str) -> None:
        """A camera that is watched no longer holds up the heartbeat no more."""
        with self._lock:
            self._leases.pop(camera, None)

    def close(self) -> None:
        """Off, for good, each output whatever becomes of the others."""
        with self._lock, ExitStack() as stack:
            self._closed = True
            for output in self._outputs.values():
                stack.callback(output.close)

    def _pass(self, now_s: float) -> None:
        # A frame's time lies behind the ticking clock's by what the step took; time here never runs back for it, or
        # the buzzer would stutter, and a lease renewed late would be shorter than promised.
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
        with ExitStack() as stack:  # a lamp that fails must not leave the buzzer sounding
            for name in changed:
                stack.callback(self._set, name, self._outputs[name], wanted[name], errors)
        if errors and not (self._is_loud() and alarms(self._settings) & self._driven.keys()):
            raise errors[0]
        if errors and str(errors[0]) != self._trouble:
            self._trouble = str(errors[0])
            log.error("%s; the alarm goes on with the other outputs, then fmd ends", self._trouble)

    def _set(self, name: str, output: Output, on: bool, errors: list[OutputError]) -> None:
        self._driven.pop(name, None)  # where it fails it is tried again at once
        try:
            output.set(on)
        except OutputError as error:
            errors.append(error)
        else:
            self._driven[name] = on

    def _is_loud(self) -> bool:
        """Whether an alarm is given that has not lasted for its longest time yet."""
        alarming = self._shown is not None and self._shown.alarming
        return alarming and self._loud[True].since(self._now_s) < self._settings.longest_s

    def _wanted(self) -> Mapping[str, bool]:
        """Every output's state as of now."""
        now_s, settings = self._now_s, self._settings
        leased = [lease.shown(now_s) for lease in self._leases.values()]
        shown = max((signal for signal in leased if signal is not None), default=None)
        if shown is not self._shown:
            self._shown, self._shown_s = shown, now_s
        alarming = shown is not None and shown.alarming
        in_time = self._loud[alarming].since(now_s) < settings.longest_s
        for_s = now_s - self._shown_s
        relay = {
            "siren": alarming and in_time,
            "hold": alarming,
            "strike": shown is not None and shown < Signal.BLIND and now_s < self._open_until_s,
        }
        return {
            "led": shown is not None and lit(self._patterns["led", shown], for_s),
            "buzzer": shown is not None and in_time and lit(self._patterns["buzzer", shown], for_s),
            "relay": relay[settings.relay],
            "heartbeat": self._progressing() and lit(HEARTBEAT, now_s),
            "voice": alarming and in_time,
        }

    def _progressing(self) -> bool:
        leases = self._leases.values()
        return bool(leases) and all(lease.progressing(self._now_s) for lease in leases)


class _Budget:
    """How long noise has been made for the present trouble. Somebody new is new trouble."""

    def __init__(self) -> None:
        self._since_s = self._asked_s = float("-inf")
        self._heard: deque[tuple[str, int]] = deque(maxlen=MAX_HEARD)

    def ask(self, now_s: float, offenders: Collection[tuple[str, int]], signal: Signal) -> None:
        if signal is Signal.RUNNING:
            return
        new = [offender for offender in offenders if offender not in self._heard]
        if new or now_s - self._asked_s > REST_S:
            self._since_s = now_s
        self._heard.extend(new)
        self._asked_s = now_s

    def since(self, now_s: float) -> float:
        return now_s - self._since_s


def _pattern(settings: AlertSettings, output: str, signal: Signal) -> Sequence[float]:
    pattern: Sequence[float] = getattr(settings, f"{output}_{signal.pattern}")
    return pattern
