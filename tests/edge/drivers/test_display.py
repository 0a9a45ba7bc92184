"""The screen at the door on a virtual frame buffer: a plain file with the layout of one."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge import config, drivers
from edge.contracts import Image
from edge.drivers import frame_buffer
from edge.drivers.display import SIGNS, DoorScreen
from edge.drivers.frame_buffer import FrameBuffer, Layout, packed
from edge.errors import OutputError
from tests.edge.parts import texture

XRGB = Layout(800, 480, 800 * 4, 32, ((16, 8), (8, 8), (0, 8)))
"""As vc4 and most DRM drivers emulate it."""
RGB565 = Layout(480, 320, 480 * 2 + 64, 16, ((11, 5), (5, 6), (0, 5)))
"""As small displays on SPI have it, here with lines that are longer than their pixels."""
BGR24 = Layout(320, 200, 320 * 3, 24, ((0, 8), (8, 8), (16, 8)))


def seen(file: Path, layout: Layout) -> Image:
    """Return what a screen with this frame buffer shows, (H, W, 3) RGB."""
    lines = np.frombuffer(file.read_bytes(), np.uint8).reshape(layout.height, layout.line_bytes)
    size = layout.bits // 8
    parts = lines[:, : layout.width * size].reshape(layout.height, layout.width, size).astype(np.uint32)
    pixels: npt.NDArray[np.uint32] = (parts << (8 * np.arange(size, dtype=np.uint32))).sum(axis=2)
    channels = [((pixels >> offset) & ((1 << length) - 1)) << (8 - length) for offset, length in layout.colours]
    return np.stack(channels, axis=2).astype(np.uint8)


def screen_file(folder: Path, layout: Layout) -> Path:
    file = folder / "fb0"
    file.write_bytes(b"\xff" * layout.line_bytes * layout.height)
    return file


@pytest.mark.parametrize("layout", [XRGB, RGB565, BGR24])
def test_a_picture_arrives_in_its_colours(tmp_path: Path, layout: Layout) -> None:
    file, picture = screen_file(tmp_path, layout), texture(layout.height, layout.width)
    buffer = FrameBuffer(file, layout)
    buffer.show(picture)
    step = max(1 << (8 - length) for _, length in layout.colours)
    assert np.abs(seen(file, layout).astype(int) - picture.astype(int)).max() < step
    assert file.stat().st_size == layout.line_bytes * layout.height
    buffer.blank()
    assert not seen(file, layout).any()


def test_a_picture_of_another_size_is_scaled_and_the_end_is_dark(tmp_path: Path) -> None:
    file = screen_file(tmp_path, XRGB)
    buffer = FrameBuffer(file, XRGB)
    buffer.show(np.full((60, 100, 3), (10, 200, 30), np.uint8))
    assert np.array_equal(np.unique(seen(file, XRGB).reshape(-1, 3), axis=0), [[10, 200, 30]])
    buffer.close()
    buffer.close()
    assert not seen(file, XRGB).any()


def test_what_is_no_frame_buffer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        OutputError, match=r"^display\.device: .*nofb: No such file or directory; a screen has /dev/fb0"
    ):
        FrameBuffer(tmp_path / "nofb")
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    with pytest.raises(OutputError, match=r"^display\.device: .*plain: no frame buffer"):
        FrameBuffer(plain)
    with pytest.raises(OutputError, match="got 8 bits per pixel"):
        FrameBuffer(plain, Layout(8, 8, 8, 8, ((0, 8),) * 3))


def test_a_screen_that_goes_is_an_error_in_one_line(tmp_path: Path) -> None:
    buffer = FrameBuffer(Path("/dev/full"), XRGB)
    with pytest.raises(OutputError, match=r"^display\.device: /dev/full: No space left on device$"):
        buffer.show(texture(480, 800))
    buffer.close()


def test_the_structures_are_those_of_the_kernel(tmp_path: Path) -> None:
    """Sizes and offsets of linux/fb.h, as the compiler of this machine has them."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/usr/include/linux/fb.h").is_file():
        pytest.skip("no C compiler with linux/fb.h")
    source = """
#include <linux/fb.h>
#include <stddef.h>
#include <stdio.h>
int main(void) {
    printf("%zu %zu %zu %zu %zu %zu %d %d %d %d %d\\n", sizeof(struct fb_var_screeninfo),
           offsetof(struct fb_var_screeninfo, bits_per_pixel), offsetof(struct fb_var_screeninfo, red),
           offsetof(struct fb_var_screeninfo, blue), sizeof(struct fb_fix_screeninfo),
           offsetof(struct fb_fix_screeninfo, line_length), FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO, FBIOBLANK,
           FB_BLANK_UNBLANK, FB_BLANK_POWERDOWN);
    return 0;
}
"""
    (tmp_path / "fb.c").write_text(source)
    subprocess.run([compiler, "-o", tmp_path / "fb", tmp_path / "fb.c"], check=True)
    printed = subprocess.run([tmp_path / "fb"], capture_output=True, text=True, check=True).stdout
    line_length = bytearray(struct.calcsize(frame_buffer.FIXED))
    at = int(printed.split()[5])
    line_length[at : at + 4] = (1234).to_bytes(4, "little")
    assert struct.unpack(frame_buffer.FIXED, line_length)[frame_buffer.LINE_LENGTH] == 1234
    expected = (frame_buffer.VARIABLE_BYTES, 6 * 4, 8 * 4, 14 * 4, struct.calcsize(frame_buffer.FIXED), at)
    codes = (frame_buffer.GET_VARIABLE, frame_buffer.GET_FIXED, frame_buffer.BLANK, 0, frame_buffer.POWER_DOWN)
    assert tuple(map(int, printed.split())) == (*expected, *codes)


def open_screen(folder: Path, layout: Layout = XRGB, **changed: str) -> DoorScreen:
    file = screen_file(folder, layout)
    values = {"device": str(file), **changed}
    return DoorScreen(config.load(None, {f"display.{key}": value for key, value in values.items()}).display, layout)


@pytest.mark.parametrize("kind", SIGNS)
@pytest.mark.parametrize("layout", [XRGB, RGB565, Layout(1920, 1080, 7680, 32, XRGB.colours)])
def test_each_sign_is_its_colour_with_white_text_inside_the_screen(tmp_path: Path, kind: str, layout: Layout) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    open_screen(tmp_path, layout).show(kind, "Bitte tragen Sie Ihre Maske über Mund und Nase")
    shown = seen(tmp_path / "fb0", layout).astype(int)
    colour = np.array(SIGNS[kind][0])
    assert (np.abs(shown - colour).max(axis=2) <= 8).mean() > 0.5
    white = (shown >= 240).all(axis=2)
    assert 0.01 < white.mean() < 0.4
    # Nothing is cut off: the border is plain.
    border = np.concatenate([white[:8].ravel(), white[-8:].ravel(), white[:, :8].ravel(), white[:, -8:].ravel()])
    assert not border.any()


@pytest.mark.parametrize("text", ["Danke", "Ευχαριστώ", "Спасибо", "مرحبا", "x" * 80, "a b c d e f g h"])
def test_any_text_is_drawn_and_fits(tmp_path: Path, text: str) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    open_screen(tmp_path).show("thanks", text)
    white = (seen(tmp_path / "fb0", XRGB) >= 240).all(axis=2)
    assert not white[:, :4].any()
    assert not white[:, -4:].any()
    assert white.any()


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
def test_without_text_the_symbol_is_enough(tmp_path: Path, text: str) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    open_screen(tmp_path).show("thanks", text)
    assert (seen(tmp_path / "fb0", XRGB) >= 240).all(axis=2).any()


def test_a_font_that_is_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    (tmp_path / "font.ttf").write_text("no font")
    with pytest.raises(OutputError, match=r"^display\.font: .*font\.ttf: cannot be read as a font"):
        open_screen(tmp_path, font=str(tmp_path / "font.ttf"))


def test_the_settings_open_a_screen() -> None:
    settings = config.load(None, {"display.device": "/nonexistent/fb0"}).display
    with pytest.raises(OutputError, match=r"^display\.device: /nonexistent/fb0: No such file"):
        drivers.open_screen(settings)


def test_padding_of_lines_stays_dark() -> None:
    data = np.frombuffer(packed(np.full((320, 480, 3), 255, np.uint8), RGB565), np.uint8)
    assert not data.reshape(320, RGB565.line_bytes)[:, 960:].any()
