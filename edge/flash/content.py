"""The files that go onto a boot partition, made of what somebody wants their board to be.

Sources of the ways in: cloud-init's NoCloud files and its merging of user-data (cloudinit.readthedocs.io), the options
of ``imager_custom`` and ``userconf`` as Raspberry Pi OS carries them, and netplan's network-config.
"""

from __future__ import annotations

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

FOLDER = "fmd"
ON_BOARD = "/boot/firmware"
"""Where Bookworm and later mount the boot partition."""
SCRIPT = f"{ON_BOARD}/{FOLDER}/first-boot.sh"
KEPT = ".before-fmd"
"""Ending of the copy kept of a file that somebody else had filled."""
MARK = "# Written by fmd flash."
CUSTOM = "/usr/lib/raspberrypi-sys-mods/imager_custom"
GROUPS = "adm,audio,dialout,gpio,netdev,plugdev,render,sudo,users,video"


@dataclass(frozen=True, slots=True)
class Wifi:
    """A network: ``psk`` is the key as 64 hexadecimal digits, empty for an open one; ``country`` as in ISO 3166."""

    ssid: str
    psk: str
    country: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """Who may log in; ``password`` is a crypt(5) hash, empty for by key alone."""

    name: str
    password: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Etc:
    """What goes to /etc/fmd, by file name; ``secrets`` for fmd alone; ``network``: whether it speaks to anybody."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    network: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the board is to be. ``packages`` are file names and contents."""

    packages: Mapping[str, bytes]
    etc: Etc = Etc()
    hostname: str = ""
    timezone: str = ""
    wifi: Wifi | None = None
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A file to write, and what for."""

    path: str
    data: bytes
    why: str


def wpa_psk(ssid: str, passphrase: str) -> str:
    """The key that IEEE 802.11 (annex J.4) makes of a passphrase, so that the words themselves stay off the card."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", passphrase):
        return passphrase.lower()
    if not 8 <= len(passphrase.encode()) <= 63:
        raise CardError(f"the Wi-Fi password has {len(passphrase.encode())} characters, expected 8 to 63")
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode(), ssid.encode(), 4096, 32).hex()


def changes(target: Target, card: Card, wanted: Wanted) -> list[Change]:
    """Every file to write, what starts it all last: broken off anywhere before, the card boots as it did."""
    payload = list(_payload(wanted))
    sums = "".join(
        f"{hashlib.sha256(change.data).hexdigest()}  {change.path.partition('/')[2]}\n" for change in payload
    )
    payload.append(Change(f"{FOLDER}/SHA256SUMS", sums.encode(), "the board checks them before it installs"))
    orders = _cloud_init(target, wanted) if card.first_boot == "cloud-init" else _firstrun(target, wanted)
    return payload + list(orders)


def _payload(wanted: Wanted) -> Iterator[Change]:
    here = resources.files(__package__)
    for name in ("first-boot.sh", "fmd-first-boot.service"):
        yield Change(f"{FOLDER}/{name}", (here / name).read_bytes(), "installs on the first boot")
    for name, data in wanted.packages.items():
        yield Change(f"{FOLDER}/{name}", data, "the package")
    for name, data in wanted.etc.files.items():
        yield Change(f"{FOLDER}/etc/{name}", data, f"becomes /etc/fmd/{name}")
    for name, data in wanted.etc.secrets.items():
        yield Change(f"{FOLDER}/secret/{name}", data, f"becomes /etc/fmd/{name}, for fmd alone; then gone from here")
    if wanted.etc.network:
        yield Change(f"{FOLDER}/network", b"", "gives the service the network: the settings speak to somebody")


# cloud-init: Trixie and later


def _cloud_init(target: Target, wanted: Wanted) -> Iterator[Change]:
    before = original(target, "user-data")
    if not is_blank(before):
        yield Change(f"user-data{KEPT}", before, "what was in it; its orders are kept")
    if wanted.wifi is not None:
        network = original(target, "network-config")
        if b"wifis" in without_comments(network):
            yield Change(f"network-config{KEPT}", network, "what was in it")
        yield Change("network-config", network_config(wanted.wifi), f"the network {wanted.wifi.ssid!r}")
    data = user_data(wanted, before)
    yield Change("user-data", data, "orders for the first boot")
    # A card that has booted before obeys anew only under a new name; the same orders keep theirs.
    instance = hashlib.sha256(data + b"".join(wanted.packages.values())).hexdigest()[:12]
    meta = f"{MARK}\ndsmode: local\ninstance-id: fmd-{instance}\n"
    yield Change("meta-data", meta.encode(), "lets cloud-init see that the orders are new")


def original(target: Target, path: str) -> bytes:
    """What stood in ``path`` before fmd's own first visit."""
    now = target.read(path) or b""
    return (target.read(path + KEPT) or b"") if MARK.encode() in now else now


def without_comments(data: bytes) -> bytes:
    """The lines of a YAML file that say something."""
    return b"\n".join(line for line in data.splitlines() if line.strip() and not line.lstrip().startswith(b"#"))


def is_blank(data: bytes) -> bool:
    """Whether cloud-init would find nothing to do in it."""
    return not without_comments(data)


def user_data(wanted: Wanted, before: bytes) -> bytes:
    """A cloud-config, or an archive of ``before`` and ours where there was something in it.

    cloud-init merges the parts of an archive as each part says: single values replace, lists are appended.
    """
    values, lists = _values(wanted), _lists(wanted)
    if is_blank(before):
        return f"#cloud-config\n{MARK}\n{yaml(values | lists)}".encode()
    if before.lstrip().lower().startswith((b"content-type:", b"mime-version:")):
        raise CardError("user-data: an archive of several parts already; put fmd's orders into it by hand")
    archive = MIMEMultipart(boundary="==fmd==")
    archive.attach(_part(before.decode(), None))
    if values:
        archive.attach(_part(f"#cloud-config\n{MARK}\n{yaml(values)}", "dict(replace)+list()+str()"))
    archive.attach(_part(f"#cloud-config\n{MARK}\n{yaml(lists)}", "dict(no_replace,recurse_list)+list(append)+str()"))
    return archive.as_bytes()


def _part(text: str, merge_type: str | None) -> MIMENonMultipart:
    """Plain text: cloud-init then goes by its first line, which may make it a script as well."""
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
        values |= {"hostname": wanted.hostname, "manage_etc_hosts": True}
    if wanted.timezone:
        values["timezone"] = wanted.timezone
    if wanted.login:
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
        # Whoever has no password can give none to sudo.
        user |= {"ssh_authorized_keys": list(login.keys), "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    return user


def network_config(wifi: Wifi) -> bytes:
    """netplan's version 2: the wire as before, and the network; neither holds the boot up."""
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
    """Block YAML with its keys and scalars in JSON, which YAML takes; whatever is in a name, it stays a name."""
    pairs = value.items() if isinstance(value, Mapping) else ((None, one) for one in value)
    return "".join(f"{indent}{'-' if key is None else _scalar(key) + ':'}{_block(one, indent)}" for key, one in pairs)


def _block(value: Any, indent: str) -> str:
    # A list of words stays in one line: it is a command.
    words = isinstance(value, list) and all(isinstance(one, str) for one in value)
    if value and isinstance(value, (Mapping, list)) and not words:
        return f"\n{yaml(value, indent + '  ')}"
    return f" {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", value) and value not in ("yes", "no", "on", "off"):
        return value if value not in ("true", "false", "null", "y", "n") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


# firstrun.sh: Bookworm


def _firstrun(target: Target, wanted: Wanted) -> Iterator[Change]:
    lines = firstrun_lines(wanted)
    before = original(target, "firstrun.sh")
    if before:
        yield Change(f"firstrun.sh{KEPT}", before, "what was in it; its orders are kept")
        script = with_lines(before.decode(), lines)
    else:
        script = "\n".join(["#!/bin/sh", MARK, "set +e", *lines, *CLEANING_UP, ""])
    yield Change("firstrun.sh", script.encode(), "orders for the first boot")
    command_line = with_firstrun((target.read("cmdline.txt") or b"").decode())
    yield Change("cmdline.txt", command_line.encode(), "has the kernel start firstrun.sh, once")


CLEANING_UP = (
    f"rm -f {ON_BOARD}/firstrun.sh",
    rf"sed -i 's| systemd\.[^ ]*||g' {ON_BOARD}/cmdline.txt",
    # Anything else leaves the board waiting without a restart.
    "exit 0",
)


def firstrun_lines(wanted: Wanted) -> list[str]:
    """Shell commands in the order Raspberry Pi Imager gives them; ``userconf`` renames the user others have set up."""
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
        lines.append(shlex.join([CUSTOM, "set_wlan", *hidden, wifi.ssid, wifi.psk, wifi.country]))
    if wanted.timezone:
        lines.append(shlex.join([CUSTOM, "set_timezone", wanted.timezone]))
    return [*lines, shlex.join(["sh", SCRIPT, "enable"])]


def with_lines(script: str, lines: Sequence[str]) -> str:
    """``script`` as Imager wrote it, with ``lines`` before it removes itself."""
    head, cleaning, tail = script.replace("\r\n", "\n").partition("rm -f /boot/")
    if not cleaning:
        raise CardError("firstrun.sh: not as Raspberry Pi Imager writes it (no rm -f /boot/firstrun.sh); remove it")
    return "\n".join([head.rstrip("\n"), MARK, *lines, cleaning + tail])


def with_firstrun(command_line: str) -> str:
    """``command_line`` that starts firstrun.sh; one that does already stays as it is, Imager's path and all."""
    words = command_line.split()
    if not any(word.startswith("systemd.run=") for word in words):
        words += [
            f"systemd.run={ON_BOARD}/firstrun.sh",
            "systemd.run_success_action=reboot",
            "systemd.unit=kernel-command-line.target",
        ]
    return " ".join(words) + "\n"
