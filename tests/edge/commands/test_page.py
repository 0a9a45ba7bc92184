"""``fmd page``: passwords, certificate, and the process itself."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from edge.commands import page_demo
from edge.commands.main import main
from edge.commands.page import ROLES
from edge.errors import ControlError
from edge.page import password
from edge.page.service import Service
from tests.edge.page.fake_service import serving
from tests.edge.parts import PATIENCE_S, ROOT, free_port


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    return tmp_path / "page.toml"


class Typing:
    """Runs a command in this process, with a text on its standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, text: str, *words: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = main(words)
        found = self._capsys.readouterr()
        return code, found.out, found.err


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typing:
    return Typing(monkeypatch, capsys)


def test_the_roles_of_the_command_are_those_of_the_page() -> None:
    assert ROLES == password.ROLES


def test_a_password_is_stored_as_a_hash_that_others_cannot_read(settings: Path, typing: Typing) -> None:
    where = ("page", "password", "--config", str(settings))
    assert typing("correct horse\n", *where)[0] == 0
    assert typing("look only please\n", *where, "viewer")[0] == 0
    file = settings.with_name("page.passwords")
    hashes = password.read(file.read_text())
    assert password.matches("correct horse", hashes["owner"])
    assert password.matches("look only please", hashes["viewer"])
    assert "horse" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert typing("", *where, "viewer", "--remove")[0] == 0
    assert list(password.read(file.read_text())) == ["owner"]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("short\n", [], "password: got 5 characters, expected 8 to 256"),
        ("", [], "password: got 0 characters"),
        ("", ["viewer", "--remove"], "viewer has no password"),
    ],
)
def test_a_bad_password_changes_nothing(
    settings: Path, typing: Typing, text: str, words: list[str], message: str
) -> None:
    code, out, err = typing(text, "page", "password", "--config", str(settings), *words)
    assert (code, out) == (1, "")
    assert message in err
    assert not settings.with_name("page.passwords").exists()


def test_a_damaged_file_is_named_and_kept(settings: Path, typing: Typing) -> None:
    file = settings.with_name("page.passwords")
    file.write_text("owner:plain text\n")
    code, _, err = typing("correct horse\n", "page", "password", "--config", str(settings))
    assert (code, file.read_text()) == (1, "owner:plain text\n")
    assert str(file) in err


@pytest.mark.parametrize("name", ["a,DNS:evil.example", "a b", "-x\n", "..", ""])
def test_a_name_that_is_none_gets_into_no_certificate(settings: Path, typing: Typing, name: str) -> None:
    code, _, err = typing("", "page", "certificate", "--config", str(settings), "--", name)
    assert (code, "expected a host name or an address" in err) == (1, True)
    assert not list(settings.parent.iterdir())


@contextmanager
def page(settings: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the real process; yield it and its address."""
    command = [sys.executable, "-m", "edge.commands.main", "page", "--config", str(settings), *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        try:
            found = None
            while found is None and (line := process.stderr.readline()):
                found = re.search(r"answers at (\S+)", line)
            assert found is not None
            yield process, found[1]
        finally:
            process.kill()


def test_the_demo_prints_its_address_when_its_first_view_is_ready() -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    command = [sys.executable, "-m", "edge.commands.main", "page", "--demo", f"--port={free_port()}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "starting the demo ...\n"
            found = re.match(r"Open (http://127\.0\.0\.1:\d+/) in a browser", process.stdout.readline())
            assert found is not None
            assert httpx.get(found[1], follow_redirects=True).status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130


def test_a_demo_whose_fmd_does_not_start_ends(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(ControlError, match="exit code 3"):
        asyncio.run(page_demo.answering(Service(tmp_path), ended))


def test_the_process_serves_says_when_fmd_does_not_run_and_ends_at_a_signal(settings: Path) -> None:
    settings.write_text(f'address = "127.0.0.1"\nport = {free_port()}\n')
    settings.with_name("page.passwords").write_text(
        password.written({"owner": password.hashed("correct horse", cost=2)})
    )
    with page(settings, "--runtime", str(settings.parent)) as (process, address):
        origin = address.rstrip("/")
        with httpx.Client(base_url=origin, headers={"origin": origin}) as client:
            assert client.post("/login", data={"password": "correct horse"}).status_code == 303
            assert client.get("/").status_code == 503
            with serving(settings.parent) as service:
                assert client.get("/").status_code == 200
                assert service.asked
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("port = 0", "port"),
        ("port = 99999", "port"),
        ("prot = 80", "prot"),
        ("names = ['a b']", "names"),
        ("port =", "not valid TOML"),
        ('address = "300.1.1.1"', "address"),
        ('certificate = "none.pem"', "fmd page certificate"),
        ("\xff", "UTF-8"),
    ],
)
def test_bad_settings_are_named_in_one_line(settings: Path, typing: Typing, content: str, message: str) -> None:
    settings.write_bytes(content.encode("latin-1"))
    code, _, err = typing("", "page", "--config", str(settings), "--runtime", str(settings.parent))
    assert (code, err.count("\n")) == (1, 1), err
    assert message in err


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999", "x", "\u0663", "8" * 5000])
def test_a_number_that_is_no_port_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["page", f"--port={port}"])
    assert (ended.value.code, "expected a port" in capsys.readouterr().err) == (2, True)


def test_settings_that_do_not_exist_are_named(settings: Path, typing: Typing) -> None:
    code, _, err = typing("", "page", "--config", str(settings))
    assert (code, "no such file" in err) == (1, True)


def test_a_port_in_use_is_named(settings: Path, typing: Typing) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.write_text(f'address = "127.0.0.1"\nport = {server.getsockname()[1]}\n')
        code, _, err = typing("", "page", "--config", str(settings))
    assert (code, err.count("\n")) == (1, 1), err
    assert "cannot listen" in err
    assert "use --port" in err
