"""What systemd hears of the service: ready, alive, and the state in words.

"Alive" means one thing here: a frame went all the way through. That reports READY and feeds the watchdog
(sd_notify(3)), so a loop that hangs anywhere is restarted by systemd. One that waits for a camera that has been away
for long is "activating" and no more, and killed where it hangs, too.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence

from edge.contracts import CameraState, Health
from edge.errors import FmdError

log = logging.getLogger("fmd")

REST_S = 1.0
"""How often the watchdog is fed while cameras are opened again."""
HANG_S = 15.0
"""Before the first frame: a loop that is silent for so long hangs; the unit's WatchdogSec counts from READY on."""


class SystemdNotifier:
    """What systemd hears: ready, alive, and the state in words (``systemctl status``).

    READY and the watchdog's food come with frames that went all the way through, and with nothing else but one: while
    cameras that have worked are opened again. That counts as work for ``camera.give_up_s`` at most, for then the run
    ends. The words never say "watching" of a camera that is blind.
    """

    def __init__(self, on_ready: Callable[[], None] = lambda: None, patient: bool = False) -> None:
        """``patient``: nobody waits for the first frame, which may be long in coming."""
        self.ready, self._on_ready, self.began, self._patient = False, on_ready, False, patient
        self._rested_s = float("-inf")
        self._status = self._said = "watching"

    def tell(self, healths: Sequence[Health]) -> None:
        """What the cameras give now."""
        self._status = "; ".join(map(_in_words, healths))
        if self.ready and self._status != self._said:
            self._say("")

    def beat(self) -> None:
        """A frame went all the way through."""
        if not self.began:
            self.began = True
            self._on_ready()
        if self.ready:
            notify("WATCHDOG=1")
        else:
            self.ready = self._say("READY=1\n")

    def rest(self, now_s: float) -> None:
        """No frame came, and somebody sees to that. Before the first frame ever only the patient ask for more time."""
        if now_s - self._rested_s < REST_S or not (self.ready or self._patient):
            return
        self._rested_s = now_s
        notify("WATCHDOG=1" if self.ready else f"EXTEND_TIMEOUT_USEC={HANG_S * 1e6:.0f}\nSTATUS={self._status}")

    def reloading(self, now_s: float) -> None:
        """Settings are about to be read again; READY=1 follows, from here or from the first frame with new ones."""
        if self.ready:
            notify(f"RELOADING=1\nMONOTONIC_USEC={now_s * 1e6:.0f}")

    def refused(self, error: FmdError) -> None:
        """They were no good, and all is as before."""
        if self.ready:
            notify(f"READY=1\nSTATUS={self._status}; reload refused: {' '.join(str(error).split())}")

    def _say(self, before: str) -> bool:
        """Whether it was heard; if not, the next frame says it again."""
        heard = notify(f"{before}STATUS={self._status}")
        if heard:
            self._said = self._status
        return heard


def _in_words(health: Health) -> str:
    said = "starting"
    if health.state is CameraState.STREAMING:
        said = f"watching, but {health.slow}" if health.slow else "watching"
    if health.blind and health.state is not CameraState.STARTING:
        said = f"blind, camera {health.state.value}: {' '.join(health.reason.split())}"
    return f"{health.camera}: {said}" if health.camera else said


def notify(state: str) -> bool:
    """Tell systemd; whether it took it. Silent where it does not listen (sd_notify(3): a datagram to $NOTIFY_SOCKET).

    Never waits: a system manager that is busy must not hold up the door.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.debug("systemd does not listen at %s: %s", address, error)
            return False
    return True
