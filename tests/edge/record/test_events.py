"""The log of events: whole after any power cut, and never more than its budget."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from edge import config, paths
from edge.config import EventSettings
from edge.contracts import CameraState, Health
from edge.messages import health_message
from edge.record import events
from edge.record.events import DAY_S, MAX_WAITING, MB, NAME, OLDER, EventLog

EPOCH_S = 1_800_000_000.0


def settings(**changed: Any) -> EventSettings:
    return config.load(None, {f"events.{key}": value for key, value in changed.items()}).events


def opened(folder: Path, now_s: float = 0.0, runtime: Path | None = None, **changed: Any) -> EventLog:
    return EventLog(folder, settings(**changed), lambda: EPOCH_S, now_s, runtime)


def numbers(folder: Path) -> list[int]:
    return [event["n"] for event in events.read(folder)]


def test_events_are_written_together_and_not_before_their_time(tmp_path: Path) -> None:
    log = opened(tmp_path, every_s=60)
    log.add("started", {})
    assert log.keep(0.0)
    log.add("decision", {"person": 1})
    log.add("decision", {"person": 2})
    assert not log.keep(59.0)
    assert (numbers(tmp_path), log.kept) == ([1], 1)
    assert log.keep(60.0)
    assert (numbers(tmp_path), log.kept) == ([1, 2, 3], 3)
    assert not log.keep(200.0)
    assert json.loads((tmp_path / NAME).read_text().splitlines()[1]) == {
        "n": 2,
        "at": "2027-01-15T08:00:00.000+00:00",
        "event": "decision",
        "person": 1,
    }


def test_the_end_writes_what_waits(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.add("started", {})
    log.keep(0.0)
    log.add("stopped", {})
    assert log.keep(1.0, at_once=True)
    assert numbers(tmp_path) == [1, 2]


@pytest.mark.parametrize("mb_a_day", [1, 4])
def test_the_budget_of_a_day_holds_however_much_happens(tmp_path: Path, mb_a_day: int) -> None:
    """Two and a half days of an event every twenty seconds; no window of 24 hours costs more than the budget."""
    log = opened(tmp_path, mb_a_day=mb_a_day, every_s=1)
    costs: list[tuple[float, int]] = []
    size = 0
    for now_s in range(0, int(2.5 * DAY_S), 20):
        log.add("decision", {"person": now_s, "outcome": "violation", "label": "without_mask"})
        if log.keep(float(now_s)):
            new = (tmp_path / NAME).stat().st_size
            costs.append((now_s, events.cost(size, new - size) if new > size else events.cost(0, new)))
            size = new
    for start_s in range(0, int(1.5 * DAY_S), 1800):
        spent = sum(cost for at_s, cost in costs if start_s <= at_s < start_s + DAY_S)
        assert 0.5 * mb_a_day * MB < spent <= mb_a_day * MB
    kept = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert kept <= settings().mb_kept * MB


def test_the_log_grows_no_larger_than_it_may_and_keeps_the_newest(tmp_path: Path) -> None:
    log = opened(tmp_path, mb_kept=1, mb_a_day=10000, every_s=0.001)
    for now_s in range(60):
        for _ in range(250):
            log.add("decision", {"label": "x" * 100})
        assert log.keep(float(now_s))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1 * MB
    found = numbers(tmp_path)
    assert found == list(range(found[0], 15001))
    assert (tmp_path / OLDER).exists()


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.add("started", {})
    log.keep(0.0)
    again = opened(tmp_path)
    assert again.kept == 1
    again.add("started", {})
    again.keep(0.0)
    assert numbers(tmp_path) == [1, 2]


def test_no_kept_event_is_lost_wherever_a_power_cut_tears_the_file(tmp_path: Path) -> None:
    """What was synced is there; of what was being written any number of bytes may be, or zeros, or old blocks."""
    log = opened(tmp_path, every_s=1)
    for now_s in range(5):
        log.add("decision", {"person": now_s})
        log.keep(float(now_s))
    whole = (tmp_path / NAME).read_bytes()
    kept = len(whole.splitlines(keepends=True)[3]) + sum(map(len, whole.splitlines(keepends=True)[:3]))
    generator = random.Random(1)
    tails = [whole[kept : kept + cut] for cut in range(0, len(whole) - kept, 7)]
    tails += [bytes(200), generator.randbytes(200), b"[]\n", b'{"n": "x"}\n', b"{}\n\n\xff"]
    for tail in tails:
        (tmp_path / NAME).write_bytes(whole[:kept] + tail)
        again = opened(tmp_path)
        assert again.kept == 4
        again.add("started", {})
        assert again.keep(0.0)
        assert numbers(tmp_path) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("seconds", [20.0, 600.0])
def test_the_budget_holds_over_restarts(tmp_path: Path, seconds: float) -> None:
    """A day of a service that comes and goes every so often, as one whose pins are taken does."""
    spent = 0
    for now_s in range(0, int(DAY_S / 4), int(seconds)):
        log = opened(tmp_path, float(now_s), tmp_path, mb_a_day=4.0)
        before = (tmp_path / NAME).stat().st_size if (tmp_path / NAME).exists() else 0
        log.add("started", {})
        if log.keep(now_s + 1.0, at_once=True):
            spent += events.cost(before, (tmp_path / NAME).stat().st_size - before)
    assert 0.2 * MB < spent <= 1.2 * MB


def test_what_is_left_of_the_budget_is_no_reason_to_keep_nothing(tmp_path: Path) -> None:
    for said in (b"", b"[1", b'{"left": "x"}'):
        (tmp_path / events.SPENT).write_bytes(said)
        log = opened(tmp_path, 0.0, tmp_path)
        log.add("started", {})
        assert log.keep(0.0)
    log = opened(tmp_path, 0.0, tmp_path / "missing")
    log.add("started", {})
    assert log.keep(0.0)


@pytest.mark.parametrize("left", [None, 0, 1, 45, 150])
def test_a_log_deleted_or_cut_short_under_the_service_loses_nothing_more(tmp_path: Path, left: int | None) -> None:
    log = opened(tmp_path, every_s=1)
    for now_s in range(3):
        log.add("decision", {"person": now_s})
        log.keep(float(now_s))
    if left is None:
        (tmp_path / NAME).unlink()
    else:
        os.truncate(tmp_path / NAME, left)
    before = numbers(tmp_path)
    for now_s in range(3, 6):
        log.add("decision", {"person": now_s})
        assert log.keep(float(now_s))
    assert numbers(tmp_path) == [*before, 4, 5, 6]
    assert b"\0" not in (tmp_path / NAME).read_bytes()
    again = opened(tmp_path)
    assert (again.kept, numbers(tmp_path)) == (6, [*before, 4, 5, 6])


def test_a_log_deleted_when_its_older_half_is_about_to_go_is_begun_anew(tmp_path: Path) -> None:
    log = opened(tmp_path, mb_kept=1, mb_a_day=10000, every_s=0.001)
    for now_s in range(2):
        (tmp_path / NAME).unlink(missing_ok=True)
        for _ in range(1000):
            log.add("decision", {"label": "x" * 200})
        assert log.keep(float(now_s))
    assert numbers(tmp_path) == list(range(1001, 2001))


@pytest.mark.parametrize("at", [0, 100, 5000])
def test_a_few_bad_bytes_cost_the_lines_they_stand_in_and_no_other(tmp_path: Path, at: int) -> None:
    log = opened(tmp_path, every_s=1)
    for now_s in range(100):
        log.add("decision", {"person": now_s})
    log.keep(0.0)
    whole = (tmp_path / NAME).read_bytes()
    for bad in (b"\xff\xfe\x00\x01", b"\n\n\r\n"):
        (tmp_path / NAME).write_bytes(whole[:at] + bad + whole[at + 4 :])
        again = opened(tmp_path)
        assert again.kept == 100
        assert len(numbers(tmp_path)) >= 98
        assert numbers(tmp_path)[-1] == 100


def test_a_large_log_does_not_come_into_memory_as_a_whole(tmp_path: Path) -> None:
    """Its last whole line lies before 8 MB of zeros, as a card that lost power may leave them."""
    line = b'{"n": 7, "event": "decision"}\n'
    (tmp_path / OLDER).write_bytes(line * 40_000)
    (tmp_path / NAME).write_bytes(line * 3 + bytes(8_000_000))
    tracemalloc.start()
    log = opened(tmp_path)
    found = sum(1 for _ in events.read(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (log.kept, found) == (7, 40_003)
    assert (tmp_path / NAME).stat().st_size == 3 * len(line)
    assert peak < 1_000_000


def test_a_full_disk_keeps_events_waiting_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every write to the device "full" fails so: No space left on device."""
    log = opened(tmp_path, every_s=1)
    (tmp_path / NAME).symlink_to("/dev/full")
    for now_s in range(3):
        log.add("decision", {"person": now_s})
        assert not log.keep(float(now_s))
    assert caplog.text.count("No space left on device; events wait in memory") == 1
    (tmp_path / NAME).unlink()
    assert log.keep(10.0)
    assert (numbers(tmp_path), log.kept) == ([1, 2, 3], 3)


def test_memory_is_bounded_and_what_was_lost_shows_in_the_numbers(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.keep(0.0)
    for _ in range(MAX_WAITING + 7):
        log.add("decision", {})
    log.keep(0.0)
    assert log.lost == 7
    assert numbers(tmp_path) == list(range(8, MAX_WAITING + 8))


def test_the_thread_keeps_what_was_added_by_the_end(tmp_path: Path) -> None:
    with events.keeping(tmp_path, settings()) as log:
        assert log is not None
        log.add("camera", health_message(Health("", CameraState.DARK, 1.0, "covered?")))
    assert [event["reason"] for event in events.read(tmp_path)] == ["covered?"]


def test_nothing_is_kept_where_nothing_shall_or_can_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, keep in ((None, True), (tmp_path, False)):
        with events.keeping(folder, settings(keep=keep)) as log:
            assert log is None
    (tmp_path / NAME).mkdir()
    with events.keeping(tmp_path, settings()) as log:
        assert log is None
    assert "Is a directory; no events are kept" in caplog.text


def test_the_state_directory_is_the_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert paths.state_folder() is None
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/fmd:/var/lib/other")
    assert paths.state_folder() == Path("/var/lib/fmd")


def test_each_batch_is_synced_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(log.kept), fsync(handle)))
    log = opened(tmp_path)
    log.add("started", {})
    log.keep(0.0)
    assert synced == [0, 0]  # the file, and the folder that names it, both before ``kept`` moves on
    assert log.kept == 1
