"""Ctrl-C while the service runs inside a bench: the service handles the signal."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.edge.parts import environment, write_clip

PATIENCE_S = 60.0


@pytest.mark.parametrize("bench", ["edge", "slope"])
def test_ctrl_c_prints_one_line_and_exits_with_130(bench: str, tmp_path: Path) -> None:
    if bench == "edge":
        pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
        pytest.importorskip("gpiozero", reason="gpiozero is not installed")
    arguments = [bench] if bench == "edge" else [bench, str(write_clip(tmp_path / "clip.mp4", frames=2))]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(PATIENCE_S)
        systemd.bind(str(tmp_path / "notify"))
        process = subprocess.Popen(
            [sys.executable, "-m", "bench", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(NOTIFY_SOCKET=str(tmp_path / "notify")),
            # A shell starts background jobs with SIGINT ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            assert systemd.recv(4096).startswith(b"READY=1")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors
