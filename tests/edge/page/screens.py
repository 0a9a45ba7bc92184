"""Pictures of the page and of a report for the documentation: ``python -m tests.edge.page.screens docs``.

The page shows the demo's built-in scene, whose portrait is in the public domain, with the face blurred as everywhere.
The report is of a simulated week, the same at every call.
"""

from __future__ import annotations

import io
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image

from edge.record import database, periods, report, report_html
from tests.edge.page.browser import DESKTOP, PHONE, Browser, View, started
from tests.edge.record.year import OPEN, Day, write_days

PATIENCE_S = 90.0
GAP, BEHIND = 24, (233, 237, 241)
"""Space between the phones of a picture, and its colour."""
NEAR_PX = 80
"""Width of a face that is close enough for the picture."""
QUALITY = 82
REPORT_WIDTH = 700


@contextmanager
def demo() -> Iterator[str]:
    """Run the demo; its address."""
    command = [sys.executable, "-m", "edge.commands.main", "page", "--demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = next(filter(None, (re.search(r"http://\S+/", line) for line in process.stdout)))
        try:
            yield found[0].rstrip("/")
        finally:
            process.terminate()


def shot(browser: Browser, address: str, view: View, ready: str = "") -> Image.Image:
    """Return a picture of a screen, as soon as the script ``ready`` returns true."""
    browser.show(view)
    browser.driver.get(address)
    if ready:
        wait(lambda: bool(browser.js(f"return {ready}")))
    time.sleep(0.3)  # the picture itself: it is up to a fifth of a second behind the boxes
    return Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")


def wait(ready: Callable[[], bool]) -> None:
    """Wait until ``ready`` returns true."""
    until_s = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Return pictures of one height beside each other."""
    width = sum(each.width + GAP for each in pictures) + GAP
    whole = Image.new("RGB", (width, pictures[0].height + 2 * GAP), BEHIND)
    x = GAP
    for each in pictures:
        whole.paste(each, (x, GAP))
        x += each.width + GAP
    return whole


def person(words: str) -> str:
    """Return the script that says whether a person close to the camera is decided, without a doubt, as ``words``."""
    near = f"(document.querySelector('#people')?.innerText.match(/Face (\\d+)/) || [])[1] > {NEAR_PX}"
    return f"{near} && !!document.querySelector('#people svg[aria-label=\"evidence: 100% towards {words}\"]')"


def simulated_week() -> str:
    """Return the report of a week in which fewer people wore a mask than in the one before, as HTML."""
    friday, saturday = 4, 5
    began = datetime(2026, 11, 16).astimezone()

    def like(number: int) -> Day:
        weekday = number % 7
        compliant = 0.93 if number < 7 else 0.82 if weekday == friday else 0.89
        return Day(passages=85 if weekday >= saturday else 300, compliant=compliant)

    with tempfile.TemporaryDirectory() as name:
        write_days(Path(name), began, 14, like, roll=False)
        with closing(sqlite3.connect(Path(name) / database.NAME)) as connection, connection:
            for day in range(14):
                morning, evening = (began + timedelta(days=day, hours=hour) for hour in OPEN)
                night = (evening, began + timedelta(days=day + 1, hours=OPEN[0]))
                spans = [("disarmed", *night)] if day else [("disarmed", began, morning), ("disarmed", *night)]
                connection.executemany(
                    "INSERT INTO spans VALUES(NULL,'',?,?,?,1)",
                    [(state, since.timestamp() * 1000, until.timestamp() * 1000) for state, since, until in spans],
                )
            connection.execute(
                "UPDATE spans SET ended = ended - 6000000 WHERE state = 'watching' AND began = ?",
                ((began + timedelta(days=9, hours=OPEN[0])).timestamp() * 1000,),
            )
            blind = [(began + timedelta(days=9, hours=OPEN[1], minutes=-part)).timestamp() * 1000 for part in (100, 0)]
            connection.execute("INSERT INTO spans VALUES(NULL,'','blind',?,?,1)", blind)
        with database.reading(Path(name)) as connection:
            found = report.make(connection, periods.week(began + timedelta(days=8)), began + timedelta(days=14))
    return report_html.page(found, "entrance")


def shot_of_report(browser: Browser, folder: Path) -> Image.Image:
    """Return a picture of the report above its table."""
    page = folder / "report.html"
    page.write_text(simulated_week(), encoding="utf-8")
    view = View(REPORT_WIDTH, 400, "light")
    browser.show(view)
    browser.driver.get(page.as_uri())
    height = int(browser.js("return [...document.querySelectorAll('h2')].at(-1).getBoundingClientRect().top"))
    return shot(browser, page.as_uri(), view._replace(height=height))


def main(folder: Path) -> None:
    """Write all pictures into ``folder``."""
    with started() as browser, tempfile.TemporaryDirectory() as name:
        few = shot_of_report(browser, Path(name)).quantize(128, method=Image.Quantize.MAXCOVERAGE)
        few.save(folder / "report-week.png", optimize=True)
    with demo() as address, started() as browser:
        desktop = DESKTOP._replace(scheme="light")
        live = shot(browser, f"{address}/", desktop, person("no mask"))
        phones = [
            shot(browser, f"{address}/", PHONE._replace(scheme="dark"), person("mask")),
            shot(browser, f"{address}/aim", PHONE, person("no mask")),
            shot(browser, f"{address}/settings#decide", PHONE),
        ]
    live.save(folder / "page-live.jpg", quality=QUALITY, optimize=True)
    side_by_side(phones).save(folder / "page-phone.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
