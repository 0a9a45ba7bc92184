"""Checks of the board: system, power, heat, memory, disk, clock, users, and the service."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edge import board, paths
from edge.doctor.facts import Facts, Ran
from edge.doctor.findings import Finding, fail, note, ok, warn

HOT_C, TOO_HOT_C = 70.0, 80.0
"""A Raspberry Pi reduces its clock from 80 degrees on (a 3B+ from 60, unless temp_soft_limit is set)."""
MIN_AVAILABLE_MB, MIN_FREE_MB, LITTLE_FREE_MB = 160, 50, 500
"""fmd uses 120 MB. A full disk loses the journal, and an SD card that is full may fail to boot."""
BUILT_S = 1_760_000_000.0
"""A time before this fmd was written (October 2025): an earlier clock is wrong."""
USER, GROUPS = "fmd", ("video", "gpio")
FIXES = {
    "under_voltage": "use the board's own power supply (5 V, 3 A; 5 A for a Pi 5) and a short, thick cable",
    "frequency_capped": "see temperature and power supply",
    "throttled": "see temperature and power supply",
    "soft_temperature_limit": "give the board air or a heat sink",
}


def system(facts: Facts) -> Iterator[Finding]:
    """Report board and system."""
    release = dict(line.split("=", 1) for line in facts.text("etc/os-release").splitlines() if "=" in line)
    name = release.get("PRETTY_NAME", "an unknown system").strip('"')
    yield ok("system", f"{facts.board or facts.python.machine}, {name}")
    if facts.is_pc:
        chips = any((facts.root / "dev").glob("gpiochip*"))
        pins = "whose GPIO chip has lines with names (gpioinfo)" if chips else "without pins for LED and buzzer"
        yield note(
            "system",
            f"this machine is a PC, {pins}; it plays clips, folders and the built-in scene",
            "to watch a door, use a Raspberry Pi, a Jetson, or another board with GPIO",
        )


def power(facts: Facts) -> Iterator[Finding]:
    """Report under-voltage and throttling, now and since the board was switched on."""
    throttled = board.read(facts.root).throttled
    if throttled is None:
        yield (
            note("power", "this board does not report on its power supply")
            if facts.is_pi
            else ok("power", "no information about under-voltage (only Raspberry Pis have it)")
        )
        return
    now = [name for name, is_set in throttled.items() if is_set and not name.endswith("_occurred")]
    was = [name.removesuffix("_occurred") for name, is_set in throttled.items() if is_set and name not in now]
    for name in now:
        yield warn("power", f"{name.replace('_', ' ')} now", FIXES[name])
    for name in (name for name in was if name not in now):
        yield warn("power", f"{name.replace('_', ' ')} since it was switched on", FIXES[name])
    if not now and not was:
        yield ok("power", "no under-voltage and no throttling since it was switched on")


def temperature(facts: Facts) -> Iterator[Finding]:
    """Report the temperature of the processor."""
    celsius = board.read(facts.root).temperature_c
    if celsius is None:
        yield ok("temperature", "no sensor to read")
    elif celsius < HOT_C:
        yield ok("temperature", f"{celsius:.0f} degrees")
    else:
        report = fail if celsius >= TOO_HOT_C + 5 else warn
        slow = ", so its clock is reduced" if celsius >= TOO_HOT_C else ""
        yield report("temperature", f"{celsius:.0f} degrees{slow}", "give the board air or a heat sink")


def memory(facts: Facts) -> Iterator[Finding]:
    """Report the memory that is left for fmd."""
    available = board.available_bytes(facts.root)
    if available is None:
        yield note("memory", "/proc/meminfo does not give the available memory")
        return
    megabytes = available / 1024**2
    if megabytes < MIN_AVAILABLE_MB:
        yield warn(
            "memory",
            f"{megabytes:.0f} MB available, fmd needs 120",
            "stop other programs (ps aux --sort -rss), or switch the desktop off: sudo raspi-config, Boot",
        )
        return
    yield ok("memory", f"{megabytes:.0f} MB available")


def disk(facts: Facts) -> Iterator[Finding]:
    """Report the free space for fmd's state, and whether the file system is writable."""
    state = facts.under_root(paths.STATE)
    # Before the installation there is no such folder, and / is its file system as a rule.
    folder = state if state.is_dir() else facts.root
    free = shutil.disk_usage(folder).free / 1e6
    where = "/" + str(folder.relative_to(facts.root)) if folder != facts.root else "/"
    if free < LITTLE_FREE_MB:
        report = fail if free < MIN_FREE_MB else warn
        fix = "free space, for example: sudo journalctl --vacuum-size=50M"
        yield report("disk", f"{free:.0f} MB free at {where}", fix)
    else:
        yield ok("disk", f"{free / 1000:.1f} GB free at {where}")
    root = next((line.split() for line in facts.text("proc/mounts").splitlines() if line.split()[1:2] == ["/"]), [])
    if len(root) > 3 and "ro" in root[3].split(","):
        yield note("disk", "the root file system is read-only; fmd keeps events in memory only, if at all")


def clock(facts: Facts) -> Iterator[Finding]:
    """Report whether the clock is right: events, messages and certificates need it, decisions do not."""
    fix = "sudo timedatectl set-ntp true; a board without a network needs a real-time clock (RTC)"
    if facts.now_s() < BUILT_S:
        yield warn("clock", "the clock is years behind", fix)
        return
    if (facts.root / "run/systemd/timesync/synchronized").exists():
        yield ok("clock", "set from the network")
        return
    ran = facts.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    if ran.code == 0 and ran.out.strip() == "yes":
        yield ok("clock", "set from the network")
    elif ran.code == 0:
        yield warn("clock", "not set from the network; times of events may be wrong", fix)
    else:
        yield note("clock", "unknown whether it is set from the network (no systemd)")


def users(facts: Facts) -> Iterator[Finding]:
    """Report whether the service's user, or without one the present user, may open cameras and pins."""
    # A PC has no pins, and most of its systems no group for them.
    for group in GROUPS[:1] if facts.is_pc else GROUPS:
        if facts.members(group) is None:
            yield warn(
                "groups", f"this system has no group {group}", "install fmd's package, or: sudo systemd-sysusers"
            )
        elif facts.has_user(USER):
            if USER not in (facts.members(group) or ()):
                yield fail("groups", f"the user {USER} is not in the group {group}", f"sudo adduser {USER} {group}")
        # Root may open all devices, so its groups do not matter.
        elif facts.user and facts.group_id(group) not in facts.groups:
            yield warn("groups", f"you are not in the group {group}", f"sudo adduser $USER {group}, then log in again")
    if facts.has_user(USER):
        yield ok("groups", f"the service runs as the user {USER}")


def service(facts: Facts, probe: Callable[..., Ran]) -> Iterator[Finding]:
    """Report the state of the unit as systemd knows it, and of its cameras as the service's status file says."""
    ran = facts.run(["systemctl", "show", "fmd", "--property=LoadState,ActiveState,NRestarts,Result"])
    unit = dict(line.split("=", 1) for line in ran.out.splitlines() if "=" in line)
    state, restarts = unit.get("ActiveState", ""), unit.get("NRestarts", "0")
    if ran.code != 0 or not unit:
        yield note("service", "systemd is not available on this machine")
    elif unit.get("LoadState") != "loaded":
        yield note("service", "fmd.service is not installed; fmd runs only if a user starts it")
    else:
        running = state in ("active", "activating")
        status = _status(probe) if running else {}
        yield _service_state(state, unit.get("Result", ""), status)
        if status.get("disarmed"):
            yield note("service", status["disarmed"], "to arm it: sudo fmd arm; to end a mute: sudo fmd mute off")
    # Also for a service that runs now: it may fail once an hour.
    if restarts.isdigit() and int(restarts) > 0:
        yield warn("service", f"systemd has restarted it {restarts} times", "to find the reason: journalctl -u fmd")


def _service_state(state: str, result: str, status: Mapping[str, Any]) -> Finding:
    cameras = status.get("cameras", [])
    lines = "; ".join(_camera_line(camera, status["watching"]) for camera in cameras)
    if any(camera["blind"] for camera in cameras):
        fix = "check its cable and power, the lens, and the light; fmd watches again within a second of its return"
        return fail("service", f"{state}: {lines}", fix)
    if fallbacks := status.get("fallbacks"):
        lines = "; ".join([lines, *(f"{one['task']} {one['used']}, because {one['reason']}" for one in fallbacks)])
        fix = f"sudo fmd model install FILE, or: sudo fmd model rollback {fallbacks[0]['task']}"
        return warn("service", f"{state}: {lines}", fix)
    if state != "active":
        return fail("service", f"{state}, {result}", "journalctl -u fmd -n 50; sudo systemctl restart fmd")
    if any(camera["slow"] for camera in cameras):
        fix = "fewer cameras in camera.sources, cooling, a faster board, or a larger detect.every_s"
        return warn("service", f"active: {lines}", fix)
    if any(camera.get("hint") for camera in cameras):
        return warn("service", f"active: {lines}", "what the message names; docs/mounting.md explains it")
    return ok("service", f"active: {lines or 'no status yet'}")


def _camera_line(camera: Mapping[str, Any], watching: bool) -> str:
    if camera["blind"]:
        text = f"blind, camera {camera['state']}: {camera['reason']}"
    else:
        # A recording stays "starting": it has no health to report.
        text = "watching" if watching else str(camera["state"])
        text += f", but {camera['slow']}" if camera["slow"] else ""
        text += f", but {camera['hint']}" if camera.get("hint") else ""
    return f"{camera['camera']}: {text}" if camera["camera"] else text


def _status(probe: Callable[..., Ran]) -> Mapping[str, Any]:
    """Return the status that the running service reports, or nothing."""
    ran = probe("status")
    return ran.decoded() if ran.code == 0 else {}


def is_watching(facts: Facts) -> bool:
    """Return whether the service is active, so that it holds camera and pins."""
    return facts.run(["systemctl", "is-active", "--quiet", "fmd"]).code == 0


def is_running(facts: Facts) -> bool:
    """Return whether the service holds pins and ports. While it waits for its camera, it stays "activating"."""
    ran = facts.run(["systemctl", "is-active", "fmd"])
    return ran.code == 0 or ran.out.strip() == "activating"


def accessible(facts: Facts, path: str) -> bool:
    """Return whether the present user may read and write a device."""
    return os.access(facts.root / path.lstrip("/"), os.R_OK | os.W_OK)
