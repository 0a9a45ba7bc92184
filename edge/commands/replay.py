"""``fmd replay``: run a clip of the door through the whole service and compare passages and alarms with a file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.commands import common
from edge.errors import EXIT_KNOWN, EXIT_OK, SettingsError

if TYPE_CHECKING:
    from edge.commands.expectation import Course
    from edge.config import Settings
    from edge.reporting.listener import Listener

SIMULATED: Mapping[str, Any] = {"alert.driver": "console", "voice.enabled": False, "camera.loop": False}
"""Settings that override all others in a replay: it drives no output, and ends with its clip."""


EXAMPLES = """\
The file of --expect lists passages (when each person came and went, with or
without a mask) and alarms. Times may differ by its tolerance_s. The exit code
is 1 where anything else differs, so that a script can run it after every
change of settings, models or fmd. Outputs are simulated.

examples:
  fmd replay door.mp4 --expect door.toml --write    record; then correct
  fmd replay door.mp4 --expect door.toml            compare
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd replay``."""
    parser.add_argument("clip", help="a clip, a folder of pictures, or doorway for the built-in scene")
    parser.add_argument("--expect", type=Path, metavar="FILE", help="passages and alarms that are right (TOML or JSON)")
    parser.add_argument("--write", action="store_true", help="write what fmd decides to the file of --expect instead")
    common.add_settings_options(parser)
    # What run() finds wrong with the options is wrong usage as well: exit code 2, with the usage of this command.
    parser.set_defaults(wrong_usage=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Run the clip through the whole service and compare the result with the file; exit code 1 where it differs."""
    if arguments.write and not arguments.expect:
        arguments.wrong_usage("--write needs --expect, the file to write")

    from edge import config
    from edge.commands import expectation
    from edge.reporting import console

    named = dict(config.parse_assignment(text) for text in arguments.set)
    settings = settings_for(arguments.clip, arguments.config, named)
    if arguments.write:
        common.check_spares("--expect", arguments.expect, *common.files_read(arguments, settings))
        common.check_writable("--expect", arguments.expect)
        common.check_replaceable("--expect", arguments.expect, "an expectation of fmd", expectation.is_expectation)
    # Before the clip is run, which takes long: a mistyped file is reported at once.
    expected = expectation.read(arguments.expect) if arguments.expect and not arguments.write else None
    course, stopped_by = watched(settings, console.DecisionPrinter())
    if stopped_by is not None:
        return common.exit_code(stopped_by)
    if arguments.write:
        expectation.write(arguments.expect, course, Path(arguments.clip).name)
        print(f"{arguments.expect}: written, passages: {len(course.passages)}; watch the clip and correct the file")
    if expected is None:
        return EXIT_OK
    lines = list(expectation.compared(expected, course))
    print(*lines, f"{sum(not line.good for line in lines)} of {len(lines)} differ", sep="\n")
    return EXIT_OK if all(line.good for line in lines) else EXIT_KNOWN


def watched(settings: Settings, *listeners: Listener) -> tuple[Course, int | None]:
    """Run the whole service over ``camera.source``; return its course, and the signal that cut it short, if any.

    Raises SettingsError where the source is a live camera: tomorrow it would show something else.
    """
    from edge import addresses, drivers
    from edge.commands.expectation import CourseRecorder
    from edge.service import run as service

    if drivers.is_live(settings.camera):
        raise SettingsError(
            f"{addresses.redacted(settings.camera.source)}: a live camera; replay wants a clip, or a folder of pictures"
        )
    recorder = CourseRecorder()
    stopped_by = service.run(settings, [recorder, *listeners])
    return recorder.course(), stopped_by


def settings_for(clip: str, path: Path | None, named: Mapping[str, Any]) -> Settings:
    """Return the settings of the site for a replay of ``clip``; ``named`` are those of the command line."""
    from edge import config

    # As fast as it can be computed and without rehearsed faults, whatever the site's settings say of its live camera.
    one = {**config.only_camera(clip), "camera.live": False, "camera.simulate": ""}
    return config.load(path, {**named, **SIMULATED, **one})
