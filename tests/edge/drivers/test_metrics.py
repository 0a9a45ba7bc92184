"""Metrics as Prometheus reads them: over real HTTP, parsed by its own parser, beside clients that never finish."""

from __future__ import annotations

import socket
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from edge import config, drivers
from edge.board import Board
from edge.contracts import CameraState, ModelFallback
from edge.drivers.metrics import MAX_CLIENTS, REQUEST_S, MetricsServer
from edge.errors import OutputError, RuntimeMissingError
from edge.messages import ArmingMessage, BuildMessage, DriftMessage
from edge.reporting.live_state import CameraCounters, LiveState
from edge.reporting.metrics import Metrics, MetricsSnapshot, ServiceReadings

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")

COUNTERS = CameraCounters(
    frames=100,
    awake=40,
    dropped=3,
    alarms=2,
    alarm=True,
    blind=False,
    blind_times=1,
    slow=True,
    state=CameraState.FROZEN,
    late={0.1: 90, 0.5: 9, float("inf"): 1},
    late_sum_s=12.5,
    frame_s=9.0,
    decisions=Counter(violation=2, compliant=5),
    passages=Counter(violated=2),
    stage_s={"watch": 0.25, "detect": 1.5},
)
BOARD = Board(120_000_000, 61.5, {"under_voltage": True, "throttled": False}, 2_000_000, 8_000_000)
BY_HAND = ArmingMessage(armed=False, source="command", until="2026-11-30T18:00:00+00:00", muted_until="2026-11-30")
OUTBOXES = {"mqtt": {"sent": 9, "failed": 1, "dropped": 4, "waiting": 2, "failing": 1}}


def snapshot(board: Board = BOARD, arming: ArmingMessage = BY_HAND) -> MetricsSnapshot:
    return MetricsSnapshot(
        {"": COUNTERS, "yard": CameraCounters(frames=7, frame_s=9.5)},
        board,
        60.0,
        {"": 1.0, "yard": 0.5},
        OUTBOXES,
        arming=arming,
        wall=1_796_000_000.5,
        fallbacks=(ModelFallback("classifier", "mine.tflite", "shipped.tflite", "damaged"),),
        build=BuildMessage("1.2.3", "mask", "abc", "fed", "def", 'Pi "5"', "Debian"),
        service=ServiceReadings(clock_known=False, record_failing=True, record_lost=11),
        hinted={("yard", "turn"): True, ("yard", "size"): False},
        drifts={"": DriftMessage(changed=True, message="moved")},
    )


def settings_for(port: int = 0, address: str = "127.0.0.1") -> config.MetricsSettings:
    return config.load(None, {"metrics.port": port, "metrics.address": address}).metrics


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    made = MetricsServer(settings_for(), snapshot)
    yield made
    made.close()


def scraped(server: MetricsServer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("fmd_frames_total", {"camera": ""}, 100),
        ("fmd_frames_total", {"camera": "yard"}, 7),
        ("fmd_frames_awake_total", {"camera": ""}, 40),
        ("fmd_frames_dropped_total", {"camera": ""}, 3),
        ("fmd_frame_age_seconds", {"camera": "yard"}, 0.5),
        ("fmd_alarms_total", {"camera": ""}, 2),
        ("fmd_alarm", {"camera": ""}, 1),
        ("fmd_blind", {"camera": ""}, 0),
        ("fmd_too_slow", {"camera": ""}, 1),
        ("fmd_too_slow", {"camera": "yard"}, 0),
        ("fmd_late_seconds_bucket", {"camera": "", "le": "0.1"}, 90),
        ("fmd_late_seconds_bucket", {"camera": "", "le": "0.5"}, 99),
        ("fmd_late_seconds_bucket", {"camera": "", "le": "+Inf"}, 100),
        ("fmd_late_seconds_sum", {"camera": ""}, 12.5),
        ("fmd_blind_times_total", {"camera": ""}, 1),
        ("fmd_decisions_total", {"camera": "", "outcome": "compliant"}, 5),
        ("fmd_passages_total", {"camera": "", "outcome": "violated"}, 2),
        ("fmd_stage_seconds_total", {"camera": "", "stage": "detect"}, 1.5),
        ("fmd_model_fallback", {"task": "classifier"}, 1),
        ("fmd_model_fallback", {"task": "detector"}, 0),
        (
            "fmd_build_info",
            {"version": "1.2.3", "model": "mask", "classifier_sha": "abc", "detector_sha": "fed"}
            | {"settings_hash": "def", "board": 'Pi "5"', "os": "Debian"},
            1,
        ),
        ("fmd_version_number", {}, 1_002_003),
        ("fmd_camera_state", {"camera": "", "state": "frozen"}, 1),
        ("fmd_camera_state", {"camera": "", "state": "streaming"}, 0),
        ("fmd_hint", {"camera": "yard", "kind": "turn"}, 1),
        ("fmd_hint", {"camera": "yard", "kind": "size"}, 0),
        ("fmd_drift", {"camera": "", "of": "camera"}, 1),
        ("fmd_drift", {"camera": "", "of": "behaviour"}, 0),
        ("fmd_armed", {}, 0),
        ("fmd_disarmed_by_hand", {}, 1),
        ("fmd_disarmed_until_timestamp_seconds", {}, 1_796_061_600),
        ("fmd_muted", {}, 1),
        ("fmd_time_seconds", {}, 1_796_000_000.5),
        ("fmd_clock_known", {}, 0),
        ("fmd_record_failing", {}, 1),
        ("fmd_record_lost_rows_total", {}, 11),
        ("fmd_disk_free_bytes", {}, 2_000_000),
        ("fmd_disk_bytes", {}, 8_000_000),
        ("fmd_uptime_seconds", {}, 60),
        ("fmd_resident_memory_bytes", {}, 120_000_000),
        ("fmd_temperature_celsius", {}, 61.5),
        ("fmd_throttled", {"what": "under_voltage"}, 1),
        ("fmd_throttled", {"what": "throttled"}, 0),
        ("fmd_messages_sent_total", {"receiver": "mqtt"}, 9),
        ("fmd_messages_dropped_total", {"receiver": "mqtt"}, 4),
        ("fmd_messages_waiting", {"receiver": "mqtt"}, 2),
        ("fmd_messages_failing", {"receiver": "mqtt"}, 1),
    ],
)
def test_each_metric_is_served(server: MetricsServer, name: str, labels: dict[str, str], value: float) -> None:
    assert scraped(server)[name, frozenset(labels.items())] == value


def test_missing_board_readings_are_not_served() -> None:
    server = MetricsServer(settings_for(), lambda: snapshot(Board(None, None, None)))
    names = {name for name, _ in scraped(server)}
    server.close()
    assert not names & {"fmd_resident_memory_bytes", "fmd_temperature_celsius", "fmd_throttled"}
    assert not names & {"fmd_disk_free_bytes", "fmd_disk_bytes"}


def test_a_camera_without_a_known_state_has_none(server: MetricsServer) -> None:
    assert {labels for name, labels in scraped(server) if name == "fmd_camera_state"} == {
        frozenset({("camera", ""), ("state", state.value)}) for state in CameraState
    }


@pytest.mark.parametrize(
    ("arming", "by_hand", "until"),
    [
        (ArmingMessage(armed=True, source="command", until="2026-11-30T18:00:00+00:00"), 0, 0),
        (ArmingMessage(armed=False, source="schedule", until="2026-11-30T18:00:00+00:00"), 0, 1_796_061_600),
        (ArmingMessage(armed=False, source="pin"), 1, 0),
    ],
)
def test_a_schedule_is_told_from_a_hand(arming: ArmingMessage, by_hand: float, until: float) -> None:
    server = MetricsServer(settings_for(), lambda: snapshot(arming=arming))
    found = scraped(server)
    server.close()
    assert found["fmd_disarmed_by_hand", frozenset()] == by_hand
    assert found["fmd_disarmed_until_timestamp_seconds", frozenset()] == until


def test_what_is_not_known_is_not_served() -> None:
    made = Metrics(LiveState(time.monotonic), read_board=lambda: BOARD).snapshot()
    server = MetricsServer(settings_for(), lambda: made)
    names = {name for name, _ in scraped(server)}
    server.close()
    # Without settings no version is known, and without a state directory there is no record.
    assert not names & {"fmd_version_number", "fmd_record_failing", "fmd_record_lost_rows_total", "fmd_drift"}


def test_silent_clients_are_disconnected(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        silent.settimeout(10)
        assert silent.recv(1) == b"", "the server hangs up"
    assert scraped(server)


def test_two_hundred_clients_that_send_nothing_keep_no_scrape_waiting(server: MetricsServer) -> None:
    before = threading.active_count()
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    for each in silent[::2]:
        each.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    began_s = time.monotonic()
    assert scraped(server)
    assert time.monotonic() - began_s < 1.0
    assert threading.active_count() <= before + MAX_CLIENTS + 1
    for each in silent:
        each.close()


def test_a_request_of_any_length_is_refused(server: MetricsServer) -> None:
    for line in (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.settimeout(10)
            with suppress(OSError):
                client.sendall(line)
                assert client.recv(1 << 16).split()[1] in (b"414", b"431")
    assert scraped(server)


def test_a_client_that_trickles_bytes_is_disconnected_in_time(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as dripping:
        dripping.settimeout(0.2)
        before_s = time.monotonic()
        dripping.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        with suppress(OSError):  # a reset or a broken pipe, once it is hung up on
            while time.monotonic() - before_s < 10:
                dripping.sendall(b"x")
                try:
                    if not dripping.recv(1):
                        break
                except TimeoutError:
                    continue
        assert time.monotonic() - before_s < REQUEST_S + 2
    assert scraped(server)


def test_an_ipv6_address_is_served() -> None:
    try:
        server = MetricsServer(settings_for(address="::1"), snapshot)
    except OutputError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with urllib.request.urlopen(f"http://[::1]:{server.port}/metrics", timeout=10) as answer:
        assert b"fmd_frames_total" in answer.read()
    server.close()


def test_close_does_not_wait_for_a_silent_client(server: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        before_s = time.monotonic()
        server.close()
        assert time.monotonic() - before_s < 15


def test_a_port_in_use_is_reported(server: MetricsServer) -> None:
    with pytest.raises(OutputError, match=rf"^metrics\.port: 127\.0\.0\.1:{server.port} cannot be served: "):
        MetricsServer(settings_for(server.port), snapshot)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(RuntimeMissingError, match=r"^metrics\.port: .*pip install '\.\[metrics\]'"):
        list(drivers.servers(config.load(None, {"metrics.port": 9000}), snapshot))


def test_the_reporters_own_snapshot_is_served() -> None:
    server = MetricsServer(settings_for(), Metrics(LiveState(time.monotonic)).snapshot)
    assert scraped(server)["fmd_uptime_seconds", frozenset()] >= 0
    server.close()
