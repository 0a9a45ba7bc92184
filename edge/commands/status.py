"""``fmd status``: print what the running fmd does now, or whether it goes on watching for a time."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge import paths
from edge.commands import asking, common
from edge.errors import EXIT_KNOWN, EXIT_OK, SettingsError, naming_stdout
from edge.text import escaped

if TYPE_CHECKING:
    from edge.commands.door_status import DoorStatus

EXAMPLES = """\
The exit code is 0 while frames of every camera pass all stages. It is 1 while a
person could pass unseen: fmd does not run, a camera is blind, the board is too
slow, or another model than the installed one is in use. Disarmed is no problem.

examples:
  sudo fmd status
  sudo fmd status --json
  sudo fmd status --for 1h           exit code 0 if it watches for an hour
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd status``."""
    parser.add_argument(
        "--for",
        dest="for_s",
        type=asking.duration(7),
        default=0.0,
        metavar="TIME",
        help="watch for this time, such as 45s, 10m or 1h30m, and end early with a problem of more than 10 s",
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="FILE", help="file name of a model that has to be in use"
    )
    parser.add_argument("--json", action="store_true", help="print the status as JSON")
    common.add_runtime_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the status; return 1 unless the door is watched."""
    import msgspec

    from edge.commands import door_status

    runtime = arguments.runtime or paths.runtime_folder() or paths.RUNTIME
    expected = dict(map(_task_of, arguments.model))
    status = door_status.watched(runtime, arguments.for_s, expected)
    with naming_stdout():
        if arguments.json:
            print(msgspec.json.format(msgspec.json.encode(status)).decode())
        else:
            print("\n".join(map(escaped, _lines(status))))
    return EXIT_OK if status.healthy else EXIT_KNOWN


def _task_of(name: str) -> tuple[str, str]:
    from edge.service import model_store

    match = model_store.NAME.fullmatch(name)
    if match is None:
        raise SettingsError(f"--model {name}: expected the name of an installed model; fmd model list shows them")
    return match[1], name


def _lines(status: DoorStatus) -> Iterator[str]:
    if status.running:
        yield f"{status.state}, {'armed' if status.armed else 'disarmed'}, fmd {status.version}"
    for task, name in status.models.items():
        yield f"{task}: {name}"
    for camera in status.cameras:
        name = f"camera {camera.name}" if camera.name else "camera"
        age = "no picture yet" if camera.age_s is None else f"the newest is {camera.age_s:.1f} s old"
        yield f"{name}: {camera.state}, {camera.per_s:g} pictures/s, {age}"
    if status.watched_s:
        yield f"watched for {status.watched_s:g} s"
    yield from (f"problem: {problem}" for problem in status.problems)
