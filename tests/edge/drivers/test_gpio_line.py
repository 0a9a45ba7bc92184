"""Lines through libgpiod, on the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.drivers import fake_gpiod
from edge.drivers.gpio_line import GpioLineOutput
from edge.errors import OutputError


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "gpiochip0").touch()
    (tmp_path / "gpiochip1").touch()
    fake_gpiod.reset()
    yield tmp_path
    fake_gpiod.reset()


def test_a_named_line_starts_off_follows_and_ends_off(devices: Path) -> None:
    output = GpioLineOutput("led", "PQ.05", True, fake_gpiod, devices)
    output.set(True)
    output.close()
    output.close()
    assert fake_gpiod.levels[8] == [0, 1, 0]
    assert not fake_gpiod.consumers


def test_an_active_low_line_is_high_while_off(devices: Path) -> None:
    output = GpioLineOutput("buzzer", "gpiochip1:12", False, fake_gpiod, devices)
    output.set(True)
    output.close()
    assert fake_gpiod.levels[12] == [1, 0, 1]


def test_a_busy_line_names_its_holder(devices: Path) -> None:
    fake_gpiod.consumers[8] = "spi0 CS0"
    with pytest.raises(OutputError, match=r"alert\.led_pin: PQ\.05 on .*gpiochip0 is in use by spi0 CS0"):
        GpioLineOutput("led", "PQ.05", True, fake_gpiod, devices)


def test_an_unknown_line_is_reported_with_the_chips_searched(devices: Path) -> None:
    with pytest.raises(OutputError, match=r"no line PZ\.99 on .*gpiochip0, .*gpiochip1; .*gpioinfo"):
        GpioLineOutput("led", "PZ.99", True, fake_gpiod, devices)


def test_a_machine_without_lines_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"no .*/gpiochip\*"):
        GpioLineOutput("led", "PQ.05", True, fake_gpiod, tmp_path)


def test_a_line_that_fails_is_released_anyway(devices: Path) -> None:
    output = GpioLineOutput("led", "PQ.05", True, fake_gpiod, devices)
    fake_gpiod.broken.add(8)
    with pytest.raises(OutputError, match=r"led: PQ\.05 no longer answers"):
        output.close()
    assert not fake_gpiod.consumers


@pytest.mark.parametrize("active_high", [True, False])
def test_a_pin_with_another_function_causes_one_warning(
    devices: Path, caplog: pytest.LogCaptureFixture, active_high: bool
) -> None:
    output = GpioLineOutput("led", "PQ.05", active_high, fake_gpiod, devices)
    fake_gpiod.elsewhere.add(8)
    for on in (True, False, True):
        output.set(on)
    warnings = [
        record
        for record in caplog.records
        if "reads off; check that the header pin is in GPIO mode" in record.getMessage()
    ]
    assert len(warnings) == 1


def test_a_pin_that_follows_causes_no_warning(devices: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = GpioLineOutput("led", "PQ.05", True, fake_gpiod, devices)
    for on in (True, False, True):
        output.set(on)
    assert not caplog.records
