"""The committed drawings and tables are what their code generates, and their numbers are right."""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from docs.draw import breadboard, mounting, signals, symbols, wiring
from docs.draw.sheets import DRAWINGS, FOLDER, TABLES, with_tables
from docs.draw.svg import Sheet
from edge import config
from edge.stages.alert import lit


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_committed_drawing_is_what_the_code_draws(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == DRAWINGS[name](), "run: python -m docs.draw"


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.name)
def test_the_committed_tables_are_what_the_code_computes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == with_tables(text), "run: python -m docs.draw"


def test_every_table_and_every_drawing_is_on_a_page() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md"))
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in pages] == []
    assert [name for name in DRAWINGS if f"({name})" not in pages] == []
    assert {file.name for file in FOLDER.glob("*.svg")} == set(DRAWINGS)


def test_every_picture_has_a_command_that_makes_it() -> None:
    text = (FOLDER.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("\n## Pictures\n")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:docs|models)/[^`\s]+\.(?:svg|png|jpg))`", section)
    found = [path for folder in ("docs", "models") for path in (FOLDER.parent / folder).iterdir()]
    pictures = [f"{path.parent.name}/{path.name}" for path in found if path.suffix in (".svg", ".png", ".jpg", ".gif")]
    assert len(pictures) > 10
    assert [each for each in pictures if not any(fnmatch.fnmatch(each, name) for name in named)] == []


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_well_formed_and_stays_on_its_sheet(name: str) -> None:
    root = ElementTree.fromstring(DRAWINGS[name]())
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        points = [tuple(map(float, pair.split(","))) for pair in element.attrib.get("points", "").split()]
        if element.tag.endswith("text"):
            points.append((float(element.attrib["x"]), float(element.attrib["y"])))
        assert [point for point in points if not (0 <= point[0] <= width and 0 <= point[1] <= height)] == []


def test_words_cannot_break_out_of_a_drawing() -> None:
    sheet = Sheet(10, 10, "<a&b>")
    sheet.words(1, 1, '<script> & "quotes"')
    texts = [element.text for element in ElementTree.fromstring(sheet.svg()).iter()]
    assert {"<a&b>", '<script> & "quotes"'} <= set(texts)


def test_the_pis_pins_are_those_of_the_default_settings() -> None:
    alert = config.load().alert
    names = {name: wiring.PI_PINS[pin] for name, pin in wiring.PI_USED.items()}
    assert names["led"] == f"GPIO{alert.led_pin}"
    assert names["buzzer"] == f"GPIO{alert.buzzer_pin}"


def test_no_proposed_pin_is_pulled_up_at_the_start() -> None:
    """A Pi pulls GPIO 0 to 8 up until a program drives them."""
    for pin in wiring.PI_USED.values():
        assert int(wiring.PI_PINS[pin].removeprefix("GPIO")) > 8


@pytest.mark.parametrize("board", [wiring.PI, wiring.JETSON], ids=["pi", "jetson"])
def test_supply_and_ground_are_where_every_40_pin_header_has_them(board: wiring.Board) -> None:
    by_name = {name: {pin for pin, n in board.names.items() if n == name} for name in ("3.3 V", "5 V", "GND")}
    assert by_name == {"3.3 V": {1, 17}, "5 V": {2, 4}, "GND": {6, 9, 14, 20, 25, 30, 34, 39}}
    assert sorted(board.names) == list(range(1, 41))
    named = [name for name in board.names.values() if name.startswith(("GPIO", "P"))]
    assert len(named) == len(set(named))


def test_wires_out_of_the_header_do_not_run_on_one_another() -> None:
    for board in (wiring.PI, wiring.JETSON):
        rows = [(pin - 1) // 2 for pin in board.used.values()]
        assert len(rows) == len(set(rows))


def crossings(board: wiring.Board) -> list[tuple[str, str]]:
    """Pairs of signals whose wires cross between header and circuit."""
    found = []
    for name in board.used:
        x, start, end = wiring.lane(board, name)
        horizontals = [(wiring.LEFT, x, start), (x, 380, end)]
        for other in board.used:
            across, top, bottom = wiring.spanning(board, other)
            found += [(name, other) for left, right, y in horizontals if left < across < right and top < y < bottom]
    return found


@pytest.mark.parametrize("board", [wiring.PI, wiring.JETSON], ids=["pi", "jetson"])
def test_the_order_of_the_wires_has_the_fewest_crossings(board: wiring.Board) -> None:
    orders = [dataclasses.replace(board, lanes=order) for order in itertools.permutations(board.lanes)]
    assert len(crossings(board)) == min(len(crossings(other)) for other in orders)


def points_of(sheet: Sheet) -> list[tuple[float, float]]:
    root = ElementTree.fromstring(sheet.svg())
    pairs = " ".join(element.attrib.get("points", "") for element in root.iter()).split()
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in pairs)]


def test_a_wire_passes_over_one_that_it_crosses_and_over_no_other() -> None:
    sheet = Sheet(200, 200, "")
    symbols.wire(sheet, [(10, 50), (100, 50), (100, 90)], "#000", 1, [(40, 20, 80), (70, 60, 80), (100, 50, 90)])
    over = [(x, y) for x, y in points_of(sheet) if y < 50]
    assert min(over, key=lambda point: point[1]) == (40, 50 - symbols.HOP)
    assert all(abs(x - 40) <= symbols.HOP for x, _ in over)


def test_the_legs_of_the_two_transistors_are_in_opposite_order() -> None:
    texts = [element.text for element in ElementTree.fromstring(wiring.pi()).iter()]
    bc547, other = (texts.index(name, texts.index("BC547") + 1) for name in ("BC547", "2N3904"))
    assert texts[bc547 + 1 : other] == [None] * 2 + ["C", None, "B", None, "E"]
    assert [text for text in texts[other + 1 : other + 8] if text] == ["E", "B", "C"]


@pytest.mark.parametrize("signal", signals.MEANINGS)
def test_the_lanes_show_what_the_alert_does(signal: str) -> None:
    pattern = getattr(config.load().alert, f"led_{signal}")
    drawn = signals.spans(pattern, signals.SPAN_S)
    for hundredths in range(1, int(100 * signals.SPAN_S)):
        now_s = hundredths / 100 + 0.005
        assert any(start <= now_s < end for start, end in drawn) == lit(pattern, now_s), now_s


def test_a_face_has_the_width_the_pinhole_model_gives() -> None:
    """Camera Module 2: 3.04 mm of focal length on 3.674 mm of sensor, so 530 pixels of 640."""
    focal = mounting.LENSES[0].focal_px(640, 480)
    assert focal == pytest.approx(640 * 3.04 / 3.674, rel=0.01)
    assert mounting.face_px(focal, 2.0) == pytest.approx(focal * 0.075)


def test_a_wide_sensor_loses_its_sides_in_a_narrower_picture() -> None:
    lens = mounting.LENSES[1]
    across, down = lens.field(640, 480)
    assert down == pytest.approx(41.0)
    assert across < lens.across
    assert math.tan(math.radians(across / 2)) == pytest.approx(4 / 3 * math.tan(math.radians(41.0 / 2)))
    assert lens.field(1280, 720)[0] == pytest.approx(66.0, abs=1.0)


def test_the_angle_is_from_above_only_above() -> None:
    assert mounting.looking_down(2.6, 1.6, 1.0) == pytest.approx(45.0)
    assert mounting.looking_down(1.4, 1.6, 1.0) < 0


def test_the_lower_edge_of_the_view_meets_the_chin_at_the_nearest_distance() -> None:
    distance = mounting.nearest_m(2.1, 12.0, 24.3)
    chin = mounting.HEAD_M - mounting.CHIN_M
    assert mounting.looking_down(2.1, chin, distance) == pytest.approx(12.0 + 24.3)
    assert distance < 1.0  # the person at 1 m in the drawing is in view


CIRCUIT = {
    frozenset({"pin 2", "buzzer +", "1N4148 ring"}),
    frozenset({"pin 39", "LED short", "BC547 E", "10 kΩ other"}),
    frozenset({"pin 11", "330 Ω one"}),
    frozenset({"330 Ω other", "LED long"}),
    frozenset({"pin 13", "1 kΩ one"}),
    frozenset({"1 kΩ other", "BC547 B", "10 kΩ one"}),
    frozenset({"BC547 C", "buzzer -", "1N4148 other"}),
}
"""What the circuit diagram connects: legs of parts and pins of the header."""


def strip(hole: breadboard.Hole) -> str:
    """The strip of metal below a hole: half a column, or a rail."""
    row, column = hole
    return row if row in "+-" else f"{'upper' if row in 'abcde' else 'lower'} {column}"


def test_the_breadboard_connects_what_the_circuit_diagram_connects() -> None:
    joined = {strip(hole): {strip(hole)} for part in breadboard.PARTS for hole in part.legs.values()}
    on_strip: dict[str, set[str]] = {}
    for part in breadboard.PARTS:
        for leg, hole in part.legs.items():
            on_strip.setdefault(strip(hole), set()).add(f"{part.name} {leg}")
    for jumper in breadboard.JUMPERS:
        end = strip(jumper.end)
        if isinstance(jumper.start, int):
            on_strip.setdefault(end, set()).add(f"pin {jumper.start}")
            continue
        together = joined.setdefault(strip(jumper.start), {strip(jumper.start)}) | joined.setdefault(end, {end})
        for one in together:
            joined[one] = together
    nets = {
        frozenset(name for one in joined.get(strips, {strips}) for name in on_strip.get(one, ())) for strips in on_strip
    }
    assert nets == CIRCUIT


def test_no_hole_of_the_breadboard_is_used_twice() -> None:
    holes = [hole for part in breadboard.PARTS for hole in part.legs.values()]
    for jumper in breadboard.JUMPERS:
        holes += [end for end in (jumper.start, jumper.end) if not isinstance(end, int)]
    assert len(holes) == len(set(holes))
    assert all(1 <= column <= breadboard.COLUMNS and row in breadboard.ROWS for row, column in holes)
