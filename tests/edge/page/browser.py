"""Chromium, driven over its own protocol: sizes, colour schemes, keys, messages of the console, and axe-core."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
SERIOUS = ("serious", "critical")
"""Impacts of axe-core that count."""


class View(NamedTuple):
    """Size of the window in pixels, and the colour scheme that the visitor prefers."""

    width: int
    height: int
    scheme: str


PHONE, DESKTOP = View(360, 740, "light"), View(1280, 800, "dark")
VIEWS = (PHONE, PHONE._replace(scheme="dark"), DESKTOP._replace(scheme="light"), DESKTOP)


class Browser:
    """One window. Its profile lasts as long as the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def show(self, view: View) -> None:
        """Set size and colour scheme."""
        size = {"width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": view.width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": view.scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def allow_scripts(self, allowed: bool) -> None:
        """Switch JavaScript on or off, for pages that are opened from now on."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not allowed})

    def js(self, script: str, *arguments: object) -> Any:
        """Return the value of a script."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """Return the visible text of an element, "" without one. In one step: the page may replace it at any time."""
        return str(self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector)).strip()

    def shows(self, selector: str) -> bool:
        """Return whether any such element is visible. In one step as well."""
        found = "[...document.querySelectorAll(arguments[0])]"
        return bool(self.js(f"return {found}.some(each => each.checkVisibility())", selector))

    def leave(self) -> None:
        """Leave the page for an empty one, so that none of its messages comes later."""
        self.driver.get("about:blank")
        self.problems()

    def one(self, selector: str) -> Any:
        """Return the first element that a CSS selector finds."""
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        """Press keys, one after another, at whatever has the focus then: a new page may have come."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, selector: str, most: int = 200) -> None:
        """Press Tab until the element has the focus."""
        from selenium.webdriver.common.keys import Keys

        for _ in range(most):
            if self.js("return document.activeElement?.matches(arguments[0])", selector):
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{selector} cannot be reached by the keyboard")

    def tap(self, selector: str, places: Sequence[tuple[float, float]], kind: str) -> None:
        """Press at places within an element, which are shares of its width and height, by "mouse" or "touch"."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder
        from selenium.webdriver.common.actions.pointer_input import PointerInput

        box = self.js("const b = document.querySelector(arguments[0]).getBoundingClientRect(); return b", selector)
        for x, y in places:
            actions = ActionBuilder(self.driver, mouse=PointerInput(kind, kind))
            actions.pointer_action.move_to_location(
                round(box["x"] + x * box["width"]), round(box["y"] + y * box["height"])
            )
            actions.pointer_action.pointer_down().pointer_up()
            actions.perform()

    def problems(self) -> list[str]:
        """Return warnings and errors of the console since the last call."""
        found = self.driver.get_log("browser")
        return [each["message"] for each in found if each["level"] in ("WARNING", "SEVERE")]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return int(self.js("return document.documentElement.scrollWidth - innerWidth"))

    def violations(self) -> list[str]:
        """Return what axe-core calls serious or critical: rule, and the elements."""
        from axe_core_python.selenium import Axe

        found = Axe().run(self.driver)["violations"]
        return [
            f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in found if each["impact"] in SERIOUS
        ]


@contextmanager
def started() -> Iterator[Browser]:
    """Start Chromium without a window; skip the test where it is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; pip install '.[test]'")
    if not CHROMIUM or not DRIVER:
        pytest.skip("Chromium is not installed; apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # No sandbox: tests may run as root. It opens pages of this machine alone.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
