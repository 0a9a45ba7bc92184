"""The one function that removes secrets from all output, and every command's output with a planted secret."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from edge import config, redaction
from edge.commands.logs import OneLine
from edge.errors import CameraError, SettingsError
from edge.redaction import learn, redact
from tests.edge.parts import command, environment, fmd

PLANTED = "pl4nted/s?cr#t w0rd"
QUOTED = quote(PLANTED, "")
PIECES = ("pl4nted", "s?cr#t", "w0rd", "s%3Fcr%23t", "pl4nt")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    redaction.forget()
    yield
    redaction.forget()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rtsp://me:pw@host/x: no answer", "rtsp://***@host/x: no answer"),
        ("rtsp://me:p/w@host/x", "rtsp://***@host/x"),
        ("expected rtsp://user:password@host:554/path", "expected rtsp://user:password@host:554/path"),
        ("rtsp://user:password@192.168.1.7/x", "rtsp://***@192.168.1.7/x"),
        ("https://host/x?token=abc&b=c failed", "https://host/x?*** failed"),
        ("see https://docs.example/page", "see https://docs.example/page"),
        ("/user=me&password=abc&x=1", "/user=me&password=***&x=1"),
        ("a mail to me@host about x://y", "a mail to me@host about x://y"),
        ("camera.width: got 7", "camera.width: got 7"),
    ],
)
def test_addresses_show_neither_login_nor_query(text: str, wanted: str) -> None:
    assert redact(text) == wanted


@pytest.mark.parametrize("form", [PLANTED, QUOTED, quote(PLANTED), QUOTED.lower().replace("%3f", "%3F")])
def test_a_learnt_password_is_hidden_in_every_form(form: str) -> None:
    learn(f"rtsp://me:{QUOTED}@host/x")
    assert "pl4nted" not in redact(f"the server says: user me, password {form}.") or form not in (PLANTED, QUOTED)
    assert redact(f"password {PLANTED}!") == "password ***!"
    assert redact(f"password {QUOTED}!") == "password ***!"


def test_tokens_of_notification_services_are_hidden_in_what_libraries_say() -> None:
    learn("tgram://123456789:AAHtoken/987654321/")
    learn("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#channel")
    learn("json://hooks.example.com/services/T00000000/B00000000/XXXXXXXX?key=secret-of-query")
    said = (
        "POST https://api.telegram.org/bot123456789:AAHtoken/sendMessage /services/T1JJ3T3L2/A1BRTD4JD/"
        "TIiajkdnlazkcOXrIdevi7FQ /services/T00000000/B00000000/XXXXXXXX secret-of-query"
    )
    shown = redact(said)
    for token in ("AAHtoken", "T1JJ3T3L2", "TIiajkdnlazkcOXrIdevi7FQ", "T00000000", "XXXXXXXX", "secret-of-query"):
        assert token not in shown


def test_words_that_only_contain_a_secret_stay() -> None:
    learn("door1", secret=True)
    assert redact("door1 of door10, indoor1") == "*** of door10, indoor1"


def test_errors_and_tracebacks_are_redacted() -> None:
    learn(f"rtsp://me:{QUOTED}@host/x")
    assert PLANTED not in str(CameraError(f"it answers {PLANTED}"))
    try:
        raise ValueError(PLANTED)
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", 10, "f", 1, "broke", (), __import__("sys").exc_info())
    shown = OneLine("%(message)s").format(record)
    assert "Traceback" in shown
    assert PLANTED not in shown


def test_the_settings_teach_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "camera").write_text("\ufeffrtsp://me:of-the-file@host/x\r\n")
    path = tmp_path / "fmd.toml"
    path.write_text('[camera]\nsource_file = "camera"\n[notify]\nurls = ["json://me:of-the-url@host/"]\n')
    settings = config.load(path)
    assert settings.camera.source == "rtsp://me:of-the-file@host/x"
    assert redact("of-the-file of-the-url") == "*** ***"


def test_the_file_with_the_source_is_checked(tmp_path: Path) -> None:
    path, secret = tmp_path / "fmd.toml", tmp_path / "camera"
    path.write_text('[camera]\nsource_file = "camera"\n')
    with pytest.raises(SettingsError, match=r"source_file: .*camera: No such file"):
        config.load(path)
    secret.write_text("\n")
    with pytest.raises(SettingsError, match="empty, expected the camera's address"):
        config.load(path)
    secret.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not a text file in UTF-8"):
        config.load(path)
    secret.write_text("rtsp://me:hidden-word@\n")
    with pytest.raises(SettingsError) as caught:
        config.load(path)
    assert "hidden-word" not in str(caught.value)
    assert config.load(path, {"camera.source": "doorway"}).camera.source == "doorway"
    path.write_text('[camera]\nsource_file = "camera"\nsources = { a = "auto" }\n')
    with pytest.raises(SettingsError, match="keep one of both"):
        config.load(path)


ADDRESS = f"rtsp://me:{QUOTED}@127.0.0.1:1/x"
WORDS = {
    "predict": ("predict", ADDRESS),
    "predict that runs into a usage error": ("predict", "--nosuch", ADDRESS),
    "an unexpected argument": ("events", ADDRESS),
    "run": ("run", "--source", ADDRESS, "--set", "camera.give_up_s=0.1", "--set", "alert.driver=console"),
    "run --check": ("run", "--check", "--source", ADDRESS.replace("rtsp", "rtps")),
    "set without a key": ("run", "--check", "--set", f"camera.source={ADDRESS.replace('://me', '//me')}"),
    "set of a wrong type": ("run", "--check", "--set", f'camera.width="{ADDRESS}"'),
    "set of a wrong key": ("run", "--check", "--set", f'camera.sorce="{ADDRESS}"'),
    "set that is no assignment": ("run", "--check", "--set", ADDRESS),
    "invalid notify.urls": ("run", "--check", "--set", f'notify.urls=["jsn://me:{QUOTED}@host/{QUOTED}"]'),
    "notify.urls of a wrong type": ("run", "--check", "--set", f'notify.urls="json://me:{QUOTED}@host/"'),
    "replay": ("replay", ADDRESS),
    "doctor": ("doctor", "--set", f'camera.source="{ADDRESS}"'),
    "verify": ("verify", ADDRESS),
    "model install": ("model", "install", ADDRESS),
    "flash": ("flash", ADDRESS),
}


VERBOSE = ("predict", "run")


@pytest.mark.parametrize(
    ("kind", "options"), [*((kind, ()) for kind in WORDS), *((kind, ("--verbose",)) for kind in VERBOSE)]
)
def test_no_command_prints_a_planted_password(kind: str, options: tuple[str, ...], tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    done = subprocess.run(
        command(*WORDS[kind], *options),
        capture_output=True,
        text=True,
        env={**environment(), "RUNTIME_DIRECTORY": str(runtime), "STATE_DIRECTORY": str(tmp_path)},
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    output = done.stdout + done.stderr
    assert output
    assert done.returncode in (0, 1, 2)
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    for piece in PIECES:
        assert piece not in output
        assert piece not in written


def test_events_and_status_of_a_run_hold_no_password(tmp_path: Path) -> None:
    (tmp_path / "camera").write_text(f"{ADDRESS}\n")
    (tmp_path / "fmd.toml").write_text(
        '[camera]\nsource_file = "camera"\ngive_up_s = 0.5\n[alert]\ndriver = "console"\n[events]\nevery_s = 0.1\n'
    )
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        command("run", "--config", str(tmp_path / "fmd.toml"), "--verbose"),
        capture_output=True,
        text=True,
        env={**environment(), "RUNTIME_DIRECTORY": str(tmp_path / "run"), "STATE_DIRECTORY": str(tmp_path)},
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    printed = fmd("events", "--json", "--state", tmp_path).stdout
    assert "camera" in {json.loads(line)["event"] for line in printed.splitlines()}
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "camera"]
    for piece in PIECES:
        assert piece not in done.stdout + done.stderr + printed
        assert not [path for path in written if piece in path.read_text(errors="replace")]
