"""What the screens show of the service's structs: words, drawings, changes."""

from __future__ import annotations

import msgspec
import pytest

from edge import config, settings
from edge.contracts import Signal
from edge.errors import SettingsError
from edge.messages import ArmingMessage, HealthMessage
from edge.page import accuracy, show_aim, show_health, show_live, show_settings, words
from edge.page_messages import (
    CameraView,
    DoctorReply,
    FindingView,
    LiveReply,
    PersonView,
    SettingsReply,
    SettingView,
    ShadowStateReply,
)

TRIANGLE = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))


def person(evidence: float = 0.5, box: tuple[float, float, float, float] = (0.1, 0.2, 0.3, 0.6)) -> PersonView:
    return PersonView(
        id=3, box=box, outcome="undecided", label="", words="not decided yet", evidence=evidence, observations=2,
        seconds=0.4, violated=False, face_px=50.0, score=0.9,
    )  # fmt: skip


def camera(name: str = "", people: tuple[PersonView, ...] = (), **more: object) -> CameraView:
    view = CameraView(
        name=name, state="running", health=HealthMessage("streaming", "", ""), hints=(), picture=1, age_s=0.1, per_s=15,
        width=1280, height=960, people=people, ignore=(), only=(), rotate=0, heat=False,
    )  # fmt: skip
    return msgspec.structs.replace(view, **more)


def reply(*cameras: CameraView, state: str = "running") -> LiveReply:
    return LiveReply(
        now="2026-11-30T09:00:00+00:00", state=state, arming=ArmingMessage(True, "default"), cameras=cameras,
        decisions=(), faces_until="", faces_allowed=False, version="1", board="", models=(), uptime_s=5,
    )  # fmt: skip


def test_every_state_of_the_door_has_a_word_and_a_colour() -> None:
    assert {"off", *(signal.state for signal in Signal)} == set(words.STATES)
    assert words.state_of("new_state").word == "New state"


def test_only_an_alarm_is_shown_as_an_alarm() -> None:
    alarming = {signal.state for signal in Signal if signal.alarming}
    assert {name for name, state in words.STATES.items() if state.tone == "alarm"} == alarming


def test_a_blind_camera_gives_its_reason() -> None:
    blind = camera(state="blind", health=HealthMessage("stalled", "no picture for 3 s", ""))
    assert show_live.live(reply(blind, state="blind")).sentence.endswith("No picture for 3 s.")


@pytest.mark.parametrize(("people", "said"), [(0, "No one is"), (1, "One person is"), (2, "2 people are")])
def test_people_in_view_are_counted(people: int, said: str) -> None:
    shown = show_live.live(reply(camera(people=(person(),) * people)))
    assert f"{said} in view." in shown.sentence


def test_without_a_camera_the_screen_is_empty() -> None:
    shown = show_live.live(reply())
    assert shown.camera.people == ()
    assert show_aim.aim(reply(), "", ()).ruler == ()


def test_the_evidence_fills_from_the_middle() -> None:
    assert show_live.bar_of(1.0, 100) == (50, 50, 50, "to-alarm")
    assert show_live.bar_of(-0.5, 100) == (25, 25, 50, "to-mask")
    assert show_live.bar_of(0.0, 100).width == 0


def test_a_box_is_drawn_in_units_of_the_drawing() -> None:
    shown = show_live.person_of(person(box=(0.25, 0.5, 0.5, 1.0)), 480)
    assert (shown.x, shown.y, shown.width, shown.height) == (160, 240, 160, 240)
    assert shown.anchor == "start"
    assert show_live.person_of(person(box=(0.9, 0.5, 1.0, 1.0)), 480).anchor == "end"


def test_times_of_today_have_no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    now = words.datetime.fromisoformat("2026-11-30T12:00:00+00:00")
    assert len(words.local("2026-11-30T11:59:00+00:00", now)) == len("12:59:00")
    assert words.local("2026-11-01T11:59:00+00:00", now).startswith("1 Nov, ")
    assert words.local("soon", now) == "soon"


@pytest.mark.parametrize(
    ("seconds", "said"), [(5, "5 s"), (125, "2 min"), (7500, "2 h 5 min"), (90000, "1 day 1 h"), (200000, "2 days 7 h")]
)
def test_durations(seconds: float, said: str) -> None:
    assert words.lasting(seconds) == said


def test_the_ruler_has_the_bands_of_the_measured_accuracy() -> None:
    bands = accuracy.bands()
    assert [int(band.name.split("-")[0].split("+")[0]) for band in bands] == list(show_aim.RULER_PX)
    assert all(50 < band.right <= band.found <= 100 for band in bands)


def test_a_square_is_as_wide_as_a_face_in_the_cameras_picture() -> None:
    squares = show_aim.ruler(1280, 480)
    assert [(square.px, square.size) for square in squares] == [(24, 12), (40, 20), (80, 40), (160, 80)]
    assert all(square.y + square.size == 480 - show_aim.MARGIN for square in squares)
    assert [square.px for square in show_aim.ruler(320, 480)] == [24, 40, 80]
    assert show_aim.ruler(0, 480) == ()


def test_a_rotation_of_the_only_camera() -> None:
    assert show_aim.rotation_changes(reply(camera()), "", 180) == {"camera.rotate": "180"}
    with pytest.raises(SettingsError, match="got 45"):
        show_aim.rotation_changes(reply(camera()), "", 45)


def test_a_rotation_of_one_of_several_cameras_keeps_those_of_the_others() -> None:
    changes = show_aim.rotation_changes(reply(camera("door", rotate=90), camera("hall")), "hall", 180)
    assert settings.value_of("camera.rotations", changes["camera.rotations"] or "") == {"door": 90, "hall": 180}


def test_regions_of_the_only_camera() -> None:
    drawn = msgspec.json.encode({"ignore": [TRIANGLE], "only": []}).decode()
    changes = show_aim.region_changes(reply(camera(only=(TRIANGLE,))), "", drawn)
    assert changes == {"watch.ignore": "[[[0.000, 0.000], [0.500, 0.000], [0.500, 0.500]]]", "watch.only": "[]"}


def test_regions_of_one_of_several_cameras_keep_those_of_the_others() -> None:
    both = reply(camera("door", ignore=(TRIANGLE,)), camera('the "hall"'))
    changes = show_aim.region_changes(
        both, 'the "hall"', msgspec.json.encode({"ignore": [TRIANGLE], "only": []}).decode()
    )
    found = settings.value_of("watch.ignore", changes["watch.ignore"] or "")
    assert set(found) == {"door", 'the "hall"'}
    assert changes["watch.only"] == "[]"


@pytest.mark.parametrize(
    "drawn",
    [
        "",
        "[]",
        '{"ignore":[[[0,0],[1,1]]],"only":[]}',
        '{"ignore":[[[0,0],[1,1],[2,0]]],"only":[]}',
        '{"a":1}',
        "[" * 9999,
    ],
)
def test_regions_that_no_script_of_the_page_sends(drawn: str) -> None:
    with pytest.raises(SettingsError, match="draw them again"):
        show_aim.region_changes(reply(camera()), "", drawn)


def setting(key: str, value: str, kind: str = "text", **more: str) -> SettingView:
    return SettingView(
        key=key, section=key.split(".")[0], comment="", value=value, default='""', kind=kind,
        origin=more.get("origin", "default"), access=more.get("access", "edit"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("text", '"auto"', "auto"),
        ("text", '""', ""),
        ("pin", "17", "17"),
        ("pin", '"PQ.05"', "PQ.05"),
        ("list", "[1.0]", "[1.0]"),
    ],
)
def test_a_value_is_shown_as_people_type_it_and_read_back(kind: str, value: str, shown: str) -> None:
    found = show_settings.setting(setting("alert.led_pin" if kind == "pin" else "camera.source", value, kind))
    assert found.value == shown


def test_what_is_typed_for_any_setting_is_its_value_again() -> None:
    for each in settings.listed(config.read(None)):
        if each.access == "secret":
            continue
        text = show_settings.shown(settings.text_of(each.value), each.kind)
        assert settings.value_of(each.key, text) == each.value, each.key


def test_secrets_and_the_command_lines_settings_have_no_control() -> None:
    for view in (
        setting("a.b", "set", access="secret"),
        setting("a.b", "1", access="read"),
        setting("a.b", "1", origin="command"),
    ):
        found = show_settings.setting(view)
        assert found.control == "none"
        assert found.closed


def test_an_error_stays_with_its_setting_and_opens_its_section() -> None:
    given = SettingsReply(settings=(setting("a.b", '"x"'), setting("a.c", '"x"'), setting("d.e", '""')))
    first, second = show_settings.sections(given, {"a.b": "got y"}, {"a.b": "y", "d.e": "z"})
    assert (first.open, first.problems, first.changed) == (True, 1, 2)
    assert (first.settings[0].problem, first.settings[0].value, first.settings[1].value) == ("got y", "y", "x")
    assert (second.open, second.settings[0].value) == (False, "z")


def test_every_section_of_the_settings_is_explained() -> None:
    assert set(config.load().__struct_fields__) - {"version"} == set(show_settings.SECTIONS)


def test_errors_of_the_doctor_come_first() -> None:
    order = ("ok", "warning", "new", "note", "error")
    found = tuple(FindingView(status=status, title=status, words="", fix="") for status in order)
    shown = show_health.health(reply(), ShadowStateReply(phase="none", words=""), DoctorReply(findings=found), None)
    assert [each.title for each in shown.findings] == ["error", "warning", "note", "new"]
    assert [each.title for each in shown.passed] == ["ok"]
    assert shown.summary == "1 error and 1 warning in 5 checks."
    assert show_health.summary(shown.passed) == "No error and no warning in 1 check."
