"""Whether fmd is armed: one state out of commands, schedule and clock. Pure: the caller passes the time.

The latest command wins, whether it came from a user, a pin or a message. It lasts as long as requested, or else until
the schedule changes next. Without a command the schedule decides, and without a schedule fmd is armed.

What depends on the time of day counts only while the clock is known. Until then fmd is armed: it ignores the schedule,
and a command of an earlier boot that was to end by now or soon. A duration of this boot is measured on the monotonic
clock, which no jump of the wall clock moves.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import NamedTuple

import msgspec

from edge.control import ArmingRequest, ArmRequest, MuteRequest
from edge.errors import ControlError
from edge.messages import ArmingMessage
from edge.weekly import Weekly

JUMP_S = 5.0
"""Difference between wall clock and monotonic clock from which the wall clock has jumped."""


class Moment(NamedTuple):
    """A time: on the monotonic clock of this boot, in seconds since 1970, and whether the latter can be trusted."""

    now_s: float
    wall: float
    clock_known: bool


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The latest command.

    ``until`` (seconds since 1970) and ``until_s`` (monotonic, of ``boot``) are its requested end, None for none.
    ``by_wall`` is true if a time of day was requested. ``edge`` is when the schedule takes over.
    """

    armed: bool
    source: str
    by: str
    boot: str
    until: float | None = None
    until_s: float | None = None
    by_wall: bool = False
    edge: float | None = None


class Mute(msgspec.Struct, frozen=True):
    """A mute: its end on the monotonic clock of ``boot``, and in seconds since 1970."""

    until_s: float
    until: float
    boot: str


class SavedArming(msgspec.Struct, frozen=True):
    """What survives a restart. ``contact`` is the last position of the contact, None if there was none."""

    command: Command | None = None
    mute: Mute | None = None
    contact: bool | None = None


class Arming:
    """The state of one door. ``boot`` identifies this boot: monotonic times of another one mean nothing."""

    def __init__(self, schedule: Weekly, boot: str, saved: SavedArming | None = None) -> None:
        self._schedule, self._boot = schedule, boot
        self.saved = saved or SavedArming()
        self._offset_s: float | None = None
        self._ended = ""
        self._window: tuple[float, float | None] = (0.0, 0.0)

    def follow(self, schedule: Weekly, moment: Moment) -> None:
        """Use another schedule; a command without a requested end lasts until this one changes."""
        self._schedule, self._window = schedule, (0.0, 0.0)
        if (command := self.saved.command) is not None:
            self._set(msgspec.structs.replace(command, edge=self._edge(command, moment)))

    def request(self, request: ArmingRequest, source: str, by: str, moment: Moment) -> None:
        """Carry out a request of ``by``. Raises ControlError for a time of day while the clock is not known."""
        self._ended = ""
        if isinstance(request, MuteRequest):
            end = Mute(moment.now_s + request.for_s, moment.wall + request.for_s, self._boot)
            self.saved = msgspec.structs.replace(self.saved, mute=end if request.for_s else None)
            return
        armed = isinstance(request, ArmRequest)
        command = Command(armed=armed, source=source, by=by, boot=self._boot)
        if not isinstance(request, ArmRequest) and (request.until or request.for_s):
            until = moment.wall + request.for_s
            if request.until:
                if not moment.clock_known:
                    raise ControlError(
                        "the clock is not synchronised yet, so fmd does not know the time of day; use --for instead"
                    )
                hour, minute = map(int, request.until.split(":"))
                until = self._schedule.next_time(hour, minute, moment.wall)
            until_s = moment.now_s + until - moment.wall
            command = msgspec.structs.replace(command, until=until, until_s=until_s, by_wall=bool(request.until))
        self._set(msgspec.structs.replace(command, edge=self._edge(command, moment)))

    def note_contact(self, closed: bool) -> None:
        """Remember the position of the contact over a restart."""
        self.saved = msgspec.structs.replace(self.saved, contact=closed)

    def update(self, moment: Moment) -> ArmingMessage:
        """Return the state at ``moment``; a command that is over is forgotten."""
        self._follow_clock(moment)
        command, muted_until = self.saved.command, ""
        if (mute := self.saved.mute) is not None:
            if mute.boot == self._boot and moment.now_s < mute.until_s:
                muted_until = _iso(mute.until)
            else:
                self.saved = msgspec.structs.replace(self.saved, mute=None)
        if command is not None and (ended := _ended(command, self._boot, moment)):
            self._ended, command = ended, None
            self._set(None)
        if command is not None and not _is_suspended(command, self._boot, moment):
            end = command.until if command.until is not None else command.edge
            return ArmingMessage(command.armed, command.source, command.by, _iso(end), muted_until)
        if command is not None or (self._schedule and not moment.clock_known):
            return ArmingMessage(armed=True, source="clock", muted_until=muted_until)
        if not self._schedule:
            return ArmingMessage(armed=True, source=self._ended or "default", muted_until=muted_until)
        armed = self._schedule.at(moment.wall)
        if not armed or self._ended != "end":
            self._ended = ""
        until = "" if armed else _iso(self._window_end(moment.wall))
        return ArmingMessage(armed, self._ended or "schedule", until=until, muted_until=muted_until)

    def _window_end(self, wall: float) -> float | None:
        """Return when the schedule changes next. It is kept until then, as finding it takes milliseconds."""
        since, end = self._window
        if not since <= wall or (end is not None and wall >= end):
            self._window = wall, self._schedule.next_change(wall)
        return self._window[1]

    def _follow_clock(self, moment: Moment) -> None:
        """Take account of a wall clock that became known, or jumped, since the last update."""
        offset_s = moment.wall - moment.now_s
        jumped = self._offset_s is not None and abs(offset_s - self._offset_s) > JUMP_S
        self._offset_s = offset_s
        if (mute := self.saved.mute) is not None and abs(mute.until - mute.until_s - offset_s) > JUMP_S:
            mute = msgspec.structs.replace(mute, until=mute.until_s + offset_s)
            self.saved = msgspec.structs.replace(self.saved, mute=mute)
        command = self.saved.command
        # What is over or uncertain stays as it is: update() decides about it.
        if command is None or _ended(command, self._boot, moment) or _is_suspended(command, self._boot, moment):
            return
        if command.boot != self._boot:
            # The clock is known, so that the rest of a requested time is known in this boot.
            until_s = None if command.until is None else command.until - offset_s
            command = msgspec.structs.replace(command, boot=self._boot, until_s=until_s)
        if not command.by_wall and command.until is not None and command.until_s is not None:
            until = command.until_s + offset_s
            if abs(command.until - until) > JUMP_S:
                command = msgspec.structs.replace(command, until=until)
        if jumped or command.edge is None:
            command = msgspec.structs.replace(command, edge=self._edge(command, moment))
        if command != self.saved.command:
            self._set(command)

    def _edge(self, command: Command, moment: Moment) -> float | None:
        if command.until is not None or not moment.clock_known or not self._schedule.changes:
            return None
        return self._schedule.next_change(moment.wall)

    def _set(self, command: Command | None) -> None:
        self.saved = msgspec.structs.replace(self.saved, command=command)


def _ended(command: Command, boot: str, moment: Moment) -> str:
    """Return what ended a command, "end" or "schedule"; an empty string if it is not over as far as is known."""
    if command.until_s is not None and command.boot == boot and moment.now_s >= command.until_s:
        return "end"
    if not moment.clock_known:
        return ""
    by_wall = command.by_wall or command.boot != boot
    if by_wall and command.until is not None and moment.wall >= command.until:
        return "end"
    return "schedule" if command.edge is not None and moment.wall >= command.edge else ""


def _is_suspended(command: Command, boot: str, moment: Moment) -> bool:
    """Return whether a command of another boot may be over, which only a known clock can say."""
    timed = command.until is not None or command.edge is not None
    return timed and command.boot != boot and not moment.clock_known


def _iso(wall: float | None) -> str:
    return "" if wall is None else datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="seconds")
