"""The board: system, power, heat, memory, disk, clock, users, and the service as systemd knows it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from edge import board, paths
from edge.camera.lateness import TOO_SLOW
from edge.doctor.facts import Facts
from edge.doctor.findings import Finding, fail, note, ok, warn

HOT_C, TOO_HOT_C = 70.0, 80.0
"""A Raspberry Pi slows down from 80 degrees on (60 on a 3B+ until told otherwise)."""
MIN_AVAILABLE_MB, MIN_FREE_MB, LITTLE_FREE_MB = 160, 50, 500
"""fmd takes 120 MB; a full disk loses the journal, and on an SD card the next boot."""
BUILT_S = 1_760_000_000.0
"""A moment before this fmd was written (October 2025): no clock that is right is earlier."""
USER, GROUPS = "fmd", ("video", "gpio")
CURES = {
    "under_voltage": "use the board's own power supply (5 V, 3 A; 5 A for a Pi 5) and a short, thick cable",
    "frequency_capped": "see temperature and power supply",
    "throttled": "see temperature and power supply",
    "soft_temperature_limit": "give the board air or a heat sink",
}


def system(facts: Facts) -> Iterator[Finding]:
    """What machine this is; nothing to cure."""
    release = dict(line.split("=", 1) for line in facts.text("etc/os-release").splitlines() if "=" in line)
    name = release.get("PRETTY_NAME", "an unknown system").strip('"')
    yield ok("system", f"{facts.board or facts.python.machine}, {name}")
    if facts.is_jetson:
        yield note("system", "on a Jetson the models run on its CPU", "")


def power(facts: Facts) -> Iterator[Finding]:
    """Under-voltage and throttling, now and since the board was switched on."""
    throttled = board.read(facts.root).throttled
    if throttled is None:
        yield (
            note("power", "this board does not tell of its power supply")
            if facts.is_pi
            else ok("power", "nothing known of under-voltage (only Raspberry Pis tell)")
        )
        return
    now = [name for name, is_set in throttled.items() if is_set and not name.endswith("_occurred")]
    was = [name.removesuffix("_occurred") for name, is_set in throttled.items() if is_set and name not in now]
    for name in now:
        yield warn("power", f"{name.replace('_', ' ')} now", CURES[name])
    for name in (name for name in was if name not in now):
        yield warn("power", f"{name.replace('_', ' ')} since it was switched on", CURES[name])
    if not now and not was:
        yield ok("power", "no under-voltage and no throttling since it was switched on")


def temperature(facts: Facts) -> Iterator[Finding]:
    """Of the processor."""
    celsius = board.read(facts.root).temperature_c
    if celsius is None:
        yield ok("temperature", "no sensor to read")
    elif celsius < HOT_C:
        yield ok("temperature", f"{celsius:.0f} degrees")
    else:
        tell = fail if celsius >= TOO_HOT_C + 5 else warn
        slow = ", it runs slower for that" if celsius >= TOO_HOT_C else ""
        yield tell("temperature", f"{celsius:.0f} degrees{slow}", "give the board air or a heat sink")


def memory(facts: Facts) -> Iterator[Finding]:
    """What is left for fmd."""
    fields = dict(line.split(":", 1) for line in facts.text("proc/meminfo").splitlines() if ":" in line)
    available = fields.get("MemAvailable", "").split()
    if not available:
        yield note("memory", "/proc/meminfo does not say what is available")
        return
    megabytes = int(available[0]) / 1024
    if megabytes < MIN_AVAILABLE_MB:
        yield warn(
            "memory",
            f"{megabytes:.0f} MB available, fmd takes 120",
            "stop what else runs (ps aux --sort -rss), or switch the desktop off: sudo raspi-config, Boot",
        )
        return
    yield ok("memory", f"{megabytes:.0f} MB available")


def disk(facts: Facts) -> Iterator[Finding]:
    """Room where fmd keeps its state, and whether it may write there."""
    state = facts.under_root(paths.STATE)
    folder = state if state.is_dir() else facts.root
    free = shutil.disk_usage(folder).free / 1e6
    where = "/" + str(folder.relative_to(facts.root)) if folder != facts.root else "/"
    if free < LITTLE_FREE_MB:
        tell = fail if free < MIN_FREE_MB else warn
        yield tell("disk", f"{free:.0f} MB free at {where}", "make room: sudo journalctl --vacuum-size=50M; df -h")
    else:
        yield ok("disk", f"{free / 1000:.1f} GB free at {where}")
    root = next((line.split() for line in facts.text("proc/mounts").splitlines() if line.split()[1:2] == ["/"]), [])
    if len(root) > 3 and "ro" in root[3].split(","):
        yield note("disk", "the root file system is read-only; events are kept in memory only, if at all")


def clock(facts: Facts) -> Iterator[Finding]:
    """Decisions need no clock; events, messages and certificates do."""
    cure = "sudo timedatectl set-ntp true; a board without a network needs a clock of its own (RTC)"
    if facts.now_s() < BUILT_S:
        yield warn("clock", "the clock is years behind", cure)
        return
    if (facts.root / "run/systemd/timesync/synchronized").exists():
        yield ok("clock", "set from the network")
        return
    said = facts.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if said.code == 0 and said.out.strip() == "yes":
        yield ok("clock", "set from the network")
    elif said.code == 0:
        yield warn("clock", "not set from the network; times of events may be wrong", cure)
    else:
        yield note("clock", "nobody says whether it is set from the network (no systemd)")


def users(facts: Facts) -> Iterator[Finding]:
    """Who may open cameras and pins: the service's user where there is one, else whoever asks."""
    for group in GROUPS:
        if facts.members(group) is None:
            yield warn(
                "groups", f"this system has no group {group}", "install fmd's package, or: sudo systemd-sysusers"
            )
        elif facts.has_user(USER):
            if USER not in (facts.members(group) or ()):
                yield fail("groups", f"the user {USER} is not in the group {group}", f"sudo adduser {USER} {group}")
        elif facts.user and facts.group_id(group) not in facts.groups:
            yield warn("groups", f"you are not in the group {group}", f"sudo adduser $USER {group}, then log in again")
    if facts.has_user(USER):
        yield ok("groups", f"the service runs as the user {USER}")


def service(facts: Facts) -> Iterator[Finding]:
    """The unit, as systemd sees it."""
    said = facts.run(["systemctl", "show", "fmd", "--property=LoadState,ActiveState,NRestarts,StatusText,Result"])
    told = dict(line.split("=", 1) for line in said.out.splitlines() if "=" in line)
    state, restarts = told.get("ActiveState", ""), told.get("NRestarts", "0")
    if said.code != 0 or not told:
        yield note("service", "no systemd here to ask")
    elif told.get("LoadState") != "loaded":
        yield note("service", "fmd.service is not installed; fmd runs only while somebody starts it")
    elif "blind, " in told.get("StatusText", ""):
        cure = "its cable and power, the lens, the light; it is watched again within a second of its return"
        yield fail("service", f"{state}: {told['StatusText']}", cure)
    elif state == "active" and TOO_SLOW in told.get("StatusText", ""):
        cure = "fewer cameras in camera.sources, cooling, or a quicker board; or rarer looks: a larger detect.every_s"
        yield warn("service", f"active: {told['StatusText']}", cure)
    elif state == "active":
        yield ok("service", f"active: {told.get('StatusText') or 'no word yet'}")
    else:
        yield fail("service", f"{state}, {told.get('Result')}", "journalctl -u fmd -n 50; sudo systemctl restart fmd")
    if restarts.isdigit() and int(restarts) > 0:
        yield warn("service", f"systemd has had to restart it {restarts} times", "journalctl -u fmd says why")


def is_watching(facts: Facts) -> bool:
    """Whether the service runs, so that camera and pins are its own."""
    return facts.run(["systemctl", "is-active", "--quiet", "fmd"]).code == 0


def is_running(facts: Facts) -> bool:
    """Whether the service has pins and ports, if not the camera: while that is away it is "activating" for long."""
    ran = facts.run(["systemctl", "is-active", "fmd"])
    return ran.code == 0 or ran.out.strip() == "activating"


def accessible(facts: Facts, path: str) -> bool:
    """Whether whoever asks may read and write a device."""
    return os.access(facts.root / path.lstrip("/"), os.R_OK | os.W_OK)
