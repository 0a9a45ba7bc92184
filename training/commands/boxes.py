"""``fmd-train boxes``: boxes for class-folder pictures, drawn by a teacher."""

from __future__ import annotations

import argparse
from pathlib import Path

from converter import tables
from edge.errors import EXIT_OK
from training import teacher

HELP = "draw boxes on class-folder pictures with a YuNet .onnx as teacher"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--folders", type=Path, required=True, help="one folder a class")
    parser.add_argument("--teacher", type=Path, required=True, help="YuNet .onnx")
    parser.add_argument("--out", type=Path, required=True, help="the boxes CSV to write")


def run(arguments: argparse.Namespace) -> int:
    """Draw the boxes; return the exit code."""
    kept, faces = teacher.draw_boxes(tables.read_folders(arguments.folders), arguments.teacher, arguments.out)
    print(f"{arguments.out}: {faces} faces on {kept} pictures")
    return EXIT_OK
