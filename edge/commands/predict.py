"""``fmd predict``: write the faces, labels and probabilities of pictures or of a clip's frames."""

from __future__ import annotations

import argparse
import glob
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from edge.commands import common, logs
from edge.errors import EXIT_OK, CameraError, FmdError, OutputError, SettingsError, naming_stdout

if TYPE_CHECKING:
    from edge.contracts import Frame
    from edge.reporting.predictor import PredictedFace

log = logging.getLogger(__name__)

MARKED = "a picture that fmd has marked"

EXAMPLES = """\
A CSV row is a face: image, xmin, ymin, xmax, ymax (pixels), score (of the
detector), label, and p_LABEL, the probability of each label. A line of JSON is
a picture, also one without faces: {"image", "width", "height", "faces":
[{"box", "score", "label", "probabilities"}]}. What detector and classifier
together take for no face has no label.

examples:
  fmd predict door.jpg
  fmd predict pictures/ --csv faces.csv
  fmd predict clip.mp4 --annotate marked/    draw on a copy of each frame
  fmd predict pictures/ --json | jq '.faces[].label'
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd predict``."""
    parser.add_argument("source", type=Path, help="a picture, a folder of pictures, or a clip")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="CSV file to write (default: standard output)")
    parser.add_argument(
        "--json", action="store_true", help="print one line of JSON per picture; CSV is written only with --csv"
    )
    parser.add_argument(
        "--annotate", type=Path, metavar="DIR", help="write each picture with its faces marked and blurred"
    )
    parser.add_argument("--show-faces", action="store_true", help="do not blur faces in --annotate")
    common.add_settings_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the faces of every picture of the source; raises CameraError at the end where some were unreadable."""
    from edge import api
    from edge.reporting import annotate, predictor

    settings = common.load_settings(arguments)
    unreadable = Unreadable()
    # Before the CSV is opened: a mistyped source must not empty the file of an earlier run.
    frames = predictor.named_frames(arguments.source, settings.camera, unreadable.add)
    _check_csv(arguments.csv, arguments.source, *filter(None, [arguments.config]))
    if arguments.annotate:
        _check_annotate(arguments.annotate, arguments.source)
    predicting = api.predictor_of(settings)
    if arguments.annotate:
        arguments.annotate.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    with logs.native_lines_counted(), _open_outputs(arguments, predicting.labels) as write:
        for name, frame in frames:
            faces = predicting.predict_frame(frame)
            write(name, frame, faces)
            if arguments.annotate:
                picture = predicting.annotated(frame.image, faces, arguments.show_faces)
                annotate.save_picture(arguments.annotate / annotated_name(name), picture)
            progress.count(len(faces))
    # Last, as every other picture is worth its row: the exit code says that the output is incomplete.
    progress.report()
    unreadable.check(arguments.source)
    return EXIT_OK


def annotated_name(name: str) -> str:
    """Return the file name of an annotated picture: a.png stays, a.jpg becomes a.jpg.png, as both may exist."""
    # clip.mp4#12 becomes clip.mp4-12.png: a # would have to be quoted in addresses.
    name = name.replace("#", "-")
    return name if name.lower().endswith(".png") else f"{name}.png"


def _check_annotate(out: Path, source: Path) -> None:
    """Raise SettingsError if an annotated picture would replace the one that it was made of, or another of the user."""
    from edge.reporting import own_files

    pictures = source.iterdir() if source.is_dir() else [source]
    for picture in pictures:
        target = out / annotated_name(picture.name)
        if target.exists() and target.samefile(picture):
            raise SettingsError(f"--annotate {out}: the same file as {picture}, which it would overwrite; name another")
        # A clip's pictures have the number of their frame at the end.
        for existing in (target, *out.glob(f"{glob.escape(picture.name)}-*.png")):
            common.check_replaceable("--annotate", existing, MARKED, own_files.is_picture)


class Unreadable:
    """The pictures of a folder that could not be read: logged one by one, and counted for the end."""

    def __init__(self) -> None:
        self._errors: list[CameraError] = []

    def add(self, error: CameraError) -> None:
        """Log that a picture is left out."""
        log.warning("left out %s", error)
        self._errors.append(error)

    def check(self, source: Path) -> None:
        """Raise CameraError if there were any: someone who reads only the output would take it for complete."""
        if self._errors:
            raise CameraError(
                f"{source}: {len(self._errors)} of its pictures could not be read and are not in the output; "
                f"the first: {self._errors[0]}"
            )


@contextmanager
def _open_outputs(
    arguments: argparse.Namespace, labels: Sequence[str]
) -> Iterator[Callable[[str, Frame, Sequence[PredictedFace]], None]]:
    """Open what the options ask for, and yield the function that writes a picture's faces to all of it."""
    from edge.reporting import predictor

    with ExitStack() as stack:
        table = None if arguments.json and not arguments.csv else stack.enter_context(_csv_file(arguments.csv))
        if table:
            predictor.write_header(table, labels)
        if arguments.json:
            # A full disk behind standard output has no file name of its own.
            stack.enter_context(naming_stdout())

        def write(name: str, frame: Frame, faces: Sequence[PredictedFace]) -> None:
            if table:
                predictor.write_rows(table, name, faces, labels)
            if arguments.json:
                predictor.write_json(sys.stdout, name, frame.image, faces)

        yield write


def _check_csv(path: Path | None, *sources: Path) -> None:
    """Raise before the models are loaded where ``path`` cannot be written; a file that exists keeps its content."""
    if path is None:
        return
    from edge.reporting import predictor

    common.check_spares("--csv", path, *sources)
    common.check_replaceable("--csv", path, "a table of fmd predict", predictor.is_table)
    existed = path.exists()
    with _csv_file(path, "a"):
        pass
    # A command that fails later leaves no empty file that could pass for a result.
    if not existed:
        path.unlink()


@contextmanager
def _csv_file(path: Path | None, mode: Literal["w", "a"] = "w") -> Iterator[TextIO]:
    """Open ``path`` for rows, or standard output where it is None; an error names the file."""
    if path is None:
        with naming_stdout():
            yield sys.stdout
        return
    try:
        # A file name that is not valid UTF-8 is written as it is on the disk.
        with path.open(mode, newline="", errors="surrogateescape") as handle:
            yield handle
    except FmdError:
        raise
    except OSError as error:
        # Errors of opening name their file, those of writing do not.
        raise OutputError(f"{error.filename or path}: {error.strerror}") from error


class Progress:
    """A line in the log every ``every_s`` seconds; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, every_s: float = 3.0) -> None:
        self._clock, self._every_s = clock, every_s
        self._started_s = self._reported_s = clock()
        self._frames = self._faces = 0

    def count(self, faces: int) -> None:
        """Count one more picture, with its number of ``faces``."""
        self._frames += 1
        self._faces += faces
        if self._clock() - self._reported_s >= self._every_s:
            self._reported_s = self._clock()
            self.report()

    def report(self) -> None:
        """Log how many pictures and faces there were so far."""
        rate = self._frames / max(1e-9, self._clock() - self._started_s)
        log.info("%d pictures, %d faces, %.1f pictures/s", self._frames, self._faces, rate)
