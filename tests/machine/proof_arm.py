"""``make proof-arm``: fmd's package on a board's userland, and under a real systemd, without a board.

On an arm64 Debian, run by qemu-user, the package installs and ``fmd demo`` runs. On the processors of a Pi 3, 4 and 5
the shipped models give the same outputs as on x86, bit for bit.

On an amd64 Debian under its own systemd the unit starts, stops, and restarts after a kill and after a hang. It waits
for a camera that is away for longer than a start may take.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.machine import namespaces, package, root, scene, userland
from tests.machine.place import ProofError, Report, cache, end_in_order, need_root

SETTINGS = """[camera]
source = "/var/lib/fmd-proof/passage.mp4"
loop = true

[alert]
driver = "console"
"""
AWAY_S = 75
"""Seconds for which the camera is away; longer than the unit's TimeoutStartSec."""
AWAY = SETTINGS.replace("loop = true", f'loop = true\nsimulate = "unplug@0+{AWAY_S}"')


def main() -> int:
    """Run every check, print each with its seconds, and return 0 if all passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help=package.PACKAGES_HELP)
    packages = parser.parse_args().packages
    report = Report()
    work = Path(tempfile.mkdtemp(prefix="proof-arm.", dir=cache()))
    end_in_order()
    try:
        need_root()
        trees = {arch: _installed(report, work, arch, packages) for arch in ("amd64", "arm64")}
        _check_answers(report, trees)
        _check_demo(report, trees)
        _check_unit(report, trees["amd64"], work)
    except ProofError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.end()


def _installed(report: Report, work: Path, arch: str, packages: Path | None) -> Path:
    """Return a root with the package installed; raises ProofError without one, as nothing else can be proved then."""
    with report.step(f"a Debian root for {arch}"):
        root.make(arch)
    with report.step(f"the package for {arch}"):
        deb = package.find(arch, packages)
    with report.step(f"the package installs on {arch}"):
        tree = package.installed(work / arch, deb, arch)
    if report.failed:
        raise ProofError(f"no package on {arch}, nothing to prove")
    return tree


def _check_answers(report: Report, trees: dict[str, Path]) -> None:
    """Replay the golden inputs, and compare every output with that on x86."""
    wanted = package.answers(trees["amd64"], package.runner(trees["amd64"], "amd64"))
    for board, processor in userland.PROCESSORS.items():
        with report.step(f"{board} ({processor}): golden replay passes, outputs equal those on x86 bit for bit"):
            got = package.answers(trees["arm64"], package.runner(trees["arm64"], "arm64", processor))
            different = [task for task in wanted if got[task] != wanted[task]]
            if different:
                raise ProofError(f"outputs differ from those on x86: {different}")
    counted = {task: sum(len(output) for each in answers for output in each) for task, answers in wanted.items()}
    report.say(f"numbers compared on each processor: {counted}")


def _check_demo(report: Report, trees: dict[str, Path]) -> None:
    """Run the whole loop on the built-in scene, and compare its decisions and their times with x86."""
    printed = {}
    for arch, tree in trees.items():
        with report.step(f"fmd demo runs on {arch}"):
            package.add_scene(tree, arch)
            printed[arch] = package.demo(tree, package.runner(tree, arch))
    with report.step("fmd demo decides the same on both"):
        if printed["amd64"] != printed["arm64"]:
            raise ProofError(f"on amd64:\n{printed['amd64']}\non arm64:\n{printed['arm64']}")


def _check_unit(report: Report, tree: Path, work: Path) -> None:
    """Check the shipped unit under a real process 1, with its sandbox enforced."""
    (tree / "var/lib/fmd-proof").mkdir(exist_ok=True)
    scene.write_clip(tree / "var/lib/fmd-proof/passage.mp4")
    (tree / "etc/fmd/fmd.toml").write_text(SETTINGS)
    state = "systemctl show --property=ActiveState --value fmd"
    with namespaces.booted(tree, work / "console") as system:
        with report.step("systemd as process 1 has started fmd; READY after a frame passed all stages"):
            system.wait(state, "active")
        with report.step("a person without a mask in the clip is an alarm in the journal"):
            system.wait("journalctl -u fmd | grep -c -m1 'ALARM  person'", "1")
        with report.step("systemd restarts fmd after a kill"):
            system.out("systemctl kill --signal=KILL --kill-whom=main fmd")
            system.wait("systemctl show --property=NRestarts --value fmd", "1")
            system.wait(state, "active")
        with report.step("the watchdog restarts fmd after a hang"):
            system.out("systemctl kill --signal=STOP --kill-whom=main fmd")
            system.wait("systemctl show --property=NRestarts --value fmd", "2")
            system.wait(state, "active")
        with report.step("systemctl stop ends fmd cleanly"):
            system.out("systemctl stop fmd")
            system.wait(state, "inactive")
            system.wait("systemctl show --property=Result --value fmd", "success")
        _check_away(report, tree, system)
        report.say("systemd's exposure level: " + system.out("systemd-analyze security --no-pager fmd | tail -1"))


def _check_away(report: Report, tree: Path, system: namespaces.System) -> None:
    """Check that a manual start fails at once, and that a start by systemd waits for the camera."""
    (tree / "etc/fmd/fmd.toml").write_text(AWAY)
    show = "systemctl show --value fmd --property="
    with report.step("a camera that is away: systemctl start fails"):
        system.out("! systemctl start fmd")
    with report.step("started again by systemd, fmd is activating and blind, and keeps waiting"):
        system.wait(f"{show}StatusText | grep -c '^blind, camera lost'", "1")
        began_s = time.monotonic()
        system.wait(f"{show}ActiveState", "activating")
    with report.step("the camera is back after longer than a start may take: active, in the same process"):
        system.wait(f"{show}ActiveState", "active")
        if time.monotonic() - began_s < AWAY_S - 10:
            raise ProofError("fmd was active before the camera was back")
        system.wait(f"{show}NRestarts", "1")
        system.wait(f"{show}StatusText", "watching")
        system.out("systemctl stop fmd")


if __name__ == "__main__":
    sys.exit(main())
