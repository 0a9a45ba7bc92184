"""Installing model files: checked, shadow beside the one in use, switched to, and back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge import paths
from edge.commands import door_status, main
from edge.contracts import Frame, View
from edge.errors import SettingsError
from edge.inference import bundle
from edge.service import model_store, models, shadow_run
from edge.service.model_store import SHIPPED, ModelStore
from edge.service.shadow_run import ShadowedClassifier, ShadowedDetector, ShadowRequest, ShadowRun
from tests.edge.parts import (
    BARE,
    MASKED,
    classifier_of,
    command,
    detector_of,
    environment,
    face,
    frame_of,
    texture,
    write_clip,
)


def renamed(source: Path, folder: Path, name: str, **changed: Any) -> Path:
    """The shipped model under another name, a file of its own bytes."""
    loaded = bundle.unpack(source)
    contract = msgspec.structs.replace(loaded.contract, name=name, **changed)
    path = folder / f"{name}.tflite"
    path.write_bytes(bundle.pack(loaded.flatbuffer, contract, loaded.golden))
    return path


def added(store: ModelStore, path: Path) -> str:
    data = path.read_bytes()
    return store.add(data, bundle.unpack(path).contract.task, bundle.sha256(data)).name


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "state")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_switch_and_back(store: ModelStore, classifier_path: Path, tmp_path: Path) -> None:
    assert (store.chosen("classifier"), store.previous("classifier")) == (None, None)
    first, second = (added(store, renamed(classifier_path, tmp_path, name)) for name in ("first", "second"))
    store.switch("classifier", first)
    assert store.previous("classifier") == SHIPPED
    store.switch("classifier", second)
    assert store.chosen("classifier") == store.folder / second
    assert store.roll_back("classifier") == first
    assert store.chosen("classifier") == store.folder / first
    store.switch("classifier", SHIPPED)
    assert store.chosen("classifier") is None
    assert store.chosen("detector") is None


def test_the_installed_model_is_the_one_that_runs(
    store: ModelStore, classifier_path: Path, tmp_path: Path, settings: Any
) -> None:
    def opened(settings: Any) -> str:
        return models.load_model(settings.model, "classifier").contract.name

    assert opened(settings) == bundle.unpack(classifier_path).contract.name
    store.switch("classifier", added(store, renamed(classifier_path, tmp_path, "mine")))
    assert opened(settings) == "mine"
    other = renamed(classifier_path, tmp_path, "other")
    named = msgspec.structs.replace(settings.model, classifier=str(other))
    assert opened(msgspec.structs.replace(settings, model=named)) == "other"


def test_a_model_that_is_installed_again_keeps_the_way_back(
    store: ModelStore, classifier_path: Path, tmp_path: Path
) -> None:
    name = added(store, renamed(classifier_path, tmp_path, "mine"))
    store.switch("classifier", name)
    store.switch("classifier", name)
    assert (store.read("classifier").choice.current, store.previous("classifier")) == (name, SHIPPED)


def test_old_files_are_deleted_but_not_those_in_use(store: ModelStore) -> None:
    names = [store.add(bytes([i]), "classifier", f"{i:064x}"[::-1]).name for i in range(1, 10)]
    for i, name in enumerate(names):
        os.utime(store.folder / name, (i, i))
    store.switch("classifier", names[0])
    store.switch("classifier", names[1])
    store.prune("classifier")
    assert {path.name for path in store.files("classifier")} == {*names[:2], *names[-model_store.KEPT :]}


def test_nothing_to_go_back_to_is_said(store: ModelStore) -> None:
    with pytest.raises(SettingsError, match="no earlier classifier to go back to"):
        store.roll_back("classifier")


def frames(count: int) -> Iterator[Frame]:
    for i in range(count):
        yield frame_of(texture(64, 64, i), i / 10, i)


def test_the_old_classifier_decides_and_the_new_one_is_counted(tmp_path: Path) -> None:
    answer = tmp_path / "shadow.json"
    begun = ShadowRun(ShadowRequest("new.tflite", "classifier", 1.0), answer)
    shadow = ShadowedClassifier(classifier_of(MASKED)._model, classifier_of(BARE), begun)
    observations = [shadow.classify(frame, [View(face(32, 32, 24))])[0] for frame in frames(20)]
    assert {observation.label for observation in observations} == {"with_mask"}
    told = shadow_run.read_result(answer)
    assert told is not None
    assert (told.observations, told.disagreed, told.share, told.done) == (11, 11, 1.0, True)
    assert told.examples[0].startswith("with_mask 0.98, now without_mask 0.97")


def test_detectors_are_compared_face_by_face() -> None:
    begun = ShadowRun(ShadowRequest("new.tflite", "detector", 10.0), None)
    both, old_only, new_only = face(16, 16, 14), face(48, 16, 14), face(48, 48, 14)
    old, new = detector_of([both, old_only]), detector_of([both, new_only])
    shadow = ShadowedDetector(old._model, 0.2, 0.4, new, begun)
    for frame in frames(4):
        assert len(shadow.detect(frame)) == 2
    assert (begun.result.frames, begun.result.observations, begun.result.disagreed) == (4, 12, 8)


class Broken:
    compliant = "with_mask"

    def classify(self, frame: Frame, looks: Sequence[View]) -> None:
        raise ZeroDivisionError("a defect")


def test_a_new_model_that_breaks_does_not_take_the_old_one_with_it(tmp_path: Path) -> None:
    begun = ShadowRun(ShadowRequest("new.tflite", "classifier", 10.0), tmp_path / "shadow.json")
    shadow = ShadowedClassifier(classifier_of(MASKED)._model, Broken(), begun)  # type: ignore[arg-type]
    for frame in frames(3):
        (observation,) = shadow.classify(frame, [View(face(32, 32, 24))])
        assert observation.label == "with_mask"
    told = shadow_run.read_result(tmp_path / "shadow.json")
    assert told is not None
    assert (told.error, told.observations) == ("ZeroDivisionError: a defect", 0)


def test_a_request_is_taken_once_and_only_in_its_boot(tmp_path: Path) -> None:
    request, result = ShadowRequest("new.tflite", "classifier", 10.0, "1"), tmp_path / "result.json"
    shadow_run.write_request(tmp_path, request)
    assert shadow_run.open_request(tmp_path, result) == request
    assert ShadowRun(request, result).reported
    assert shadow_run.open_request(tmp_path, result) is None
    shadow_run.write_request(tmp_path, msgspec.structs.replace(request, number="2"))
    assert shadow_run.open_request(tmp_path, result) is not None
    shadow_run.write_request(tmp_path, msgspec.structs.replace(request, number="3", boot="earlier"))
    assert shadow_run.open_request(tmp_path, result) is None
    shadow_run.withdraw_request(tmp_path)
    shadow_run.withdraw_request(tmp_path)


@contextmanager
def running(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The service over a clip without end, and its directories as systemd gives them."""
    clip = write_clip(tmp_path / "clip.avi", frames=30)
    (tmp_path / "run").mkdir()
    folders = {"STATE_DIRECTORY": str(tmp_path / "state"), "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    process = subprocess.Popen(
        [*command("run", "--source", clip, "--set", "camera.loop=true"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "log").open("w"),
        env=environment(**folders),
    )
    try:
        for _ in range(600):
            if model_store.in_use(tmp_path / "run") or process.poll() is not None:
                break
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def model(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """``fmd model``, in this process: exit code and what it said."""
    code = main.main(["model", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_running_service_tries_a_model_takes_it_up_and_goes_back(
    tmp_path: Path, classifier_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = renamed(classifier_path, tmp_path, "new")
    options = ["--state", tmp_path / "state", "--runtime", tmp_path / "run"]
    with running(tmp_path) as process:
        code, out, err = model(capsys, "install", new, "--seconds", "1", *options)
        assert code == 0, err + (tmp_path / "log").read_text()
        assert "no face was seen during the shadow run" in out
        assert out.splitlines()[-1].endswith("is installed and in use; to undo this: fmd model rollback classifier")
        now = model_store.in_use(tmp_path / "run")
        assert now is not None
        assert now.pid == process.pid
        assert Path(now.classifier).parent == tmp_path / "state-models"
        assert "classifier: current classifier-" in model(capsys, "list", *options)[1]
        assert model(capsys, "rollback", *options)[1] == "classifier: back to shipped\n"
        assert process.poll() is None
    assert "for 1 s" in (tmp_path / "log").read_text()


def test_a_door_that_is_blind_with_a_new_model_goes_back_to_the_one_before(
    tmp_path: Path, classifier_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_status, "GRACE_S", 0.5)
    new = renamed(classifier_path, tmp_path, "new")
    options = ["--state", tmp_path / "state", "--runtime", tmp_path / "run", "--json"]
    # The reload after the switch plugs the camera in again, for two seconds.
    with running(tmp_path, "--simulate", "unplug@2"):
        code, out, err = model(capsys, "install", new, "--seconds", "1", "--observations", "1", *options)
        assert (code, json.loads(out)["verdict"]) == (1, "not compared"), err
        assert "on 0 observations, expected at least 1" in json.loads(out)["reason"]
        code, out, err = model(capsys, "install", new, "--seconds", "0", "--watch", "1m", *options)
        said = json.loads(out)
        assert (code, said["verdict"], said["task"]) == (1, "unhealthy", "classifier"), err
        assert "camera: lost" in said["reason"]
        assert said["reason"].endswith("back to shipped")
        listed = json.loads(model(capsys, "list", "--state", tmp_path / "state", "--json")[1])
        assert (listed["classifier"]["current"], listed["classifier"]["previous"]) == ("shipped", said["name"])
        assert listed["classifier"]["installed"] == {said["name"]: "new"}
        assert main.main(["status", "--runtime", str(tmp_path / "run")]) == 1
        assert "problem: camera: lost" in capsys.readouterr().out


def test_options_that_nothing_can_keep_install_nothing(
    tmp_path: Path, classifier_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--state", tmp_path / "state", "--runtime", tmp_path, "--json"]
    for more in (["--watch", "1h"], ["--observations", "1"]):
        code, out, err = model(capsys, "install", classifier_path, *more, *options)
        assert (code, json.loads(out)["verdict"]) == (1, "refused")
        assert f"error: {more[0]}: " in err
        assert "fmd is not running here" in err
    assert not ModelStore(tmp_path / "state").files("classifier")


@pytest.mark.parametrize("what", ["list", "rollback"])
def test_a_state_directory_that_does_not_exist_is_no_empty_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    code, out, err = model(capsys, what, "--state", tmp_path / "typo")
    assert (code, out) == (1, "")
    assert f"{tmp_path / 'typo'}: no such folder; name the state directory" in err


def test_what_fails_its_check_is_not_installed(
    tmp_path: Path, classifier_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = bundle.unpack(classifier_path)
    wrong = dict(loaded.golden)
    wrong["output_0"] = np.flip(wrong["output_0"], axis=-1)
    path = tmp_path / "wrong.tflite"
    path.write_bytes(bundle.pack(loaded.flatbuffer, loaded.contract, wrong))
    code, _, err = model(capsys, "install", path, "--state", tmp_path / "state", "--runtime", tmp_path)
    assert code == 1
    assert "golden input 0 gives an answer" in err
    assert not ModelStore(tmp_path / "state").files("classifier")
    assert ModelStore(tmp_path / "state").chosen("classifier") is None


@pytest.mark.parametrize(("code", "lines"), [(1, 2), (0, 1)])
def test_an_installation_without_the_service_says_what_uses_the_model(
    tmp_path: Path,
    classifier_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    lines: int,
) -> None:
    """A ``systemctl`` that knows the unit (0), or does not (1)."""
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\n[ "$*" = "cat fmd.service" ] && exit {code}\nexit 3\n')
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(paths, "STATE", tmp_path / "fmd")
    ended, out, err = model(capsys, "install", renamed(classifier_path, tmp_path, "new"), "--runtime", tmp_path)
    assert ended == 0, err
    said = out.splitlines()
    assert len(said) == lines
    assert said[0].endswith("fmd is not running and uses it from its next start")
    assert lines == 1 or f"The model is in {tmp_path / 'fmd-models'}" in said[1]


def test_over_a_clip_without_a_service(
    tmp_path: Path, classifier_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: object) -> None:
        raise AssertionError("a model was opened in this process, which may be root's")

    monkeypatch.setattr("edge.drivers.tflite.TFLiteInterpreter", refuse)
    options = ["--state", tmp_path / "state", "--runtime", tmp_path]
    clip = write_clip(tmp_path / "clip.avi", frames=3)
    new = renamed(classifier_path, tmp_path, "new")
    code, out, err = model(capsys, "install", new, "--source", clip, *options)
    assert code == 0, err
    assert out.splitlines()[-1].endswith("is installed; fmd is not running and uses it from its next start")
    assert (tmp_path / "state-models/classifier.json").is_file()
