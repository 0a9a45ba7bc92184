"""Ctrl-C in a terminal while a child process of a command runs: one line, no traceback, and no process is left."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge.drivers import speech
from edge.record import database
from tests.edge.backup.parts import Door
from tests.edge.parts import ROOT, command, environment, free_port, wait_for
from tests.edge.terminal import terminal

FORKS = """
import sys
from tests.edge import forks
try:
    print(forks.run(["run", "--source", "doorway", "--set", "alert.driver=console"], None, {}, 60))
except KeyboardInterrupt:
    sys.exit("interrupted")
"""
SOUND = """
import signal, sys, threading
from pathlib import Path
from edge import config
from edge.drivers.voice import VoiceOutput
stopped = threading.Event()
signal.signal(signal.SIGINT, lambda *_: stopped.set())
voice = VoiceOutput(config.load(None).voice, Path(sys.argv[1]))
voice.set(True)
while not stopped.wait(0.01):
    pass
voice.close()
"""


def ended(pid: int) -> bool:
    """Return whether a process has ended; one that no one has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("shown", ["starting the demo", "in a browser"])
def test_the_demo_of_the_page(shown: str, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    with terminal(command("page", "--demo", f"--port={free_port()}"), tmp_path, environment()) as typed:
        typed.wait_for(shown)
        child = typed.wait_for_child()
        assert typed.type_ctrl_c() == 130
    assert "Traceback" not in typed.shown
    wait_for(lambda: ended(child))


def test_no_demo_goes_on_without_its_page(tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    with terminal(command("page", "--demo", f"--port={free_port()}"), tmp_path, environment()) as typed:
        typed.wait_for("starting the demo")
        child = typed.wait_for_child()
    wait_for(lambda: ended(child))


@pytest.mark.parametrize("name", ["fmd", "fmd-convert"])
def test_a_child_that_opens_a_model(name: str, tmp_path: Path, classifier_path: Path) -> None:
    if name == "fmd-convert" and find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    words = {
        "fmd": command("verify", classifier_path),
        "fmd-convert": [
            str(Path(sys.executable).with_name("fmd-convert")),
            str(ROOT / "models" / "mask_classifier.keras"),
            f"--output={tmp_path / 'model.tflite'}",
        ],
    }
    # Without the record of proven models, which would spare the child.
    with terminal(words[name], tmp_path, environment(XDG_CACHE_HOME=str(tmp_path))) as typed:
        child = typed.wait_for_child()
        assert typed.type_ctrl_c() == 130
    assert "Traceback" not in typed.shown
    wait_for(lambda: ended(child))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user take the copy")
def test_a_backup_that_another_user_copies(tmp_path: Path) -> None:
    door = Door(tmp_path / "door")
    door.record(2)
    for path in (*tmp_path.rglob("*"), tmp_path):
        os.chown(path, 65534, 65534)
    for path in tmp_path.parents[:3]:  # pytest's own folders are closed to others
        path.chmod(path.stat().st_mode | 0o011)
    with closing(sqlite3.connect(door.state / database.NAME, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=DELETE")
        writer.execute("BEGIN EXCLUSIVE")  # the copy waits
        words = command("backup", tmp_path / "door.fmd", "--only", "record", "--state", door.state)
        with terminal(words, tmp_path, environment()) as typed:
            child = typed.wait_for_child()
            assert typed.type_ctrl_c() == 130
    assert "Traceback" not in typed.shown
    assert not (tmp_path / "door.fmd").exists()
    wait_for(lambda: ended(child))


def test_a_sound_that_aplay_plays(tmp_path: Path) -> None:
    """Ctrl-C is for fmd, which stops the sound; nothing is logged about aplay."""
    (tmp_path / "aplay").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "aplay").chmod(0o755)
    speech.write(tmp_path / "chime.wav", speech.compose(""))
    words = [sys.executable, "-c", SOUND, str(tmp_path / "chime.wav")]
    with terminal(words, ROOT, environment(PATH=f"{tmp_path}:{os.environ['PATH']}")) as typed:
        child = typed.wait_for_child()
        wait_for(lambda: os.getpgid(child) != typed.pid)
        assert typed.type_ctrl_c() == 0
    assert typed.shown.strip() == "^C"
    wait_for(lambda: ended(child))


def test_the_process_that_runs_the_commands_of_these_tests() -> None:
    with terminal([sys.executable, "-c", FORKS], ROOT, environment()) as typed:
        server = typed.wait_for_child()
        assert typed.type_ctrl_c() == 1
    assert "Traceback" not in typed.shown
    wait_for(lambda: ended(server))
