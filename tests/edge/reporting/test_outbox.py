"""Queues before publishers: what waits, what is dropped, what a reload changes, and that nobody is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.contracts import ConfiguredPublisher, Message, MessageKind, Publisher
from edge.errors import PublishError, SettingsError
from edge.messages import DecisionMessage
from edge.reporting.outbox import SAVE_AFTER_S, Outbox, Outboxes
from edge.reporting.waiting import Backlog
from tests.edge.parts import PATIENCE_S, RecordingPublisher, wait_for


def message(
    kind: MessageKind = MessageKind.DECISION, number: int = 0, camera: str = "", picture: bool = False
) -> Message:
    return Message(kind, 0.0, camera, {"number": number}, (lambda: b"jpeg") if picture else None)


def hanging(publisher: RecordingPublisher, size: int) -> Outbox:
    """An outbox whose first message hangs on the way, so that everything posted after it waits."""
    publisher.free.clear()
    outbox = Outbox("black hole", publisher, size)
    outbox.post(message(number=-1))
    assert publisher.hangs.wait(PATIENCE_S)
    return outbox


def test_messages_arrive_in_order_and_are_counted(publisher: RecordingPublisher) -> None:
    outbox = Outbox("mqtt", publisher, 10)
    for number in range(10):
        outbox.post(message(number=number))
    outbox.close()
    assert [m.values["number"] for m in publisher.got] == list(range(10))
    assert (outbox.sent, outbox.failed, outbox.dropped, outbox.waiting) == (10, 0, 0, 0)
    assert publisher.opened
    assert publisher.closed


def test_a_receiver_that_hangs_costs_a_bounded_queue_and_nobody_waits(publisher: RecordingPublisher) -> None:
    outbox = hanging(publisher, 5)
    before_s = time.monotonic()
    for number in range(1000):
        outbox.post(message(number=number))
    outbox.close(within_s=0.2)
    assert time.monotonic() - before_s < 15
    assert (outbox.waiting, outbox.dropped) == (5, 995)
    assert not publisher.got


def test_when_it_answers_again_the_newest_are_delivered(publisher: RecordingPublisher) -> None:
    outbox = hanging(publisher, 3)
    for number in range(10):
        outbox.post(message(number=number))
    publisher.free.set()
    outbox.close()
    assert [m.values["number"] for m in publisher.got] == [-1, 7, 8, 9]


def test_of_state_and_figures_only_the_newest_waits_of_each_camera(publisher: RecordingPublisher) -> None:
    outbox = hanging(publisher, 100)
    for number in range(10):
        outbox.post(message(MessageKind.STATE, number, "door"))
        outbox.post(message(MessageKind.STATE, number, "yard"))
        outbox.post(message(MessageKind.METRICS, number))
    publisher.free.set()
    outbox.close()
    assert [(m.kind, m.values["number"], m.camera) for m in publisher.got[1:]] == [
        (MessageKind.STATE, 9, "door"),
        (MessageKind.STATE, 9, "yard"),
        (MessageKind.METRICS, 9, ""),
    ]
    assert outbox.dropped == 0


def test_of_pictures_that_wait_only_the_newest_is_held_in_memory(publisher: RecordingPublisher) -> None:
    outbox = hanging(publisher, 100)
    for number in range(50):
        outbox.post(message(number=number, picture=True))
    publisher.free.set()
    outbox.close()
    assert [m.values["number"] for m in publisher.got if m.picture] == [49]
    assert len(publisher.got) == 51


@pytest.mark.parametrize("error", [PublishError("refused"), OSError("no route"), RuntimeError("a defect of theirs")])
def test_what_could_not_be_sent_is_told_once_kept_and_sent_again(
    publisher: RecordingPublisher, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.fails = error
    outbox = Outbox("mqtt", publisher, 10, retry_s=0.01)
    outbox.post(message(number=1))
    wait_for(lambda: outbox.failed >= 2)
    publisher.fails = None
    wait_for(lambda: outbox.sent == 1)
    outbox.close()
    assert [m.values["number"] for m in publisher.got] == [1]
    assert len([r for r in caplog.records if "trying again" in r.getMessage()]) == 1


def test_what_failed_goes_before_what_came_after_it_but_not_over_the_bound(publisher: RecordingPublisher) -> None:
    outbox = hanging(publisher, 2)
    publisher.fails = PublishError("refused")
    for number in range(2):
        outbox.post(message(number=number))
    publisher.free.set()
    wait_for(lambda: outbox.failed >= 1)
    assert (outbox.waiting, outbox.dropped) == (2, 1)
    outbox.close(0.1)


def test_a_messenger_hears_only_what_it_wants(publisher: RecordingPublisher) -> None:
    publisher.kinds = frozenset({MessageKind.HEALTH})
    outbox = Outbox("mail", publisher, 10)
    outbox.post(message(MessageKind.STATE))
    outbox.post(message(MessageKind.HEALTH))
    outbox.close()
    assert [m.kind for m in publisher.got] == [MessageKind.HEALTH]


def test_nothing_is_taken_after_the_end(publisher: RecordingPublisher) -> None:
    outbox = Outbox("mqtt", publisher, 10)
    outbox.close()
    outbox.post(message())
    assert (outbox.waiting, publisher.tries) == (0, 0)


def numbers(publisher: RecordingPublisher) -> list[float]:
    return [m.values["number"] for m in publisher.got]  # type: ignore[misc]


def test_what_waits_for_one_that_hangs_goes_to_the_one_put_in_its_place(publisher: RecordingPublisher) -> None:
    outbox, other = hanging(publisher, 10), RecordingPublisher()
    for number in range(3):
        outbox.post(message(number=number))
    outbox.exchange(other)
    outbox.post(message(number=3))
    assert not other.opened  # nobody waited, and two of them are never open at once
    publisher.free.set()
    wait_for(lambda: len(other.got) == 4)
    outbox.close()
    assert (numbers(publisher), numbers(other)) == ([-1], [0, 1, 2, 3])
    assert (publisher.closed, other.opened, other.closed) == (True, True, True)
    assert (outbox.sent, outbox.dropped, outbox.waiting) == (5, 0, 0)


def test_what_could_not_be_sent_does_not_wait_out_its_time_when_another_goes_on(publisher: RecordingPublisher) -> None:
    publisher.fails = PublishError("wrong password")
    outbox, other = Outbox("mqtt", publisher, 10, retry_s=3600.0), RecordingPublisher()
    for number in range(3):
        outbox.post(message(number=number))
    wait_for(lambda: outbox.failed == 1)
    outbox.exchange(other)
    wait_for(lambda: len(other.got) == 3)
    outbox.close()
    assert numbers(other) == [0, 1, 2]


def test_what_another_is_to_send_is_sent_at_the_end_as_well(publisher: RecordingPublisher) -> None:
    publisher.fails = PublishError("wrong password")
    outbox, other = Outbox("mqtt", publisher, 10, retry_s=3600.0), RecordingPublisher()
    outbox.post(message(number=0))
    wait_for(lambda: outbox.failed == 1)
    outbox.exchange(other)
    outbox.close()
    assert (numbers(other), other.closed) == ([0], True)


class Broken(RecordingPublisher):
    """One that cannot say goodbye, and opens only at the third try."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.opening = error, 0

    def open(self) -> None:
        self.opening += 1
        if self.opening < 3:
            raise self.error
        super().open()

    def close(self) -> None:
        super().close()
        raise self.error


ERRORS = [PublishError("refused"), RuntimeError("a defect of theirs")]


@pytest.mark.parametrize("error", ERRORS)
def test_one_that_cannot_be_opened_is_tried_again_and_told_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken(error)
    outbox = Outbox("mqtt", broken, 10, retry_s=0.01)
    outbox.post(message(number=1))
    wait_for(lambda: outbox.sent == 1)
    outbox.close()
    assert (numbers(broken), broken.opening, broken.closed) == ([1], 3, True)
    assert len([r for r in caplog.records if "trying again" in r.getMessage()]) == 1


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("retry_s", [0.01, 3600.0])
def test_whatever_breaks_in_one_the_next_in_its_place_goes_on(error: Exception, retry_s: float) -> None:
    """Whether it was open by then or not."""
    broken, other = Broken(error), RecordingPublisher()
    outbox = Outbox("mqtt", broken, 10, retry_s=retry_s)
    wait_for(lambda: broken.opened or (retry_s > 1 and broken.opening == 1))
    outbox.exchange(other)
    outbox.post(message(number=1))
    wait_for(lambda: numbers(other) == [1])
    outbox.close()
    assert (broken.closed, other.closed, outbox.waiting) == (True, True, 0)


def test_a_shorter_queue_keeps_the_newest(publisher: RecordingPublisher) -> None:
    outbox = hanging(publisher, 10)
    for number in range(6):
        outbox.post(message(number=number))
    outbox.resize(2)
    assert (outbox.waiting, outbox.dropped) == (2, 4)
    publisher.free.set()
    outbox.close()
    assert numbers(publisher) == [-1, 4, 5]


class Addressed:
    """Receivers by name and address, each address a messenger of its own."""

    def __init__(self) -> None:
        self.outboxes = Outboxes()
        self.at: dict[str, list[RecordingPublisher]] = {}

    def follow(self, *wanted: tuple[str, str]) -> Sequence[Outbox]:
        return self.outboxes.follow(
            [ConfiguredPublisher(name, at, lambda at=at: self._open(at)) for name, at in wanted], 10
        )

    def post(self, number: int) -> None:
        for outbox in self.outboxes:
            outbox.post(message(number=number))

    def got(self) -> dict[str, list[float]]:
        self.outboxes.close()
        return {at: [number for one in made for number in numbers(one)] for at, made in self.at.items()}

    def _open(self, at: str) -> Publisher:
        if at == "nonsense":
            raise SettingsError("nonsense")
        self.at.setdefault(at, []).append(RecordingPublisher())
        return self.at[at][-1]


def test_receivers_that_stay_as_they_were_are_not_opened_anew() -> None:
    told = Addressed()
    first = told.follow(("mqtt", "broker"), ("json 1", "a"), ("json 2", "b"))
    assert len(first) == 3
    told.post(1)
    assert told.follow(("mqtt", "broker"), ("json 1", "b")) == []  # by what it is, whatever its number
    assert [outbox.name for outbox in told.outboxes] == ["mqtt", "json 1"]
    assert list(told.outboxes) == [first[0], first[2]]
    wait_for(lambda: told.at["a"][0].closed)
    told.post(2)
    assert told.got() == {"broker": [1, 2], "a": [1], "b": [1, 2]}
    assert [len(made) for made in told.at.values()] == [1, 1, 1]


def test_a_receiver_that_has_moved_gets_what_waits_and_a_new_one_begins_with_nothing() -> None:
    told = Addressed()
    (outbox,) = told.follow(("mqtt", "old"))
    wait_for(lambda: told.at["old"][0].opened)
    told.at["old"][0].free.clear()
    told.post(1)
    assert told.at["old"][0].hangs.wait(PATIENCE_S)
    told.post(2)
    before_s = time.monotonic()
    fresh = told.follow(("mqtt", "new"), ("json 1", "a"))
    assert time.monotonic() - before_s < 10  # a thread may be slow to start, a messenger that hangs never ends
    assert fresh == list(told.outboxes)
    assert fresh[0] is outbox
    told.at["old"][0].free.set()
    wait_for(lambda: numbers(told.at["new"][0]) == [2])
    told.post(3)
    assert told.got() == {"old": [1], "new": [2, 3], "a": [3]}


def test_two_that_are_alike_stay_two() -> None:
    told = Addressed()
    told.follow(("json 1", "a"), ("json 2", "a"))
    assert told.follow(("json 1", "a"), ("json 2", "a")) == []
    told.post(1)
    assert told.got() == {"a": [1, 1]}


def test_receivers_that_cannot_be_opened_leave_those_before() -> None:
    told = Addressed()
    told.follow(("mqtt", "broker"))
    with pytest.raises(SettingsError):
        told.follow(("json 1", "a"), ("mqtt", "nonsense"))
    told.post(1)
    assert told.got() == {"broker": [1], "a": []}


def test_the_end_waits_for_all_at_once_and_not_for_one_that_hangs() -> None:
    told = Addressed()
    told.follow(*((f"json {at}", str(at)) for at in range(4)))
    wait_for(lambda: all(one.opened for made in told.at.values() for one in made))
    for made in told.at.values():
        made[0].free.clear()
    told.post(1)
    before_s = time.monotonic()
    told.outboxes.close()
    assert time.monotonic() - before_s < 15
    for made in told.at.values():
        made[0].free.set()


def test_no_thread_is_left_behind_by_reloads() -> None:
    told, before = Addressed(), threading.active_count()
    for at in range(20):
        told.follow(("mqtt", str(at)))
    told.follow()
    wait_for(lambda: threading.active_count() <= before)


def test_a_publisher_that_fails_is_failing_until_a_message_gets_through() -> None:
    works, failed, sent = threading.Event(), threading.Event(), threading.Event()

    class Flaky(RecordingPublisher):
        def send(self, message: Message) -> None:
            if not works.is_set():
                failed.set()
                raise PublishError("no broker")
            sent.set()

    outbox = Outbox("flaky", Flaky(), 5, retry_s=0.01)
    assert not outbox.failing
    outbox.post(message(number=1))
    assert failed.wait(10)
    wait_for(lambda: outbox.failing)
    works.set()
    assert sent.wait(10)
    wait_for(lambda: not outbox.failing)
    outbox.close()


KEPT = frozenset({MessageKind.DECISION})
CUT_S = 600.0
NOW = 1_800_000_000.0


class Network:
    """A publisher behind a network that is cut until ``self.now_s`` reaches ``back_s``, on a simulated clock."""

    kinds = frozenset(MessageKind)

    def __init__(self, back_s: float = CUT_S) -> None:
        self.now_s, self.back_s = 0.0, back_s
        self.got: list[Message] = []
        self.tries = 0

    def clock(self) -> float:
        return self.now_s

    def open(self) -> None:
        """Connect later, as MQTT does."""

    def send(self, message: Message) -> None:
        self.tries += 1
        if self.now_s < self.back_s:
            raise PublishError("connection lost")
        self.got.append(message)

    def close(self) -> None:
        """Nothing to close."""

    def outbox(self, file: Path | None = None) -> Outbox:
        return Outbox("mqtt", self, 100, self.clock, 0.001, KEPT, 5000, Backlog(file, wall=lambda: NOW))

    @property
    def people(self) -> list[str]:
        return [message.content.person for message in self.got if isinstance(message.content, DecisionMessage)]


def decision(person: str, at: float = 0.0) -> Message:
    content = DecisionMessage("decided", person, "violation", "without_mask", "no_mask", True, 5, 2.5)
    return Message(MessageKind.DECISION, NOW + at, "", content)


def pass_by(outbox: Outbox, network: Network, until_s: float) -> list[str]:
    """A busy door: a person decided each second, metrics after each, and a camera that comes and goes."""
    people = []
    while network.now_s < until_s:
        people.append(f"0-{network.now_s:.0f}")
        outbox.post(decision(people[-1], network.now_s))
        outbox.post(Message(MessageKind.METRICS, NOW, "", None))
        outbox.post(Message(MessageKind.HEALTH, NOW, "", None))
        network.now_s += 1.0
    return people


def test_a_network_cut_of_ten_minutes_loses_no_decision() -> None:
    network = Network()
    outbox = network.outbox()
    people = pass_by(outbox, network, CUT_S)
    wait_for(lambda: len(network.people) == len(people))
    outbox.close()
    assert network.people == people == [f"0-{number}" for number in range(600)]
    assert 500 <= outbox.dropped <= 501  # changes of health: 100 wait, and perhaps one is being sent


def test_a_restart_within_the_cut_loses_no_decision(tmp_path: Path) -> None:
    file, first, second = tmp_path / "waiting", Network(), Network()
    before = first.outbox(file)
    people = pass_by(before, first, 300.0)
    before.close(within_s=0.2)
    second.now_s = 301.0
    after = second.outbox(file)
    people += pass_by(after, second, CUT_S)
    wait_for(lambda: len(second.people) == len(people))
    after.close()
    assert first.people == []
    assert second.people == people
    assert not file.exists()


def test_a_power_cut_within_the_network_cut_leaves_what_was_saved(tmp_path: Path) -> None:
    """The process ends without a word: nothing closes the outbox, and the next one finds only the file."""
    file, network = tmp_path / "waiting", Network(back_s=float("inf"))
    outbox = network.outbox(file)
    people = pass_by(outbox, network, 60.0)

    def is_saved() -> bool:
        network.now_s += 1.0
        return file.exists() and len(file.read_bytes().split()) == len(people)

    wait_for(is_saved)
    again = Network(back_s=0.0)
    next_one = again.outbox(file)
    wait_for(lambda: len(again.people) == len(people))
    assert again.people == people
    next_one.close()
    outbox.close(within_s=0.2)


def test_a_short_failure_writes_no_file(tmp_path: Path) -> None:
    file, network = tmp_path / "waiting", Network(back_s=SAVE_AFTER_S)
    outbox = network.outbox(file)
    outbox.post(decision("0-1"))
    network.now_s = SAVE_AFTER_S - 0.1
    seen = network.tries
    wait_for(lambda: network.tries > seen + 3)
    assert not file.exists()
    network.now_s = SAVE_AFTER_S
    wait_for(lambda: network.people == ["0-1"])
    outbox.close()
    assert not file.exists()


def test_the_file_of_a_publisher_is_in_the_state_directory_and_only_if_it_keeps_anything(tmp_path: Path) -> None:
    outboxes = Outboxes()
    networks = [Network(back_s=float("inf")), Network(back_s=float("inf"))]
    wanted = [
        ConfiguredPublisher("mqtt", "a", lambda: networks[0], KEPT),
        ConfiguredPublisher("mail", "b", lambda: networks[1]),
    ]
    boxes = outboxes.follow(wanted, 10, 10, tmp_path)
    for box in boxes:
        box.post(decision("0-1"))
    outboxes.close()
    assert [path.name for path in tmp_path.iterdir()] == ["waiting-mqtt.jsonl"]


def test_without_a_record_no_decision_is_on_the_card_from_the_reload_on(tmp_path: Path) -> None:
    network = Network(back_s=float("inf"))
    outboxes, wanted = Outboxes(network.clock), [ConfiguredPublisher("mqtt", "a", lambda: network, KEPT)]
    (box,) = outboxes.follow(wanted, 10, 10, tmp_path)
    box.post(decision("0-1"))

    def is_saved() -> bool:
        network.now_s += 10.0
        return any(tmp_path.iterdir())

    wait_for(is_saved)
    assert outboxes.follow(wanted, 10, 10, None) == []
    assert list(tmp_path.iterdir()) == []
    outboxes.close()
    assert list(tmp_path.iterdir()) == []
