"""What waits for a publisher: which messages are dropped, and what a restart or a power cut leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge.contracts import Message, MessageKind
from edge.messages import DecisionMessage, StateMessage
from edge.reporting.waiting import MAX_AGE_S, SPARE_LINES, Backlog, Queues, Waiting
from tests.edge.parts import ROOT

KEPT = frozenset({MessageKind.DECISION})
NOW = 1_800_000_000.0


def decision(number: int, at: float = NOW) -> Message:
    content = DecisionMessage("decided", f"7-{number}", "violation", "without_mask", "no_mask", True, 5, 2.5)
    return Message(MessageKind.DECISION, at, "yard", content)


def state(number: int) -> Message:
    return Message(MessageKind.HEALTH, NOW, "", StateMessage(str(number)))


def people(messages: Sequence[Message]) -> list[int]:
    return [int(m.content.person.partition("-")[2]) for m in messages if isinstance(m.content, DecisionMessage)]


def backlog(file: Path) -> Backlog:
    return Backlog(file, wall=lambda: NOW + 60.0)


def taken(queues: Queues) -> list[Message]:
    return [queues.take().message for _ in range(len(queues))]


def test_other_messages_displace_no_decision_and_the_order_stays() -> None:
    queues = Queues(3, KEPT, 1000)
    dropped = sum(queues.add(each) for number in range(500) for each in (decision(number), state(number)))
    assert (dropped, len(queues)) == (497, 503)
    order = taken(queues)
    assert people(order) == list(range(500))
    assert [each.kind for each in order[-6:]] == [MessageKind.DECISION, MessageKind.HEALTH] * 3


def test_decisions_are_bounded_as_well_and_the_oldest_go() -> None:
    queues = Queues(3, KEPT, 10)
    assert sum(queues.add(decision(number)) for number in range(25)) == 15
    assert queues.resize(3, 4) == 6
    assert people(taken(queues)) == [21, 22, 23, 24]


def test_a_message_that_was_not_sent_is_the_first_again() -> None:
    queues = Queues(3, KEPT, 2)
    for number in range(2):
        queues.add(decision(number))
    first = queues.take()
    assert queues.put_back(first)
    assert people(taken(queues)) == [0, 1]


def waiting(numbers: Sequence[int]) -> list[Waiting]:
    return [Waiting(number, decision(number)) for number in numbers]


def test_a_restart_goes_on_with_the_decisions_that_wait(tmp_path: Path) -> None:
    file = tmp_path / "waiting.jsonl"
    kept = backlog(file)
    kept.keep(waiting(range(3)))
    kept.keep(waiting(range(5)))  # only two are new
    assert len(file.read_bytes().split()) == 5
    assert file.stat().st_mode & 0o777 == 0o600
    again = backlog(file)
    found = again.load()
    assert people(found) == [0, 1, 2, 3, 4]
    assert (found[0].at, found[0].camera, found[0].content) == (NOW, "yard", decision(0).content)
    again.keep(waiting(range(6)))
    assert people(backlog(file).load()) == [0, 1, 2, 3, 4, 5]
    again.keep([])
    assert not file.exists()


def test_a_long_failure_that_comes_and_goes_does_not_make_the_file_grow(tmp_path: Path) -> None:
    kept = backlog(tmp_path / "waiting.jsonl")
    for number in range(5 * SPARE_LINES):
        kept.keep(waiting([number]))
    assert len((tmp_path / "waiting.jsonl").read_bytes().split()) <= SPARE_LINES + 2
    kept.settle(waiting([7]))
    assert people(backlog(tmp_path / "waiting.jsonl").load()) == [7]


def test_an_unfinished_line_of_a_power_cut_costs_that_line_alone(tmp_path: Path) -> None:
    file = tmp_path / "waiting.jsonl"
    backlog(file).keep(waiting(range(3)))
    file.write_bytes(file.read_bytes()[:-40])
    again = backlog(file)
    assert people(again.load()) == [0, 1]
    again.keep(waiting(range(4))[2:])
    assert people(backlog(file).load()) == [0, 1, 2, 3]


def test_decisions_of_long_ago_are_not_sent_any_more(tmp_path: Path) -> None:
    file = tmp_path / "waiting.jsonl"
    old = NOW - MAX_AGE_S
    backlog(file).keep([Waiting(0, decision(0, old)), Waiting(1, decision(1))])
    assert people(backlog(file).load()) == [1]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{}\n[1]\n", b"\xff\xfe\n", b"[" * 5000, b'{"at": "x"}\n'])
def test_a_damaged_file_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "waiting.jsonl"
    file.write_bytes(content)
    kept = backlog(file)
    assert kept.load() == []
    kept.keep(waiting([0]))
    assert people(backlog(file).load()) == [0]


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "target").write_bytes(b"")
    file = tmp_path / "waiting.jsonl"
    file.symlink_to(tmp_path / "target")
    kept = backlog(file)
    assert kept.load() == []
    kept.keep(waiting([0]))
    kept.keep(waiting([0, 1]))
    assert (tmp_path / "target").read_bytes() == b""
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tests.edge.reporting.test_waiting import backlog, people, waiting

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
kept = backlog(Path(sys.argv[1]))
for upto in range(1, 40):
    kept.keep(waiting(range(upto)))
print(*people(backlog(Path(sys.argv[1])).load()))
"""


def test_a_full_disk_costs_only_what_did_not_fit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "waiting.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    numbers = [int(word) for word in done.stdout.split()]
    assert numbers == list(range(len(numbers)))
    assert 5 < len(numbers) < 39
