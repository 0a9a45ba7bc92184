"""Every screen in Chromium: both sizes, both colour schemes, by keyboard, without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge import page_messages, settings
from edge.control import RefusedReply
from edge.messages import ArmingMessage
from edge.page.connections import TimedProtocol
from edge.page_messages import ArmRequest, ChangeRequest, ImportRequest, PictureRequest, ShadowStateReply, UploadRequest
from tests.edge.page.browser import DESKTOP, PHONE, VIEWS, Browser, View, started
from tests.edge.page.conftest import OWNER, Page, running
from tests.edge.parts import wait_for

SCREENS = ("/", "/aim", "/record", "/settings", "/health", "/health?checks=1")
STEPS = tuple(f"/first?step={step}" for step in range(1, 6))
FIRST_VIEW_BYTES = 100_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page with the real time limits, and a stand-in of the service."""
    with running(tmp_path_factory.mktemp("door"), protocol=TimedProtocol) as page:
        yield page


@pytest.fixture(scope="module")
def signed_in(door: Page, browser: Browser) -> Browser:
    """The browser, signed in as the owner. One session lasts for all tests."""
    browser.driver.get(f"{door.origin}/login")
    browser.one("#password").send_keys(OWNER, "\n")
    wait_for(lambda: browser.driver.find_elements("css selector", "#state"))
    return browser


@pytest.fixture
def owner(door: Page, signed_in: Browser) -> Browser:
    """The same browser, with the desktop's size and nothing left of the test before."""
    signed_in.leave()
    door.finish_recording()
    door.service.reset()
    signed_in.allow_scripts(True)
    signed_in.show(DESKTOP)
    return signed_in


def opened(browser: Browser, door: Page, path: str) -> None:
    browser.driver.get(door.origin + path)


def last_change(door: Page) -> ChangeRequest:
    """Wait until the service is asked to change settings, and return what it shall change."""
    wait_for(lambda: any(isinstance(each, ChangeRequest) for each in door.service.asked))
    change = next(each for each in door.service.asked[::-1] if isinstance(each, ChangeRequest))
    door.service.asked.clear()
    return change


def check(browser: Browser, door: Page, path: str, view: View) -> None:
    """Open a screen, and check what holds for every one."""
    browser.show(view)
    opened(browser, door, path)
    browser.js("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert browser.overflow() == 0, (path, view)
    assert browser.violations() == [], (path, view)
    assert browser.problems() == [], (path, view)


@pytest.mark.parametrize("path", SCREENS)
def test_a_screen_has_no_serious_problem(owner: Browser, door: Page, path: str) -> None:
    check(owner, door, path, PHONE)


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view.width}-{view.scheme}")
def test_no_screen_has_a_serious_problem_in_any_size_and_scheme(owner: Browser, door: Page, view: View) -> None:
    for path in (*SCREENS, *STEPS):
        check(owner, door, path, view)


def test_the_form_of_signing_in_has_no_serious_problem(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as door:
        check(browser, door, "/login", PHONE)


def test_the_state_changes_while_the_screen_is_open(owner: Browser, door: Page) -> None:
    opened(owner, door, "/")
    assert owner.text("#state .word") == "Alarm"
    wait_for(lambda: owner.js("return document.querySelector('[data-view] img').naturalWidth") == 640)
    wait_for(lambda: len(owner.driver.find_elements("css selector", "#drawing .violation .box")) == 1)
    door.service.arming = ArmingMessage(armed=False, source="command", by="<i>pi</i>")
    wait_for(lambda: owner.text("#arming") == "Disarmed by <i>pi</i>.")
    wait_for(lambda: owner.shows("form[action='/arm']"))
    wait_for(lambda: not owner.shows("form[action='/disarm']"))
    wait_for(lambda: not owner.shows("form[action='/mute']"))
    assert owner.problems() == []


def test_a_state_that_is_no_longer_known_is_not_shown(owner: Browser, door: Page) -> None:
    opened(owner, door, "/")
    wait_for(lambda: owner.js("return document.querySelector('[data-view] img').naturalWidth") == 640)
    door.service.refusal = "fmd reads its settings"
    try:
        wait_for(lambda: owner.text("#state .word") == "Off")
        wait_for(lambda: owner.text("#state .detail") == "fmd reads its settings")
        wait_for(lambda: owner.shows(".stopped"))
    finally:
        door.service.refusal = ""
    wait_for(lambda: owner.text("#state .word") == "Alarm")
    wait_for(lambda: not owner.shows(".stopped"))


def test_a_name_of_a_camera_is_no_html(owner: Browser, door: Page) -> None:
    opened(owner, door, "/")
    owner.driver.find_elements("css selector", ".tabs a")[1].click()
    wait_for(lambda: "<b>hall & door</b>" in owner.text(".tabs [aria-current]"))
    assert owner.driver.find_elements("css selector", "main b") == []


def test_everything_on_the_live_screen_works_by_keyboard(door: Page, browser: Browser) -> None:
    browser.allow_scripts(True)
    browser.show(DESKTOP)
    browser.driver.delete_all_cookies()
    opened(browser, door, "/")
    browser.press(OWNER, "\n")  # the field of the password has the focus
    wait_for(lambda: browser.driver.find_elements("css selector", "#state"))
    browser.tab_to(".skip")
    browser.press("\n")
    door.service.arming = ArmingMessage(armed=False, source="command")
    opened(browser, door, "/")
    browser.tab_to("form[action='/arm'] button")
    browser.press("\n")
    wait_for(lambda: any(isinstance(each, ArmRequest) for each in door.service.asked))
    wait_for(lambda: "armed" in browser.text("#said").lower())


def test_a_region_is_drawn_by_keyboard(owner: Browser, door: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(owner, door, "/aim")
    owner.tab_to("[data-do=ignore]")
    owner.press("\n")
    owner.press("\n", *[Keys.ARROW_RIGHT] * 4, "\n", *[Keys.ARROW_DOWN] * 4, "\n", "f")
    wait_for(lambda: owner.js("return document.activeElement.dataset.do") == "save")
    assert "Ignored region 2, 3 corners" in owner.text("[data-region-list]")
    owner.press("\n")
    change = last_change(door)
    assert "[[0.500, 0.500], [0.600, 0.500], [0.600, 0.600]]" in (change.changes["watch.ignore"] or "")


@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_a_region_is_drawn_by_pointer_and_another_is_deleted(owner: Browser, door: Page, kind: str) -> None:
    opened(owner, door, "/aim")
    owner.one("[data-do=delete]").click()
    owner.one("[data-do=only]").click()
    owner.tap("[data-view]", [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.25)], kind)  # the first again: closed
    assert "Watched region 1, 3 corners" in owner.text("[data-region-list]")
    owner.one("[data-do=save]").click()
    changes = last_change(door).changes
    assert changes.keys() == {"watch.ignore", "watch.only"}
    assert changes["watch.ignore"] == "[]"
    corners = settings.value_of("watch.only", changes["watch.only"] or "")[""][0]
    assert np.allclose(corners, [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75)], atol=0.01)


def test_a_buzzer_is_tested_by_keyboard_in_the_first_visit(owner: Browser, door: Page) -> None:
    opened(owner, door, "/first")
    for step in range(2, 5):
        owner.tab_to("a.button.main")
        owner.press("\n")
        wait_for(lambda step=step: f"step={step}" in owner.driver.current_url)  # type: ignore[misc]
    owner.tab_to("form[action='/test'] button")
    owner.press("\n")
    wait_for(lambda: "was on for a second" in owner.text("#said"))
    assert owner.driver.current_url.endswith("/first?step=4")
    assert any(
        isinstance(each, page_messages.TestOutputRequest) and each.output == "buzzer" for each in door.service.asked
    )


def test_a_refused_setting_shows_its_error_beside_it(owner: Browser, door: Page) -> None:
    opened(owner, door, "/settings#decide")
    owner.js("document.querySelector('[name=\"set.decide.error_rate\"]').name = 'set.decide.error'")
    owner.one("#decide button.main").click()
    wait_for(lambda: "no such setting" in owner.text("[role=alert]"))
    owner.one("#decide summary")


def test_a_setting_is_found_by_its_name(owner: Browser, door: Page) -> None:
    opened(owner, door, "/settings")
    owner.one("#find").send_keys("on_unsure")
    shown = [each for each in owner.driver.find_elements("css selector", "[data-setting]") if each.is_displayed()]
    assert [each.get_attribute("data-setting") for each in shown] == ["decide.on_unsure"]


def test_the_checks_come_after_the_screen(owner: Browser, door: Page) -> None:
    opened(owner, door, "/health")
    wait_for(lambda: "1 warning in 2 checks." in owner.text("#checks"))
    wait_for(lambda: "watching <door>" in owner.text("#log"))
    assert owner.problems() == []


def test_a_model_is_uploaded_and_its_shadow_run_shown(owner: Browser, door: Page, tmp_path: Path) -> None:
    (tmp_path / "mask.tflite").write_bytes(bytes(range(256)) * 300)
    opened(owner, door, "/health")
    owner.one("#model").send_keys(str(tmp_path / "mask.tflite"))
    door.service.shadow = ShadowStateReply(phase="shadow", words="412 of 1,000 observations, 98% agree", share=0.41)
    owner.one("[data-upload] button").click()
    wait_for(lambda: owner.text("[data-shadow-words]") == "412 of 1,000 observations, 98% agree")
    assert owner.shows("progress")
    pieces = [each.piece for each in door.service.asked if isinstance(each, UploadRequest)]
    assert b"".join(pieces) == (tmp_path / "mask.tflite").read_bytes()
    door.service.shadow = ShadowStateReply(phase="installed", words="mask.tflite is in use.")
    wait_for(lambda: owner.text("[data-shadow-words]") == "mask.tflite is in use.")
    wait_for(lambda: not owner.shows("progress"))
    assert owner.problems() == []


def test_an_exported_file_is_imported(owner: Browser, door: Page, tmp_path: Path) -> None:
    (tmp_path / "door.toml").write_text("[decide]\nerror_rate = 0.01\n", encoding="utf-8")
    opened(owner, door, "/settings")
    owner.one("#file").send_keys(str(tmp_path / "door.toml"))
    wait_for(lambda: "error_rate" in str(owner.js("return document.querySelector('#content').value")))
    owner.one("form[action='/settings/import'] button").click()
    wait_for(lambda: any(isinstance(each, ImportRequest) for each in door.service.asked))
    sent = next(each for each in door.service.asked if isinstance(each, UploadRequest))
    assert sent.piece.replace(b"\r\n", b"\n") == (tmp_path / "door.toml").read_bytes()


def test_thresholds_are_tried_and_applied(owner: Browser, door: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(owner, door, "/record")
    wait_for(lambda: owner.text("[data-before=unsure]") == "3")
    wait_for(lambda: owner.text("[data-after=unsure]") == "2")
    owner.tab_to("#slider-1")
    owner.press(Keys.ARROW_RIGHT)
    wait_for(lambda: owner.text("output[for=slider-1]") == "0.005")
    wait_for(lambda: owner.one("[data-apply]").is_enabled())
    owner.one("[data-apply]").click()
    change = last_change(door)
    assert change.changes == {"decide.error_rate": "0.005"}
    assert "/record" in owner.driver.current_url


def test_a_record_without_passages_has_no_thresholds_to_try(
    owner: Browser, door: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = RefusedReply(reason="no passages with evidence in the last 7 days")
    monkeypatch.setitem(door.service.answers, page_messages.TuneRequest, lambda request: refused)
    opened(owner, door, "/record")
    wait_for(lambda: owner.text("[data-tune-words]") == refused.reason)
    assert owner.text("[data-before=unsure]") == ""
    assert owner.problems() == []


def test_the_heat_map_is_shown_on_demand(owner: Browser, door: Page) -> None:
    opened(owner, door, "/")
    owner.one("a[href*='heat=1']").click()
    wait_for(lambda: any(isinstance(each, PictureRequest) and each.heat for each in door.service.asked))
    wait_for(lambda: "Heat map: red parts" in owner.text("main"))


def test_state_and_report_need_no_javascript(owner: Browser, door: Page) -> None:
    owner.allow_scripts(False)
    try:
        opened(owner, door, "/")
        assert owner.text("#state .word") == "Alarm"
        assert owner.shows("noscript img")
        assert not owner.shows("[data-view]")
        opened(owner, door, "/record?period=month")
        assert owner.text(".report") == "Report of a month."
        opened(owner, door, "/settings")
        assert owner.shows("#decide summary")
        opened(owner, door, "/health")
        owner.one("#checks a").click()
        wait_for(lambda: "1 warning in 2 checks." in owner.text("#checks"))
    finally:
        owner.allow_scripts(True)


def test_the_first_view_is_small(door: Page) -> None:
    client = door.signed_in()
    page = client.get("/").text
    assets = [part.split('"')[0] for part in page.split('"/static/')[1:]]
    sizes = [len(client.get(f"/static/{name}").content) for name in assets]
    assert len(sizes) == 3
    assert len(page.encode()) + sum(sizes) <= FIRST_VIEW_BYTES


def test_an_idle_visitor_sees_that_the_picture_has_stopped(owner: Browser, door: Page) -> None:
    opened(owner, door, "/")
    wait_for(lambda: owner.js("return document.querySelector('[data-view] img').naturalWidth") == 640)
    door.clock.now_s += 601
    wait_for(lambda: owner.shows(".stopped"))
    wait_for(lambda: owner.text("#state .word") == "Paused")
    owner.one(".stopped a").click()
    wait_for(lambda: owner.js("return document.querySelector('[data-view] img').naturalWidth") == 640)


def test_a_busy_door_has_all_its_people_drawn(owner: Browser, door: Page) -> None:
    crowd = tuple(msgspec.structs.replace(door.service.cameras[0].people[0], id=number) for number in range(40))
    before = door.service.cameras
    door.service.cameras = (msgspec.structs.replace(before[0], people=crowd), before[1])
    try:
        opened(owner, door, "/")
        wait_for(lambda: len(owner.driver.find_elements("css selector", "#people li")) == 40)
        wait_for(lambda: len(owner.driver.find_elements("css selector", "#drawing .box")) == 40)
    finally:
        door.service.cameras = before
