"""The pace as a clock: what a look takes, and whether frames waited meanwhile."""

from __future__ import annotations

import pytest

from edge.camera.lateness import FEWEST, LOOKS, TOO_SLOW, LatenessMonitor

ASKED_S = 0.1


class Loop:
    """A loop whose looks take their time beside a camera that gives 15 frames a second, or as many as it does."""

    def __init__(self, fps: float = 15.0) -> None:
        self.pace, self.now_s, self._fps, self._dropped = LatenessMonitor(ASKED_S), 0.0, fps, 0

    def looks(self, times: int, took_s: float, looked: bool = True) -> str:
        """What is said after so many more frames."""
        for _ in range(times):
            self.pace.turn(self.now_s, self._dropped)
            self.pace.took(looked, self.now_s)
            waiting = int(took_s * self._fps)
            self._dropped += max(0, waiting - 1)
            self.now_s += took_s if waiting else 1 / self._fps
        return self.pace.slow


@pytest.mark.parametrize("took_s", [0.02, 0.09, 0.19])
def test_a_machine_that_looks_nearly_as_often_as_asked_is_quick_enough(took_s: float) -> None:
    assert Loop().looks(300, took_s) == ""


def test_one_that_looks_less_than_half_as_often_is_too_slow_and_says_by_how_much() -> None:
    said = Loop().looks(FEWEST + 2, 0.31)
    assert said.startswith(f"{TOO_SLOW}: 3.2 looks a second where 10.0 are asked for")


def test_it_is_said_in_the_same_words_until_it_is_so_no_longer() -> None:
    loop = Loop()
    first = loop.looks(LOOKS, 0.31)
    assert loop.looks(LOOKS, 0.5) == first != ""
    assert loop.looks(LOOKS // 2, 0.05) == first
    assert loop.looks(LOOKS // 2, 0.05) == ""


def test_some_slow_looks_among_quick_ones_are_nothing_to_tell() -> None:
    loop = Loop()
    assert {loop.looks(1, 0.8 if look % 3 == 0 else 0.05) for look in range(300)} == {""}


def test_a_camera_that_gives_few_frames_is_not_the_machines_fault() -> None:
    assert Loop(fps=2.0).looks(300, 0.4) == ""


def test_frames_that_nobody_looked_at_say_nothing() -> None:
    assert Loop().looks(300, 0.31, looked=False) == ""
