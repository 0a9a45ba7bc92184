"""The installer against what a hostile user fmd can stage, and against kills, full disks and exchanged files.

The store of these tests belongs to the user who runs them; ``incoming`` is the folder that an attacker can write to.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

from edge import files, paths, state_file
from edge.errors import BundleError, OutputError, SettingsError
from edge.inference import bundle
from edge.service import model_installer, model_store, shadow_run
from edge.service.model_installer import INCOMING, RESULTS, Request, Result, ask, migrate, perform, prepare, take
from edge.service.model_proof import Replayed
from edge.service.model_store import SHIPPED, Choice, ModelStore
from tests.edge.service.disks import on_a_disk, small_disk

TASK = "classifier"
GOOD, OTHER = b"good model" * 50, b"other model" * 50


def checked(data: bytes, path: Path) -> Replayed:
    """Stands for the check in a child process: it accepts both models."""
    if data not in (GOOD, OTHER):
        raise BundleError(f"{path}: damaged")
    return Replayed(0.0, "stub 1", TASK, ("with_mask", "without_mask"))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    made = ModelStore(tmp_path / "state")
    prepare(made)
    return made


def stage(store: ModelStore, request: Request | bytes, data: bytes | None = None) -> str:
    """Stage a request as any member of the group fmd can; return its number."""
    number = uuid.uuid4().hex
    if data is not None:
        (store.folder / INCOMING / f"{number}.model").write_bytes(data)
    content = request if isinstance(request, bytes) else msgspec.json.encode(request)
    (store.folder / INCOMING / f"{number}.json").write_bytes(content)
    return number


def install_of(data: bytes) -> Request:
    return Request("install", sha256=hashlib.sha256(data).hexdigest())


def result_of(store: ModelStore, number: str) -> Result:
    result = state_file.read_state(store.folder / RESULTS / f"{number}.json", Result)
    assert result is not None
    return result


def left(store: ModelStore) -> list[str]:
    return sorted(path.name for path in (store.folder / INCOMING).iterdir() if not path.name.startswith(".ignored"))


def test_a_staged_file_is_checked_installed_and_used_on_request(store: ModelStore) -> None:
    number = stage(store, install_of(GOOD), GOOD)
    assert take(store, checked) == 1
    installed = result_of(store, number)
    assert (installed.task, installed.labels, installed.error) == (TASK, ("with_mask", "without_mask"), "")
    assert (store.folder / installed.name).read_bytes() == GOOD
    assert store.chosen(TASK) is None
    number = stage(store, Request("switch", TASK, installed.name))
    take(store, checked)
    assert result_of(store, number) == Result(TASK, installed.name)
    assert store.chosen(TASK) == store.folder / installed.name
    number = stage(store, Request("rollback", TASK))
    take(store, checked)
    assert result_of(store, number) == Result(TASK, SHIPPED)
    assert left(store) == []


@pytest.mark.parametrize("mask", [0o022, 0o077], ids=oct)
def test_files_of_a_store_are_readable_and_not_writable_by_others(store: ModelStore, mask: int) -> None:
    """Also where root's own mask is strict: the service's user reads them."""
    os.umask(mask)
    stage(store, install_of(GOOD), GOOD)
    take(store, checked)
    stage(store, Request("switch", TASK, store.files(TASK)[0].name))
    take(store, checked)
    for path in (store.folder, *store.folder.iterdir()):
        assert path.stat().st_mode & 0o022 == 0, path
        assert path.stat().st_mode & 0o004, path


def test_a_file_that_is_refused_or_exchanged_is_not_installed(store: ModelStore) -> None:
    refused = stage(store, install_of(b"bad"), b"bad")
    exchanged = stage(store, install_of(GOOD), OTHER)
    missing = stage(store, install_of(GOOD))
    assert take(store, checked) == 3
    assert result_of(store, refused).error == "the model file: damaged"
    assert "changed while it was installed" in result_of(store, exchanged).error
    assert "No such file" in result_of(store, missing).error
    assert store.files(TASK) == []


def test_a_request_on_a_card_that_turned_read_only_is_not_done_and_is_reported(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = stage(store, install_of(GOOD), GOOD)

    def refuse(*names: str, **options: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), names[0])

    with monkeypatch.context() as read_only:
        for name in ("unlink", "rename", "replace"):
            read_only.setattr(os, name, refuse)
        with pytest.raises(OutputError, match=r"incoming: \w+\.json cannot be removed.*Read-only.*; is it"):
            take(store, checked)
    assert store.files(TASK) == []
    assert take(store, checked) == 1
    assert result_of(store, number).name.startswith(f"{TASK}-")


def test_a_file_exchanged_during_its_check_changes_nothing(store: ModelStore) -> None:
    number = stage(store, install_of(GOOD), GOOD)

    def exchanging(data: bytes, path: Path) -> Replayed:
        for name in (f"{number}.model", f"{number}.json"):
            (store.folder / INCOMING / name).write_bytes(OTHER)
        return checked(data, path)

    take(store, exchanging)
    assert (store.folder / result_of(store, number).name).read_bytes() == GOOD


def fifo(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, secret: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


def device(path: Path, secret: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path, secret: Path) -> None:
    with path.open("wb") as file:
        file.truncate(bundle.MAX_FILE + 1)


ATTACKS: list[Callable[[Path, Path], object]] = [
    lambda path, secret: path.symlink_to(secret),
    lambda path, secret: path.hardlink_to(secret),
    lambda path, secret: path.symlink_to(path.name),
    fifo,
    folder,
    device,
    huge,
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("what", ["model", "json"])
def test_whatever_is_staged_root_follows_nothing_and_waits_for_nothing(
    store: ModelStore, tmp_path: Path, attack: Callable[[Path, Path], object], what: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(GOOD if what == "model" else msgspec.json.encode(Request("rollback", TASK)))
    number = uuid.uuid4().hex
    attack(store.folder / INCOMING / f"{number}.{what}", secret)
    if what == "model":
        (store.folder / INCOMING / f"{number}.json").write_bytes(msgspec.json.encode(install_of(GOOD)))
    take(store, checked)
    assert result_of(store, number).error
    assert store.files(TASK) == []
    assert secret.read_bytes()
    assert left(store) == []
    assert take(store, checked) == 0  # nothing that the path unit would start the service for again and again


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 60_000,
        b"\xff\xfe",
        b'{"action": "chmod"}',
        b'{"action": "switch"}',
        b'{"action": "switch", "task": "classifier", "name": "../../etc/passwd"}',
        b'{"action": "switch", "task": "classifier", "name": "detector-0123456789ab.tflite"}',
        b'{"action": "shadow", "task": "classifier", "name": "/etc/passwd"}',
        b'{"action": "rollback", "task": "classifier"}',
    ],
)
def test_requests_that_make_no_sense_are_refused(store: ModelStore, content: bytes) -> None:
    number = stage(store, content)
    take(store, checked)
    assert result_of(store, number).error
    assert store.read(TASK) == (Choice(), "")
    assert not (store.folder / shadow_run.REQUEST).exists()


@pytest.mark.parametrize("name", ["x.json", "..json", f"{'a' * 32}.json.json", f"{'g' * 32}.json", " .json"])
def test_other_names_start_nothing_again(store: ModelStore, name: str) -> None:
    (store.folder / INCOMING / name).write_bytes(b"{}")
    assert take(store, checked) == 0
    assert left(store) == []
    assert list((store.folder / RESULTS).iterdir()) == []


def test_links_in_the_place_of_the_stores_folders_are_not_followed(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (store.folder / INCOMING).rmdir()
    (store.folder / INCOMING).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        take(store, checked)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root refuses folders of others")
@pytest.mark.parametrize("exchanged", ["folder", "parent", "link", "writable"])
def test_root_refuses_a_store_that_another_user_could_exchange(tmp_path: Path, exchanged: str) -> None:
    """The state directory of the service, given as --state of another place, and its models replaced by a link."""
    place, target = tmp_path / "place", tmp_path / "roots-own"
    place.mkdir()
    target.mkdir(mode=0o700)
    store = ModelStore(place / "state")
    if exchanged == "link":
        store.folder.symlink_to(target)
    elif exchanged == "folder":
        store.folder.mkdir()
        os.chown(store.folder, 65534, 65534)
    elif exchanged == "parent":
        os.chown(place, 65534, 65534)
    else:
        place.chmod(0o777)
    result = perform(store, install_of(GOOD), GOOD, "x", checked)
    assert "root writes only where no other user can" in result.error or "File exists" in result.error
    assert list(target.iterdir()) == []
    about = target.stat()
    assert (about.st_uid, about.st_gid, about.st_mode & 0o777) == (0, 0, 0o700)


def test_links_in_the_old_place_of_the_models_lead_root_nowhere(tmp_path: Path) -> None:
    """`ln -s /some/root-dir STATE/models` gave that folder to user fmd."""
    target, state = tmp_path / "roots-own", tmp_path / "state"
    target.mkdir(mode=0o700)
    state.mkdir()
    (state / "models").symlink_to(target)
    store = ModelStore(state)
    assert migrate(store, state / "models", checked) == []
    assert perform(store, install_of(GOOD), GOOD, "x", checked).error == ""
    assert list(target.iterdir()) == []
    assert target.stat().st_mode & 0o777 == 0o700


class OldStore:
    """The model store of an earlier version, in the service's state directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state/models"
        self.folder.mkdir(parents=True)
        self.current, self.before = self.add(GOOD), self.add(OTHER)
        (self.folder / f"{TASK}.tflite").symlink_to(self.current)
        (self.folder / f"{TASK}.previous").symlink_to(self.before)

    def add(self, data: bytes) -> str:
        name = f"{TASK}-{hashlib.sha256(data).hexdigest()[:12]}.tflite"
        (self.folder / name).write_bytes(data)
        return name


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldStore:
    # The files of these tests are no flatbuffers; an earlier version stored only those.
    monkeypatch.setattr(model_store, "is_tflite", lambda data: True)
    return OldStore(tmp_path)


@pytest.mark.parametrize("proven", [True, False])
def test_models_of_an_earlier_version_are_taken_over(tmp_path: Path, old: OldStore, proven: bool) -> None:
    if not proven:
        (old.folder / f"{TASK}.unproven").touch()
    store = ModelStore(tmp_path / "state")
    said = migrate(store, old.folder, checked)
    assert said == [f"{TASK} {old.current}: taken over", f"{TASK} {old.before}: taken over"]
    choice = store.read(TASK).choice
    assert (choice.current, choice.previous, choice.proven) == (old.current, old.before, proven)
    assert (store.folder / old.current).read_bytes() == GOOD
    store.switch(TASK, SHIPPED)
    assert migrate(store, old.folder, checked) == []  # once
    assert store.chosen(TASK) is None


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_old_store_is_not_followed(
    tmp_path: Path, old: OldStore, attack: Callable[[Path, Path], object]
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(GOOD)
    (old.folder / old.current).unlink()
    attack(old.folder / old.current, secret)
    store = ModelStore(tmp_path / "state")
    said = migrate(store, old.folder, checked)
    assert said[0].startswith(f"{TASK} {old.current}: not taken over: ")
    # The service reports that it uses another one.
    assert store.read(TASK).choice.current == old.current
    assert [path.name for path in store.files(TASK)] == [old.before]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "detector-0123456789ab.tflite", "shipped"])
def test_an_old_link_to_anything_else_is_ignored(tmp_path: Path, old: OldStore, target: str) -> None:
    (old.folder / f"{TASK}.tflite").unlink()
    (old.folder / f"{TASK}.tflite").symlink_to(target)
    store = ModelStore(tmp_path / "state")
    assert migrate(store, old.folder, checked) == []
    assert store.read(TASK) == (Choice(), "")


def scenario(store: ModelStore) -> None:
    """What a client asks for when it installs a second model: all that the installer writes."""
    stage(store, install_of(OTHER), OTHER)
    take(store, checked)
    stage(store, Request("shadow", TASK, name_of(OTHER), seconds=1.0))
    stage(store, Request("switch", TASK, name_of(OTHER)))
    stage(store, Request("withdraw", TASK))
    take(store, checked)


def name_of(data: bytes) -> str:
    return f"{TASK}-{hashlib.sha256(data).hexdigest()[:12]}.onnx"


WRITING = {module.__file__ for module in (model_installer, model_store, files, state_file, shadow_run)}


def lines_until(number: int) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that kills the process at the ``number``th line of the modules that write."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in WRITING:
            return None
        if event == "line":
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def killed_at(number: int, store: ModelStore) -> bool:
    """Run the scenario in a process that is killed at a line; return whether it came so far."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover (in another process)
        sys.settrace(lines_until(number))
        scenario(store)
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def assert_whole(store: ModelStore) -> None:
    """The store names a whole file, and every file under a final name is whole."""
    choice, problem = store.read(TASK)
    assert not problem
    assert choice.current in (name_of(GOOD), name_of(OTHER))
    for path in store.files(TASK):
        assert bundle.sha256(path.read_bytes())[:12] in path.name
    assert (store.folder / choice.current).is_file()
    assert choice.previous in (SHIPPED, name_of(GOOD))


def with_a_model(folder: Path) -> ModelStore:
    store = ModelStore(folder / "state")
    prepare(store)
    perform(store, install_of(GOOD), GOOD, "x", checked)
    store.switch(TASK, name_of(GOOD))
    return store


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_line_leaves_a_whole_model_in_use(tmp_path: Path, step: int) -> None:
    killed = 0
    while True:
        place = tmp_path / str(killed)
        place.mkdir()
        store = with_a_model(place)
        if not killed_at(1 + killed * step, store):
            break
        killed += 1
        assert_whole(store)
        # The next request works, whatever was left.
        scenario(store)
        assert store.read(TASK).choice.current == name_of(OTHER)
        assert not [name for name in left(store) if name.endswith(".json")]  # a model alone goes after an hour
    assert killed * step > 300


def test_a_full_disk_leaves_the_model_in_use(tmp_path: Path) -> None:
    store = with_a_model(tmp_path)
    with small_disk(store.folder) as fill:
        number = stage(store, install_of(OTHER), OTHER)

        def filling(data: bytes, path: Path) -> Replayed:
            fill()
            return checked(data, path)

        take(store, filling)
        assert_whole(store)
        assert [path.name for path in store.files(TASK)] == [name_of(GOOD)]
        assert not list(store.folder.glob("*.part"))
        answer = state_file.read_state(store.folder / RESULTS / f"{number}.json", Result)
        assert answer is None or "No space left" in answer.error
        (store.folder / "filler").unlink()
        scenario(store)
        assert store.read(TASK).choice.current == name_of(OTHER)


def test_without_its_unit_the_same_is_done_here_and_errors_name_the_file(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "state")
    with pytest.raises(BundleError, match=r"^mine\.tflite: not a TFLite file"):
        ask(store, Request("install"), b"no model", "mine.tflite")
    with pytest.raises(SettingsError, match="no earlier classifier to go back to"):
        ask(store, Request("rollback", TASK))


class Systemd:
    """Stands for a path unit: it takes what is staged as soon as a client looks for the result."""

    def __init__(self, store: ModelStore, answers: bool = True) -> None:
        self.store, self.answers, self.now_s = store, answers, 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.answers:
            take(self.store, checked)

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setattr(paths, "STATE", tmp_path / "lib/fmd")
    (tmp_path / "lib").mkdir()
    store = ModelStore(paths.STATE)
    prepare(store)
    return Systemd(store)


def test_a_client_stages_waits_and_gets_the_result(served: Systemd) -> None:
    store = served.store
    result = model_installer.staged(store, install_of(GOOD), GOOD, served.sleep, served.monotonic)
    assert result.name == name_of(GOOD)
    assert left(store) == []
    served.answers = False
    with pytest.raises(SettingsError, match="no answer within 240 s; the disk may be full"):
        model_installer.staged(store, install_of(OTHER), OTHER, served.sleep, served.monotonic)
    assert left(store) == []


def test_a_client_notices_that_another_file_was_installed_instead(served: Systemd) -> None:
    """A member of the group fmd exchanges the request of root; what it installs was checked, but is not root's."""
    store = served.store

    def exchange(seconds: float) -> None:
        for path in (store.folder / INCOMING).glob("*.json"):
            path.write_bytes(msgspec.json.encode(install_of(OTHER)))
            path.with_suffix(".model").write_bytes(OTHER)
        served.sleep(seconds)

    with pytest.raises(BundleError, match="another file was installed instead"):
        model_installer.staged(store, install_of(GOOD), GOOD, exchange, served.monotonic)


def snapshots_during(image: Path, out: Path, every: int) -> Callable[[FrameType, str, Any], Any]:
    """Return a trace function that copies what the disk holds, at every ``every``th line of the modules that write."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in WRITING:
            return None
        if event == "line":
            count += 1
            if count % every == 0:
                shutil.copy(image, out / f"{count:05}.img")
        return trace

    return trace


@pytest.mark.parametrize("every", [40, pytest.param(3, marks=pytest.mark.slow)])
def test_a_power_cut_at_any_time_leaves_a_whole_model_in_use(tmp_path: Path, every: int) -> None:
    """On a real file system: what it has written to its disk so far, without what waits in memory, is mounted again."""
    image, place, out = tmp_path / "disk.img", tmp_path / "mounted", tmp_path / "cuts"
    place.mkdir()
    out.mkdir()
    with on_a_disk(image, place):
        store = with_a_model(place)
        os.sync()
        sys.settrace(snapshots_during(image, out, every))
        try:
            scenario(store)
        finally:
            sys.settrace(None)
    cuts = sorted(out.iterdir())
    assert len(cuts) > 300 / every
    seen = set()
    for cut in cuts:
        with on_a_disk(cut, place, new=False):
            assert_whole(store)
            seen.add(store.read(TASK).choice.current)
            # The next request works, whatever was left.
            scenario(store)
            assert store.read(TASK).choice.current == name_of(OTHER)
        cut.unlink()
    assert seen == {name_of(GOOD), name_of(OTHER)}
