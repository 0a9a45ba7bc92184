"""The lateness monitor with simulated time: how long detections take, and whether frames waited meanwhile."""

from __future__ import annotations

import pytest

from edge.camera.lateness import (
    KEEPING_UP_SHARE,
    MIN_DETECTIONS,
    TOO_SLOW,
    TOO_SLOW_SHARE,
    WINDOW_DETECTIONS,
    LatenessMonitor,
)

ASKED_S = 0.1
SLOW_S, QUICK_S = 0.31, 0.05


class Loop:
    """A loop whose detections take their time, beside a camera that gives ``fps`` frames a second."""

    def __init__(self, fps: float = 15.0) -> None:
        self.monitor, self.now_s, self._fps, self._dropped = LatenessMonitor(ASKED_S), 0.0, fps, 0

    def frames(self, times: int, took_s: float, detected: bool = True) -> str:
        """Take up ``times`` more frames and return the monitor's message."""
        for _ in range(times):
            self.monitor.turn(self.now_s, self._dropped)
            self.monitor.took(detected, self.now_s)
            waiting = int(took_s * self._fps)
            self._dropped += max(0, waiting - 1)
            self.now_s += took_s if waiting else 1 / self._fps
        return self.monitor.slow

    def settle(self) -> str:
        """Take up one frame without a detection, which ends the last detection; return the monitor's message."""
        return self.frames(1, QUICK_S, detected=False)


@pytest.mark.parametrize("took_s", [0.02, 0.09, 0.19])
def test_a_board_that_detects_nearly_as_often_as_requested_keeps_up(took_s: float) -> None:
    assert Loop().frames(300, took_s) == ""


def test_a_board_that_detects_less_than_half_as_often_is_too_slow_and_says_by_how_much() -> None:
    message = Loop().frames(MIN_DETECTIONS + 2, SLOW_S)
    assert message.startswith(f"{TOO_SLOW}: 3.2 detections a second, 10.0 requested; ")


@pytest.mark.parametrize(("detections", "slow"), [(MIN_DETECTIONS - 1, False), (MIN_DETECTIONS, True)])
def test_the_first_judgement_needs_enough_detections(detections: int, slow: bool) -> None:
    loop = Loop()
    loop.frames(detections, SLOW_S)
    assert bool(loop.settle()) is slow


@pytest.mark.parametrize(
    ("quick", "slow"),
    [
        (1, True),
        (round((1 - TOO_SLOW_SHARE) * WINDOW_DETECTIONS) + 5, True),  # between both shares nothing changes
        (round((1 - KEEPING_UP_SHARE) * WINDOW_DETECTIONS), True),
        (round((1 - KEEPING_UP_SHARE) * WINDOW_DETECTIONS) + 1, False),
        (WINDOW_DETECTIONS, False),
    ],
)
def test_a_slow_board_keeps_up_again_once_few_detections_are_late(quick: int, slow: bool) -> None:
    loop = Loop()
    loop.frames(WINDOW_DETECTIONS, SLOW_S)
    loop.frames(quick, QUICK_S)
    assert bool(loop.settle()) is slow


@pytest.mark.parametrize(("late", "slow"), [(50, False), (51, True)])
def test_a_quick_board_is_too_slow_once_most_detections_are_late(late: int, slow: bool) -> None:
    loop = Loop()
    loop.frames(WINDOW_DETECTIONS, QUICK_S)
    loop.frames(late, SLOW_S)
    assert bool(loop.settle()) is slow


def test_the_message_stays_the_same_while_the_board_is_too_slow() -> None:
    loop = Loop()
    first = loop.frames(WINDOW_DETECTIONS, SLOW_S)
    assert loop.frames(WINDOW_DETECTIONS, 0.5) == first != ""


def test_some_slow_detections_among_quick_ones_give_no_message() -> None:
    loop = Loop()
    assert {loop.frames(1, 0.8 if frame % 3 == 0 else QUICK_S) for frame in range(300)} == {""}


def test_a_camera_that_gives_few_frames_is_not_the_boards_fault() -> None:
    assert Loop(fps=2.0).frames(300, 0.4) == ""


def test_frames_without_a_detection_are_not_judged() -> None:
    assert Loop().frames(300, SLOW_S, detected=False) == ""
