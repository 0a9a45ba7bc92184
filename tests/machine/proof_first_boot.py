"""``make proof-first-boot``: a card that ``fmd flash`` prepared ends its first boot with fmd watching.

The proof runs on Debian roots under their own systemd, with a boot partition like that of Raspberry Pi OS. Trixie uses
the real cloud-init, Bookworm firstrun.sh as its kernel's command line would start it. Neither has a network: the card
holds all that the package needs. The power also fails in the middle of the installation.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge.commands.flash import write
from edge.flash import crypt
from edge.flash.card import recognise
from edge.flash.content import Etc, Login, Wanted, changes
from edge.flash.target import open_target
from edge.page import password
from tests.machine import namespaces, package, root, scene
from tests.machine.place import ProofError, Report, cache, need_root

CLIP = "/var/lib/fmd-proof/passage.mp4"
SETTINGS = f"""[camera]
source = "{CLIP}"
loop = true

[alert]
driver = "console"
"""
BOOT: Mapping[str, str] = {
    "config.txt": "[all]\n",
    "cmdline.txt": "console=tty1 root=PARTUUID=e5fdffb4-02 rootfstype=ext4 rootwait\n",
    "kernel8.img": "",
    "issue.txt": "Raspberry Pi reference 2025-05-13\n",
}
SEED: Mapping[str, str] = {
    "issue.txt": "Raspberry Pi reference 2025-11-24\n",
    # The user's own commands, which must be kept beside fmd's.
    "user-data": "#cloud-config\nruncmd:\n- touch /var/lib/theirs\n",
    "meta-data": "dsmode: local\ninstance_id: rpios-image\n",
}
DATA_SOURCE = "datasource_list: [NoCloud, None]\ndatasource:\n  NoCloud:\n    seedfrom: file:///boot/firmware\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " me@laptop"
PASSWORD = "proof of a first boot"
SIGN_IN = (
    'import http.client; page = http.client.HTTPConnection("localhost", 8080); '
    f'page.request("POST", "/login", "role=owner&password={PASSWORD.replace(" ", "+")}", '
    '{"Origin": "http://localhost:8080", "Content-Type": "application/x-www-form-urlencoded"}); '
    'reply = page.getresponse(); print(reply.status, reply.headers["Location"])'
)
"""Program that signs in to the page and prints the reply."""
STATE = "systemctl show --property=ActiveState --value fmd"
INSTALLED = "dpkg-query --show --showformat='${Status}' fmd 2>&1"


def main() -> int:
    """Run every check, print each with its seconds, and return 0 if all passed."""
    report = Report()
    work = Path(tempfile.mkdtemp(prefix="proof-first-boot.", dir=cache()))
    try:
        need_root()
        _check_trixie(report, work)
        _check_bookworm(report, work)
    except ProofError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.end()


def _board(suite: str, python: str, work: Path, more: str = "", seed: Mapping[str, str] | None = None) -> Path:
    """Return an unpacked root with a prepared boot partition and a clip instead of a camera, but without fmd."""
    arch = root.native()
    tree = root.unpack(root.make(arch, suite, more), work / suite)
    deb = package.build(arch, python)
    boot = tree / "boot/firmware"
    boot.mkdir(parents=True)
    for name, text in {**BOOT, **(seed or {})}.items():
        (boot / name).write_text(text)
    packages, etc = {deb.name: deb.read_bytes()}, Etc({"fmd.toml": SETTINGS.encode()})
    # Raspberry Pi OS' own tools for host name and users, which firstrun.sh calls, are not in Debian.
    wanted = Wanted(packages, etc)
    if seed:
        page = password.written({password.ROLES[0]: password.hashed(PASSWORD)})
        wanted = Wanted(packages, etc, "door-1", login=Login("me", crypt.hashed(PASSWORD), (KEY,)), page=page)
    # As the command does it, except that it refuses packages that are not for a Pi: this machine runs what it installs.
    target = open_target(boot)
    write(target, changes(target, recognise(target), wanted))
    clip = tree / CLIP.lstrip("/")
    clip.parent.mkdir()
    scene.write_clip(clip)
    return tree


def _check_trixie(report: Report, work: Path) -> None:
    with report.step("a Trixie root with cloud-init and a prepared boot partition"):
        tree = _board("trixie", "3.13", work, "cloud-init", SEED)
        (tree / "etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg").write_text(DATA_SOURCE)
    if report.failed:
        return
    with namespaces.started(tree, work / "console-trixie") as system:
        with report.step("cloud-init installs fmd without a network, and fmd watches"):
            system.wait(STATE, "active", 600)
        with report.step("settings, host name, login and the user's own commands are in place"):
            expect(system, "cat /etc/fmd/fmd.toml", SETTINGS.strip())
            expect(system, "hostname", "door-1")
            expect(system, "cat /home/me/.ssh/authorized_keys | grep -c AAAAC3", "1")
            system.out("test -e /var/lib/theirs")
            expect(system, "getent shadow me | cut -d: -f2 | cut -c-17", "$6$rounds=100000$")
        with report.step("the web page takes the password"):
            system.wait("systemctl is-active fmd-page", "active", 60)
            expect(system, "stat -c '%U %G %a' /etc/fmd/page.passwords", "root fmd-page 640")
            system.wait(f"python3 -c '{SIGN_IN}' 2>&1 | tail -1", "303 /", 60)
        _check_done(report, system)


def _check_bookworm(report: Report, work: Path) -> None:
    with report.step("a Bookworm root with a prepared boot partition"):
        tree = _board("bookworm", "3.11", work)
    if report.failed:
        return
    console = work / "console-bookworm"
    with report.step("firstrun.sh starts the first boot and restores the kernel's command line"):
        with namespaces.booted(tree, console) as system:
            system.out("sh /boot/firmware/firstrun.sh")
        if (tree / "boot/firmware/cmdline.txt").read_text() != BOOT["cmdline.txt"]:
            raise ProofError((tree / "boot/firmware/cmdline.txt").read_text())
    with report.step("the power fails while dpkg works"), namespaces.started(tree, console) as system:
        system.wait(f"{INSTALLED} | grep -c 'half\\|unpacked\\|not-installed'", "1", 300)
    with namespaces.started(tree, console) as system:
        with report.step("at the next boot fmd is installed, and watches"):
            system.wait(STATE, "active", 600)
        _check_done(report, system)


def _check_done(report: Report, system: namespaces.System) -> None:
    with report.step("nothing is left to do: no service, no package or password on the card, a log that says so"):
        # This line comes last: the unit is disabled a moment before the package is removed from the card.
        system.wait("tail -1 /boot/firmware/fmd/first-boot.log", "fmd is installed and watching", 60)
        expect(system, "systemctl is-enabled --quiet fmd-first-boot.service || echo off", "off")
        expect(system, INSTALLED, "install ok installed")
        expect(
            system,
            "ls -d /boot/firmware/fmd/*.deb /boot/firmware/fmd/secret /boot/firmware/fmd/page 2>/dev/null | wc -l",
            "0",
        )


def expect(system: namespaces.System, command: str, wanted: str) -> None:
    """Raise :class:`ProofError` if ``command`` prints something else than ``wanted``."""
    if (got := system.out(command)) != wanted:
        raise ProofError(f"`{command}` gave {got!r}, expected {wanted!r}")


if __name__ == "__main__":
    sys.exit(main())
