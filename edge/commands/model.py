"""``fmd model``: install a model file with proof, list the installed ones, go back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge import paths
from edge.commands import common
from edge.errors import EXIT_OK, FmdError

if TYPE_CHECKING:
    from edge.service.model_store import ModelStore


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the three subcommands of ``fmd model`` and their options."""
    what = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    install = what.add_parser("install", help="check a file, try it beside the one in use, switch to it")
    install.add_argument("file", type=Path, help="a model file made by fmd-convert")
    install.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="how long both look at the same live frames (default: 60; 0: no trial)",
    )
    install.add_argument("--source", help="try it on this clip or folder instead of the running service's camera")
    install.add_argument(
        "--allow", type=float, default=0.1, metavar="SHARE", help="looks they may disagree on (default: 0.1)"
    )
    install.add_argument("--config", type=Path, help="settings file (default: /etc/fmd/fmd.toml)")
    shown = what.add_parser("list", help="what is installed, in use, and was before")
    rollback = what.add_parser("rollback", help="use what was in use before")
    rollback.add_argument("task", choices=("detector", "classifier"), nargs="?", default="classifier")
    for command in (install, shown, rollback):
        common.add_state_option(command)
        command.add_argument(
            "--runtime", type=Path, metavar="DIR", help="the service's runtime directory (default: /run/fmd)"
        )
        command.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    from edge.commands import model_install
    from edge.service.model_store import ModelStore

    store = ModelStore(arguments.state)
    {"install": model_install.install, "list": _list, "rollback": _roll_back}[arguments.what](arguments, store)
    return EXIT_OK


def _list(arguments: argparse.Namespace, store: ModelStore) -> None:
    from edge.inference import bundle
    from edge.service.model_store import SHIPPED, TASKS

    for task in TASKS:
        chosen = store.chosen(task)
        print(f"{task}: in use {chosen.name if chosen else SHIPPED}, before {store.previous(task) or 'nothing else'}")
        for path in store.files(task):
            try:
                said = bundle.unpack(path).contract.name
            except FmdError as error:
                said = str(error)
            print(f"  {path.name}  {said}")


def _roll_back(arguments: argparse.Namespace, store: ModelStore) -> None:
    from edge.commands.model_install import hang_up
    from edge.service import model_store

    name = store.roll_back(arguments.task)
    running = model_store.in_use(arguments.runtime or paths.RUNTIME)
    if running:
        hang_up(running)
    print(f"{arguments.task}: back to {name}" + ("" if running else "; fmd does not run now"))
