"""Metrics: a snapshot of all counters, as a message and for the Prometheus endpoint."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge import board, drivers
from edge.board import Board
from edge.config import MetricsSettings
from edge.contracts import Outcome
from edge.errors import FmdError, OutputError
from edge.messages import MetricsMessage
from edge.reporting.live_state import VIOLATED, CameraCounters, LiveState
from edge.reporting.outbox import Outbox

log = logging.getLogger(__name__)

RETRY_S = 60.0
"""How often a port that cannot be served is tried again: an address may appear late, and a port become free."""


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """All counters and the board's readings at one moment."""

    cameras: Mapping[str, CameraCounters]
    board: Board
    uptime_s: float
    frame_age_s: Mapping[str, float]
    outboxes: Mapping[str, Mapping[str, int]]


class Metrics:
    """Makes snapshots of a live state. ``clock`` gives monotonic seconds, ``outboxes`` are the present ones."""

    def __init__(
        self,
        live: LiveState,
        outboxes: Iterable[Outbox] = (),
        clock: Callable[[], float] = time.monotonic,
        read_board: Callable[[], Board] = board.read,
    ) -> None:
        self._live, self._outboxes, self._clock, self.read_board = live, outboxes, clock, read_board
        self._started_s = clock()

    def snapshot(self) -> MetricsSnapshot:
        """Return all counters as of now."""
        now_s, cameras = self._clock(), self._live.counters()
        ages = {
            camera: now_s - counters.frame_s for camera, counters in cameras.items() if counters.frame_s is not None
        }
        outboxes = {
            box.name: {"sent": box.sent, "failed": box.failed, "dropped": box.dropped, "waiting": box.waiting}
            for box in self._outboxes
        }
        return MetricsSnapshot(cameras, self.read_board(), now_s - self._started_s, ages, outboxes)


def metrics_message(snapshot: MetricsSnapshot) -> MetricsMessage:
    """Return a snapshot as a message: all cameras together, without what the board cannot measure."""
    cameras, board_now = snapshot.cameras.values(), snapshot.board

    def passages(outcome: str) -> int:
        return sum(counters.passages[outcome] for counters in cameras)

    return MetricsMessage(
        uptime_s=round(snapshot.uptime_s, 1),
        frames=sum(counters.frames for counters in cameras),
        frames_dropped=sum(counters.dropped for counters in cameras),
        frame_age_s=round(max(snapshot.frame_age_s.values(), default=0.0), 2),
        alarms=sum(counters.alarms for counters in cameras),
        blind_times=sum(counters.blind_times for counters in cameras),
        too_slow=any(counters.slow for counters in cameras),
        messages_dropped=sum(box["dropped"] for box in snapshot.outboxes.values()),
        passages_violated=passages(VIOLATED),
        passages_compliant=passages(Outcome.COMPLIANT.value),
        passages_unsure=passages(Outcome.UNSURE.value),
        memory_mb=None if board_now.memory_bytes is None else round(board_now.memory_bytes / 1e6, 1),
        temperature_c=None if board_now.temperature_c is None else round(board_now.temperature_c, 1),
        **(board_now.throttled or {}),
    )


class MetricsEndpoint:
    """Serves the metrics where the settings say, and nowhere if they name no port."""

    def __init__(self, snapshot: Callable[[], MetricsSnapshot], retry_s: float = RETRY_S) -> None:
        self._snapshot, self._retry_s, self._lock = snapshot, retry_s, threading.Lock()
        self._wanted: MetricsSettings | None = None
        self._served: MetricsSettings | None = None
        self._server: Any = None
        self._superseded, self._last_error = threading.Event(), ""

    def open(self, settings: MetricsSettings | None) -> None:
        """Serve there and nowhere else; waits for a request in progress. Raises OutputError if it cannot be served."""
        self._want(settings)
        self._serve()

    def begin(self, settings: MetricsSettings) -> None:
        """Do the same at the start; if it cannot be served now, keep trying while the door is watched.

        Raises RuntimeMissingError if it can never be served.
        """
        try:
            self.open(settings)
        except OutputError as error:
            self._report(error)
            self.follow(settings)

    def follow(self, settings: MetricsSettings) -> threading.Thread:
        """Do the same for a loop that must not wait: in the thread that is returned."""
        # Before the thread begins, so that the latest request counts, whichever thread runs first.
        superseded = self._want(settings)

        def work() -> None:
            while not superseded.is_set() and not self._try_to_serve():
                superseded.wait(self._retry_s)

        thread = threading.Thread(target=work, name="metrics reload", daemon=True)
        thread.start()
        return thread

    def _try_to_serve(self) -> bool:
        try:
            self._serve()
        except FmdError as error:
            self._report(error)
            return False
        return True

    def _want(self, settings: MetricsSettings | None) -> threading.Event:
        """Return the event that is set as soon as other settings are wanted."""
        self._wanted = settings
        self._superseded.set()
        self._superseded = threading.Event()
        return self._superseded

    def _report(self, error: FmdError) -> None:
        if str(error) != self._last_error:
            self._last_error = str(error)
            log.error("no metrics are served: %s; trying again every %g s", error, self._retry_s)

    def _serve(self) -> None:
        with self._lock:
            wanted = self._wanted
            if self._served == wanted:
                return
            if self._server is not None:
                self._server.close()
            # Until the new port is served nothing is: so a port that is taken is tried again.
            self._server = self._served = None
            if wanted is not None and wanted.port:
                self._server = drivers.open_metrics(wanted, self._snapshot)
            self._served, self._last_error = wanted, ""
