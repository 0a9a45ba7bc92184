"""The files that fmd flash writes to a boot partition, composed from what the user asks of the board.

Sources: cloud-init's NoCloud files and its merging of user-data (cloudinit.readthedocs.io), the options of
``imager_custom`` and ``userconf`` in Raspberry Pi OS, and netplan's network-config.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.charset import Charset
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from importlib import resources
from typing import Any

from edge.errors import CardError
from edge.flash.card import Card
from edge.flash.target import Target
from edge.paths import PAGE_PASSWORDS

FOLDER = "fmd"
ON_BOARD = "/boot/firmware"
"""Mount point of the boot partition in Bookworm and later."""
SCRIPT = f"{ON_BOARD}/{FOLDER}/first-boot.sh"
KEPT = ".before-fmd"
"""Suffix of the copy that is kept of a file with content from others."""
MARK = "# Written by fmd flash."
"""Line that marks a file as written by fmd, so that preparing a card twice keeps the original copy."""
CUSTOM = "/usr/lib/raspberrypi-sys-mods/imager_custom"
GROUPS = "adm,audio,dialout,gpio,netdev,plugdev,render,sudo,users,video"


@dataclass(frozen=True, slots=True)
class Wifi:
    """A Wi-Fi network. ``psk`` is the key as 64 hexadecimal digits, empty if it is open; ``country`` as in ISO 3166."""

    ssid: str
    psk: str
    country: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the board. ``password`` is a crypt(5) hash; if it is empty, only ``keys`` (SSH) allow a login."""

    name: str
    password: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Etc:
    """The files of /etc/fmd, by name. Only the user fmd can read ``secrets``.

    ``drop_ins`` are those that the service needs with these settings (``fmd-NAME.conf``), each with what it gives.
    ``unchecked`` is true if this machine lacks the libraries to check them and the board must.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    drop_ins: Mapping[str, str] = field(default_factory=dict)
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks of the board. ``packages`` are file names and contents."""

    packages: Mapping[str, bytes]
    etc: Etc = Etc()
    hostname: str = ""
    timezone: str = ""
    wifi: Wifi | None = None
    login: Login | None = None
    page: str = ""
    """Content of the web page's password file; empty if the board serves no page."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file to write to the card, and the reason for it."""

    path: str
    data: bytes
    why: str


def wpa_psk(ssid: str, passphrase: str) -> str:
    """Return the key that IEEE 802.11 (annex J.4) derives from a passphrase, which itself is never on the card."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", passphrase):
        return passphrase.lower()
    if not 8 <= len(passphrase.encode()) <= 63:
        raise CardError(f"the Wi-Fi password has {len(passphrase.encode())} characters, expected 8 to 63")
    # 4096 iterations and 32 bytes are the standard's.
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode(), ssid.encode(), 4096, 32).hex()


def changes(target: Target, card: Card, wanted: Wanted) -> list[FileChange]:
    """Return every file to write, in order.

    The file that starts the installation comes last: if writing is interrupted earlier, the card boots as before.
    """
    payload = list(_payload(wanted))
    sums = "".join(
        f"{hashlib.sha256(change.data).hexdigest()}  {change.path.partition('/')[2]}\n" for change in payload
    )
    payload.append(FileChange(f"{FOLDER}/SHA256SUMS", sums.encode(), "the board checks them before it installs"))
    starters = _cloud_init(target, wanted) if card.first_boot == "cloud-init" else _firstrun(target, wanted)
    return payload + list(starters)


def _payload(wanted: Wanted) -> Iterator[FileChange]:
    here = resources.files(__package__)
    for name in ("first-boot.sh", "fmd-first-boot.service"):
        # A checkout on Windows may have its line ends, which a shell does not understand.
        text = (here / name).read_bytes().replace(b"\r\n", b"\n")
        yield FileChange(f"{FOLDER}/{name}", text, "installs on the first boot")
    for name, data in wanted.packages.items():
        yield FileChange(f"{FOLDER}/{name}", data, "the package")
    for name, data in wanted.etc.files.items():
        yield FileChange(f"{FOLDER}/etc/{name}", data, f"becomes /etc/fmd/{name}")
    for name, data in wanted.etc.secrets.items():
        yield FileChange(
            f"{FOLDER}/secret/{name}",
            data,
            f"becomes /etc/fmd/{name}, for fmd alone; deleted here",
        )
    if wanted.page:
        why = "starts the web page with this password; deleted here"
        yield FileChange(f"{FOLDER}/page/{PAGE_PASSWORDS}", wanted.page.encode(), why)
    for name, gives in wanted.etc.drop_ins.items():
        yield FileChange(f"{FOLDER}/{name}", b"", f"gives the service {gives}, which the settings need")


# cloud-init: Trixie and later


def _cloud_init(target: Target, wanted: Wanted) -> Iterator[FileChange]:
    before = original(target, "user-data")
    if not is_blank(before):
        yield FileChange(f"user-data{KEPT}", before, "copy of the file, whose instructions stay in force")
    if wanted.wifi is not None:
        network = original(target, "network-config")
        if b"wifis" in without_comments(network):
            yield FileChange(f"network-config{KEPT}", network, "copy of the file")
        yield FileChange("network-config", network_config(wanted.wifi), f"the network {wanted.wifi.ssid!r}")
    data = user_data(wanted, before)
    yield FileChange("user-data", data, "instructions for the first boot")
    # A card that has booted before follows instructions again only under a new instance-id. It is a hash, so that equal
    # instructions keep theirs.
    instance = hashlib.sha256(data + b"".join(wanted.packages.values())).hexdigest()[:12]
    meta = f"{MARK}\ndsmode: local\ninstance-id: fmd-{instance}\n"
    yield FileChange("meta-data", meta.encode(), "shows cloud-init that the instructions are new")


def original(target: Target, path: str) -> bytes:
    """Return the content that ``path`` had before fmd flash first wrote it."""
    now = target.read(path) or b""
    return (target.read(path + KEPT) or b"") if MARK.encode() in now else now


def text_of(path: str, data: bytes) -> str:
    """Return a file of the card as text. Raises CardError for one that is damaged."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CardError(
            f"{path}: not a text in UTF-8 (byte {error.start}); the card is damaged: write it again"
        ) from error


def without_comments(data: bytes) -> bytes:
    """Return the lines of a YAML file that are neither empty nor comments."""
    return b"\n".join(line for line in data.splitlines() if line.strip() and not line.lstrip().startswith(b"#"))


def is_blank(data: bytes) -> bool:
    """Return whether user-data gives cloud-init nothing to do."""
    return not without_comments(data)


def user_data(wanted: Wanted, before: bytes) -> bytes:
    """Return a cloud-config; if the user-data ``before`` holds instructions, an archive of both.

    cloud-init merges the parts of an archive as each part says: single values replace, lists are appended. Raises
    CardError if ``before`` is an archive itself.
    """
    values, lists = _values(wanted), _lists(wanted)
    # Editors on Windows put it in front, where cloud-init does not expect it.
    before = before.removeprefix(codecs.BOM_UTF8)
    if is_blank(before):
        return f"#cloud-config\n{MARK}\n{yaml(values | lists)}".encode()
    if before.lstrip().lower().startswith((b"content-type:", b"mime-version:")):
        raise CardError("user-data: already an archive of several parts; add fmd's instructions to it by hand")
    archive = MIMEMultipart(boundary="==fmd==")
    archive.attach(_part(text_of("user-data", before), None))
    if values:
        archive.attach(_part(f"#cloud-config\n{MARK}\n{yaml(values)}", "dict(replace)+list()+str()"))
    archive.attach(_part(f"#cloud-config\n{MARK}\n{yaml(lists)}", "dict(no_replace,recurse_list)+list(append)+str()"))
    return archive.as_bytes()


def _part(text: str, merge_type: str | None) -> MIMENonMultipart:
    """Return ``text`` as plain text: cloud-init then decides by its first line, and a script stays a script."""
    plain = Charset("utf-8")
    plain.body_encoding = None  # type: ignore[assignment]  # readable on the card, not base64; typed as never None
    part = MIMENonMultipart("text", "plain")
    part.set_payload(text, plain)
    if merge_type:
        part["Merge-Type"] = merge_type
    return part


def _values(wanted: Wanted) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if wanted.hostname:
        # manage_etc_hosts: without the name in /etc/hosts, every sudo warns that it cannot resolve it.
        values |= {"hostname": wanted.hostname, "manage_etc_hosts": True}
    if wanted.timezone:
        values["timezone"] = wanted.timezone
    if wanted.login:
        # A user with a key needs no login by password over the network.
        values["ssh_pwauth"] = bool(wanted.login.password) and not wanted.login.keys
    return values


def _lists(wanted: Wanted) -> dict[str, Any]:
    lists: dict[str, Any] = {"runcmd": [["sh", SCRIPT, "enable", "now"]]}
    if wanted.login:
        lists["users"] = [_user(wanted.login)]
        lists["runcmd"].insert(0, ["systemctl", "enable", "--now", "ssh"])
    return lists


def _user(login: Login) -> dict[str, Any]:
    user: dict[str, Any] = {"name": login.name, "groups": GROUPS, "shell": "/bin/bash"}
    user["lock_passwd"] = not login.password
    if login.password:
        user["passwd"] = login.password
    if login.keys:
        # A user without a password has none to type for sudo.
        user |= {"ssh_authorized_keys": list(login.keys), "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    return user


def network_config(wifi: Wifi) -> bytes:
    """Return a netplan file (version 2): Ethernet as before, and the Wi-Fi. "optional": the boot waits for neither."""
    point: dict[str, Any] = {"hidden": True} if wifi.hidden else {}
    if wifi.psk:
        point["password"] = wifi.psk
    wlan = {
        "dhcp4": True,
        "optional": True,
        "regulatory-domain": wifi.country,
        "access-points": {wifi.ssid: point},
    }
    network = {"version": 2, "ethernets": {"eth0": {"dhcp4": True, "optional": True}}, "wifis": {"wlan0": wlan}}
    return f"{MARK}\n{yaml({'network': network})}".encode()


def yaml(value: Mapping[str, Any] | Sequence[Any], indent: str = "") -> str:
    """Return block YAML with keys and scalars in JSON, which is YAML too: any name stays a string."""
    pairs = value.items() if isinstance(value, Mapping) else ((None, one) for one in value)
    return "".join(f"{indent}{'-' if key is None else _scalar(key) + ':'}{_block(one, indent)}" for key, one in pairs)


def _block(value: Any, indent: str) -> str:
    # A list of strings is a command and stays in one line.
    words = isinstance(value, list) and all(isinstance(one, str) for one in value)
    if value and isinstance(value, (Mapping, list)) and not words:
        return f"\n{yaml(value, indent + '  ')}"
    return f" {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", value) and value not in ("yes", "no", "on", "off"):
        return value if value not in ("true", "false", "null", "y", "n") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


# firstrun.sh: Bookworm


def _firstrun(target: Target, wanted: Wanted) -> Iterator[FileChange]:
    lines = firstrun_lines(wanted)
    before = original(target, "firstrun.sh")
    if before:
        yield FileChange(f"firstrun.sh{KEPT}", before, "copy of the file, whose commands stay in force")
        script = with_lines(text_of("firstrun.sh", before), lines)
    else:
        script = "\n".join(["#!/bin/sh", MARK, "set +e", *lines, *CLEANING_UP, ""])
    yield FileChange("firstrun.sh", script.encode(), "instructions for the first boot")
    command_line = with_firstrun(text_of("cmdline.txt", target.read("cmdline.txt") or b""))
    yield FileChange("cmdline.txt", command_line.encode(), "makes systemd start firstrun.sh, once")


CLEANING_UP = (
    f"rm -f {ON_BOARD}/firstrun.sh",
    rf"sed -i 's| systemd\.[^ ]*||g' {ON_BOARD}/cmdline.txt",
    # With any other exit code the board waits and does not restart (systemd.run_success_action).
    "exit 0",
)


def firstrun_lines(wanted: Wanted) -> list[str]:
    """Return shell commands in the order of Raspberry Pi Imager; ``userconf`` renames the user set up before."""
    lines = []
    if wanted.hostname:
        lines.append(shlex.join([CUSTOM, "set_hostname", wanted.hostname]))
    if wanted.login:
        how = "-k" if wanted.login.keys else "-p"
        lines.append(shlex.join([CUSTOM, "enable_ssh", how, *wanted.login.keys]))
        lines.append(shlex.join(["/usr/lib/userconf-pi/userconf", wanted.login.name, wanted.login.password or "!"]))
    if wanted.wifi:
        hidden = ["-h"] if wanted.wifi.hidden else []
        wifi = wanted.wifi
        lines.append(shlex.join([CUSTOM, "set_wlan", *hidden, _ssid_in_keyfile(wifi.ssid), wifi.psk, wifi.country]))
    if wanted.timezone:
        lines.append(shlex.join([CUSTOM, "set_timezone", wanted.timezone]))
    return [*lines, shlex.join(["sh", SCRIPT, "enable"])]


def _ssid_in_keyfile(ssid: str) -> str:
    """Return ``ssid`` as NetworkManager's keyfile means it, into which imager_custom writes it unchanged.

    There, spaces in front are dropped and backslashes and semicolons are special; a list of bytes is neither. Nor can
    imager_custom take a list for an option.
    """
    if re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_. -]*", ssid):
        return ssid
    return "".join(f"{byte};" for byte in ssid.encode())


def with_lines(script: str, lines: Sequence[str]) -> str:
    """Return Imager's ``script`` with ``lines`` inserted before the command that removes it. Raises CardError."""
    head, cleaning, tail = script.replace("\r\n", "\n").partition("rm -f /boot/")
    if not cleaning:
        raise CardError("firstrun.sh: not as Raspberry Pi Imager writes it (no rm -f /boot/firstrun.sh); remove it")
    return "\n".join([head.rstrip("\n"), MARK, *lines, cleaning + tail])


def with_firstrun(command_line: str) -> str:
    """Return ``command_line`` with firstrun.sh started; one that starts it already is unchanged, path included."""
    words = command_line.split()
    if not any(word.startswith("systemd.run=") for word in words):
        words += [
            f"systemd.run={ON_BOARD}/firstrun.sh",
            "systemd.run_success_action=reboot",
            "systemd.unit=kernel-command-line.target",
        ]
    return " ".join(words) + "\n"
