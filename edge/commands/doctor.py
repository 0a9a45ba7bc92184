"""``fmd doctor``: run all checks in order and print the findings, as lines for people or as JSON for programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from edge import paths
from edge.commands import common
from edge.doctor.checks import examined
from edge.doctor.facts import Facts
from edge.doctor.findings import Finding, Status
from edge.errors import EXIT_KNOWN, EXIT_OK
from edge.text import escaped

EXAMPLES = """\
examples:
  sudo fmd doctor                  with the service's settings
  fmd doctor --config my.toml --try-outputs
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd doctor``."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--try-outputs", action="store_true", help="switch each output on for half a second: watch and listen"
    )
    common.add_settings_options(parser)


def run(arguments: argparse.Namespace, facts: Facts | None = None) -> int:
    """Check this machine; return exit code 1 if there is an error to fix."""
    facts = facts or Facts()
    findings, progress = [], Progress(sys.stderr)
    for finding in examined(facts, _options(arguments, facts), arguments.try_outputs, progress.begin):
        progress.clear()
        findings.append(finding)
        if not arguments.json:
            # At once: some checks take many seconds.
            print(line_of(finding), flush=True)
    progress.clear()
    print(as_json(findings, facts.is_pc) if arguments.json else summary(findings, facts.is_pc))
    return EXIT_KNOWN if any(finding.status is Status.ERROR for finding in findings) else EXIT_OK


class Progress:
    """Line on a terminal that names the check that runs now. Another stream gets nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self._wide = stream, 0

    def begin(self, name: str) -> None:
        """Show that the check ``name`` runs."""
        if self._stream is None or not self._stream.isatty():  # Windows' pythonw has no standard streams
            return
        self.clear()
        text = f"checking {name.replace('_', ' ')} ..."
        self._wide = len(text)
        print(text, end="", file=self._stream, flush=True)

    def clear(self) -> None:
        """Erase the line."""
        if self._wide:
            print(f"\r{' ' * self._wide}\r", end="", file=self._stream, flush=True)
        self._wide = 0


def _options(arguments: argparse.Namespace, facts: Facts) -> list[str]:
    """Return the options for the probes: the service's settings, unless the user names others."""
    path = arguments.config
    if path is None and facts.under_root(paths.SETTINGS).is_file():
        path = facts.under_root(paths.SETTINGS)
    named = ["--config", str(path)] if path else []
    return named + [option for text in arguments.set for option in ("--set", text)]


def line_of(finding: Finding) -> str:
    """Return a finding as one line, followed by a line with its fix."""
    line = f"{finding.status.value:<9}{finding.check:<13}{escaped(finding.text)}"
    return f"{line}\n{'':<22}-> {escaped(finding.fix)}" if finding.fix else line


def summary(findings: Sequence[Finding], is_pc: bool = False) -> str:
    """Return the last line of the output. A PC is ready for recordings at best: it cannot raise an alarm."""
    count = Counter(finding.status for finding in findings)
    if not count[Status.ERROR] and not count[Status.WARNING]:
        return f"ready{' to try fmd on a PC' if is_pc else ''}: no errors, no warnings"
    return f"errors: {count[Status.ERROR]}, warnings: {count[Status.WARNING]}"


def as_json(findings: Sequence[Finding], is_pc: bool = False) -> str:
    """Return ``{"fit": bool, "pc": bool, "findings": [{"check", "status", "text", "fix"}, ...]}``.

    ``fit`` is true without an error. On a PC it means ready to try fmd: a PC cannot raise an alarm.
    """
    rows = [{"check": f.check, "status": f.status.value, "text": f.text, "fix": f.fix} for f in findings]
    fit = all(f.status is not Status.ERROR for f in findings)
    return json.dumps({"fit": fit, "pc": is_pc, "findings": rows}, indent=1)
