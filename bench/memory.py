"""Peak memory of the whole ``fmd run`` process with its default models and settings, outputs on the console.

Measured from inside at the end of the run: VmHWM of /proc/self/status, the largest resident set. It includes the pages
of shared libraries and of the model files. The source is a clip; a camera's driver has its buffers elsewhere.

The memory of the process alone is printed as well, because Linux decides how much of its files is resident. It was 52
MB more (ext4, Linux 6.18) while the page cache still held libraries that had just been written.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2

from bench import clips
from bench.measure import Measurement, report
from edge.contracts import Image
from edge.drivers.doorway import FPS, HEIGHT, WIDTH
from edge.errors import FmdError
from edge.files import native_name

BAR_MB = 150.0
COUNTED = """
import sys
from edge.commands.main import main
code = main(sys.argv[1:])
kb = {words[0]: words[1] for words in map(str.split, open("/proc/self/status")) if len(words) > 1}
print(kb["VmHWM:"], kb["RssFile:"])
sys.exit(code)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "clips", nargs="*", default=[clips.SCENE], help="clips (default: the built-in scene, as a file)"
    )
    parser.add_argument("--record", action="store_true", help="keep a record of the passages, in a temporary folder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, as for fmd run")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the measurements, and return 1 if a bar is missed."""
    with tempfile.TemporaryDirectory(prefix="fmd-bench-") as folder:
        state = Path(folder) / "state" if arguments.record else None
        if state is not None:
            state.mkdir()
        settings = arguments.set
        return report([f for each in arguments.clips for f in _measurements(each, Path(folder), settings, state)])


def _measurements(source: str, folder: Path, settings: Sequence[str], state: Path | None) -> list[Measurement]:
    peak = peak_of(scene_file(folder) if source == clips.SCENE else Path(source), settings, state)
    return [
        Measurement(f"{Path(source).name}: without the pages of files", peak.own_mb, "MB"),
        Measurement(f"{Path(source).name}: peak memory of fmd run", peak.resident_mb, "MB", BAR_MB),
    ]


class Peak(NamedTuple):
    """Peak resident memory in megabytes (10^6 bytes), and the part that is not pages of files."""

    resident_mb: float
    own_mb: float


def peak_of(clip: Path, settings: Sequence[str] = (), state: Path | None = None) -> Peak:
    """Measure ``fmd run`` over a clip, with a record in the folder ``state`` if there is one.

    Raises FmdError with its last message if it fails.
    """
    options = [option for setting in ("alert.driver=console", *settings) for option in ("--set", setting)]
    options += ["--state", str(state)] if state else []
    command = [sys.executable, "-c", COUNTED, "run", "--source", str(clip), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise FmdError(f"fmd run --source {clip}: {lines[-1].removeprefix('error: ')}")
    # The process prints both numbers last, after the output of fmd run.
    resident_kb, of_files_kb = map(int, done.stdout.split()[-2:])
    return Peak(resident_kb * 1024 / 1e6, (resident_kb - of_files_kb) * 1024 / 1e6)


def scene_file(folder: Path) -> Path:
    """Write the built-in scene as an MP4 to ``folder``, with one frame in memory at a time; return its path."""
    return write_clip(folder / "doorway.mp4", clips.scene(), FPS, (WIDTH, HEIGHT))


def write_clip(path: Path, frames: Iterable[Image], fps: float, size: tuple[int, int]) -> Path:
    """Write B, G, R frames of ``size`` (width, height) as an MP4. Raises FmdError if OpenCV cannot write one."""
    writer = cv2.VideoWriter(native_name(path, FmdError), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    if not writer.isOpened():
        raise FmdError(f"{path}: this OpenCV cannot write an MP4")
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path
