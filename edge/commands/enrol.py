"""``fmd enrol``: on a hub, give doors their credentials, list them, renew them, revoke them."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EXIT_OK, HubError, SettingsError, naming_stdout
from edge.files import make_folder

if TYPE_CHECKING:
    from edge.hub.files import Hub, Kind, Member, Register

EXAMPLES = """\
examples:
  sudo fmd enrol --broker hub.lan             make this machine a hub, or renew its certificate
  sudo fmd enrol                              list the members
  sudo fmd enrol door-1 --site Lobby          credentials and settings, in the folder door-1
  sudo fmd enrol door-1 --rotate              a new password
  sudo fmd enrol door-1 --revoke              end its connection and its access
  sudo fmd enrol lobby --bridge               the broker of a site
  sudo fmd enrol dashboard --reader           a program that reads all doors
"""
PORT = 8883
AFTER = {
    "door": "it becomes /etc/fmd of the door: fmd flash --config {folder}/fmd.toml, or on a board that runs:\n"
    "  sudo install -o root -g fmd -m 640 {folder}/* /etc/fmd/ && sudo systemctl restart fmd",
    "site": "on the site's broker, copy fmd-bridge.conf to /etc/mosquitto/conf.d and hub-ca.pem to /etc/mosquitto/fmd",
    "reader": "copy it to the program; its user is {name}",
    "operator": "copy it to the program; its user is {name}, and it can command every door with mqtt.commands",
}
"""Kind of member -> what to do with its folder."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd enrol``."""
    add = parser.add_argument
    add("name", nargs="?", default="", metavar="NAME", help="the door's name; without one, list the members")
    add(
        "--broker",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="make this machine a hub, whose broker has this name; repeat for further names of its certificate",
    )
    add("--site", default="", metavar="SITE", help="where the door is: a label in Prometheus")
    add(
        "--address",
        default="",
        metavar="HOST[:PORT]",
        help="where Prometheus reads the door (default: NAME.local:9817)",
    )
    add("--no-metrics", action="store_true", help="Prometheus cannot reach the door, so it serves no metrics")
    add("--config", type=Path, metavar="FILE", help="settings of the door, to which those of the hub are added")
    add("--out", type=Path, metavar="DIR", help="folder to copy to the door (default: NAME, in this folder)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--bridge", dest="kind", action="store_const", const="site", help="enrol the broker of a site")
    kind.add_argument("--reader", dest="kind", action="store_const", const="reader", help="enrol a program that reads")
    kind.add_argument(
        "--operator",
        dest="kind",
        action="store_const",
        const="operator",
        help="enrol a program that reads and commands",
    )
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--rotate", action="store_true", help="give a member a new password; the old one ends")
    change.add_argument("--revoke", action="store_true", help="end the connection and the access of a member")
    add("--root", type=Path, default=Path("/"), metavar="DIR", help="folder that holds the hub's etc/ and run/")


def run(arguments: argparse.Namespace) -> int:
    """Set the hub up, enrol, renew or revoke a member, or list them."""
    from edge.hub.files import Hub

    if not arguments.root.is_dir():
        raise SettingsError(f"--root {arguments.root}: no such folder")
    _check_options(arguments)
    hub = Hub(arguments.root)
    try:
        _do(hub, arguments)
    except PermissionError as error:
        raise HubError(f"{error.filename}: {error.strerror}; run the command with sudo") from error
    return EXIT_OK


def _do(hub: Hub, arguments: argparse.Namespace) -> None:
    if arguments.broker:
        _set_up(hub, arguments.broker)
    elif not arguments.name:
        _list(hub)
    else:
        _check_name(arguments.name)
        hub.register()  # without one this machine is no hub, and gets no folder
        with hub.locked():
            (_revoke if arguments.revoke else _enrol)(hub, arguments)


def _check_options(arguments: argparse.Namespace) -> None:
    """Raise SettingsError for options that this use of the command would ignore."""
    new = [
        name for name in ("site", "address", "no_metrics", "config", "out", "kind", "rotate") if vars(arguments)[name]
    ]
    if arguments.broker and (arguments.name or new or arguments.revoke):
        raise SettingsError(
            "command line: --broker sets the hub up and takes no other option; enrol in a second command"
        )
    if not arguments.broker and not arguments.name and (new or arguments.revoke):
        raise SettingsError("command line: NAME: missing; name the member that the options are for")
    if arguments.revoke and new:
        raise SettingsError("command line: --revoke takes no other option")


def _set_up(hub: Hub, brokers: list[str]) -> None:
    from edge.hub import broker
    from edge.hub.files import Register

    places = [_place("broker", text, PORT) for text in brokers]
    names = tuple(dict.fromkeys(host for host, _ in places))
    with hub.locked():
        members = hub.register().members if hub.is_set_up() else {}
        broker.set_up(hub, names)
        make_folder(hub.targets, 0o755)
        hub.set_register(Register(names, places[0][1], members))
    print(f"{hub.folder}: the broker is {names[0]}:{places[0][1]}; its certificate is for {', '.join(names)}")
    print(f"{hub.authority_key}: anyone who has it can pretend to be the hub; keep a copy offline")
    print("the broker reads it now" if broker.reload(hub) else "then: sudo systemctl restart mosquitto")


def _enrol(hub: Hub, arguments: argparse.Namespace) -> None:
    from edge.hub import broker, folder

    name, register = arguments.name, hub.register()
    before = _present(hub, register, name, arguments.rotate)
    member = _member(arguments, before)
    out = arguments.out or Path(name)
    folder.check(out)
    password = broker.new_password()
    files = _files(hub, register, arguments, member, password)
    # The folder first: access that nobody has the password of would have to be revoked.
    folder.write(out, files)
    broker.set_rights(hub, name, member.kind)
    hub.set_member(name, member)
    broker.set_password(hub, name, password)
    print(f"{out}: credentials of {member.kind} {name}; {AFTER[member.kind].format(folder=out, name=name)}")
    if member.target:
        print(f"Prometheus reads {member.target}")
    if not broker.reload(hub):
        if before is not None:
            raise _not_read(hub, f"{name} has a new password")
        print("the broker does not run here; it knows this password after its next start or reload")


def _revoke(hub: Hub, arguments: argparse.Namespace) -> None:
    from edge.hub import broker

    name = arguments.name
    if name not in hub.register().members and name not in broker.users(hub):
        raise HubError(f"{name}: not enrolled; fmd enrol lists the members")
    # The access first: whatever stops this command later, the credential is worth nothing.
    broker.set_password(hub, name, None)
    reloaded = broker.reload(hub)
    broker.set_rights(hub, name)
    hub.set_member(name, None)
    if not reloaded:
        raise _not_read(hub, f"{name} is revoked")
    broker.reload(hub)
    print(f"{name} is revoked: the broker ends its connection and accepts no other")


def _not_read(hub: Hub, done: str) -> HubError:
    """Return the error of a change that takes access: without its reload the broker goes on with the old files."""
    from edge import paths

    return HubError(
        f"{done} in the files of {hub.folder}, but no mosquitto runs with {hub.under(paths.HUB_PID)}; a running one "
        "must read them: sudo systemctl reload mosquitto"
    )


def _present(hub: Hub, register: Register, name: str, rotate: bool) -> Member | None:
    """Return the member that is to be renewed, None for a new one. Raises HubError for one too many or too few."""
    from edge.hub import broker

    member, has_access = register.members.get(name), name in broker.users(hub)
    if rotate and member is None:
        raise HubError(f"{name}: not enrolled; fmd enrol lists the members")
    if has_access and not rotate:
        broker.reload(hub)  # the command that enrolled it may have been interrupted just before
        raise HubError(f"{name}: enrolled already; --rotate gives it a new password, --revoke ends its access")
    return member


def _member(arguments: argparse.Namespace, before: Member | None) -> Member:
    """Return the member that the options describe; what they leave out stays as it was."""
    from edge.flash import checks
    from edge.hub.files import Member
    from edge.hub.folder import METRICS_PORT

    kind: Kind = arguments.kind or (before.kind if before else "door")
    if before and kind != before.kind:
        raise HubError(f"{arguments.name}: enrolled as a {before.kind}; revoke it first")
    if kind != "door" and (arguments.site or arguments.address or arguments.config or arguments.no_metrics):
        raise SettingsError(f"command line: a {kind} has no --site, --address, --config and --no-metrics")
    site = _site(arguments.site) or (before.site if before else "")
    target = before.target if before else f"{checks.host_name(arguments.name)}.local:{METRICS_PORT}"
    if arguments.address:
        host, port = _place("address", arguments.address, METRICS_PORT)
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if kind != "door" or arguments.no_metrics:
        target = ""
    return Member(kind, datetime.now(timezone.utc).isoformat(timespec="seconds"), site, target)


def _files(
    hub: Hub, register: Register, arguments: argparse.Namespace, member: Member, password: str
) -> dict[str, bytes]:
    from edge.hub import folder

    if member.kind == "door":
        return folder.for_door(hub, register, arguments.name, password, arguments.config, bool(member.target))
    if member.kind == "site":
        return folder.for_site(hub, register, arguments.name, password)
    return folder.for_reader(hub, password)


def _check_name(name: str) -> None:
    """Raise SettingsError for a name that a topic, a file or a host cannot have: no + # / and no line break."""
    from edge.flash import checks

    try:
        checks.check("door", name)
    except SettingsError as error:
        raise SettingsError(f"command line: NAME: {error}") from error


def _site(text: str) -> str:
    if text and not (text.isprintable() and len(text) <= 64):
        raise SettingsError(f"command line: --site: got {text!r}, expected up to 64 printable characters")
    return text


def _place(option: str, text: str, port: int) -> tuple[str, int]:
    """Return host and port of an option. Raises SettingsError."""
    from edge.flash import checks

    try:
        checks.check("mqtt", text)
    except SettingsError as error:
        raise SettingsError(f"command line: --{option}: {error}") from error
    host, stated = checks.broker(text)
    return host, stated if text.endswith(f":{stated}") else port


def _list(hub: Hub) -> None:
    from edge.hub import broker

    members, with_access = hub.register().members, broker.users(hub)
    rows = [("NAME", "KIND", "SITE", "METRICS", "SINCE")]
    for name in sorted(members.keys() | with_access):
        if (member := members.get(name)) is None:
            rows.append((name, "not by fmd", "", "", ""))
        else:
            since = member.at if name in with_access else "no access: enrol it again"
            rows.append((name, member.kind, member.site, member.target, since))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    with naming_stdout():
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
