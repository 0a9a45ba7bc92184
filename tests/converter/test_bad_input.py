"""What cannot be converted is reported in one line, with what was wrong and what to do, and leaves no file behind."""

from __future__ import annotations

import json
import os
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from converter import Options, cli, convert
from converter.noise import ProgressLine
from converter.write import write
from edge.errors import ConversionError, exit_code_of

Made = Callable[[Path], Path]


def main(words: list[str]) -> int:
    """The command, its model opened in this process: a child would import TensorFlow for each test."""
    return cli.main(words, isolated=False)


def saved(path: Path, shape: tuple[int, ...], outputs: Callable[[Any], Any]) -> Path:
    import keras

    pixels = keras.Input(shape)
    keras.Model(pixels, outputs(pixels)).save(path)
    return path


def dense(units: int, activation: str | None) -> Callable[[Any], Any]:
    import keras

    return lambda x: keras.layers.Dense(units, activation=activation)(keras.layers.GlobalAveragePooling2D()(x))


def empty(folder: Path) -> Path:
    path = folder / "model.keras"
    path.touch()
    return path


def text(folder: Path) -> Path:
    path = folder / "model.keras"
    path.write_text("<html>404 Not Found</html>")
    return path


def git_lfs_pointer(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    return path


def foreign_zip(folder: Path) -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def cut_hdf5(folder: Path) -> Path:
    whole = saved(folder / "whole.h5", (8, 8, 3), dense(2, "softmax"))
    path = folder / "cut.h5"
    path.write_bytes(whole.read_bytes()[:3000])
    return path


def weights_alone(folder: Path) -> Path:
    import h5py

    path = folder / "only.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("dense/kernel", data=np.zeros((3, 2)))
    return path


def with_lambda(ending: str) -> Made:
    def make(folder: Path) -> Path:
        import keras

        def outputs(x: Any) -> Any:
            return dense(2, "softmax")(keras.layers.Lambda(lambda v: v / 255)(x))

        return saved(folder / f"model{ending}", (8, 8, 3), outputs)

    return make


def with_custom_layer(folder: Path) -> Path:
    import keras

    class Twice(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    return saved(folder / "model.keras", (8, 8, 3), lambda x: dense(2, "softmax")(Twice()(x)))


def with_nan(folder: Path) -> Path:
    import keras

    pixels = keras.Input((8, 8, 3))
    model = keras.Model(pixels, dense(2, "softmax")(pixels))
    model.layers[-1].set_weights([np.full((3, 2), np.nan), np.zeros(2)])
    model.save(folder / "model.keras")
    return folder / "model.keras"


def two_inputs(folder: Path) -> Path:
    import keras

    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    keras.Model([a, b], dense(2, "softmax")(keras.layers.Add()([a, b]))).save(folder / "model.keras")
    return folder / "model.keras"


def no_saved_model(folder: Path) -> Path:
    (folder / "exported").mkdir()
    return folder / "exported"


def tflite(folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))
    return path


def of(shape: tuple[int, ...], units: int, activation: str | None) -> Made:
    return lambda folder: saved(folder / "model.keras", shape, dense(units, activation))


MODELS: dict[str, tuple[Made, str]] = {
    "missing": (lambda folder: folder / "nothing.keras", "No such file"),
    "empty": (empty, "the file is empty"),
    "text": (text, "is a web page"),
    "git lfs pointer": (git_lfs_pointer, "git lfs pull"),
    "foreign zip": (foreign_zip, "is a zip that holds no model"),
    "cut hdf5": (cut_hdf5, "cut short or damaged"),
    "weights alone": (weights_alone, "holds weights and no model"),
    "lambda in keras": (with_lambda(".keras"), "--allow-code"),
    "lambda in hdf5": (with_lambda(".h5"), "--allow-code"),
    "custom layer": (with_custom_layer, "--custom-objects FILE.py"),
    "regression": (of((32, 32, 3), 1, None), "expected probabilities"),
    "logits": (of((32, 32, 3), 2, None), "keras.layers.Softmax"),
    "imagenet": (of((8, 8, 3), 1000, "softmax"), "has 1000 classes"),
    "two channels": (of((8, 8, 2), 2, "softmax"), "3 colour channels"),
    "channels first": (of((3, 8, 8), 2, "softmax"), "channels come first"),
    "two inputs": (two_inputs, "takes 2 inputs"),
    "nan weights": (with_nan, "NaN or infinity"),
    "folder": (no_saved_model, "without saved_model.pb"),
    "tflite": (tflite, "is a TFLite file already"),
}


@pytest.mark.parametrize("name", MODELS)
def test_bad_model_is_one_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, said = MODELS[name]
    source = make(tmp_path)
    _fails(
        ["--labels", "with_mask,without_mask", "--pixels", "0..255", str(source)], said, tmp_path / "out.tflite", capfd
    )


def _fails(words: list[str], said: str, target: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    before = {p for p in target.parent.iterdir() if p.name.startswith((".", target.name))}
    assert main([*words, "-o", str(target)]) == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert {p for p in target.parent.iterdir() if p.name.startswith((".", target.name))} == before


@pytest.mark.parametrize(("share", "said"), [(0.4, "cut short or damaged"), (0.99, "cut short or damaged")])
def test_cut_keras_file(
    softmax_keras: Path, share: float, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = softmax_keras.read_bytes()
    (tmp_path / "cut.keras").write_bytes(data[: int(len(data) * share)])
    _fails([str(tmp_path / "cut.keras")], said, tmp_path / "out.tflite", capfd)


def test_flipped_bit(softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(softmax_keras.read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "flipped.keras").write_bytes(data)
    _fails([str(tmp_path / "flipped.keras")], "cut short or damaged", tmp_path / "out.tflite", capfd)


STATED = ["--pixels", "0..255", "--colour", "RGB"]
OPTIONS: dict[str, tuple[list[str], str]] = {
    "too many labels": ([*STATED, "--labels", "a,b,c", "--compliant", "a"], "got 3 (a, b, c"),
    "a label twice": ([*STATED, "--labels", "mask,mask"], "expected 2 different names"),
    "an empty label": ([*STATED, "--labels", "mask,"], "expected 2 different names"),
    "foreign compliant": ([*STATED, "--labels", "with_mask,without_mask", "--compliant", "x"], "not among the labels"),
    "compliant unknown": ([*STATED, "--labels", "a,b"], "--compliant: the names a, b do not show"),
    "no labels": ([], "type one of these"),
    "no folder": (["--calibration", "/nowhere"], "no such folder"),
    "no pictures to calibrate on": (["--pictures", "0"], "expected 1 or more"),
    "negative proof": (["--proof", "-1"], "expected 0"),
    "negative seed": (["--seed", "-1"], "expected 0 or more"),
    "a gate that is no number": (["--agreement", "nan"], "expected numbers"),
    "margin": (["--crop-margin", "9"], "expected 0 to 2"),
    "no custom objects": (["--custom-objects", "/nowhere.py"], "cannot be read"),
    "a size of another": (["--size", "48"], "takes 32x32"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_option_is_one_line(
    name: str, softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words, said = OPTIONS[name]
    _fails([str(softmax_keras), *words], said, tmp_path / "out.tflite", capfd)


def empty_folder(folder: Path) -> None:
    (folder / "with_mask").mkdir()


def corrupt_pictures(folder: Path) -> None:
    for i in range(5):
        (folder / f"{i}.jpg").write_bytes(b"\xff\xd8\xff nothing")


def wrong_split(folder: Path) -> None:
    (folder / "split.csv").write_text("file,class\n1.jpg,with_mask\n")


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (empty_folder, "holds 0 pictures"),
        (corrupt_pictures, "cannot be read, and too few are left"),
        (wrong_split, "expected the columns image,label,split"),
    ],
)
def test_bad_calibration_folder(
    fill: Callable[[Path], None],
    said: str,
    softmax_keras: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pictures").mkdir()
    fill(tmp_path / "pictures")
    words = [str(softmax_keras), "--calibration", str(tmp_path / "pictures")]
    _fails(words, said, tmp_path / "out.tflite", capfd)


def test_bad_boxes(softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "boxes.csv").write_text("image,label\n1.jpg,with_mask\n")
    words = [str(softmax_keras), "--calibration", str(tmp_path / "boxes.csv")]
    _fails(words, "not a labelled box", tmp_path / "out.tflite", capfd)


def picture_that_claims(side: int) -> bytes:
    """A PNG of a few bytes whose header states ``side`` by ``side`` pixels; OpenCV raises an error for it."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_some_corrupt_pictures_are_left_out_and_reported(
    softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for i in range(12):
        image = np.random.default_rng(i).integers(0, 256, (32, 32, 3))
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "claims.png").write_bytes(picture_that_claims(100_000))
    words = [str(softmax_keras), "--labels", "with_mask,without_mask", "--pixels", "0..255", "--colour", "RGB"]
    words += ["--calibration", str(tmp_path)]
    code = main([*words, "--no-report", "--agreement", "0", "--mean-difference", "1", "-o", str(tmp_path / "m.tflite")])
    assert code == 0
    assert "left out 2 pictures that cannot be read" in capfd.readouterr().err


def test_broken_labels_file(softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model.keras"
    model.write_bytes(softmax_keras.read_bytes())
    (tmp_path / "class_indices.json").write_text(json.dumps({"a": "first"}))
    _fails([str(model), *STATED], "cannot be read as labels", tmp_path / "out.tflite", capfd)


@pytest.mark.parametrize(
    ("place", "said"),
    [("no/such/folder/m.tflite", "its folder does not exist"), ("there.tflite", "exists already"), ("", "is a folder")],
)
def test_bad_target(
    place: str, said: str, softmax_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.tflite").write_bytes(b"mine")
    assert main([str(softmax_keras), "-o", str(tmp_path / place)]) == 1
    assert said in capfd.readouterr().err
    assert (tmp_path / "there.tflite").read_bytes() == b"mine"


def test_place_that_takes_no_files(softmax_keras: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(softmax_keras), "-o", "/proc/m.tflite"]) == 1
    assert "cannot write there" in capfd.readouterr().err


def test_disk_that_fills_up_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "m.tflite"
    target.write_bytes(b"the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ConversionError, match="cannot write 5000 bytes"):
            write(target, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["m.tflite"]
    assert target.read_bytes() == b"the old one"


class Interrupted(ProgressLine):
    """Someone presses Ctrl-C while ``what`` is being counted."""

    def __init__(self, what: str) -> None:
        super().__init__(None)
        self._what = what

    def count(self, what: str, done: int, total: int) -> None:
        if what == self._what and done == total // 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("what", ["reading calibration pictures", "calibrating", "running TFLite"])
def test_interrupted_half_way(what: str, softmax_keras: Path, pictures: Path, tmp_path: Path) -> None:
    def body() -> int:
        convert(softmax_keras, Options(output=tmp_path / "m.tflite", calibration=pictures), Interrupted(what))
        return 0

    assert exit_code_of(body) == 130
    assert list(tmp_path.iterdir()) == []


def test_usage_is_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--scheme", "int4", "model.keras"])
    assert exit_.value.code == 2


def test_an_interrupt_while_the_file_is_written_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    target = tmp_path / "m.tflite"
    target.write_bytes(b"the old one")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(target, bytes(5000))
    assert [p.name for p in tmp_path.iterdir()] == ["m.tflite"]
    assert target.read_bytes() == b"the old one"


def test_a_pipe_is_refused_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "model.keras")
    assert main([str(tmp_path / "model.keras")]) == 1
    assert "is a pipe or a device" in capfd.readouterr().err


def test_too_few_labelled_pictures_are_named_as_the_reason(
    sigmoid_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for label, count in (("with_mask", 2), ("without_mask", 1)):
        (tmp_path / label).mkdir()
        for i in range(count):
            cv2.imwrite(str(tmp_path / label / f"{i}.png"), np.full((32, 32, 3), 90 * i, np.uint8))
    assert main([str(sigmoid_keras), "--calibration", str(tmp_path), "-o", str(tmp_path / "m.tflite")]) == 1
    assert "too few (2 of with_mask, 1 of without_mask; expected 8 or more of two classes)" in capfd.readouterr().err
