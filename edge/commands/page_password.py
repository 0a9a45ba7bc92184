"""``fmd page password``: set or remove the password of a role."""

from __future__ import annotations

import getpass
import sys
from contextlib import suppress
from pathlib import Path

from edge.errors import SettingsError
from edge.files import read_regular, write_atomically
from edge.page import password

MOST_BYTES = 4096
MODE = 0o640


def change(file: Path, role: str, remove: bool) -> None:
    """Write the file with the new password of a role. Raises SettingsError, and OSError if it cannot be written."""
    hashes = _present(file)
    if remove:
        if hashes.pop(role, None) is None:
            raise SettingsError(f"{file}: {role} has no password")
    else:
        hashes[role] = password.hashed(_typed(role))
    write_atomically(file, password.written(hashes).encode(), MODE, durable=True, group=group_of_page())
    print(f"{role} {'cannot sign in any more' if remove else 'can sign in with the new password'} ({file})")


def group_of_page() -> int | None:
    """Return the number of the page's group, or None: on a laptop a user serves the page for themselves."""
    import grp

    from edge.page_messages import GROUP
    from edge.paths import is_root

    with suppress(KeyError):
        return grp.getgrnam(GROUP).gr_gid if is_root() else None
    return None


def _present(file: Path) -> dict[str, str]:
    """Return the hashes in the file. A damaged file is an error: who set it up should see that."""
    try:
        return password.read(read_regular(file, MOST_BYTES).decode())
    except FileNotFoundError:
        return {}
    except ValueError as error:  # SettingsError and UnicodeDecodeError among them
        raise SettingsError(f"{file}: {error}; delete the file and set all passwords again") from error


def _typed(role: str) -> str:
    """Return a new password from the terminal, typed twice, or from a pipe."""
    if sys.stdin.isatty():
        typed = getpass.getpass(f"New password for {role}: ")
        if typed != getpass.getpass("The same again: "):
            raise SettingsError("the two passwords differ; nothing has changed")
    else:
        typed = sys.stdin.readline().rstrip("\r\n")
    problem = password.problem(typed)
    if problem:
        raise SettingsError(f"password: {problem}")
    return typed
