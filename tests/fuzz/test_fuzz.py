"""The fuzzer finds nothing in 2,000 cases, and finds what is there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.edge.parts import ROOT
from tests.fuzz import run, targets

CASES = 2000


def test_no_target_has_a_finding_in_2000_cases() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--cases", str(CASES), "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.stdout, ran.stderr
    results = [run.Result(**one) for one in json.loads(ran.stdout.splitlines()[-1])]
    assert [one.target for one in results] == list(targets.TARGETS)
    assert sum(one.cases for one in results) == pytest.approx(CASES, abs=len(results))
    bad = [one for one in results if not one.good]
    assert not bad, run.table(bad)
    assert ran.returncode == 0


def test_a_target_that_refuses_nothing_is_no_test() -> None:
    """Most mutations of a file with a checksum or a format are refused; a fuzzer that never fails reads nothing."""
    for name in ("bundle", "contract", "golden", "settings", "backup", "package", "card", "partition", "sums"):
        target = targets.opened(name)
        refused = 0
        for case in range(40):
            try:
                target.read(targets.input_of(name, 1, case))
            except target.expected:
                refused += 1
        assert refused > 0, name


def test_equal_numbers_give_equal_inputs_and_others_give_others() -> None:
    made = [targets.input_of("contract", seed, case) for seed in (1, 2) for case in range(20)]
    assert made == [targets.input_of("contract", seed, case) for seed in (1, 2) for case in range(20)]
    assert len(set(made)) > 30


WRONG = """
import os, sys, time
from tests.fuzz import run, targets
from tests.fuzz.targets import Target

def read(data):
    case = data[0]
    if case == 3: os.abort()
    if case == 5: time.sleep(600)
    if case == 7: 1 / 0
    if case == 8: held.append(os.urandom(1) * (600 << 20))
    if case > 8: raise KeyError(case)

held, cases = [], iter(range(1000))
targets.TARGETS["wrong"] = lambda: Target(lambda rng: b"", read, (KeyError,))
targets.input_of = lambda name, seed, case: bytes([case])
print(run.plain([run.fuzz("wrong", 1, 12, hang_s=3)]))
"""


def test_crashes_hangs_exceptions_and_memory_are_found_and_the_rest_goes_on() -> None:
    ran = subprocess.run([sys.executable, "-c", WRONG], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    (found,) = [run.Result(**one) for one in json.loads(ran.stdout)]
    assert (found.cases, found.expected, found.unexpected, found.hangs) == (12, 3, 2, 1)
    assert found.peak_mb > 512
    assert not found.good
    assert [case for case, _ in found.findings] == [3, 5, 7]
    assert [what.split()[0] for _, what in found.findings] == ["crash:", "took", "ZeroDivisionError:"]
