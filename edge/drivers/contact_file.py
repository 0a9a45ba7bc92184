"""A contact that another program or the kernel reports in a file: "1" is closed, anything else is open."""

from __future__ import annotations

from pathlib import Path

from edge.errors import OutputError


class ContactFile:
    """Contact in a file, such as one that a bridge to a fieldbus writes. ``pull`` means nothing here."""

    def __init__(self, pin: str, pull: str) -> None:
        self._path = Path(pin)
        self.closed()

    def closed(self) -> bool:
        """Return whether the file begins with "1". Raises OutputError if it cannot be read."""
        try:
            with self._path.open("rb") as file:
                return file.read(1) == b"1"
        except OSError as error:
            raise OutputError(f"arm.pin: {self._path} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Do nothing: the file is not kept open."""
