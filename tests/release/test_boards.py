"""Tests on boards start where a runner is online; the others are reported as skipped."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from release.boards import BOARDS, online, outputs, problem_of, summary
from tests.edge.parts import ROOT

ANSWER = {
    "total_count": 2,
    "runners": [
        {"name": "one", "status": "online", "labels": [{"name": "self-hosted"}, {"name": "pi4"}]},
        {"name": "two", "status": "offline", "labels": [{"name": "self-hosted"}, {"name": "orin"}]},
    ],
}


def test_only_an_online_runner_counts() -> None:
    assert online(ANSWER) & BOARDS.keys() == {"pi4"}
    assert outputs(online(ANSWER)) == "pi4=true\npi5=false\norin=false\n"


def test_the_summary_names_every_skipped_board() -> None:
    text = summary({"pi4"})
    assert "| Raspberry Pi 4 | tested |" in text
    assert "| Jetson Orin | SKIPPED: no online runner with the label `orin` |" in text


def run(text: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "release.boards"],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_needs_nothing_but_python() -> None:
    """It runs before anything is installed: -S leaves out all installed packages."""
    assert run(json.dumps(ANSWER)) == (0, "pi4=true\npi5=false\norin=false\n", summary({"pi4"}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the secret RUNNERS_TOKEN is missing"),
        ('{"message": "Bad credentials", "status": "401"}', "no list of runners: Bad credentials"),
        ("[1]", "no list of runners: unknown answer"),
        ("<html>\nnot found", "no list of runners, but: <html>"),
    ],
)
def test_without_a_list_every_board_is_skipped_with_the_reason(text: str, problem: str) -> None:
    code, out, shown = run(text)
    assert (code, out) == (0, "pi4=false\npi5=false\norin=false\n")
    assert shown.count(f"SKIPPED: {problem_of(text)}") == len(BOARDS)
    assert problem in shown
