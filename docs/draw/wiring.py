"""Header of a Raspberry Pi and of a Jetson, with the circuit on it.

Pins: Raspberry Pi documentation, "GPIO and the 40-pin header"; for the Jetson the line names of the Orin Nano and Orin
NX developer kits as ``gpioinfo`` lists them (the table in NVIDIA's Jetson.GPIO). The Pi uses the pins of the default
settings where these name one. Transistor legs: onsemi data sheets of BC547 and 2N3904.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docs.draw import symbols
from docs.draw.svg import FAINT, INK, Point, Sheet
from docs.draw.symbols import Vertical

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
PI_USED: Mapping[str, int] = {"led": 11, "buzzer": 13, "relay": 15, "heartbeat": 18, "contact": 22}
"""Header pin of each output and of the contact: LED and buzzer by default, the others as the documentation proposes."""
JETSON_USED: Mapping[str, int] = {"led": 29, "buzzer": 31, "relay": 33, "heartbeat": 15, "contact": 37}
COLOURS: Mapping[str, str] = {
    "led": "#c2410c",
    "buzzer": "#1d4ed8",
    "relay": "#7e22ce",
    "heartbeat": "#15803d",
    "contact": "#0e7490",
}
CAPTIONS: Mapping[str, str] = {
    "led": "LED, the alarm",
    "buzzer": "Buzzer, the alarm",
    "relay": "Relay, optional",
    "heartbeat": "Heartbeat LED, optional",
    "contact": "Button or key switch, optional",
}
POWER, GROUND = "#dc2626", "#111111"
RED, GREEN = "#fca5a5", "#86efac"
ROWS: Mapping[str, float] = {"led": 160, "buzzer": 340, "relay": 488, "heartbeat": 645, "contact": 790}
"""Height of each circuit on the sheet."""
BOTTOM = 845
"""Height of the wire that takes GND to the right."""
POWER_X, GROUND_X = 830, 960
"""Places of the two supply rails."""

PITCH = 27
LEFT, TOP = 112, 92
"""Centre of pin 1 on the sheet."""


@dataclass(frozen=True, slots=True)
class Board:
    """Header with the names of its pins, the pins that fmd uses, and the strength of its outputs."""

    title: str
    names: Mapping[int, str]
    used: Mapping[str, int]
    strong: bool
    """Whether a pin can light an LED directly; otherwise a transistor switches it."""
    lanes: Sequence[str]
    """Outputs in the order of their wires, from the left: the order with the fewest crossings."""


PI = Board("Raspberry Pi 3, 4, 5", PI_PINS, PI_USED, True, ("contact", "heartbeat", "relay", "buzzer", "led"))
JETSON_LANES = ("contact", "led", "buzzer", "relay", "heartbeat")
JETSON = Board("Jetson Orin Nano / NX developer kit", JETSON_PINS, JETSON_USED, False, JETSON_LANES)


def pi() -> str:
    """Return the wiring of the Raspberry Pi as SVG."""
    return _drawn(PI)


def jetson() -> str:
    """Return the wiring of the Jetson as SVG."""
    return _drawn(JETSON)


def _drawn(board: Board) -> str:
    sheet = Sheet(1000, BOTTOM + 25, f"Wiring of {board.title}")
    header(sheet, board)
    _ground_rail(sheet)
    power = _power_rail(sheet, board)
    for name, y in ROWS.items():
        start = _signal(sheet, board, name, y)
        if name == "relay":
            _relay(sheet, board, start, power)
        elif name == "contact":
            _contact(sheet, board, start, power)
        elif name == "buzzer":
            _load(sheet, board, start, power, None)
        elif board.strong:
            _lamp(sheet, start, power, RED if name == "led" else GREEN)
        else:
            _load(sheet, board, start, power, RED if name == "led" else GREEN)
        _caption(sheet, board, name, start)
    return sheet.svg()


def place(pin: int) -> Point:
    """Return the centre of a pin: odd pins are on the left, pin 1 is at the top."""
    return LEFT + PITCH * ((pin + 1) % 2), TOP + PITCH * ((pin - 1) // 2)


def header(sheet: Sheet, board: Board) -> None:
    """Draw the header with the names of its pins, those that are used in their colours."""
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
    """Draw the wire from a pin to its circuit: out between two rows of pins, then up or down. Return its end."""
    x, pin_y = place(board.used[name])
    x_lane, between, _ = lane(board, name)
    crossed = [spanning(board, other) for other in board.used if other != name]
    path = [(x, pin_y), (x, between), (x_lane, between), (x_lane, y), (380, y)]
    symbols.wire(sheet, path, COLOURS[name], 2.5, crossed)
    return 380, y


def lane(board: Board, name: str) -> Vertical:
    """Return the vertical part of a signal's wire: x, where it starts and where it ends."""
    # Between two rows of pins, so that the wire does not cover a pin's name.
    between = place(board.used[name])[1] + PITCH / 2
    return 290 + 20 * board.lanes.index(name), between, ROWS[name]


def spanning(board: Board, name: str) -> Vertical:
    """Return the same part with its upper end first."""
    x, start, end = lane(board, name)
    return x, min(start, end), max(start, end)


def _ground_rail(sheet: Sheet) -> None:
    """Draw GND from pin 39 below the board to a rail on the right."""
    x, y = place(39)
    sheet.line([(x, y), (x, BOTTOM), (GROUND_X, BOTTOM), (GROUND_X, 128)], GROUND, 2.5)
    sheet.words(GROUND_X + 6, 132, "GND", 12, bold=True)


def _power_rail(sheet: Sheet, board: Board) -> Vertical:
    """Draw 5 V from pin 2 above the circuits to a rail; return the rail."""
    x, y = place(2)
    bottom = 464 if board.strong else 610
    sheet.line([(x, y), (x, 64), (POWER_X, 64), (POWER_X, bottom)], POWER, 2.5)
    sheet.words(POWER_X + 6, 60, "5 V", 12, colour=POWER, bold=True)
    return POWER_X, 64, bottom


def _ground(sheet: Sheet, points: Sequence[Point], power: Vertical) -> None:
    """Draw a wire to the GND rail; it crosses the 5 V rail without touching it."""
    y = points[-1][1]
    symbols.wire(sheet, [*points, (GROUND_X, y)], GROUND, 2, [power])
    symbols.joint(sheet, GROUND_X, y, GROUND)


def _lamp(sheet: Sheet, start: Point, power: Vertical, colour: str) -> None:
    """Draw an LED directly at the pin: (3.3 V - 2 V) / 330 ohm = 4 mA."""
    x, y = symbols.resistor(sheet, *start, "330 Ω")
    x, y = symbols.led(sheet, x + 10, y, colour)
    sheet.line([(start[0] + 60, y), (start[0] + 70, y)])
    _ground(sheet, [(x, y)], power)
    sheet.words(x - 58, y + 30, "long leg", 11, "middle", FAINT)


def _load(sheet: Sheet, board: Board, start: Point, power: Vertical, lamp: str | None) -> None:
    """Draw a buzzer or an LED that a transistor switches; the resistor to GND keeps it off while the pin floats."""
    if board.strong:
        x, y = symbols.resistor(sheet, *start, "1 kΩ")
        sheet.line([(x, y), (x + 60, y)])
        upper, lower = symbols.npn(sheet, x + 60, y, "BC547")
        _legs(sheet, x + 220, y - 22)
        down = symbols.standing_resistor(sheet, x + 25, y, "10 kΩ")
    else:
        x, y = start
        sheet.line([(x, y), (x + 120, y)])
        upper, lower = symbols.nmos(sheet, x + 120, y, "AO3400")
        down = symbols.standing_resistor(sheet, x + 85, y, "100 kΩ")
    symbols.joint(sheet, down[0], y)
    ground = y + 50
    _ground(sheet, [lower, (lower[0], ground)], power)
    sheet.line([down, (lower[0], ground)], GROUND, 2)
    symbols.joint(sheet, lower[0], ground, GROUND)
    if lamp is None:
        _between_buzzer(sheet, upper, power[0])
    else:
        _between_lamp(sheet, upper, power[0], lamp)


def _legs(sheet: Sheet, x: float, y: float) -> None:
    """Draw the legs of both transistors of the parts list: their order is opposite."""
    symbols.case(sheet, x, y, "BC547", "CBE")
    symbols.case(sheet, x + 90, y, "2N3904", "EBC")
    sheet.words(x + 45, y + 62, "flat side to the front, legs down", 11, "middle", FAINT)


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
    """Draw an LED from 5 V to the transistor: (5 V - 2 V) / 330 ohm = 9 mA."""
    x, y = upper
    short_leg = symbols.led(sheet, x + 80, y, colour, towards=-1)
    sheet.line([short_leg, upper])
    end = symbols.resistor(sheet, x + 80, y, "330 Ω")
    sheet.line([end, (power, y)], POWER, 2)
    symbols.joint(sheet, power, y, POWER)
    sheet.words(x + 80, y + 20, "long leg at the resistor", 11, colour=FAINT)


def _relay(sheet: Sheet, board: Board, start: Point, power: Vertical) -> None:
    """Draw a relay module: relay, transistor, diode and often an optocoupler on one board."""
    x, y = 500, start[1] - 42
    sheet.line([start, (x, start[1])], COLOURS["relay"], 2.5)
    sheet.box(x, y, 190, 84, fill="#f3e8ff")
    sheet.words(x + 8, start[1] + 4, "IN", 12)
    sheet.words(x + 95, y + 34, "relay module", 13, "middle", bold=True)
    needs = "accepts 3.3 V at IN" if board.strong else "with a MOSFET at IN"
    sheet.words(x + 95, y + 52, needs, 11, "middle", FAINT)
    for shift, label in ((18, "VCC"), (66, "GND")):
        sheet.words(x + 182, y + shift + 4, label, 12, "end")
    sheet.line([(x + 190, y + 18), (power[0], y + 18)], POWER, 2)
    symbols.joint(sheet, power[0], y + 18, POWER)
    _ground(sheet, [(x + 190, y + 66)], power)
    sheet.words(x + 95, y + 104, "contacts: siren or door opener, with its own supply", 11, "middle", FAINT)


def _contact(sheet: Sheet, board: Board, start: Point, power: Vertical) -> None:
    """Draw a contact from the pin to GND; a resistor keeps the pin high while it is open."""
    x, y = start
    if board.strong:
        sheet.words(x + 90, y + 30, "the resistor inside the Pi holds the pin at 3.3 V", 11, "start", FAINT)
    else:
        symbols.standing_resistor(sheet, x + 25, y - 50, "10 kΩ")
        symbols.joint(sheet, x + 25, y)
        sheet.words(x + 25, y - 56, "3.3 V, pin 17", 11, "middle", POWER)
    sheet.line([(x, y), (x + 60, y)])
    _ground(sheet, [symbols.switch(sheet, x + 60, y)], power)


def _caption(sheet: Sheet, board: Board, name: str, start: Point) -> None:
    pin = board.used[name]
    text = f"{CAPTIONS[name]}: {board.names[pin]}, pin {pin}"
    above = 104 if name == "buzzer" else 58 if board.strong or name == "relay" else 72
    if name == "contact":
        above = 24 if board.strong else 76
    sheet.words(380, start[1] - above, text, 14, colour=COLOURS[name], bold=True)
