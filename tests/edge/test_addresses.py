"""Addresses of network cameras: host and port, and that no message shows a password."""

from __future__ import annotations

from typing import Any

import pytest

from edge import addresses, config, drivers
from edge.drivers.selection import secret_settings
from edge.errors import CameraError, SettingsError
from tests.edge.parts import fmd

SECRET = "Sec1ret"


@pytest.mark.parametrize(
    ("source", "redacted"),
    [
        ("rtsp://host/path", "rtsp://host/path"),
        ("rtsp://me:Sec1ret@word@host:8554/a", "rtsp://***@host:8554/a"),
        ("rtsp://Sec1ret@host/a", "rtsp://***@host/a"),
        ("http://host/video?user=me&pwd=Sec1ret", "http://host/video"),
        ("http://host/video?user=me@home&code=Sec1ret", "http://***"),
        ("rtsp://admin:Pa/Sec1ret@127.0.0.1:1/x", "rtsp://***@127.0.0.1:1/x"),
        ("rtsp://admin:Pa/ss/Sec1ret@host/x", "rtsp://***@host/x"),
        ("rtsp://admin:Sec1ret#9@host/x", "rtsp://***"),
        ("rtsp://admin:Sec1?ret@host/x", "rtsp://***"),
        ("rtsp://host/user=admin&password=Sec1ret&channel=1", "rtsp://host/user=***"),
        ("rtsp://host/user=admin_password=Sec1ret_channel=1.sdp", "rtsp://host/user=***"),
        ("rtsp://host/PWD=Sec1/ret", "rtsp://host/PWD=***"),
        ("rtsp:/admin:Sec1ret@host/x", "***@host/x"),
        ("admin:Sec1ret@host/x", "***@host/x"),
        ("/home/me/a@b/clip.mp4", "/home/me/a@b/clip.mp4"),
        ("auto", "auto"),
    ],
)
def test_a_redacted_address_shows_no_password(source: str, redacted: str) -> None:
    assert addresses.redacted(source) == redacted
    assert SECRET not in redacted


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("rtsp://host/path", ("host", 554)),
        ("rtsp://me:pass@word@host:8554/a", ("host", 8554)),
        ("RTSP://me:p%2Fw@[::1]/a", ("::1", 554)),
        ("https://host/live@1", ("host", 443)),
    ],
)
def test_an_address_has_a_host_and_a_port(source: str, place: tuple[str, int]) -> None:
    assert addresses.place(source) == place


MISWRITTEN = [
    "rtsp://admin:Sec1ret/1@127.0.0.1:1/x",
    "rtsp://admin:Sec1ret#9@127.0.0.1/x",
    "rtsp://admin:Sec1ret?9@127.0.0.1/x",
    "rtsp://admin:Sec1ret[9@127.0.0.1/x",
    "rtsp://admin:Sec1ret\u21009@127.0.0.1/x",
    "rtsp://[::1/x",
    "rtsp://me:Sec1ret@host:0/x",
    "rtsp://me:Sec1ret@host:65536/x",
    "rtsp://me:Sec1ret@host:-1/x",
    "rtsp://:Sec1ret@/x",
    "gopher://me:Sec1ret@host/x",
    "rtsp://",
]


@pytest.mark.parametrize("source", MISWRITTEN)
@pytest.mark.parametrize("key", ["camera.source", "camera.sources"])
def test_settings_with_a_malformed_address_are_refused(source: str, key: str) -> None:
    which = "" if key == "camera.source" else "yard: "
    said = rf"command line: {key}: {which}\w*://.*: not an address; expected .* / written as %2F"
    with pytest.raises(SettingsError, match=said) as caught:
        config.load(None, {key: {"door": "doorway", "yard": source} if which else source})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"camera.sources": {"the door": f"rtsp://me:{SECRET}@host/x"}},
        {"camera.sources": {"door": f"rtsp://host/{SECRET}", "yard": 3}},
        {"camera.sources": f"http://host/{SECRET}"},
        {"notify.urls": [f"tgram://{SECRET}/chat", 3]},
        {"notify.urls": f"tgram://{SECRET}/chat"},
        {"camera": f"me:{SECRET}@host"},
    ],
)
def test_refused_settings_are_quoted_without_their_addresses(changed: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        config.load(None, changed)
    assert SECRET not in str(caught.value)


def test_a_source_without_its_scheme_is_refused_without_its_password() -> None:
    for where in ("host/x", "x" * 300):
        with pytest.raises(CameraError, match=rf"no such file or folder: \*\*\*@{where}; give"):
            drivers.camera_kind(f"admin:{SECRET}@{where}")


@pytest.mark.parametrize("command", [("run", "--check"), ("run",), ("doctor", "--json"), ("off",)])
def test_no_command_prints_the_password_of_a_malformed_address(command: tuple[str, ...]) -> None:
    done = fmd(*command, "--set", f"camera.source=rtsp://admin:{SECRET}#1@127.0.0.1/x")
    assert done.returncode == 1
    assert "%23" in done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout


def test_doctor_and_replay_print_a_camera_without_its_password() -> None:
    source = f"rtsp://admin:{SECRET}@127.0.0.1:1/x"
    for command in (("doctor",), ("replay", source)):
        done = fmd(*command, "--set", f"camera.source={source}")
        assert "rtsp://***@127.0.0.1:1/x" in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("address", "source", "joined"),
    [
        ("rtsp://cam/2", "rtsp://me:a%2Fb@cam/1", "rtsp://me:a%2Fb@cam/2"),
        ("rtsp://cam:8554/2?x=1", "rtsp://me:pw@cam/1", "rtsp://me:pw@cam:8554/2?x=1"),
        ("rtsp://you:own@cam/2", "rtsp://me:pw@cam/1", "rtsp://you:own@cam/2"),
        ("rtsp://other/2", "rtsp://me:pw@cam/1", "rtsp://other/2"),
        ("rtsp://cam/2", "rtsps://me:pw@cam/1", "rtsp://cam/2"),  # the password is for an encrypted stream only
        ("rtsp://cam/2", "rtsp://cam/1", "rtsp://cam/2"),
    ],
)
def test_a_second_stream_has_the_login_of_the_first_on_the_same_host(address: str, source: str, joined: str) -> None:
    assert addresses.with_login(address, source) == joined


def test_the_address_of_a_second_stream_is_a_secret() -> None:
    one = {"camera.source": "rtsp://host/1", "camera.detect_source": f"rtsp://me:{SECRET}@[::1/2"}
    with pytest.raises(SettingsError, match=r"camera\.detect_source: .*not an address") as caught:
        config.load(None, one)
    assert SECRET not in str(caught.value)
    assert {"camera.detect_source", "camera.detect_sources"} <= secret_settings()
