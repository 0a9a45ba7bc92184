"""Files with secrets, as editors on any system write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import config
from edge.drivers.mqtt import MqttPublisher
from edge.drivers.notify import urls_of
from edge.drivers.secret_file import read_secret
from edge.errors import SettingsError

ENDS = pytest.mark.parametrize("end", ["\n", "\r\n"])
MARKS = pytest.mark.parametrize("mark", ["", "\ufeff"])


@ENDS
@MARKS
def test_the_password_is_the_first_line_without_mark_and_line_end(
    tmp_path: Path, mark: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paho = pytest.importorskip("paho.mqtt.client", reason="paho is not installed")
    given: list[tuple[str, str]] = []
    monkeypatch.setattr(paho.Client, "username_pw_set", lambda _, *login: given.append(login))
    path = tmp_path / "password"
    path.write_bytes(f"{mark}s3cr\u00e4t{end}{end}".encode())
    settings = config.load(None, {"mqtt.host": "broker", "mqtt.username": "me", "mqtt.password_file": str(path)})
    MqttPublisher(settings.mqtt, "door")
    assert given == [("me", "s3cr\u00e4t")]


@ENDS
@MARKS
def test_urls_are_read_without_mark_and_line_ends(tmp_path: Path, mark: str, end: str) -> None:
    path = tmp_path / "urls"
    path.write_bytes(f"{mark}# ours{end}{end}json://b/{end}mailto://c".encode())
    settings = config.load(None, {"notify.urls_file": str(path)})
    assert list(urls_of(settings.notify)) == ["json://b/", "mailto://c"]
    path.write_bytes(f"{mark}json://b/{end}".encode())
    assert list(urls_of(settings.notify)) == ["json://b/"]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_refused_and_nothing_of_the_secret_is_quoted(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "password"
    path.write_bytes("s3cr\u00e4t".encode(encoding))
    with pytest.raises(SettingsError) as caught:
        read_secret("mqtt.password_file", str(path))
    assert str(caught.value) == f"mqtt.password_file: {path}: not a text file in UTF-8; save it as one"


@pytest.mark.parametrize("text", ["", "\n", "\nsecond line\n"])
def test_a_file_without_a_password_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "password"
    path.write_text(text)
    settings = config.load(None, {"mqtt.host": "broker", "mqtt.username": "me", "mqtt.password_file": str(path)})
    with pytest.raises(SettingsError, match=r"^mqtt\.password_file: .*password: empty, expected the password in"):
        MqttPublisher(settings.mqtt, "door")


def test_a_password_without_a_user_is_refused() -> None:
    settings = config.load(None, {"mqtt.host": "broker", "mqtt.password_file": "/any"})
    with pytest.raises(SettingsError, match=r"^mqtt\.password_file: the user is missing; set mqtt\.username too"):
        MqttPublisher(settings.mqtt, "door")


@pytest.mark.parametrize("text", ["", "# json://host\n\n"])
def test_a_file_without_a_url_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "urls"
    path.write_text(text)
    settings = config.load(None, {"notify.urls_file": str(path)})
    with pytest.raises(SettingsError, match=r"^notify\.urls_file: .*urls: names no URL, expected one per line"):
        list(urls_of(settings.notify))
