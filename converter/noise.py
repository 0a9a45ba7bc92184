"""Progress for the user, and silence from the libraries that would print over it."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from edge.text import escaped

SHOWN_EVERY_S = 0.2
"""On a terminal a counter is redrawn at most this often; elsewhere it is not shown, only whole lines are."""


class ProgressLine:
    """Prints the current step on ``stream``; None prints nothing (the Python API's default)."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._live = stream is not None and stream.isatty()
        self._shown_s = 0.0
        self._pending = False

    @classmethod
    def on_stderr(cls) -> ProgressLine:
        """On a duplicate of stderr, which :func:`quiet` leaves alone; on stderr itself where it has no file."""
        try:
            return cls(os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8"))
        except (OSError, ValueError, AttributeError):
            return cls(sys.stderr)

    def say(self, line: str) -> None:
        """One whole line."""
        if self._stream is not None:
            line = escaped(line)
            self._stream.write(f"\r\x1b[K{line}\n" if self._pending else f"{line}\n")
            self._stream.flush()
        self._pending = False

    def count(self, what: str, done: int, total: int) -> None:
        """A counter that overwrites itself on a terminal."""
        now_s = time.monotonic()
        if self._stream is None or not self._live or (done < total and now_s - self._shown_s < SHOWN_EVERY_S):
            return
        self._stream.write(f"\r\x1b[K{what} {done}/{total}")
        self._stream.flush()
        self._shown_s, self._pending = now_s, True


@contextmanager
def quiet() -> Iterator[None]:
    """Send what native code and Python write to stdout and stderr into a temporary file.

    TensorFlow's converter prints from C++ to both, past :mod:`sys`; only the file descriptors themselves hold it.
    This is of the whole process, so blocks are kept short: a conversion's calls into TensorFlow and no more.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            for descriptor, kept in zip((1, 2), saved, strict=True):
                os.dup2(kept, descriptor)
                os.close(kept)
