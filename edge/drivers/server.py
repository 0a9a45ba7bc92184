"""What a server driver provides: a server that answers requests about fmd, such as Prometheus' scrapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Server(Protocol):
    """A server that listens from the moment it is made."""

    def close(self) -> None:
        """Stop listening, waiting a few seconds at most for a request that is being answered."""


@dataclass(frozen=True, slots=True, eq=False)
class ConfiguredServer:
    """A server that the settings enable, not yet listening: ``open`` makes it listen.

    ``open`` raises OutputError if the address cannot be served. Two servers with equal ``wanted`` (all that the server
    depends on) are the same, so a reload leaves the present one alone.
    """

    name: str
    wanted: object = field(repr=False)
    open: Callable[[], Server] = field(repr=False)
