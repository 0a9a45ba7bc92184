"""`apt install fmd` on a Debian system with systemd, from a repository of two releases: install, upgrade, return.

Wants root, `make deb DEB_ARCH=amd64 PYTHONS=3.11` first, and what tests/machine/root.py makes a Debian root with.
Prints the seconds of each step (`pytest -s`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from release.packages import KEYRING, earlier_packages, repository, sources
from release.refusals import Release
from tests.debian.test_lifecycle import later, packages
from tests.machine.namespaces import System

pytestmark = pytest.mark.slow
NEWER = "9.2.0"
ADDRESS = "http://127.0.0.1:8000"
SERVE = (
    "systemd-run --quiet --unit=archive python3 -m http.server --bind 127.0.0.1 --directory /srv/apt 8000; "
    f"until /usr/lib/apt/apt-helper download-file {ADDRESS}/fmd.asc /tmp/fmd.asc 2>/dev/null; do sleep 0.2; done"
)
APT = "DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, key: str) -> Path:
    """A Debian root that holds a signed repository with two versions of the package, and knows it alone."""
    if not packages():
        pytest.skip("no build/fmd_*_amd64.deb: make deb DEB_ARCH=amd64 PYTHONS=3.11")
    from tests.machine import root as roots
    from tests.machine.place import ProofError

    folder = tmp_path_factory.mktemp("apt")
    try:
        made = roots.unpack(roots.make("amd64"), folder / "root")
    except ProofError as error:
        pytest.skip(str(error))
    (folder / "earlier").mkdir()
    shutil.copy(packages()[-1], folder / "earlier")
    newer = folder / f"fmd_{NEWER}_amd64.deb"
    later(packages()[-1], newer, NEWER)
    release = Release(folder, NEWER, "https://github.com/Someone/fmd", key)
    repository(
        release, [folder / f"fmd_{NEWER}_amd64.deb"], earlier_packages(folder / "earlier", NEWER), made / "srv/apt"
    )
    shutil.copy(made / "srv/apt/fmd.asc", made / KEYRING.lstrip("/"))
    for file in (made / "etc/apt").glob("sources.list*/*"):
        file.unlink()
    (made / "etc/apt/sources.list").write_text("")
    (made / "etc/apt/sources.list.d/fmd.sources").write_text(sources(ADDRESS))
    return made


@pytest.fixture(scope="module")
def system(root: Path) -> Iterator[System]:
    from tests.machine import namespaces

    with namespaces.booted(root, root.parent / "console") as booted:
        booted.out(SERVE)
        yield booted


def timed(system: System, command: str) -> str:
    """Run a command inside, print its seconds, and return its output."""
    started_s = time.monotonic()
    out = system.out(f"{command} 2>&1", timeout_s=600)
    print(f"{time.monotonic() - started_s:6.1f} s  {command.removeprefix('DEBIAN_FRONTEND=noninteractive ')}")
    return out


def test_install_upgrade_and_return(system: System) -> None:
    earlier = system.out("dpkg-deb --field /srv/apt/pool/fmd_0*_amd64.deb Version")

    def installed() -> str:
        return system.out("dpkg-query --show --showformat='${Version} ${Status}' fmd")

    timed(system, f"{APT} update --error-on=any")
    offered = system.out("apt-cache madison fmd | cut -d'|' -f2 | tr -d ' '").split()
    assert offered == [NEWER, earlier]
    timed(system, f"{APT} install fmd={earlier}")
    assert installed() == f"{earlier} install ok installed"
    assert system.out("fmd --version").startswith("fmd 0.1")
    assert system.out("systemctl is-enabled fmd") == "enabled"
    system.out("echo '[decide]' >>/etc/fmd/fmd.toml")
    mine = system.out("sha256sum /etc/fmd/fmd.toml")
    timed(system, f"{APT} upgrade")
    assert installed() == f"{NEWER} install ok installed"
    assert system.out("ls /opt/fmd/releases | wc -l") == "1"
    timed(system, f"{APT} install --allow-downgrades fmd={earlier}")
    assert installed() == f"{earlier} install ok installed"
    assert system.out("fmd run --check --config /etc/fmd/fmd.toml >/dev/null && echo usable") == "usable"
    # A hold keeps the earlier version through the next upgrade.
    system.out("apt-mark hold fmd")
    timed(system, f"{APT} upgrade")
    assert installed() == f"{earlier} hold ok installed"
    assert system.out("sha256sum /etc/fmd/fmd.toml") == mine


def test_a_system_without_the_key_gets_nothing(system: System) -> None:
    system.out(f"mv {KEYRING} /root/fmd.asc")
    refused = system.out(f"{APT} update --error-on=any 2>&1; echo $?")
    system.out(f"mv /root/fmd.asc {KEYRING}")
    assert refused.endswith("100")
    assert "NO_PUBKEY" in refused or "not signed" in refused or "couldn't be verified" in refused
