"""Outputs and contacts on any board's GPIO lines through libgpiod.

It serves Jetsons and Debian boards; gpiozero supports Raspberry Pis only.
A pin is the name of a line as ``gpioinfo`` lists it (``"PQ.05"``), or chip and offset (``"gpiochip1:12"``). On JetPack
6 a device-tree overlay must put the header pin into GPIO mode first (jetson-io).
"""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

from edge.drivers.library import import_library, pip_extra
from edge.errors import OutputBusyError, OutputError

log = logging.getLogger(__name__)


class GpioLineOutput:
    """Output on one line: off when made, off when closed.

    ``library`` is gpiod 2 or a module with its contract (:mod:`edge.drivers.fake_gpiod`); ``devices`` holds the chips.
    """

    def __init__(
        self, name: str, pin: str, active_high: bool, library: Any = None, devices: Path = Path("/dev")
    ) -> None:
        self._gpiod = library or import_library("gpiod", f"alert.{name}_pin", pip_extra("jetson"), OutputError)
        self._name, self._pin, self._closed, self._warned = name, pin, False, False
        chip, self._line = _find(self._gpiod, devices, f"alert.{name}_pin", pin)
        # Direction and level in one request: the line is never an output at an undefined level.
        settings = self._gpiod.LineSettings(
            direction=self._gpiod.line.Direction.OUTPUT,
            active_low=not active_high,
            output_value=self._gpiod.line.Value.INACTIVE,
        )
        where = f"alert.{name}_pin: {pin} on {chip}"
        self._request = _requested(self._gpiod, chip, self._line, settings, where, "driven")

    def set(self, on: bool) -> None:
        """Switch on or off. Raises OutputError if the line has disappeared."""
        value = self._gpiod.line.Value
        wanted = value.ACTIVE if on else value.INACTIVE
        try:
            self._request.set_value(self._line, wanted)
            level = self._request.get_value(self._line)
        except OSError as error:
            raise OutputError(f"{self._name}: {self._pin} no longer answers: {error.strerror}") from error
        if on and level is not wanted and not self._warned:
            # Only a warning: for an open drain, some chips report the level of the wire and not the requested one.
            self._warned = True
            log.warning(
                "alert.%s_pin: %s was switched on and reads off; check that the header pin is in GPIO mode (Jetson: "
                "jetson-io), and that no circuit pulls it",
                self._name,
                self._pin,
            )

    def close(self) -> None:
        """Switch off and release the line, even if switching off fails."""
        if self._closed:
            return
        self._closed = True
        try:
            self.set(False)
        finally:
            self._request.release()


class GpioLineInput:
    """Contact on one line. ``library`` and ``devices`` as for :class:`GpioLineOutput`."""

    def __init__(self, pin: str, pull: str, library: Any = None, devices: Path = Path("/dev")) -> None:
        gpiod = library or import_library("gpiod", "arm.pin", pip_extra("jetson"), OutputError)
        self._gpiod, self._pin, self._released = gpiod, pin, False
        chip, self._line = _find(gpiod, devices, "arm.pin", pin)
        # The kernel ignores a bias that the chip cannot set, as a Jetson's.
        bias = {"up": gpiod.line.Bias.PULL_UP, "down": gpiod.line.Bias.PULL_DOWN, "none": gpiod.line.Bias.AS_IS}
        settings = gpiod.LineSettings(direction=gpiod.line.Direction.INPUT, active_low=pull != "down", bias=bias[pull])
        self._request = _requested(gpiod, chip, self._line, settings, f"arm.pin: {pin} on {chip}", "read")

    def closed(self) -> bool:
        """Return whether the contact is closed. Raises OutputError if the line has disappeared."""
        try:
            return bool(self._request.get_value(self._line) is self._gpiod.line.Value.ACTIVE)
        except OSError as error:
            raise OutputError(f"arm.pin: {self._pin} no longer answers: {error.strerror}") from error

    def close(self) -> None:
        """Release the line."""
        if not self._released:
            self._released = True
            self._request.release()


def _requested(gpiod: Any, chip: str, line: int, settings: Any, where: str, done: str) -> Any:
    """Return the request of one line. Raises OutputError, which begins with ``where``; ``done`` is driven or read."""
    try:
        return gpiod.request_lines(chip, consumer="fmd", config={line: settings})
    except OSError as error:
        if error.errno == errno.EBUSY:
            holder = _holder(gpiod, chip, line)
            raise OutputBusyError(f"{where} is in use by {holder}; stop {holder} first") from error
        raise OutputError(
            f"{where} cannot be {done}: {error.strerror}; check that this user is in the group gpio"
        ) from error


def _find(gpiod: Any, devices: Path, setting: str, pin: str) -> tuple[str, int]:
    """Return chip and offset of a pin. Raises OutputError if no chip has it."""
    chips = sorted(str(path) for path in devices.glob("gpiochip*"))
    if not chips:
        raise OutputError(f"{setting}: this machine has no {devices}/gpiochip*, so no line {pin}")
    chip, sign, offset = pin.partition(":")
    if sign and offset.isdigit() and f"{devices}/{chip}" in chips:
        return f"{devices}/{chip}", int(offset)
    for path in chips:
        try:
            with gpiod.Chip(path) as opened:
                return path, int(opened.line_offset_from_id(pin))
        except (OSError, ValueError):  # this chip has no line of that name, or this user may not open it
            continue
    raise OutputError(f"{setting}: no line {pin} on {', '.join(chips)}; to list the lines: gpioinfo")


def _holder(gpiod: Any, chip: str, line: int) -> str:
    with gpiod.Chip(chip) as opened:
        return opened.get_line_info(line).consumer or "the kernel"
