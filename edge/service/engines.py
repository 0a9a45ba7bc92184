"""Compilation of an ONNX model for this board's GPU, when it is installed and not at the first start.

    python -m edge.service.engines FILE THREADS RUNTIME

TensorRT compiles for minutes, and keeps an engine for the user who ran it (:func:`edge.paths.engine_folder`). So this
runs as the service's user: root must neither write into that user's folder nor use what lies in it.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge import drivers
from edge.config import ModelSettings
from edge.errors import BundleError, exit_code_of
from edge.inference import bundle

BUILD_S = 1800.0
"""Longest time for building one engine, seconds. The drop-in fmd-gpu.conf allows a start as much."""


def build(path: Path, settings: ModelSettings, state: Path) -> str:
    """Open an installed ONNX model as the owner of ``state``, the service's state directory, and replay it once.

    Returns the name of the runtime that it will have. The reasons for a fallback are printed on standard error. Raises
    BundleError if the model cannot be opened, or this board computes it wrongly.
    """
    command = [sys.executable, "-m", __name__, str(path), str(settings.threads), settings.runtime]
    environment = {**os.environ, "STATE_DIRECTORY": str(state)}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=BUILD_S,
            check=False,
            env=environment,
            # Without the terminal: the model's process could otherwise type into root's shell (TIOCSTI).
            start_new_session=True,
            **owner_of(state),
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"{path}: not compiled for the GPU after {BUILD_S:.0f} s; try again on an idle board"
        ) from error
    if done.returncode:
        raise BundleError(f"{path}: does not run on this board (see above); the current model stays in use")
    return str(done.stdout).strip()


def owner_of(state: Path, user: int | None = None) -> dict[str, Any]:
    """Return the options of a process that make it one of the folder's owner, with the groups of the GPU's devices.

    Only root (``user`` 0, by default this process) can do that; others get none.
    """
    about = state.stat()
    if (os.geteuid() if user is None else user) != 0 or about.st_uid == 0:
        return {}
    import grp
    import pwd

    try:
        groups = os.getgrouplist(pwd.getpwuid(about.st_uid).pw_name, about.st_gid)
    except KeyError:  # a user without a name, as in a container
        groups = [about.st_gid]
    for name in ("video", "render"):
        try:
            groups.append(grp.getgrnam(name).gr_gid)
        except KeyError:  # a system without this group has no device that it may open
            continue
    return {"user": about.st_uid, "group": about.st_gid, "extra_groups": groups, "cwd": "/"}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the child process."""
    parser = argparse.ArgumentParser(prog="python -m edge.service.engines", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("threads", type=int)
    parser.add_argument("runtime")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    def body() -> int:
        loaded = bundle.unpack(arguments.file)
        interpreter = drivers.open_interpreter(loaded.flatbuffer, arguments.threads, arguments.runtime)
        model = bundle.Model(loaded, interpreter, str(arguments.file))
        # A GPU may round too much for this model: better known before the model is in use.
        model.replay()
        print(model.runtime)
        return 0

    return exit_code_of(body)


if __name__ == "__main__":
    sys.exit(main())
