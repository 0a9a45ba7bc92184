"""Which boards the tests on hardware can use: those with an online runner of their label.

    gh api repos/OWNER/NAME/actions/runners | python -m release.boards >>"$GITHUB_OUTPUT" 2>>"$GITHUB_STEP_SUMMARY"

A job for a label without a runner would wait for a day and then fail. So the workflow starts those with a runner only,
and the summary names the others.
"""

from __future__ import annotations

import json
import sys
from typing import Any

BOARDS = {"pi4": "Raspberry Pi 4", "pi5": "Raspberry Pi 5", "orin": "Jetson Orin"}
"""Label of a runner -> its board."""


NO_LIST = "no list of runners: the secret RUNNERS_TOKEN is missing"


def online(answer: dict[str, Any]) -> set[str]:
    """Return the labels of the runners that wait for work, from GitHub's list of runners."""
    runners = answer.get("runners", [])
    return {label["name"] for runner in runners if runner["status"] == "online" for label in runner["labels"]}


def outputs(labels: set[str]) -> str:
    """Return one line for each board: whether its job may start."""
    return "".join(f"{board}={json.dumps(board in labels)}\n" for board in BOARDS)


def summary(labels: set[str], problem: str = "") -> str:
    """Return what the workflow's page shows; ``problem`` is why there is no list of runners."""
    rows = []
    for board, name in BOARDS.items():
        skipped = f"SKIPPED: {problem or f'no online runner with the label `{board}`'}"
        rows.append(f"| {name} | {'tested' if board in labels else skipped} |")
    return "\n".join(["### Tests on boards", "", "| board | result |", "| --- | --- |", *rows, ""])


def problem_of(text: str) -> str:
    """Return why GitHub's answer is no list of runners, or nothing."""
    if not text.strip():
        return NO_LIST
    try:
        answer = json.loads(text)
    except ValueError:
        return f"no list of runners, but: {text.strip().splitlines()[0][:100]}"
    if not isinstance(answer, dict):
        answer = {}
    return "" if "runners" in answer else f"no list of runners: {answer.get('message', 'unknown answer')}"


def main() -> int:
    """Read GitHub's list from standard input; write outputs to standard output, the summary to standard error."""
    text = sys.stdin.read()
    problem = problem_of(text)
    labels = set() if problem else online(json.loads(text))
    sys.stdout.write(outputs(labels))
    sys.stderr.write(summary(labels, problem))
    return 0


if __name__ == "__main__":
    sys.exit(main())
