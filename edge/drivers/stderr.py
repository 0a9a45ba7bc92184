"""Lines that the C++ core of a library prints to standard error: Python has no switch for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def captured(kept: Callable[[bytes], bool]) -> Iterator[list[str]]:
    """Capture standard error of the whole process; the list is filled with all its lines at the end.

    Lines that are ``kept`` are printed then. It is for loading only, as later messages are worth reading at once.
    """
    lines: list[str] = []
    if not hasattr(os, "memfd_create"):  # only Linux has it; elsewhere the lines appear at once
        yield lines
        return
    with open(os.memfd_create("stderr"), "w+b") as file:  # noqa: PTH123 (a descriptor, no path)
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(stderr, 2)
            file.seek(0)
            found = file.readlines()
            lines += [line.decode(errors="replace").strip() for line in found]
            os.write(stderr, b"".join(line for line in found if kept(line)))
            os.close(stderr)
