"""Picture files with any name, and the rule that no file name reaches OpenCV unchecked."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.inference.picture_file import holds_more, read_bgr, write_rgb
from tests.edge.parts import ROOT, texture

LATIN_1 = os.fsdecode(b"T\xfcr")
PACKAGES = ("edge", "converter", "training", "simulation", "bench")
SOURCES = sorted(path for package in PACKAGES for path in ROOT.glob(f"{package}/**/*.py"))
OPENING = {"VideoCapture", "VideoWriter", "FaceDetectorYN.create", "readNetFromTensorflow", "readNetFromONNX"}
"""Functions of OpenCV that take a file name; its binding dereferences null for one that is not valid UTF-8."""


@pytest.mark.parametrize("name", ["a.png", f"{LATIN_1}.png", f"{LATIN_1}/{LATIN_1}.png", "日本.png"])
def test_a_picture_of_any_name_is_written_and_read(tmp_path: Path, name: str) -> None:
    path, picture = tmp_path / name, texture(48, 64)
    path.parent.mkdir(exist_ok=True)
    write_rgb(path, picture)
    np.testing.assert_array_equal(read_bgr(path), picture[:, :, ::-1])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_pixels_are_those_that_opencv_reads_itself(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), cv2.GaussianBlur(texture(48, 64), (0, 0), 2))
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE):
        np.testing.assert_array_equal(read_bgr(path, flags), cv2.imread(str(path), flags))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff"])
def test_other_files_are_no_pictures(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert read_bgr(path) is None


def test_a_missing_file_and_an_unknown_format_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_bgr(tmp_path / "a.jpg")
    with pytest.raises(cv2.error):
        write_rgb(tmp_path / "a.nosuch", texture(4, 4))
    with pytest.raises(FileNotFoundError):
        write_rgb(tmp_path / "nosuch" / "a.png", texture(4, 4))


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif", ".tiff"])
def test_files_with_several_pictures_are_recognised(tmp_path: Path, suffix: str) -> None:
    pictures = [cv2.GaussianBlur(texture(32, 32, seed), (0, 0), 2) for seed in range(2)]
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    if suffix == ".tiff":
        assert cv2.imwritemulti(str(two), pictures)
    else:
        animation = cv2.Animation()
        animation.frames, animation.durations = pictures, np.array([100, 100], np.int32)
        assert cv2.imwriteanimation(str(two), animation)
    assert cv2.imwrite(str(one), pictures[0])
    assert (holds_more(one.read_bytes()), holds_more(two.read_bytes())) == (False, True)
    # A cut file may lack what shows it, but is no error.
    assert {holds_more(two.read_bytes()[:end]) for end in range(64)} <= {False, True}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("control", [b"", b"\x21\xf9\x04\x04\x0a\0\0\0"])
def test_pictures_of_a_gif_count_with_and_without_a_block_of_timing(control: bytes, count: int) -> None:
    # A colour table of two, a comment, and pictures of one pixel; the first of them has its own colours.
    head = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + b"\x21\xfe\x02\x2c\x2c\0"
    place, pixel = b"\x2c\0\0\0\0\1\0\1\0", b"\2\2\x4c\1\0"
    first = control + place + b"\x80" + bytes(6) + pixel
    data = head + first + (control + place + b"\0" + pixel) * (count - 1) + b";"
    assert holds_more(data) is (count > 1)
    assert {holds_more(data[:end]) for end in range(len(data))} <= {False, True}


@pytest.mark.parametrize("share", [0.35, 0.9, 0.999])
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_that_is_cut_short_is_not_decoded(tmp_path: Path, share: float, progressive: int) -> None:
    path = tmp_path / "a.jpg"
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, 4]
    cv2.imwrite(str(path), texture(64, 64), options)
    data = path.read_bytes()
    assert read_bgr(path) is not None
    path.write_bytes(data[: int(share * len(data))])
    assert read_bgr(path) is None
    # A thumbnail in front has an end of its own; bytes behind the end belong to no picture.
    thumbnail = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    path.write_bytes(data[:2] + thumbnail + data[2 : int(share * len(data))])
    assert read_bgr(path) is None
    path.write_bytes(data[:2] + thumbnail + data[2:] + b"\xff\xda more")
    assert read_bgr(path) is not None


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a function of cv2, with its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)).startswith("cv2."):
            yield name.removeprefix("cv2.").removeprefix("dnn."), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_name_reaches_opencv_unchecked(path: Path) -> None:
    found = list(calls(path))
    assert [name for name, _ in found if name in ("imread", "imwrite", "imreadmulti", "imreadanimation")] == []
    # The pipeline of a Jetson's camera is built of numbers; every other one is a name that a person typed.
    if any(name in OPENING for name, _ in found) and path.name != "csi.py":
        assert "native_name(" in path.read_text()
