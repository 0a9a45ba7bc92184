"""Choice among installed, previous and shipped models: the door is watched whatever the disk holds."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import config, paths
from edge.errors import BundleError, CameraError
from edge.inference import bundle
from edge.service import models
from edge.service.model_choice import DIED, PROVEN, RECORD, REFUSED, TRIED, ModelChooser, TrialRecord
from edge.service.model_store import SHIPPED, Choice, ModelStore
from tests.edge.parts import environment, fmd, write_clip
from tests.edge.service.disks import full_of_names, read_only, small_disk

TASK = "classifier"


class Board:
    """A store with two installed models of a few bytes, and the folders of a service."""

    def __init__(self, folder: Path) -> None:
        self.state, self.runtime = folder / "state", folder / "run"
        self.state.mkdir()
        self.runtime.mkdir()
        self.store = ModelStore(self.state)
        self.first, self.second = (self.add(text) for text in ("first", "second"))
        self.store.switch(TASK, self.first)
        self.store.switch(TASK, self.second)

    def add(self, text: str) -> str:
        return self.store.add(text.encode(), TASK, bundle.sha256(text.encode())).name

    def record(self, read_only: bool = False) -> TrialRecord:
        return TrialRecord(self.state, self.runtime, read_only)

    def start(self, **more: Any) -> tuple[str, ModelChooser]:
        """What a new process opens: the name of the model, and its chooser."""
        chooser = ModelChooser(self.store, self.record(), **more)
        chooser.open(TASK, opened)
        return chooser.used[TASK].name, chooser

    def how(self, name: str) -> str:
        return self.record().get(TASK, self.store.read(TASK).choice.switch, name)


def opened(path: Path) -> Any:
    """Stands for reading and replaying a model file: its bytes must be those of its name, or the shipped ones."""
    data = bundle.read(path)
    if path != paths.shipped_model(TASK) and bundle.sha256(data)[:12] not in path.name:
        raise BundleError(f"{path}: damaged")
    return path.name


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


SHIPPED_NAME = paths.shipped_model(TASK).name


def test_a_model_counts_as_proven_after_its_first_frame_and_not_before(board: Board) -> None:
    name, chooser = board.start()
    assert (name, board.how(name), chooser.fallbacks) == (board.second, TRIED, {})
    chooser.prove()
    assert board.how(name) == PROVEN
    for _ in range(2):  # a process that is killed now is no reason to go back
        assert board.start()[0] == board.second


@pytest.mark.parametrize("kept", ["state", "runtime", "both"])
def test_a_start_that_dies_before_its_first_frame_goes_back_to_the_model_before(board: Board, kept: str) -> None:
    """A restart keeps both folders, a power cut keeps the card's; a full card leaves only the one in memory."""
    assert board.start()[0] == board.second
    for folder in (board.state, board.runtime):
        if kept not in ("both", "state" if folder == board.state else "runtime"):
            (folder / RECORD).unlink()
    name, chooser = board.start()
    assert (name, chooser.fallbacks[TASK].wanted) == (board.first, board.second)
    assert "fmd ended before a frame had passed with it" in chooser.fallbacks[TASK].reason
    # So does the model before, and then there is the shipped one, which is never given up.
    for _ in range(3):
        assert board.start()[0] == SHIPPED_NAME
    assert (board.how(board.first), board.how(board.second)) == (DIED, DIED)


def test_a_model_that_died_is_tried_again_once_it_is_installed_again(board: Board) -> None:
    board.start()
    assert board.start()[0] == board.first
    board.store.switch(TASK, board.second)
    assert board.start()[0] == board.second


@pytest.mark.parametrize(
    ("error", "how"), [(None, ""), (CameraError("unplugged"), ""), (BundleError("odd"), TRIED), (MemoryError(), TRIED)]
)
def test_an_end_in_order_before_the_first_frame_is_not_the_models_fault(
    board: Board, error: BaseException | None, how: str
) -> None:
    _, chooser = board.start()
    chooser.release(error)
    assert board.how(board.second) == how


def test_two_cameras_and_a_reload_open_the_same_model_on_trial(board: Board) -> None:
    _, chooser = board.start()
    chooser.open(TASK, opened)
    assert chooser.used[TASK].name == board.second
    board.store.switch(TASK, board.first)
    chooser.open(TASK, opened)
    assert (chooser.used[TASK].name, board.how(board.first)) == (board.first, TRIED)


def test_models_of_an_earlier_version_are_not_on_trial(board: Board) -> None:
    board.store.store(TASK, Choice(board.second, board.first, "x", proven=True))
    for _ in range(3):
        assert board.start()[0] == board.second


def test_a_refused_model_is_opened_again_at_the_next_start(board: Board) -> None:
    path = board.store.folder / board.second
    good = path.read_bytes()
    path.write_bytes(b"")
    name, chooser = board.start()
    assert (name, chooser.fallbacks[TASK].wanted, board.how(board.second)) == (board.first, board.second, REFUSED)
    chooser.prove()
    path.write_bytes(good)
    assert board.start()[0] == board.second


def test_a_check_reports_a_model_that_was_fit_and_is_no_longer(board: Board) -> None:
    """Else a reload or an upgrade would exchange it, while the running process still has it in memory."""
    board.start()[1].prove()
    (board.store.folder / board.second).unlink()
    before = (board.state / RECORD).read_bytes()
    with pytest.raises(BundleError, match="No such file"):
        ModelChooser(board.store, board.record(read_only=True)).open(TASK, opened, strict=True)
    assert (board.state / RECORD).read_bytes() == before
    # The next start has to do without it; from then on it keeps no one from reloading settings.
    assert board.start()[0] == board.first
    ModelChooser(board.store, board.record(read_only=True)).open(TASK, opened, strict=True)


def test_a_check_fails_if_the_shipped_model_could_not_replace_the_installed_one(board: Board) -> None:
    def refusing(path: Path) -> Any:
        if path == paths.shipped_model(TASK):
            raise BundleError("damaged in copying")
        return opened(path)

    with pytest.raises(BundleError, match="damaged in copying"):
        ModelChooser(board.store, board.record(read_only=True)).open(TASK, refusing, strict=True)
    ModelChooser(board.store, board.record()).open(TASK, refusing)


def test_a_check_of_a_new_model_leaves_no_trace(board: Board) -> None:
    ModelChooser(board.store, board.record(read_only=True)).open(TASK, opened, strict=True)
    assert not list(board.state.iterdir())
    assert board.start()[0] == board.second


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"current": "../../etc/passwd"}', b'{"current": 1}']
)
def test_a_damaged_choice_is_reported_and_the_shipped_model_used(board: Board, content: bytes) -> None:
    (board.store.folder / f"{TASK}.json").write_bytes(content)
    for _ in range(2):
        name, chooser = board.start()
        assert (name, chooser.fallbacks[TASK].wanted) == (SHIPPED_NAME, "")
        assert f"{TASK}.json" in chooser.fallbacks[TASK].reason
    with pytest.raises(BundleError, match="install the model again"):
        ModelChooser(board.store, TrialRecord(None, None)).open(TASK, opened, strict=True)


def test_without_any_model_the_error_says_so(board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(paths.SHIPPED_MODELS, TASK, "gone.tflite")
    for path in board.store.files(TASK):
        path.unlink()
    with pytest.raises(BundleError, match=r"gone\.tflite: the shipped classifier is missing; install fmd again"):
        board.start()


def damage(board: Board, case: random.Random) -> None:
    """Put each file of the store and of the service's folders into a random state."""
    files = [board.store.folder / name for name in (board.first, board.second, f"{TASK}.json", "incoming")]
    files += [folder / RECORD for folder in (board.state, board.runtime)]
    for path in files:
        kinds: list[Callable[[Path], object]] = [
            lambda path: None,
            lambda path: path.unlink(missing_ok=True),
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(case.randbytes(40)),
            lambda path: path.exists() and path.write_bytes(path.read_bytes()[: case.randrange(30)]),
            lambda path: path.exists() and path.write_bytes(changed(path.read_bytes(), case)),
            lambda path: exchanged(path, case.choice(files)),
            lambda path: (path.unlink(missing_ok=True), path.mkdir()),
            lambda path: (path.unlink(missing_ok=True), path.symlink_to("/etc/passwd")),
            lambda path: (path.unlink(missing_ok=True), path.symlink_to(path.name)),
            lambda path: (path.unlink(missing_ok=True), os.mkfifo(path)),
        ]
        if not path.is_dir() and not path.is_symlink() and not path.is_fifo():
            case.choice(kinds)(path)


def exchanged(one: Path, other: Path) -> None:
    if one.is_file() and other.is_file() and not one.samefile(other):
        data = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(data)


def changed(data: bytes, case: random.Random) -> bytes:
    at = case.randrange(len(data)) if data else 0
    return data[:at] + case.randbytes(2) + data[at + 2 :]


@pytest.mark.parametrize("seeds", [range(60), pytest.param(range(60, 3000), marks=pytest.mark.slow)])
def test_whatever_the_disk_holds_a_valid_model_is_found(seeds: range) -> None:
    in_memory = Path("/dev/shm")  # where a sync costs nothing
    for seed in seeds:
        with tempfile.TemporaryDirectory(dir=in_memory if in_memory.is_dir() else None) as folder:
            find_a_valid_model(Path(folder), seed)


def find_a_valid_model(folder: Path, seed: int) -> None:
    case, board = random.Random(seed), Board(folder)
    if case.random() < 0.5:
        board.start()[1].prove()
    damage(board, case)
    for _ in range(3):  # starts that die, and at last the shipped model
        name, chooser = board.start()
        good = name == SHIPPED_NAME or bundle.sha256((board.store.folder / name).read_bytes())[:12] in name
        assert good
        fallback = chooser.fallbacks.get(TASK)
        assert fallback is None or fallback.used == name
        # Only a store that says so lets fmd use another model without a word.
        assert fallback is not None or name == board.second or board.store.read(TASK).choice.current != board.second
    chooser.prove()
    assert board.start()[0] == name


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("disk", [read_only, full_of_names])
def test_a_card_that_takes_no_file(board: Board, disk: Any, proven: bool) -> None:
    """It is read-only, or has no free inode; the runtime directory is in memory."""
    if proven:
        board.start()[1].prove()
    with disk(board.state):
        name, _ = board.start()
        assert name == board.second
        if not proven:
            assert board.start()[0] == board.first
        with disk(board.runtime):
            # Nothing can record a trial now, and a new model that dies would be tried for ever.
            board.store.switch(TASK, board.first)
            name, chooser = board.start()
            # Where the record of the trial before was deleted in vain, the model before can be tried in its place.
            assert name != board.first
            assert "its trial cannot be recorded" in chooser.fallbacks[TASK].reason


def test_a_full_card_does_not_turn_a_proven_model_into_one_that_died(board: Board) -> None:
    """It took "tried" and does not take "proven": after the next boot only the card's record is left."""
    with small_disk(board.state) as fill:
        _, chooser = board.start()
        fill()
        chooser.prove()
        (board.runtime / RECORD).unlink()
        assert board.start()[0] == board.second


@pytest.fixture
def real(tmp_path: Path, classifier_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store with a copy of the shipped classifier under another name."""
    for name, variable in (("state", "STATE_DIRECTORY"), ("run", "RUNTIME_DIRECTORY")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    store = ModelStore()
    data = renamed(classifier_path, "mine")
    store.switch(TASK, store.add(data, TASK, bundle.sha256(data)).name)
    return store


def renamed(path: Path, name: str, **more: Any) -> bytes:
    loaded = bundle.unpack(path)
    return bundle.pack(loaded.flatbuffer, msgspec.structs.replace(loaded.contract, name=name, **more), loaded.golden)


def test_a_label_of_the_installed_model_in_the_settings_does_not_refuse_the_one_that_replaces_it(
    real: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.load(None, {"decide.accept": ["respirator"]})
    current = real.chosen(TASK)
    assert current is not None
    current.write_bytes(b"")
    assert models.open_classifier(settings).compliant == "with_mask"
    assert "decide.accept: ['respirator']: no label of the model in use" in caplog.text


def two_bytes_changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000:1002] = bytes(255 - byte for byte in data[1000:1002])
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [two_bytes_changed, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("proven", [True, False])
def test_a_damaged_installed_model_leaves_the_shipped_one(
    real: ModelStore, damage: Callable[[Path], object], proven: bool
) -> None:
    current = real.chosen(TASK)
    assert current is not None
    record = TrialRecord(paths.state_folder(), paths.runtime_folder())
    if proven:
        record.set(TASK, real.read(TASK).choice.switch, current.name, PROVEN)
    damage(current)
    chooser = ModelChooser(real, record)
    model = models.load_model(config.load().model, TASK, chooser=chooser)
    assert chooser.used[TASK] == paths.shipped_model(TASK)
    assert (model.contract.name, chooser.fallbacks[TASK].wanted) != ("mine", "")


SERVICE = """
import os, signal, sys
from edge import process
from edge.stages.detect import FaceDetector
calls, last = 0, int(sys.argv.pop(1))
real = FaceDetector.detect
def detect(self, frame):
    global calls
    calls += 1
    if calls == last:
        os.kill(os.getpid(), signal.SIGKILL if last == 1 else signal.SIGTERM)
    return real(self, frame)
FaceDetector.detect = detect
sys.exit(process.fmd())
"""


def service(tmp_path: Path, last: int) -> subprocess.CompletedProcess[str]:
    """Run the service until its detector is called for the ``last`` time; at the first, it is killed."""
    clip = tmp_path / "clip.avi"
    if not clip.exists():
        write_clip(clip, frames=30)
    words = ["run", "--source", clip, "--set", "camera.loop=true", "--set", "alert.driver=console"]
    more = {"STATE_DIRECTORY": str(tmp_path / "state"), "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    return subprocess.run(
        [sys.executable, "-c", SERVICE, str(last), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env=environment(**more),
    )


def test_a_service_that_is_killed_in_its_first_frame_starts_with_the_shipped_model(
    real: ModelStore, tmp_path: Path
) -> None:
    assert service(tmp_path, last=1).returncode == -signal.SIGKILL
    done = service(tmp_path, last=3)
    assert done.returncode == 0, done.stderr
    assert "fmd ended before a frame had passed with it" in done.stderr
    lines = fmd("events", "--json", "--state", tmp_path / "state").stdout.splitlines()
    events = [msgspec.json.decode(line) for line in lines]
    assert [event["used"] for event in events if event["event"] == "model"] == [SHIPPED_NAME]
    status = msgspec.json.decode((tmp_path / "run/status.json").read_bytes())
    assert status["fallbacks"][0]["task"] == TASK
    assert msgspec.json.decode((tmp_path / "run/in-use.json").read_bytes())["classifier"].endswith(SHIPPED_NAME)


def test_a_service_that_passes_a_frame_proves_the_model_and_later_kills_change_nothing(
    real: ModelStore, tmp_path: Path
) -> None:
    done = service(tmp_path, last=3)
    assert done.returncode == 0, done.stderr
    assert service(tmp_path, last=1).returncode == -signal.SIGKILL
    done = service(tmp_path, last=3)
    assert (done.returncode, "instead" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize("disk", [read_only, full_of_names])
def test_a_service_whose_state_directory_takes_no_file_watches(real: ModelStore, tmp_path: Path, disk: Any) -> None:
    with disk(tmp_path / "state"):
        done = service(tmp_path, last=3)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_a_chosen_file_that_is_no_name_of_the_store_is_not_opened(board: Board) -> None:
    board.store.store(TASK, Choice("detector-0123456789ab.tflite"))
    assert board.store.read(TASK).problem
    assert board.store.chosen(TASK) is None
    assert board.start()[0] == SHIPPED_NAME
    assert SHIPPED not in (board.first, board.second)


def test_a_disk_helper_really_refuses(tmp_path: Path) -> None:
    for disk in (read_only, full_of_names):
        folder = tmp_path / disk.__name__
        folder.mkdir()
        with disk(folder), pytest.raises(OSError, match=r".") as caught:
            (folder / "new").write_text("x")
        assert caught.value.errno in (errno.EROFS, errno.ENOSPC)
