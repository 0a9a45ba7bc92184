"""``python -m bench``: see :mod:`bench`."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

import bench
from edge.errors import exit_code_of

COMMANDS = {
    "convert": "a whole conversion over the bare call of TensorFlow's converter",
    "cpu": "processor time per second of video, beside the papers' loop",
    "overhead": "the whole step over the bare inference calls on the same frames",
    "edge": "from a frame's capture to the edge on the pin",
    "page": "the step with viewers of the web page, over the step without the page",
    "memory": "peak memory of the whole process",
    "runtimes": "one model on LiteRT and on onnxruntime, in turns",
    "slope": "memory over 100,000 simulated frames",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark that ``argv`` names and return the exit code: 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=bench.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, what in COMMANDS.items():
        module = importlib.import_module(f"bench.{name}")
        module.add_options(commands.add_parser(name, help=what, description=module.__doc__))
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    # OpenCV reads this once, when it is imported.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    return exit_code_of(lambda: int(importlib.import_module(f"bench.{arguments.command}").run(arguments)))


if __name__ == "__main__":
    sys.exit(main())
