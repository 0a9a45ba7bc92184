"""Arming as a pure state: precedence, ends, clock jumps in both directions, changes of the clock, and restarts."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import msgspec
import pytest

from edge.control import ArmRequest, DisarmRequest, MuteRequest
from edge.errors import ControlError
from edge.messages import ArmingMessage, arming_in_words
from edge.service.arming import Arming, Moment, SavedArming
from edge.weekly import Weekly

BERLIN = ZoneInfo("Europe/Berlin")
HOURS = Weekly(["mon-fri 07:00-18:00"], BERLIN)
ALWAYS = Weekly([], BERLIN)
MONDAY = datetime(2026, 11, 30, tzinfo=BERLIN).timestamp()
HOUR_S = 3600.0


class Door:
    """An arming with a clock that a test moves. ``reboot`` loses the monotonic clock, ``restart`` only the process."""

    def __init__(self, schedule: Weekly = ALWAYS, hour: float = 12.0, known: bool = True) -> None:
        self.schedule, self.boot = schedule, "boot 1"
        self.now_s, self.wall, self.known = 100.0, MONDAY + hour * HOUR_S, known
        self.arming = Arming(schedule, self.boot)

    @property
    def moment(self) -> Moment:
        return Moment(self.now_s, self.wall, self.known)

    def passes(self, seconds: float) -> ArmingMessage:
        self.now_s, self.wall = self.now_s + seconds, self.wall + seconds
        return self.state

    def jumps(self, seconds: float) -> ArmingMessage:
        self.wall += seconds
        return self.state

    def restart(self) -> ArmingMessage:
        stored = msgspec.json.decode(msgspec.json.encode(self.arming.saved), type=SavedArming)
        self.arming = Arming(self.schedule, self.boot, stored)
        return self.state

    def reboot(self, off_s: float, known: bool = True) -> ArmingMessage:
        """Power off for ``off_s``; without a known clock the wall clock goes on from when the power failed."""
        self.boot, self.now_s, self.known = f"{self.boot}'", 5.0, known
        self.wall += off_s if known else 0.0
        return self.restart()

    def asks(self, request: ArmRequest | DisarmRequest | MuteRequest, source: str = "command") -> ArmingMessage:
        self.arming.request(request, source, "pi", self.moment)
        return self.state

    @property
    def state(self) -> ArmingMessage:
        return self.arming.update(self.moment)


def closed_until(hour: float) -> ArmingMessage:
    """Return the state outside the schedule's windows, until so many hours after the beginning of Monday."""
    until = datetime.fromtimestamp(MONDAY + hour * HOUR_S, timezone.utc).isoformat(timespec="seconds")
    return ArmingMessage(armed=False, source="schedule", until=until)


def test_without_schedule_and_commands_it_is_armed() -> None:
    assert Door().state == ArmingMessage(armed=True, source="default")


def test_the_schedule_arms_and_disarms() -> None:
    door = Door(HOURS, hour=6.99)
    assert door.state == closed_until(7)
    assert door.passes(0.01 * HOUR_S) == ArmingMessage(armed=True, source="schedule")
    assert not door.passes(11 * HOUR_S).armed


def test_the_end_of_a_disarmed_window_follows_jumps_and_reloads() -> None:
    door = Door(HOURS, hour=19)
    assert door.state == closed_until(31)
    assert door.jumps(-24 * HOUR_S) == closed_until(7), "Sunday evening"
    assert door.jumps(48 * HOUR_S) == closed_until(55)
    door.arming.follow(Weekly(["daily 20:00-21:00"], BERLIN), door.moment)
    assert door.state == closed_until(44)
    door.arming.follow(Weekly(["tue 10:00-11:00"], BERLIN), door.moment)
    assert door.state == closed_until(8 * 24 + 10)


def test_a_command_lasts_until_the_schedule_changes_next() -> None:
    door = Door(HOURS, hour=12)
    state = door.asks(DisarmRequest())
    assert (state.armed, state.source, state.by) == (False, "command", "pi")
    assert datetime.fromisoformat(state.until).timestamp() == MONDAY + 18 * HOUR_S
    assert door.passes(6 * HOUR_S) == closed_until(31)
    assert door.asks(ArmRequest()).armed
    assert door.passes(12 * HOUR_S).armed, "until 07:00, when the schedule arms as well"
    assert door.passes(HOUR_S) == ArmingMessage(armed=True, source="schedule")
    assert not door.passes(11 * HOUR_S).armed


def test_a_requested_time_outlasts_a_change_of_the_schedule() -> None:
    door = Door(HOURS, hour=6)
    assert not door.asks(DisarmRequest(for_s=2 * HOUR_S)).armed
    assert not door.passes(1.5 * HOUR_S).armed
    assert door.passes(0.5 * HOUR_S) == ArmingMessage(armed=True, source="end")
    assert door.passes(10 * HOUR_S) == closed_until(31)


def test_without_schedule_a_command_lasts_until_the_next_one_or_its_time() -> None:
    door = Door()
    assert door.asks(DisarmRequest()).until == ""
    assert not door.passes(1000 * HOUR_S).armed
    assert door.asks(ArmRequest()) == ArmingMessage(armed=True, source="command", by="pi")
    door.asks(DisarmRequest(for_s=60))
    assert not door.passes(59).armed
    assert door.passes(1) == ArmingMessage(armed=True, source="end")


def test_the_latest_command_wins_whoever_gave_it() -> None:
    door = Door()
    for request, source in ((DisarmRequest(), "pin"), (ArmRequest(), "mqtt"), (DisarmRequest(), "command")):
        state = door.asks(request, source)
        assert (state.armed, state.source) == (isinstance(request, ArmRequest), source)


def test_until_a_time_of_day_in_the_zone_of_the_schedule() -> None:
    door = Door(hour=17)
    state = door.asks(DisarmRequest(until="18:00"))
    assert datetime.fromisoformat(state.until).timestamp() == MONDAY + 18 * HOUR_S
    assert not door.passes(HOUR_S - 1).armed
    assert door.passes(1).armed
    assert datetime.fromisoformat(door.asks(DisarmRequest(until="7:30")).until).timestamp() == MONDAY + 31.5 * HOUR_S


def test_a_mute_ends_by_itself_or_by_command_and_changes_nothing_else() -> None:
    door = Door(HOURS)
    state = door.asks(MuteRequest(for_s=600))
    assert datetime.fromisoformat(state.muted_until).timestamp() == door.wall + 600
    assert msgspec.structs.replace(state, muted_until="") == ArmingMessage(armed=True, source="schedule")
    assert door.passes(599).muted_until
    assert not door.passes(1).muted_until
    door.asks(MuteRequest(for_s=600))
    assert not door.asks(MuteRequest(for_s=0)).muted_until


# Clock jumps.


@pytest.mark.parametrize("jump_s", [-30 * 86400.0, -HOUR_S, HOUR_S, 30 * 86400.0])
def test_no_jump_of_the_clock_changes_a_duration(jump_s: float) -> None:
    door = Door(HOURS)
    door.asks(DisarmRequest(for_s=HOUR_S))
    door.asks(MuteRequest(for_s=HOUR_S))
    state = door.jumps(jump_s)
    assert not state.armed
    for until in (state.until, state.muted_until):
        assert datetime.fromisoformat(until).timestamp() == door.wall + HOUR_S, "as the clock says now"
    assert not door.passes(HOUR_S - 1).armed
    state = door.passes(1)
    assert (state.source != "command", state.muted_until) == (True, "")


def test_a_jump_forwards_over_a_change_of_the_schedule_ends_the_command() -> None:
    door = Door(HOURS, hour=12)
    door.asks(DisarmRequest())
    assert not door.jumps(5 * HOUR_S).armed
    assert door.jumps(14 * HOUR_S) == ArmingMessage(armed=True, source="schedule"), "07:00 on Tuesday"


def test_after_a_jump_backwards_the_next_change_of_the_schedule_counts() -> None:
    door = Door(HOURS, hour=12)
    door.asks(DisarmRequest())
    state = door.jumps(-28 * 86400.0)
    assert datetime.fromisoformat(state.until).timestamp() == MONDAY - 28 * 86400 + 18 * HOUR_S
    assert not door.passes(6 * HOUR_S - 1).armed
    assert door.passes(13 * HOUR_S + 1) == ArmingMessage(armed=True, source="schedule")


def test_a_jump_backwards_does_not_prolong_a_time_of_day() -> None:
    door = Door(hour=17)
    door.asks(DisarmRequest(until="18:00"))
    door.jumps(-86400.0)
    assert not door.passes(HOUR_S - 1).armed
    assert door.passes(1).armed, "one hour after the command, as it meant"


def test_a_jump_forwards_reaches_a_time_of_day() -> None:
    door = Door(hour=17)
    door.asks(DisarmRequest(until="18:00"))
    assert door.jumps(HOUR_S).armed


@pytest.mark.parametrize(("day", "night_s"), [((2026, 3, 28), 12 * HOUR_S), ((2026, 10, 24), 14 * HOUR_S)])
def test_a_night_with_a_change_of_the_clock_is_an_hour_shorter_or_longer(
    day: tuple[int, int, int], night_s: float
) -> None:
    """From 18:00 to 07:00 is 13 hours otherwise."""
    door = Door(Weekly(["daily 07:00-18:00"], BERLIN))
    door.wall = datetime(*day, 17, 59, 59, tzinfo=BERLIN).timestamp()
    assert door.state.armed
    assert not door.passes(1).armed
    assert not door.passes(night_s - 1).armed
    assert door.passes(1).armed


# Restarts and reboots.


@pytest.mark.parametrize("request_", [DisarmRequest(), DisarmRequest(for_s=HOUR_S), DisarmRequest(until="13:00")])
@pytest.mark.parametrize("schedule", [HOURS, ALWAYS])
def test_a_restart_changes_nothing(schedule: Weekly, request_: DisarmRequest) -> None:
    door = Door(schedule)
    before = door.asks(request_)
    assert door.restart() == before
    assert door.passes(60) == before
    assert door.restart() == before


def test_a_duration_goes_on_over_a_restart_with_a_clock_jump_in_between() -> None:
    door = Door()
    door.asks(DisarmRequest(for_s=HOUR_S))
    door.wall -= 7 * 86400
    door.now_s += 1800
    assert not door.restart().armed
    assert not door.passes(1799).armed
    assert door.passes(1).armed


@pytest.mark.parametrize("known", [True, False])
def test_a_disarming_without_an_end_survives_a_reboot(known: bool) -> None:
    door = Door()
    door.asks(DisarmRequest())
    assert not door.reboot(HOUR_S, known=known).armed


def test_a_duration_survives_a_reboot_and_the_time_without_power_counts() -> None:
    door = Door()
    door.asks(DisarmRequest(for_s=HOUR_S))
    door.passes(600)
    assert not door.reboot(600).armed
    assert not door.passes(2399).armed
    assert door.passes(1).armed
    door.asks(DisarmRequest(for_s=HOUR_S))
    assert door.reboot(2 * HOUR_S).armed


def test_a_reboot_over_a_change_of_the_schedule_ends_the_command() -> None:
    door = Door(HOURS)
    door.asks(DisarmRequest())
    assert door.reboot(24 * HOUR_S) == ArmingMessage(armed=True, source="schedule")


def test_a_mute_ends_with_a_reboot() -> None:
    door = Door()
    door.asks(MuteRequest(for_s=HOUR_S))
    assert door.restart().muted_until
    assert not door.reboot(1).muted_until


# The clock is not known.


def test_without_a_known_clock_it_is_armed_and_the_schedule_applies_as_soon_as_it_is_known() -> None:
    door = Door(HOURS, hour=3, known=False)
    assert door.state == ArmingMessage(armed=True, source="clock")
    assert door.passes(HOUR_S).armed
    door.known = True
    assert door.state == closed_until(7)


def test_without_a_known_clock_commands_work_and_a_schedule_takes_over_later() -> None:
    door = Door(HOURS, hour=3, known=False)
    assert not door.asks(DisarmRequest()).armed
    assert not door.passes(10 * HOUR_S).armed
    door.known = True
    state = door.jumps(HOUR_S)
    assert not state.armed
    assert datetime.fromisoformat(state.until).timestamp() == MONDAY + 18 * HOUR_S
    assert door.passes(4 * HOUR_S) == closed_until(31)


def test_without_a_known_clock_a_duration_works_and_a_time_of_day_is_refused() -> None:
    door = Door(known=False)
    assert not door.asks(DisarmRequest(for_s=600)).armed
    door.known = True
    assert not door.jumps(1e6).armed
    assert not door.passes(599).armed
    assert door.passes(1).armed
    door.known = False
    with pytest.raises(ControlError, match="use --for instead"):
        door.asks(DisarmRequest(until="18:00"))


@pytest.mark.parametrize("request_", [DisarmRequest(for_s=2 * HOUR_S), DisarmRequest(until="14:00"), DisarmRequest()])
def test_after_a_reboot_a_timed_disarming_waits_for_the_clock(request_: DisarmRequest) -> None:
    """Nobody knows how long the power was off; so it is armed, and the rest of the time follows."""
    door = Door(HOURS)
    door.asks(request_)
    assert door.reboot(600, known=False) == ArmingMessage(armed=True, source="clock")
    assert door.passes(30).armed
    door.known = True
    assert not door.jumps(600).armed
    assert door.passes(24 * HOUR_S).armed


def test_after_a_reboot_a_disarming_that_is_over_stays_over() -> None:
    door = Door()
    door.asks(DisarmRequest(for_s=HOUR_S))
    assert door.reboot(0, known=False).armed
    door.known = True
    assert door.jumps(3 * HOUR_S).armed
    assert door.arming.saved.command is None


# Other schedules.


def test_after_a_reload_the_command_lasts_until_the_new_schedule_changes() -> None:
    door = Door(HOURS)
    door.asks(DisarmRequest())
    door.arming.follow(Weekly(["daily 09:00-13:00"], BERLIN), door.moment)
    assert datetime.fromisoformat(door.state.until).timestamp() == MONDAY + 13 * HOUR_S
    door.arming.follow(ALWAYS, door.moment)
    assert door.state.until == ""
    assert not door.passes(1000 * HOUR_S).armed


def test_a_schedule_that_never_changes_leaves_commands_alone() -> None:
    door = Door(Weekly(["daily 00:00-24:00"], BERLIN))
    assert door.state == ArmingMessage(armed=True, source="schedule")
    assert door.asks(DisarmRequest()).until == ""
    assert not door.passes(1000 * HOUR_S).armed


@pytest.mark.parametrize(
    ("arming", "words"),
    [
        (ArmingMessage(armed=True, source="default"), "armed"),
        (ArmingMessage(armed=False, source="schedule"), "disarmed by the schedule"),
        (ArmingMessage(armed=True, source="clock"), "armed because the clock is not synchronised"),
        (ArmingMessage(armed=True, source="end"), "armed because the requested time is over"),
        (ArmingMessage(armed=False, source="pin", by="button"), "disarmed by button"),
        (ArmingMessage(armed=False, source="mqtt"), "disarmed by MQTT"),
        (ArmingMessage(armed=False, source="command", by="pi (uid 1000)"), "disarmed by pi (uid 1000)"),
    ],
)
def test_a_state_in_words(arming: ArmingMessage, words: str) -> None:
    assert arming_in_words(arming) == words
    until = datetime(2026, 11, 30, 18, 0).astimezone().isoformat()
    timed = msgspec.structs.replace(arming, until=until, muted_until=until)
    assert arming_in_words(timed) == f"{words} until 2026-11-30 18:00, muted until 2026-11-30 18:00"
