"""``fmd status``: what counts as a door that is watched, now and over a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import pytest

from edge.commands import door_status, main
from edge.commands.door_status import DoorStatus, Sample

WELL = DoorStatus(healthy=True, state="running", models={"classifier": "classifier-0123456789ab.tflite"})


def ill(problem: str = "camera: dark") -> DoorStatus:
    return msgspec.structs.replace(WELL, healthy=False, problems=(problem,))


class Door:
    """A door with one sample a second; the last one stays. ``now_s`` is its clock."""

    def __init__(self, samples: Iterable[DoorStatus], pids: Iterable[int] = ()) -> None:
        self.samples, self.pids, self.now_s = list(samples), list(pids), 100.0

    def sample(self, runtime: Path, expected: Mapping[str, str] | None) -> Sample:
        status = self.samples.pop(0) if len(self.samples) > 1 else self.samples[0]
        return Sample(status, self.pids.pop(0) if self.pids else 7)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def watched(self, seconds: float) -> DoorStatus:
        return door_status.watched(Path(), seconds, {}, lambda: self.now_s, self.sleep, self.sample)


def test_a_door_without_problems_is_watched_to_the_end() -> None:
    found = Door([WELL]).watched(3600)
    assert (found.healthy, found.watched_s) == (True, 3600)


def test_a_problem_shorter_than_the_grace_is_none() -> None:
    found = Door([WELL, *[ill()] * 9, WELL]).watched(60)
    assert (found.healthy, found.watched_s) == (True, 60)


def test_a_problem_longer_than_the_grace_ends_it_early() -> None:
    found = Door([*[WELL] * 21, ill()]).watched(3600)
    assert (found.healthy, found.problems, found.watched_s) == (False, ("camera: dark",), 30)


def test_a_problem_at_the_end_counts_however_short() -> None:
    found = Door([*[WELL] * 59, ill()]).watched(60)
    assert (found.healthy, found.watched_s) == (False, 60)


def test_a_restart_is_a_problem_at_once() -> None:
    found = Door([WELL], pids=[7, 7, 0, 8]).watched(3600)
    assert (found.healthy, found.watched_s) == (False, 3)
    assert found.problems == ("fmd was restarted (process 7, now 8)",)


def test_without_a_time_the_first_sample_counts() -> None:
    assert Door([WELL]).watched(0) == WELL
    assert not Door([ill()]).watched(0).healthy


def test_without_a_fmd_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["status", "--runtime", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["running"], found["healthy"]) == (False, False)
    assert "fmd does not run" in found["problems"][0]
    assert main.main(["status", "--runtime", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("problem: fmd does not run")


@pytest.mark.parametrize("name", ["shipped", "classifier", "../classifier-0123456789ab.tflite", ""])
def test_a_model_that_no_store_has_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["status", "--runtime", str(tmp_path), "--model", name]) == 1
    assert "expected the name of an installed model" in capsys.readouterr().err
