"""Beginning and end of every command's process: standard streams and signals.

The console scripts start here. Loading libraries takes a second, on a Pi several, and a signal may come before.
"""

from __future__ import annotations

import _thread
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

CALLBACK_S = 0.01
"""Longer than a callback of Python's own takes."""
_hangups: list[int] = []


def fmd() -> int:
    """Run ``fmd`` and return its exit code."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    if words[:1] == ["run"]:
        # The service reads its settings again at SIGHUP. Before it can do so, SIGHUP must not kill it.
        note_hangups()
    return _run("edge.commands.main")


def fmd_convert() -> int:
    """Run ``fmd-convert`` and return its exit code."""
    return _run("converter.cli")


def fmd_train() -> int:
    """Run ``fmd-train`` and return its exit code."""
    return _run("training.main")


def _run(module: str) -> int:
    open_streams()
    code = 130  # edge.errors has names for exit codes; it is imported later than this

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(code)

    sys.unraisablehook = _interrupt_again
    try:
        try:
            code = importlib.import_module(module).main()
        finally:
            # All work is done. While Python exits, a signal ends the process at once, without a traceback.
            for number in (signal.SIGINT, signal.SIGTERM, *hangup_signal()):
                signal.signal(number, leave)
    except KeyboardInterrupt:  # outside of the command itself, which reports it in the same words
        print("interrupted", file=sys.stderr)
    return code


def _interrupt_again(ignored: sys.UnraisableHookArgs) -> None:
    """Repeat a Ctrl-C that came where Python cannot raise: in a callback, as of the lock of an import.

    Python would print a traceback and go on.
    """
    if not isinstance(ignored.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return

    def interrupt() -> None:
        time.sleep(CALLBACK_S)
        _thread.interrupt_main()

    _thread.start_new_thread(interrupt, ())


def open_streams() -> None:
    """Open standard streams that the caller has closed (``<&-``, ``>&-``) on /dev/null.

    Otherwise the next file that is opened becomes standard output, and what is printed goes into it.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor, which is this one
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False, errors="backslashreplace"))  # noqa: SIM115


def note_hangups() -> None:
    """Note SIGHUP from now on, until a run handles it."""

    def note(number: int, frame: FrameType | None) -> None:
        _hangups.append(number)

    for number in hangup_signal():
        signal.signal(number, note)


def take_hangups() -> bool:
    """Return whether SIGHUP came since the last call."""
    came = bool(_hangups)
    _hangups.clear()
    return came


def hangup_signal() -> Sequence[signal.Signals]:
    """Return SIGHUP where the system has it: fmd flash runs on Windows as well."""
    return [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
