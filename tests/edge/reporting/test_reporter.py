"""Messages and figures: what is told of a run, what waits, what is dropped, and that nobody's network is waited for."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edge import config, drivers
from edge.board import Board
from edge.contracts import (
    Box,
    CameraState,
    Change,
    Decision,
    Delivery,
    Face,
    Health,
    MessageKind,
    ModelFallback,
    Outcome,
    Passage,
    Signal,
    Step,
    Track,
)
from edge.drivers.server import ConfiguredServer
from edge.errors import OutputError, SettingsError
from edge.messages import ArmingMessage, BuildMessage, ModelMessage
from edge.reporting import annotate
from edge.reporting.listener import Callbacks, Listeners
from edge.reporting.live_state import LiveState
from edge.reporting.metrics import Metrics, MetricsSnapshot, metrics_message
from edge.reporting.outbox import Outbox
from edge.reporting.reporter import BoardComplaint, Reporter, check, open_reporting
from edge.reporting.servers import ServerEndpoint
from edge.service import run as service
from tests.edge.parts import (
    PATIENCE_S,
    RecordingPublisher,
    frame_of,
    free_port,
    pipeline_of,
    texture,
    wait_for,
    write_clip,
)

PERSON = Box(100, 80, 180, 160)
UNKNOWN = Delivery()


SHOWN = {Outcome.VIOLATION: Signal.NO_MASK, Outcome.UNSURE: Signal.UNSURE}
"""By default."""


def passage(outcome: Outcome = Outcome.VIOLATION, violated: bool = False, signal: Signal | None = None) -> Passage:
    signal = SHOWN.get(outcome, Signal.RUNNING) if signal is None else signal
    return Passage(1, outcome, "without_mask", 5, violated, 1.0, 2.0, 3.5, signal)


def decision(
    change: Change = Change.DECIDED, outcome: Outcome = Outcome.VIOLATION, camera: str = "", **more: Any
) -> Decision:
    return Decision(change, passage(outcome, **more), 2.0, camera)


def step(
    signal: Signal = Signal.RUNNING, decisions: tuple[Decision, ...] = (), camera: str = "", seed: int = 0
) -> Step:
    frame = frame_of(texture(240, 320, seed), 2.0)
    faces, tracks = (Face(PERSON, 0.9),), (Track(1, PERSON, 0.9, 1.0, 2.0, 0),)
    timings = {"watch": 0.001, "detect": 0.01}
    return Step(frame, True, True, faces, tracks, {}, (), decisions, signal, timings, camera)


class Told:
    """A live state and a reporter with one publisher, and what it published."""

    def __init__(
        self, publisher: RecordingPublisher, starts: Callable[[], float] = lambda: 1.7e9, **changed: Any
    ) -> None:
        self.settings = config.load(None, {f"publish.{key}": value for key, value in changed.items()})
        self.publisher = publisher
        self.now_s = 100.0
        self.outbox = Outbox("test", publisher, 100)
        board = Board(123_000_000, 61.5, None)
        self.live = LiveState(lambda: self.now_s)
        self.metrics = Metrics(self.live, [self.outbox], lambda: self.now_s, lambda: board)
        self.reporter = Reporter(self.settings.publish, self.live, self.metrics, [self.outbox], starts)
        self.listener = Listeners([self.live, self.reporter])

    def on_step(self, step: Step, delivery: Delivery = UNKNOWN) -> None:
        """Report a step without its decisions, which tests report themselves."""
        for listener in (self.live, self.reporter):
            listener.on_step(step, delivery)

    def all(self) -> RecordingPublisher:
        self.reporter.close()
        self.outbox.close()
        return self.publisher


@pytest.fixture
def told(publisher: RecordingPublisher) -> Told:
    return Told(publisher)


def test_a_state_is_told_when_it_changes_and_the_end_is_off(told: Told) -> None:
    for signal in (Signal.RUNNING, Signal.RUNNING, Signal.NO_MASK, Signal.NO_MASK, Signal.RUNNING):
        told.on_step(step(signal))
        wait_for(lambda: told.outbox.waiting == 0)
    states = [values["state"] for values in told.all().values_of(MessageKind.STATE)]
    assert states == ["running", "no_mask", "running", "off"]


def test_what_runs_is_told_when_it_changes_and_kept_for_later_receivers(told: Told) -> None:
    old, new = BuildMessage("1.0", settings_hash="a"), BuildMessage("1.0", settings_hash="b")
    for build in (old, old, new):
        told.reporter.on_build(build)
        wait_for(lambda: told.outbox.waiting == 0)
    later = RecordingPublisher()
    outbox = Outbox("later", later, 100)
    told.reporter.retain([outbox])
    outbox.close()
    assert [values["settings_hash"] for values in later.values_of(MessageKind.BUILD)] == ["b"]
    assert [values["settings_hash"] for values in told.all().values_of(MessageKind.BUILD)] == ["a", "b"]


def test_a_run_is_described_with_its_settings(publisher: RecordingPublisher) -> None:
    def describe(settings: config.Settings) -> BuildMessage:
        return BuildMessage("1.0", settings_hash=str(settings.publish.queue))

    with open_reporting(config.load(), describe=describe) as reporting:
        for queue in (100, 7):
            reporting.on_settings(config.load(None, {"publish.queue": queue}))
            assert reporting.metrics.snapshot().build == BuildMessage("1.0", settings_hash=str(queue))


def test_arming_is_told_when_it_changes_and_kept_for_later_receivers(told: Told) -> None:
    armed, disarmed = ArmingMessage(armed=True, source="default"), ArmingMessage(armed=False, source="pin", by="key")
    for arming in (armed, armed, disarmed):
        told.listener.on_arming(arming)
    later = RecordingPublisher()
    outbox = Outbox("later", later, 100)
    told.reporter.retain([outbox])
    outbox.close()
    assert later.values_of(MessageKind.ARMING) == [{"armed": False, "source": "pin", "by": "key"}]
    told.on_step(step(Signal.DISARMED))
    # Only the newest state waits for a publisher; "off" must not come before "disarmed" is out.
    wait_for(lambda: told.publisher.values_of(MessageKind.STATE) != [])
    publisher = told.all()
    assert publisher.values_of(MessageKind.ARMING) == [
        {"armed": True, "source": "default"},
        {"armed": False, "source": "pin", "by": "key"},
    ]
    assert [values["state"] for values in publisher.values_of(MessageKind.STATE)] == ["disarmed", "off"]
    assert not told.metrics.snapshot().arming.armed


def test_a_decision_is_told_with_the_step_that_follows_it(told: Told) -> None:
    told.listener.on_decision(decision())
    told.on_step(step(Signal.NO_MASK, (decision(),)))
    told.listener.on_decision(decision(Change.LEFT, violated=True))
    assert told.all().values_of(MessageKind.DECISION) == [
        {
            "change": change,
            "person": "1700000000-1",
            "outcome": "violation",
            "label": "without_mask",
            "signal": "no_mask",
            "violated": change == "left",
            "observations": 5,
            "seconds": 2.5,
        }
        for change in ("decided", "left")
    ]


def test_blindness_is_told_with_its_reason_and_is_a_state(told: Told) -> None:
    told.on_step(step())
    told.listener.on_health(Health("", CameraState.DARK, 5.0, "the picture is black"))
    told.on_step(step())
    wait_for(lambda: told.outbox.waiting == 0)
    told.listener.on_health(Health("", CameraState.STREAMING, 6.0))
    told.on_step(step())
    wait_for(lambda: told.outbox.waiting == 0)
    heard = told.all()
    assert heard.values_of(MessageKind.HEALTH) == [
        {"state": "dark", "reason": "the picture is black", "slow": "", "hint": ""},
        {"state": "streaming", "reason": "", "slow": "", "hint": ""},
    ]
    assert [values["state"] for values in heard.values_of(MessageKind.STATE)][-3:] == ["blind", "running", "off"]


def test_a_machine_that_does_not_keep_up_is_told_in_figures_and_sees_nothing_again(told: Told) -> None:
    for slow in ("", "too slow: 2 looks a second", ""):
        told.listener.on_health(Health("", CameraState.STREAMING, 5.0, slow=slow))
        assert metrics_message(told.metrics.snapshot()).too_slow is bool(slow)
    assert told.all().values_of(MessageKind.HEALTH) == [
        {"state": "streaming", "reason": "", "slow": slow, "hint": ""}
        for slow in ("", "too slow: 2 looks a second", "")
    ]


def test_of_several_cameras_the_door_is_what_its_worst_is(told: Told) -> None:
    told.on_step(step(Signal.RUNNING, camera="in"))
    told.on_step(step(Signal.NO_MASK, camera="out"))
    wait_for(lambda: told.outbox.waiting == 0)
    told.on_step(step(Signal.RUNNING, camera="in"))
    told.on_step(step(Signal.RUNNING, camera="out"))
    wait_for(lambda: told.outbox.waiting == 0)
    told.all()
    door = [m.values["state"] for m in told.publisher.got if m.kind is MessageKind.STATE and not m.camera]
    assert door[-3:] == ["no_mask", "running", "off"]
    assert {m.camera for m in told.publisher.got} == {"", "in", "out"}


def test_who_is_new_after_a_reload_is_told_how_things_are(told: Told) -> None:
    told.listener.on_health(Health("in", CameraState.STREAMING, 5.0))
    told.listener.on_health(Health("out", CameraState.DARK, 5.0, "the picture is black"))
    told.on_step(step(Signal.NO_MASK, (decision(camera="in"),), camera="in"))
    other = RecordingPublisher()
    fresh = Outbox("other", other, 100)
    told.listener.on_settings(config.load(None, {"camera.sources": {"in": "picamera2", "out": "rtsp://x/"}}))
    told.reporter.retain([fresh])
    fresh.close()
    told.all()
    assert {(m.kind, m.camera, *m.values.values()) for m in other.got} == {
        (MessageKind.HEALTH, "in", "streaming", "", "", ""),
        (MessageKind.HEALTH, "out", "dark", "the picture is black", "", ""),
        (MessageKind.STATE, "in", "no_mask"),
        (MessageKind.STATE, "out", "blind"),
        (MessageKind.STATE, "", "no_mask"),
    }


def test_a_camera_that_a_reload_takes_away_is_off_and_holds_nothing_back(told: Told) -> None:
    told.listener.on_health(Health("out", CameraState.LOST, 5.0, "unplugged"))
    told.on_step(step(camera="in"))
    told.on_step(step(Signal.NO_MASK, camera="out"))
    told.now_s += 1000
    told.listener.on_settings(config.load(None, {"camera.sources": {"in": "picamera2"}}))
    told.on_step(step(camera="in"))
    assert list(told.metrics.snapshot().frame_age_s) == ["in"]
    wait_for(lambda: told.outbox.waiting == 0)  # of states only the newest waits
    states = [(m.camera, m.values["state"]) for m in told.all().got if m.kind is MessageKind.STATE]
    assert states[-4:] == [("out", "off"), ("", "running"), ("in", "off"), ("", "off")]


def test_people_before_and_after_a_reload_are_not_the_same_though_they_are_counted_anew(
    publisher: RecordingPublisher,
) -> None:
    starts = iter([1.7e9, *[1.8e9] * 100])
    told = Told(publisher, lambda: next(starts))
    told.on_step(step())
    told.listener.on_decision(decision(Change.LEFT, violated=True))
    told.listener.on_settings(told.settings)
    told.listener.on_decision(decision())
    told.on_step(step())
    people = [values["person"] for values in told.all().values_of(MessageKind.DECISION)]
    assert people == ["1700000000-1", "1800000000-1"]


def test_figures_are_told_at_once_where_a_reload_has_them_told_more_often(publisher: RecordingPublisher) -> None:
    told = Told(publisher, every_s=3600.0)
    told.on_step(step())
    told.listener.on_settings(told.settings)
    wait_for(lambda: bool(publisher.values_of(MessageKind.METRICS)))
    told.all()


def test_where_nobody_is_told_no_figures_are_gathered() -> None:
    gathered: list[MetricsSnapshot] = []
    asked = threading.Event()

    class Nobody:
        def __iter__(self) -> Iterator[Outbox]:
            asked.set()
            return iter(())

    class Gathering(Metrics):
        def snapshot(self) -> MetricsSnapshot:
            gathered.append(super().snapshot())
            return gathered[-1]

    before = set(threading.enumerate())
    settings = config.load()
    live = LiveState(time.monotonic)
    reporter = Reporter(settings.publish, live, Gathering(live, Nobody()), Nobody())
    mine = set(threading.enumerate()) - before
    reporter.on_settings(settings)
    assert asked.wait(PATIENCE_S)
    reporter.close()
    for thread in mine:
        thread.join(PATIENCE_S)
    assert gathered == []


def is_served(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return b"fmd_uptime_seconds" in answer.read()
    except OSError:  # refused, or hung up on in the midst
        return False


def test_figures_move_with_the_settings_and_a_port_that_is_taken_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    first, second = free_port(), free_port()
    with open_reporting(config.load(None, {"metrics.port": first})) as reporting:
        assert is_served(first)
        reporting.on_settings(config.load(None, {"metrics.port": second}))
        wait_for(lambda: is_served(second))
        assert not is_served(first)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            reporting.on_settings(config.load(None, {"metrics.port": taken.getsockname()[1]}))
            wait_for(lambda: "not served: metrics.port" in caplog.text)
        reporting.on_settings(config.load(None, {"metrics.port": first}))
        wait_for(lambda: is_served(first))
        reporting.on_settings(config.load())
        wait_for(lambda: not is_served(first))


def server_on(port: int, told: Told) -> ConfiguredServer:
    (server,) = drivers.servers(config.load(None, {"metrics.port": port}), told.metrics.snapshot)
    return server


def test_a_port_that_is_taken_at_the_start_is_said_so_once_and_tried_again(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    served = ServerEndpoint(retry_s=0.02)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        served.begin(server_on(port, told))
        threading.Event().wait(0.1)
    wait_for(lambda: is_served(port))
    assert caplog.text.count("not served: metrics.port") == 1
    served.open(None)
    assert not is_served(port)
    told.all()


def test_a_port_that_is_taken_keeps_no_door_unwatched(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        open_reporting(config.load(None, {"metrics.port": taken.getsockname()[1]})) as reporting,
    ):
        reporting.on_step(step(), Delivery())
    assert "trying again every 60 s" in caplog.text


def test_a_port_that_was_taken_is_tried_again_with_the_next_reload(told: Told) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    served = ServerEndpoint()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=r"metrics\.port"):
            served.open(server_on(port, told))
    served.follow(server_on(port, told)).join(PATIENCE_S)
    assert is_served(port)
    served.open(None)
    told.all()


def test_of_two_reloads_the_later_counts_and_none_after_the_end(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """However late their threads begin, and in whatever order."""
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    start, started = threading.Thread.start, list[threading.Thread]()
    served = ServerEndpoint()
    first, second, third = (free_port() for _ in range(3))
    with monkeypatch.context() as held:
        held.setattr(threading.Thread, "start", lambda thread: started.append(thread))
        for port in (first, second):
            served.follow(server_on(port, told))
    for thread in reversed(started):
        start(thread)
        thread.join(PATIENCE_S)
    assert (is_served(first), is_served(second)) == (False, True)
    with monkeypatch.context() as held:
        held.setattr(threading.Thread, "start", lambda thread: None)
        late = served.follow(server_on(third, told))
    served.open(None)
    start(late)
    late.join(PATIENCE_S)
    assert (is_served(second), is_served(third)) == (False, False)
    told.all()


def test_receivers_that_cannot_be_opened_in_a_reload_leave_those_before(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("apprise", reason="apprise is not installed")
    with open_reporting(config.load()) as reporting:
        reporting.on_settings(config.load(None, {"notify.urls": ["nonsense://host"]}))
    assert "the publishers of the settings before stay: notify.urls" in caplog.text


def test_figures_are_counted(told: Told) -> None:
    for i, signal in enumerate([Signal.RUNNING, Signal.NO_MASK, Signal.NO_MASK, Signal.RUNNING, Signal.INCORRECT_MASK]):
        told.on_step(step(signal), Delivery(i, (0.01, 0.05, 0.06, 9.0, None)[i]))
    told.listener.on_decision(decision())
    told.listener.on_decision(decision(Change.LEFT, violated=True))
    told.listener.on_decision(decision(Change.LEFT, Outcome.COMPLIANT))
    told.listener.on_health(Health("", CameraState.STALLED, 5.0, "no picture"))
    told.now_s += 4.0
    now = told.metrics.snapshot()
    figures = now.cameras[""]
    assert (figures.frames, figures.awake, figures.dropped, figures.alarms) == (5, 5, 4, 2)
    assert (figures.alarm, figures.blind, figures.blind_times) == (False, True, 1)
    assert figures.stage_s == pytest.approx({"watch": 0.005, "detect": 0.05})
    assert {most_s: count for most_s, count in figures.late.items() if count} == {0.05: 2, 0.1: 1, float("inf"): 1}
    assert figures.late_sum_s == pytest.approx(9.12)
    assert figures.decisions == {"violation": 1}
    assert figures.passages == {"violated": 1, "compliant": 1}
    assert now.frame_age_s == {"": 4.0}
    flat = msgspec.to_builtins(metrics_message(now))
    assert (flat["memory_mb"], flat["temperature_c"], flat["alarms"], flat["passages_violated"]) == (123.0, 61.5, 2, 1)
    assert not [value for value in flat.values() if not isinstance(value, int | float | bool)]
    told.all()


@pytest.mark.parametrize(
    ("state", "goes_on"), [(CameraState.LOST, False), (CameraState.FROZEN, False), (CameraState.DARK, True)]
)
def test_an_alarm_lasts_no_longer_than_there_are_pictures(told: Told, state: CameraState, goes_on: bool) -> None:
    """A lens covered while somebody is in violation does not end it: such pictures are worked on."""
    told.on_step(step(Signal.NO_MASK))
    told.listener.on_health(Health("", state, 5.0, "blind"))
    figures = told.metrics.snapshot().cameras[""]
    assert (figures.alarm, figures.blind) == (goes_on, True)
    told.on_step(step(Signal.NO_MASK))
    assert told.metrics.snapshot().cameras[""].alarms == (1 if goes_on else 2)
    told.all()


def test_what_the_board_complains_of_is_told_and_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    noted: list[tuple[str, Any]] = []
    said = [
        {"under_voltage": False, "throttled_occurred": True},
        {"under_voltage": True, "under_voltage_occurred": True, "throttled_occurred": True},
        {"under_voltage": False, "under_voltage_occurred": True, "throttled_occurred": True},
        {"under_voltage": True, "under_voltage_occurred": True, "throttled_occurred": True},
    ]
    live = LiveState(time.monotonic)
    metrics = Metrics(live, read_board=lambda: Board(None, None, said.pop(0) if said else None))
    reporter = Reporter(
        config.load().publish, live, metrics, note=lambda kind, content, camera: noted.append((kind, content))
    )
    for left in (3, 2, 1, 0):
        reporter.on_settings(config.load())
        wait_for(lambda left=left: len(said) == left)
    wait_for(lambda: len(noted) == 2)
    reporter.close()
    assert noted == [("board", BoardComplaint("throttled")), ("board", BoardComplaint("under_voltage"))]
    assert caplog.text.count("the board has reported") == 2
    assert "the board has reported under voltage since it was switched on" in caplog.text


def test_a_snapshot_is_not_changed_by_what_comes_after(told: Told) -> None:
    told.on_step(step())
    now = told.metrics.snapshot()
    told.on_step(step())
    assert now.cameras[""].frames == 1
    told.all()


def test_figures_are_told_in_their_time(publisher: RecordingPublisher) -> None:
    told = Told(publisher, every_s=1.0)
    told.on_step(step())
    wait_for(lambda: bool(publisher.values_of(MessageKind.METRICS)))
    assert publisher.values_of(MessageKind.METRICS)[0]["frames"] == 1
    told.all()


def pictures(publisher: RecordingPublisher) -> list[bytes]:
    return [message.picture() for message in publisher.got if message.picture is not None]


def test_no_picture_is_told_of_somebody_who_is_only_reminded(publisher: RecordingPublisher) -> None:
    told = Told(publisher, pictures="blurred")
    told.listener.on_decision(decision(signal=Signal.REMINDER))
    told.on_step(step(Signal.REMINDER))
    heard = told.all()
    assert [values["signal"] for values in heard.values_of(MessageKind.DECISION)] == ["reminder"]
    assert pictures(heard) == []


def test_a_picture_is_told_of_somebody_unclear_where_that_is_an_alarm(publisher: RecordingPublisher) -> None:
    told = Told(publisher, pictures="blurred")
    told.listener.on_decision(decision(outcome=Outcome.UNSURE, signal=Signal.NO_MASK))
    told.on_step(step(Signal.NO_MASK))
    assert len(pictures(told.all())) == 1


def tell_everything(told: Told, seed: int = 0) -> RecordingPublisher:
    """One of everything that can be told."""
    for outcome in Outcome:
        for change in Change:
            told.listener.on_decision(decision(change, outcome))
            told.on_step(step(Signal.NO_MASK, (decision(change, outcome),), seed=seed))
            wait_for(lambda: told.outbox.waiting == 0)
    told.listener.on_health(Health("", CameraState.LOST, 5.0, "unplugged"))
    return told.all()


def test_no_picture_is_told_unless_turned_on(told: Told) -> None:
    heard = tell_everything(told)
    assert len(heard.got) > 12
    assert pictures(heard) == []
    assert {type(value) for m in heard.got for value in m.values.values()} <= {str, int, float, bool}


def test_turned_on_a_picture_comes_with_each_violation_and_nothing_else(publisher: RecordingPublisher) -> None:
    heard = tell_everything(Told(publisher, pictures="blurred"))
    with_picture = [m.values for m in heard.got if m.picture is not None]
    assert [(v["outcome"], v["change"]) for v in with_picture] == [("violation", "decided"), ("violation", "revised")]


def decoded(jpeg: bytes) -> Any:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture[:, :, ::-1]


def test_a_picture_that_is_sent_shows_no_face_not_even_one_the_detector_missed(publisher: RecordingPublisher) -> None:
    told = Told(publisher, pictures="blurred")
    heard = tell_everything(told)
    sent = decoded(pictures(heard)[0])
    original = step(Signal.NO_MASK).frame.image
    assert sent.shape == original.shape
    # Away from the boxes and words drawn on top, every cell is of one colour, whatever stood in it.
    for top in range(0, 60, 20):
        for left in range(200, 300, 20):
            cell, before = (p[top + 4 : top + 16, left + 4 : left + 16] for p in (sent, original))
            assert before.std(axis=(0, 1)).min() > 60
            assert cell.std(axis=(0, 1)).max() < 15  # what JPEG adds


def test_whatever_stands_within_a_cell_the_picture_is_the_same() -> None:
    """The shuffled pixels of each cell keep their mean: all that is sent of them."""
    plain_step = step(Signal.NO_MASK)
    image = plain_step.frame.image
    shuffled = image.reshape(12, 20, 16, 20, 3)[:, ::-1, :, ::-1].reshape(240, 320, 3).copy()
    assert not np.array_equal(shuffled, image)
    other = replace(plain_step, frame=frame_of(shuffled, 2.0))
    assert np.array_equal(annotate.unrecognisable(plain_step), annotate.unrecognisable(other))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mqtt.host": "broker", "mqtt.username": "door", "mqtt.password_file": "/nowhere"}, r"mqtt\.password_file"),
        ({"notify.urls": ["nonsense://host"]}, r"notify\.urls"),
        ({"notify.urls_file": "/nowhere"}, r"notify\.urls_file"),
    ],
)
def test_a_check_tells_what_would_fail_and_tells_nobody_anything(changed: dict[str, Any], said: str) -> None:
    threads = threading.active_count()
    with pytest.raises(SettingsError, match=said):
        check(config.load(None, changed))
    assert threading.active_count() <= threads


def test_a_check_of_what_is_fine_connects_to_nobody() -> None:
    threads = threading.active_count()
    check(config.load(None, {"mqtt.host": "broker.invalid", "notify.urls": ["json://host/"], "metrics.port": 9000}))
    check(config.load())
    assert threading.active_count() <= threads


def test_telling_a_frame_costs_the_loop_next_to_nothing(publisher: RecordingPublisher) -> None:
    """In processor seconds of this thread, so that a busy machine does not count; some 4 microseconds on a laptop."""
    publisher.free.clear()
    told, watching = Told(publisher), step()
    told.on_step(watching)
    before_s = time.thread_time()
    for _ in range(5000):
        told.on_step(watching)
    assert (time.thread_time() - before_s) / 5000 < 100e-6
    publisher.free.set()
    told.all()


def lines_of(outboxes: list[Outbox], clip: Path) -> list[str]:
    """What a run decides whose reporter has these outboxes."""
    decided: list[str] = []
    settings = config.load(None, {"camera.source": str(clip), "alert.driver": "console"})
    live = LiveState(time.monotonic)
    reporter = Reporter(settings.publish, live, Metrics(live, outboxes), outboxes)
    noted = Callbacks(on_decision=lambda made: decided.append(f"{made.at_s:.3f} {made.change} {made.passage}"))
    service.run(settings, [live, reporter, noted], build=pipeline_of)
    reporter.close()
    for outbox in outboxes:
        outbox.close()
    return decided


def test_a_run_whose_receivers_are_dead_and_silent_decides_the_same(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    pytest.importorskip("apprise", reason="apprise is not installed")
    clip = write_clip(tmp_path / "clip.mp4", frames=30)
    with socket.socket() as hole, socket.socket() as closed:
        hole.bind(("127.0.0.1", 0))
        hole.listen(16)
        closed.bind(("127.0.0.1", 0))
        silent, dead = hole.getsockname()[1], closed.getsockname()[1]
        urls = [f"json://127.0.0.1:{port}/" for port in (silent, dead)]
        told = config.load(None, {"mqtt.host": "127.0.0.1", "mqtt.port": silent, "notify.urls": urls})
        outboxes = [Outbox(publisher.name, publisher.open(), 10) for publisher in drivers.publishers(told)]
        assert len(outboxes) == 3
        before_s = time.monotonic()
        beside = lines_of(outboxes, clip)
        assert time.monotonic() - before_s < 60
    assert beside == lines_of([], clip)
    assert beside
    assert [outbox.sent for outbox in outboxes] == [0, 0, 0]


def test_a_hint_is_published_with_the_health_of_its_camera(told: Told) -> None:
    told.listener.on_hint("", "size", "faces too small")  # of a recording, which has no health
    told.listener.on_health(Health("", CameraState.STREAMING, 1.0))
    told.listener.on_hint("", "picture", "a picture")
    told.listener.on_hint("", "size", "")
    told.listener.on_health(Health("", CameraState.LOST, 2.0, "unplugged"))
    healths = told.all().values_of(MessageKind.HEALTH)
    assert [(one["state"], one["hint"]) for one in healths] == [
        ("streaming", "faces too small"),
        ("streaming", "faces too small; a picture"),
        ("streaming", "a picture"),
        ("lost", "a picture"),
    ]


def test_a_model_that_replaces_the_installed_one_is_one_event_and_so_is_its_return(
    publisher: RecordingPublisher,
) -> None:
    told, events = Told(publisher), list[tuple[str, Any]]()
    noting = Reporter(
        told.settings.publish,
        told.live,
        told.metrics,
        note=lambda kind, content, camera: events.append((kind, content)),
    )
    listeners = Listeners([told.live, noting])
    fallback = ModelFallback("classifier", "mine.tflite", "shipped.tflite", "damaged")
    for fallbacks in ([], [fallback], [fallback], []):
        listeners.on_models(fallbacks)
        assert metrics_message(told.metrics.snapshot()).model_fallback is bool(fallbacks)
    noting.close()
    told.all()
    assert events == [
        ("model", ModelMessage("classifier", "shipped.tflite", "mine.tflite", "damaged")),
        ("model", ModelMessage("classifier", "", "", "")),
    ]
