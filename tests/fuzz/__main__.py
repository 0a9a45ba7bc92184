"""``python -m tests.fuzz``: fuzz all targets and print the table; see :mod:`tests.fuzz`."""

from __future__ import annotations

import os

# Before numpy is loaded: a pool of threads does not survive a fork.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import contextlib
import logging
import sys
from pathlib import Path


def main() -> int:
    """Fuzz, print the table, and return 1 if there is a finding."""
    import cv2

    from tests.fuzz import run, targets

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what fmd reads from strangers.")
    parser.add_argument("--cases", type=int, default=2000, help="cases of all targets together (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other cases (default: 1)")
    parser.add_argument("--target", choices=targets.TARGETS, help="this target alone")
    parser.add_argument("--case", type=int, help="one case of --target, here and with its traceback")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the inputs of all findings there")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--atheris", action="store_true", help="let atheris make the inputs of --target, without end")
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    logging.disable(logging.CRITICAL)
    if arguments.atheris:
        return _with_atheris(arguments.target)
    if arguments.case is not None:
        target = targets.opened(arguments.target)
        target.read(targets.input_of(arguments.target, arguments.seed, arguments.case))
        return 0
    names = [arguments.target] if arguments.target else list(targets.TARGETS)
    results = []
    for name, cases in targets.shares(arguments.cases, names).items():
        results.append(run.fuzz(name, arguments.seed, cases))
        if not arguments.json:
            print(run.table(results[-1:]), flush=True)
        _keep(arguments.keep, arguments.seed, results[-1])
    print(run.plain(results) if arguments.json else f"\n{run.table(results)}")
    return int(not all(one.good for one in results))


def _keep(folder: Path | None, seed: int, result: object) -> None:
    from tests.fuzz import run, targets

    assert isinstance(result, run.Result)
    if folder is None or not result.findings:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for case, what in result.findings:
        (folder / f"{result.target}-{case}").write_bytes(targets.input_of(result.target, seed, case))
        (folder / f"{result.target}-{case}.txt").write_text(f"{what}\n")


def _with_atheris(name: str) -> int:
    """Fuzz a target guided by coverage; atheris ends the process at the first finding."""
    import atheris  # type: ignore[import-not-found, unused-ignore]

    from tests.fuzz import targets

    target = targets.opened(name)
    atheris.instrument_all()

    def one(data: bytes) -> None:
        with contextlib.suppress(target.expected):
            target.read(data)

    atheris.Setup([sys.argv[0], f"-rss_limit_mb={512}", "-timeout=25"], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
