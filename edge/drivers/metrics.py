"""Metrics for Prometheus at http://ADDRESS:PORT/metrics through prometheus_client.

The service only counts; the text is made when a client asks for it. Each client has a thread, for a short time only. A
client too many takes the place of the one that is connected longest, so that any number of them that connect and send
nothing cannot keep Prometheus out.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import accumulate
from socketserver import ThreadingMixIn
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec

from edge.config import MetricsSettings, Settings
from edge.contracts import CameraState, ModelFallback
from edge.drivers.library import import_library, pip_extra
from edge.drivers.server import ConfiguredServer
from edge.errors import OutputError
from edge.messages import ArmingMessage, BuildMessage, DriftMessage
from edge.paths import TASKS
from edge.version import number

REQUEST_S = 2.0
"""Time limit of a request."""
MAX_CLIENTS = 32
"""Most clients that are connected at one time."""
CROWD_S = 0.003
"""Least time between two clients while that many are connected: 128 who wait for their turn take 0.4 s."""


class SnapshotLike(Protocol):
    """All metrics at one moment: see :class:`edge.reporting.metrics.MetricsSnapshot`."""

    @property
    def cameras(self) -> Mapping[str, Any]: ...
    @property
    def board(self) -> Any: ...
    @property
    def uptime_s(self) -> float: ...
    @property
    def frame_age_s(self) -> Mapping[str, float]: ...
    @property
    def outboxes(self) -> Mapping[str, Mapping[str, int]]: ...
    @property
    def arming(self) -> ArmingMessage: ...
    @property
    def wall(self) -> float: ...
    @property
    def fallbacks(self) -> Sequence[ModelFallback]: ...
    @property
    def build(self) -> BuildMessage: ...
    @property
    def service(self) -> Any: ...
    @property
    def hinted(self) -> Mapping[tuple[str, str], bool]: ...
    @property
    def drifts(self) -> Mapping[str, DriftMessage]: ...


def configured(settings: Settings, snapshot: Callable[[], SnapshotLike]) -> Iterator[ConfiguredServer]:
    """Yield the server that the section ``[metrics]`` configures. Raises RuntimeMissingError without its library."""
    _library("prometheus_client")
    yield ConfiguredServer("metrics", settings.metrics, partial(MetricsServer, settings.metrics, snapshot))


def _library(module: str) -> Any:
    return import_library(module, "metrics.port", pip_extra("metrics"))


class MetricsServer:
    """Server that answers until it is closed. ``port`` is the configured port, or a free one for 0."""

    def __init__(self, settings: MetricsSettings, snapshot: Callable[[], SnapshotLike]) -> None:
        client, core = _library("prometheus_client"), _library("prometheus_client.core")
        # A registry of its own: the default one adds metrics about the Python process.
        registry = client.CollectorRegistry()
        registry.register(_Collector(core, snapshot))
        try:
            self._server = make_server(
                settings.address,
                settings.port,
                client.make_wsgi_app(registry),
                server_class=_Server,
                handler_class=_Handler,
            )
        except OSError as error:
            raise OutputError(
                f"metrics.port: {settings.address}:{settings.port} cannot be served: {error.strerror}"
            ) from error
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; a request that is being answered is abandoned with its thread."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads, block_on_close = True, False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._connected_s: dict[Any, float] = {}  # in the order in which they connected
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; make room for it first."""
        if len(self._connected_s) >= MAX_CLIENTS:
            # A crowd that comes back at once must not cost the loop its processor time.
            time.sleep(CROWD_S)
        with self._lock:
            while len(self._connected_s) >= MAX_CLIENTS:
                self._hang_up(next(iter(self._connected_s)))
            self._connected_s[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Disconnect clients that take too long; the server's loop calls this twice a second."""
        with self._lock:
            late_s = time.monotonic() - REQUEST_S
            for request in [request for request, since_s in self._connected_s.items() if since_s < late_s]:
                self._hang_up(request)

    def _hang_up(self, request: Any) -> None:
        del self._connected_s[request]
        with suppress(OSError):  # the client has disconnected
            request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """Disconnect a client that has its answer."""
        with self._lock:
            self._connected_s.pop(request, None)
        super().shutdown_request(request)

    def server_bind(self) -> None:
        # The parent class asks a name server for this machine's name, which takes seconds if there is none.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a client that disconnects is no error of fmd."""


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_S

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: one line per scrape would fill the journal."""

    def address_string(self) -> str:
        return str(self.client_address[0])


class _Collector:
    def __init__(self, core: Any, snapshot: Callable[[], SnapshotLike]) -> None:
        self._core, self._snapshot = core, snapshot

    def collect(self) -> Iterator[Any]:
        now = self._snapshot()
        yield from self._cameras(now)
        yield from self._health(now)
        yield from self._door(now)
        yield from self._board(now)
        for what, help_ in OUTBOX.items():
            kind = self._core.GaugeMetricFamily if what in ("waiting", "failing") else self._core.CounterMetricFamily
            family = kind(f"fmd_messages_{what}", help_, labels=["receiver"])
            for name, counts in now.outboxes.items():
                family.add_metric([name], counts[what])
            yield family

    def _cameras(self, now: SnapshotLike) -> Iterator[Any]:
        for name, (help_, key) in COUNTERS.items():
            family = self._core.CounterMetricFamily(name, help_, labels=["camera"])
            for camera, counters in now.cameras.items():
                family.add_metric([camera], getattr(counters, key))
            yield family
        for name, (help_, key) in GAUGES.items():
            family = self._core.GaugeMetricFamily(name, help_, labels=["camera"])
            for camera, counters in now.cameras.items():
                family.add_metric([camera], float(getattr(counters, key)))
            yield family
        for name, (help_, key, label) in BY_LABEL.items():
            family = self._core.CounterMetricFamily(name, help_, labels=["camera", label])
            for camera, counters in now.cameras.items():
                for value, count in getattr(counters, key).items():
                    family.add_metric([camera, value], count)
            yield family
        late = self._core.HistogramMetricFamily(
            "fmd_late_seconds", "Time from the picture to the end of its step", labels=["camera"]
        )
        for camera, counters in now.cameras.items():
            counts = zip(counters.late, accumulate(counters.late.values()), strict=True)
            buckets = [("+Inf" if most_s == math.inf else f"{most_s:g}", count) for most_s, count in counts]
            late.add_metric([camera], buckets, counters.late_sum_s)
        yield late
        age = self._core.GaugeMetricFamily(
            "fmd_frame_age_seconds", "Time since the last frame passed all stages", labels=["camera"]
        )
        for camera, seconds in now.frame_age_s.items():
            age.add_metric([camera], seconds)
        yield age

    def _health(self, now: SnapshotLike) -> Iterator[Any]:
        gauge = self._core.GaugeMetricFamily
        family = gauge("fmd_camera_state", "1 for the state that the camera is in", labels=["camera", "state"])
        for camera, counters in now.cameras.items():
            for state in CameraState if counters.state else ():
                family.add_metric([camera, state.value], float(state is counters.state))
        yield family
        family = gauge("fmd_hint", "1 while fmd has a hint of this kind about the camera", labels=["camera", "kind"])
        for (camera, kind), is_so in now.hinted.items():
            family.add_metric([camera, kind], float(is_so))
        yield family
        family = gauge(
            "fmd_drift",
            "1 while the camera, or the behaviour of people, has changed; with the camera, reports withhold compliance",
            labels=["camera", "of"],
        )
        for camera, drift in now.drifts.items():
            family.add_metric([camera, "camera"], float(drift.changed))
            family.add_metric([camera, "behaviour"], float(drift.behaviour_changed))
        yield family

    def _door(self, now: SnapshotLike) -> Iterator[Any]:
        gauge = self._core.GaugeMetricFamily
        for name, (help_, value) in PLAIN.items():
            if (found := value(now)) is not None:
                yield gauge(name, help_, value=float(found))
        if (lost := now.service.record_lost) is not None:
            yield self._core.CounterMetricFamily("fmd_record_lost_rows", "Rows that the record dropped", value=lost)
        build = msgspec.to_builtins(now.build)
        info = gauge("fmd_build_info", "1, with what runs here: fmd, classifier, settings, board", labels=list(build))
        info.add_metric(list(build.values()), 1.0)
        yield info
        family = gauge("fmd_model_fallback", "1 if another model than the installed one is in use", labels=["task"])
        for task in TASKS:
            family.add_metric([task], float(any(fallback.task == task for fallback in now.fallbacks)))
        yield family

    def _board(self, now: SnapshotLike) -> Iterator[Any]:
        gauge = self._core.GaugeMetricFamily
        for name, (help_, key) in BOARD.items():
            if (value := getattr(now.board, key)) is not None:
                yield gauge(name, help_, value=value)
        if now.board.throttled is not None:
            family = gauge("fmd_throttled", "Limits that the Raspberry Pi's firmware imposes, and why", labels=["what"])
            for what, is_so in now.board.throttled.items():
                family.add_metric([what], float(is_so))
            yield family


def _disarmed_until(now: SnapshotLike) -> float:
    arming = now.arming
    return datetime.fromisoformat(arming.until).timestamp() if arming.until and not arming.armed else 0.0


COUNTERS = {
    "fmd_frames": ("Frames that passed all stages", "frames"),
    "fmd_frames_awake": ("Frames of these for which the gate was open", "awake"),
    "fmd_frames_dropped": ("Frames that were outdated before they could be processed", "dropped"),
    "fmd_alarms": ("Alarms that began", "alarms"),
    "fmd_blind_times": ("Times that the camera became blind", "blind_times"),
}
GAUGES = {
    "fmd_alarm": ("1 while the alarm is on", "alarm"),
    "fmd_blind": ("1 while the camera gives no usable picture", "blind"),
    "fmd_too_slow": ("1 while the board processes fewer frames than the settings ask for", "slow"),
}
BY_LABEL = {
    "fmd_decisions": ("Decisions made, by outcome", "decisions", "outcome"),
    "fmd_passages": ("Passages that ended, by outcome", "passages", "outcome"),
    "fmd_stage_seconds": ("Time spent in each stage", "stage_s", "stage"),
}
PLAIN: Mapping[str, tuple[str, Callable[[SnapshotLike], float | None]]] = {
    "fmd_armed": ("1 while people lead to alarms, 0 while disarmed", lambda now: now.arming.armed),
    "fmd_disarmed_by_hand": (
        "1 while disarmed by a command, the page, a contact or a message, and not by the schedule",
        lambda now: not now.arming.armed and now.arming.source != "schedule",
    ),
    "fmd_disarmed_until_timestamp_seconds": (
        "When fmd arms itself again, in seconds since 1970; 0 while armed, or without an end",
        _disarmed_until,
    ),
    "fmd_muted": ("1 while buzzer and voice are silent by command", lambda now: bool(now.arming.muted_until)),
    "fmd_uptime_seconds": ("Time since fmd started", lambda now: now.uptime_s),
    "fmd_time_seconds": ("Time of day of this board, in seconds since 1970", lambda now: now.wall),
    "fmd_clock_known": (
        "1 if the time of day is known: set from the network, or trusted by the settings",
        lambda now: now.service.clock_known,
    ),
    "fmd_version_number": ("Version of fmd as a number: 1002003 for 1.2.3", lambda now: number(now.build.version)),
    "fmd_record_failing": (
        "1 while the record cannot be written, so that its rows wait in memory",
        lambda now: now.service.record_failing,
    ),
}
"""Metrics of the door as a whole: name -> (help, value); None is not served."""
BOARD = {
    "fmd_resident_memory_bytes": ("Memory of this process", "memory_bytes"),
    "fmd_temperature_celsius": ("Temperature of the processor", "temperature_c"),
    "fmd_disk_free_bytes": ("Room for new files on the disk with the state directory", "disk_free_bytes"),
    "fmd_disk_bytes": ("Size of the disk with the state directory", "disk_bytes"),
}
OUTBOX = {
    "sent": "Messages delivered",
    "failed": "Failed attempts to deliver a message",
    "dropped": "Messages dropped because the queue was full",
    "waiting": "Messages in the queue",
    "failing": "1 while the last message could not be delivered",
}
