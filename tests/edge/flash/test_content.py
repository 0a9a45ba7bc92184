"""The instructions for the first boot, checked with cloud-init's own code if this machine has it."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.errors import CardError
from edge.flash import content
from edge.flash.card import recognise
from edge.flash.content import Etc, Login, Wanted, Wifi
from edge.flash.target import Target, open_target
from tests.edge.flash.conftest import COMMAND_LINE

PSK = "0" * 62 + "ab"
FULL = Wanted(
    packages={"fmd_0.1.0_arm64.deb": b"package"},
    etc=Etc({"fmd.toml": b"[alert]\nled_pin = 22\n"}),
    hostname="door-1",
    timezone="Europe/Berlin",
    wifi=Wifi('Café "Zum: Tor" #1', PSK, "DE", hidden=True),
    login=Login("me", "$6$salt$hash", ("ssh-ed25519 AAAA me@laptop",)),
)
ENABLE = "/boot/firmware/fmd/first-boot.sh"
IMAGERS = """#!/bin/sh
set +e
echo theirs
rm -f /boot/firstrun.sh
sed -i 's| systemd.run.*||g' /boot/cmdline.txt
exit 0
"""
MERGED = """
import sys
from cloudinit import handlers, helpers, user_data
from cloudinit.handlers.cloud_config import CloudConfigPartHandler

paths = helpers.Paths({"cloud_dir": sys.argv[2], "run_dir": sys.argv[2]})
whole = user_data.UserDataProcessor(paths).process(open(sys.argv[1], "rb").read())
handler = CloudConfigPartHandler(paths)
handler.cloud_fn = sys.argv[2] + "/merged"
handler.handle_part(None, handlers.CONTENT_START, None, None, None, None)
for part in whole.walk():
    if part.get_content_type() == "text/cloud-config":
        text = part.get_payload(decode=True).decode()
        handler.handle_part(None, part.get_content_type(), part.get_filename(), text, "always", dict(part))
handler.handle_part(None, handlers.CONTENT_END, None, None, None, None)
print(open(handler.cloud_fn).read())
"""


def written(target: Target, wanted: Wanted) -> dict[str, bytes]:
    """Write ``wanted`` to ``target``; return its files by path, in order."""
    todo = content.changes(target, recognise(target), wanted)
    for change in todo:
        target.write(change.path, change.data)
    return {change.path: change.data for change in todo}


def understood(data: bytes, tmp_path: Path) -> Any:
    """Return the parts of a user-data file as cloud-init itself merges them."""
    if not Path("/usr/lib/python3/dist-packages/cloudinit").is_dir():
        pytest.skip("no cloud-init on this machine (apt install cloud-init)")
    file = tmp_path / "user-data"
    file.write_bytes(data)
    command = ["/usr/bin/python3", "-c", MERGED, file, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    return yaml.safe_load(done.stdout)


def test_wpa_psk_matches_the_standards_vectors() -> None:
    """Test vectors of IEEE 802.11i, H.4.1."""
    assert content.wpa_psk("IEEE", "password") == "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert (
        content.wpa_psk("ThisIsASSID", "ThisIsAPassword")
        == "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"
    )


def test_a_derived_psk_is_kept() -> None:
    assert content.wpa_psk("any", PSK.upper()) == PSK


@pytest.mark.parametrize("password", ["short", "x" * 64, "ü" * 32])
def test_a_password_of_impossible_length_is_refused(password: str) -> None:
    with pytest.raises(CardError, match="expected 8 to 63"):
        content.wpa_psk("any", password)


def test_the_payload_comes_first_and_its_sums_are_right(trixie: Path) -> None:
    files = written(open_target(trixie), FULL)
    order = list(files)
    assert order.index("fmd/SHA256SUMS") < order.index("user-data") < order.index("meta-data")
    listed = dict(reversed(line.split("  ")) for line in files["fmd/SHA256SUMS"].decode().splitlines())
    payload = order[: order.index("fmd/SHA256SUMS")]
    assert listed == {path.removeprefix("fmd/"): hashlib.sha256(files[path]).hexdigest() for path in payload}
    assert files["fmd/fmd_0.1.0_arm64.deb"] == b"package"
    assert files["fmd/etc/fmd.toml"] == FULL.etc.files["fmd.toml"]


def test_sha256sum_accepts_the_sums(trixie: Path) -> None:
    written(open_target(trixie), FULL)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=trixie / "fmd", check=True)


def test_cloud_init_gets_all_instructions(trixie: Path) -> None:
    files = written(open_target(trixie), FULL)
    assert files["user-data"].startswith(b"#cloud-config\n")
    merged = yaml.safe_load(files["user-data"])
    assert (merged["hostname"], merged["timezone"], merged["ssh_pwauth"]) == ("door-1", "Europe/Berlin", False)
    assert merged["runcmd"] == [["systemctl", "enable", "--now", "ssh"], ["sh", ENABLE, "enable", "now"]]
    (user,) = merged["users"]
    assert (user["name"], user["passwd"], user["lock_passwd"]) == ("me", "$6$salt$hash", False)
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me@laptop"]


def test_cloud_inits_own_schema_accepts_the_instructions(trixie: Path) -> None:
    if shutil.which("cloud-init") is None:
        pytest.skip("no cloud-init on this machine (apt install cloud-init)")
    for wanted in (FULL, Wanted(packages={"fmd.deb": b""})):
        (trixie / "user-data").write_text("#cloud-config\n")
        written(open_target(trixie), wanted)
        command = ["cloud-init", "schema", "--config-file", trixie / "user-data"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_netplan_reads_a_network_of_any_name(trixie: Path) -> None:
    network = yaml.safe_load(written(open_target(trixie), FULL)["network-config"])["network"]
    assert network["version"] == 2
    assert network["ethernets"]["eth0"] == {"dhcp4": True, "optional": True}
    wlan = network["wifis"]["wlan0"]
    assert wlan["regulatory-domain"] == "DE"
    assert wlan["access-points"] == {'Café "Zum: Tor" #1': {"hidden": True, "password": PSK}}


def test_an_open_network_has_no_password(trixie: Path) -> None:
    wanted = Wanted(packages={}, wifi=Wifi("open", "", "DE"))
    network = yaml.safe_load(written(open_target(trixie), wanted)["network-config"])["network"]
    assert network["wifis"]["wlan0"]["access-points"] == {"open": {}}


def test_without_wifi_the_cards_network_stays(trixie: Path) -> None:
    assert "network-config" not in written(open_target(trixie), Wanted(packages={}))


@pytest.mark.parametrize("word", ["yes", "no", "on", "null", "12", "1e3", "a: b", "- a", "#a", "ja'", 'a"b', "Ü", ""])
def test_yaml_keeps_every_string_a_string(word: str) -> None:
    value = {"key": word, word or "k": [word, {"deep": word, "list": [[word]]}], "empty": {}, "none": []}
    assert yaml.safe_load(content.yaml(value)) == value


def test_instructions_already_on_the_card_stay_in_force(trixie: Path, tmp_path: Path) -> None:
    theirs = "#cloud-config\nhostname: old\nkeyboard: {layout: de}\nusers:\n- name: anna\nruncmd:\n- echo theirs\n"
    (trixie / "user-data").write_text(theirs)
    files = written(open_target(trixie), FULL)
    assert files["user-data.before-fmd"].decode() == theirs
    merged = understood(files["user-data"], tmp_path)
    assert (merged["hostname"], merged["keyboard"]) == ("door-1", {"layout": "de"})
    assert [user["name"] for user in merged["users"]] == ["anna", "me"]
    assert merged["runcmd"][0] == "echo theirs"
    assert merged["runcmd"][-1] == ["sh", ENABLE, "enable", "now"]


def test_instructions_from_an_editor_on_windows_stay_in_force(trixie: Path, tmp_path: Path) -> None:
    theirs = b"\xef\xbb\xbf#cloud-config\r\nruncmd:\r\n- echo theirs\r\n"
    (trixie / "user-data").write_bytes(theirs)
    files = written(open_target(trixie), FULL)
    assert files["user-data.before-fmd"] == theirs
    assert understood(files["user-data"], tmp_path)["runcmd"][0] == "echo theirs"


def test_preparing_a_card_twice_keeps_its_instructions_once(trixie: Path, tmp_path: Path) -> None:
    (trixie / "user-data").write_text("#cloud-config\nruncmd:\n- echo theirs\n")
    target = open_target(trixie)
    first = written(target, Wanted(packages={"fmd_1.deb": b"1"}))
    second = written(target, Wanted(packages={"fmd_2.deb": b"2"}))
    assert second["user-data"] == first["user-data"]
    assert understood(second["user-data"], tmp_path)["runcmd"].count("echo theirs") == 1
    assert second["meta-data"] != first["meta-data"]
    assert b"fmd_1" not in second["fmd/SHA256SUMS"]


def test_equal_instructions_have_equal_instance_ids(trixie: Path) -> None:
    target = open_target(trixie)
    assert written(target, FULL)["meta-data"] == written(target, FULL)["meta-data"]


def test_an_archive_by_others_is_refused(trixie: Path) -> None:
    (trixie / "user-data").write_text('Content-Type: multipart/mixed; boundary="x"\n\n--x--\n')
    with pytest.raises(CardError, match="already an archive of several parts"):
        written(open_target(trixie), FULL)


def test_bookworm_gets_all_instructions(bookworm: Path) -> None:
    files = written(open_target(bookworm), FULL)
    lines = files["firstrun.sh"].decode().splitlines()
    custom = "/usr/lib/raspberrypi-sys-mods/imager_custom"
    assert [shlex.split(line) for line in lines[3:9]] == [
        [custom, "set_hostname", "door-1"],
        [custom, "enable_ssh", "-k", "ssh-ed25519 AAAA me@laptop"],
        ["/usr/lib/userconf-pi/userconf", "me", "$6$salt$hash"],
        [custom, "set_wlan", "-h", "".join(f"{byte};" for byte in 'Café "Zum: Tor" #1'.encode()), PSK, "DE"],
        [custom, "set_timezone", "Europe/Berlin"],
        ["sh", ENABLE, "enable"],
    ]
    assert lines[-1] == "exit 0"
    assert list(files)[-1] == "cmdline.txt"
    assert files["cmdline.txt"].decode().split() == [
        *COMMAND_LINE.split(),
        "init=/usr/lib/raspberrypi-sys-mods/firstboot",
        "systemd.run=/boot/firmware/firstrun.sh",
        "systemd.run_success_action=reboot",
        "systemd.unit=kernel-command-line.target",
    ]


def test_the_script_removes_itself_from_the_kernels_command_line(bookworm: Path) -> None:
    """The script's own commands run on a copy: the line that is left starts no firstrun.sh."""
    files = written(open_target(bookworm), FULL)
    sed = next(line for line in files["firstrun.sh"].decode().splitlines() if line.startswith("sed "))
    subprocess.run(sed.replace("/boot/firmware", str(bookworm)), shell=True, check=True)
    line = (bookworm / "cmdline.txt").read_text()
    assert line == f"{COMMAND_LINE} init=/usr/lib/raspberrypi-sys-mods/firstboot\n"


def test_imagers_commands_run_before_ours(bookworm: Path) -> None:
    (bookworm / "firstrun.sh").write_text(IMAGERS)
    (bookworm / "cmdline.txt").write_text(f"{COMMAND_LINE} systemd.run=/boot/firstrun.sh systemd.unit=x.target\n")
    target = open_target(bookworm)
    for _ in range(2):  # the second time finds the first
        files = written(target, Wanted(packages={}, hostname="door"))
        lines = files["firstrun.sh"].decode().splitlines()
        assert lines.count("echo theirs") == 1
        assert lines.index("echo theirs") < lines.index(f"sh {ENABLE} enable") < lines.index("rm -f /boot/firstrun.sh")
        assert files["cmdline.txt"].decode().count("systemd.run=") == 1


def test_an_unknown_firstrun_is_refused(bookworm: Path) -> None:
    (bookworm / "firstrun.sh").write_text("#!/bin/sh\necho mine\n")
    with pytest.raises(CardError, match=r"firstrun\.sh: not as Raspberry Pi Imager writes it"):
        written(open_target(bookworm), FULL)


@pytest.mark.parametrize("name", ["user-data", "cmdline.txt", "firstrun.sh"])
def test_a_damaged_text_on_the_card_is_refused(trixie: Path, bookworm: Path, name: str) -> None:
    folder = trixie if name == "user-data" else bookworm
    (folder / name).write_bytes(b"#cloud-config\nhostname: \xff\xfe\n")
    with pytest.raises(CardError, match=f"{name}: not a text in UTF-8"):
        written(open_target(folder), FULL)
