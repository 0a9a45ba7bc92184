"""Answers that take long, one at a time, in a thread that mostly waits for a child process.

The child has the lowest priority and limits on time and memory, so that a report of a year costs the door nothing. A
second request waits for the first; more are refused. Answers about settings have a thread of their own: they need no
child process, and must not wait for the doctor.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge import child
from edge.child import Failure, Limits
from edge.control import Message
from edge.errors import ControlError
from edge.page_messages import LONG_S, Reply
from edge.page_service.tasks import Context

MOST_WAITING = 3
"""Requests that wait for the one that is worked on."""
LIMITS = Limits(memory_mb=220, seconds=LONG_S, file_mb=16, nice=19)
"""What a child may use. The unit has 512 MB, of which fmd needs a third."""
PREFIX = "page-job-"
"""Beginning of the name of a child's folder."""
TASK = "edge.page_service.tasks:answer"

Work = Callable[[], Message]


class Turns:
    """Work that waits its turn, for one thread."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Work, Future[Message]]] = queue.Queue(MOST_WAITING)

    def submit(self, work: Work) -> Future[Message]:
        """Have ``work`` done in its turn. Raises ControlError if too much waits already."""
        result: Future[Message] = Future()
        try:
            self._waiting.put_nowait((work, result))
        except queue.Full:
            raise ControlError("fmd is busy with other requests of the page; try again in a minute") from None
        return result

    def work(self) -> None:
        """Do what is submitted, for ever."""
        while True:
            work, result = self._waiting.get()
            try:
                result.set_result(work())
            except Exception as error:  # noqa: BLE001 (the socket's thread reports it to the client)
                result.set_exception(error)


class Jobs(Turns):
    """Work in a child process. :func:`working` makes one. ``quick`` is for work that needs none."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is where a child may write; it is in memory."""
        super().__init__()
        self._folder, self.quick = folder, Turns()

    def in_child(self, asked: Message, context: Context) -> Message:
        """Return the answer of :mod:`edge.page_service.tasks`, from a child process; submitted work calls it.

        Raises the child's expected error, or ControlError if it crashed or exceeded a limit.
        """
        name = type(asked).__name__
        failure = Failure(ControlError, f"the answer to {name}", "report this with the log of fmd")
        request = {"asked": msgspec.to_builtins(asked), "context": msgspec.to_builtins(context)}
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=PREFIX) as folder:
            found: dict[str, Any] = child.run(TASK, request, Path(folder), LIMITS, failure)
        reply: Message = msgspec.convert(found["reply"], Reply)
        return reply


@contextmanager
def working(folder: Path) -> Iterator[Jobs]:
    """Do what is submitted within this block, in a thread of its own; the end of the process ends a child as well."""
    for left in folder.glob(f"{PREFIX}*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    jobs = Jobs(folder)
    threading.Thread(target=jobs.work, name="page-jobs", daemon=True).start()
    threading.Thread(target=jobs.quick.work, name="page-settings", daemon=True).start()
    yield jobs
