"""fmd: watch a doorway, and the tools around it.

fmd run       watch, decide, alert (what the service starts)
fmd demo      the whole loop on a built-in scene with simulated pins
fmd predict   faces and labels of pictures or a clip, as a CSV
fmd replay    a clip of your door, and what fmd must make of it: a regression test
fmd events    what was decided at the door and what went wrong, from the service's log
fmd model     install a model file with proof, list what there is, go back
fmd off       switch LED and buzzer off
fmd doctor    is this machine fit to watch a door, and if not, what cures it?
fmd verify    is this model file what it says, and does this machine compute it rightly?
fmd flash     put fmd onto a card with Raspberry Pi OS (on a laptop)
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.doctor import options as doctor_options
from edge.errors import RuntimeMissingError, exit_code_of
from edge.flash import options as flash_options


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "replay" and arguments.write and not arguments.expect:
        parser.error("replay --write: say with --expect which file to write")
    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    # OpenCV and FFmpeg read these when they wake up; what matters of their complaints fmd says in its own words.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Its read of a USB camera waits ten seconds in the kernel; what gives up sooner can be opened again sooner.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
    return exit_code_of(lambda: _dispatch(arguments))


def _dispatch(arguments: argparse.Namespace) -> int:
    # Only here, so that --help is quick and that Ctrl-C during the long imports ends in one line, too.
    try:
        if arguments.command == "flash":
            from edge.commands import flash

            return flash.run(arguments)
        if arguments.command == "doctor":
            from edge.commands import doctor

            return doctor.run(arguments)
        from edge.commands import run as commands
    except ImportError as error:
        raise RuntimeMissingError(f"{error}; fmd's own libraries are missing or damaged: install it again") from error
    return commands.COMMANDS[arguments.command](arguments)


def version_line(command: str) -> str:
    """What ``--version`` of each of our commands prints; also where fmd runs from a checkout not installed."""
    try:
        return f"{command} {importlib.metadata.version('fmd-edge')}"
    except importlib.metadata.PackageNotFoundError:
        return f"{command} (not installed: run from a checkout)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fmd", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--verbose", action="store_true", help="say more, such as every change of a pin")
    parser.add_argument("--version", action="version", version=version_line("fmd"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    run = commands.add_parser("run", help="watch, decide, alert")
    _add_settings_options(run)
    run.add_argument(
        "--source", help="camera.source: auto, picamera2, csi, /dev/videoN, rtsp://..., a clip, a folder, doorway"
    )
    run.add_argument(
        "--check", action="store_true", help="only say whether settings and models are fit to run; opens no device"
    )
    run.add_argument("--simulate", metavar="FAULTS", help="rehearse faults of the camera, as in stall@30,unplug@60+5")
    run.add_argument("--annotate", type=Path, metavar="MP4", help="write what was seen as a video, faces blurred")
    run.add_argument("--show-faces", action="store_true", help="do not blur faces in --annotate")
    run.add_argument("--timings", action="store_true", help="print the time each stage took, at the end")

    demo = commands.add_parser("demo", help="the whole loop on a built-in scene with simulated pins")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for video and contact sheet")

    predict = commands.add_parser("predict", help="faces and labels of pictures or a clip, as a CSV")
    predict.add_argument("source", type=Path, help="a picture, a folder of pictures, or a clip")
    predict.add_argument("--csv", type=Path, help="where to write (default: standard output)")
    predict.add_argument(
        "--annotate", type=Path, metavar="DIR", help="write every picture too, faces marked and blurred"
    )
    predict.add_argument("--show-faces", action="store_true", help="do not blur faces in --annotate")
    _add_settings_options(predict)

    replay = commands.add_parser("replay", help="a clip of your door, and what fmd must make of it")
    replay.add_argument("clip", help="a clip, or doorway for the built-in scene; outputs are simulated")
    replay.add_argument("--expect", type=Path, metavar="FILE", help="passages and alarms that are right (TOML or JSON)")
    replay.add_argument("--write", action="store_true", help="write what came into --expect's file instead")
    _add_settings_options(replay)

    events = commands.add_parser("events", help="print the service's log of events")
    events.add_argument("--json", action="store_true", help="a line of JSON each, as kept")
    _add_state_option(events)

    _add_model(commands)

    off = commands.add_parser("off", help="switch LED and buzzer off (the unit does it after fmd was killed)")
    _add_settings_options(off)

    doctor = commands.add_parser("doctor", help="is this machine fit to watch a door, and if not, what cures it?")
    doctor_options.add_options(doctor)
    _add_settings_options(doctor)

    verify = commands.add_parser("verify", help="check a model file and replay its golden inputs")
    verify.add_argument("model", type=Path)
    flash = commands.add_parser("flash", help="put fmd onto a card with Raspberry Pi OS; a dry run without --write")
    flash_options.add_options(flash)
    for command in (run, demo, predict, replay, events, off, doctor, verify, flash):
        # After the command as well as before it; without a default, lest it undo the one before.
        command.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _add_model(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    model = commands.add_parser("model", help="install a model file with proof, list what there is, go back")
    what = model.add_subparsers(required=True, metavar="WHAT", dest="what")
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
        _add_state_option(command)
        command.add_argument(
            "--runtime", type=Path, metavar="DIR", help="the service's runtime directory (default: /run/fmd)"
        )
        command.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def _add_state_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="the service's state directory (default: $STATE_DIRECTORY, /var/lib/fmd)",
    )


def _add_settings_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="settings file (TOML); what it leaves out keeps its default")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in --set alert.led_pin=22"
    )


if __name__ == "__main__":
    sys.exit(main())
