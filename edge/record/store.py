"""Writer of the record. The loop adds rows in memory; a thread of its own writes them in batches to the database.

Small writes wear SD cards out, so rows wait: up to ``record.every_s``, but violations, faults and changes of arming at
most a minute. The cost of each batch is counted, and at most a day's budget is spent in any 24 hours, however often fmd
restarts. A batch that is reported as kept survives a power cut.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edge.config import RecordSettings
from edge.contracts import Image
from edge.record import database, hours, notes
from edge.record.budget import MB, SPENT, Budget, batch_cost
from edge.record.drift import CameraState, Drift
from edge.record.examples import Example, Examples
from edge.record.notes import Finding
from edge.record.rows import PassageRow, RunRow, SpanState
from edge.record.view import View

log = logging.getLogger(__name__)

MAX_WAITING = 2000
"""Rows that wait in memory; beyond that the oldest are dropped and counted."""
URGENT_S = 55.0
"""Longest time that what is urgent waits; together with the thread's tick it stays within a minute."""
JUMP_MS = 5000
"""Change of the wall clock against the monotonic clock that ends all spans: times before it are of another clock."""
SAVE_DRIFT_S = 6 * 3600.0
"""How often the state of the drift detector is stored: it is tens of kilobytes."""
MAX_EXAMPLES = 12
"""Passages whose pictures wait in memory, at most three of 150 kB each; beyond that the oldest are left out."""
TRIM_S = 3600.0
"""How often pictures that are too old are searched for."""
EXAMPLES_SHARE = 0.5
"""Share of the budget's rest that pictures may take, so that rows do not wait for them."""
STOP_S = 3.0
"""How long the end waits for the last batch; the unit's TimeoutStopSec is 10."""
URGENT_EVENTS = frozenset({"camera", "board", "failed", "record", "drift", "model", "arming", "mute", "settings"})

Synchronised = Callable[[], bool]


class Failure(msgspec.Struct, frozen=True):
    """Content of the event that a run ended with an error."""

    error: str


class SettingsRefused(msgspec.Struct, frozen=True):
    """Content of the event that changed settings were not used."""

    refused: str


class RecordProblem(msgspec.Struct, frozen=True):
    """Content of the event that the record itself had a problem."""

    problem: str


class _Row(NamedTuple):
    """A row that waits: its table, its values, and how many bytes they are."""

    table: str
    values: tuple[Any, ...]
    size: int


class _Span(NamedTuple):
    id: int
    state: SpanState
    began: int


class Record:
    """The record of one state directory. Several threads may add rows; only :meth:`keep` touches the disk.

    ``wall`` gives seconds since 1970, ``clock`` monotonic seconds. ``kept`` is the number of the last event that
    survives a power cut. ``lost`` counts rows that were dropped; gaps in the numbers of events show them as well.
    """

    def __init__(
        self,
        folder: Path,
        settings: RecordSettings,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        synchronised: Synchronised = lambda: True,
        runtime: Path | None = None,
    ) -> None:
        """``runtime`` is the runtime directory, which survives a restart of the service; None outside systemd.

        Reads and writes nothing yet: opening the database may take a second on a card, and the watch must not wait.
        """
        self._folder, self._settings = folder, settings
        self._clock, self._wall, self._synchronised = clock, wall, synchronised
        now_s = clock()
        self._budget = Budget(settings.mb_a_day * MB, now_s, runtime / SPENT if runtime else None)
        self._due_s, self._urgent_s = now_s, float("inf")
        self._lock = threading.Lock()
        self._waiting: deque[_Row] = deque()
        self._spans: dict[str, _Span] = {}
        self._events = self._span_ids = self._run_ids = 0
        self._offset_ms = round((wall() - now_s) * 1000)
        self._clock_right = synchronised()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._base: dict[str, int] = {}
        self._rolled_ms: int | None = None
        self._last_warning = ""
        self._ended: list[PassageRow] = []
        self._maps: list[tuple[str, int, Image]] = []
        self._views: dict[str, View] = {}
        self._waiting_examples: deque[Example] = deque(maxlen=MAX_EXAMPLES)
        self._examples, self._trimmed_s = Examples(folder, settings), float("-inf")
        self._models = ""
        self._drift, self._drift_models, self._saved_s = Drift(), "", now_s
        self.kept = self.lost = 0
        self.findings: tuple[Finding, ...] = ()

    @property
    def failing(self) -> bool:
        """Whether the last batch could not be written; its rows wait."""
        return bool(self._last_warning)

    def add(self, kind: str, content: msgspec.Struct | None = None, camera: str = "") -> None:
        """Record an event; ``content`` holds its fields."""
        text = "{}" if content is None else database.encoded(content)
        with self._lock:
            self._events += 1
            self._append("events", (self._events, self.now_ms(), kind, camera, self._clock_right, text), len(text) + 30)
            if kind in URGENT_EVENTS:
                self._hurry()

    def begin_run(self, run: RunRow) -> None:
        """Record which models and settings make the passages that follow."""
        models = f"{run.classifier} {run.detector}"
        with self._lock:
            self._run_ids += 1
            self._models = models
            values = (self._run_ids, self.now_ms(), self._clock_right, run.version, run.classifier, run.detector)
            described = (run.settings, database.encoded(run.labels), run.compliant, run.confusion)
            self._append("runs", (*values, *described), 300)

    def add_passage(self, row: PassageRow) -> None:
        """Record a passage, or replace the row of the same id: a violation is recorded before the person leaves."""
        after = (row.decided, row.alarm, row.cleared, row.ended)
        times = tuple(None if ms is None else row.entered + ms for ms in after)
        decision = (row.outcome, row.label, row.violated, row.observations)
        face = (_short(row.width), _short(row.brightness), _short(row.score, 4), _short(row.sharpness))
        more = (_short(row.disagreement, 4), *(_short(share, 4) for share in row.place), row.evidence)
        with self._lock:
            began = (row.id, self._run_ids, row.camera, self._clock_right, row.entered)
            if row.ended is not None and self._clock_right:
                self._ended.append(row)
            self._append("passages", (*began, *times, *decision, *face, *more), 140 + len(row.evidence))
            if row.violated and row.ended is None:
                self._hurry()

    def add_view(self, camera: str, found: Image) -> None:
        """Add a map of edges (:func:`edge.record.view.edge_map`) of a camera that sees nobody."""
        with self._lock:
            if self._clock_right:
                self._maps.append((camera, self.now_ms(), found))

    def add_example(self, example: Example) -> None:
        """Add the pictures of a passage for the next batch, unless the clock is not set: they could not expire."""
        with self._lock:
            if self._clock_right:
                self._waiting_examples.append(example)

    def span(self, camera: str, state: SpanState | None) -> None:
        """Record that a camera is in ``state`` from now on; None if it is no longer watched."""
        with self._lock:
            before = self._spans.get(camera)
            if before is not None and before.state is state:
                return
            self._change_span(camera, state, self.now_ms())

    def spans(self) -> dict[str, SpanState]:
        """Return the present state of every camera."""
        with self._lock:
            return {camera: span.state for camera, span in self._spans.items()}

    def now_ms(self) -> int:
        """Return the wall clock in milliseconds since 1970."""
        return round(self._wall() * 1000)

    def keep(self, at_once: bool = False) -> bool:
        """Write waiting rows, if it is time (or ``at_once``) and the budget allows; return whether it did."""
        now_s = self._clock()
        self._notice_jumps(now_s)
        with self._lock:
            if now_s < min(self._due_s, self._urgent_s) and not at_once:
                return False
            # Decided inside the lock, written outside: a card may take seconds, and the loop adds rows meanwhile.
            taken = self._affordable(now_s)
            if taken is None:
                return False
            for _ in taken:
                self._waiting.popleft()
            last = self._events - sum(row.table == "events" for row in self._waiting)
            ended, self._ended = self._ended, []
            maps, self._maps = self._maps, []
            spans = [self._span_row(camera, span, self.now_ms()) for camera, span in self._spans.items()]
            self._due_s, self._urgent_s = now_s + self._settings.every_s, float("inf")
        # Spent before the write: a write that fails half way has cost the card as much.
        self._budget.spend(batch_cost(sum(row.size for row in taken)))
        try:
            self._write([*taken, *spans])
        except (OSError, sqlite3.Error) as error:
            self._failed(error, taken)
            return False
        self._find_changes(ended, maps)
        self._write_examples(now_s)
        self.kept, self._last_warning = self._base.get("events", 0) + last, ""
        log.debug("events kept up to %d", self.kept)
        return True

    def close(self) -> None:
        """Write what waits, end every span, and close the database."""
        with self._lock:
            for camera in list(self._spans):
                self._change_span(camera, None, self.now_ms())
        self._saved_s = float("-inf")
        self.keep(at_once=True)
        if self._waiting:
            self.lost += len(self._waiting)
            why = "the last batch could not be written" if self._last_warning else "record.mb_a_day is spent"
            log.warning(
                "%s: %d rows are lost: %s; fmd doctor checks disk and record",
                self._folder / database.NAME,
                len(self._waiting),
                why,
            )
        self._disconnect()

    def _append(self, table: str, values: tuple[Any, ...], size: int) -> None:
        self._waiting.append(_Row(table, values, size))
        self._make_room()

    def _make_room(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1

    def _hurry(self) -> None:
        self._urgent_s = min(self._urgent_s, self._clock() + URGENT_S)

    def _change_span(self, camera: str, state: SpanState | None, now_ms: int) -> None:
        before = self._spans.pop(camera, None)
        if before is not None and now_ms > before.began:
            self._waiting.append(self._span_row(camera, before, now_ms))
        if state is not None:
            self._span_ids += 1
            self._spans[camera] = _Span(self._span_ids, state, now_ms)

    def _span_row(self, camera: str, span: _Span, now_ms: int) -> _Row:
        ended = max(span.began, now_ms)
        return _Row("spans", (span.id, camera, span.state.value, span.began, ended, self._clock_right), 40)

    def _notice_jumps(self, now_s: float) -> None:
        """End all spans where the wall clock jumps or becomes right, so that no span mixes two clocks."""
        right, offset_ms = self._synchronised(), round((self._wall() - now_s) * 1000)
        with self._lock:
            jump_ms = offset_ms - self._offset_ms
            if right == self._clock_right and abs(jump_ms) < JUMP_MS:
                return
            for camera, span in list(self._spans.items()):
                self._change_span(camera, None, self.now_ms() - jump_ms)
                self._clock_right, before = right, self._clock_right
                self._change_span(camera, span.state, self.now_ms())
                self._clock_right = before
            self._clock_right, self._offset_ms = right, offset_ms

    def _affordable(self, now_s: float) -> list[_Row] | None:
        """Return the rows to write now: all, or the oldest if they exceed even a full budget; None if none may be."""
        taken: list[_Row] = []
        left, total = self._budget.left(now_s), 0
        if batch_cost(0) > left:
            return None
        while self._waiting and batch_cost(self._waiting[0].size) > self._budget.most:
            # No budget can ever hold it, and it would block all rows that follow.
            row = self._waiting.popleft()
            self.lost += 1
            log.warning("left out a row of %s with %d bytes: record.mb_a_day allows no such batch", row.table, row.size)
        for row in self._waiting:
            total += row.size
            if batch_cost(total) > left:
                return taken if taken and self._budget.full else None
            taken.append(row)
        return taken

    def _write(self, rows: list[_Row]) -> None:
        connection = self._connected()
        with database.transaction(connection):
            for row in rows:
                values = (row.values[0] + self._base[row.table], *row.values[1:])
                if row.table == "passages":
                    values = (values[0], values[1] + self._base["runs"], *values[2:])
                marks = ",".join("?" * len(values))
                connection.execute(f"INSERT OR REPLACE INTO {row.table} VALUES({marks})", values)
            if self._clock_right:
                self._rolled_ms = hours.roll_up(connection, self.now_ms(), self._rolled_ms, self._settings)
            if self._clock() - self._saved_s >= SAVE_DRIFT_S:
                self._save_drift(connection)

    def _write_examples(self, now_s: float) -> None:
        """Write the pictures that wait, as far as the budget goes, and delete those that are too old or too many."""
        with self._lock:
            waiting = list(self._waiting_examples)
            self._waiting_examples.clear()
        for example in waiting:
            self._budget.spend(self._examples.write(example, EXAMPLES_SHARE * self._budget.left(now_s)))
        if waiting or now_s - self._trimmed_s >= TRIM_S:
            self._trimmed_s = now_s
            self._examples.trim(self.now_ms() if self._clock_right else None)

    def _connected(self) -> sqlite3.Connection:
        """Return the open database; open it again if its file was deleted or replaced under the service."""
        path = self._folder / database.NAME
        if self._connection is not None:
            if path.exists() and path.stat().st_ino == self._inode:
                return self._connection
            log.warning("%s: another program has removed it; a new record begins", path)
            self._disconnect()
        self._connection, problem = database.open_for_writing(self._folder)
        self._inode, self._rolled_ms = path.stat().st_ino, None
        query = "SELECT coalesce(max({}), 0) FROM {}"
        keys = {"events": "n", "passages": "id", "spans": "id", "runs": "id"}
        # Only once: rows keep the numbers that this process gave them, also in a database that begins in its middle.
        self._base = self._base or {
            table: self._connection.execute(query.format(key, table)).fetchone()[0] for table, key in keys.items()
        }
        hours.close_open_passages(self._connection)
        self._load_drift(self._connection)
        if problem:
            self.add("record", RecordProblem(problem))
        return self._connection

    def _find_changes(self, ended: list[PassageRow], maps: list[tuple[str, int, Image]]) -> None:
        """Look for changes in the passages and views of a batch, and record new findings as events."""
        if self._models != self._drift_models:
            if self._drift_models:
                # Another model is surer or less sure of the same faces: what is usual has to be learned again.
                self._drift = Drift()
                self.findings = self._all_findings()
            self._drift_models = self._models
        # Not in the loop: the detector takes a tenth of a millisecond for each passage.
        changes = [self._drift.add(row) for row in ended]
        changes += [self._views.setdefault(camera, View()).add(found, at) for camera, at, found in maps]
        if not any(changes):
            return
        before, self.findings = self.findings, self._all_findings()
        for finding in self.findings:
            if finding not in before:
                log.warning("%s%s", f"camera {finding.camera}: " if finding.camera else "", finding.message)
                self.add("drift", finding, finding.camera)
        self._saved_s = float("-inf")  # with the next batch

    def _load_drift(self, connection: sqlite3.Connection) -> None:
        """Continue with what an earlier process has learned, if it was with the same models."""
        if self._drift.states:
            return
        self._drift_models = notes.read(connection, notes.DRIFT_MODELS, str) or ""
        self._drift = Drift(notes.read(connection, notes.DRIFT_STATE, dict[str, CameraState]))
        self._views = notes.read(connection, notes.VIEWS, dict[str, View]) or {}
        self.findings = self._all_findings()

    def _all_findings(self) -> tuple[Finding, ...]:
        moved = [view.finding(camera) for camera, view in self._views.items() if view.moved]
        return (*moved, *self._drift.findings())

    def _save_drift(self, connection: sqlite3.Connection) -> None:
        self._saved_s = self._clock()
        notes.write(connection, notes.DRIFT_STATE, self._drift.saved())
        notes.write(connection, notes.DRIFT_MODELS, self._drift_models)
        notes.write(connection, notes.DRIFT, self.findings)
        notes.write(connection, notes.VIEWS, self._views)

    def _failed(self, error: OSError | sqlite3.Error, taken: list[_Row]) -> None:
        """Put the rows back, report the failure once, and set a damaged database aside."""
        with self._lock:
            self._waiting.extendleft(reversed(taken))
            self._make_room()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        warning = f"{self._folder / database.NAME}: {reason}; the rows wait in memory"
        if warning != self._last_warning:
            self._last_warning = warning
            log.warning("%s", warning)
        self._disconnect()
        if isinstance(error, sqlite3.Error) and database.is_damage(error):
            try:
                aside = database.set_aside(self._folder)
            except OSError:
                return  # reported already; the next batch tries again
            problem = f"{self._folder / database.NAME}: {reason}; it is now {aside.name}, and a new record begins"
            log.warning("%s", problem)
            self.add("record", RecordProblem(problem))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                log.warning("%s: closing: %s", self._folder / database.NAME, error)


def _short(value: float, digits: int = 1) -> float:
    return round(float(value), digits)


@contextmanager
def keeping(
    folder: Path | None,
    settings: RecordSettings,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    synchronised: Synchronised = lambda: True,
    runtime: Path | None = None,
) -> Iterator[Record | None]:
    """Open the record and write it in a thread of its own: a card may take seconds for a sync, and the loop must not
    wait.

    Yields None if the settings keep no record.
    """
    if folder is None or not settings.keep:
        yield None
        return
    record = Record(folder, settings, clock, wall, synchronised, runtime)
    done = threading.Event()

    def work() -> None:
        while not done.wait(1.0):
            record.keep()
        record.close()

    thread = threading.Thread(target=work, name="record", daemon=True)
    thread.start()
    try:
        yield record
    finally:
        done.set()
        thread.join(STOP_S)
        if thread.is_alive():
            log.warning("%s: the last rows were not written within %g s", folder / database.NAME, STOP_S)
