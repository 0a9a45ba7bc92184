"""Beginning and end of the commands' processes, with signals at bad moments and without standard streams."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge import process
from tests.edge.parts import environment, fmd, wait_for, write_clip

FMD = (sys.executable, "-c", "import sys; from edge.process import fmd; sys.exit(fmd())")
"""What the installed command does."""
ARGUMENTS = {"fmd": "verify x", "fmd-convert": "inspect x", "fmd-train": "average x"}


def handles(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    caught = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


@contextmanager
def running(clip: Path) -> Iterator[subprocess.Popen[str]]:
    words = [*FMD, "run", "--source", clip, "--set", "camera.loop=true", "--set", "alert.driver=console"]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def test_a_service_lives_through_a_hangup_before_its_libraries_are_loaded_and_stops_once(tmp_path: Path) -> None:
    with running(write_clip(tmp_path / "clip.avi")) as service:
        wait_for(lambda: handles(service.pid, signal.SIGHUP))
        assert "cv2" not in Path(f"/proc/{service.pid}/maps").read_text()
        for _ in range(3):
            service.send_signal(signal.SIGHUP)
        # Where SIGTERM is handled, the run has begun.
        wait_for(lambda: handles(service.pid, signal.SIGTERM))
        for _ in range(5):
            service.send_signal(signal.SIGTERM)
        _, err = service.communicate(timeout=30)
        assert service.returncode == 0, err
        assert "Traceback" not in err


def test_ctrl_c_twice_ends_in_one_line(tmp_path: Path) -> None:
    with running(write_clip(tmp_path / "clip.avi")) as service:
        wait_for(lambda: handles(service.pid, signal.SIGTERM))
        service.send_signal(signal.SIGINT)
        service.send_signal(signal.SIGINT)
        _, err = service.communicate(timeout=30)
        assert service.returncode == 130, err
        assert "Traceback" not in err


@pytest.mark.parametrize("name", ARGUMENTS)
def test_ctrl_c_while_a_command_is_loaded_ends_in_one_line(name: str, tmp_path: Path) -> None:
    """Twice: the second one comes while the first is reported."""
    broken = tmp_path / "edge_errors_hook.py"
    broken.write_text(
        "import os, signal, sys\n"
        "from edge import process\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('edge.commands.parsing', 'edge.errors'):\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.exit(process.{name.replace('-', '_')}())\n"
    )
    done = subprocess.run(
        [sys.executable, broken, *ARGUMENTS[name].split()], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_ctrl_c_in_a_callback_counts_as_well(tmp_path: Path) -> None:
    """Python cannot raise in it, and would print a traceback and go on."""
    hook = tmp_path / "hook.py"
    hook.write_text(
        "import os, signal, sys, weakref\n"
        "from edge import process\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'edge.commands.parsing':\n"
        "            lock = type(self)()\n"
        "            self.callback = weakref.ref(lock, lambda _: os.kill(os.getpid(), signal.SIGINT))\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(process.fmd())\n"
    )
    done = subprocess.run([sys.executable, hook, "demo"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_without_standard_streams(tmp_path: Path, closed: str) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=2)
    words = [*FMD, "run", "--source", clip, "--annotate", tmp_path / "seen.mp4", "--set", "alert.driver=console"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "seen.mp4").read_bytes()[4:8] == b"ftyp"  # nothing was printed into it


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_every_command_reports_an_error_without_standard_streams(tmp_path: Path, name: str, closed: str) -> None:
    words = [str(Path(sys.executable).with_name(name)), *ARGUMENTS[name].split()]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == ("2>" not in closed)


def test_open_streams_are_left_alone() -> None:
    before = [os.fstat(number).st_ino for number in range(3)], sys.stdin, sys.stdout, sys.stderr
    process.open_streams()
    assert before == ([os.fstat(number).st_ino for number in range(3)], sys.stdin, sys.stdout, sys.stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led to files of others")
@pytest.mark.parametrize("option", ["--state", "--runtime"])
def test_root_does_not_run_in_a_folder_of_another_user(tmp_path: Path, option: str) -> None:
    folder, target = tmp_path / "folder", tmp_path / "target"
    folder.mkdir()
    target.write_text("root's")
    for name in ("fmd.lock", "record.db", "status.json.part"):
        (folder / name).symlink_to(target)
    os.chown(folder, 65534, 65534)
    done = fmd("run", "--source", "doorway", "--set", "alert.driver=console", option, folder)
    assert done.returncode == 1
    assert "belongs to user 65534, not to root" in done.stderr
    assert target.read_text() == "root's"
