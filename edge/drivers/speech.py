"""Maker of the sound at the door: two notes that catch attention, then a spoken sentence.

    python -m edge.drivers.speech please.wav                                        as shipped (edge/sounds)
    python -m edge.drivers.speech bitte.wav --voice de --text "Bitte tragen Sie eine Maske."
    python -m edge.drivers.speech chime.wav --text ""                               the notes alone

The notes are computed here. espeak-ng (apt install espeak-ng) makes the speech; only making a sound needs it, playing
does not. Any other WAV file works as well: set voice.file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import OutputError, RuntimeMissingError, exit_code_of

TEXT = "Please wear a face mask."
RATE = 22050
"""Samples per second, as espeak-ng writes them."""
NOTES = (880.0, 659.26)
"""Hertz: A5 and the E5 below, the falling fourth of a doorbell."""
NOTE_S, FADE_S, PAUSE_S = 0.25, 0.12, 0.15
PEAK = 0.8
"""Loudest sample, as a share of full scale: headroom against clipping in small amplifiers."""
LANGUAGE, WORDS_A_MINUTE = "en-gb", 140

Samples = npt.NDArray[np.float64]
"""(n,) mono, -1..1, ``RATE`` per second."""


def chime() -> Samples:
    """Return the two notes, each fading."""
    at_s = np.arange(round(NOTE_S * RATE)) / RATE
    # A rise of 5 ms, because the loudspeaker clicks at a sudden start.
    envelope = np.minimum(at_s / 0.005, 1) * np.exp(-at_s / FADE_S)
    return np.concatenate([np.sin(2 * np.pi * hertz * at_s) * envelope for hertz in NOTES])


def speech(text: str, language: str = LANGUAGE) -> Samples:
    """Return ``text`` as espeak-ng speaks it, without silence around it. Raises RuntimeMissingError, OutputError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["espeak-ng", "-v", language, "-s", str(WORDS_A_MINUTE), "-w", str(path), "--", text]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise RuntimeMissingError("espeak-ng is not installed; to fix this: sudo apt install espeak-ng") from error
        except subprocess.CalledProcessError as error:
            raise OutputError(f"espeak-ng cannot speak this in {language!r}: {error.stderr.strip()}") from error
        spoken = _read(path)
    loud = np.flatnonzero(np.abs(spoken) > 0.01)
    return spoken[loud[0] : loud[-1] + 1] if loud.size else spoken


def compose(text: str = TEXT, language: str = LANGUAGE) -> Samples:
    """Return notes, a pause and the spoken text, each as loud as ``PEAK``; without text, the notes alone."""
    pause = np.zeros(round(PAUSE_S * RATE))
    parts = [chime()] + ([pause, speech(text, language)] if text else [])
    return np.concatenate([part * PEAK / max(1e-9, np.abs(part).max()) for part in parts])


def write(path: Path, samples: Samples) -> None:
    """Write a WAV file: mono, 16 bit."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())


def _read(path: Path) -> Samples:
    with wave.open(str(path), "rb") as sound:
        if (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) != (1, 2, RATE):
            got = sound.getparams()
            raise OutputError(f"espeak-ng: got {got}, expected mono, 16 bit, {RATE} Hz; use another --voice")
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m edge.drivers.speech", description="Make the sound that voice.file plays."
    )
    parser.add_argument("out", type=Path, help="the WAV file to write")
    parser.add_argument("--text", default=TEXT, help=f"sentence (default: {TEXT}); empty for the two notes alone")
    parser.add_argument("--voice", default=LANGUAGE, help="a voice of espeak-ng --voices (default: %(default)s)")
    arguments = parser.parse_args(argv)

    def make() -> int:
        write(arguments.out, compose(arguments.text, arguments.voice))
        return 0

    return exit_code_of(make)


if __name__ == "__main__":
    sys.exit(main())
