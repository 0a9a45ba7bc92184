"""``fmd predict``: faces and labels of pictures or a clip, as a CSV."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from edge.commands import common
from edge.errors import EXIT_OK, CameraError, FmdError, OutputError, naming_stdout

log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd predict``."""
    parser.add_argument("source", type=Path, help="a picture, a folder of pictures, or a clip")
    parser.add_argument("--csv", type=Path, help="where to write (default: standard output)")
    parser.add_argument(
        "--annotate", type=Path, metavar="DIR", help="write every picture too, faces marked and blurred"
    )
    parser.add_argument("--show-faces", action="store_true", help="do not blur faces in --annotate")
    common.add_settings_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write faces and labels of every picture."""
    from edge.reporting import annotate, predictor
    from edge.service import models

    settings = common.load_settings(arguments)
    unreadable = Unreadable()
    # Before the CSV is opened: a mistyped source must not empty the file of an earlier run.
    frames = predictor.named_frames(arguments.source, settings.camera, unreadable.add)
    _check_csv(arguments.csv, arguments.source, *filter(None, [arguments.config]))
    found_by = predictor.Predictor(
        models.open_detector(settings), models.open_classifier(settings), settings.detect.start_score
    )
    if arguments.annotate:
        arguments.annotate.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    with _csv_file(arguments.csv) as out:
        out.write(",".join(predictor.COLUMNS) + "\n")
        for name, frame in frames:
            found = found_by.predict(frame)
            predictor.write_rows(out, name, found)
            if arguments.annotate:
                picture = found_by.annotated(frame, found, arguments.show_faces)
                annotate.save_picture(arguments.annotate / f"{name.replace('#', '-')}.png", picture)
            progress.count(len(found))
    progress.done()
    unreadable.complain(arguments.source)
    return EXIT_OK


class Unreadable:
    """The pictures of a folder that could not be read: told as they come, and counted for the end."""

    def __init__(self) -> None:
        self._errors: list[CameraError] = []

    def add(self, error: CameraError) -> None:
        """Tell of one picture, and go on."""
        log.warning("left out %s", error)
        self._errors.append(error)

    def complain(self, source: Path) -> None:
        """Raise CameraError if there were any: whoever reads the CSV alone would take it for complete."""
        if self._errors:
            raise CameraError(
                f"{source}: {len(self._errors)} of its pictures could not be read and are not in the rows; the first: "
                f"{self._errors[0]}"
            )


def _check_csv(path: Path | None, *sources: Path) -> None:
    """Complain before the models are loaded; what is there already stays as it is."""
    if path is None:
        return
    common.check_spares("--csv", path, *sources)
    there = path.exists()
    with _csv_file(path, "a"):
        pass
    if not there:
        path.unlink()


@contextmanager
def _csv_file(path: Path | None, mode: Literal["w", "a"] = "w") -> Iterator[TextIO]:
    """``path`` opened for rows, or standard output; a full disk is told with the file's name."""
    if path is None:
        with naming_stdout():
            yield sys.stdout
        return
    try:
        with path.open(mode, newline="") as handle:
            yield handle
    except FmdError:
        raise
    except OSError as error:
        # Errors of opening name their file, those of writing do not.
        raise OutputError(f"{error.filename or path}: {error.strerror}") from error


class Progress:
    """A line on stderr every few seconds; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, every_s: float = 3.0) -> None:
        self._clock, self._every_s = clock, every_s
        self._started_s = self._said_s = clock()
        self._frames = self._faces = 0

    def count(self, faces: int) -> None:
        """One more frame, with so many faces."""
        self._frames += 1
        self._faces += faces
        if self._clock() - self._said_s >= self._every_s:
            self._said_s = self._clock()
            self.done()

    def done(self) -> None:
        """Say how far it is."""
        rate = self._frames / max(1e-9, self._clock() - self._started_s)
        log.info("%d pictures, %d faces, %.1f pictures/s", self._frames, self._faces, rate)
