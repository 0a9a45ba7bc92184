"""Parts of the proof that need no root, no emulator and only seconds."""

from __future__ import annotations

import random
import socket
import sqlite3
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.record.parts import Clock
from tests.machine import power, powercut, root
from tests.machine.emulator import Line, Monitor, Pins, Shell, find_device
from tests.machine.place import ProofError, Report, call

LOG_HEAD = struct.pack("<QQQI", powercut.MAGIC, 1, 0, powercut.SECTOR).ljust(powercut.SECTOR, b"\0")


def entry(sector: int, data: bytes, flags: int = 0) -> bytes:
    """Return one entry of QEMU's log, followed by its sectors."""
    head = struct.pack("<QQQQ", sector, len(data) // powercut.SECTOR, flags, 0).ljust(powercut.SECTOR, b"\0")
    return head + data


def sectors(letter: str, count: int = 1) -> bytes:
    return letter.encode() * powercut.SECTOR * count


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    flush = entry(0, b"", powercut.FLUSH)
    path.write_bytes(LOG_HEAD + entry(0, sectors("a")) + flush + entry(1, sectors("b", 2)) + entry(0, sectors("c")))
    return path


class TestPowerCut:
    def test_confirmed_writes_survive_and_later_ones_are_whole_lost_or_torn(self, log: Path) -> None:
        seen = set()
        for seed in range(60):
            disk = log.with_name("disk")
            disk.write_bytes(sectors("-", 3))
            with log.open("rb") as handle:
                replay = powercut.Replay(disk, handle)
                assert replay.cut(4, random.Random(seed), log.with_name("cut")) == 2
            seen.add(bytes(log.with_name("cut").read_bytes()[:: powercut.SECTOR]))
        assert seen == {b"abb", b"cbb", b"ab-", b"cb-", b"a--", b"c--"}

    def test_a_cut_before_the_first_flush_promises_nothing(self, log: Path) -> None:
        with log.open("rb") as handle:
            assert powercut.confirmed(list(powercut.entries(handle)), 1) == 0

    def test_an_unfinished_last_entry_is_left_out(self, log: Path) -> None:
        log.write_bytes(log.read_bytes()[:-1])
        with log.open("rb") as handle:
            assert len(list(powercut.entries(handle))) == 3

    def test_cuts_go_forward(self, log: Path) -> None:
        disk = log.with_name("disk")
        disk.write_bytes(sectors("-", 3))
        with log.open("rb") as handle:
            replay = powercut.Replay(disk, handle)
            replay.cut(4, random.Random(0), log.with_name("cut"))
            with pytest.raises(ValueError, match="forward"):
                replay.cut(1, random.Random(0), log.with_name("cut"))

    def test_another_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_bytes(bytes(1024))
        with (tmp_path / "log").open("rb") as handle, pytest.raises(ValueError, match="not a log"):
            list(powercut.entries(handle))


class Emulator:
    """The other end of one of QEMU's sockets."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self.line = Line(path)
        self.end, _ = self._listening.accept()
        self.received = self.end.makefile("r")

    def close(self) -> None:
        self.line.close()
        self.end.close()
        self._listening.close()


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    made = Emulator(tmp_path / "socket")
    yield made
    made.close()


class TestEmulator:
    def test_pins_follow_the_reported_edges(self, emulator: Emulator) -> None:
        pins = Pins(emulator.line, "/machine/gpio")
        assert emulator.received.readline() == "irq_intercept_out /machine/gpio\n"
        emulator.end.sendall(b"OK\nIRQ raise 5\n")
        pins.wait(5, True, 5)
        emulator.end.sendall(b"IRQ raise 6\nIRQ lower 5\n")
        pins.wait(5, False, 5)
        assert pins.level(6)
        assert [(edge.pin, edge.high) for edge in pins.edges] == [(5, True), (6, True), (5, False)]

    def test_a_pin_that_does_not_change_is_reported(self, emulator: Emulator) -> None:
        with pytest.raises(ProofError, match="pin 5 did not go high"):
            Pins(emulator.line, "/x").wait(5, True, 0.01)

    def test_the_shell_returns_status_and_output(self, emulator: Emulator) -> None:
        def guest() -> None:
            for line in emulator.received:
                mark, _ = line.split()
                emulator.end.sendall(f"two\nlines\n\n{mark} 3\n".encode())

        threading.Thread(target=guest, daemon=True).start()
        shell = Shell(emulator.line)
        assert shell.run("make", 5) == (3, "two\nlines")
        with pytest.raises(ProofError, match="`make` ended with 3: two"):
            shell.out("make", 5)

    def test_a_refused_command_is_reported(self, emulator: Emulator) -> None:
        emulator.end.sendall(b'{"QMP": {}}\n{"return": {}}\n{"event": "RESUME"}\n{"error": {"desc": "no such"}}\n')
        monitor = Monitor(emulator.line)
        with pytest.raises(ProofError, match="no such"):
            monitor.execute("nonsense")

    def test_devices_are_found_in_the_tree(self) -> None:
        tree = "/machine (virt-machine)\n  /peripheral (container)\n  /unattached (container)\n    /device[7] (pl061)\n"
        assert find_device(tree, "pl061") == "/machine/unattached/device[7]"
        with pytest.raises(ProofError, match="no bcm2835_gpio"):
            find_device(tree, "bcm2835_gpio")


class TestPlace:
    def test_a_failed_step_is_printed_and_fails_the_whole_proof(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = Report()
        with report.step("stands"):
            pass
        with report.step("breaks"):
            raise ProofError("it broke")
        assert report.end() == 1
        printed = capsys.readouterr().out
        assert "PASS" in printed.splitlines()[0]
        assert "breaks: it broke" in printed

    def test_a_failing_command_is_reported_with_its_output(self) -> None:
        with pytest.raises(ProofError, match=r"(?s)sh .* 3.*sorry"):
            call(["sh", "-c", "echo sorry; exit 3"])

    @pytest.mark.parametrize(
        "sources",
        [
            "deb http://m.example/debian bookworm main\ndeb http://m.example/debian-security bookworm-security main\n",
            "Types: deb\nURIs: http://m.example/debian\n\nTypes: deb\nURIs: http://m.example/debian-security\n",
        ],
    )
    def test_the_mirrors_are_those_of_the_machine(self, sources: str) -> None:
        assert root.mirrors(sources) == ("http://m.example/debian", "http://m.example/debian-security")

    def test_without_a_debian_mirror_debians_own_is_used(self) -> None:
        assert "deb.debian.org" in root.mirrors("deb http://m.example/ubuntu jammy main")[0]


class TestPower:
    def test_the_events_of_a_record_are_counted(self, tmp_path: Path) -> None:
        assert power.whole_events(tmp_path) == []
        record = Clock().record(tmp_path)
        record.add("started")
        record.add("stopped")
        record.close()
        assert power.whole_events(tmp_path) == [1, 2]

    @pytest.mark.parametrize("fault", ["gap", "damage"])
    def test_a_damaged_record_or_a_gap_is_reported(self, tmp_path: Path, fault: str) -> None:
        record = Clock().record(tmp_path)
        for _ in range(3):
            record.add("started")
        record.close()
        if fault == "gap":
            with sqlite3.connect(tmp_path / "record.db") as connection:
                connection.execute("DELETE FROM events WHERE n = 2")
        else:
            (tmp_path / "record.db").write_bytes(b"torn" * 2000)
        with pytest.raises(ProofError, match=r"damaged|missing"):
            power.whole_events(tmp_path)

    def test_the_promised_events_are_those_acknowledged_before_the_cut(self) -> None:
        writes = [powercut.Write(0, 1, 0, 512 + 1024 * index) for index in range(4)]
        acknowledged = [power.Acknowledged(3, 1536), power.Acknowledged(5, 3000)]
        assert [power.promised(acknowledged, writes, cut) for cut in (1, 2, 3, 4)] == [0, 3, 5, 5]

    def test_confirmations_are_found_in_the_log(self) -> None:
        assert power.ACKNOWLEDGED.findall("x\r\nevents kept up to 12\r\n") == ["12"]
