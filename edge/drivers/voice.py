"""A spoken sentence through ALSA: aplay plays a WAV file while the output is on, and repeats it after a pause.

aplay instead of a library: every Debian has it (alsa-utils), it knows every card and plug-in, and a process that hangs
can be killed, unlike a library call. A failure is logged and tried again: LED and buzzer carry the alarm without it.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path

from edge.config import VoiceSettings
from edge.errors import OutputError

log = logging.getLogger(__name__)

HANG_S = 5.0
"""Time beyond the length of the sound after which aplay is stuck, as on a Bluetooth speaker that disconnected."""


class VoiceOutput:
    """Output that plays its sentence while it is on, and finishes a sentence that has begun unless it is closed.

    ``said`` counts the sentences played, ``failed`` those that failed.
    """

    def __init__(self, settings: VoiceSettings, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._file, self._clock = settings, file, clock
        self._longest_s = _duration_s(file) + HANG_S
        self._player = shutil.which("aplay")
        if self._player is None:
            raise OutputError("voice.enabled: aplay is not installed; to fix this: sudo apt install alsa-utils")
        self.said = self.failed = 0
        self._trouble = ""
        self._changed = threading.Condition()
        self._on = self._closed = False
        self._began_s = float("-inf")
        self._playing: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep_saying, name="voice", daemon=True)
        self._thread.start()

    def set(self, on: bool) -> None:
        """Start the sentence, or stop after the one that is playing."""
        with self._changed:
            if on is not self._on:
                self._on = on
                self._changed.notify()

    def close(self) -> None:
        """Stop the sound at once."""
        with self._changed:
            self._closed, self._on = True, False
            if self._playing is not None:
                self._playing.kill()
            self._changed.notify()
        self._thread.join(1.0)

    def _keep_saying(self) -> None:
        while self._wait_for_turn():
            trouble = self._say()
            self.said, self.failed = self.said + (not trouble), self.failed + bool(trouble)
            if trouble and trouble != self._trouble:
                log.warning("voice: %s", trouble)
            self._trouble = trouble

    def _wait_for_turn(self) -> bool:
        """Wait until the sentence is due; return False once the output is closed."""
        with self._changed:
            while not self._closed:
                rest_s = self._began_s + self._settings.every_s - self._clock()
                if self._on and rest_s <= 0:
                    # The interval runs from one beginning to the next, as voice.every_s says.
                    self._began_s = self._clock()
                    return True
                self._changed.wait(rest_s if self._on else None)
        return False

    def _say(self) -> str:
        """Play the file once; return the error, or an empty string."""
        with self._changed:
            # The process starts under the lock, so that close() always finds it.
            if self._closed:
                return ""
            try:
                self._playing = subprocess.Popen(
                    [str(self._player), "-q", "-D", self._settings.device, str(self._file)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    # Ctrl-C in a terminal is for fmd, which stops the sound; aplay's end by it would be logged.
                    start_new_session=True,
                )
            except OSError as error:
                return f"aplay cannot be started: {error.strerror}"
        try:
            _, errors = self._playing.communicate(timeout=self._longest_s)
        except subprocess.TimeoutExpired:
            self._playing.kill()
            self._playing.communicate()
            return f"aplay did not end within {self._longest_s:.0f} s on {self._settings.device!r}"
        if self._playing.returncode == 0 or self._closed:
            return ""
        last = errors.strip().splitlines()[-1:] or [f"exit code {self._playing.returncode}"]
        return f"{last[0]} on {self._settings.device!r}; list the devices with: aplay -L"


def _duration_s(path: Path) -> float:
    try:
        with wave.open(str(path), "rb") as sound:
            return sound.getnframes() / sound.getframerate()
    except OSError as error:
        raise OutputError(f"voice.file: {path}: {error.strerror}") from error
    except (wave.Error, EOFError, ZeroDivisionError) as error:
        raise OutputError(f"voice.file: {path}: not a WAV file that aplay can play ({error})") from error
