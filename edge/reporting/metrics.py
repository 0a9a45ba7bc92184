"""Metrics: a snapshot of all counters, as a message and for the servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from edge import board
from edge.board import Board
from edge.contracts import ModelFallback, Outcome
from edge.messages import ArmingMessage, BuildMessage, DriftMessage, MetricsMessage
from edge.reporting.live_state import VIOLATED, CameraCounters, LiveState
from edge.reporting.outbox import Outbox


@dataclass(frozen=True, slots=True)
class ServiceReadings:
    """What the service reads at one moment about itself.

    ``clock_known`` is whether the time of day is known. ``record_failing`` is whether the last batch of the record
    could not be written, ``record_lost`` how many of its rows were dropped; both are None without a record.
    """

    clock_known: bool = True
    record_failing: bool | None = None
    record_lost: int | None = None


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """All counters and readings at one moment; ``wall`` is the time of day, in seconds since 1970.

    ``hinted`` and ``drifts`` are those of :class:`edge.reporting.live_state.LiveState`.
    """

    cameras: Mapping[str, CameraCounters]
    board: Board
    uptime_s: float
    frame_age_s: Mapping[str, float]
    outboxes: Mapping[str, Mapping[str, int]]
    arming: ArmingMessage
    wall: float
    fallbacks: tuple[ModelFallback, ...] = ()
    build: BuildMessage = field(default_factory=BuildMessage)
    service: ServiceReadings = field(default_factory=ServiceReadings)
    hinted: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    drifts: Mapping[str, DriftMessage] = field(default_factory=dict)


class Metrics:
    """Makes snapshots of a live state.

    ``clock`` gives monotonic seconds, ``wall`` seconds since 1970; ``outboxes`` are the present ones.
    """

    def __init__(
        self,
        live: LiveState,
        outboxes: Iterable[Outbox] = (),
        clock: Callable[[], float] = time.monotonic,
        read_board: Callable[[], Board] = board.read,
        read_service: Callable[[], ServiceReadings] = ServiceReadings,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._live, self._outboxes, self._clock, self._wall = live, outboxes, clock, wall
        self.read_board, self._read_service = read_board, read_service
        self._started_s = clock()

    def snapshot(self) -> MetricsSnapshot:
        """Return all counters as of now."""
        now_s, cameras = self._clock(), self._live.counters()
        ages = {
            camera: now_s - counters.frame_s for camera, counters in cameras.items() if counters.frame_s is not None
        }
        outboxes = {
            box.name: {
                "sent": box.sent,
                "failed": box.failed,
                "dropped": box.dropped,
                "waiting": box.waiting,
                "failing": int(box.failing),
            }
            for box in self._outboxes
        }
        return MetricsSnapshot(
            cameras=cameras,
            board=self.read_board(),
            uptime_s=now_s - self._started_s,
            frame_age_s=ages,
            outboxes=outboxes,
            arming=self._live.arming,
            wall=self._wall(),
            fallbacks=self._live.fallbacks(),
            build=self._live.build,
            service=self._read_service(),
            hinted=self._live.hinted(),
            drifts=self._live.drifts(),
        )


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
        model_fallback=bool(snapshot.fallbacks),
        memory_mb=None if board_now.memory_bytes is None else round(board_now.memory_bytes / 1e6, 1),
        temperature_c=None if board_now.temperature_c is None else round(board_now.temperature_c, 1),
        **(board_now.throttled or {}),
    )
