"""The child process for files of strangers: results, errors, limits, crashes, confinement, signals."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge.child import Failure, Limits, _last_line, run
from edge.errors import BundleError, StopRequestedError
from tests.edge.parts import ROOT, wait_for

FAILURE = Failure(BundleError, "x.tflite: the model", "copy it again")
BARE = Limits(memory_mb=512, seconds=5, file_mb=1, data_mb=512, start_s=60, bare=True)


class Lines:
    """Progress that is kept."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def count(self, what: str, done: int, total: int) -> None:
        self.lines.append(f"{what} {done}/{total}")


def started(task: str, folder: Path, limits: Limits = BARE, data: bytes = b"", **request: Any) -> dict[str, Any]:
    return run(f"tests.edge.hostile_tasks:{task}", request, folder, limits, FAILURE, data=data)


def test_a_result_comes_back_and_progress_is_passed_on(tmp_path: Path) -> None:
    heard = Lines()
    found = run("tests.edge.hostile_tasks:answer", {"a": 1}, tmp_path, BARE, FAILURE, heard)
    assert found == {"a": 1, "folder": str(tmp_path)}
    assert heard.lines == ["working"]


def test_an_expected_error_keeps_its_class(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a model; give another"):
        started("refuse", tmp_path)


def test_a_crash_is_an_expected_error_that_shows_what_the_child_last_wrote(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        started("crash", tmp_path)
    how = "x.tflite: the model crashed (signal SIGABRT) while opening it; it last wrote: heap is broken; copy it again"
    assert str(caught.value).replace("SIGSEGV", "SIGABRT") == how


def test_lines_of_information_do_not_hide_why_a_child_crashed() -> None:
    noise = io.BytesIO(b"double free\nINFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n\n")
    assert _last_line(noise) == "double free"


def test_memory_time_and_file_size_are_limited(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="more than 200 MB of memory"):
        started("eat", tmp_path, Limits(memory_mb=200, seconds=60))
    with pytest.raises(BundleError, match="took over 1 s"):
        started("sleep", tmp_path, Limits(seconds=1))
    with pytest.raises(BundleError, match="File too large"):
        started("fill", tmp_path, Limits(file_mb=1, seconds=60))
    assert (tmp_path / "large").stat().st_size <= 1 << 20


def test_a_child_of_a_child_has_no_wider_limits_and_runs(tmp_path: Path) -> None:
    limits = Limits(memory_mb=512, seconds=10, file_mb=1, nice=5)
    assert started("nest", tmp_path, limits)["a"] == 1


def test_memory_of_its_own_is_limited_by_the_kernel(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="more memory than it may use"):
        started("eat", tmp_path, Limits(memory_mb=0, data_mb=200, seconds=60))


def test_time_counts_from_when_the_child_is_ready(tmp_path: Path) -> None:
    """A slow SD card takes a minute for imports; a hostile file gets none of it."""
    assert started("import_slowly", tmp_path, Limits(seconds=1, start_s=60)) == {}
    began_s = time.monotonic()
    with pytest.raises(BundleError, match="took over 1 s"):
        started("hang_when_ready", tmp_path, Limits(seconds=1, start_s=60))
    assert time.monotonic() - began_s < 30


def test_a_message_without_end_is_cut(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="message of over"):
        started("shout", tmp_path, Limits(seconds=60))


def test_output_without_end_is_cut(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        started("scream", tmp_path)
    assert "crashed (signal SIGABRT); it last wrote: yyy" in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "sent", [b"no json", b"[" * 100_000, b"[1, 2]", b"1", b'{"count": 1}', b'{"count": [1, [], {}]}', b"\xff\xfe{}"]
)
def test_a_child_that_was_taken_over_may_send_anything(tmp_path: Path, sent: bytes) -> None:
    with pytest.raises(BundleError, match="sent no message"):
        started("lie", tmp_path, sent=sent.hex())


def test_a_bug_is_named_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        started("fail", tmp_path)


def test_a_confined_child_reaches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMD_TEST_SECRET", "hunter2")
    mine = tmp_path / "mine"
    mine.write_text("kept")
    tmp_path.chmod(0o777)
    mine.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = started(
            "reach_out", tmp_path, data=b"model", port=server.getsockname()[1], victim=os.getpid(), file=str(mine)
        )
    assert (found.pop("user") != 0, found.pop("secret"), found.pop("data")) == (True, "", 5)
    assert found.pop("threads") is False
    assert {name for name, refused in found.items() if not refused} == set()
    assert mine.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


WAITING = """
import signal, sys
from pathlib import Path
from edge.child import Failure, Limits, run
from edge.errors import BundleError
if sys.argv[1] == "noted":
    signal.signal(signal.SIGINT, lambda number, frame: print("noted", number))
Path(sys.argv[2]).joinpath("begun").touch()
run("tests.edge.hostile_tasks:sleep", {}, Path(sys.argv[2]), Limits(seconds=60), Failure(BundleError, "it", "stop"))
"""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(("how", "ended"), [("default", "KeyboardInterrupt"), ("noted", "StopRequestedError")])
def test_ctrl_c_works_at_once_and_ends_the_child(tmp_path: Path, how: str, ended: str) -> None:
    """A service's handler only notes the signal; the wait for the child must end all the same."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, how, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        wait_for(lambda: bool(children_of(process.pid)))
        (child,) = children_of(process.pid)
        time.sleep(0.05)
        began_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert time.monotonic() - began_s < 5
    assert ended in err
    assert out == ("noted 2\n" if how == "noted" else "")
    assert not Path(f"/proc/{child}").exists()


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, "default", str(tmp_path)], env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        wait_for(lambda: bool(children_of(process.pid)))
        (child,) = children_of(process.pid)
        # It asks for the kernel's signal after Python has started.
        wait_for(lambda: b"hostile_tasks" in Path(f"/proc/{child}/cmdline").read_bytes())
        process.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists())


def test_a_stop_is_no_error_of_a_model() -> None:
    """Where a broken model makes fmd fall back to another, a stop must not."""
    assert not issubclass(StopRequestedError, BundleError)
