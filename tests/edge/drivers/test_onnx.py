"""onnxruntime: real on the processor, and the shipped fake for everything that fails on a GPU."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge import drivers, paths
from edge.drivers.fake_onnxruntime import CUDA_CALL, ENGINE, FAILURES, FakeNvidia, FakeOnnxruntime, plan_of
from edge.drivers.nvidia import KINDS, Nvidia, explained
from edge.drivers.onnx import OnnxInterpreter
from edge.drivers.table import RUNTIMES
from edge.errors import BundleError, GoldenError, RuntimeMissingError, SettingsError
from edge.inference import bundle
from tests.edge.onnx_models import answers, proto, write_bundle
from tests.edge.parts import SIZE, texture

pytest.importorskip("onnxruntime", reason="pip install '.[onnxruntime]'")
PIXELS = texture(SIZE, SIZE)[None]


@pytest.fixture(scope="module")
def model() -> bytes:
    network: bytes = proto().SerializeToString()
    return network


def opened(model: bytes, plan: str, engines: Path | None = None) -> tuple[OnnxInterpreter, FakeOnnxruntime]:
    fake = FakeOnnxruntime(plan_of(plan))
    return OnnxInterpreter(model, 1, fake, FakeNvidia("version" in plan), engines), fake


def test_the_real_runtime_computes_a_model_on_the_processor(model: bytes) -> None:
    interpreter = drivers.open_interpreter(model, threads=1)
    assert interpreter.runtime.startswith("onnxruntime/")
    assert (interpreter.input.shape, interpreter.input.dtype) == ((1, SIZE, SIZE, 3), np.float32)
    (got,) = interpreter.run(PIXELS.astype(np.float32))
    np.testing.assert_allclose(got, answers(PIXELS), atol=1e-5)


def test_a_bundle_is_replayed_and_a_wrong_answer_is_an_error(tmp_path: Path) -> None:
    assert bundle.load(write_bundle(tmp_path), "classifier", drivers.open_interpreter).replay() < 0.1
    with pytest.raises(GoldenError, match="on onnxruntime/"):
        bundle.load(write_bundle(tmp_path, change=0.01), "classifier", drivers.open_interpreter).replay()


def test_tensorrt_may_differ_by_a_share_of_the_range_of_golden_outputs(tmp_path: Path, model: bytes) -> None:
    for change, fits in ((0.01, True), (0.06, False)):
        tensorrt = opened(model, "")[0]
        loaded = bundle.load(write_bundle(tmp_path, change), "classifier", lambda _, given=tensorrt: given)
        if fits:
            assert loaded.replay() < 1
        else:
            with pytest.raises(GoldenError, match="on onnxruntime/tensorrt"):
                loaded.replay()


def test_providers_are_tried_in_order_until_one_computes(model: bytes) -> None:
    for plan, tried, runtime in (
        ("", ["tensorrt"], "onnxruntime/tensorrt"),
        ("tensorrt=library", ["tensorrt", "cuda"], "onnxruntime/cuda"),
        ("tensorrt=memory cuda=kernel", ["tensorrt", "cuda", "cpu"], "onnxruntime/cpu"),
    ):
        interpreter, fake = opened(model, plan)
        assert (fake.tried, interpreter.runtime.split(" ")[0]) == (tried, runtime)
        np.testing.assert_allclose(interpreter.run(PIXELS.astype(np.float32))[0], answers(PIXELS), atol=1e-5)


SAID = {
    "library": ("libnvinfer.so.10 is missing", "libcublasLt.so.13 is missing"),
    "version": (
        "another TensorRT: it needs libnvinfer.so.10, this machine has",
        "it needs libcublasLt.so.13",
    ),
    "driver": ("driver is older", "driver is older"),
    "device": ("device cannot be opened", "device cannot be opened"),
    "memory": ("out of memory", "out of memory"),
    "kernel": ("no kernel image", "no kernel image"),
}


@pytest.mark.parametrize("failure", SAID)
def test_every_failure_is_explained_and_logged(
    model: bytes, failure: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    interpreter, _ = opened(model, f"tensorrt={failure} cuda={failure}")
    assert [one.provider for one in interpreter.failures] == ["TensorRT", "CUDA"]
    assert {one.kind for one in interpreter.failures} == {failure}
    for one, said in zip(interpreter.failures, SAID[failure], strict=True):
        assert said in one.text
        assert one.fix
        assert f"falling back from {one.provider}: {one.text}; {one.fix}" in caplog.messages
    # What the library printed is in the log in fmd's words, and nowhere else.
    assert capfd.readouterr().err == ""


def test_the_fake_knows_every_kind_of_failure() -> None:
    assert {*SAID, "engine", "run"} == set(FAILURES)
    assert set(KINDS) | {"library", "version"} == {*SAID, "engine"}
    with pytest.raises(SettingsError, match=r"FMD_FAKE_PROVIDERS: tensorrt=fire: expected tensorrt or cuda, = and one"):
        plan_of("tensorrt=fire")


def test_auto_never_selects_the_fake(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [name for name, driver in RUNTIMES.items() if not driver.auto] == ["onnxruntime-cpu", "fake-onnxruntime"]
    monkeypatch.setenv("FMD_FAKE_PROVIDERS", "cuda=library")
    assert "fake" not in drivers.open_interpreter(model).runtime
    assert drivers.open_interpreter(model, 1, "fake-onnxruntime").runtime.endswith("-fake")


def test_an_engine_is_kept_by_model_tensorrt_and_gpu(model: bytes, tmp_path: Path) -> None:
    engines = tmp_path / "engines"
    opened(model, "", engines)
    (folder,) = engines.iterdir()
    assert folder.name == f"{bundle.sha256(model)[:12]}-tensorrt10.3.0-Fake-sm87"
    assert [file.name for file in folder.iterdir()] == [ENGINE]
    # After an update of JetPack the engine of the earlier version makes room.
    folder.rename(engines / folder.name.replace("10.3.0", "8.6.2"))
    opened(model, "", engines)
    assert [one.name for one in engines.iterdir()] == [folder.name]


def test_an_engine_that_cannot_be_read_is_built_again(model: bytes, tmp_path: Path) -> None:
    assert opened(model, "tensorrt=engine", tmp_path)[0].failures == ()  # none there yet
    interpreter, fake = opened(model, "tensorrt=engine", tmp_path)
    assert interpreter.runtime.startswith("onnxruntime/tensorrt")
    assert fake.tried == ["tensorrt", "tensorrt"]
    (failure,) = interpreter.failures
    assert (failure.kind, failure.fix) == ("engine", "")
    assert failure.text.endswith("it was built again")


def test_no_engine_is_kept_where_its_version_cannot_be_checked(model: bytes, tmp_path: Path) -> None:
    class Unknown(FakeNvidia):
        def gpu(self) -> str:
            return ""

    assert OnnxInterpreter(model, 1, FakeOnnxruntime({}), Unknown(), tmp_path).runtime.startswith(
        "onnxruntime/tensorrt"
    )
    assert list(tmp_path.iterdir()) == []


def test_lines_of_other_threads_are_not_lost_while_a_model_loads(
    model: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    class Busy(FakeOnnxruntime):
        def InferenceSession(self, *arguments: Any, **more: Any) -> Any:  # noqa: N802 (the real name)
            os.write(2, b"WARNING edge.drivers.mqtt: the broker is away\n")
            return super().InferenceSession(*arguments, **more)

    OnnxInterpreter(model, 1, Busy({"tensorrt": "library"}), FakeNvidia())
    assert capfd.readouterr().err == "WARNING edge.drivers.mqtt: the broker is away\n" * 2


def test_the_long_wait_for_an_engine_is_announced(
    model: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []

    class Watched(FakeOnnxruntime):
        def InferenceSession(self, *arguments: Any, **more: Any) -> Any:  # noqa: N802 (the real name)
            said.extend(caplog.messages)
            return super().InferenceSession(*arguments, **more)

    for expected in (["TensorRT builds an engine for this model, once; this takes minutes"], []):
        said.clear()
        caplog.clear()
        OnnxInterpreter(model, 1, Watched({}), FakeNvidia(), tmp_path)
        assert said == expected


def test_a_gpu_that_fails_later_is_an_expected_error(model: bytes) -> None:
    interpreter, _ = opened(model, "tensorrt=run")
    with pytest.raises(BundleError, match=r"onnxruntime/tensorrt .*: an inference failed: out of memory"):
        interpreter.run(PIXELS.astype(np.float32))


def test_a_package_without_gpu_providers_is_no_warning(model: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    interpreter = OnnxInterpreter(model)
    if "CUDAExecutionProvider" in __import__("onnxruntime").get_available_providers():
        pytest.skip("onnxruntime-gpu is here")
    assert [one.kind for one in interpreter.failures] == ["package", "package"]
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_what_is_no_model_is_refused_in_one_line() -> None:
    with pytest.raises(BundleError, match="cannot run this model") as caught:
        OnnxInterpreter(b"\x08\x08nonsense")
    assert "\n" not in str(caught.value)


def test_a_runtime_for_the_other_format_says_what_to_do(model: bytes, classifier_bundle: bundle.Bundle) -> None:
    with pytest.raises(BundleError, match=r"model.runtime: ai-edge-litert runs TFLite files, got a model in ONNX; set"):
        drivers.open_interpreter(model, 1, "ai-edge-litert")
    with pytest.raises(BundleError, match=r"model.runtime: onnxruntime runs ONNX files, .* --also onnx"):
        drivers.open_interpreter(classifier_bundle.flatbuffer, 1, "onnxruntime")


def test_a_missing_onnxruntime_is_reported_with_the_fix(monkeypatch: pytest.MonkeyPatch, model: bytes) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(RuntimeMissingError, match=r"model.runtime: onnxruntime cannot be imported .* pip install"):
        drivers.open_interpreter(model)


# What the machine has


def test_versions_of_libraries_are_found_where_jetpack_and_cuda_put_them(tmp_path: Path) -> None:
    for name in ("usr/lib/aarch64-linux-gnu/libnvinfer.so.10", "usr/local/cuda-12.6/targets/x/lib/libcublasLt.so.12"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0").touch()
    machine = Nvidia(tmp_path)
    assert machine.versions("libnvinfer") == ["10", "10.3.0"]
    assert machine.tensorrt() == "10.3.0"
    text = "Failed to load library x with error: libcublasLt.so.13: cannot open shared object file: No such file"
    assert explained("CUDA", [text], machine).text.endswith("needs libcublasLt.so.13, this machine has version 12")
    (tmp_path / "usr/lib/aarch64-linux-gnu/libnvinfer.so.8.6.2").touch()
    assert machine.tensorrt() == ""  # which of the two it will be is unknown


def test_the_gpu_is_named_by_cudas_driver(tmp_path: Path) -> None:
    def name(buffer: Any, size: int, device: object) -> int:
        buffer.value = b"Orin"
        return 0

    def attribute(value: Any, number: int, device: object) -> int:
        value._obj.value = {75: 8, 76: 7}[number]
        return 0

    cuda = SimpleNamespace(
        cuInit=lambda flags: 0,
        cuDeviceGet=lambda device, number: 0,
        cuDeviceGetName=name,
        cuDeviceGetAttribute=attribute,
    )
    assert Nvidia(tmp_path, lambda library: cuda).gpu() == "Orin sm87"
    cuda.cuInit = lambda flags: 100
    assert Nvidia(tmp_path, lambda library: cuda).gpu() == ""


def test_a_message_that_is_unknown_is_passed_on_without_its_decoration() -> None:
    line = "\x1b[1;31m2026-01-01 [E:onnxruntime:Default, a.cc:1 f] [ONNXRuntimeError] : 1 : FAIL : it rains\x1b[m"
    found = explained("CUDA", [line], FakeNvidia())
    assert (found.kind, found.text) == ("other", "it rains")
    unknown = CUDA_CALL.format(failure="999: unknown error")
    assert explained("CUDA", [unknown], FakeNvidia()).text == "CUDA failure 999: unknown error"


# Where engines lie


def test_engines_lie_in_a_folder_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths.os, "geteuid", lambda: 1234)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/someone/.cache")
    assert paths.engine_folder(tmp_path) == Path("/home/someone/.cache/fmd/engines")
    monkeypatch.setattr(paths.os, "geteuid", lambda: tmp_path.stat().st_uid or 1234)
    if tmp_path.stat().st_uid:
        assert paths.engine_folder(tmp_path) == tmp_path / "engines"
    # Engines are programs, and those that another user wrote must not run as root.
    monkeypatch.setattr(paths.os, "geteuid", lambda: 0)
    assert paths.engine_folder(tmp_path) is None
