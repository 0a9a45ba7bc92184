"""Lines that repeat are counted, all others are printed."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from edge.commands.logs import MAX_EQUAL, MAX_LINES, NativeLines, OneLine, RepeatFilter
from tests.edge.parts import ROOT

LIBRARY = """
import logging, os, sys
from edge.commands import logs
logs.start()
def write(line):
    try:
        os.write(2, line)
    except BlockingIOError:  # C's library ignores it
        pass
with logs.native_lines_counted():
    for i in range(200_000 if "flood" in sys.argv else 500):
        write(b"Corrupt JPEG data: %d extraneous bytes before marker 0xd9\\n" % i)
        if i == 5:
            logging.info("a line of fmd")
            print("printed", file=sys.stderr)
    write(b"another line, not ended")
print("after", file=sys.stderr)
os.write(2, b"native after\\n")
"""


def test_lines_of_libraries_are_logged_once_and_counted() -> None:
    found = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True, cwd=ROOT)
    first, *more, counted, after, native = found.stderr.splitlines()
    lines = [first, *more]
    assert "a library reports: Corrupt JPEG data: 0 extraneous bytes before marker 0xd9" in lines
    assert {"a line of fmd", "printed", "a library reports: another line, not ended"} < set(lines)
    assert len(lines) == 4
    assert counted == "a library wrote 499 more lines like: Corrupt JPEG data: N extraneous bytes before marker N"
    assert (after, native) == ("after", "native after")


def test_lines_of_libraries_are_counted_while_a_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(10_000))  # a line per second
    lines = NativeLines(lambda: float(next(clock)))
    for number in range(7400):
        lines.add(f"Corrupt JPEG data: {number} extraneous bytes")
    lines.close()
    rest = "lines like: Corrupt JPEG data: N extraneous bytes"
    assert [record.message for record in caplog.records] == [
        "a library reports: Corrupt JPEG data: 0 extraneous bytes",
        *[f"a library wrote {count} more {rest}" for count in (60, 3600, 3600, 139)],
    ]


def test_a_flood_of_lines_delays_nothing() -> None:
    command = [sys.executable, "-c", LIBRARY, "flood"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    assert len(found.stderr.splitlines()) <= 7


class Log:
    """A log with its filter and a clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.printed: list[str] = []
        self._filter = RepeatFilter(lambda: self.now_s)

    def write(self, line: str, level: int = logging.INFO) -> None:
        record = logging.LogRecord("edge", level, "", 0, "%s", (line,), None)
        if self._filter.filter(record):
            self.printed.append(record.getMessage())


def test_a_line_that_repeats_is_counted() -> None:
    log = Log()
    for second in range(130):
        log.now_s = float(second)
        log.write("connected")
    assert log.printed == [
        *MAX_EQUAL * ["connected"],
        "connected (57 more times in 60 s)",
        *(MAX_EQUAL - 1) * ["connected"],
        "connected (57 more times in 60 s)",
        *(MAX_EQUAL - 1) * ["connected"],
    ]


def test_rare_and_different_lines_are_printed_as_they_are() -> None:
    log = Log()
    lines = [f"line {i % 20}" for i in range(60)]
    for i, line in enumerate(lines):
        log.now_s = float(i)
        log.write(line)
    log.now_s = 1000.0
    log.write("line 0")
    assert log.printed == [*lines, "line 0"]


def test_equal_lines_of_another_level_and_debug_lines_are_not_counted_together() -> None:
    log = Log()
    for level in MAX_EQUAL * [logging.INFO, logging.WARNING]:
        log.write("line", level)
    for _ in range(10):
        log.write("pin on", logging.DEBUG)
    assert log.printed == [*2 * MAX_EQUAL * ["line"], *10 * ["pin on"]]


def test_the_memory_is_bounded() -> None:
    log = Log()
    for i in range(2 * MAX_LINES):
        log.write(f"line {i}")
    for _ in range(10):
        log.write("line 0")
    assert log.printed.count("line 0") == 1 + MAX_EQUAL


def test_a_line_of_the_log_stays_one_printable_line() -> None:
    record = logging.LogRecord("fmd", logging.WARNING, "", 0, "label %s", ("a\nNov 30 fmd: all is well\x1b[2J",), None)
    assert OneLine("%(message)s").format(record) == r"label a Nov 30 fmd: all is well\x1b[2J"
    record.levelno, record.msg, record.args = logging.DEBUG, "Traceback:\n  in x\x1b[2J", ()
    assert OneLine("%(message)s").format(record) == "Traceback:\n  in x\\x1b[2J"
