"""The loop that reads one camera in a thread of its own, for as long as it is wanted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing

from edge.contracts import Camera, Frame
from edge.errors import FmdError, SourceEndedError

log = logging.getLogger(__name__)


def read_frames(
    what: str, opened: Callable[[], Camera], take: Callable[[Camera, Frame], None], stopped: Callable[[], bool]
) -> Exception | None:
    """Open a camera, pass each frame to ``take`` until ``stopped``, and close the camera.

    Returns what ended it: None if it was stopped, SourceEndedError at the end of a recording. A bug in a driver is
    returned as well, as a thread that dies unnoticed seems to be a camera that waits. ``what`` names it in the log.
    """
    try:
        with closing(opened()) as camera:
            while not stopped():
                frame = camera.read()
                if frame is None:
                    return SourceEndedError("the source has ended")
                take(camera, frame)
    except Exception as error:
        log.debug("%s ends: %s", what, error, exc_info=None if isinstance(error, FmdError) else error)
        return error
    return None
