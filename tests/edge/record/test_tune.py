"""Recorded passages, decided again with other settings."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge import config
from edge.config import DecideSettings
from edge.record import tune
from edge.record.evidence import Weighed, packed, unpacked
from edge.record.replay import Recorded, replay
from edge.record.rows import RunRow
from tests.edge.parts import fmd
from tests.edge.record.parts import Clock, passage, violation

LABELS = ("with_mask", "without_mask", "with_incorrect_mask")


def decide(**changed: object) -> DecideSettings:
    return config.load(None, {f"decide.{key}": value for key, value in changed.items()}).decide


def watched(with_mask: float, badly: float = 0.0, count: int = 12, quality: float = 0.8) -> tuple[Weighed, ...]:
    """Return evidence of equal observations, a tenth of a second apart."""
    shares = (with_mask, 1 - with_mask - badly, badly)
    return tuple(Weighed(0.1 * number, quality, True, shares) for number in range(1, count + 1))


def recorded(evidence: tuple[Weighed, ...], seconds: float = 5.0) -> Recorded:
    kept = tuple(unpacked(packed(evidence)))
    return Recorded(
        1, "", 0, None, None, round(seconds * 1000), "compliant", False, len(kept), LABELS, "with_mask", kept
    )


def test_the_same_settings_give_the_door_s_decision() -> None:
    assert replay(recorded(watched(0.95)), decide()).outcome.value == "compliant"
    found = replay(recorded(watched(0.05)), decide())
    assert (found.outcome.value, found.violated) == ("violation", True)
    assert found.alarm_s is not None
    assert 0.2 < found.alarm_s < 0.8


def test_a_stricter_error_rate_decides_later_and_an_impossible_one_never() -> None:
    quick, slow = (replay(recorded(watched(0.05)), decide(error_rate=rate)) for rate in (0.01, 1e-5))
    assert quick.alarm_s is not None
    assert slow.alarm_s is not None
    assert quick.alarm_s < slow.alarm_s
    few = recorded(watched(0.05, count=3))
    assert replay(few, decide(error_rate=1e-9)).outcome.value == "unsure"


def test_patience_ends_between_observations() -> None:
    found = replay(recorded((Weighed(0.2, 0.5, True, (0.55, 0.45, 0.0)),), 9.0), decide(on_unsure="alarm"))
    assert (found.outcome.value, found.signal.alarming) == ("unsure", True)
    assert replay(recorded((Weighed(0.2, 0.5, True, (0.55, 0.45, 0.0)),), 1.0), decide()).outcome.value == "undecided"


def test_patience_ends_while_no_face_is_found() -> None:
    """The last face was seen after 2.9 s, and the person was followed until 3.1 s."""
    person = recorded((Weighed(0.2, 0.5, True, (0.55, 0.45, 0.0)),), 2.9)
    assert replay(person, decide()).outcome.value == "undecided"
    assert replay(person._replace(lasted_s=3.1), decide()).outcome.value == "unsure"
    assert replay(person._replace(lasted_s=3.1), decide(unsure_after_s=3.5)).outcome.value == "undecided"


def test_reactions_are_part_of_the_effect() -> None:
    people = [recorded(watched(0.02, badly=0.95)), recorded(watched(0.95)), recorded(watched(0.02))]
    assert [tune.effect(people, decide(on_incorrect=choice)).alarms for choice in ("alarm", "signal", "admit")] == [
        2,
        1,
        1,
    ]
    found = tune.effect(people, decide())
    assert (found.passages, found.compliant, found.unsure) == (3, 1, 0)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    clock = Clock(wall_s=time.time() - 60)
    record = clock.record(tmp_path)
    record.begin_run(RunRow(labels=LABELS, compliant="with_mask"))
    for number in range(30):
        if number % 3:
            record.add_passage(passage(number + 1, clock.wall_s, evidence=packed(watched(0.9))))
        else:
            record.add_passage(violation(number + 1, clock.wall_s, evidence=packed(watched(0.03 + number / 200))))
    record.close()
    return tmp_path


def test_the_command_prints_the_effect(state: Path, tmp_path: Path) -> None:
    found = fmd("tune", "decide.error_rate=0.2", "--state", state, "--from", "1d")
    assert found.returncode == 0, found.stderr
    assert "30 passages with evidence" in found.stdout
    assert [line.split()[1] for line in found.stdout.splitlines()[2:4]] == ["10", "10"]
    assert "would have been decided otherwise" in found.stdout
    curve = tmp_path / "curve.html"
    found = fmd("tune", "decide.error_rate=0.0001..0.2", "--state", state, "--from", "1d", "--html", curve)
    assert found.returncode == 0, found.stderr
    assert curve.read_text().count("<svg") == 3
    assert found.stdout.count("decide.error_rate=") == 9


def test_a_single_passage_is_one(tmp_path: Path) -> None:
    clock = Clock(wall_s=time.time() - 60)
    record = clock.record(tmp_path)
    record.begin_run(RunRow(labels=LABELS, compliant="with_mask"))
    record.add_passage(passage(1, clock.wall_s, evidence=packed(watched(0.9))))
    record.close()
    assert (
        ": 1 passage with evidence" in fmd("tune", "decide.error_rate=0.2", "--state", tmp_path, "--from", "1d").stdout
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decide.error_rat=1", "unknown key decide.error_rat; did you mean error_rate?"),
        ("detect.min_score=0.5", "only settings of [decide] can be tried"),
        ("decide.error_rate=0.5..0.1", "expected the smaller number first"),
        ("decide.error_rate=a..b", "expected two numbers"),
        ("decide.error_rate=7", "decide.error_rate"),
        ('decide.accept=["respirator"]', "['respirator']: no label of the model"),
        ("error_rate", "expected section.key=value"),
    ],
)
def test_wrong_settings_are_one_line(state: Path, text: str, said: str) -> None:
    found = fmd("tune", text, "--state", state, "--from", "1d")
    assert found.returncode == 1
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_no_passages_say_what_to_do(state: Path) -> None:
    found = fmd("tune", "decide.error_rate=0.1", "--state", state, "--day", "2020-01-01")
    assert found.returncode == 1
    assert "no passages with evidence in this time" in found.stderr
