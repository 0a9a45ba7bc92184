"""A Raspberry Pi's and a Jetson's header, and what hangs on it.

Pins: Raspberry Pi documentation, "GPIO and the 40-pin header"; for the Jetson the line names of Orin Nano's and Orin
NX's developer kit as ``gpioinfo`` lists them (the table in NVIDIA's Jetson.GPIO). The used pins of the Pi are those of
the default settings where there are any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from docs.draw import symbols
from docs.draw.svg import FAINT, INK, Point, Sheet

PI_PINS: Mapping[int, str] = {
    1: "3.3 V", 2: "5 V", 3: "GPIO2", 4: "5 V", 5: "GPIO3", 6: "GND", 7: "GPIO4", 8: "GPIO14", 9: "GND", 10: "GPIO15",
    11: "GPIO17", 12: "GPIO18", 13: "GPIO27", 14: "GND", 15: "GPIO22", 16: "GPIO23", 17: "3.3 V", 18: "GPIO24",
    19: "GPIO10", 20: "GND", 21: "GPIO9", 22: "GPIO25", 23: "GPIO11", 24: "GPIO8", 25: "GND", 26: "GPIO7",
    27: "GPIO0", 28: "GPIO1", 29: "GPIO5", 30: "GND", 31: "GPIO6", 32: "GPIO12", 33: "GPIO13", 34: "GND",
    35: "GPIO19", 36: "GPIO16", 37: "GPIO26", 38: "GPIO20", 39: "GND", 40: "GPIO21",
}  # fmt: skip
JETSON_PINS: Mapping[int, str] = {
    1: "3.3 V", 2: "5 V", 3: "I2C", 4: "5 V", 5: "I2C", 6: "GND", 7: "PAC.06", 8: "UART", 9: "GND", 10: "UART",
    11: "PR.04", 12: "PH.07", 13: "PY.00", 14: "GND", 15: "PN.01", 16: "PY.04", 17: "3.3 V", 18: "PY.03",
    19: "PZ.05", 20: "GND", 21: "PZ.04", 22: "PY.01", 23: "PZ.03", 24: "PZ.06", 25: "GND", 26: "PZ.07",
    27: "I2C", 28: "I2C", 29: "PQ.05", 30: "GND", 31: "PQ.06", 32: "PG.06", 33: "PH.00", 34: "GND",
    35: "PI.02", 36: "PR.05", 37: "PY.02", 38: "PI.01", 39: "GND", 40: "PI.00",
}  # fmt: skip
PI_USED: Mapping[str, int] = {"led": 11, "buzzer": 13, "relay": 15, "heartbeat": 18}
"""Pin of the header for each output; relay and heartbeat have no default, these are the documentation's proposal."""
JETSON_USED: Mapping[str, int] = {"led": 29, "buzzer": 31, "relay": 33, "heartbeat": 15}
COLOURS: Mapping[str, str] = {"led": "#c2410c", "buzzer": "#1d4ed8", "relay": "#7e22ce", "heartbeat": "#15803d"}
CAPTIONS: Mapping[str, str] = {
    "led": "LED, the alarm",
    "buzzer": "Buzzer, the alarm",
    "relay": "Relay, optional",
    "heartbeat": "Heartbeat LED, optional",
}
POWER, GROUND = "#dc2626", "#111111"
RED, GREEN = "#fca5a5", "#86efac"

PITCH = 27
LEFT, TOP = 112, 92
"""Where pin 1 is drawn."""


@dataclass(frozen=True, slots=True)
class Board:
    """A header: its pins' names, the pins used, and what is special about its outputs."""

    title: str
    names: Mapping[int, str]
    used: Mapping[str, int]
    strong: bool
    """Whether a pin can light an LED by itself; else a transistor stands between."""


PI = Board("Raspberry Pi 3, 4, 5", PI_PINS, PI_USED, True)
JETSON = Board("Jetson Orin Nano / NX developer kit", JETSON_PINS, JETSON_USED, False)


def pi() -> str:
    """The Raspberry Pi's wiring."""
    return _drawn(PI)


def jetson() -> str:
    """The Jetson's wiring."""
    return _drawn(JETSON)


def _drawn(board: Board) -> str:
    sheet = Sheet(1000, 740, f"Wiring of {board.title}")
    _header(sheet, board)
    rail, power = _ground_rail(sheet), _power_rail(sheet, 464 if board.strong else 610)
    for row, name in enumerate(("led", "buzzer", "relay", "heartbeat")):
        y = (160, 340, 488, 645)[row]
        start = _signal(sheet, board, name, y)
        if name == "relay":
            _relay(sheet, board, start, power, rail)
        elif name == "buzzer":
            _load(sheet, board, start, power, rail, None)
        elif board.strong:
            _lamp(sheet, start, rail, RED if name == "led" else GREEN)
        else:
            _load(sheet, board, start, power, rail, RED if name == "led" else GREEN)
        _caption(sheet, board, name, start)
    return sheet.svg()


def place(pin: int) -> Point:
    """Centre of a pin: odd ones on the left, pin 1 at the top."""
    return LEFT + PITCH * ((pin + 1) % 2), TOP + PITCH * ((pin - 1) // 2)


def _header(sheet: Sheet, board: Board) -> None:
    sheet.words(20, 30, board.title, 17, bold=True)
    sheet.words(20, 50, "seen from above, pin 1 at the square", 12, colour=FAINT)
    sheet.box(LEFT - 17, TOP - 17, PITCH + 34, 19 * PITCH + 34, fill="#1f2937")
    tags = {pin: COLOURS[name] for name, pin in board.used.items()} | {2: POWER, 39: GROUND}
    for pin, name in board.names.items():
        x, y = place(pin)
        colour = tags.get(pin, FAINT)
        if pin == 1:
            sheet.box(x - 8, y - 8, 16, 16, fill="#fde68a")
        else:
            sheet.circle(x, y, 8, fill=colour if pin in tags else "#fde68a")
        sheet.words(x, y + 3, str(pin), 8, "middle", "#ffffff" if pin in tags else INK)
        outward, anchor = (-24, "end") if pin % 2 else (24, "start")
        sheet.words(x + outward, y + 4, name, 11, anchor, colour, bold=pin in tags)


def _signal(sheet: Sheet, board: Board, name: str, y: float) -> Point:
    """The wire from a pin to its circuit: out between two rows of pins, then up or down. Returns its end."""
    pin = board.used[name]
    x, pin_y = place(pin)
    lane = 300 + 14 * list(board.used).index(name)
    # Between two rows of pins, so that it runs over no name.
    between = pin_y + PITCH / 2
    sheet.line([(x, pin_y), (x, between), (lane, between), (lane, y), (380, y)], COLOURS[name], 2.5)
    return 380, y


def _ground_rail(sheet: Sheet) -> float:
    """GND from pin 39 under the board to a rail on the right; returns where that stands."""
    x, y = place(39)
    sheet.line([(x, y), (x, 715), (960, 715), (960, 128)], GROUND, 2.5)
    sheet.words(966, 132, "GND", 12, bold=True)
    return 960


def _power_rail(sheet: Sheet, bottom: float) -> float:
    """5 V from pin 2 over the top to a rail that ends at ``bottom``; returns where that stands."""
    x, y = place(2)
    sheet.line([(x, y), (x, 64), (830, 64), (830, bottom)], POWER, 2.5)
    sheet.words(836, 60, "5 V", 12, colour=POWER, bold=True)
    return 830


def _lamp(sheet: Sheet, start: Point, rail: float, colour: str) -> None:
    """An LED straight on the pin: (3.3 V - 2 V) / 330 ohm = 4 mA."""
    x, y = symbols.resistor(sheet, *start, "330 Ω")
    x, y = symbols.led(sheet, x + 10, y, colour)
    sheet.line([(start[0] + 60, y), (start[0] + 70, y)])
    sheet.line([(x, y), (rail, y)], GROUND, 2)
    symbols.joint(sheet, rail, y, GROUND)
    sheet.words(x - 58, y + 30, "long leg", 11, "middle", FAINT)


def _load(sheet: Sheet, board: Board, start: Point, power: float, rail: float, lamp: str | None) -> None:
    """A buzzer or, where a pin can light none, an LED, switched by a transistor; off while the pin floats."""
    if board.strong:
        x, y = symbols.resistor(sheet, *start, "1 kΩ")
        sheet.line([(x, y), (x + 60, y)])
        upper, lower = symbols.npn(sheet, x + 60, y, "BC547")
        down = symbols.standing_resistor(sheet, x + 25, y, "10 kΩ")
    else:
        x, y = start
        sheet.line([(x, y), (x + 120, y)])
        upper, lower = symbols.nmos(sheet, x + 120, y, "AO3400")
        down = symbols.standing_resistor(sheet, x + 85, y, "100 kΩ")
    symbols.joint(sheet, down[0], y)
    ground = y + 50
    sheet.line([lower, (lower[0], ground), (rail, ground)], GROUND, 2)
    sheet.line([down, (lower[0], ground)], GROUND, 2)
    symbols.joint(sheet, lower[0], ground, GROUND)
    symbols.joint(sheet, rail, ground, GROUND)
    if lamp is None:
        _between_buzzer(sheet, upper, power)
    else:
        _between_lamp(sheet, upper, power, lamp)


def _between_buzzer(sheet: Sheet, upper: Point, power: float) -> None:
    x, top = upper[0], upper[1] - 60
    symbols.buzzer(sheet, x, top, "active buzzer, 5 V")
    sheet.line([(x, top + 50), upper])
    diode = symbols.standing_diode(sheet, x + 70, top, "1N4148")
    sheet.line([diode, (x, top + 50)])
    symbols.joint(sheet, x, top + 50)
    sheet.line([(x, top), (power, top)], POWER, 2)
    symbols.joint(sheet, x + 70, top, POWER)
    symbols.joint(sheet, power, top, POWER)


def _between_lamp(sheet: Sheet, upper: Point, power: float, colour: str) -> None:
    """(5 V - 2 V) / 330 ohm = 9 mA."""
    x, y = upper
    short_leg = symbols.led(sheet, x + 80, y, colour, towards=-1)
    sheet.line([short_leg, upper])
    end = symbols.resistor(sheet, x + 80, y, "330 Ω")
    sheet.line([end, (power, y)], POWER, 2)
    symbols.joint(sheet, power, y, POWER)
    sheet.words(x + 80, y + 20, "long leg at the resistor", 11, colour=FAINT)


def _relay(sheet: Sheet, board: Board, start: Point, power: float, rail: float) -> None:
    """A finished module: relay, transistor, diode and often an optocoupler on one board."""
    x, y = 500, start[1] - 42
    sheet.line([start, (x, start[1])], COLOURS["relay"], 2.5)
    sheet.box(x, y, 190, 84, fill="#f3e8ff")
    sheet.words(x + 8, start[1] + 4, "IN", 12)
    sheet.words(x + 95, y + 34, "relay module", 13, "middle", bold=True)
    needs = "taking 3.3 V at IN" if board.strong else "with a MOSFET at IN"
    sheet.words(x + 95, y + 52, needs, 11, "middle", FAINT)
    for shift, label, colour, to in ((18, "VCC", POWER, power), (66, "GND", GROUND, rail)):
        sheet.words(x + 182, y + shift + 4, label, 12, "end")
        sheet.line([(x + 190, y + shift), (to, y + shift)], colour, 2)
        symbols.joint(sheet, to, y + shift, colour)
    sheet.words(x + 95, y + 104, "contacts: siren, door opener; on a supply of their own", 11, "middle", FAINT)


def _caption(sheet: Sheet, board: Board, name: str, start: Point) -> None:
    pin = board.used[name]
    text = f"{CAPTIONS[name]}: {board.names[pin]}, pin {pin}"
    above = 104 if name == "buzzer" else 58 if board.strong or name == "relay" else 72
    sheet.words(380, start[1] - above, text, 14, colour=COLOURS[name], bold=True)
