from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from edge.backup.swap import Owner, finish, swapping
from tests.edge.service.disks import read_only, small_disk

OWNER = Owner(0o640)


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_all_files_are_exchanged_and_the_old_ones_stay_beside_them(tmp_path: Path) -> None:
    for name in ("a", "gone", "log"):
        (tmp_path / name).write_text(f"old {name}")
    with swapping(tmp_path / "journal") as swap:
        swap.put(tmp_path / "a", b"new a", OWNER)
        swap.put(tmp_path / "b", io.BytesIO(b"new b"), Owner(0o600))
        swap.remove(tmp_path / "gone")
        swap.remove(tmp_path / "never")
        swap.remove(tmp_path / "log", tmp_path / "log-2")
        assert files(tmp_path)["a"] == "old a"
        old = swap.commit()
    assert files(tmp_path) == {
        "a": "new a",
        "b": "new b",
        "a.before-restore": "old a",
        "gone.before-restore": "old gone",
        "log-2": "old log",
    }
    assert [path.name for path in old] == ["a.before-restore", "gone.before-restore", "log-2"]
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"] == [0o640, 0o600]


def test_without_a_commit_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old a")
    with swapping(tmp_path / "journal") as swap:
        swap.put(tmp_path / "a", b"new a", OWNER)
        swap.put(tmp_path / "b", b"new b", OWNER)
    assert files(tmp_path) == {"a": "old a"}


def test_an_error_in_the_middle_of_the_exchange_takes_all_back(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old a")
    (tmp_path / "gone").write_text("old gone")
    with swapping(tmp_path / "journal") as swap:
        swap.put(tmp_path / "a", b"new a", OWNER)
        swap.remove(tmp_path / "gone")
        swap.put(tmp_path / "folder", b"new", OWNER)
        # Nothing can be renamed to a folder that is not empty.
        for name in ("folder", "folder.before-restore"):
            (tmp_path / name / "x").mkdir(parents=True)
        with pytest.raises(OSError, match="Directory not empty"):
            swap.commit()
    assert files(tmp_path) == {"a": "old a", "gone": "old gone"}


def test_a_link_in_a_folder_of_others_leads_nowhere(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    for name in ("a", "a.restored", "a.before-restore"):
        (tmp_path / name).symlink_to(target)
    with swapping(tmp_path / "journal") as swap:
        swap.put(tmp_path / "a", b"new a", OWNER)
        swap.commit()
    assert target.read_text() == "theirs"
    assert (tmp_path / "a").read_text() == "new a"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_a_file_to_its_owner(tmp_path: Path) -> None:
    with swapping(tmp_path / "journal") as swap:
        swap.put(tmp_path / "a", b"new a", Owner(0o600, 65534, 12))
        swap.commit()
    about = (tmp_path / "a").stat()
    assert (about.st_uid, about.st_gid) == (65534, 12)


def exchange(folder: Path) -> None:
    with swapping(folder.with_name("journal")) as swap:
        swap.put(folder / "b", b"new b", OWNER)
        swap.put(folder / "a", io.BytesIO(b"x" * 200_000), OWNER)
        swap.commit()


def test_a_full_disk_shows_before_anything_is_exchanged(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_text("old a")
    with small_disk(tmp_path / "disk"):
        with pytest.raises(OSError, match="No space left") as caught:
            exchange(tmp_path / "disk")
        assert files(tmp_path / "disk") == {"a": "old a"}
        assert "restored" not in str(caught.value)


def test_a_read_only_disk_leaves_everything(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_text("old a")
    with read_only(tmp_path / "disk"):
        with pytest.raises(OSError, match="Read-only"):
            exchange(tmp_path / "disk")
        assert files(tmp_path / "disk") == {"a": "old a"}


WATCHED = """
import sys
from pathlib import Path
from edge.backup.swap import Owner, swapping

folder = Path(sys.argv[1])
with swapping(folder.with_name("journal")) as swap:
    for name in "ab":
        swap.put(folder / name, f"new {name}".encode(), Owner(0o640))
    seen = []
    sys.addaudithook(lambda event, _: event in ("os.rename", "os.link") and seen.append(look()))
    look = lambda: tuple((folder / name).read_text()[:3] for name in "ab")
    swap.commit()
print(sorted(set(seen)), look())
"""


def test_a_file_that_is_replaced_is_there_at_every_moment(tmp_path: Path) -> None:
    """A power cut may come before any call that renames; each of them reads the files."""
    for name in "ab":
        (tmp_path / name).write_text(f"old {name}")
    ran = subprocess.run([sys.executable, "-c", WATCHED, tmp_path], capture_output=True, text=True, check=False)
    assert ran.stdout == "[('new', 'old'), ('old', 'old')] ('new', 'new')\n", ran.stderr


BEFORE = {"a": "old a", "a-wal": "old log", "record": "old record"}
AFTER = {
    "a": "new a",
    "a.before-restore": "old a",
    "a-wal.before-restore": "old log",
    "b": "new b",
    "record": "new record",
    "record-replaced": "old record",
}


def restore(folder: Path) -> None:
    with swapping(folder / "journal") as swap:
        swap.put(folder / "a", b"new a", OWNER)
        swap.remove(folder / "a-wal")
        swap.put(folder / "b", b"new b", OWNER)
        swap.put(folder / "record", b"new record", OWNER, folder / "record-replaced")
        swap.commit()


def cut_off(work: Callable[[], object], calls: int) -> bool:
    """Do ``work`` in a process that ends before call ``calls`` that changes a name; return whether it came so far."""
    left = iter(range(calls))

    def cut(event: str, _: object) -> None:
        if event in ("os.rename", "os.link", "os.remove") and next(left, None) is None:
            os._exit(9)

    process = os.fork()
    if not process:
        try:
            sys.addaudithook(cut)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_a_power_cut_at_any_call_leaves_all_or_nothing_after_the_next_start(tmp_path: Path) -> None:
    outcomes = set()
    for calls in count():
        folder = tmp_path / str(calls)
        folder.mkdir()
        for name, content in BEFORE.items():
            (folder / name).write_text(content)
        was_cut = cut_off(partial(restore, folder), calls)
        cut_off(partial(finish, folder / "journal"), calls % 4)  # a second cut, while the first start finishes it
        finish(folder / "journal")
        found = {name: content for name, content in files(folder).items() if not name.endswith((".restored", ".part"))}
        assert found in (BEFORE, AFTER), calls
        outcomes.add(found == AFTER)
        assert finish(folder / "journal") == []
        if not was_cut:
            break
    assert outcomes == {False, True}
    assert calls > 12
