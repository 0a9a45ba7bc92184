"""``fmd demo``: the whole loop on a built-in scene with simulated pins."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands import common
from edge.errors import OutputError

if TYPE_CHECKING:
    from edge.contracts import Image, Step


EXAMPLES = """\
examples:
  fmd demo                  write demo-out/demo.webm and demo-out/contact-sheet.png
  fmd demo --out /tmp/demo
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd demo``."""
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="folder to write to (default: demo-out)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the built-in scene through the whole loop, onto simulated pins, a video and a contact sheet."""
    from edge import config, paths
    from edge.reporting import annotate, console, own_files
    from edge.reporting.listener import Callbacks
    from edge.service import run as service

    # No settings file: the demo must run the same on every machine, and must drive no pin.
    # The same holds for the models: one that is installed here does not count.
    models = {f"model.{task}": str(paths.shipped_model(task)) for task in paths.TASKS}
    settings = config.load(None, {"alert.driver": "console", "camera.source": "doorway", **models})
    folder: Path = arguments.out
    _make(folder)
    film, sheet = folder / "demo.webm", folder / "contact-sheet.png"
    common.check_replaceable("", film, "a video of fmd", own_files.is_video)
    common.check_replaceable("", sheet, "a picture of fmd", own_files.is_picture)
    pictures: list[Image] = []
    pins = f"LED (GPIO{settings.alert.led_pin}) and buzzer (GPIO{settings.alert.buzzer_pin})"
    alarm = False

    def on_step(step: Step) -> None:
        nonlocal alarm
        if step.alarm is not alarm:
            alarm = step.alarm
            print(f"{step.frame.captured_s:8.2f} s  {'ALARM' if alarm else '-----'}  {pins} {'on' if alarm else 'off'}")
        # Unblurred: the portrait is in the public domain.
        picture = annotate.annotate(step, show_faces=True, judged_only=True)
        video.write(picture, step.frame.captured_s)
        # Every 1.1 s of the scene: eleven pictures, which fill three rows.
        if step.frame.index % 17 == 8:
            pictures.append(picture)

    with annotate.VideoFile(film) as video:
        stopped_by = service.run(settings, [console.DecisionPrinter(), Callbacks(on_step)])
    if pictures:
        annotate.save_picture(sheet, annotate.contact_sheet(pictures))
    print(f"annotated video: {film}\ncontact sheet:   {sheet}")
    return common.exit_code(stopped_by)


def _make(folder: Path) -> None:
    """Create the folder of the results. Raises OutputError, before the scene is played."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: a file, expected a folder; name another with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}; name a folder that you may write to with --out") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: you may not write into this folder; name another with --out")
