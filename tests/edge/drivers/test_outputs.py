"""One suite over every output driver: what :class:`edge.contracts.Output` promises, each of them keeps."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from edge import config, drivers
from edge.contracts import Output
from edge.drivers.console import ConsoleOutput
from edge.drivers.gpio import GpioOutput
from edge.errors import OutputError

Made = tuple[Output, Callable[[], list[bool]]]
"""An output, and what its line was in since it was made (true: active)."""


@pytest.fixture(params=["console", "gpiozero", "gpiozero, active low"])
def made(request: pytest.FixtureRequest) -> Made:
    if request.param == "console":
        console = ConsoleOutput("led", 17, True)
        return console, lambda: list(console.states)
    pins: Any = request.getfixturevalue("mock_pins")
    active_high = request.param == "gpiozero"
    output = GpioOutput("led", 17, active_high)
    made_at = len(pins.pin(17).states) - 1
    return output, lambda: [state.state is active_high for state in pins.pin(17).states[made_at:]]


def test_off_when_made(made: Made) -> None:
    _, states = made
    assert states() == [False]


def test_on_and_off_as_told(made: Made) -> None:
    output, states = made
    for on in (True, True, False, True):
        output.set(on)
    assert states() == [False, True, False, True]


def test_close_switches_off_and_may_come_twice(made: Made) -> None:
    output, states = made
    output.set(True)
    output.close()
    output.close()
    assert states() == [False, True, False]


def test_a_released_pin_may_be_taken_again(mock_pins: Any) -> None:
    for _ in range(3):
        GpioOutput("led", 17, True).close()


def test_a_pin_in_use_is_told_with_its_key(mock_pins: Any) -> None:
    first = GpioOutput("led", 17, True)
    with pytest.raises(OutputError, match=r"^alert\.buzzer_pin: GPIO17 is in use .*gpioinfo"):
        GpioOutput("buzzer", 17, True)
    first.close()


def test_a_pin_the_board_lacks_is_told(mock_pins: Any) -> None:
    with pytest.raises(OutputError, match=r"^alert\.led_pin: GPIO99 cannot be driven"):
        GpioOutput("led", 99, True)


def test_an_empty_name_of_a_factory_counts_as_none(monkeypatch: pytest.MonkeyPatch, mock_pins: Any) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "")
    GpioOutput("led", 17, True).close()
    assert "GPIOZERO_PIN_FACTORY" not in os.environ


def test_a_line_that_fails_while_on_is_told_and_released(mock_pins: Any) -> None:
    """As when a USB GPIO board is pulled: switching off fails, the pin must be given up all the same."""
    output = GpioOutput("led", 17, True)
    output.set(True)
    mock_pins.pin(17).function = "input"  # the line is no output any more
    with pytest.raises(OutputError, match="GPIO17 cannot be driven"):
        output.set(False)
    with pytest.raises(OutputError, match="GPIO17 cannot be driven"):
        output.close()
    GpioOutput("led", 17, True).close()


def test_auto_takes_gpio_and_never_a_fake(mock_pins: Any) -> None:
    output = drivers.open_output(config.load(None, {"alert.driver": "auto"}).alert, "led", 17)
    assert isinstance(output, GpioOutput)
    output.close()


def test_auto_says_what_to_do_without_gpio(mock_pins: Any) -> None:
    taken = GpioOutput("led", 17, True)
    with pytest.raises(OutputError, match=r'to try fmd without GPIO set alert\.driver = "console"$'):
        drivers.open_output(config.load().alert, "led", 17)
    taken.close()


def test_console_is_a_fake_and_must_be_named() -> None:
    settings = config.load(None, {"alert.driver": "console", "alert.active_high": False}).alert
    output = drivers.open_output(settings, "buzzer", 27)
    assert isinstance(output, ConsoleOutput)
    assert (output.name, output.pin, output.active_high) == ("buzzer", 27, False)
