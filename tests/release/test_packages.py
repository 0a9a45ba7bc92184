"""The apt repository: apt accepts it with the right key, offers all versions, and refuses what was changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from release.errors import ReleaseError
from release.packages import KEYRING, earlier_packages, repository, sources
from release.refusals import Release
from release.shell import missing, run

pytestmark = pytest.mark.skipif(bool(missing(["apt-get", "apt-ftparchive"])), reason="no apt")
CONTROL = "Package: fmd\nVersion: {version}\nArchitecture: {arch}\nMaintainer: fmd <fmd@localhost>\nDescription: test\n"


def deb(folder: Path, version: str, arch: str) -> Path:
    """Return a package with nothing in it."""
    content = folder / f"fmd_{version}_{arch}"
    (content / "DEBIAN").mkdir(parents=True)
    (content / "DEBIAN/control").write_text(CONTROL.format(version=version, arch=arch))
    made = folder / f"{content.name}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", content, made], check=True)
    shutil.rmtree(content)
    return made


class Apt:
    """apt in a folder of its own, without root, that knows one repository."""

    def __init__(self, folder: Path, archive: Path, key: Path) -> None:
        self.folder = folder
        for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/lib/dpkg"):
            (folder / name).mkdir(parents=True)
        (folder / "var/cache/apt/archives/partial").mkdir(parents=True)
        (folder / "var/lib/dpkg/status").touch()
        (folder / "etc/apt/sources.list.d").mkdir()
        text = sources(f"file://{archive}").replace(KEYRING, str(key))
        (folder / "etc/apt/sources.list.d/fmd.sources").write_text(text)

    def __call__(self, program: str, *words: str) -> str:
        user = ["-oAPT::Sandbox::User=root"] if os.geteuid() == 0 else []
        own = [f"-oDir={self.folder}", f"-oDir::State::status={self.folder}/var/lib/dpkg/status"]
        fixed = ["-oAPT::Architecture=arm64", "-oAPT::Architectures::=arm64", "-oDir::Log::Terminal=/dev/null"]
        return run([program, *own, *fixed, *user, *words], self.folder)


@pytest.fixture
def archive(tmp_path: Path, key: str) -> Path:
    """A repository with version 1.2.3, and 1.2.2 from before."""
    (tmp_path / "earlier").mkdir()
    (tmp_path / "now").mkdir()
    deb(tmp_path / "earlier", "1.2.2", "arm64")
    earlier = earlier_packages(tmp_path / "earlier", "1.2.3")
    now = [deb(tmp_path / "now", "1.2.3", arch) for arch in ("arm64", "amd64")]
    release = Release(tmp_path, "1.2.3", "https://github.com/Someone/fmd", key)
    repository(release, now, earlier, tmp_path / "apt")
    return tmp_path / "apt"


def test_wrong_earlier_packages_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no such folder"):
        earlier_packages(tmp_path / "lost", "1.2.3")
    deb(tmp_path, "1.2.3", "arm64")
    with pytest.raises(ReleaseError, match=r"fmd_1\.2\.3_arm64\.deb has the version of this release"):
        earlier_packages(tmp_path, "1.2.3")
    assert earlier_packages(None, "1.2.3") == []


def test_apt_offers_the_new_version_and_the_earlier_one(archive: Path, tmp_path: Path) -> None:
    apt = Apt(tmp_path / "system", archive, archive / "fmd.asc")
    apt("apt-get", "update", "--error-on=any")
    offered = [line.split("|")[1].strip() for line in apt("apt-cache", "madison", "fmd").splitlines()]
    assert offered == ["1.2.3", "1.2.2"]
    assert "(1.2.3 " in apt("apt-get", "install", "--simulate", "fmd")
    assert "(1.2.2 " in apt("apt-get", "install", "--simulate", "fmd=1.2.2")


def test_apt_refuses_a_repository_that_another_key_has_signed(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.asc"
    other.write_text((archive / "fmd.asc").read_text()[:100])
    with pytest.raises(ReleaseError, match=r"NO_PUBKEY|not signed|couldn't be verified|not available"):
        Apt(tmp_path / "system", archive, other)("apt-get", "update", "--error-on=any")


def test_apt_refuses_a_changed_list_and_a_changed_package(archive: Path, tmp_path: Path) -> None:
    apt = Apt(tmp_path / "system", archive, archive / "fmd.asc")
    apt("apt-get", "update", "--error-on=any")
    package = archive / "pool/fmd_1.2.3_arm64.deb"
    package.write_bytes(package.read_bytes().replace(b"localhost", b"evil-host"))
    with pytest.raises(ReleaseError, match=r"Hash Sum mismatch|unexpected size|corrupt"):
        apt("apt-get", "download", "fmd")
    for index in archive.glob("dists/stable/main/*/Packages*"):
        index.write_bytes(b"Package: fmd\n")
    with pytest.raises(ReleaseError, match=r"Hash Sum mismatch|unexpected size|failed"):
        Apt(tmp_path / "fresh", archive, archive / "fmd.asc")("apt-get", "update", "--error-on=any")


def test_the_sources_file_is_that_of_the_release(archive: Path) -> None:
    text = (archive / "fmd.sources").read_text(encoding="utf-8")
    assert text == sources("https://someone.github.io/fmd/apt")
    assert "\nSigned-By: /etc/apt/keyrings/fmd.asc\n" in text
