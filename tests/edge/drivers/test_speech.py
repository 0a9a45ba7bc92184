"""The sound that ships, and that its recipe still makes it."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from edge import paths
from edge.drivers import speech

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="apt install espeak-ng")


def spoken(path: Path) -> np.ndarray:
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, speech.RATE)
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32767


def test_the_shipped_sound_is_short_loud_and_begins_with_the_notes() -> None:
    sound = spoken(paths.SHIPPED_SOUND)
    assert 1.5 < len(sound) / speech.RATE < 3.0
    assert np.abs(sound).max() == pytest.approx(speech.PEAK, abs=0.01)
    notes = speech.chime()
    assert np.abs(sound[: len(notes)] - notes * speech.PEAK / np.abs(notes).max()).max() < 1e-3


def test_each_note_has_its_pitch() -> None:
    half = len(speech.chime()) // 2
    for note, hertz in zip((speech.chime()[:half], speech.chime()[half:]), speech.NOTES, strict=True):
        spectrum = np.abs(np.fft.rfft(note))
        assert np.argmax(spectrum) * speech.RATE / half == pytest.approx(hertz, abs=speech.RATE / half)


@needs_espeak
def test_the_recipe_makes_the_shipped_sound() -> None:
    """Within what releases of espeak-ng differ by: the notes to the sample, the speech in length and loudness."""
    made, shipped = speech.compose(), spoken(paths.SHIPPED_SOUND)
    assert len(made) == pytest.approx(len(shipped), rel=0.2)
    assert np.sqrt((made**2).mean()) == pytest.approx(np.sqrt((shipped**2).mean()), rel=0.3)


@needs_espeak
def test_another_sentence_in_another_language_is_made(tmp_path: Path) -> None:
    assert speech.main([str(tmp_path / "bitte.wav"), "--voice", "de", "--text", "Bitte tragen Sie eine Maske."]) == 0
    assert len(spoken(tmp_path / "bitte.wav")) > len(speech.chime()) + speech.RATE


@needs_espeak
def test_an_unknown_voice_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert speech.main([str(tmp_path / "x.wav"), "--voice", "nowhere"]) == 1
    assert "espeak-ng cannot speak this in 'nowhere'" in capsys.readouterr().err


def test_without_espeak_the_error_says_what_to_install_and_the_notes_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert speech.main([str(tmp_path / "x.wav")]) == 1
    assert "apt install espeak-ng" in capsys.readouterr().err
    assert speech.main([str(tmp_path / "x.wav"), "--text", ""]) == 0
    assert len(spoken(tmp_path / "x.wav")) == len(speech.chime())
