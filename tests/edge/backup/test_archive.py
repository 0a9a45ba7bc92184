"""The file of a backup: what is written is read again, and nothing that a stranger makes of it is taken."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.backup import archive
from edge.backup.archive import MANIFEST, RECORD, SETTINGS, Archive, Manifest, Writer, opened
from edge.errors import BackupError
from tests.edge.backup.parts import zipped

ABOUT = {"format": 1, "version": "1.0", "door": "door", "made_at": "2026-11-30", "secrets": False}


def entry(name: str, data: bytes, **changed: Any) -> dict[str, Any]:
    return {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **changed}


def backup(content: dict[str, bytes], entries: list[dict[str, Any]] | None = None, **about: Any) -> bytes:
    entries = [entry(name, data) for name, data in content.items()] if entries is None else entries
    return zipped({**content, MANIFEST: json.dumps({**ABOUT, "entries": entries, **about}).encode()})


def read(data: bytes) -> Archive:
    return Archive(io.BytesIO(data), Path("door.fmd"))


WHOLE = backup({SETTINGS: b"version = 5\n", RECORD: b"x" * 5000})


def test_what_is_written_is_read_again() -> None:
    file = io.BytesIO()
    writer = Writer(file)
    writer.add(SETTINGS, b"version = 5\n")
    writer.copy(RECORD, io.BytesIO(b"x" * 3_000_000))
    written = writer.close(Manifest(**ABOUT, left_out=("notify.urls",), entries=()))
    found = read(file.getvalue())
    assert found.manifest == written
    assert found.manifest.parts == ("settings", "record")
    assert found.read(SETTINGS) == b"version = 5\n"
    copy = io.BytesIO()
    found.copy(RECORD, copy)
    assert copy.getvalue() == b"x" * 3_000_000
    assert len(file.getvalue()) < 20_000


@pytest.mark.parametrize(
    "name", ["settings/../fmd.toml", "/etc/passwd", "settings/files/.hidden", "models/classifier.tflite", "notes.txt"]
)
def test_the_writer_takes_only_names_that_can_be_restored(name: str) -> None:
    with pytest.raises(BackupError, match="cannot be part of a backup"):
        Writer(io.BytesIO()).add(name, b"")


def test_the_writer_takes_nothing_that_is_too_large() -> None:
    with pytest.raises(BackupError, match="more than 1,048,576 bytes"):
        Writer(io.BytesIO()).copy(SETTINGS, io.BytesIO(b"x" * (archive.MAX_TEXT + 1)))


def test_a_file_cut_off_anywhere_is_no_backup() -> None:
    for end in range(0, len(WHOLE), 7):
        with pytest.raises(
            BackupError, match=r"^door\.fmd: damaged, cut off, or no backup of fmd; nothing was changed$"
        ):
            read(WHOLE[:end])


def test_a_flipped_byte_is_found_before_anything_counts() -> None:
    refused = 0
    for at in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[at] ^= 0xFF
        try:
            found = read(bytes(data))
            copy = io.BytesIO()
            found.copy(RECORD, copy)
            contents = {SETTINGS: found.read(SETTINGS), RECORD: copy.getvalue()}
            assert found.read(RECORD) == copy.getvalue()
        except BackupError:
            refused += 1
        else:  # of what no reader uses, such as a time
            assert contents == {SETTINGS: b"version = 5\n", RECORD: b"x" * 5000}
    assert refused > len(WHOLE) // 2


def forged(**changed: Any) -> bytes:
    """A zip whose end states other numbers."""
    names = ["signature", "disk", "first", "here", "all", "length", "place", "comment"]
    fields = dict(zip(names, archive.END.unpack(WHOLE[-22:]), strict=True))
    return WHOLE[:-22] + archive.END.pack(*{**fields, **changed}.values())


def encrypted() -> bytes:
    data = bytearray(WHOLE)
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = data.index(signature)
        struct.pack_into("<H", data, at + offset, 1)
    return bytes(data)


def doubled() -> bytes:
    file = io.BytesIO(WHOLE)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as more:
        more.writestr(SETTINGS, b"other")
    return file.getvalue()


TEXT = {SETTINGS: b"x"}
FORGED: dict[str, bytes] = {
    "nothing": b"",
    "text": b"version = 5\n" * 100,
    "another zip": zipped({"a.txt": b"hello"}),
    "no manifest": zipped(TEXT),
    "a manifest that is a list": zipped({**TEXT, MANIFEST: b"[]"}),
    "a manifest that is nested deep": zipped({**TEXT, MANIFEST: b"[" * 60000}),
    "a manifest that is large": zipped({**TEXT, MANIFEST: b" " * (archive.MAX_MANIFEST + 1)}),
    "a manifest that unpacks to gigabytes": zipped({**TEXT, MANIFEST: b" " * 30_000_000}),
    "a manifest of half a text": zipped({**TEXT, MANIFEST: b'{"format": 1, "door": "\xff"}'}),
    "an entry that is not listed": zipped({**TEXT, MANIFEST: json.dumps({**ABOUT, "entries": []}).encode()}),
    "an entry that is missing": backup({}, [entry(SETTINGS, b"x")]),
    "an entry listed twice": backup(TEXT, [entry(SETTINGS, b"x")] * 2),
    "two entries of one name": doubled(),
    "a path upwards": backup({"settings/files/../../x": b"x"}),
    "an absolute path": backup({"/etc/passwd": b"x"}),
    "a path with a backslash": backup({"settings/files/..\\x": b"x"}),
    "a hidden file": backup({"settings/files/.bashrc": b"x"}),
    "a folder": backup({"settings/files/": b""}),
    "a choice of another task": backup({"models/voice.json": b"{}"}),
    "a record of a terabyte": backup({RECORD: b"x"}, [entry(RECORD, b"x", size=1 << 40)]),
    "a size below zero": backup(TEXT, [entry(SETTINGS, b"x", size=-1)]),
    "a hash that is none": backup(TEXT, [entry(SETTINGS, b"x", sha256="0")]),
    "a setting that is none": backup(TEXT, left_out=["notify"]),
    "many entries": backup({f"settings/files/f{i}": b"" for i in range(60)}),
    "a directory of a megabyte": forged(length=1 << 20),
    "a thousand entries": forged(here=1000, all=1000),
    "several disks": forged(here=1),
    "a comment": forged(comment=3),
    "a large zip's locator": WHOLE[:-22] + b"PK\x06\x07" + b"\0" * 16 + WHOLE[-22:],
    "a directory elsewhere": forged(place=7),
    "an encrypted entry": encrypted(),
    "a format below one": backup(TEXT, format=0),
    "a format that is text": backup(TEXT, format="1"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_a_stranger_made_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(BackupError, match=archive.DAMAGED) as caught:
        read(FORGED[name])
    assert "\n" not in str(caught.value)


def test_a_later_format_asks_for_a_newer_fmd() -> None:
    with pytest.raises(BackupError, match=r"a backup of a later fmd \(format 2, this one reads 1\); update fmd"):
        read(backup(TEXT, format=2, unheard_of={"a": 1}, entries="other"))


def test_a_field_that_this_fmd_does_not_know_is_ignored() -> None:
    assert read(backup(TEXT, unheard_of=1)).manifest.door == "door"


def test_an_entry_that_unpacks_to_more_or_else_than_it_says_is_damaged() -> None:
    bomb = read(backup({RECORD: b"\0" * 50_000_000}, [entry(RECORD, b"\0" * 100)]))
    target = io.BytesIO()
    with pytest.raises(BackupError, match=archive.DAMAGED):
        bomb.copy(RECORD, target)
    assert len(target.getvalue()) <= 1 << 20
    for listed in (entry(SETTINGS, b"y"), entry(SETTINGS, b"xx")):
        with pytest.raises(BackupError, match=archive.DAMAGED):
            read(backup(TEXT, [listed])).read(SETTINGS)
        with pytest.raises(BackupError, match=archive.DAMAGED):
            read(backup(TEXT, [listed])).copy(SETTINGS, io.BytesIO())


def test_only_the_two_plain_ways_to_pack_are_taken() -> None:
    about = msgspec.json.encode({**ABOUT, "entries": [entry(SETTINGS, b"x")]})
    assert read(zipped({**TEXT, MANIFEST: about}, zipfile.ZIP_STORED)).read(SETTINGS) == b"x"
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(BackupError, match=archive.DAMAGED):
            read(zipped({**TEXT, MANIFEST: about}, method))


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(BackupError, match="not a regular file"), opened(path):
            pass
    with pytest.raises(IsADirectoryError), opened(tmp_path):
        pass
    (tmp_path / "door.fmd").write_bytes(WHOLE)
    with opened(tmp_path / "door.fmd") as found:
        assert found.manifest.door == "door"
