"""Reading .debs without Debian's tools, held against those tools where the machine has them."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from edge.errors import CardError
from edge.flash.package import check, control_fields
from tests.edge.flash.conftest import deb_of

CONTROL = "Package: fmd\nVersion: 1:0.2~rc1-1\nArchitecture: {}\nDescription: door\n more: of it\n"


@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_the_fields_are_read(tmp_path: Path, compression: str) -> None:
    fields = control_fields(tmp_path, deb_of(CONTROL.format("arm64"), compression))
    assert fields == {"Package": "fmd", "Version": "1:0.2~rc1-1", "Architecture": "arm64", "Description": "door"}


def test_a_package_built_by_debians_own_tool_is_read(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb on this machine")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    text = "Package: fmd\nVersion: 1\nArchitecture: all\nMaintainer: m <m@example.org>\nDescription: d\n"
    (tree / "DEBIAN" / "control").write_text(text)
    path = tmp_path / "fmd.deb"
    subprocess.run(["dpkg-deb", "-Zxz", "--build", tree, path], check=True, capture_output=True)
    assert check(path, path.read_bytes(), "fmd") == "fmd 1 all"


@pytest.mark.parametrize("architecture", ["arm64", "all"])
def test_a_package_for_a_pi_is_accepted(architecture: str) -> None:
    assert check(Path("x.deb"), deb_of(CONTROL.format(architecture)), "fmd") == f"fmd 1:0.2~rc1-1 {architecture}"


def test_a_package_for_another_machine_is_refused() -> None:
    with pytest.raises(CardError, match=r"x\.deb: built for amd64, expected arm64"):
        check(Path("x.deb"), deb_of(CONTROL.format("amd64")), "fmd")


def test_a_package_of_another_name_is_refused() -> None:
    with pytest.raises(CardError, match="package 'fmd', expected 'other'"):
        check(Path("x.deb"), deb_of(CONTROL.format("arm64")), "other")


@pytest.mark.parametrize("size", [b"-60       ", b"+4        ", b"4_0       ", b"          "])
def test_a_member_without_a_proper_size_is_refused_and_read_once(size: bytes) -> None:
    data = b"!<arch>\n" + b"debian-binary   0           0     0     100644  " + size + b"`\n" + bytes(200)
    with pytest.raises(CardError, match=r"x\.deb: not a Debian package"):
        check(Path("x.deb"), data, "fmd")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"!<arch>\n", b"!<arch>\ndebian-binary", deb_of("x")[:150]])
def test_a_file_that_is_no_package_is_refused(data: bytes) -> None:
    with pytest.raises(CardError, match=r"x\.deb: not a Debian package"):
        check(Path("x.deb"), data, "fmd")


@pytest.mark.parametrize("missing", [1, 1000, 1_000_000])
def test_a_package_that_is_cut_short_is_refused(missing: int) -> None:
    whole = deb_of(CONTROL.format("arm64"), content=bytes(1_000_000))
    assert check(Path("x.deb"), whole, "fmd")
    with pytest.raises(CardError, match=r"x\.deb: cut short"):
        check(Path("x.deb"), whole[:-missing], "fmd")


def member(name: str, size: str, data: bytes = b"") -> bytes:
    return f"{name:<16}{'0':<12}{'0':<6}{'0':<6}{'100644':<8}{size:<10}`\n".encode() + data


@pytest.mark.parametrize("size", ["-60", "-1", "+4", "4e1", "0x10", "", "1_0"])
def test_a_member_of_a_size_that_is_no_number_ends_the_reading(size: str) -> None:
    """A size of -60 led back to the same member, without an end."""
    with pytest.raises(CardError, match="not a Debian package"):
        check(Path("x.deb"), b"!<arch>\n" + member("debian-binary", size), "fmd")


@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_a_control_archive_that_expands_to_gigabytes_is_cut(compression: str) -> None:
    tracemalloc.start()
    bomb = deb_of(CONTROL.format("arm64") + " x" * (6 << 20), compression)
    tracemalloc.reset_peak()
    with pytest.raises(CardError, match="not a Debian package"):
        check(Path("x.deb"), bomb, "fmd")
    assert tracemalloc.get_traced_memory()[1] < (20 << 20) + 2 * len(bomb)
    tracemalloc.stop()


def test_a_control_file_that_is_a_link_is_refused() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        link = tarfile.TarInfo("./control")
        link.type, link.linkname = tarfile.SYMTYPE, "./elsewhere"
        archive.addfile(link)
    data = b"!<arch>\n" + member("control.tar", str(len(made.getvalue())), made.getvalue())
    with pytest.raises(CardError, match="not a Debian package"):
        check(Path("x.deb"), data, "fmd")
