"""Systemd notifier: reports ready, alive, and the state in words.

"Alive" means one thing: a frame has passed all stages. That reports READY and feeds the watchdog (sd_notify(3)), so
systemd restarts a loop that hangs anywhere. A process that waits for a camera that has been away for long stays
"activating", and is killed where it hangs as well.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence

from edge.contracts import CameraState, Health, ModelFallback
from edge.errors import FmdError
from edge.messages import ArmingMessage, arming_in_words

log = logging.getLogger(__name__)

WAITING_S = 1.0
"""How often the watchdog is fed while cameras are reopened."""
HANG_S = 15.0
"""How long the loop may be silent before its first frame. The unit's WatchdogSec counts only from READY on."""


class SystemdNotifier:
    """Reports to systemd: ready, alive, and a status in words (``systemctl status``).

    READY and watchdog feeds come with frames that have passed all stages. One exception feeds the watchdog as well:
    reopening a camera that has worked. It lasts at most ``camera.give_up_s``, because then the run ends. The status
    never says "watching" about a blind camera.
    """

    def __init__(self, on_first_frame: Callable[[], None] = lambda: None, patient: bool = False) -> None:
        """``on_first_frame`` is called once. ``patient``: nobody waits for the first frame, so it may come late."""
        self.ready, self.began = False, False
        self._on_first_frame, self._patient = on_first_frame, patient
        self._fed_s = float("-inf")
        self._cameras = self._status = self._sent_status = "watching"
        self._arming = self._fallbacks = ""

    def update(self, healths: Sequence[Health]) -> None:
        """Send a changed state of the cameras."""
        self._cameras = "; ".join(map(_in_words, healths))
        self._send_if_changed()

    def set_arming(self, arming: ArmingMessage) -> None:
        """Send whether fmd is disarmed or muted."""
        self._arming = "" if arming.armed and not arming.muted_until else f"; {arming_in_words(arming)}"
        self._send_if_changed()

    def set_fallbacks(self, fallbacks: Sequence[ModelFallback]) -> None:
        """Send which models replace the installed ones."""
        self._fallbacks = "".join(f"; {one.task} {one.used} instead of the installed one" for one in fallbacks)
        self._send_if_changed()

    def _send_if_changed(self) -> None:
        self._status = f"{self._cameras}{self._arming}{self._fallbacks}"
        if self.ready and self._status != self._sent_status:
            self._send_status("")

    def alive(self) -> None:
        """Report that a frame has passed all stages."""
        if not self.began:
            self.began = True
            self._on_first_frame()
        if self.ready:
            notify("WATCHDOG=1")
        else:
            # Status and READY in one datagram: systemd never shows a ready service with an old status.
            self.ready = self._send_status("READY=1\n")

    def waiting(self, now_s: float) -> None:
        """Report that no frame came and cameras are being reopened.

        Before the first frame only a patient notifier asks for more time: otherwise a person waits for an answer.
        """
        if now_s - self._fed_s < WAITING_S or not (self.ready or self._patient):
            return
        self._fed_s = now_s
        notify("WATCHDOG=1" if self.ready else f"EXTEND_TIMEOUT_USEC={HANG_S * 1e6:.0f}\nSTATUS={self._status}")

    def reloading(self, now_s: float) -> None:
        """Report that the settings are read again; READY=1 follows, from here or from the first frame with new ones."""
        if self.ready:
            notify(f"RELOADING=1\nMONOTONIC_USEC={now_s * 1e6:.0f}")

    def refused(self, error: FmdError) -> None:
        """Report that the new settings are invalid and the present ones stay."""
        if self.ready:
            notify(f"READY=1\nSTATUS={self._status}; reload refused: {' '.join(str(error).split())}")

    def _send_status(self, before: str) -> bool:
        """Return whether systemd took it; if not, the next frame sends it again."""
        sent = notify(f"{before}STATUS={self._status}")
        if sent:
            self._sent_status = self._status
        return sent


def _in_words(health: Health) -> str:
    words = "starting"
    if health.state is CameraState.STREAMING:
        words = f"watching, but {health.slow}" if health.slow else "watching"
    if health.blind and health.state is not CameraState.STARTING:
        words = f"blind, camera {health.state.value}: {' '.join(health.reason.split())}"
    return f"{health.camera}: {words}" if health.camera else words


def notify(state: str) -> bool:
    """Send ``state`` as a datagram to $NOTIFY_SOCKET (sd_notify(3)); return whether it was sent.

    Returns True if there is no such socket. It never waits: a busy system manager must not hold up the loop.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # The socket's queue is full while systemd is busy, for example during `systemctl daemon-reload`.
        sender.setblocking(False)
        try:
            sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.debug("systemd does not listen at %s: %s", address, error)
            return False
    return True
