"""Model files of strangers: opened in a child process first, and recorded where only those who may can write."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edge import config, paths, state_file
from edge.errors import BundleError, GoldenError
from edge.inference.bundle import InputSpec, pack, sha256
from edge.service import model_proof, models
from edge.service.model_proof import LIMITS, RECORD, Proven, Record, proving, recorded
from tests.edge.parts import ROOT, command, contract, fmd, texture, wait_for

HOSTILE = ROOT / "tests/edge/hostile_models"
"""Flatbuffers of 8 x 8 pixels and two labels. ``crash`` is ``tiny`` with a changed byte, which the runtime reads as an
offset; ``endless`` has a WHILE loop; ``huge`` tiles its input to 3 GB."""


def bundle_of(name: str, folder: Path) -> Path:
    """Write a model file with a valid contract around a hostile flatbuffer."""
    flatbuffer = (HOSTILE / f"{name}.tflite").read_bytes()
    promised = contract(
        "classifier",
        input=InputSpec(height=8, width=8, scale=1.0, offset=0.0),
        labels=("with_mask", "without_mask"),
        sha256=sha256(flatbuffer),
    )
    golden = {"inputs": np.zeros((1, 8, 8, 3), np.uint8), "output_0": np.zeros((1, 2), np.float32)}
    path = folder / f"{name}.tflite"
    path.write_bytes(pack(flatbuffer, promised, golden))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(paths, "PROOFS", tmp_path / "roots")  # this machine may have run fmd as root
    return tmp_path / "cache/fmd"


def checked(name: str, folder: Path, seconds: float = LIMITS.seconds) -> None:
    path = bundle_of(name, folder)
    model_proof.check(path.read_bytes(), path, limits=dataclasses.replace(LIMITS, seconds=seconds))


@pytest.mark.parametrize(
    ("name", "seconds", "reported"),
    [
        ("crash", 20.0, r"crash\.tflite: the model crashed \(signal SIG\w+\) while loading it"),
        ("endless", 0.5, r"endless\.tflite: the model took over 0 s"),
        ("huge", 20.0, r"huge\.tflite: .*(cannot run this model|MB of memory|crashed)"),
    ],
)
def test_a_hostile_flatbuffer_ends_the_child_alone(
    tmp_path: Path, cache: Path, name: str, seconds: float, reported: str
) -> None:
    with pytest.raises(BundleError, match=reported):
        checked(name, tmp_path, seconds)
    assert recorded(cache) == []


def test_wrong_answers_are_a_golden_error(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(GoldenError, match=r"tiny\.tflite: golden input 0"):
        checked("tiny", tmp_path)
    assert recorded(cache) == []


@pytest.mark.parametrize("command", [("verify",), ("run", "--check", "--set"), ("predict", "--set")])
def test_every_command_survives_a_model_that_crashes_the_runtime(
    tmp_path: Path, cache: Path, command: tuple[str, ...]
) -> None:
    path, picture = bundle_of("crash", tmp_path), tmp_path / "a.png"
    cv2.imwrite(str(picture), texture(64, 64))
    setting = (f'model.classifier="{path}"', *((str(picture),) if command[0] == "predict" else ()))
    ran = fmd(*command, *((path,) if command[0] == "verify" else setting))
    assert ran.returncode == 1
    assert "crash.tflite: the model crashed (signal SIG" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_run_stops_at_once_while_a_model_that_never_returns_is_checked(
    tmp_path: Path, cache: Path, number: int, code: int
) -> None:
    path = bundle_of("endless", tmp_path)
    words = command(
        "run", "--source", "doorway", "--set", "alert.driver=console", "--set", f'model.classifier="{path}"'
    )
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        below = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(lambda: "model_proof:open_model" in "".join(map(command_line, below.read_text().split())))
        began_s = time.monotonic()
        process.send_signal(number)
        said = process.communicate(timeout=20)[1]
    assert process.returncode == code, said
    assert "error" not in said
    assert time.monotonic() - began_s < 10


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended
        return ""


def test_a_proven_file_is_not_checked_again(
    cache: Path, classifier_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.load().model
    models.load_model(settings, "classifier")
    (proven,) = recorded(cache)
    assert proven.sha256 == sha256(classifier_path.read_bytes())
    assert proven.runtime.startswith("ai-edge-litert ")
    monkeypatch.setattr(model_proof, "check", lambda *_: pytest.fail("checked again"))
    models.load_model(settings, "classifier")


@pytest.mark.parametrize("changed", ["sha256", "runtime", "machine"])
def test_another_file_runtime_or_board_needs_a_new_proof(
    cache: Path, classifier_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    data = classifier_path.read_bytes()
    model_proof.check(data, classifier_path)
    (proven,) = recorded(cache)
    state_file.write_state(cache / RECORD, Record([msgspec.structs.replace(proven, **{changed: "other"})]))
    seen: list[object] = []
    monkeypatch.setattr(model_proof, "check", lambda *given: seen.append(given))
    proving()(data, classifier_path)
    assert len(seen) == 1


def test_what_another_user_could_have_written_is_no_proof(tmp_path: Path) -> None:
    proven = Proven("0" * 64, "ai-edge-litert 2.3.0", "board")
    file = tmp_path / RECORD
    state_file.write_state(file, Record([proven]), for_all=True)
    assert recorded(tmp_path) == [proven]
    for mode in (0o666, 0o664):
        file.chmod(mode)
        assert recorded(tmp_path) == []
    file.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
        assert recorded(tmp_path) == []
        os.chown(file, 0, 0)
    link = tmp_path / "other"
    link.mkdir()
    (link / RECORD).symlink_to(file)
    assert recorded(link) == []
    for damaged in (b"", b"[" * 60_000, b'{"proven": 1}', b"\xff"):
        file.write_bytes(damaged)
        assert recorded(tmp_path) == []


def test_root_records_nothing_in_the_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classifier_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root could")
    theirs, roots = tmp_path / "theirs", tmp_path / "roots"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    monkeypatch.setattr(paths, "proofs_folders", lambda: [theirs, roots])
    model_proof.check(classifier_path.read_bytes(), classifier_path)
    assert list(theirs.iterdir()) == []
    assert len(recorded(roots)) == 1


def test_only_so_many_are_recorded(cache: Path) -> None:
    for number in range(model_proof.MAX_RECORDED + 3):
        model_proof._add(Proven(f"{number:064}", "runtime 1", "board"))
    found = recorded(cache)
    assert len(found) == model_proof.MAX_RECORDED
    assert found[-1].sha256 == f"{model_proof.MAX_RECORDED + 2:064}"
    assert (cache / RECORD).stat().st_size < model_proof.MAX_RECORD


def test_the_service_keeps_its_record_in_its_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/fmd")
    assert paths.proofs_folders() == [Path("/var/lib/fmd"), paths.PROOFS]


def test_the_check_leaves_no_child_and_loads_nothing_into_its_parent(cache: Path, classifier_path: Path) -> None:
    """The service keeps its memory: what opens the file is the child."""
    code = (
        "import sys; from pathlib import Path; from edge.service import model_proof; "
        "from ai_edge_litert.interpreter import Interpreter; Interpreter.__init__ = None; "
        f"path = Path({str(classifier_path)!r}); print(model_proof.check(path.read_bytes(), path).worst <= 1)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.stdout == "True\n", ran.stderr
