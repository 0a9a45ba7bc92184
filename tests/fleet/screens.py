"""Picture of a hub for the documentation: ``python -m tests.fleet.screens``. It needs Debian's Prometheus and Chromium.

Thirty simulated doors run for two minutes, then five of them have a fault each. The picture is Prometheus' own page,
with queries of the dashboards.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

from PIL import Image

from tests.edge.page.browser import View, started
from tests.edge.parts import ROOT

OUT = ROOT / "docs/fleet-alerts.png"
FAULTS = ("blind door-0003", "frozen door-0001", "silent door-0002", "outdated door-0004", "under-voltage door-0000")
BEFORE_S, AFTER_S, DRAWN_S = 120.0, 90.0, 15.0
VIEW = View(1100, 1400, "light")
QUERIES = (
    ('ALERTS{alertstate="firing",severity!="heartbeat",site=~".*"}', 1),
    ('sum by (door) (rate(fmd_frames_total{door=~"door-000[0-5]"}[1m]))', 0),
)
"""Query, and 1 for a table or 0 for a graph."""


def address(prometheus: str) -> str:
    """Return the address of the page that shows the queries."""
    found: dict[str, str] = {}
    for number, (query, tab) in enumerate(QUERIES):
        found |= {f"g{number}.expr": query, f"g{number}.tab": str(tab), f"g{number}.range_input": "4m"}
    return f"{prometheus}/classic/graph?{urllib.parse.urlencode(found)}"


def take(prometheus: str, out: Path) -> None:
    """Write the picture of a running hub, in few colours."""
    with started() as browser:
        browser.show(VIEW)
        browser.driver.get(address(prometheus))
        time.sleep(DRAWN_S)  # the page does not say when its graphs are complete
        browser.js("window.scrollTo(0, 0)")
        picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(64).save(out, optimize=True)


def main() -> None:
    command = [sys.executable, "-m", "simulation.fleet", "--serve", "--doors", "30", "--alone", "6", "--visit-s", "20"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        found = next(filter(None, (re.match(r"prometheus: (\S+)", line) for line in process.stdout)))
        try:
            time.sleep(BEFORE_S)
            print(*FAULTS, sep="\n", file=process.stdin, flush=True)
            time.sleep(AFTER_S)
            take(found[1], OUT)
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
