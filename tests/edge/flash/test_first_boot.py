"""The script that runs on the board, run here with commands that only take note."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.commands.flash import write
from edge.flash.card import recognise
from edge.flash.content import Etc, Wanted, changes
from edge.flash.target import open_target
from tests.edge.parts import ROOT

NOTE = """#!/bin/sh
echo "$(basename "$0") $*" >>"$NOTES"
case "$*" in ${FAILS:-nothing}) exit 1 ;; esac
"""


class Board:
    """A board on its first boot: a prepared card, an /etc, an LED, and the commands' notes."""

    def __init__(self, card: Path, folder: Path, page: str = "") -> None:
        target = open_target(card)
        secrets = {"fmd.toml": b"# mine\n", "broker": b"secret\n"}
        etc = Etc({"mask.tflite": b"model"}, secrets, {"network": "the network", "sensor": "the bus"})
        wanted = Wanted({"fmd_1_arm64.deb": b"package"}, etc, page=page)
        write(target, changes(target, recognise(target), wanted))
        self.card, self.etc, self.notes = card / "fmd", folder / "etc", folder / "notes"
        self.led = folder / "sys/class/leds/ACT"
        self.led.mkdir(parents=True)
        (self.led / "trigger").write_text("none heartbeat timer [mmc0]\n")
        self._run = folder / "run"
        self._bin = folder / "bin"
        for made in (self._run, self._bin, self.etc):
            made.mkdir()
        for name in ("apt-get", "dpkg", "systemctl", "python3", "chgrp", "getent", "groupadd"):
            (self._bin / name).write_text(NOTE)
            (self._bin / name).chmod(0o755)

    def runs(self, *arguments: str, fails: str = "") -> int:
        environment = {
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "NOTES": str(self.notes),
            "FAILS": fails,
            "FMD_ETC": str(self.etc),
            "FMD_SYS": str(self.led.parents[2]),
            "FMD_RUN": str(self._run),
            "FMD_SHARE": str(ROOT / "systemd"),
        }
        script = str(self.card / "first-boot.sh")
        return subprocess.run(["sh", script, *arguments], env=environment, capture_output=True, check=False).returncode

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def trigger(self) -> str:
        return (self.led / "trigger").read_text().strip()


@pytest.fixture
def board(trixie: Path, tmp_path: Path) -> Board:
    return Board(trixie, tmp_path)


def test_a_good_first_boot_installs_and_leaves_nothing_to_do(board: Board) -> None:
    assert board.runs() == 0
    group, settings, secret, repair, look, install, reload, enable, restart, disable = board.noted()
    assert group == "getent group fmd"
    assert settings == f"chgrp fmd {board.etc}/fmd/fmd.toml"
    assert repair == "dpkg --configure -a"
    assert look == "python3 -c import picamera2"
    assert install.startswith("apt-get install -y ")
    assert install.endswith(" ./fmd_1_arm64.deb")
    assert secret == f"chgrp fmd {board.etc}/fmd/broker"
    assert reload == "systemctl daemon-reload"
    assert (enable, restart) == ("systemctl enable fmd.service", "systemctl restart fmd.service")
    assert disable == "systemctl disable fmd-first-boot.service"
    assert (board.etc / "fmd/fmd.toml").read_text() == "# mine\n"
    assert (board.etc / "fmd/mask.tflite").read_text() == "model"
    for name in ("broker", "fmd.toml"):
        assert (board.etc / "fmd" / name).stat().st_mode & 0o777 == 0o640
    assert not (board.card / "secret").exists()
    for name in ("network", "sensor"):
        drop_in = board.etc / f"systemd/system/fmd.service.d/{name}.conf"
        assert drop_in.read_text() == (ROOT / f"systemd/fmd-{name}.conf").read_text()
    assert not (board.card / "fmd_1_arm64.deb").exists()
    assert "fmd is installed and watching" in (board.card / "first-boot.log").read_text()
    assert board.trigger() == "mmc0"


def test_the_web_page_starts_with_its_password_which_is_not_left_on_the_card(trixie: Path, tmp_path: Path) -> None:
    board = Board(trixie, tmp_path, "owner:$scrypt$hash\n")
    assert board.runs() == 0
    file = board.etc / "fmd/page.passwords"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("owner:$scrypt$hash\n", 0o640)
    own, start, fmd, _ = board.noted()[-4:]
    assert own == f"chgrp fmd-page {file}"
    assert (start, fmd) == ("systemctl enable --now fmd-page.service", "systemctl restart fmd.service")
    assert not (board.card / "page").exists()


def test_a_web_page_that_does_not_start_does_not_hold_up_the_door(trixie: Path, tmp_path: Path) -> None:
    board = Board(trixie, tmp_path, "owner:$scrypt$hash\n")
    assert board.runs(fails="*fmd-page.service") == 0
    assert "the web page does not start" in (board.card / "first-boot.log").read_text()


def test_enabling_leaves_the_service_for_the_next_start(board: Board) -> None:
    assert board.runs("enable") == 0
    assert board.noted() == ["systemctl enable fmd-first-boot.service"]
    unit = board.etc / "systemd/system/fmd-first-boot.service"
    assert unit.read_bytes() == (board.card / "fmd-first-boot.service").read_bytes()


def test_enabling_now_starts_it_without_waiting(board: Board) -> None:
    assert board.runs("enable", "now") == 0
    assert board.noted()[1:] == ["systemctl daemon-reload", "systemctl start --no-block fmd-first-boot.service"]


def test_a_failed_install_fetches_lists_does_without_the_rest_and_is_tried_again(board: Board) -> None:
    assert board.runs(fails="install*") == 1
    assert [line.split()[1] for line in board.noted()[5:]] == ["install", "update", "install", "install"]
    assert "--no-install-recommends" in board.noted()[-1]
    assert board.trigger() == "timer"
    assert (board.led / "delay_on").read_text() == "100\n"
    assert "trying again" in (board.card / "first-boot.log").read_text()
    assert (board.card / "fmd_1_arm64.deb").exists()
    assert board.runs() == 0
    assert board.trigger() == "mmc0"


def test_the_library_of_ribbon_cameras_is_fetched_where_it_is_missing(board: Board) -> None:
    assert board.runs(fails="*picamera2") == 0
    assert [line.split()[-1] for line in board.noted()[5:8]] == ["python3-picamera2", "update", "python3-picamera2"]
    assert "no picamera2: USB cameras will work" in (board.card / "first-boot.log").read_text()


def test_a_service_that_does_not_start_counts_as_failed(board: Board) -> None:
    assert board.runs(fails="restart*") == 1
    assert board.trigger() == "timer"


def test_a_card_that_reads_wrongly_installs_nothing(board: Board) -> None:
    (board.card / "fmd_1_arm64.deb").write_bytes(b"packagf")
    assert board.runs() == 1
    assert board.noted() == []
    assert "fmd_1_arm64.deb: FAILED" in (board.card / "first-boot.log").read_text()


def test_an_earlier_package_left_on_the_card_is_not_installed(board: Board) -> None:
    (board.card / "fmd_0_arm64.deb").write_bytes(b"old")
    assert board.runs() == 0
    assert "fmd_0" not in board.noted()[2]


def test_a_board_without_that_led_installs_all_the_same(board: Board) -> None:
    shutil.rmtree(board.led)
    assert board.runs() == 0


def test_an_unknown_argument_is_an_error(board: Board) -> None:
    assert board.runs("install-it") == 2


def test_systemd_accepts_the_unit(board: Board, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = board.card / "fmd-first-boot.service"
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_shellcheck_finds_nothing(board: Board) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine (apt install shellcheck)")
    subprocess.run(["shellcheck", board.card / "first-boot.sh"], check=True)


def test_secrets_are_overwritten_before_they_are_deleted(board: Board) -> None:
    """Another name of the same file shows what is left of its content."""
    left = board.card.parent / "left"
    os.link(board.card / "secret/broker", left)
    assert board.runs() == 0
    assert left.read_bytes() == bytes(len(left.read_bytes()))
    assert not [path for path in board.card.rglob("*") if path.is_file() and b"secret\n" in path.read_bytes()]


def test_a_power_cut_before_the_secrets_are_deleted_is_made_up_for(board: Board) -> None:
    shutil.copy(board.card / "SHA256SUMS", board.card / "installed")
    (board.card / "secret/fmd.toml").unlink()
    assert board.runs() == 0
    assert not (board.card / "secret").exists()
    assert board.noted() == ["systemctl disable fmd-first-boot.service"]


def test_a_card_that_is_prepared_again_is_installed_again(board: Board) -> None:
    (board.card / "installed").write_text("other files")
    assert board.runs() == 0
    assert "chgrp" in "".join(board.noted())
