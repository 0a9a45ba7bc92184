"""Lines that repeat are counted, all others are printed."""

from __future__ import annotations

import logging

from edge.commands.logs import MAX_EQUAL, MAX_LINES, RepeatFilter


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
