"""paho's client, made safe against its broker: it takes no large packet, and its thread cannot end by an exception.

A broker, or anyone who may publish there, chooses what arrives. paho reads packets of up to 256 MB into memory, and an
exception in a callback or in its parser ends its thread without a word.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

MAX_PACKET = 256 << 10
"""Largest packet that is read, bytes. fmd's own retained messages, pictures included, are below 100 kB."""
RESTART_S, LONGEST_RESTART_S = 1.0, 60.0
"""Wait before the client connects again after an exception; it doubles after each further one, up to the longest."""


class OversizedError(OSError):
    """A packet that is larger than MAX_PACKET; paho takes it for a lost connection."""


def guarded(base: type[Any]) -> type[Any]:
    """Return paho's Client class ``base`` with these guards.

    ``oversized`` counts packets that were too large, ``restarts`` the exceptions that would have ended the thread.
    ``unconnected`` says why the last attempt to connect failed.
    """

    class Guarded(base):  # type: ignore[misc]  # paho is imported when it is needed
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.oversized = self.restarts = 0
            self.unconnected = ""
            self._place: tuple[Any, ...] = ()
            self._ended = threading.Event()

        def connect_async(self, *place: Any, **named: Any) -> None:
            self._place = place
            super().connect_async(*place, **named)

        def disconnect(self, *arguments: Any, **named: Any) -> Any:
            self._ended.set()
            return super().disconnect(*arguments, **named)

        # Paho's callback of a failed connection does not say why; a wrong certificate is not a broken network.
        def reconnect(self) -> Any:
            try:
                return super().reconnect()
            except OSError as error:
                certificate = getattr(error, "verify_message", "")
                self.unconnected = f"its certificate: {certificate}" if certificate else error.strerror or str(error)
                raise

        # paho has no limit of its own. It asks here for all that a packet's header announces, before it stores any.
        def _sock_recv(self, bufsize: int) -> bytes:
            if bufsize > MAX_PACKET:
                self.oversized += 1
                raise OversizedError(f"a packet of {bufsize} bytes, expected at most {MAX_PACKET}")
            received: bytes = super()._sock_recv(bufsize)
            return received

        def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> Any:
            """Run as paho does, in its thread; after an exception connect again."""
            wait_s = RESTART_S
            while True:
                try:
                    return super().loop_forever(timeout, retry_first_connection)
                except Exception as error:  # noqa: BLE001 - whatever the broker sent, the thread goes on
                    if self._ended.is_set():
                        return None
                    self.restarts += 1
                    log.warning("mqtt: the broker sent what the client cannot read (%s); restarting it", error)
                if self._ended.wait(wait_s):
                    return None
                wait_s = min(2 * wait_s, LONGEST_RESTART_S)
                super().connect_async(*self._place)

    return Guarded


def safely(callback: Callable[..., None]) -> Callable[..., None]:
    """Return a callback for paho that logs an exception instead of raising it: what caused it is skipped."""

    @functools.wraps(callback)
    def guarded_callback(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001
            log.warning("mqtt: a message was skipped (%s)", type(error).__name__)

    return guarded_callback
