"""Newest lines of the log for the page."""

from __future__ import annotations

import logging

import pytest

from edge import redaction
from edge.page_service.log_lines import KEPT, LONGEST, kept

log = logging.getLogger("edge.test")


@pytest.fixture(autouse=True)
def _informative(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def test_lines_have_a_time_and_a_level_and_no_secrets() -> None:
    with kept(logging.Filter()) as lines:
        log.info("camera rtsp://door:early-secret@192.0.2.1/stream opened")
        log.warning("token late-secret-1234")
        redaction.learn("late-secret-1234", secret=True)
        log.debug("not this one")
        found = lines.newest(10)
    assert len(found) == 2
    assert found[0].endswith(" info: camera rtsp://***@192.0.2.1/stream opened")
    assert found[1].endswith(" warning: token ***")
    assert found[0][4] == found[0][7] == "-"


def test_a_line_cannot_forge_another_and_is_not_endless() -> None:
    with kept(logging.Filter()) as lines:
        log.info("a\nb\x1b[31m%s", "x" * 10_000)
        (line,) = lines.newest(10)
    assert line.isprintable()
    assert len(line) < LONGEST + 100


def test_only_the_newest_are_kept_and_nothing_after_the_end() -> None:
    with kept(logging.Filter()) as lines:
        for number in range(KEPT + 10):
            log.info("line %d", number)
        assert [line.split()[-1] for line in lines.newest(2)] == [str(KEPT + 8), str(KEPT + 9)]
        assert len(lines.newest(KEPT * 2)) == KEPT
    log.info("later")
    assert lines.newest(1)[0].endswith(str(KEPT + 9))


def test_what_a_filter_drops_is_not_kept_and_a_broken_record_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    repeats = logging.Filter("edge.other")
    with kept(repeats) as lines:
        log.info("dropped")
        logging.getLogger("edge.other").info("kept")
        assert len(lines.newest(5)) == 1
