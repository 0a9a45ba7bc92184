"""The real command: what it prints, what it writes, and what it leaves unchanged."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.commands import main
from edge.commands.flash import write
from edge.commands.flash_questions import NO_TERMINAL
from edge.flash import volumes
from edge.flash.content import FileChange, wpa_psk
from edge.flash.settings import with_value
from edge.page import password
from tests.edge.flash.conftest import TRIXIE, deb_of
from tests.edge.parts import ROOT, fmd

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO me@laptop\n"


def state(path: Path) -> dict[str, str]:
    """A digest of every file there."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path.parent)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "id.pub"
    path.write_text(KEY)
    return path


@pytest.mark.parametrize("system", ["bookworm", "trixie"])
def test_a_dry_run_lists_the_files_and_changes_nothing(system: str, request: pytest.FixtureRequest, deb: Path) -> None:
    card: Path = request.getfixturevalue(system)
    before = state(card)
    done = fmd("flash", card, "--package", deb, "--hostname", "door-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "fmd/fmd_0.1.0_arm64.deb" in done.stdout
    assert "dry run: nothing was written" in done.stdout
    assert state(card) == before


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_write_writes_all_listed_files(trixie: Path, deb: Path, key: Path, tmp_path: Path, mark: str) -> None:
    (tmp_path / "wifi").write_text(f"{mark}correct horse\r\n")
    key.write_text(f"{mark}{KEY}")
    options = ("--hostname", "door-1", "--user", "me", "--ssh-key", key, "--write")
    wifi = ("--wifi", "Shop", "--wifi-country", "DE", "--wifi-password-file", tmp_path / "wifi")
    done = fmd("flash", trixie, "--package", deb, *options, *wifi)
    assert (done.returncode, done.stderr) == (0, "")
    assert (trixie / "fmd" / deb.name).read_bytes() == deb.read_bytes()
    for path in ("user-data", "network-config"):
        assert f"  replace {path}" in done.stdout
    everything = b"".join(file.read_bytes() for file in trixie.rglob("*") if file.is_file())
    assert b"correct horse" not in everything
    assert KEY.strip().encode() in everything
    assert mark.encode() not in everything or not mark
    assert wpa_psk("Shop", "correct horse").encode() in everything
    assert (trixie / "cmdline.txt").read_text() == TRIXIE["cmdline.txt"]


def test_an_image_file_is_prepared_without_root(
    bookworm: Path, deb: Path, image_of: Callable[[Path], Path], tmp_path: Path
) -> None:
    image = image_of(bookworm)
    before = state(image)
    assert fmd("flash", image, "--package", deb).returncode == 0
    assert state(image) == before
    assert fmd("flash", image, "--package", deb, "--write").returncode == 0
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["mcopy", "-s", "-i", f"{image}@@1M", "::/fmd", "::/cmdline.txt", out], check=True)
    assert (out / "fmd" / deb.name).read_bytes() == deb.read_bytes()
    assert "systemd.run=/boot/firmware/firstrun.sh" in (out / "cmdline.txt").read_text()


def test_the_card_gets_the_settings_and_the_models_they_name(
    trixie: Path, deb: Path, tmp_path: Path, classifier_path: Path
) -> None:
    shutil.copy(classifier_path, tmp_path / "mask.tflite")
    (tmp_path / "door.toml").write_text('[model]\nclassifier = "mask.tflite"\n')
    assert fmd("flash", trixie, "--package", deb, "--config", tmp_path / "door.toml", "--write").returncode == 0
    assert (trixie / "fmd/secret/fmd.toml").read_text() == '[model]\nclassifier = "mask.tflite"\n'
    assert (trixie / "fmd/etc/mask.tflite").read_bytes() == classifier_path.read_bytes()


def test_the_settings_name_a_model_of_the_command_line(trixie: Path, deb: Path, classifier_path: Path) -> None:
    assert fmd("flash", trixie, "--package", deb, "--classifier", classifier_path, "--write").returncode == 0
    assert (trixie / "fmd/secret/fmd.toml").read_text() == f'[model]\nclassifier = "{classifier_path.name}"\n'


def test_passwords_are_kept_apart_and_the_service_gets_the_network(trixie: Path, deb: Path, tmp_path: Path) -> None:
    (tmp_path / "broker.password").write_text("hush\n")
    (tmp_path / "door.toml").write_text('[mqtt]\nhost = "broker"\nusername = "me"\npassword_file = "broker.password"\n')
    done = fmd("flash", trixie, "--package", deb, "--config", tmp_path / "door.toml", "--write")
    assert (done.returncode, done.stderr) == (0, "")
    assert (trixie / "fmd/secret/broker.password").read_text() == "hush\n"
    assert not (trixie / "fmd/etc/broker.password").exists()
    assert (trixie / "fmd/network").exists()
    assert "hush" not in done.stdout


@pytest.mark.parametrize(("driver", "is_there"), [("mlx90640", True), ("file:values", False), ("none", False)])
def test_the_service_gets_the_bus_that_its_sensor_needs(
    trixie: Path, deb: Path, tmp_path: Path, driver: str, is_there: bool
) -> None:
    (tmp_path / "door.toml").write_text(f'[sensor]\ndriver = "{driver}"\n')
    done = fmd("flash", trixie, "--package", deb, "--config", tmp_path / "door.toml", "--write")
    assert (done.returncode, done.stderr) == (0, "")
    assert (trixie / "fmd/sensor").exists() is is_there
    assert not (trixie / "fmd/network").exists()
    assert ("gives the service the I2C bus" in done.stdout) is is_there


@pytest.mark.parametrize(
    ("settings", "with_it"),
    [
        ("", '[model]\nclassifier = "m"\n'),
        ("# mine\n[alert]\nled_pin = 3", '# mine\n[alert]\nled_pin = 3\n\n[model]\nclassifier = "m"\n'),
        ("[model] # here\nthreads = 1\n", '[model] # here\nclassifier = "m"\nthreads = 1\n'),
        ("[model]", '[model]\nclassifier = "m"\n'),
    ],
)
def test_naming_a_model_keeps_the_other_settings(settings: str, with_it: str) -> None:
    assert with_value(settings, "model", "classifier", "m") == with_it


WRONG = [
    (["--package", "{tmp}/none.deb"], "none.deb: No such file"),
    (["--package", "{key}"], "not a Debian package"),
    (["--package", "{amd64}"], "built for amd64, expected arm64"),
    (["--hostname", "Door 1"], "--hostname: got 'Door 1', expected small letters"),
    (["--timezone", "../x y"], "--timezone: got '../x y'"),
    (["--timezone", "Europe/Berln"], "'Europe/Berln', which is no time zone; did you mean Europe/Berlin?"),
    (["--wifi", "Shop"], "--wifi-country: missing"),
    (["--wifi", "Shop", "--wifi-country", "Germany"], "--wifi-country: got 'Germany', expected two capital letters"),
    (["--wifi", "x" * 33, "--wifi-country", "DE"], "--wifi: got 'xxx"),
    (["--wifi", "Shop", "--wifi-country", "DE", "--wifi-password-file", "{short}"], "expected 8 to 63"),
    (["--wifi", "Shop", "--wifi-country", "DE", "--wifi-password-file", "{tmp}/none"], "none: No such file"),
    (["--ssh-key", "{key}"], "--ssh-key: the user is missing; give --user too"),
    (["--user", "me", "--ssh-key", "{deb}"], "not a public SSH key"),
    (["--user", "root;rm", "--ssh-key", "{key}"], "--user: got 'root;rm'"),
    (["--user", "root", "--ssh-key", "{key}"], "--user: got 'root', a user of the system"),
    (["--user", "me", "--ssh-key", "{control}"], "not a public SSH key"),
    (["--config", "{tmp}/none.toml"], "none.toml: cannot read the settings"),
    (["--config", "{typo}"], "unknown key alert.led_pinn; did you mean led_pin?"),
    (["--config", "{missing}"], "gone.tflite: cannot read the model file"),
    (["--config", "{folder}"], "expected 'm.tflite': on the board the file is in /etc/fmd"),
    (["--classifier", "{detector}"], "a detector, expected a classifier"),
    (["--classifier", "{key}"], "not a TFLite file"),
    (["--door", "Tür"], "--door: got 'Tür', expected letters"),
    (["--wifi", "a\udcffb", "--wifi-country", "DE"], "set the terminal to UTF-8"),
    (["--page", "--page-password-file", "{short}"], "--page: the password: got 6 characters, expected 8 to 256"),
    (["--page-password-file", "{short}"], "give --page too"),
    (["--mqtt", "broker:99999"], "--mqtt: got port 99999"),
    (["--mqtt", "mqtt://broker"], "--mqtt: got 'mqtt://broker', expected a broker's host name"),
    (["--mqtt-user", "me"], "the broker is missing; give --mqtt too"),
    (["--user-password-file", "{short}"], "the user is missing; give --user too"),
    (["--config", "{other}", "--door", "here"], "got 'here', but the settings file states 'there'"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=[" ".join(options)[:50] for options, _ in WRONG])
def test_wrong_input_is_reported_in_one_line_and_nothing_is_written(
    trixie: Path,
    deb: Path,
    key: Path,
    tmp_path: Path,
    detector_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    (tmp_path / "short").write_text("secret")
    (tmp_path / "other.toml").write_text('[publish]\nname = "there"\n')
    (tmp_path / "typo.toml").write_text("[alert]\nled_pinn = 3\n")
    (tmp_path / "amd64.deb").write_bytes(deb_of("Package: fmd\nVersion: 1\nArchitecture: amd64\n"))
    (tmp_path / "missing.toml").write_text('[model]\nclassifier = "gone.tflite"\n')
    (tmp_path / "folder.toml").write_text('[model]\nclassifier = "models/m.tflite"\n')
    places = {"tmp": tmp_path, "key": key, "deb": deb, "short": tmp_path / "short", "typo": tmp_path / "typo.toml"}
    places |= {"amd64": tmp_path / "amd64.deb", "detector": detector_path}
    (tmp_path / "control.pub").write_text("ssh-ed25519 AAAA me\x7f@laptop\n")
    places |= {"other": tmp_path / "other.toml"}
    places |= {"control": tmp_path / "control.pub"}
    places |= {"missing": tmp_path / "missing.toml", "folder": tmp_path / "folder.toml"}
    before = state(trixie)
    arguments = [option.format(**places) for option in options]
    packages = [] if "--package" in arguments else ["--package", deb]
    code = main.main(["flash", *map(str, [trixie, *packages, *arguments, "--write"])])
    done = capsys.readouterr().err
    assert (code, len(done.splitlines())) == (1, 1)
    assert said in done
    assert state(trixie) == before


def test_an_ordinary_folder_is_refused(tmp_path: Path, deb: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = fmd("flash", home, "--package", deb, "--write")
    assert done.returncode == 1
    assert "not the boot partition of a 64-bit Raspberry Pi OS: no cmdline.txt, config.txt, issue.txt" in done.stderr
    assert list(home.iterdir()) == []


def test_a_full_card_is_reported_before_anything_is_written(
    trixie: Path, tmp_path: Path, image_of: Callable[[Path], Path]
) -> None:
    large = tmp_path / "fmd_0.1.0_arm64.deb"
    large.write_bytes(deb_of("Package: fmd\nVersion: 1\nArchitecture: arm64\n", content=bytes(9 << 20)))
    image = image_of(trixie)
    before = state(image)
    done = fmd("flash", image, "--package", large, "--write")
    assert (done.returncode, state(image)) == (1, before)
    assert "8 MB free, 10 MB needed; nothing was written" in done.stderr


class Interrupted:
    """A card whose user presses Ctrl-C during the second file."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def names(self) -> frozenset[str]:
        return frozenset(self.files)

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def free(self) -> int:
        return 1 << 30

    def write(self, path: str, data: bytes) -> None:
        if self.files:
            raise KeyboardInterrupt
        self.files[path] = data


def test_ctrl_c_while_writing_says_that_the_card_is_not_prepared(capsys: pytest.CaptureFixture[str]) -> None:
    todo = [FileChange("fmd/first", bytes(2_000_000), ""), FileChange("user-data", b"", "")]
    with pytest.raises(KeyboardInterrupt):
        write(Interrupted(), todo)
    done = capsys.readouterr()
    assert done.out == "writing fmd/first (2 MB)\n"
    assert done.err == "stopped while writing: the card is not prepared. Run the command again\n"


def test_without_a_target_the_only_card_is_taken(
    trixie: Path, deb: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bookworm: Path
) -> None:
    arguments = ["flash", "--package", str(deb), "--door", "Main_1", "--write"]
    for cards, said in ([], "no card of Raspberry Pi OS is mounted"), ([trixie, bookworm], "name one of them"):
        monkeypatch.setattr(volumes, "mounted", lambda cards=cards: cards)
        assert main.main(arguments) == 1
        assert said in capsys.readouterr().err
    monkeypatch.setattr(volumes, "mounted", lambda: [trixie])
    assert main.main(arguments) == 0
    assert f"found {trixie} (trixie, " in capsys.readouterr().out
    assert "hostname: main-1" in (trixie / "user-data").read_text().replace('"', "")
    assert 'name = "Main_1"' in (trixie / "fmd/secret/fmd.toml").read_text()


def test_the_page_gets_the_hash_of_its_password_and_nothing_else(trixie: Path, deb: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("page secret 1\n")
    options = ("--page", "--page-password-file", tmp_path / "password", "--write")
    assert fmd("flash", trixie, "--package", deb, *options).returncode == 0
    hashes = password.read((trixie / "fmd/page/page.passwords").read_text())
    assert password.matches("page secret 1", hashes["owner"])
    assert not [file for file in trixie.rglob("*") if file.is_file() and b"page secret 1" in file.read_bytes()]


def test_without_a_terminal_a_password_must_be_in_a_file(trixie: Path, deb: Path) -> None:
    """Python's own way shows what is typed, after a warning."""
    before = state(trixie)
    done = subprocess.run(
        [sys.executable, "-m", "edge", "flash", trixie, "--package", deb, "--user", "me", "--write"],
        input="a secret\na secret\n",
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        cwd=ROOT,
    )
    assert (done.returncode, state(trixie)) == (1, before)
    assert done.stderr == f"error: {NO_TERMINAL}\n"
