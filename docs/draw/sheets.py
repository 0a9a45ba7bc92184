"""Table of all drawings and generated tables, with their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.draw import board, breadboard, mounting, regions, signals, structure, terminal, wiring

FOLDER = Path(__file__).parents[1]
DRAWINGS: Mapping[str, Callable[[], str]] = {
    "wiring-pi.svg": wiring.pi,
    "wiring-jetson.svg": wiring.jetson,
    "breadboard.svg": breadboard.picture,
    "flash-terminal.svg": terminal.picture,
    "board-pi.svg": board.picture,
    "signals.svg": signals.picture,
    "mounting-side.svg": mounting.side_picture,
    "face-size.svg": mounting.sizes_picture,
    "regions.svg": regions.picture,
    "structure.svg": structure.picture,
}
TABLES: Mapping[str, Callable[[], str]] = {
    "signals": signals.table,
    "face-sizes": mounting.sizes_table,
    "resolutions": mounting.resolution_table,
    "angles": mounting.angles_table,
    "regions": regions.example,
}


def with_tables(text: str) -> str:
    """Return ``text`` with every section between ``<!-- table: NAME -->`` and ``<!-- end -->`` replaced."""

    def computed(found: re.Match[str]) -> str:
        return f"<!-- table: {found[1]} -->\n{TABLES[found[1]]()}<!-- end -->"

    return re.sub(r"<!-- table: ([a-z-]+) -->\n.*?<!-- end -->", computed, text, flags=re.DOTALL)
