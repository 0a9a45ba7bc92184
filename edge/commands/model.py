"""``fmd model``: install a model file after a comparison with the current one, list the installed ones, go back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import paths
from edge.commands import asking, common
from edge.commands.parsing import number, print_help
from edge.errors import EXIT_OK, FmdError
from edge.paths import TASKS

if TYPE_CHECKING:
    from edge.service.model_store import ModelStore

EXAMPLES = """\
examples:
  fmd model list
  sudo fmd model install mask.tflite    compare with the current model, switch
  sudo fmd model install mask.tflite --source door.mp4
  sudo fmd model install mask.tflite --observations 20 --watch 1h
  sudo fmd model rollback               back to the previous classifier
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands of ``fmd model`` and their options."""
    what = parser.add_subparsers(metavar="WHAT", dest="what", title="subcommands")
    install = _add_subcommand(what, "install", "compare a model file with the current model, switch to it")
    install.add_argument("file", type=Path, help="a model file made by fmd-convert")
    install.add_argument(
        "--seconds",
        type=number(86400, "seconds"),
        help="how long both models see the same live frames in a shadow run (default: 60; 0: no shadow run)",
    )
    install.add_argument("--source", metavar="CLIP", help="compare on this clip or folder instead of the live camera")
    install.add_argument(
        "--allow",
        type=number(1, "a share"),
        metavar="SHARE",
        help="share of observations that may differ for the switch (default: 0.1)",
    )
    install.add_argument(
        "--observations",
        type=number(1_000_000, "observations"),
        default=0,
        metavar="N",
        help="switch only if the shadow run compared at least N observations (default: 0)",
    )
    install.add_argument(
        "--watch",
        type=asking.duration(7),
        default=0.0,
        metavar="TIME",
        help="after the switch watch the door for this time, such as 1h, and go back if it is not watched well",
    )
    install.add_argument("--json", action="store_true", help="print the result as JSON")
    install.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: /etc/fmd/fmd.toml)")
    listing = _add_subcommand(what, "list", "list the installed models, the current and the previous one")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    rollback = _add_subcommand(what, "rollback", "switch back to the previous model")
    rollback.add_argument(
        "task", choices=TASKS, nargs="?", default="classifier", help="which model (default: classifier)"
    )
    parser.set_defaults(model_parser=parser)


def _add_subcommand(what: argparse._SubParsersAction[Any], name: str, sentence: str) -> argparse.ArgumentParser:
    parser = common.add_subcommand(what, name, sentence)
    common.add_state_option(parser)
    parser.add_argument("--runtime", type=Path, metavar="DIR", help="its runtime directory (default: /run/fmd)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand; print the help where there is none."""
    if arguments.what is None:
        return print_help(arguments.model_parser)
    from edge.commands import model_install
    from edge.service.model_store import ModelStore

    store = ModelStore(arguments.state)
    if arguments.state and arguments.what != "install" and not store.folder.is_dir():  # install makes the folder
        common.existing_state(arguments.state)
    {"install": model_install.install, "list": _list, "rollback": _roll_back}[arguments.what](arguments, store)
    return EXIT_OK


def _list(arguments: argparse.Namespace, store: ModelStore) -> None:
    """Print the current and the previous model of each task, and all installed files."""
    listed = {task: _listed(store, task) for task in TASKS}
    if arguments.json:
        print(json.dumps(listed, indent=1))
        return
    for task, found in listed.items():
        print(f"{task}: current {found['current']}, previous {found['previous'] or 'none'}")
        if found["problem"]:
            print(f"  {found['problem']}")
        for name, about in found["installed"].items():
            print(f"  {name}  {about}")


def _listed(store: ModelStore, task: str) -> dict[str, Any]:
    """Return the models of a task; ``installed`` maps a file to its model's name, or to what is wrong with it."""
    from edge.inference import bundle

    choice, problem = store.read(task)
    installed = {}
    for path in store.files(task):
        try:
            installed[path.name] = bundle.unpack(path).contract.name
        # A damaged file must not hide the others, nor the command that removes it from use.
        except FmdError as error:
            installed[path.name] = str(error)
    return {"current": choice.current, "previous": choice.previous, "problem": problem, "installed": installed}


def _roll_back(arguments: argparse.Namespace, store: ModelStore) -> None:
    """Switch to the previous model, and have a running service reload."""
    from edge.service import serving
    from edge.service.model_installer import Request, ask

    name = ask(store, Request("rollback", arguments.task)).name
    runtime = arguments.runtime or paths.RUNTIME
    running = serving.is_served(runtime)
    if running:
        serving.reload(runtime)
    print(f"{arguments.task}: back to {name}" + ("" if running else "; fmd is not running"))
