"""Frames with faces, people and alarm marked, contact sheets, and videos of a run.

Faces are personal data. :func:`annotate` blurs every face that the step knows, unless ``show_faces`` is set. It blurs
before it draws: a heat map or a box that was drawn first would be blurred as well.
"""

from __future__ import annotations

import logging
import queue
import shutil
import statistics
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import cv2
import numpy as np

from edge.config import Polygon
from edge.contracts import Box, Delivery, Floats, Heat, Image, Outcome, Step
from edge.drivers.stderr import captured
from edge.errors import OutputError
from edge.files import native_name
from edge.inference.picture_file import encode
from edge.reporting import own_files
from edge.reporting.listener import Listener
from edge.stages.detect import letterbox

log = logging.getLogger(__name__)

COLOURS = {
    Outcome.UNDECIDED: (160, 160, 160),
    Outcome.COMPLIANT: (40, 180, 60),
    Outcome.VIOLATION: (220, 40, 40),
    Outcome.UNSURE: (230, 170, 30),
}
"""Colours of boxes, RGB."""
IGNORED, WATCHED = (120, 120, 120), (40, 120, 220)
"""Colours of the regions that are ignored and watched, RGB."""
HATCH = 12
"""Distance of the lines in an ignored region, pixels."""
Outlines = tuple[Sequence[Polygon], Sequence[Polygon]]
"""Polygons to ignore and the only ones to watch; corners are shares of the picture's width and height."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
TEXT_SCALE = 0.42
MAX_LABEL_STEPS = 6
"""Number of label heights by which a label may lie away from its box, where a crowd's labels would cover each other."""
HEAT_SHARE = 0.45
"""Share of the heat map where it lies over the picture; at a half or more the face under it is hard to see."""


def annotate(step: Step, show_faces: bool, regions: Outlines = ((), ()), judged_only: bool = False) -> Image:
    """Return a copy of the step's picture with a box and state per person, and a border during an alarm.

    ``regions`` are the polygons to ignore and the only ones to watch, which are drawn as well. ``judged_only`` leaves
    out what was not judged to be a face so far: most of it never is one.
    """
    # A copy: the frame is still on its way to other listeners.
    picture = step.frame.image.copy()
    if not show_faces:
        _blur_faces(picture, step)
    for observation in step.observations.values():
        if observation.heat:
            draw_heat(picture, observation.heat)
    draw_regions(picture, *regions)
    passages = {passage.id: passage for passage in step.passages}
    everything = Box(0, 0, picture.shape[1], picture.shape[0])
    # At the very edge, so that it covers no face.
    if step.alarm:
        cv2.rectangle(picture, (0, 0), (picture.shape[1] - 1, picture.shape[0] - 1), COLOURS[Outcome.VIOLATION], 6)
    marks = [Mark(track.box, "picture", COLOURS[Outcome.UNDECIDED]) for track in step.pictures]
    for track in step.tracks:
        passage = passages.get(track.id)
        if not track.box.intersection(everything):
            continue  # outside the picture, but not yet given up by the tracker
        if judged_only and not (passage and passage.observations):
            continue
        outcome = passage.outcome if passage else Outcome.UNDECIDED
        label = f"{track.id} {outcome.value}" + (f" {passage.label}" if passage and passage.label else "")
        marks.append(Mark(track.box, label, COLOURS[outcome]))
    draw_marks(picture, marks, [draw_status(picture, step)])
    return picture


def draw_outlines(picture: Image, step: Step, scale: float, regions: Outlines = ((), ())) -> None:
    """Draw regions, and a box per person in the colour of the outcome, into (H, W, 3) RGB, in place, without texts.

    ``scale`` makes full-frame pixels those of ``picture``.
    """
    draw_regions(picture, *regions)
    outcomes = {passage.id: passage.outcome for passage in step.passages}
    for track in (*step.tracks, *step.pictures):
        xmin, ymin, xmax, ymax = (round(value * scale) for value in track.box)
        colour = COLOURS[outcomes.get(track.id, Outcome.UNDECIDED)]
        cv2.rectangle(picture, (xmin, ymin), (xmax, ymax), colour, 2)


def _blur_faces(picture: Image, step: Step) -> None:
    if not step.detected:
        # No detection ran on this frame, so a face may be anywhere in it.
        height, width = picture.shape[:2]
        pixelate(picture, (width // 40, height // 40))
    faces, tracks = (*step.faces, *step.ignored), (*step.tracks, *step.pictures)
    for box in [face.box for face in faces] + [track.box for track in tracks]:
        blur_face(picture, box)


def unrecognisable(step: Step) -> Image:
    """Return a copy of the step's picture as coarse cells from edge to edge, with a box per person: for messages.

    A cell is a sixteenth of the picture's width, and known faces become six by six cells. So privacy does not depend
    on the detector: a face that it missed is unrecognisable as well.
    """
    picture = step.frame.image.copy()
    pixelate(picture, (16, max(1, 16 * picture.shape[0] // picture.shape[1])))
    return annotate(replace(step, frame=replace(step.frame, image=picture)), show_faces=False)


def encoded(picture: Image) -> bytes:
    """Return an (H, W, 3) RGB picture as a JPEG file."""
    done, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    if not done:
        raise OutputError(f"a picture of {picture.shape} cannot be encoded as JPEG")
    return data.tobytes()


def draw_heat(picture: Image, heat: Heat) -> None:
    """Draw a map over its square of (H, W, 3) RGB: red where the picture supports the label, blue where it does not."""
    square, (height, width) = heat.square, picture.shape[:2]
    left, top, right, bottom = (int(v) for v in (square.xmin, square.ymin, square.xmax, square.ymax))
    inside = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
    region = picture[inside]
    if not region.size:
        return  # all of the map lies outside the picture
    colours = heat_colours(heat.values, right - left, bottom - top)
    shown = colours[inside[0].start - top : inside[0].stop - top, inside[1].start - left : inside[1].stop - left]
    region[:] = cv2.addWeighted(region, 1 - HEAT_SHARE, shown, HEAT_SHARE, 0)


def heat_colours(values: Floats, width: int, height: int) -> Image:
    """Return a map (h, w) as (height, width, 3) RGB: blue below 0, green at 0, red above, scaled to its extreme."""
    span = max(1e-6, float(np.abs(values).max()))
    smooth = cv2.resize(values / span, (width, height), interpolation=cv2.INTER_CUBIC)
    grey = np.clip((smooth + 1) * 127.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB), np.uint8)


def draw_regions(picture: Image, ignore: Sequence[Polygon], only: Sequence[Polygon]) -> None:
    """Hatch the polygons to ignore, and outline the only ones to watch, in (H, W, 3) RGB, in place."""
    if not ignore and not only:
        return
    height, width = picture.shape[:2]
    plane = np.zeros((height, width), np.uint8)
    for outlines, colour in ((ignore, IGNORED), (only, WATCHED)):
        corners = [np.rint(np.array(outline) * (width, height)).astype(np.int32) for outline in outlines]
        cv2.polylines(picture, corners, True, colour, 2, cv2.LINE_AA)
        if outlines is ignore:
            cv2.fillPoly(plane, corners, 1)
    rows, columns = np.ogrid[:height, :width]
    picture[(plane > 0) & ((rows + columns) % HATCH < 2)] = IGNORED


class Mark(NamedTuple):
    """A rectangle with a line of text, in full-frame pixels; ``colour`` is RGB."""

    box: Box
    text: str
    colour: tuple[int, int, int]


def draw_marks(picture: Image, marks: Sequence[Mark], taken: Sequence[Box] = ()) -> None:
    """Draw rectangles and their texts into (H, W, 3) RGB, in place; texts keep clear of each other and of ``taken``."""
    covered = list(taken)
    for box, _, colour in marks:
        xmin, ymin, xmax, ymax = (round(v) for v in box)
        cv2.rectangle(picture, (xmin, ymin), (xmax, ymax), colour, 2)
    for box, text, colour in marks:
        covered.append(_draw_label(picture, box, text, colour, covered))


def _draw_label(picture: Image, box: Box, text: str, colour: tuple[int, int, int], taken: Sequence[Box]) -> Box:
    """Draw a line of text near ``box``, inside the picture; return its place."""
    full_height, full_width = picture.shape[:2]
    (width, height), _ = cv2.getTextSize(text, FONT, TEXT_SCALE, 1)
    scale = TEXT_SCALE * min(1.0, max(1, full_width - 4) / width)
    (width, height), _ = cv2.getTextSize(text, FONT, scale, 1)
    width, height = min(width + 4, full_width), min(height + 6, full_height)
    places = label_places(box, width, height, full_width, full_height)
    # A crowd may leave no place free: then the labels overlap where that hides least.
    place = min(places, key=lambda place: sum(place.intersection(other) for other in taken))
    left, top = round(place.xmin), round(place.ymin)
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), colour, -1)
    cv2.putText(picture, text, (left + 2, top + height - 4), FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return place


def label_places(box: Box, width: int, height: int, full_width: int, full_height: int) -> list[Box]:
    """Return places for a label of a box, all inside the picture, the best first: above, below, then further away."""
    left = max(0, min(round(box.xmin), full_width - width))
    above, below = round(box.ymin) - height, round(box.ymax) + 1
    tops = [above, below]
    for step in range(1, MAX_LABEL_STEPS):
        tops += [above - step * height, below + step * height]
    # Inside the box at last: a face that fills the picture has no other place.
    tops = [top for top in tops if 0 <= top <= full_height - height] or [max(0, min(below, full_height) - height)]
    lefts = dict.fromkeys([left, max(0, min(round(box.xmax) - width, full_width - width))])
    return [Box(x, top, x + width, top + height) for top in tops for x in lefts]


def draw_status(picture: Image, step: Step) -> Box:
    """Draw time and alarm state into the lower left corner, in place; return its place."""
    height = picture.shape[0]
    text = f"{step.frame.captured_s:6.2f} s  {'ALARM' if step.alarm else 'watching' if step.awake else 'asleep'}"
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, 0.45, 1)
    place = Box(6, height - text_height - 14, text_width + 14, height - 5)
    cv2.rectangle(picture, (6, height - text_height - 14), (text_width + 14, height - 5), (0, 0, 0), -1)
    cv2.putText(picture, text, (10, height - 10), FONT, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return place


def blur_face(picture: Image, box: Box) -> None:
    """Make a face unrecognisable, in place: 6 x 6 cells over the box and a quarter of its size on each side."""
    x, y = box.width / 4, box.height / 4
    xmin, ymin = max(0, int(box.xmin - x)), max(0, int(box.ymin - y))
    pixelate(picture[ymin : max(0, int(box.ymax + y)) + 1, xmin : max(0, int(box.xmax + x)) + 1], (6, 6))


def pixelate(region: Image, cells: tuple[int, int]) -> None:
    """Replace a picture, or a view into one, by (columns, rows) cells of one colour each, in place."""
    if region.size:
        means = cv2.resize(region, (max(1, cells[0]), max(1, cells[1])), interpolation=cv2.INTER_AREA)
        region[:] = cv2.resize(means, (region.shape[1], region.shape[0]), interpolation=cv2.INTER_NEAREST)


def contact_sheet(pictures: Sequence[Image], columns: int = 4, width: int = 320) -> Image:
    """Return pictures of one aspect ratio side by side, each ``width`` pixels wide."""
    height = round(pictures[0].shape[0] * width / pictures[0].shape[1])
    cells = [np.asarray(cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA), np.uint8) for p in pictures]
    # White cells fill the last row.
    cells += [np.full((height, width, 3), 255, np.uint8)] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def save_picture(path: Path, picture: Image) -> None:
    """Write (H, W, 3) RGB to a picture file; a PNG is marked as fmd's own. Raises OutputError where that fails."""
    try:
        data = encode(path.suffix, picture)
        path.write_bytes(own_files.marked(data) if path.suffix.lower() == ".png" else data)
    except cv2.error as error:
        raise OutputError(f"{path}: the picture could not be written: {error.err or error}") from error
    except OSError as error:
        raise OutputError(f"{path}: the picture could not be written: {error.strerror}") from error


LONGEST_GAP_S = (2.0, 60.0)
"""Longest time for which a video repeats a picture, seconds: of a live camera, and of a recording."""
MEASURED = 5
"""Pictures of a recording whose times give the rate of its video."""
MAX_WAITING = 8
"""Largest number of pictures of a live camera that wait to be written; the next one is left out."""
FORMATS = {".webm": "VP80", ".mkv": "VP80", ".avi": "MJPG", ".mp4": "mp4v"}
"""Suffix -> codec. VP8 plays in every browser, and OpenCV's wheels contain it. A killed run leaves all readable but
MP4, whose index is written last. H.264 needs encoders under the GPL."""

NO_TAG = b"is not supported with codec id"
"""In what OpenCV prints for every WebM: the format has no tags. The video is right all the same."""


def check_video(path: Path) -> None:
    """Raise OutputError if a video cannot be written to ``path``, as far as its name and folder show it."""
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the video cannot be written: no folder {path.parent}")
    native_name(path, OutputError)
    if path.suffix.lower() not in FORMATS:
        raise OutputError(
            f"{path}: the video cannot be written: expected a name that ends in .webm, or in .mkv, .avi or .mp4"
        )


class VideoFile:
    """Video of RGB frames, as a context; the suffix gives the format (:data:`FORMATS`).

    A picture is repeated until the next one is due; the later of two that are due together is left out. So the video
    keeps the frames' own time. Gaps last at most LONGEST_GAP_S. Without ``fps``, the first frames give the rate: for
    recordings. With ``fps``, for live cameras, a thread writes, because encoding takes longer than a frame may.

    On a full disk FFmpeg drops frames without an error. The end of the context therefore counts the frames in the file
    and raises OutputError where some are missing.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        check_video(path)
        self._path, self._native = path, native_name(path, OutputError)
        if path.suffix.lower() == ".mp4":
            log.warning("%s: no browser plays this format, and no player after a killed run; .webm does", path)
        # Kept until enough pictures have arrived: a writer needs the rate when it is opened.
        self._first: list[tuple[Image, float]] = []
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._frames, self._fps, self._live = 0, fps, fps is not None
        self._last: Image | None = None
        self._last_s = self._until_s = 0.0
        self._waiting: queue.Queue[tuple[Image, float] | None] = queue.Queue(MAX_WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write_waiting, name="video", daemon=True) if self._live else None

    def __enter__(self) -> VideoFile:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
        if kind is None and self._writer is None and self._first:
            self._begin()
        if self._writer is not None:
            self._writer.release()
        if kind is None:  # an error that is already on its way matters more
            if self._error is not None:
                raise self._error
            self._check()

    def write(self, picture: Image, captured_s: float) -> None:
        """Append (H, W, 3) RGB, fitted to the size of the first picture. Raises OutputError where writing fails."""
        if self._error is not None:
            raise self._error
        if self._thread is None:
            self._write(picture, captured_s)
            return
        with suppress(queue.Full):  # the one before is repeated instead
            self._waiting.put_nowait((picture, captured_s))

    def _write_waiting(self) -> None:
        """Write what waits until None comes; after an error, take the rest and write nothing."""
        while (one := self._waiting.get()) is not None:
            try:
                if self._error is None:
                    self._write(*one)
            except OutputError as error:
                self._error = error

    def _write(self, picture: Image, captured_s: float) -> None:
        if self._writer is not None and self._fps is not None:
            self._keep_time(self._writer, picture, captured_s, self._fps)
            return
        self._first.append((picture, captured_s))
        if self._live or len(self._first) == MEASURED:
            self._begin()

    def _begin(self) -> None:
        """Open the file and write the first pictures."""
        gaps = [after_s - before_s for (_, before_s), (_, after_s) in pairwise(self._first)]
        fps = self._fps or 1 / max(1e-3, statistics.median(gaps) if gaps else 1.0)
        writer, self._fps = self._open(self._first[0][0], fps), fps
        for picture, captured_s in self._first:
            self._keep_time(writer, picture, captured_s, fps)
        self._first.clear()

    def _keep_time(self, writer: cv2.VideoWriter, picture: Image, captured_s: float, fps: float) -> None:
        """Append ``picture``, after the previous one as often as it was shown for longer than a frame."""
        if self._last is not None:
            self._until_s += min(LONGEST_GAP_S[not self._live], max(0.0, captured_s - self._last_s))
            for _ in range(round(self._until_s * fps) - self._frames):
                self._append(writer, self._last)
        self._last, self._last_s = picture, captured_s
        if round(self._until_s * fps) == self._frames:
            self._append(writer, picture)

    def _check(self) -> None:
        if not self._frames:
            return
        # Packets without decoding: Matroska does not state their number.
        found = cv2.VideoCapture(self._native, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        readable = 0
        while readable < self._frames and found.grab():
            readable += 1
        found.release()
        if readable < self._frames:
            raise OutputError(
                f"{self._path}: only {readable} of {self._frames} frames are in the video; {_room(self._path)}"
            )

    def _open(self, picture: Image, fps: float) -> cv2.VideoWriter:
        self._size = (picture.shape[1], picture.shape[0])
        codec = cv2.VideoWriter.fourcc(*FORMATS[self._path.suffix.lower()])
        with captured(lambda line: NO_TAG not in line):
            self._writer = cv2.VideoWriter(self._native, cv2.CAP_FFMPEG, codec, fps, self._size)
        if not self._writer.isOpened():
            raise OutputError(f"{self._path}: the video cannot be written; is it a file that this user may write?")
        return self._writer

    def _append(self, writer: cv2.VideoWriter, picture: Image) -> None:
        width, height = self._size
        # OpenCV's writer drops pictures of another size without an error.
        if picture.shape[:2] != (height, width):
            picture, _ = letterbox(picture, height, width)
        writer.write(np.ascontiguousarray(picture[:, :, ::-1]))
        self._frames += 1


def _room(path: Path) -> str:
    """Return how large a video that lacks frames is, how much room is left beside it, and what to do."""
    size, free = path.stat().st_size, shutil.disk_usage(path.parent).free
    return (
        f"it has {size / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free; if the disk is full, make room or name another "
        "folder, and run the command again"
    )


class StepVideos(Listener):
    """Annotated videos of a run, one file per camera, as a context; ``files`` maps a camera's name to its file.

    ``fps`` is that of :class:`VideoFile`. Faces are blurred unless ``show_faces`` is set. ``regions``
    are the polygons of each camera, which :func:`annotate` draws.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        fps: float | None,
        show_faces: bool,
        regions: Mapping[str, Outlines] | None = None,
    ) -> None:
        for path in files.values():
            check_video(path)
        self._files, self._fps, self._show_faces, self._regions = files, fps, show_faces, regions or {}
        self._stack = ExitStack()
        self._videos: dict[str, VideoFile] = {}
        self._shown: dict[str, Image] = {}

    def __enter__(self) -> StepVideos:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Append the picture of a step to its camera's video. Raises OutputError if writing fails."""
        name = step.camera
        if name not in self._videos:
            self._videos[name] = self._stack.enter_context(VideoFile(self._files[name], self._fps))
        # In a frame without detection all of the picture would have to be blurred: repeat the last one with detection.
        if name not in self._shown or step.detected or self._show_faces:
            self._shown[name] = annotate(step, self._show_faces, self._regions.get(name, ((), ())))
        self._videos[name].write(self._shown[name], step.frame.captured_s)
