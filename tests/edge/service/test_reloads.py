"""Who asks for a reload learns what became of the settings."""

from __future__ import annotations

import pytest

from edge import config
from edge.errors import CameraError, ControlError
from edge.service.reloads import Reloads
from edge.service.settings_keeper import SettingsKeeper
from edge.service.signals import RunControl


@pytest.fixture
def control() -> RunControl:
    return RunControl(reread=config.load)


@pytest.fixture
def reloads(control: RunControl) -> Reloads:
    return Reloads(SettingsKeeper(lambda over: config.read(None, over=over)), control)


def test_the_answer_comes_with_the_first_frame(reloads: Reloads, control: RunControl) -> None:
    answer = reloads.ask()
    assert control.hung_up
    reloads.proven()
    assert not answer.done(), "that frame was of the settings before"
    reloads.read()
    assert not answer.done()
    reloads.proven()
    assert answer.result(0) == ""


def test_a_refusal_is_the_answer_of_all_who_asked(reloads: Reloads) -> None:
    answers = [reloads.ask(), reloads.ask()]
    reloads.read()
    late = reloads.ask()
    reloads.refused(CameraError("no camera"))
    assert [answer.result(0) for answer in answers] == ["no camera"] * 2
    assert not late.done(), "it wants what comes after"
    reloads.read()
    reloads.proven()
    assert late.result(0) == ""


def test_a_run_in_a_terminal_refuses_and_keeps_nothing(control: RunControl, reloads: Reloads) -> None:
    control.reread = None
    with pytest.raises(ControlError, match="restart it"):
        reloads.check()
    with pytest.raises(ControlError, match="restart it"):
        reloads.ask()
    assert not control.hung_up
