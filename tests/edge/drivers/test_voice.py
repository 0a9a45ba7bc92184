"""The voice through the real aplay, onto ALSA's own file plug-in: what would be heard is read back."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge import config, drivers
from edge.config import VoiceSettings
from edge.drivers import speech
from edge.drivers.voice import VoiceOutput
from edge.errors import OutputError
from tests.edge.parts import wait_for

PATIENCE_S = 60.0


@pytest.fixture
def chime(tmp_path: Path) -> Path:
    speech.write(tmp_path / "chime.wav", speech.compose(""))
    return tmp_path / "chime.wav"


class Speaker:
    """ALSA's file plug-in, which plays into a file, and a voice on it."""

    def __init__(self, folder: Path, file: Path, every_s: float = 0.1, **changed: Any) -> None:
        if shutil.which("aplay") is None:
            pytest.skip("aplay is not installed; to fix this: sudo apt install alsa-utils")
        self.heard = folder / "heard.wav"
        values = {"device": f"file:{self.heard},wav", "every_s": every_s, **changed}
        self.voice = VoiceOutput(settings_of(**values), file)


def settings_of(**changed: Any) -> VoiceSettings:
    return config.load(None, {f"voice.{key}": value for key, value in changed.items()}).voice


@pytest.fixture
def speaker(tmp_path: Path, chime: Path) -> Iterator[Speaker]:
    made = Speaker(tmp_path, chime)
    yield made
    made.voice.close()


def samples(path: Path) -> Any:
    return np.frombuffer(path.read_bytes()[44:], "<i2")


def test_the_file_is_played_and_only_while_on(speaker: Speaker, chime: Path) -> None:
    assert not speaker.heard.exists()
    speaker.voice.set(True)
    wait_for(lambda: speaker.voice.said == 1)
    speaker.voice.set(False)
    heard, sent = samples(speaker.heard), samples(chime)
    assert np.array_equal(heard[: len(sent)], sent)


def test_the_sentence_repeats_while_on_and_stops_when_off(speaker: Speaker) -> None:
    speaker.voice.set(True)
    wait_for(lambda: speaker.voice.said >= 3)
    speaker.voice.set(False)
    said = speaker.voice.said
    speaker.voice.close()
    assert speaker.voice.said <= said + 1  # a sentence under way may be finished


def test_the_sentence_keeps_its_interval(tmp_path: Path, chime: Path) -> None:
    speaker = Speaker(tmp_path, chime, every_s=3600)
    for on in (True, False) * 20:
        speaker.voice.set(on)
    speaker.voice.set(True)
    wait_for(lambda: speaker.voice.said == 1)
    speaker.voice.set(False)
    speaker.voice.set(True)
    speaker.voice.close()
    assert speaker.voice.said == 1


def test_a_missing_device_is_reported_once_and_tried_again(
    tmp_path: Path, chime: Path, caplog: pytest.LogCaptureFixture
) -> None:
    speaker = Speaker(tmp_path, chime, device="plughw:CARD=NoSuchCard")
    speaker.voice.set(True)
    wait_for(lambda: speaker.voice.failed >= 3)
    speaker.voice.close()
    assert len([r for r in caplog.records if "NoSuchCard" in r.getMessage() and "aplay -L" in r.getMessage()]) == 1
    assert speaker.voice.said == 0


def test_close_kills_a_player_that_hangs(tmp_path: Path, chime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for aplay that never ends, as on a loudspeaker that went away."""
    started = tmp_path / "started"
    (tmp_path / "aplay").write_text(f"#!/bin/sh\ntouch {started}\nexec sleep 600\n")
    (tmp_path / "aplay").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    voice = VoiceOutput(settings_of(), chime)
    voice.set(True)
    wait_for(started.exists)
    before_s = time.monotonic()
    voice.set(False)
    voice.close()
    voice.close()
    assert time.monotonic() - before_s < 15
    assert not any(thread.name == "voice" for thread in threading.enumerate())


def test_without_aplay_the_error_says_what_to_install(chime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OutputError, match="aplay is not installed; to fix this: sudo apt install alsa-utils"):
        drivers.open_voice(settings_of(), chime)


@pytest.mark.parametrize("content", [None, b"", b"RIFF", b"ID3 an mp3", b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_a_file_without_sound_is_refused_at_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "please.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OutputError, match=r"^voice\.file: .*please\.wav: "):
        drivers.open_voice(settings_of(), path)
