"""Entry point of ``fmd``: the table of commands, and the parser that loads the one that is typed."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from edge import process, redaction
from edge.commands import common, logs, parsing
from edge.commands.parsing import Parser, print_help
from edge.errors import RuntimeMissingError, exit_code_of
from edge.files import MAX_PICTURE_PIXELS
from edge.text import AS_THE_DISK_HAS_IT
from edge.version import version


class Command(NamedTuple):
    """A row of the table. Its module in edge.commands has ``add_options(parser)``, EXAMPLES and ``run(arguments)``."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command("run", "run", "watch a door and drive its LED and buzzer"),
    Command("demo", "demo", "run everything on a built-in scene"),
    Command("status", "status", "print whether the running fmd watches the door, now or over a time"),
    Command("arm", "arm", "have the running fmd give alarms"),
    Command("disarm", "disarm", "have the running fmd give no alarms, for a time or until armed"),
    Command("mute", "mute", "silence buzzer and voice of the running fmd for a time"),
    Command("predict", "predict", "write faces and labels of pictures as CSV or JSON"),
    Command("replay", "replay", "compare the decisions on a clip with what you expect"),
    Command("events", "events", "print decisions and faults from the record"),
    Command("report", "report", "print the report of a day, a week or a month, from the record"),
    Command("tune", "tune", "show what other settings would have made of the recorded passages"),
    Command("examples", "examples", "sort the pictures of unclear faces that fmd keeps, and learn settings from them"),
    Command("model", "model", "install a model file, list the installed ones, go back"),
    Command("config", "config", "print the settings in effect and where each comes from"),
    Command("backup", "backup", "write settings, models and record into one file"),
    Command("restore", "restore", "put settings, models and record of a backup in place"),
    Command("off", "off", "switch LED, buzzer and all other outputs off"),
    Command("page", "page", "serve the web page of the running fmd, and set its passwords"),
    Command("doctor", "doctor", "check this machine and say how to fix what is wrong"),
    Command("verify", "verify", "check a model file and replay its golden inputs"),
    Command("enrol", "enrol", "on a hub: give doors their credentials, list and revoke them"),
    Command("flash", "flash", "prepare an SD card of Raspberry Pi OS, on a laptop"),
)
"""The commands in the order of the help."""
DESCRIPTION = "Detect people without a face mask at a doorway, and raise an alarm."
EXAMPLES = """\
examples:
  fmd demo                              try fmd without camera and pins
  fmd run --config /etc/fmd/fmd.toml    watch a door
  fmd run --help                        print the options of a command
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (the process's own where it is None) names, and return the exit code."""
    process.open_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    # File names that are not valid UTF-8 are printed as they are on the disk, as ls does. Characters that a terminal's
    # encoding lacks are escaped.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=AS_THE_DISK_HAS_IT)
    logs.start()
    # Of addresses on the command line as well: a typing error in one must not print its password.
    for word in words:
        redaction.learn(word)
    # Before parsing: what a command's import logs counts as well.
    if "--verbose" in words:
        logs.be_verbose()
    # OpenCV and FFmpeg read these when they load; fmd reports in its own words what matters of their messages.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PICTURE_PIXELS))
    # The kernel blocks a read of a USB camera for ten seconds by default; fmd reopens the camera sooner than that.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
    # Parsing imports the command's module: Ctrl-C and a damaged library must end in one line there as well.
    return exit_code_of(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    parser = make_parser()
    try:
        arguments = parser.parse_args(words)
        # Abbreviated, as argparse allows, --verbose is only known now.
        if arguments.verbose:
            logs.be_verbose()
        if arguments.command is None:
            return print_help(parser)
        command = next(command for command in COMMANDS if command.name == arguments.command)
        code: int = _module(command).run(arguments)
    except RuntimeMissingError:
        raise
    except ImportError as error:
        raise RuntimeMissingError(f"{error}; fmd's own libraries are missing or damaged: install it again") from error
    return code


def make_parser() -> Parser:
    """Return the parser of ``fmd`` with all commands, none of them imported yet; ``load`` imports all."""
    parser = Parser(prog="fmd", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("--verbose", action="store_true", help="log more, such as every change of a pin")
    parser.add_argument("--version", action="version", version=version_line("fmd"))
    parsing.add_completion_option(parser)
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    for command in COMMANDS:
        sentence = f"{command.help[0].upper()}{command.help[1:]}."
        commands.add_parser(
            command.name, help=command.help, description=sentence, declare=partial(_add_options, command)
        )
    return parser


def _add_options(command: Command, parser: Parser) -> None:
    module = _module(command)
    module.add_options(parser)
    parser.epilog = module.EXAMPLES
    common.add_verbose(parser)


def _module(command: Command) -> Any:
    return importlib.import_module(f"edge.commands.{command.module}")


def version_line(command: str) -> str:
    """Return what ``--version`` of a command prints."""
    return f"{command} {version()}"


if __name__ == "__main__":
    sys.exit(main())
