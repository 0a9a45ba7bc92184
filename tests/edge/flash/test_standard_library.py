"""The whole command as it runs on a laptop with nothing but Python: no library, no program, none of Linux's modules.

The child process has no site-packages (``-I -S``). It refuses every other import and every start of a program, and
lacks the modules and functions that Windows lacks.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.edge.flash.conftest import deb_of
from tests.edge.parts import ROOT

ON_A_BARE_LAPTOP = r"""
import os, signal, sys

LINUX_ONLY = {"crypt", "curses", "fcntl", "grp", "nis", "pty", "pwd", "readline", "resource", "spwd", "syslog",
              "termios", "tty"}
OF_OS = ("chown", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getuid", "killpg", "mkfifo",
         "posix_spawn", "register_at_fork", "sched_getaffinity", "setsid", "uname", "O_CLOEXEC", "O_DIRECTORY",
         "O_NOFOLLOW", "O_NONBLOCK")
PROGRAMS = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "pty.spawn",
            "subprocess.Popen")
ALLOWED = {"edge", *(["tomli"] if sys.version_info < (3, 11) else [])}

class Refused:
    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        standard = first in sys.stdlib_module_names or first.startswith("_sysconfigdata")
        if first in LINUX_ONLY or not (standard or first in ALLOWED):
            raise ModuleNotFoundError(f"{name} is not on this laptop", name=name)

def on_event(event, arguments):
    if event in PROGRAMS:
        os.write(2, f"a program was started: {event} {arguments}\n".encode())
        os._exit(99)

for name in LINUX_ONLY & sys.modules.keys():
    del sys.modules[name]
for name in OF_OS:
    delattr(os, name)
del signal.SIGHUP
sys.meta_path.insert(0, Refused())
sys.addaudithook(on_event)
sys.path[:0] = sys.argv.pop(1).split(os.pathsep)
sys.argv[0] = "fmd"

from edge import process
code = process.fmd()
loaded = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names - ALLOWED - {"__main__"}
assert not {name for name in loaded if not name.startswith("_sysconfigdata")}, loaded
sys.exit(code)
"""
SETTINGS = b'\xef\xbb\xbf[camera]\r\nsource = "rtsp://cam/1"\r\n\r\n[model]\r\nclassifier = "mask.tflite"\r\n'


def on_a_bare_laptop(*arguments: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Run ``fmd`` there."""
    tomli = importlib.util.find_spec("tomli")
    places = [str(ROOT)]
    if sys.version_info < (3, 11) and tomli is not None and tomli.origin is not None:
        places.append(str(Path(tomli.origin).parents[1]))
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", ON_A_BARE_LAPTOP, ":".join(places), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **more,  # type: ignore[call-overload]
    )


@pytest.fixture
def options(tmp_path: Path) -> list[str | Path]:
    """Every option that a user may give."""
    files = {
        "fmd_1_arm64.deb": deb_of("Package: fmd\nVersion: 1\nArchitecture: arm64\n"),
        "door.toml": SETTINGS,
        "mask.tflite": b"a model that only the board can check",
        "wifi": b"correct horse\r\n",
        "login": "pässword\n".encode(),
        "broker": b"hush\n",
        "mine": b"[mqtt]\n",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return [
        *("--package", tmp_path / "fmd_1_arm64.deb", "--config", tmp_path / "door.toml", "--door", "Main_door"),
        *("--wifi", "Café", "--wifi-country", "DE", "--wifi-password-file", tmp_path / "wifi"),
        *("--user", "me", "--user-password-file", tmp_path / "login", "--timezone", "Europe/Berlin"),
        *("--mqtt", "broker.local:8883", "--mqtt-user", "door", "--mqtt-password-file", tmp_path / "broker"),
    ]


EXPECTED_SETTINGS = """\
[camera]
source = "rtsp://cam/1"

[model]
classifier = "mask.tflite"

[publish]
name = "Main_door"

[mqtt]
password_file = "mqtt.password"
username = "door"
port = 8883
host = "broker.local"
"""


def test_a_card_is_prepared(trixie: Path, options: list[str | Path]) -> None:
    done = on_a_bare_laptop("flash", trixie, *options, "--write")
    assert (done.returncode, done.stderr) == (0, "")
    assert "this machine lacks fmd's libraries, so the board checks the settings and models" in done.stdout
    assert (trixie / "fmd/secret/fmd.toml").read_text() == EXPECTED_SETTINGS
    assert (trixie / "fmd/secret/mqtt.password").read_bytes() == b"hush\n"
    assert (trixie / "fmd/etc/mask.tflite").exists()
    assert (trixie / "fmd/network").exists()
    assert (
        '"main-door"' in (trixie / "user-data").read_text()
        or "hostname: main-door" in (trixie / "user-data").read_text()
    )
    everything = b"".join(file.read_bytes() for file in trixie.rglob("*") if file.is_file())
    assert not [secret for secret in (b"correct horse", "pässword".encode()) if secret in everything]
    assert b"\r" not in (trixie / "user-data").read_bytes() + (trixie / "fmd/first-boot.sh").read_bytes()


@pytest.mark.parametrize("bits", [16, 32])
def test_an_image_file_is_prepared(
    bookworm: Path, options: list[str | Path], image_of: Callable[..., Path], tmp_path: Path, bits: int
) -> None:
    image = image_of(bookworm, 34 if bits == 32 else 8, bits)
    done = on_a_bare_laptop("flash", image, *options, "--write")
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["mcopy", "-s", "-i", f"{image}@@1M", "::/fmd", "::/cmdline.txt", out], check=True)
    assert (out / "fmd/secret/fmd.toml").read_text() == EXPECTED_SETTINGS
    assert "systemd.run=/boot/firmware/firstrun.sh" in (out / "cmdline.txt").read_text()


def test_settings_that_are_no_toml_are_refused(trixie: Path, options: list[str | Path], tmp_path: Path) -> None:
    (tmp_path / "door.toml").write_bytes(b"[camera\n")
    done = on_a_bare_laptop("flash", trixie, *options, "--write")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "door.toml: not valid TOML" in done.stderr


def test_without_a_terminal_nothing_is_asked() -> None:
    done = on_a_bare_laptop("flash", stdin=subprocess.DEVNULL)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "no options, and no terminal to ask for them" in done.stderr


def test_the_test_itself_refuses_programs_and_libraries(trixie: Path) -> None:
    code = ON_A_BARE_LAPTOP.replace("from edge import process\n", "os.system('true')\n")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "a program was started: os.system" in done.stderr) == (99, True)
    code = ON_A_BARE_LAPTOP.replace("from edge import process\n", "import numpy\n")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=False
    )
    assert "numpy is not on this laptop" in done.stderr
