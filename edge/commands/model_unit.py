"""What package and unit fmd-model.service do as root: ``python -I -m edge.commands.model_unit take`` or ``migrate``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge import paths
from edge.commands import logs
from edge.errors import EXIT_OK, EXIT_USAGE, exit_code_of


def main(words: Sequence[str]) -> int:
    """Do all staged requests ("take"), or take over the models of an earlier version ("migrate")."""
    logs.start()
    if list(words) not in (["take"], ["migrate"]):
        print("usage: python -I -m edge.commands.model_unit take|migrate", file=sys.stderr)
        return EXIT_USAGE
    return exit_code_of(lambda: _run(words[0]))


def _run(word: str) -> int:
    from edge.service import model_installer
    from edge.service.model_store import ModelStore

    store = ModelStore(paths.STATE)
    if word == "take":
        model_installer.take(store)
    else:
        for line in model_installer.migrate(store, paths.STATE / "models"):
            print(line)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
