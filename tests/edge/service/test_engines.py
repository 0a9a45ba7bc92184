"""Installation of ONNX models: compiled for the board before they are in use."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge import config
from edge.errors import BundleError
from edge.inference.bundle import sha256
from edge.service import engines, model_proof
from tests.edge.onnx_models import bundle_bytes, graph, proto, write_bundle
from tests.edge.parts import fmd, write_clip

pytest.importorskip("onnxruntime", reason="pip install '.[onnxruntime]'")
FAKE = msgspec.structs.replace(config.load().model, runtime="fake-onnxruntime")


def test_the_model_is_opened_once_and_a_fallback_is_explained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMD_FAKE_PROVIDERS", "")
    path = write_bundle(tmp_path)
    assert engines.build(path, FAKE, tmp_path).startswith("onnxruntime/tensorrt")
    if os.geteuid():  # root keeps none
        (folder,) = (tmp_path / "engines").iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("FMD_FAKE_PROVIDERS", "tensorrt=memory cuda=version")
    assert engines.build(path, FAKE, tmp_path).startswith("onnxruntime/cpu")
    said = capfd.readouterr().err
    assert "falling back from TensorRT: out of memory" in said
    assert "falling back from CUDA: this onnxruntime was built for another CUDA" in said


@pytest.mark.parametrize("user", [65534, 54321], ids=["nobody", "a user without a name"])
def test_root_builds_as_the_owner_of_the_state_directory_with_its_groups(tmp_path: Path, user: int) -> None:
    user = tmp_path.stat().st_uid or user
    if os.geteuid() == 0:
        os.chown(tmp_path, user, user)
    options = engines.owner_of(tmp_path, 0)
    assert options["user"] == user
    assert grp.getgrnam("video").gr_gid in options["extra_groups"]
    assert engines.owner_of(tmp_path, 1000) == {}


def test_a_model_that_cannot_be_opened_is_not_installed(tmp_path: Path) -> None:
    wrong = msgspec.structs.replace(FAKE, runtime="ai-edge-litert")
    with pytest.raises(BundleError, match=r"does not run on this board \(see above\); the current model stays"):
        engines.build(write_bundle(tmp_path), wrong, tmp_path)


def test_a_model_that_the_gpu_computes_wrongly_is_not_installed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BundleError, match="does not run on this board"):
        engines.build(write_bundle(tmp_path, change=0.06), FAKE, tmp_path)
    assert "on onnxruntime/tensorrt" in (said := capfd.readouterr().err)
    assert 'set model.runtime = "onnxruntime-cpu"' in said


def test_an_onnx_file_is_proven_on_the_processor_in_a_child_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    path = write_bundle(tmp_path)
    found = model_proof.check(path.read_bytes(), path)
    assert found.runtime.startswith("onnxruntime/cpu")
    (proven,) = model_proof.recorded(tmp_path / "fmd")
    assert (proven.sha256, proven.runtime) == (sha256(path.read_bytes()), found.runtime)


def test_an_onnx_file_that_asks_for_all_memory_ends_the_child_alone(tmp_path: Path) -> None:
    from onnx import helper, numpy_helper

    shape = numpy_helper.from_array(np.array([1 << 16, 1 << 16], np.int64), "shape")
    huge = helper.make_node("Constant", [], ["shape"], value=shape)
    model = proto(graph(huge, helper.make_node("ConstantOfShape", ["shape"], ["huge"]), outputs=("huge",)))
    path = tmp_path / "huge.onnx"
    path.write_bytes(bundle_bytes(model.SerializeToString()))
    with pytest.raises(BundleError, match=r"huge.onnx: .*memory"):
        model_proof.check(path.read_bytes(), path)


def test_an_onnx_model_is_installed_after_a_shadow_run_over_a_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=8)
    (tmp_path / "state").mkdir()
    where = ["--state", str(tmp_path / "state"), "--runtime", str(tmp_path)]
    settings = tmp_path / "fmd.toml"
    settings.write_text('[model]\nruntime = "auto"\n')
    path = write_bundle(tmp_path)
    words = ["install", str(path), *where, "--source", str(clip), "--config", str(settings)]
    done = fmd("model", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "it runs on onnxruntime/cpu" in done.stdout
    listed = fmd("model", "list", *where, cwd=tmp_path).stdout
    assert "classifier: current classifier-" in listed
    assert ".onnx, previous shipped" in listed
    assert fmd("model", "rollback", *where, cwd=tmp_path).stdout == "classifier: back to shipped; fmd is not running\n"


def test_the_process_that_opens_the_model_has_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = tmp_path / "look"
    look.write_text("#!/bin/sh\necho $(cut -d' ' -f6,7 /proc/self/stat) $(readlink /proc/self/fd/0)\n")
    look.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(look))
    session, terminal, stdin = engines.build(tmp_path / "m.onnx", FAKE, tmp_path).split()
    assert (int(session) != os.getsid(0), terminal, stdin) == (True, "0", "/dev/null")
