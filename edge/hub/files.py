"""Files of a hub, and what is known of each member. One process changes them at a time; each is replaced as a whole."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from edge import paths
from edge.errors import HubError
from edge.files import make_folder, read_regular, write_atomically

Kind = Literal["door", "site", "reader", "operator"]
"""A door; a site's broker, which forwards its doors; a program that reads all doors, or one that also commands them."""
MAX_FILE = 64 << 20
"""Bytes of the largest file that is read: enough for 100,000 members."""
SET_UP = "to make this machine a hub: sudo fmd enrol --broker NAME"


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who has credentials. ``at`` is when they were made (ISO 8601, UTC); ``target`` is what Prometheus reads."""

    kind: Kind
    at: str
    site: str = ""
    target: str = ""


class Register(msgspec.Struct, frozen=True):
    """What a hub knows: the names of its broker, first the one that members use, its port, and its members."""

    names: tuple[str, ...]
    port: int
    members: dict[str, Member] = {}


class Hub:
    """The files of the hub whose file system begins at ``root``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self.folder = self.under(paths.HUB)
        self.targets = self.under(paths.HUB_TARGETS)
        self.authority, self.authority_key = self.folder / "ca.pem", self.folder / "ca.key"
        self.server, self.passwords, self.acl = (self.folder / name for name in ("server.pem", "passwords", "acl"))
        self._register = self.folder / "members.json"

    def under(self, path: Path) -> Path:
        """Return where this hub has ``path``."""
        return self._root / path.relative_to("/")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process changes the hub, and keep others from it. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def read(self, path: Path) -> bytes:
        """Return a file of the hub, empty if there is none. Raises OSError for a link, a folder or a larger one."""
        with suppress(FileNotFoundError):
            return read_regular(path, MAX_FILE)
        return b""

    def write(self, path: Path, data: bytes, for_broker: bool = False, for_all: bool = False) -> None:
        """Replace a file of the hub, which only root, the broker, or every user may read. Raises OSError.

        A file that has this content and these permissions already is not written.
        """
        user, group = self._broker_user() if for_broker else (None, None)
        mode = 0o644 if for_all else 0o600
        owner = os.geteuid() if user is None else user
        if _rights_of(path) == (stat.S_IFREG | mode, owner) and self.read(path) == data:
            return
        # mosquitto 2.0.18 announces that it will refuse passwords that others may read, or that another user owns.
        write_atomically(path, data, mode, durable=True, group=group, owner=user)

    def register(self) -> Register:
        """Return what the hub knows. Raises HubError if this machine is no hub, or if the file is damaged."""
        if not (data := self.read(self._register)):
            raise HubError(f"{self._register}: no such file; {SET_UP}")
        try:
            return msgspec.json.decode(data, type=Register)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise HubError(f"{self._register}: damaged ({error}); restore it from a backup") from error

    def is_set_up(self) -> bool:
        """Return whether the file of :meth:`register` exists, readable or not."""
        return os.path.lexists(self._register)

    def set_register(self, register: Register) -> None:
        """Replace what the hub knows. Raises OSError."""
        data = msgspec.json.format(msgspec.json.encode(register), indent=1)
        self.write(self._register, data + b"\n")

    def set_member(self, name: str, member: Member | None) -> None:
        """Replace what is known of a member, and what Prometheus reads of it; None removes both. Raises OSError."""
        register, target = self.register(), self.targets / f"{name}.json"
        if member is not None and member.target:
            make_folder(self.targets, 0o755)
            labels = {"door": name, "site": member.site}
            read = [{"targets": [member.target], "labels": labels}]
            self.write(target, msgspec.json.encode(read) + b"\n", for_all=True)
        else:
            target.unlink(missing_ok=True)
        others = {key: value for key, value in register.members.items() if key != name}
        members = others if member is None else {**others, name: member}
        self.set_register(msgspec.structs.replace(register, members=members))

    def _broker_user(self) -> tuple[int | None, int | None]:
        """Return user and group of the broker: those of its passwords, else mosquitto's; None: this process'."""
        if not paths.is_root():
            return None, None
        with suppress(FileNotFoundError):
            found = self.passwords.stat()
            return found.st_uid, found.st_gid
        with suppress(KeyError):
            user = pwd.getpwnam("mosquitto")
            return user.pw_uid, user.pw_gid
        return None, None


def _rights_of(path: Path) -> tuple[int, int] | None:
    """Return type with permissions, and owner of a file; None if there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_mode, found.st_uid
