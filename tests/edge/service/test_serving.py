"""Asking a service for a reload: no process number from a file is ever signalled."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge.commands import main
from edge.errors import ControlError
from edge.service import model_store, serving
from edge.service.model_store import Choice, ModelsInUse, ModelStore


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("pid", [-1, 0, 1, None])
def test_a_forged_process_number_is_not_signalled(
    tmp_path: Path, bystander: subprocess.Popen[bytes], pid: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signal 1 to -1 reaches every process, to 0 this test's own group, to 1 the init of the system."""
    state, runtime = tmp_path / "state", tmp_path / "run"
    runtime.mkdir()
    forged = ModelsInUse(bystander.pid if pid is None else pid, "a", "b")
    for name in (model_store.IN_USE, "status.json", "fmd.lock"):
        (runtime / name).write_bytes(msgspec.json.encode(forged))
    ModelStore(state).store("classifier", Choice("shipped", "shipped", "x"))
    assert not serving.is_served(runtime)
    assert main.main(["model", "rollback", "--state", str(state), "--runtime", str(runtime)]) == 0
    assert capsys.readouterr().out == "classifier: back to shipped; fmd is not running\n"
    with pytest.raises(ControlError, match="fmd does not run"):
        serving.reload(runtime)
    assert bystander.poll() is None
