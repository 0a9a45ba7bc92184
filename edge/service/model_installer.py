"""Model installer: the one writer of a model store. It takes files that others have staged.

    incoming/ID.model     staged model file
    incoming/ID.json      :class:`Request`, renamed to this name last
    results/ID.json       :class:`Result`

On a board, a path unit starts :mod:`edge.commands.model_unit` as root when a request appears. ``incoming`` is the only
folder of the store that the group fmd can write to, so everything in it is hostile: it is opened without following
links, only regular files with one name are read, once, and never written. What was read is checked in a process without
privileges, and these same bytes are installed.

Without that unit, or for another store, :func:`ask` does the same work in its own process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from edge import paths, state_file
from edge.errors import BundleError, FmdError, OutputError, SettingsError
from edge.files import make_folder, sync_folder, write_atomically
from edge.inference.bundle import MAX_FILE
from edge.service import shadow_run
from edge.service.model_proof import Replayed, check
from edge.service.model_store import SHIPPED, Choice, ModelStore
from edge.service.shadow_run import ShadowRequest

log = logging.getLogger(__name__)

INCOMING, RESULTS = "incoming", "results"
UNIT = "fmd-model.path"
REQUEST = re.compile(r"([0-9a-f]{32})\.json")
MAX_REQUEST = 1 << 16
STAGED = "the model file"
"""Name of a staged file in messages."""
ANSWER_S = 240.0
"""Longest wait for a result. A slow card takes a minute to load the runtime, twice."""
POLL_S = 0.1
OLD_S = 3600.0
"""Age from which leftovers are deleted."""

Check = Callable[[bytes, Path], Replayed]
"""(bytes of a model file, its name for messages): raises BundleError unless the file is fit for this board."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to do: install a staged file, use an installed one, go back, begin or withdraw a shadow run."""

    action: Literal["install", "switch", "rollback", "shadow", "withdraw"]
    task: Literal["classifier", "detector", ""] = ""
    name: str = ""
    sha256: str = ""
    seconds: float = 0.0


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was done: the model's task, file name in the store, and labels. ``error`` is why nothing was done."""

    task: str = ""
    name: str = ""
    labels: tuple[str, ...] = ()
    error: str = ""


def ask(store: ModelStore, request: Request, data: bytes = b"", shown: str = "") -> Result:
    """Have a request done, by the installer's unit if it serves this store; ``data`` is the model file to install.

    ``shown`` names it in messages. Raises BundleError if the model is refused, SettingsError if the request is, and
    OSError.
    """
    request = msgspec.structs.replace(request, sha256=hashlib.sha256(data).hexdigest() if data else "")
    result = staged(store, request, data) if _is_served(store) else perform(store, request, data, shown or STAGED)
    if result.error:
        error = result.error.replace(STAGED, shown or STAGED)
        raise (BundleError if request.action == "install" else SettingsError)(error)
    return result


def perform(store: ModelStore, request: Request, data: bytes, shown: str, checked_by: Check = check) -> Result:
    """Do a request and return its result; an expected error is one."""
    try:
        return _perform(store, request, data, shown, checked_by)
    except FmdError as error:
        return Result(error=str(error))
    except OSError as error:
        return Result(error=f"{error.filename or store.folder}: {error.strerror}")


def _perform(store: ModelStore, request: Request, data: bytes, shown: str, checked_by: Check) -> Result:
    task, name = request.task, request.name
    if request.action == "install":
        if hashlib.sha256(data).hexdigest() != request.sha256:
            raise BundleError(f"{shown}: changed while it was installed; install it again")
        checked = checked_by(data, Path(shown))
        path = store.add(data, checked.task, request.sha256)
        return Result(checked.task, path.name, checked.labels)
    if not task:
        raise SettingsError(f"a request to {request.action} names no task")
    if request.action == "rollback":
        return Result(task, store.roll_back(task))
    if request.action == "withdraw":
        shadow_run.withdraw_request(store.folder)
        return Result(task)
    if name != SHIPPED and not (store.is_name(name, task) and (store.folder / name).is_file()):
        raise SettingsError(f"{store.folder}: no {task} {name!r}; fmd model list shows the installed models")
    if request.action == "shadow":
        file = str(store.folder / name)
        shadow_run.write_request(store.folder, ShadowRequest(file, task, request.seconds, uuid.uuid4().hex))
    else:
        store.switch(task, name)
        store.prune(task)
    return Result(task, name)


def take(store: ModelStore, checked_by: Check = check) -> int:
    """Do all staged requests, write their results, and return how many there were.

    Raises SettingsError, OSError, and OutputError if a request cannot be removed: nothing was done for it.
    """
    prepare(store)
    folder = os.open(store.folder / INCOMING, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    count = 0
    try:
        stuck: OutputError | None = None
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 (of a descriptor)
            try:
                count += name.endswith(".json") and _take_one(store, folder, name, checked_by)
            except OutputError as error:
                stuck = error
        _tidy(folder)
        if stuck is not None:
            raise OutputError(f"{store.folder / INCOMING}: {stuck}; is it read-only? findmnt --target {store.folder}")
    finally:
        os.close(folder)
    results = os.open(store.folder / RESULTS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _tidy(results)
    finally:
        os.close(results)
    return count


def prepare(store: ModelStore) -> None:
    """Create the folders of a store. Only the group that ``incoming`` has on a board may write to it."""
    store.create()
    for name in (INCOMING, RESULTS):
        make_folder(store.folder / name, 0o755)


def _take_one(store: ModelStore, folder: int, name: str, checked_by: Check) -> bool:
    """Do one request, and return whether it was one. It is deleted first, so that none is done twice.

    Raises OutputError if it cannot be deleted.
    """
    match = REQUEST.fullmatch(name)
    try:
        asked = _read_once(folder, name, MAX_REQUEST)
        if match is None:
            return False
        request = msgspec.json.decode(asked, type=Request)
        data = _read_once(folder, f"{match[1]}.model", MAX_FILE) if request.action == "install" else b""
        result = perform(store, request, data, STAGED, checked_by)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        result = Result(error=f"not a request: {error}")
    except OutputError:
        raise
    except OSError as error:
        result = Result(error=f"{error.filename or name}: {error.strerror}")
    if match is None:
        return False
    log.info("%s: %s", match[1], result.error or f"{result.task} {result.name}")
    try:
        state_file.write_state(store.folder / RESULTS / f"{match[1]}.json", result, for_all=True)
    except OSError as error:  # a full disk: the client stops waiting by itself
        log.error("%s: %s", store.folder / RESULTS, error.strerror)
    return True


def _read_once(folder: int, name: str, limit: int) -> bytes:
    """Return the bytes of a file in ``incoming`` and remove it. Raises OSError unless it is a regular file of one name.

    A second name could be a link to a file that its maker cannot read.
    """
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
                raise OSError(0, "not a regular file with one name", name)
            if about.st_size > limit:
                raise OSError(0, f"has {about.st_size} bytes, at most {limit} are allowed", name)
            data = file.read(limit)
    finally:
        _discard(folder, name)
    return data


def _discard(folder: int, name: str) -> None:
    """Remove a name from ``incoming``; a folder, which may be full, gets a name that starts nothing.

    Raises OutputError if neither is possible.
    """
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError:
        try:
            os.rename(name, f".ignored-{uuid.uuid4().hex}", src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            raise OutputError(f"{name} cannot be removed, and nothing is done for it: {error.strerror}") from error


def _tidy(folder: int) -> None:
    """Delete files that were left long ago by processes that were killed."""
    for name in os.listdir(folder):
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(about.st_mode) and time.time() - about.st_mtime > OLD_S:
                os.unlink(name, dir_fd=folder)
        except OSError as error:
            log.debug("%s: %s", name, error.strerror)


def _is_served(store: ModelStore) -> bool:
    """Return whether systemd waits for requests to this store."""
    if store.folder != paths.model_folder(paths.STATE) or not Path("/run/systemd/system").is_dir():
        return False
    return subprocess.run(["systemctl", "is-active", "--quiet", UNIT], check=False).returncode == 0


def staged(
    store: ModelStore,
    request: Request,
    data: bytes,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Stage a request for the unit, wait for its result and return it.

    Raises SettingsError without an answer, BundleError if another file than ``data`` was installed, and OSError.
    """
    number, incoming = uuid.uuid4().hex, store.folder / INCOMING
    try:
        if data:
            write_atomically(incoming / f"{number}.model", data, mode=0o644)
        state_file.write_state(incoming / f"{number}.json", request, for_all=True)
    except PermissionError as error:
        raise SettingsError(f"{incoming}: only root and the group fmd may install models; use sudo") from error
    answer, until_s = store.folder / RESULTS / f"{number}.json", clock() + ANSWER_S
    while (result := state_file.read_state(answer, Result)) is None:
        if clock() > until_s:
            for suffix in ("json", "model"):
                (incoming / f"{number}.{suffix}").unlink(missing_ok=True)
            raise SettingsError(
                f"no answer within {ANSWER_S:.0f} s; the disk may be full: journalctl -u fmd-model, df {store.folder}"
            )
        sleep(POLL_S)
    # Who may write to ``incoming`` could have put other requests there; the name states which bytes were installed.
    if request.action == "install" and not result.error and request.sha256[:12] not in result.name:
        raise BundleError("another file was installed instead; see: journalctl -u fmd-model")
    return result


def migrate(store: ModelStore, old: Path, checked_by: Check = check) -> list[str]:
    """Take over the models of an earlier version from ``old``, a folder of the service's user; return what to report.

    A store that has a choice already stays as it is. Raises SettingsError and OSError.
    """
    try:
        folder = os.open(old, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return []
    try:
        prepare(store)
        said = [line for task in paths.TASKS for line in _migrate_task(store, folder, task, checked_by)]
    finally:
        os.close(folder)
    sync_folder(store.folder)
    return said


def _migrate_task(store: ModelStore, folder: int, task: str, checked_by: Check) -> list[str]:
    if (store.folder / f"{task}.json").exists():
        return []
    names = []
    for link in (f"{task}.tflite", f"{task}.previous"):
        try:
            names.append(os.readlink(link, dir_fd=folder))
        except OSError:
            names.append("")
    current, previous = names
    if not store.is_name(current, task):
        return []
    said = []
    for name in dict.fromkeys(name for name in names if store.is_name(name, task)):
        try:
            data = _read(folder, name)
            digest = hashlib.sha256(data).hexdigest()
            if digest[:12] != name.split("-")[1][:12]:
                raise BundleError(f"{name}: changed since it was installed")
            checked = checked_by(data, Path(name))
            if checked.task != task:
                raise BundleError(f"{name}: holds a {checked.task}")
            store.add(data, task, digest)
            said.append(f"{task} {name}: taken over")
        except (FmdError, OSError) as error:
            # The choice names it all the same: the service then reports that it uses another one.
            said.append(f"{task} {name}: not taken over: {error}")
    known = previous if previous == SHIPPED or store.is_name(previous, task) else ""
    tried = not _exists(folder, f"{task}.unproven")
    store.store(task, Choice(current, known, uuid.uuid4().hex, proven=tried))
    return said


def _read(folder: int, name: str) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1 or about.st_size > MAX_FILE:
            raise OSError(0, "not a regular file with one name", name)
        return file.read(MAX_FILE)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True
