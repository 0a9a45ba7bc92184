"""The package under a real dpkg and systemd: installed, reloaded, upgraded with a broken and a good version, purged.

Wants root, `make deb DEB_ARCH=amd64 PYTHONS=3.11` first, and what tests/machine/root.py makes a Debian root with.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge import paths
from edge.inference import bundle
from edge.record import events as record_events
from tests.edge.parts import ROOT, write_clip
from tests.machine import page_client

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"
CLIENT = f"/opt/fmd/current/bin/python /root/page_client.py http://127.0.0.1:8080 '{PASSWORD}'"
CHANGE, NO_CHANGE = "watch.contrast=9", "Nothing differs from the settings in use."
OVERLAY = "var/lib/fmd/overlay.toml"
BACKUP = "fmd backup /root/door.backup --secrets"
GROUPS = ("fmd", "fmd-page", "gpio", "i2c")
SETTINGS = """
[camera]
source = "/etc/fmd/clip.avi"
loop = true
[alert]
driver = "console"
"""


def packages() -> list[Path]:
    return sorted((ROOT / "build").glob("fmd_*_amd64.deb"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian root that holds three versions of the package: this one, a later broken one, and a later good one."""
    if not packages():
        pytest.skip("no build/fmd_*_amd64.deb: make deb DEB_ARCH=amd64 PYTHONS=3.11")
    from tests.machine import root as roots
    from tests.machine.place import ProofError

    folder = tmp_path_factory.mktemp("package")
    try:
        made = roots.unpack(roots.make("amd64"), folder / "root")
    except ProofError as error:
        pytest.skip(str(error))
    shutil.copy(packages()[-1], made / "root/now.deb")
    later(packages()[-1], made / "root/broken.deb", "0.9.1", broken=True)
    later(packages()[-1], made / "root/good.deb", "0.9.2")
    return made


def later(package: Path, out: Path, version: str, broken: bool = False) -> None:
    """Return the same package with a later version; if ``broken``, its wheel holds a truncated classifier."""
    folder = out.with_suffix("")
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(
        "".join(
            f"Version: {version}\n" if line.startswith("Version:") else line
            for line in control.read_text().splitlines(keepends=True)
        )
    )
    if broken:
        wheel = next((folder / "opt/fmd/wheels").glob("fmd_edge-*.whl"))
        with zipfile.ZipFile(wheel) as before, zipfile.ZipFile(wheel.with_suffix(".new"), "w") as after:
            for info in before.infolist():
                data = before.read(info)
                after.writestr(info, data[:1000] if info.filename.endswith("mask_classifier.tflite") else data)
        wheel.with_suffix(".new").replace(wheel)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder, out], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def system(root: Path) -> Iterator[object]:
    from tests.machine import namespaces

    with namespaces.booted(root, root.parent / "console") as booted:
        yield booted


def test_from_installation_to_purge(system: object, root: Path) -> None:
    from tests.machine.namespaces import System

    assert isinstance(system, System)

    def output_of(command: str) -> str:
        return system.out(f"{{ {command} ; }} 2>&1 || true", timeout_s=400)

    def code(command: str) -> str:
        return system.out(f"{command} >/dev/null 2>&1; echo $?", timeout_s=400)

    def process() -> str:
        return system.out("systemctl show --property=MainPID --value fmd")

    kept_model = leave_models_of_an_earlier_version(root)
    # Installed without a network, which the namespace lacks, and without a camera: enabled, and systemd keeps trying.
    assert code("dpkg -i /root/now.deb") == "0"
    assert f"classifier: current {kept_model}, previous shipped" in output_of("fmd model list")
    assert "detector: current shipped" in output_of("fmd model list")
    assert output_of("systemctl is-enabled fmd") == "enabled"
    assert output_of("systemd-analyze verify --man=no --recursive-errors=yes /lib/systemd/system/fmd*") == ""
    write_clip(root / "etc/fmd/clip.avi", frames=30)
    (root / "etc/fmd/fmd.toml").write_text(SETTINGS)
    assert code("systemctl restart fmd") == "0", output_of("journalctl -u fmd | tail -20")
    assert output_of("systemctl is-active fmd") == "active"
    first = process()
    # A reload with invalid settings is refused; the running service stays as it is.
    (root / "etc/fmd/fmd.toml").write_text(SETTINGS + "led_pni = 4\n")
    assert code("systemctl reload fmd") == "1"
    (root / "etc/fmd/fmd.toml").write_text(SETTINGS + "led_pin = 4\n")
    assert code("systemctl reload fmd") == "0"
    system.wait("journalctl -u fmd | grep -c 'settings read again'", "1")
    system.wait("systemctl is-active fmd", "active")
    assert process() == first
    check_the_model_store(system, root, output_of, code)
    check_the_page(root, output_of, code)
    changed = check_changed_settings(root, output_of, code)
    assert code(BACKUP) == "0", output_of(BACKUP)
    first = process()
    # The package does not switch to a version that cannot run here.
    system.wait("test -s /var/lib/fmd/record.db && echo kept", "kept")
    kept = events(root)
    assert code("dpkg -i /root/broken.deb") == "1"
    assert (output_of("systemctl is-active fmd"), process()) == ("active", first)
    assert code("fmd verify /opt/fmd/current/lib/python3*/site-packages/edge/shipped/mask_classifier.tflite") == "0"
    assert code("systemctl restart fmd") == "0"
    # It switches to one that can; settings and events stay, and so do libraries that the user has added.
    system.out("echo version = 1 > $(ls -d /opt/fmd/added/python3*)/added_library.py")
    assert code("dpkg -i /root/good.deb") == "0"
    assert code("/opt/fmd/current/bin/python -c 'import added_library'") == "0"
    assert output_of("systemctl is-active fmd") == "active"
    assert process() != first
    # The page runs the new version as well, with the passwords of the old one.
    assert (output_of("systemctl is-active fmd-page"), visited(output_of)["before"]) == ("active", 303)
    assert (root / "etc/fmd/fmd.toml").read_text() == SETTINGS + "led_pin = 4\n"
    assert events(root)[: len(kept)] == kept
    assert (root / OVERLAY).read_bytes() == changed
    assert output_of(f"fmd config set {CHANGE}") == NO_CHANGE
    check_a_restoration(root, output_of, code, changed)
    assert len(list((root / "opt/fmd/releases").iterdir())) == 1
    assert "mine" in output_of("fmd model list")
    # After a removal the settings stay; after a purge nothing does.
    assert code("dpkg --remove fmd") == "0"
    assert (root / "etc/fmd/fmd.toml").exists()
    assert code("systemctl is-active fmd") != "0"
    assert code("dpkg --purge fmd") == "0"
    left = output_of("find / -xdev -name '*fmd*' -not -path '/proc/*' -not -path '/var/log/*'")
    assert left == "", left
    for name in ("passwd fmd", "passwd fmd-page", *(f"group {group}" for group in GROUPS)):
        assert code(f"getent {name}") == "2", name


def test_lintian_finds_nothing() -> None:
    if not packages():
        pytest.skip("no build/fmd_*_amd64.deb: make deb DEB_ARCH=amd64 PYTHONS=3.11")
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    lintian = ["lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning", str(packages()[-1])]
    found = subprocess.run(lintian, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def named(name: str) -> bytes:
    """Return the shipped classifier under another name."""
    loaded = bundle.unpack(paths.shipped_model("classifier"))
    contract = msgspec.structs.replace(loaded.contract, name=name)
    return bundle.pack(loaded.flatbuffer, contract, loaded.golden)


def leave_models_of_an_earlier_version(root: Path) -> str:
    """Fill the model store that version 0.1 had in the service's folder; its detector is a link to a file of root."""
    folder, data = root / "var/lib/fmd/models", named("old")
    folder.mkdir(parents=True)
    name = f"classifier-{bundle.sha256(data)[:12]}.tflite"
    (folder / name).write_bytes(data)
    (folder / "classifier.tflite").symlink_to(name)
    (folder / "classifier.previous").symlink_to("shipped")
    (folder / "detector.tflite").symlink_to("/etc/shadow")
    return name


def check_the_model_store(system: Any, root: Path, output_of: Callable[[str], str], code: Callable[[str], str]) -> None:
    """A model goes through the installer's unit into a store that only root can change."""
    (root / "root/mine.tflite").write_bytes(named("mine"))
    shutil.copy(ROOT / "tests/edge/hostile_models/crash.tflite", root / "root/crash.tflite")
    install = "fmd model install /root/mine.tflite --seconds 1"
    assert code(install) == "0", output_of(f"{install}; journalctl -u fmd-model -u fmd | tail -40")
    assert "classifier-" in output_of("cat /run/fmd/in-use.json")
    listed = output_of("fmd model list")
    # A hostile file is refused in one line, and changes nothing.
    refused = output_of("fmd model install /root/crash.tflite")
    assert refused.startswith("error: /root/crash.tflite: "), refused
    assert len(refused.splitlines()) == 1
    assert output_of("fmd model list") == listed
    assert output_of("systemctl is-active fmd-model.path") == "active"
    assert output_of("systemctl is-failed fmd-model.service") == "inactive"
    # User fmd can stage, and change nothing else.
    assert output_of("find /var/lib/fmd-models ! -user root") == ""
    as_fmd = "setpriv --reuid=fmd --regid=fmd --init-groups sh -c"
    for attack in ("touch x", "mv incoming y", "rm -f classifier.json", "ln -sfn /etc results", "rm -rf results"):
        output_of(f"{as_fmd} 'cd /var/lib/fmd-models && {attack}'")
    assert output_of("fmd model list") == listed
    number = "a" * 32
    output_of(f"{as_fmd} 'ln -s /etc/shadow /var/lib/fmd-models/incoming/{number}.json'")
    system.wait(f"test -e /var/lib/fmd-models/results/{number}.json && echo answered", "answered")
    assert "root:" not in output_of(f"cat /var/lib/fmd-models/results/{number}.json")
    assert output_of("ls -A /var/lib/fmd-models/incoming") == ""
    # The model survives a restart; without its file the service watches with the shipped one, and says so.
    assert code("systemctl restart fmd") == "0"
    assert "classifier-" in output_of("cat /run/fmd/in-use.json")
    file = root / "var/lib/fmd-models" / f"classifier-{bundle.sha256(named('mine'))[:12]}.tflite"
    away = file.rename(root / "root/away.tflite")
    assert code("systemctl restart fmd") == "0"
    assert "instead of the installed one" in output_of("systemctl show --property=StatusText fmd")
    assert file.name not in output_of("cat /run/fmd/in-use.json")
    away.rename(file)
    assert code("systemctl restart fmd") == "0"
    assert "classifier-" in output_of("cat /run/fmd/in-use.json")


def check_the_page(root: Path, output_of: Callable[[str], str], code: Callable[[str], str]) -> None:
    """The page is off until it is enabled. It runs as its own user, which reads nothing of the service."""
    shutil.copy(page_client.__file__, root / "root/page_client.py")
    assert output_of("systemctl is-enabled fmd-page") == "disabled"
    assert code("systemctl is-active fmd-page") != "0"
    assert code(f"echo '{PASSWORD}' | fmd page password") == "0"
    assert (
        output_of("stat --format='%a %U %G' /etc/fmd/page.passwords /etc/fmd/page.toml")
        == "640 root fmd-page\n640 root fmd-page"
    )
    assert output_of("stat --format='%a %U %G' /run/fmd/page.sock") == "660 fmd fmd-page"
    assert code("setpriv --reuid=nobody --regid=nogroup --groups=fmd /opt/fmd/bin/fmd arm") == "0"
    assert code("setpriv --reuid=nobody --regid=nogroup --clear-groups /opt/fmd/bin/fmd arm") != "0"
    assert code("systemctl enable --now fmd-page") == "0"
    found = visited(output_of)
    assert (found["before"], found["tested"]) == (303, "The buzzer was on for a second.")
    assert (found["state"], found["picture"] > 1000) == ("Watching", True)
    assert "owner, 127.0.0.1" in output_of("journalctl -u fmd | grep 'web page'")
    as_page = "setpriv --reuid=fmd-page --regid=fmd-page --init-groups --no-new-privs"
    for path in ("/etc/fmd/fmd.toml", "/var/lib/fmd/record.db", "/var/lib/fmd-models/incoming"):
        assert code(f"{as_page} ls {path}/. || {as_page} cat {path}") != "0", path
    assert code(f"{as_page} /opt/fmd/bin/fmd disarm") != "0"
    # A page that is killed changes nothing at the door, and comes back.
    door = output_of("systemctl show --property=MainPID,NRestarts fmd")
    assert code("systemctl kill --signal=KILL --kill-whom=main fmd-page") == "0"
    assert visited(output_of)["tested"] == "The buzzer was on for a second."
    assert output_of("systemctl show --property=MainPID,NRestarts fmd") == door
    # Without fmd it says so; with it, it works again.
    assert code("systemctl stop fmd") == "0"
    assert "owner, 127.0.0.1" in output_of("fmd events"), output_of("fmd events | tail -5")
    assert "does not run" in output_of(f"{CLIENT} 2>&1 | tail -1")
    assert code("systemctl start fmd") == "0"
    assert visited(output_of)["before"] == 303


def check_changed_settings(root: Path, output_of: Callable[[str], str], code: Callable[[str], str]) -> bytes:
    """A setting that was changed on the page stays over a restart. Return the overlay."""
    said = output_of(f"{CLIENT} {CHANGE}")
    assert said == '"In use: watch.contrast."', said
    assert output_of(f"stat --format='%a %U %G' /{OVERLAY}") == "600 fmd fmd"
    content = (root / OVERLAY).read_bytes()
    assert b"contrast = 9" in content
    assert code("systemctl restart fmd") == "0"
    assert (root / OVERLAY).read_bytes() == content
    # The running fmd says that it uses the value, not only the file.
    assert output_of(f"fmd config set {CHANGE}") == NO_CHANGE
    assert "watch.contrast = 9  # overlay; default 6" in output_of("fmd config diff")
    # A value that no door can use changes nothing.
    assert "Nothing was changed" in output_of(f"{CLIENT} watch.contrast=never")
    assert (root / OVERLAY).read_bytes() == content
    return content


def check_a_restoration(
    root: Path, output_of: Callable[[str], str], code: Callable[[str], str], changed: bytes
) -> None:
    """A backup of the old version brings back settings, models and record; not while fmd runs."""
    owned = (
        f"stat --format='%n %a %U %G' /etc/fmd/fmd.toml /{OVERLAY} /var/lib/fmd/record.db /var/lib/fmd-models/*.json"
    )
    before, settings = output_of(owned), (root / "etc/fmd/fmd.toml").read_text()
    assert code("fmd config reset all") == "0"
    assert not (root / OVERLAY).exists()
    listed = output_of("fmd model list")
    assert code("fmd model rollback") == "0", output_of("fmd model rollback")
    assert output_of("fmd model list") != listed
    assert "fmd runs; stop it first" in output_of("fmd restore /root/door.backup")
    assert code("systemctl stop fmd") == "0"
    (root / "etc/fmd/fmd.toml").write_text("led_pni = 4\n")
    (root / "var/lib/fmd/record.db").unlink()
    assert code("fmd restore /root/door.backup --check") == "0", output_of("fmd restore /root/door.backup --check")
    assert "restored; start fmd" in output_of("fmd restore /root/door.backup")
    assert code("systemctl start fmd") == "0", output_of("journalctl -u fmd | tail -20")
    assert ((root / OVERLAY).read_bytes(), (root / "etc/fmd/fmd.toml").read_text()) == (changed, settings)
    assert output_of(owned) == before
    assert output_of(f"fmd config set {CHANGE}") == NO_CHANGE
    assert output_of("fmd model list") == listed
    assert visited(output_of)["before"] == 303


def visited(output_of: Callable[[str], str]) -> dict[str, Any]:
    """Return what the page answers to its client, as soon as it answers."""
    said = output_of(f"for n in 1 2 3 4 5 6 7 8 9; do {CLIENT} && break; sleep 1; done 2>/dev/null | tail -1")
    found: dict[str, Any] = json.loads(said or "{}")
    assert found, output_of(f"{CLIENT}; journalctl -u fmd-page | tail -20")
    return found


def events(root: Path) -> list[int]:
    return [event["n"] for event in record_events.read(root / "var/lib/fmd")]
