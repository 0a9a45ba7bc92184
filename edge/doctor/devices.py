"""Checks of the cameras and pins that the settings name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edge.doctor.facts import Facts, Ran
from edge.doctor.findings import Finding, fail, note, ok, warn
from edge.doctor.machine import accessible, is_running, is_watching
from edge.doctor.software import how_it_ended
from edge.drivers.selection import may_have

RIBBON = (
    "a camera on the ribbon cable: seat the cable, contacts towards the board; set camera_auto_detect=1 in "
    "/boot/firmware/config.txt; rpicam-hello --list-cameras must list it"
)
USB = "a USB camera: plug it in, and find it with: v4l2-ctl --list-devices"
CSI = "a camera on a Jetson's ribbon cable: seat the cable; this often helps: sudo systemctl restart nvargus-daemon"
NETWORK = "check the address, and that camera and network are up; a service needs fmd-network.conf"

FIXES = {
    "auto": f"{RIBBON}. Or {USB}",
    "picamera2": RIBBON,
    "v4l2": USB,
    "csi": CSI,
    "stream": NETWORK,
    "http": NETWORK,
}
"""Kind of camera (a key of the drivers' table, or "auto") -> fix."""


def cameras(facts: Facts, settings: Mapping[str, Any], probe: Callable[..., Ran]) -> Iterator[Finding]:
    """Open every camera as the service would, unless the service has it open."""
    # Most cameras allow one program at a time: opening one here could stop the service.
    watching = is_watching(facts)
    opened = [camera for camera in settings["cameras"] if not (camera["live"] and watching)]
    # Other kinds do not use /dev/video* directly.
    if any(camera["kind"] in ("auto", "v4l2") for camera in opened):
        for path in sorted((facts.root / "dev").glob("video*")):
            device = f"/dev/{path.name}"
            yield from _video_device(facts, device, named=any(camera["device"] == device for camera in opened))
    for camera in settings["cameras"]:
        who = f"{camera['name']}: {camera['source']}" if camera["name"] else camera["source"]
        if camera not in opened:
            yield ok("camera", f"{who}: not opened, because the running service has it open")
            continue
        ran = probe("camera", "--camera", camera["name"])
        if ran.code == 0:
            yield from _picture(who, ran.decoded())
        else:
            text = f"{camera['name']}: {how_it_ended(ran)}" if camera["name"] else how_it_ended(ran)
            if camera["kind"] == "auto" and facts.is_pc:
                # A PC without a webcam is no fault of fmd's settings: clips and pictures need none.
                yield note("camera", "no camera found on this PC", "plug a webcam in, or: fmd run --source CLIP")
                continue
            yield fail("camera", text, FIXES.get(camera["kind"], "fix what the message names"))


def _video_device(facts: Facts, device: str, named: bool) -> Iterator[Finding]:
    model = facts.text(f"sys/class/video4linux/{device.rpartition('/')[2]}/name") or "unknown"
    if not accessible(facts, device):
        fix = "sudo adduser $USER video, then log in again"
        yield (fail if named else note)("camera", f"{device} ({model}): this user may not open it", fix)
    elif by := facts.holders(device):
        yield (fail if named else note)("camera", f"{device} ({model}) is held by {', '.join(by)}", "stop that program")


def _picture(who: str, picture: Mapping[str, Any]) -> Iterator[Finding]:
    text = f"{who}: first picture after {picture['seconds']:.1f} s"
    if picture["blank"]:
        yield warn("camera", f"{text}, but it is dark or blank", "uncover the lens, or switch the light on")
    else:
        yield ok("camera", f"{text}, brightness {picture['brightness']:.0f} of 255")
    if picture["second"]:
        text = f"{who}: camera.detect_source: {picture['second']}; the detector uses the main stream"
        yield warn("camera", text, "correct the address, or remove it: fmd works without a second stream")


def pins(facts: Facts, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Check whether fmd may drive the pins, and whether other programs hold them. Switches nothing."""
    wired = settings["wired"]
    if not wired:
        yield fail("pins", "no output is wired, so an alarm has no effect", "set alert.led_pin or alert.buzzer_pin")
    if any(kind == "console" for _, _, kind in wired):
        yield note("pins", "output by the console: fmd only logs the changes of pins")
    by_line = [(name, pin) for name, pin, kind in wired if kind in ("gpiozero", "gpiod")]
    if missing := [(name, pin) for name, pin in by_line if not may_have(pin, facts.root)]:
        yield note(
            "pins",
            f"a PC cannot drive {', '.join(f'{name} ({pin})' for name, pin in missing)}: fmd run refuses a live camera",
            'to try a live camera on a PC: alert.driver = "console"',
        )
    by_line = [output for output in by_line if output not in missing]
    if by_line:
        yield from _chips(facts)
    if by_line and any((facts.root / "dev").glob("gpiochip*")):
        yield from _held(facts, by_line)
    for name, path, kind in wired:
        if kind == "file" and not accessible(facts, path):
            yield fail("pins", f"{name}: {path} cannot be written", "give it to the group gpio with a udev rule")
    if settings.get("contact"):
        yield from _contact(facts, *settings["contact"])


def _contact(facts: Facts, pin: int | str, kind: str) -> Iterator[Finding]:
    """Check the pin of ``arm.pin``. fmd watches without it, armed unless a command or the schedule disarms it."""
    if kind == "file":
        if not os.access(facts.root / str(pin).lstrip("/"), os.R_OK):
            yield warn("pins", f"arm.pin: {pin} cannot be read", "make it readable for the user fmd")
    elif kind != "console" and not may_have(pin, facts.root):
        yield note("pins", f"a PC cannot read arm.pin ({pin}): fmd is armed and disarmed by commands and schedule only")
    elif kind != "console" and any((facts.root / "dev").glob("gpiochip*")):
        yield from _held(facts, [("arm.pin", pin)])


def _chips(facts: Facts) -> Iterator[Finding]:
    chips = [f"/dev/{path.name}" for path in sorted((facts.root / "dev").glob("gpiochip*"))]
    if not chips:
        yield fail(
            "pins",
            "this machine has no /dev/gpiochip*",
            "its kernel lacks a GPIO driver; use the system that the board's maker provides",
        )
    for chip in chips:
        if not accessible(facts, chip):
            fix = "sudo adduser $USER gpio, then log in again; or use sudo"
            yield fail("pins", f"this user may not open {chip}", fix)
    if facts.is_jetson:
        yield note(
            "pins",
            "JetPack 6 and later leave header pins in another mode until jetson-io configures them",
            "sudo /opt/nvidia/jetson-io/jetson-io.py; then check with: fmd doctor --try-outputs",
        )


def _held(facts: Facts, wired: Sequence[tuple[str, int | str]]) -> Iterator[Finding]:
    """Report who holds each pin, as gpioinfo lists it; the service itself does not count."""
    listed = facts.run(["gpioinfo"])
    if listed.code != 0:
        yield note("pins", "gpioinfo is missing, so the holder of a pin is unknown", "sudo apt install gpiod")
        return
    watching = is_running(facts)
    for name, pin in wired:
        line = f"GPIO{pin}" if isinstance(pin, int) else pin
        holder = holder_of(line, listed.out)
        if holder and not watching:
            fix = "stop that program; remove a kernel driver's dtoverlay or dtparam from /boot/firmware/config.txt"
            yield fail("pins", f"{name}: {line} is held by {holder}", fix)
        elif holder is None and isinstance(pin, str) and ":" not in pin:
            yield fail("pins", f"{name}: no line {line} on this board", "to list the lines: gpioinfo")
        else:
            yield ok("pins", f"{name} on {line}")


def holder_of(line: str, listing: str) -> str | None:
    """Return the holder of a line in gpioinfo's listing (libgpiod 1 or 2): empty if free, None if there is no line."""
    row = next((row for row in listing.splitlines() if f'"{line}"' in row), None)
    if row is None:
        return None
    rest = row.partition(f'"{line}"')[2]
    # libgpiod 2 prints consumer="name" or consumer=name; 1 prints the name before the direction, quoted or not.
    if two := re.search(r'consumer="?([^"]+)"?', rest):
        return two.group(1).strip()
    one = re.match(r'\s+(?:"([^"]*)"|(\S+))\s+(?:input|output)', rest)
    holder = (one.group(1) or one.group(2) or "") if one else ""
    return "" if holder == "unused" else holder


def outputs(probe: Callable[[str], Ran]) -> Iterator[Finding]:
    """Switch every output on for a moment; only the user can see and hear whether it works."""
    ran = probe("outputs")
    if ran.code == 0:
        shown = ", ".join(ran.decoded()["shown"])
        yield ok("outputs", f"on for a moment each: {shown}; check that you saw and heard them")
    else:
        yield fail("outputs", how_it_ended(ran), "fix the findings about pins")


def display(facts: Facts, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the screen at the door, if there is one: the door is watched without it."""
    device = settings["settings"].get("display", {}).get("device", "")
    if not device:
        return
    if not (facts.root / device.lstrip("/")).exists():
        fix = "connect the screen before the board starts; on a Raspberry Pi use dtoverlay=vc4-kms-v3d"
        yield warn("display", f"this machine has no {device}", fix)
    elif not accessible(facts, device):
        yield warn("display", f"this user may not open {device}", "sudo adduser $USER video, then log in again")
    else:
        yield ok("display", f"signs on {device}")


def sensor(facts: Facts, settings: Mapping[str, Any], probe: Callable[..., Ran]) -> Iterator[Finding]:
    """Read the presence sensor, if there is one and no service reads it: the door is watched without it."""
    driver = settings["settings"].get("sensor", {}).get("driver", "none")
    if driver == "none":
        return
    if is_running(facts):
        yield note("sensor", f"{driver}: the service reads it, and reports its faults as those of the camera")
        return
    ran = probe("sensor")
    if ran.code != 0:
        yield warn("sensor", how_it_ended(ran), "docs/sensor.md; fmd watches the door without it")
        return
    found = ran.decoded()
    unit, most = ("degrees", "warmest") if found["sensed"] == "warmth" else ("m", "closest")
    text = f"{found['columns']} x {found['rows']} cells, {found['least']:.1f} to {found['most']:.1f} {unit}"
    yield ok("sensor", f"{driver}: {text}, {most} at the {found['at']} as the camera sees it")
