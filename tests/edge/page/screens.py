"""Pictures of the page for its documentation: ``python -m tests.edge.page.screens docs``.

They show the demo's built-in scene, whose portrait is in the public domain, with the face blurred as everywhere.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tests.edge.page.browser import DESKTOP, PHONE, Browser, View, started

PATIENCE_S = 90.0
GAP, BEHIND = 24, (233, 237, 241)
"""Space between the phones of a picture, and its colour."""
NEAR_PX = 80
"""Width of a face that is close enough for the picture."""
QUALITY = 82


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


def main(folder: Path) -> None:
    """Write all pictures into ``folder``."""
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
