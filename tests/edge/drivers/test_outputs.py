"""One suite for every output driver: each keeps the contract of :class:`edge.contracts.Output`."""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge import config, drivers
from edge.contracts import Output
from edge.drivers.console import ConsoleOutput
from edge.drivers.gpio import GpioOutput
from edge.drivers.led_file import LedFileOutput
from edge.errors import OutputBusyError, OutputError
from simulation.outputs import RecordingOutput

Made = tuple[Output, Callable[[], list[bool]]]
"""An output, and what its line was in since it was made (true: active)."""


class Written:
    """A file that is a lamp, and every level written to it."""

    def __init__(self, path: Path) -> None:
        self.levels: list[bool] = []
        self.path = path
        path.write_text("0\n")

    def output(self, active_high: bool) -> LedFileOutput:
        written = self

        class Recording(LedFileOutput):
            def set(self, on: bool) -> None:
                super().set(on)
                written.levels.append(written.path.read_text() == f"{int(active_high)}\n")

        return Recording("led", str(self.path), active_high)

    def changes(self) -> list[bool]:
        return [level for i, level in enumerate(self.levels) if i == 0 or level is not self.levels[i - 1]]


@pytest.fixture(params=["console", "file", "file, active low", "gpiozero", "gpiozero, active low"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    if request.param.startswith("file"):
        written = Written(tmp_path / "brightness")
        return written.output(request.param == "file"), written.changes
    if request.param == "console":
        console = RecordingOutput("led", 17, True)
        return console, lambda: list(console.states)
    pins: Any = request.getfixturevalue("mock_pins")
    active_high = request.param == "gpiozero"
    output = GpioOutput("led", 17, active_high)
    made_at = len(pins.pin(17).states) - 1
    return output, lambda: [state.state is active_high for state in pins.pin(17).states[made_at:]]


def test_off_when_made(made: Made) -> None:
    _, states = made
    assert states() == [False]


def test_set_switches_on_and_off(made: Made) -> None:
    output, states = made
    for on in (True, True, False, True):
        output.set(on)
    assert states() == [False, True, False, True]


def test_close_switches_off_and_is_safe_twice(made: Made) -> None:
    output, states = made
    output.set(True)
    output.close()
    output.close()
    assert states() == [False, True, False]


def test_a_released_pin_can_be_opened_again(mock_pins: Any) -> None:
    for _ in range(3):
        GpioOutput("led", 17, True).close()


def test_a_pin_in_use_is_reported_with_its_setting(mock_pins: Any) -> None:
    first = GpioOutput("led", 17, True)
    with pytest.raises(OutputError, match=r"^alert\.buzzer_pin: GPIO17 is in use .*gpioinfo"):
        GpioOutput("buzzer", 17, True)
    first.close()


def test_a_pin_that_the_board_lacks_is_reported(mock_pins: Any) -> None:
    with pytest.raises(OutputError, match=r"^alert\.led_pin: GPIO99 cannot be driven"):
        GpioOutput("led", 99, True)


def test_an_empty_factory_variable_means_lgpio(monkeypatch: pytest.MonkeyPatch, mock_pins: Any) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "")
    GpioOutput("led", 17, True).close()
    assert os.environ["GPIOZERO_PIN_FACTORY"] == "lgpio"


def test_a_line_that_fails_while_on_is_reported_and_released(mock_pins: Any) -> None:
    """As when a USB GPIO board is pulled: switching off fails, the pin must be given up all the same."""
    output = GpioOutput("led", 17, True)
    output.set(True)
    mock_pins.pin(17).function = "input"  # the line is no output any more
    with pytest.raises(OutputError, match="GPIO17 cannot be driven"):
        output.set(False)
    with pytest.raises(OutputError, match="GPIO17 cannot be driven"):
        output.close()
    GpioOutput("led", 17, True).close()


def test_auto_selects_gpio_and_never_a_fake(mock_pins: Any) -> None:
    output = drivers.open_output(config.load(None, {"alert.driver": "auto"}).alert, "led", 17)
    assert isinstance(output, GpioOutput)
    output.close()


def test_auto_says_what_to_do_without_gpio(mock_pins: Any) -> None:
    taken = GpioOutput("led", 17, True)
    with pytest.raises(OutputError, match=r'to try fmd without GPIO set alert\.driver = "console"$'):
        drivers.open_output(config.load(None, {"alert.busy_s": 0.0}).alert, "led", 17)
    taken.close()


def test_console_is_a_fake_and_must_be_named() -> None:
    settings = config.load(None, {"alert.driver": "console", "alert.active_high": False}).alert
    output = drivers.open_output(settings, "buzzer", 27)
    assert isinstance(output, ConsoleOutput)
    assert (output.name, output.pin, output.active_high) == ("buzzer", 27, False)


def test_console_uses_no_more_memory_after_weeks() -> None:
    output = ConsoleOutput("led", 17, True)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for change in range(10_000):
            output.set(change % 2 == 0)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1000


def test_auto_opens_a_name_as_a_line_and_a_path_as_a_file() -> None:
    assert drivers.output_kind("auto", 17) == "gpiozero"
    assert drivers.output_kind("auto", "PQ.05") == "gpiod"
    for driver in ("auto", "gpiozero", "gpiod"):
        assert drivers.output_kind(driver, "/sys/class/leds/ACT/brightness") == "file"
    assert drivers.output_kind("console", "/sys/class/leds/ACT/brightness") == "console"


def test_the_relay_has_a_level_of_its_own(mock_pins: Any) -> None:
    settings = config.load(None, {"alert.relay_active_high": False}).alert
    relay, led = drivers.open_output(settings, "relay", 22), drivers.open_output(settings, "led", 17)
    assert (mock_pins.pin(22).state, mock_pins.pin(17).state) == (True, False)
    relay.close()
    led.close()


def test_a_busy_pin_is_waited_for(mock_pins: Any) -> None:
    """As when the fmd before this one is still letting go of it."""
    before, waited = GpioOutput("led", 17, True), []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            before.close()

    drivers.open_output(config.load().alert, "led", 17, pause).close()
    assert waited == [0.5, 0.5, 0.5]


def test_a_pin_that_stays_busy_fails_in_time(mock_pins: Any) -> None:
    taken, waited = GpioOutput("led", 17, True), list[float]()
    with pytest.raises(OutputBusyError, match=r"alert\.led_pin: GPIO17 is in use"):
        drivers.open_output(config.load().alert, "led", 17, waited.append)
    assert sum(waited) == config.load().alert.busy_s
    taken.close()


def test_a_pin_that_is_wrong_is_not_waited_for(mock_pins: Any) -> None:
    waited = list[float]()
    with pytest.raises(OutputError, match="GPIO99 cannot be driven"):
        drivers.open_output(config.load().alert, "led", 99, waited.append)
    assert not waited


def test_a_busy_pin_names_its_holder_if_the_kernel_does(mock_pins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """lgpio's line information, [status, GPIO, flags, name, user], on a stand-in for it."""
    asked = []
    library = SimpleNamespace(
        gpiochip_open=lambda chip: asked.append(chip) or 7,
        gpio_get_line_info=lambda handle, line: [0, line, 1, "GPIO17", "spi0 CS0"],
        gpiochip_close=asked.append,
    )
    monkeypatch.setitem(sys.modules, "lgpio", library)
    taken = GpioOutput("led", 17, True)
    with pytest.raises(OutputBusyError, match=r"GPIO17 is in use by spi0 CS0; stop spi0 CS0 first$"):
        GpioOutput("buzzer", 17, True)
    assert asked == [0, 7]
    taken.close()


def test_a_missing_led_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^alert\.led_pin: no such file: .*nowhere; .*/sys/class/leds"):
        LedFileOutput("led", str(tmp_path / "nowhere"), True)


def test_an_led_file_that_disappears_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "usb"
    folder.mkdir()
    (folder / "brightness").touch()
    output = LedFileOutput("led", str(folder / "brightness"), True)
    (folder / "brightness").unlink()
    folder.rmdir()
    with pytest.raises(OutputError, match=r"brightness: No such file"):
        output.set(True)


def _driver(root: Path, source: str, pin: int | str = 17, **changed: str) -> str:
    its = {"camera.source": source, **{f"alert.{key}": value for key, value in changed.items()}}
    return drivers.output_settings(config.load(None, its), pin, root).driver


@pytest.fixture
def pc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root folder of a PC: no device tree, no GPIO chip."""
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    (tmp_path / "dev").mkdir()
    return tmp_path


def test_recordings_on_a_pc_need_no_pins(pc: Path, clip: Path) -> None:
    for recording in (str(clip), str(clip.parent), "doorway"):
        assert _driver(pc, recording) == "console"
        assert _driver(pc, recording, "PQ.05") == "console"
    assert _driver(pc, "doorway", driver="gpiozero") == "gpiozero"
    assert _driver(pc, "doorway", "/sys/class/leds/capslock/brightness") == "auto"


@pytest.mark.parametrize("source", ["auto", "picamera2", "csi", "/dev/video0", "0", "rtsp://10.0.0.1/door"])
def test_a_live_camera_never_falls_back_to_the_console(pc: Path, source: str) -> None:
    assert _driver(pc, source) == "auto"


def test_one_live_camera_among_recordings_is_enough_to_need_pins(pc: Path) -> None:
    settings = config.load(None, {"camera.sources": {"a": "doorway", "b": "picamera2"}})
    assert drivers.output_settings(settings, 17, pc).driver == "auto"


def test_a_board_never_falls_back_to_the_console(pc: Path) -> None:
    (pc / "etc").mkdir()
    (pc / "etc/nv_tegra_release").touch()
    assert _driver(pc, "doorway") == "auto"
    (pc / "etc/nv_tegra_release").unlink()
    (pc / "proc/device-tree").mkdir(parents=True)
    (pc / "proc/device-tree/model").write_text("Raspberry Pi 4 Model B Rev 1.5\0")
    assert _driver(pc, "doorway") == "auto"


def test_a_pc_with_pins_of_its_own_uses_them(pc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pc / "dev/gpiochip0").touch()
    assert _driver(pc, "doorway", "PQ.05") == "auto"
    # The number is a Raspberry Pi's, which the chip of a laptop's touchpad does not have.
    assert _driver(pc, "doorway", 17) == "console"
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")
    assert _driver(pc, "doorway", 17) == "console"
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "pigpio")
    assert _driver(pc, "doorway", 17) == "auto"
