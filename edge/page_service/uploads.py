"""Files that come from the page in pieces: a model to install, settings to import."""

from __future__ import annotations

from collections.abc import Mapping

from edge import overlay
from edge.errors import ControlError
from edge.page_messages import UploadRequest

LARGEST: Mapping[str, int] = {"model": 32 << 20, "settings": overlay.LIMIT}
"""Purpose -> bytes of the largest file. A larger model than this does not fit beside the present one in the unit's
memory; ``fmd model install`` takes it."""


class Uploads:
    """The newest file for each purpose, in memory: at most one model, until it is taken."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytearray]] = {}

    def add(self, request: UploadRequest) -> None:
        """Add a piece; offset 0 begins a file, in place of an unfinished one.

        Raises ControlError if the piece does not follow, or if the file is too large.
        """
        purpose, name = request.purpose, request.name
        if request.offset == 0:
            self._files[purpose] = (name, bytearray())
        known, content = self._files.get(purpose, ("", bytearray()))
        if known != name or request.offset != len(content):
            raise ControlError(
                f"{name}: got a piece from byte {request.offset}, expected {len(content)}; upload it again"
            )
        if len(content) + len(request.piece) > LARGEST[purpose]:
            del self._files[purpose]
            most = f"{LARGEST[purpose] >> 10} kB"
            raise ControlError(f"{name}: has more than {most}, the most for {purpose} on the page")
        content += request.piece

    def take(self, purpose: str, name: str) -> bytes:
        """Remove and return a whole file. Raises ControlError if it was not uploaded."""
        known, content = self._files.get(purpose, ("", bytearray()))
        if known != name or not content:
            raise ControlError(f"{name}: not uploaded, or replaced by another file; upload it again")
        del self._files[purpose]
        return bytes(content)
