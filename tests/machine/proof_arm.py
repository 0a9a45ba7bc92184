"""``make proof-arm``: fmd's package on a board's userland, and under a real systemd, without a board.

On an arm64 Debian run by qemu-user: the package installs, the shipped models answer bit for bit as on x86 on the
processors of a Pi 3, 4 and 5, and ``fmd demo`` runs. On an amd64 Debian under its own systemd: the unit starts, comes
back after a kill and from hanging, stops, and waits for a camera that is away for longer than a start may take.
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
"""Longer than the unit's TimeoutStartSec."""
AWAY = SETTINGS.replace("loop = true", f'loop = true\nsimulate = "unplug@0+{AWAY_S}"')


def main() -> int:
    """Every check, each told with its seconds; 0 where all passed."""
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
    """A root with the package in it; without one there is nothing more to prove."""
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
    """Golden replay, and every single answer beside x86's."""
    wanted = package.answers(trees["amd64"], package.runner(trees["amd64"], "amd64"))
    for board, processor in userland.PROCESSORS.items():
        with report.step(f"{board} ({processor}): golden replay passes, answers are x86's bit for bit"):
            got = package.answers(trees["arm64"], package.runner(trees["arm64"], "arm64", processor))
            different = [task for task in wanted if got[task] != wanted[task]]
            if different:
                raise ProofError(f"other answers than on x86: {different}")
    counted = {task: sum(len(output) for each in answers for output in each) for task, answers in wanted.items()}
    report.say(f"numbers compared on each processor: {counted}")


def _check_demo(report: Report, trees: dict[str, Path]) -> None:
    """The whole loop on the built-in scene; what it decides and when is compared with x86."""
    said = {}
    for arch, tree in trees.items():
        with report.step(f"fmd demo runs on {arch}"):
            package.add_scene(tree, arch)
            said[arch] = package.demo(tree, package.runner(tree, arch))
    with report.step("fmd demo decides the same on both"):
        if said["amd64"] != said["arm64"]:
            raise ProofError(f"on amd64:\n{said['amd64']}\non arm64:\n{said['arm64']}")


def _check_unit(report: Report, tree: Path, work: Path) -> None:
    """The shipped unit under a real process 1, its sandbox enforced."""
    (tree / "var/lib/fmd-proof").mkdir(exist_ok=True)
    scene.write_clip(tree / "var/lib/fmd-proof/passage.mp4")
    (tree / "etc/fmd/fmd.toml").write_text(SETTINGS)
    state = "systemctl show --property=ActiveState --value fmd"
    with namespaces.booted(tree, work / "console") as system:
        with report.step("systemd as process 1 has started fmd by itself; READY after a whole frame"):
            system.wait(state, "active")
        with report.step("a bare face in the clip is an alarm in the journal"):
            system.wait("journalctl -u fmd | grep -c -m1 'ALARM  person'", "1")
        with report.step("killed, it is started again"):
            system.out("systemctl kill --signal=KILL --kill-whom=main fmd")
            system.wait("systemctl show --property=NRestarts --value fmd", "1")
            system.wait(state, "active")
        with report.step("hung, the watchdog has it started again"):
            system.out("systemctl kill --signal=STOP --kill-whom=main fmd")
            system.wait("systemctl show --property=NRestarts --value fmd", "2")
            system.wait(state, "active")
        with report.step("systemctl stop ends it in order"):
            system.out("systemctl stop fmd")
            system.wait(state, "inactive")
            system.wait("systemctl show --property=Result --value fmd", "success")
        _check_away(report, tree, system)
        report.say("systemd's own judgement: " + system.out("systemd-analyze security --no-pager fmd | tail -1"))


def _check_away(report: Report, tree: Path, system: namespaces.System) -> None:
    """Whoever starts the service has an answer, and what systemd starts after that waits."""
    (tree / "etc/fmd/fmd.toml").write_text(AWAY)
    show = "systemctl show --value fmd --property="
    with report.step("a camera that is away: systemctl start fails"):
        system.out("! systemctl start fmd")
    with report.step("started again by systemd, fmd is activating and blind, and hangs on"):
        system.wait(f"{show}StatusText | grep -c '^blind, camera gone'", "1")
        began_s = time.monotonic()
        system.wait(f"{show}ActiveState", "activating")
    with report.step("the camera is back after longer than a start may take: active, in the same process"):
        system.wait(f"{show}ActiveState", "active")
        if time.monotonic() - began_s < AWAY_S - 10:
            raise ProofError("it was there before its time")
        system.wait(f"{show}NRestarts", "1")
        system.wait(f"{show}StatusText", "watching")
        system.out("systemctl stop fmd")


if __name__ == "__main__":
    sys.exit(main())
