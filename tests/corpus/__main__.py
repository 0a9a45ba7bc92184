"""The corpus's commands."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from tests.corpus import evaluate
from tests.corpus.kinds import build
from tests.corpus.more import KINDS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus")
    parser.add_argument("command", choices=("make", "convert", "table"))
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--cache", type=Path, default=home / "fmd-corpus", help="default %(default)s")
    parser.add_argument("--only", default="", help="kinds whose names contain this")
    parser.add_argument("--modes", default=",".join(evaluate.MODES), help="default %(default)s")
    parser.add_argument("--again", action="store_true", help="also what was converted before")
    arguments = parser.parse_args()
    chosen = [name for name in KINDS if arguments.only in name]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.command == "make":
        return make(chosen, arguments.cache)
    if arguments.command == "convert":
        return evaluate.convert_all(chosen, arguments.modes.split(","), arguments.cache, arguments.again)
    return evaluate.table(chosen, arguments.cache)


def make(chosen: list[str], cache: Path) -> int:
    failed = 0
    for name in chosen:
        try:
            build(name, KINDS[name], cache, cache / "kinds")
            print(f"made {name}", flush=True)
        except Exception:  # noqa: BLE001 (one kind must not stop the others)
            traceback.print_exc()
            failed += 1
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
