"""Camera and pins, as the settings name them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from edge.doctor.facts import Facts, Ran
from edge.doctor.findings import Finding, fail, note, ok, warn
from edge.doctor.machine import accessible, is_running, is_watching
from edge.doctor.software import how_it_ended

RIBBON = (
    "a camera on the ribbon cable: is the cable seated, contacts towards the board? Does rpicam-hello --list-cameras "
    "list it? camera_auto_detect=1 in /boot/firmware/config.txt"
)
USB = "a USB camera: plug it in, and look for it with: v4l2-ctl --list-devices"
CSI = "a camera on a Jetson's ribbon cable: is it seated? Often enough: sudo systemctl restart nvargus-daemon"
NETWORK = "is the address right, the camera on, the network up? Under systemd: fmd-network.conf"


CURES = {"auto": f"{RIBBON}. Or {USB}", "picamera2": RIBBON, "v4l2": USB, "csi": CSI, "stream": NETWORK}
"""By the kind of camera, as :func:`edge.drivers.camera_kind` names it."""


def cameras(facts: Facts, told: Mapping[str, Any], probe: Callable[..., Ran]) -> Iterator[Finding]:
    """Every camera is opened as the service would, unless the service has it."""
    watching = is_watching(facts)
    opened = [its for its in told["cameras"] if not (its["live"] and watching)]
    if any(its["kind"] in ("auto", "v4l2") for its in opened):
        for path in sorted((facts.root / "dev").glob("video*")):
            device = f"/dev/{path.name}"
            yield from _video_device(facts, device, named=any(its["device"] == device for its in opened))
    for its in told["cameras"]:
        who = f"{its['name']}: {its['source']}" if its["name"] else its["source"]
        if its not in opened:
            yield ok("camera", f"{who}: not opened, the running service has it")
            continue
        ran = probe("camera", "--camera", its["name"])
        if ran.code == 0:
            yield from _picture(who, decoded(ran))
        else:
            said = f"{its['name']}: {how_it_ended(ran)}" if its["name"] else how_it_ended(ran)
            yield fail("camera", said, CURES.get(its["kind"], "see the message"))


def decoded(ran: Ran) -> dict[str, Any]:
    """The JSON object a probe printed last; libraries may have printed before."""
    return dict(json.loads(ran.out.splitlines()[-1]))


def _video_device(facts: Facts, device: str, named: bool) -> Iterator[Finding]:
    model = facts.text(f"sys/class/video4linux/{device.rpartition('/')[2]}/name") or "unknown"
    if not accessible(facts, device):
        cure = "sudo adduser $USER video, then log in again"
        yield (fail if named else note)("camera", f"{device} ({model}): you may not open it", cure)
    elif by := facts.holders(device):
        yield (fail if named else note)("camera", f"{device} ({model}) is held by {', '.join(by)}", "stop that first")


def _picture(who: str, picture: Mapping[str, Any]) -> Iterator[Finding]:
    said = f"{who}: first picture after {picture['seconds']:.1f} s"
    if picture["blank"]:
        yield warn("camera", f"{said}, but it is dark or blank", "is the lens covered, or the light off?")
    else:
        yield ok("camera", f"{said}, brightness {picture['brightness']:.0f} of 255")


def pins(facts: Facts, told: Mapping[str, Any]) -> Iterator[Finding]:
    """May the pins be driven, and does somebody else hold them? Nothing is switched."""
    wired = told["wired"]
    if not wired:
        yield fail("pins", "no output is wired: nobody would notice an alarm", "set alert.led_pin or alert.buzzer_pin")
    if any(kind == "console" for _, _, kind in wired):
        yield note("pins", 'alert.driver = "console": what a pin would do is only logged')
    by_line = [(name, pin) for name, pin, kind in wired if kind in ("gpiozero", "gpiod")]
    if by_line:
        yield from _chips(facts)
    if by_line and any((facts.root / "dev").glob("gpiochip*")):
        yield from _held(facts, by_line)
    for name, path, kind in wired:
        if kind == "file" and not accessible(facts, path):
            yield fail("pins", f"{name}: {path} cannot be written", "a udev rule has to give it to the group gpio")


def _chips(facts: Facts) -> Iterator[Finding]:
    chips = [f"/dev/{path.name}" for path in sorted((facts.root / "dev").glob("gpiochip*"))]
    if not chips:
        yield fail(
            "pins",
            "this machine has no /dev/gpiochip*",
            'on a PC: alert.driver = "console"; on a board: its kernel lacks a GPIO driver',
        )
    for chip in chips:
        if not accessible(facts, chip):
            yield fail("pins", f"you may not open {chip}", "sudo adduser $USER gpio, then log in again; or use sudo")
    if facts.is_jetson:
        yield note(
            "pins",
            "JetPack 6 and later leave header pins in another mode until told",
            "sudo /opt/nvidia/jetson-io/jetson-io.py; then look with: fmd doctor --try-outputs",
        )


def _held(facts: Facts, wired: Sequence[tuple[str, int | str]]) -> Iterator[Finding]:
    """As gpioinfo tells it; the service's own hold is none."""
    listed = facts.run(["gpioinfo"])
    if listed.code != 0:
        yield note("pins", "gpioinfo is missing; who holds a pin stays unknown", "sudo apt install gpiod")
        return
    watching = is_running(facts)
    for name, pin in wired:
        line = f"GPIO{pin}" if isinstance(pin, int) else pin
        holder = holder_of(line, listed.out)
        if holder and not watching:
            cure = "stop that; a kernel driver goes by its dtoverlay or dtparam in /boot/firmware/config.txt"
            yield fail("pins", f"{name}: {line} is held by {holder}", cure)
        elif holder is None and isinstance(pin, str) and ":" not in pin:
            yield fail("pins", f"{name}: no line {line} on this board", "gpioinfo lists what there is")
        else:
            yield ok("pins", f"{name} on {line}")


def holder_of(line: str, listing: str) -> str | None:
    """Who holds a line in gpioinfo's listing (libgpiod 1 or 2): a name, empty for nobody, None for no such line."""
    row = next((row for row in listing.splitlines() if f'"{line}"' in row), None)
    if row is None:
        return None
    rest = row.partition(f'"{line}"')[2]
    # libgpiod 2 says consumer="name" (or consumer=name); 1 puts the name, quoted or bare, before the direction.
    if two := re.search(r'consumer="?([^"]+)"?', rest):
        return two.group(1).strip()
    one = re.match(r'\s+(?:"([^"]*)"|(\S+))\s+(?:input|output)', rest)
    holder = (one.group(1) or one.group(2) or "") if one else ""
    return "" if holder == "unused" else holder


def outputs(probe: Callable[[str], Ran]) -> Iterator[Finding]:
    """Switch every output on for a moment; whether it lit and sounded only people can tell."""
    ran = probe("outputs")
    if ran.code == 0:
        yield ok("outputs", f"on for a moment each: {', '.join(decoded(ran)['shown'])}; did you see and hear them?")
    else:
        yield fail("outputs", how_it_ended(ran), "see pins")
