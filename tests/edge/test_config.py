from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import config
from edge.config import DEFAULT_PATH, Settings
from edge.errors import SettingsError

SECTIONS = {field.name: field.type for field in msgspec.structs.fields(Settings)}
KEYS = [f"{section}.{field.name}" for section, type_ in SECTIONS.items() for field in msgspec.structs.fields(type_)]
WRONG: dict[type, Any] = {dict: "door", str: 1.5, bool: "yes", int: 1.5, float: "fast", tuple: "with_mask"}
"""A value of the wrong type for each type of default."""
OUT_OF_RANGE = {
    "camera.source": "",
    "camera.sources": {"front door": "auto"},
    "camera.rotations": {"door": 45},
    "camera.detect_source": "stream2",
    "camera.detect_sources": {"front door": "stream2"},
    "camera.fingerprints": {"door": "AB:CD"},
    "camera.width": 0,
    "camera.height": 100000,
    "camera.fps": 0.0,
    "camera.rotate": 45,
    "camera.rtsp_transport": "sctp",
    "camera.stall_s": -1.0,
    "camera.frozen_s": -1.0,
    "camera.frozen_stream_s": -1.0,
    "camera.dark_s": 0.0,
    "camera.dark_level": 256,
    "camera.flat_level": -1,
    "camera.open_s": 0.0,
    "camera.give_up_s": 0.0,
    "camera.simulate": "flood@3",
    "model.runtime": "onnx",
    "model.threads": 0,
    "watch.contrast": 256,
    "watch.awake_s": -0.1,
    "watch.still_s": 0.0,
    "watch.recheck_s": 0.0,
    "watch.ignore": [[[0.5]]],
    "watch.only": [[["left", "top"]]],
    "watch.static_s": -1.0,
    "detect.every_s": -0.1,
    "detect.undecided_s": -0.1,
    "detect.min_score": -0.1,
    "detect.start_score": 1.1,
    "detect.min_face_px": -1,
    "detect.max_face_px": 4097,
    "track.lost_s": 0.0,
    "track.reach": float("inf"),
    "classify.every_s": -1.0,
    "classify.settled_s": -1.0,
    "classify.at_once": 0,
    "decide.error_rate": 0.5,
    "sensor.driver": "thermometer",
    "sensor.bus": -1,
    "sensor.address": 120,
    "sensor.camera_field_deg": 5.0,
    "sensor.offset_deg": [0.0],
    "sensor.rotate": 45,
    "decide.temperature": 0.0,
    "decide.accept": [1],
    "decide.on_unsure": "panic",
    "decide.on_incorrect": "pass",
    "decide.unsure_after_s": 0.0,
    "decide.observation_s": float("nan"),
    "alert.driver": "relay",
    "alert.led_pin": 28,
    "alert.buzzer_pin": -1,
    "alert.relay_pin": 28,
    "alert.heartbeat_pin": 2.5,
    "alert.relay": "door",
    "alert.strike_s": 0.0,
    "alert.led_no_mask": [0.0],
    "alert.led_incorrect": [1.0, -1.0],
    "alert.led_unsure": 1.0,
    "alert.led_blind": [float("inf")],
    "alert.led_disarmed": [0.0],
    "alert.led_running": [0.1] * 17,
    "alert.led_fallback": [-0.1],
    "alert.led_examples": [-0.1],
    "alert.led_faces": [-0.1],
    "alert.buzzer_no_mask": ["on"],
    "alert.buzzer_incorrect": [True],
    "alert.buzzer_unsure": [61.0],
    "alert.buzzer_blind": [0.01],
    "alert.buzzer_running": "off",
    "alert.busy_s": 11.0,
    "alert.lease_s": float("inf"),
    "alert.longest_s": 0.0,
    "voice.device": "",
    "voice.every_s": 0.0,
    "display.device": "fb0",
    "display.thanks": "x" * 81,
    "display.please": "x" * 81,
    "display.waiting": "x" * 81,
    "display.show_s": 0.1,
    "display.blank_s": -1.0,
    "publish.name": "front door",
    "arm.pin": 28,
    "arm.contact": "lever",
    "arm.pull": "sideways",
    "publish.every_s": 0.0,
    "publish.pictures": "sharp",
    "publish.decisions": 0,
    "publish.queue": 0,
    "mqtt.port": 0,
    "mqtt.topic": "fmd/#",
    "mqtt.discovery_topic": "/homeassistant",
    "mqtt.configuration_url": "door.local:8080",
    "mqtt.suggested_area": "x" * 65,
    "metrics.port": 65536,
    "metrics.address": "",
    "notify.on": ["everything"],
    "notify.every_s": -1.0,
    "record.every_s": 0.0,
    "record.mb_a_day": 0.5,
    "record.mb_kept": 0.5,
    "record.passages_days": 0.5,
    "record.hours_years": 0.0,
    "record.examples": "all",
    "record.examples_kept": 0,
    "record.examples_days": 0.0,
    "report.weekly": "monday 7:00",
}
UNBOUNDED = {
    "record.keep",
    "page.show_faces",
    "arm.schedule",
    "arm.time_zone",
    "arm.trust_clock",
    "mqtt.commands",
    "camera.loop",
    "camera.ca_file",
    "camera.source_file",
    "camera.mirror",
    "camera.live",
    "model.detector",
    "model.classifier",
    "watch.gate",
    "sensor.camera",
    "sensor.mirror",
    "alert.active_high",
    "alert.relay_active_high",
    "voice.enabled",
    "voice.file",
    "display.font",
    "mqtt.host",
    "mqtt.username",
    "mqtt.password_file",
    "mqtt.tls",
    "mqtt.ca_file",
    "mqtt.discovery",
    "notify.urls",
    "notify.urls_file",
}
"""Any value of their type will do."""


def default_of(key: str) -> Any:
    section, _, name = key.partition(".")
    return msgspec.to_builtins(getattr(getattr(config.load(), section), name))


def written(folder: Path, text: str) -> Path:
    path = folder / "fmd.toml"
    path.write_text(text, encoding="utf-8")
    return path


def toml(key: str, value: Any) -> str:
    section, _, name = key.partition(".")
    plain = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
    return f"[{section}]\n{name} = {plain!r}\n".replace("'true'", "true").replace("'false'", "false")


def test_the_default_file_covers_every_key_and_no_other() -> None:
    found = re.findall(r"^(\w+) = |^\[(\w+)\]", DEFAULT_PATH.read_text(), re.MULTILINE)
    section, keys = "", []
    for key, header in found:
        section = header or section
        if key:
            keys.append(f"{section}.{key}")
    assert sorted(keys) == sorted(KEYS)


def test_the_default_file_has_a_comment_above_every_key() -> None:
    """Its own, or one it shares with the keys right above it."""
    commented = False
    for line in DEFAULT_PATH.read_text().splitlines():
        if line.startswith("#"):
            commented = True
        elif not line or line.startswith("["):
            commented = False
        # Pins say what they are by their names, under the comment at the file's top that says how they are counted.
        elif not line.startswith(("led_pin", "buzzer_pin", "relay_pin")):
            assert commented, f"no comment above: {line}"


def test_the_defaults_alone_are_valid() -> None:
    assert config.load() == config.load(DEFAULT_PATH)


def test_a_users_file_changes_what_it_names_and_keeps_the_rest(tmp_path: Path) -> None:
    settings = config.load(written(tmp_path, "[alert]\nled_pin = 5\n"))
    assert settings.alert.led_pin == 5
    assert settings.alert.buzzer_pin == config.load().alert.buzzer_pin
    assert settings.camera == config.load().camera


def test_the_command_line_is_laid_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[alert]\nled_pin = 5\nbuzzer_pin = 6\n")
    settings = config.load(path, {"alert.led_pin": 7})
    assert (settings.alert.led_pin, settings.alert.buzzer_pin) == (7, 6)


def test_a_file_from_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "fmd.toml"
    path.write_bytes(b"\xef\xbb\xbf[alert]\r\nled_pin = 5\r\n")
    assert config.load(path).alert.led_pin == 5


def test_several_cameras_take_what_they_share_and_are_live(tmp_path: Path) -> None:
    text = '[camera]\nwidth = 800\nsources = { door = "picamera2", hall = "rtsp://nvr/2" }\n'
    cameras = config.cameras(config.load(written(tmp_path, text)).camera)
    assert {name: (one.source, one.width, one.live) for name, one in cameras.items()} == {
        "door": ("picamera2", 800, True),
        "hall": ("rtsp://nvr/2", 800, True),
    }


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("display.device", "fb0", "a path such as /dev/fb0"),
        ("publish.name", "my door", "up to 64 letters, digits, - and _"),
        ("mqtt.topic", "/doors", "1 to 128 characters without # and +, of which / is not the first"),
        ("mqtt.configuration_url", "door", "a link such as http://door.local:8080/"),
        ("report.weekly", "mon 7", 'a day and time such as "mon 07:00"'),
        ("camera.sources", {"front door": "auto"}, "names of 1 to 32 letters, digits, - and _ for the cameras"),
        ("camera.rotations", {"door": 45}, "one of 0, 90, 180, 270"),
        ("watch.ignore", [[0.1, 0.2]], "a list of polygons, each a list of corners [x, y], as in"),
        ("arm.schedule", "daily", "a list, got text"),
        ("camera.fps", "fast", "a number, got text"),
        ("alert.led_pin", 28, "a whole number <= 27"),
        ("voice.enabled", "yes", "true or false, got text"),
    ],
)
def test_what_is_expected_is_in_words_of_the_settings_file(key: str, value: Any, expected: str) -> None:
    with pytest.raises(SettingsError, match=f"^command line: {key}: expected {re.escape(expected)}") as caught:
        config.load(None, {key: value})
    assert "regex" not in str(caught.value)
    assert "`" not in str(caught.value)


def test_one_camera_needs_no_name() -> None:
    camera = config.load().camera
    assert config.cameras(camera) == {"": camera}


@pytest.mark.parametrize("key", KEYS)
def test_a_wrong_type_names_file_key_and_expectation(tmp_path: Path, key: str) -> None:
    wrong = WRONG[type(default_of(key))]
    path = written(tmp_path, toml(key, wrong))
    with pytest.raises(SettingsError) as caught:
        config.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {key}: expected ")
    assert message.endswith(f"got {wrong!r}")


@pytest.mark.parametrize("key", OUT_OF_RANGE)
def test_a_value_out_of_range_names_key_and_expectation(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        config.load(None, {key: OUT_OF_RANGE[key]})
    message = str(caught.value)
    assert message.startswith(f"command line: {key}: ")
    assert message.endswith(f"got {OUT_OF_RANGE[key]!r}")
    assert "\n" not in message


def test_the_tables_of_this_test_cover_every_key() -> None:
    assert sorted([*OUT_OF_RANGE, *UNBOUNDED]) == sorted(KEYS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[alert]\nled_pni = 5\n", "unknown key alert.led_pni; did you mean led_pin?"),
        ("[alert]\nxyzzy = 5\n", "unknown key alert.xyzzy; known: driver, led_pin"),
        ("[alrt]\nled_pin = 5\n", "unknown section [alrt]; did you mean alert?"),
        ("version = 5\n[events]\nkeep = false\n", "unknown section [events]; it is now [record]"),
        ("alert = 5\n", "alert: got 5, expected a section; write [alert] on its own line"),
        ("[alert\n", "not valid TOML"),
        (
            "[camera]\nrotations = { hall = 91 }\n",
            "camera.rotations: expected one of 0, 90, 180, 270; got {'hall': 91}",
        ),
        ("[notify]\non = ['all']\n", "notify.on: expected one of violation, reminder, compliant, unsure, blind"),
        ("[publish]\nname = 'my door'\n", "publish.name: expected up to 64 letters, digits, - and _; got 'my door'"),
        ("[alert]\nled_pin = 27\n", "alert.buzzer_pin: the same pin as alert.led_pin (27)"),
        (
            "version = 5\n[decide]\naccept = ['with_incorrect_mask']\n",
            'decide.accept: got with_incorrect_mask, which has a key of its own; set decide.on_incorrect = "admit"',
        ),
        (
            "[sensor]\ndriver = 'amg8833'\ncamera = 'hall'\n",
            "sensor.camera: got 'hall', expected \"\" for the only camera",
        ),
        (
            "[sensor]\ndriver = 'amg8833'\n[camera]\nsources = { door = 'doorway', hall = 'doorway' }\n",
            "sensor.camera: got '', expected one of camera.sources (door, hall)",
        ),
        ("[arm]\npin = 17\n", "arm.pin: the same pin as alert.led_pin (17), expected another"),
        ("[arm]\npin = '17'\n", "arm.pin: got '17', expected a BCM number without quotes, or a line's name"),
        ("[arm]\nschedule = ['mon-fri 7-18']\n", "arm.schedule: got 'mon-fri 7-18', expected days and times, as in "),
        ("[arm]\nschedule = ['moo 07:00-18:00']\n", "arm.schedule: got 'moo 07:00-18:00', expected days and times"),
        ("[arm]\nschedule = ['mon 07:00-07:00']\n", "arm.schedule: got 'mon 07:00-07:00', expected days and times"),
        (
            "[arm]\ntime_zone = 'Europe/Berlim'\n",
            "arm.time_zone: got 'Europe/Berlim', which is no time zone of this machine; expected a name as in "
            '"Europe/Berlin" (timedatectl list-timezones). If it lists none: sudo apt install tzdata',
        ),
        ("[watch]\nstill_s = 2\n", "watch.still_s: got 2, expected less than track.lost_s (1.5)"),
        ("[detect]\nmin_score = 0.9\n", "detect.start_score: got 0.25, expected at least detect.min_score (0.9)"),
    ],
)
def test_an_error_in_a_file_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}: {said}")


def test_an_error_on_the_command_line_does_not_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^command line: alert\.led_pin: "):
        config.load(written(tmp_path, "[alert]\nbuzzer_pin = 6\n"), {"alert.led_pin": 99})


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"\xff\xfe[\x00", "not a text file in UTF-8; save it as one"), (b"[alert]\nled_pin = \x00\n", "not valid TOML")],
)
def test_a_file_of_other_bytes_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "fmd.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=why):
        config.load(path)


def test_an_unreadable_file_is_reported_with_the_systems_message(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the settings: No such file or directory"):
        config.load(tmp_path / "nowhere.toml")
    with pytest.raises(SettingsError, match="cannot read the settings: Is a directory"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("alert.led_pin=22", ("alert.led_pin", 22)),
        ("camera.loop=true", ("camera.loop", True)),
        ("camera.source=clip.mp4", ("camera.source", "clip.mp4")),
        ('camera.source="a = b"', ("camera.source", "a = b")),
        ("decide.accept=['respirator']", ("decide.accept", ["respirator"])),
        ("camera.source=a=b", ("camera.source", "a=b")),
    ],
)
def test_the_command_line_assigns_typed_values(text: str, wanted: tuple[str, Any]) -> None:
    assert config.parse_assignment(text) == wanted


@pytest.mark.parametrize("text", ["alert.led_pin", "led_pin=22", "=", ""])
def test_set_refuses_a_text_without_key_and_value(text: str) -> None:
    with pytest.raises(SettingsError, match=r"expected section\.key=value"):
        config.parse_assignment(text)


@pytest.mark.parametrize(
    ("driver", "pin", "expected"),
    [
        ("gpiod", 17, "a line's name"),
        ("gpiozero", "PQ.05", "a BCM number"),
        ("auto", "17", "a BCM number"),
        ("gpiod", "17", "a line's name"),
    ],
)
def test_a_pin_of_the_other_library_is_refused(driver: str, pin: int | str, expected: str) -> None:
    settings = {"alert.driver": driver, "alert.led_pin": pin, "alert.buzzer_pin": 4 if driver == "gpiod" else 27}
    with pytest.raises(SettingsError, match=rf"alert\.led_pin: got {pin!r}, expected {expected}"):
        config.load(None, settings)


def test_a_model_lies_beside_the_settings_that_name_it(tmp_path: Path) -> None:
    path = tmp_path / "fmd.toml"
    path.write_text('[model]\nclassifier = "mine.tflite"\ndetector = "/opt/theirs.tflite"\n')
    settings = config.load(path)
    assert settings.model.classifier == str(tmp_path / "mine.tflite")
    assert settings.model.detector == "/opt/theirs.tflite"
    assert config.load(None, {"model.classifier": "here.tflite"}).model.classifier == "here.tflite"


@pytest.mark.parametrize(("key", "value"), [("camera.stall_s", 6), ("alert.lease_s", 0.1)])
def test_times_beyond_the_limits_of_unit_and_alarm_are_refused(key: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"{re.escape(key)}: expected"):
        config.load(None, {key: value})


def test_an_unknown_choice_is_reported_with_all_choices() -> None:
    with pytest.raises(SettingsError, match="expected one of auto, gpiozero, gpiod, console; got 'consle'"):
        config.load(None, {"alert.driver": "consle"})


@pytest.mark.parametrize(
    ("name", "host", "wanted"),
    [
        ("front", "pi-1", "front"),
        ("", "pi-1", "pi-1"),
        ("", "pi-1.example.org", "pi-1"),
        ("", "t\u00fcr 1", "t-r-1"),
        ("", "", "door"),
        ("", 70 * "a", 64 * "a"),
    ],
)
def test_a_door_without_a_name_has_that_of_its_host(name: str, host: str, wanted: str) -> None:
    assert config.door_name(config.load(None, {"publish.name": name}).publish, host) == wanted


def test_the_largest_face_is_larger_than_the_smallest() -> None:
    with pytest.raises(
        SettingsError, match=r"detect\.max_face_px: got 20, expected 0 or more than detect\.min_face_px"
    ):
        config.load(None, {"detect.max_face_px": 20})
    assert config.load(None, {"detect.max_face_px": 20, "detect.min_face_px": 0}).detect.max_face_px == 20


SQUARE = [[0.1, 0.1], [0.4, 0.1], [0.4, 0.4], [0.1, 0.4]]


@pytest.mark.parametrize("key", ["watch.ignore", "watch.only"])
@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        (SQUARE[:2], "polygon 2: got 2 corners, expected 3 to 32"),
        ([[i / 40, (i % 2) / 2] for i in range(33)], "polygon 2: got 33 corners, expected 3 to 32"),
        ([[320, 0], [640, 0], [640, 480]], r"polygon 2: got the corner \[320, 0\], expected shares of the picture"),
        ([[0.1, -0.1], [0.4, 0.1], [0.4, 0.4]], r"polygon 2: got the corner \[0.1, -0.1\]"),
        ([[float("nan"), 0.1], [0.4, 0.1], [0.4, 0.4]], r"polygon 2: got the corner \[nan, 0.1\]"),
        ([SQUARE[i] for i in (0, 2, 1, 3)], r"polygon 2: the edge from \[0.1, 0.1\] to \[0.4, 0.4\] crosses the one"),
        ([[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]], "polygon 2: it has no area"),
        ([SQUARE[0]] * 4, "polygon 2: it has no area"),
    ],
)
def test_a_polygon_that_cannot_be_meant_is_refused(key: str, polygon: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"^command line: {key}: {said}"):
        config.load(None, {key: [SQUARE, polygon]})


def test_too_many_polygons_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"watch\.ignore: got 17 polygons, expected at most 16"):
        config.load(None, {"watch.ignore": [SQUARE] * 17})


def test_polygons_of_several_cameras_are_named_by_camera(tmp_path: Path) -> None:
    several = {"camera.sources": {"door": "picamera2", "hall": "rtsp://x/"}}
    text = (
        f'[camera]\nsources = {{ door = "picamera2", hall = "rtsp://x/" }}\n[watch]\nignore = {{ hall = [{SQUARE}] }}\n'
    )
    settings = config.load(written(tmp_path, text))
    square = tuple(map(tuple, SQUARE))
    assert config.regions(settings, "hall") == ((square,), ())
    assert config.regions(settings, "door") == ((), ())
    with pytest.raises(SettingsError, match=r"without a camera, expected them by its name, as in \{ door = "):
        config.load(None, {**several, "watch.ignore": [SQUARE]})
    with pytest.raises(SettingsError, match=r"got the camera 'yard', expected one of camera\.sources \(door, hall\)"):
        config.load(None, {**several, "watch.only": {"yard": [SQUARE]}})
    with pytest.raises(SettingsError, match=r"got the camera 'hall', expected a list of polygons for the only camera"):
        config.load(None, {"watch.only": {"hall": [SQUARE]}})
    one = config.load(None, {"watch.only": [SQUARE], "watch.ignore": [[[0, 0], [1, 0], [1, 1]]]})
    assert config.regions(one, "") == ((((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),), (square,))


def test_a_picture_takes_at_least_ten_seconds() -> None:
    assert config.load(None, {"watch.static_s": 10}).watch.static_s == 10
    with pytest.raises(SettingsError, match=r"^command line: watch\.static_s: got 9\.9, expected 0 or at least 10"):
        config.load(None, {"watch.static_s": 9.9})


def test_each_of_several_cameras_may_have_its_own_rotation() -> None:
    several = {"camera.sources": {"door": "picamera2", "hall": "rtsp://x/"}, "camera.rotate": 90}
    settings = config.load(None, {**several, "camera.rotations": {"hall": 180}})
    assert {name: camera.rotate for name, camera in config.cameras(settings.camera).items()} == {
        "door": 90,
        "hall": 180,
    }
    with pytest.raises(SettingsError, match=r"camera\.rotations: got porch, expected names of camera\.sources"):
        config.load(None, {**several, "camera.rotations": {"porch": 180}})


def test_a_network_camera_may_have_a_second_stream() -> None:
    one = config.load(None, {"camera.source": "rtsp://x/1", "camera.detect_source": "rtsp://x/2"}).camera
    assert config.cameras(one)[""].detect_source == "rtsp://x/2"
    several = {"camera.sources": {"door": "picamera2", "hall": "rtsp://x/1"}}
    two = config.load(None, {**several, "camera.detect_sources": {"hall": "rtsp://x/2"}}).camera
    assert {name: camera.detect_source for name, camera in config.cameras(two).items()} == {
        "door": "",
        "hall": "rtsp://x/2",
    }
    for wrong, said in (
        (
            {"camera.source": "rtsp://x/1", "camera.detect_source": "small"},
            "camera.detect_source: expected the address .* got 'small'",
        ),
        (
            {"camera.source": "rtsp://x/1", "camera.detect_source": "ftp://x/2"},
            "camera.detect_source: .*not an address",
        ),
        ({"camera.detect_source": "rtsp://x/2"}, "camera.detect_source: a network camera alone .* this camera is auto"),
        ({**several, "camera.detect_source": "rtsp://x/2"}, "camera.detect_source: .* set camera.detect_sources"),
        ({**several, "camera.detect_sources": {"door": "rtsp://x/2"}}, "camera.detect_sources: door: a network camera"),
        ({**several, "camera.detect_sources": {"porch": "rtsp://x/2"}}, "camera.detect_sources: got porch, expected"),
    ):
        with pytest.raises(SettingsError, match=f"^command line: {said}"):
            config.load(None, wrong)


def test_a_source_on_the_command_line_is_the_only_camera() -> None:
    named = {
        "camera.sources": {"hall": "rtsp://x/1"},
        "camera.rotations": {"hall": 180},
        "camera.detect_sources": {"hall": "rtsp://x/2"},
    }
    settings = config.load(None, {**named, **config.only_camera("clip.mp4")})
    assert [camera.source for camera in config.cameras(settings.camera).values()] == ["clip.mp4"]


def test_polygons_of_the_cameras_in_the_file_are_not_those_of_the_only_camera(tmp_path: Path) -> None:
    file = written(
        tmp_path, f'[camera]\nsources = {{ hall = "rtsp://x/1" }}\n[watch]\nonly = {{ hall = [{SQUARE}] }}\n'
    )
    clip = config.only_camera("clip.mp4")
    assert config.regions(config.load(file, clip), "") == ((), ())
    square = tuple(map(tuple, SQUARE))
    assert config.regions(config.load(file, {"watch.only": [SQUARE], **clip}), "") == ((), (square,))
    with pytest.raises(SettingsError, match=r"^command line: watch\.only: got the camera 'hall', expected a list"):
        config.load(file, {"watch.only": {"hall": [SQUARE]}, **clip})
