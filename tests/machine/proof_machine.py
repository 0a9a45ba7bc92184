"""``make proof-machine``: a whole emulated board with fmd's package on it, judged by the levels of its pins.

The board boots Debian's own kernel, and systemd starts fmd. The levels are read from outside the machine. A person
without a mask in a clip raises the LED's line, and the end of the passage lowers it. Then the proof stops, starts,
kills and hangs fmd with the alarm on. A client outside of the machine signs in to the web page and tests the buzzer. A
button on an input pin and a schedule disarm fmd and arm it. A clip of an inverted camera raises the alarm with
camera.rotate. The proof lets fmd watch a V4L2 camera of the kernel, stalls that camera, and cuts the power during
writes.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.edge.parts import free_port
from tests.machine import emulator, image, kernel, package, page_client, power, scene
from tests.machine.emulator import GUEST, Machine
from tests.machine.place import ProofError, Report, cache, end_in_order, need_root

PASSAGE, INVERTED = "/var/lib/fmd-proof/passage.mp4", "/var/lib/fmd-proof/inverted.mp4"
PINS = {"virt": (5, 6), "pi": (17, 27)}
"""Pins of LED and buzzer. The machine itself uses line 3 of the eight lines of virt's chip; a Pi has fmd's defaults."""
SETTINGS = """[camera]
source = "{source}"
width = 320
height = 180
fps = 5
rotate = {rotate}
loop = true

[alert]
driver = "gpiozero"
led_pin = {led}
buzzer_pin = {buzzer}
"""
CONTACT = 4
"""Line of the button on virt's chip. A line that nothing drives is high there, as with the resistor of a Pi."""
BUTTON = f"""
[arm]
pin = {CONTACT}
"""
SCHEDULE = """
[arm]
schedule = ["daily {begin}-{end}"]
trust_clock = true
"""
DISARMED_S = 40
"""Guest seconds in which a disarmed board must stay silent: several passages of the clip."""
STATUS = "systemctl show --property=StatusText --value fmd"
RESTARTS = "systemctl show --property=NRestarts --value fmd"
PASSWORD = "correct horse"
NETWORK = (
    "card=$(basename $(ls -d /sys/class/net/*/device | head -1 | xargs dirname)) && "
    f"ip link set dev $card up && ip address add {GUEST}/24 dev $card"
)
"""Gives the guest's network card its address."""
MAIN_PID = "systemctl show --property=MainPID --value fmd"
DROP = "v4l2-ctl --device=/dev/video0 --set-ctrl=percentage_of_dropped_buffers"
STEP_S = 900
"""Longest duration of any step; two busy cores of a small server are a hundred times slower than a board."""


def main() -> int:
    """Run the requested checks, print each with its seconds, and return 0 if all passed."""
    asked = _arguments()
    report = Report()
    work = Path(tempfile.mkdtemp(prefix="proof-machine.", dir=cache()))
    end_in_order()
    try:
        need_root()
        tree = _installed(report, work, asked.packages)
        for part in asked.parts:
            PARTS[part](report, tree, work)
    except ProofError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.end()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--part", dest="parts", action="append", choices=list(PARTS), help="run only this part; may be repeated"
    )
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help=package.PACKAGES_HELP)
    asked = parser.parse_args()
    asked.parts = asked.parts or list(DEFAULT)
    return asked


def _installed(report: Report, work: Path, packages: Path | None) -> Path:
    """Return the root with the package installed, from the cache if the same package was installed before."""
    with report.step("the package is built and installed"):
        tree = package.installed(work / "tree", package.find("arm64", packages), "arm64")
        (tree / PASSAGE.lstrip("/")).parent.mkdir(exist_ok=True)
        scene.write_clip(tree / PASSAGE.lstrip("/"))
        scene.write_clip(tree / INVERTED.lstrip("/"), inverted=True)
    if report.failed:
        raise ProofError("no root with the package in it, nothing to boot")
    return tree


def settings(kind: str, source: str = PASSAGE, more: str = "", rotate: int = 0) -> str:
    """Return /etc/fmd/fmd.toml for a machine, with ``more`` sections."""
    led, buzzer = PINS[kind]
    return SETTINGS.format(source=source, rotate=rotate, led=led, buzzer=buzzer) + more


def _board(tree: Path, work: Path, kind: str, prepare: Callable[[Path], None] = lambda tree: None) -> Machine:
    (tree / "etc/fmd/fmd.toml").write_text(settings(kind))
    prepare(tree)
    made = kernel.make()
    image.add_shell(tree, kind)
    disk = image.make(tree, made, work / f"{kind}.img")
    return Machine(made, disk, work / kind, kind, page_port=free_port() if kind == "virt" else 0)


def check_board(report: Report, tree: Path, work: Path) -> None:
    """Check the generic machine as a Pi 4: alarm, stop, kill, hang, button, schedule, rotation, camera."""
    with emulator.powered(_board(tree, work, "virt")) as board:
        report.say(f"a shell {board.up_s():.0f} s after the power came on")
        _check_alarm(report, board)
        _check_stop_and_start(report, board)
        _check_page(report, board)
        _check_kill(report, board, "KILL", "killed (SIGKILL)", 1)
        _check_kill(report, board, "STOP", "hung (SIGSTOP)", 2)
        _check_button(report, board)
        _check_schedule(report, board)
        _check_rotation(report, board)
        _check_camera(report, board)


def check_pi(report: Report, tree: Path, work: Path) -> None:
    """Check QEMU's Pi 3B: the alarm on the BCM2837's own pin controller, with fmd's default pins."""
    with emulator.powered(_board(tree, work, "pi")) as board:
        report.say(f"raspi3b: a shell {board.up_s():.0f} s after the power came on")
        _check_alarm(report, board)
        _check_stop_and_start(report, board)


def check_power(report: Report, tree: Path, work: Path) -> None:
    """Check power cuts at random moments while fmd records decisions."""
    scene.write_clip(tree / PASSAGE.lstrip("/"), person_s=1.5, after_s=1.0)
    board = _board(tree, work, "virt", power.prepare)
    power.check(report, board)


def _check_alarm(report: Report, board: Machine) -> None:
    led, buzzer = PINS[board.kind]
    with report.step("the board boots and systemd starts fmd"):
        _wait_active(board)
    with report.step("a person without a mask raises the LED's line, observed from outside"):
        board.pins.wait(led, True, STEP_S)
    with report.step("the buzzer's line sounds in its rhythm"):
        for high in (True, False, True):
            board.pins.wait(buzzer, high, STEP_S)
    with report.step("the end of the passage lowers both"):
        board.pins.wait(led, False, STEP_S)
        board.pins.wait(buzzer, False, STEP_S)
    report.say("journal: " + board.shell.out("journalctl -u fmd --output=cat | grep -m1 ' person '"))


def _check_stop_and_start(report: Report, board: Machine) -> None:
    led, buzzer = PINS[board.kind]
    with report.step("systemctl stop with the alarm on leaves both lines low"):
        board.pins.wait(led, True, STEP_S)
        board.shell.out("systemctl stop fmd", STEP_S)
        high = [pin for pin in (led, buzzer) if board.pins.level(pin)]
        if high:
            raise ProofError(f"still high: {high}")
        _expect(board, "systemctl show --property=Result --value fmd", "success")
    with report.step("systemctl start returns when fmd is ready: active"):
        board.shell.out("systemctl start fmd", STEP_S)
        _expect(board, "systemctl is-active fmd", "active")


def _check_page(report: Report, board: Machine) -> None:
    """The web page is off until it is enabled; then a client outside of the machine signs in and tests the buzzer."""
    _, buzzer = PINS[board.kind]
    origin = f"http://127.0.0.1:{board.page_port}"
    with report.step("the web page is off; with a password and enabled, it is active"):
        _expect(board, "systemctl is-enabled fmd-page || true", "disabled")
        board.shell.out(NETWORK)
        board.shell.out(
            f"echo '{PASSWORD}' | /opt/fmd/bin/fmd page password && systemctl enable --now fmd-page", STEP_S
        )
        _wait_until(board, "systemctl is-active --quiet fmd-page")
    with report.step("from outside: signed in, a picture, and the page disarms the door"):
        browser = _reached(origin)
        browser.sign_in(PASSWORD)
        if not browser.picture().startswith(b"\xff\xd8"):
            raise ProofError("the page sent no picture")
        if (status := browser.ask("/disarm", {"for_s": "0"})[0]) != 200:
            raise ProofError(f"/disarm gave {status}")
        board.pins.wait(buzzer, False, STEP_S)
        _expect_silence(board, buzzer)
    with report.step("from outside: the page tests the buzzer, whose line rises and falls"):
        if (status := browser.ask("/test", {"output": "buzzer"})[0]) != 200:
            raise ProofError(f"/test gave {status}")
        board.pins.wait(buzzer, True, STEP_S)
        board.pins.wait(buzzer, False, STEP_S)
        browser.ask("/arm", {})
    report.say("journal: " + board.shell.out("journalctl -u fmd --output=cat | grep 'web page' | tail -3"))
    board.shell.out("systemctl disable --now fmd-page", STEP_S)


def _reached(origin: str) -> page_client.Browser:
    """Return a client of a page that answers. Raises ProofError if none does."""
    until_s = time.monotonic() + STEP_S
    while time.monotonic() < until_s:
        with suppress(OSError):
            browser = page_client.Browser(origin)
            if browser.ask("/")[0] == 303:
                return browser
        time.sleep(1.0)
    raise ProofError(f"the page is not reached at {origin}")


def _check_kill(report: Report, board: Machine, signal: str, words: str, restarts: int) -> None:
    led, buzzer = PINS[board.kind]
    with report.step(f"{words} with the alarm on: both lines go low"):
        board.pins.wait(led, True, STEP_S)
        board.shell.out(f"systemctl kill --signal={signal} --kill-whom=main fmd")
        board.pins.wait(led, False, STEP_S)
        board.pins.wait(buzzer, False, STEP_S)
    with report.step(f"{words}: systemd starts fmd again"):
        _wait_until(board, f'[ "$({RESTARTS})" = {restarts} ]')
        _wait_active(board)
    report.say("journal: " + board.shell.out("journalctl -u fmd --output=cat | grep 'Failed with result' | tail -1"))


def _check_button(report: Report, board: Machine) -> None:
    led, buzzer = PINS[board.kind]
    with report.step("a button on an input pin, pressed from outside, disarms: the buzzer's line stays low"):
        board.pins.drive(CONTACT, True)
        _write_settings(board, settings(board.kind, more=BUTTON))
        board.shell.out("systemctl restart fmd", STEP_S)
        board.pins.wait(buzzer, True, STEP_S)
        _press(board)
        _wait_until(board, f"{STATUS} | grep -q 'disarmed by button'")
        _expect_silence(board, buzzer)
    with report.step("it stays disarmed over a restart, and the LED's line shows it"):
        board.shell.out("systemctl restart fmd", STEP_S)
        for high in (True, False, True):
            board.pins.wait(led, high, STEP_S)
        _expect_silence(board, buzzer)
    with report.step("the next press arms: a person without a mask raises both lines"):
        _press(board)
        board.pins.wait(buzzer, True, STEP_S)
    report.say("events: " + board.shell.out("/opt/fmd/bin/fmd events | grep arming | tail -3"))


def _check_schedule(report: Report, board: Machine) -> None:
    _, buzzer = PINS[board.kind]
    with report.step("outside of its schedule fmd is disarmed; a user may arm and disarm it by command"):
        begin, end = (board.shell.out(f"date --date='{minutes} minutes' +%H:%M") for minutes in (4, 64))
        _write_settings(board, settings(board.kind, more=SCHEDULE.format(begin=begin, end=end)))
        board.shell.out("rm -f /var/lib/fmd/arming.json && systemctl restart fmd", STEP_S)
        _wait_until(board, f"{STATUS} | grep -q 'disarmed by the schedule'")
        _expect(board, "/opt/fmd/bin/fmd arm | grep -c '^armed by root (uid 0) until '", "1")
        _expect(board, "/opt/fmd/bin/fmd disarm | grep -c '^disarmed by root (uid 0) until '", "1")
        _expect_silence(board, buzzer)
    with report.step("its schedule begins: fmd is armed, and a person without a mask raises the lines"):
        _wait_until(board, f"! {STATUS} | grep -q disarmed")
        board.pins.wait(buzzer, True, STEP_S)
    report.say("events: " + board.shell.out("/opt/fmd/bin/fmd events | grep arming | tail -3"))


def _check_rotation(report: Report, board: Machine) -> None:
    # The LED also shows a person who cannot be judged, as those in an inverted picture; the buzzer does not.
    _, buzzer = PINS[board.kind]
    with report.step("an inverted camera with camera.rotate: a person without a mask sounds the buzzer"):
        _write_settings(board, settings(board.kind, INVERTED, rotate=180))
        board.shell.out("rm -f /var/lib/fmd/arming.json && systemctl restart fmd", STEP_S)
        board.pins.wait(buzzer, False, STEP_S)
        board.pins.wait(buzzer, True, STEP_S)


def _press(board: Machine) -> None:
    """Press the button for as long as a hand does, in the guest's time."""
    board.pins.drive(CONTACT, False)
    board.shell.out("sleep 0.3")
    board.pins.drive(CONTACT, True)
    board.shell.out("sleep 0.3")


def _expect_silence(board: Machine, pin: int) -> None:
    since_s = time.monotonic()
    board.shell.out(f"sleep {DISARMED_S}", STEP_S)
    if raised := [edge for edge in board.pins.of(pin, since_s) if edge.high]:
        raise ProofError(f"pin {pin} went high {len(raised)} times while fmd was disarmed")


def _check_camera(report: Report, board: Machine) -> None:
    with report.step("fmd watches a V4L2 camera (the kernel's vivid)"):
        board.shell.out("modprobe vivid n_devs=1 node_types=0x1 && udevadm settle")
        _write_settings(board, settings(board.kind, "/dev/video0"))
        board.shell.out("systemctl restart fmd", STEP_S)
        _expect(board, STATUS, "watching")
        _expect(board, f'ls -l /proc/"$({MAIN_PID})"/fd | grep -c /dev/video0', "1")
    with report.step("the camera stalls: fmd reports that it is blind"):
        board.shell.out(f"{DROP}=100")
        _wait_until(board, f"{STATUS} | grep -q blind")
    report.say("status: " + board.shell.out(STATUS))
    with report.step("it stays stalled: systemd restarts fmd"):
        _wait_until(board, f'[ "$({RESTARTS})" -ge 1 ]')
    with report.step("it works again: fmd is watching"):
        board.shell.out(f"{DROP}=0")
        _wait_active(board)
        _expect(board, STATUS, "watching")


def _write_settings(board: Machine, text: str) -> None:
    board.shell.out(f"cat >/etc/fmd/fmd.toml <<'END'\n{text}END\n")


def _wait_active(board: Machine) -> None:
    _wait_until(board, "systemctl is-active --quiet fmd")


def _wait_until(board: Machine, condition: str) -> None:
    board.shell.out(f"until {condition}; do sleep 1; done", STEP_S)


def _expect(board: Machine, command: str, wanted: str) -> None:
    if (got := board.shell.out(command)) != wanted:
        raise ProofError(f"`{command}` gave {got!r}, expected {wanted!r}")


PARTS: dict[str, Callable[[Report, Path, Path], None]] = {"board": check_board, "pi": check_pi, "power": check_power}

DEFAULT = ("board", "power")
"""Parts by default: not pi, whose four slow cores take longer to boot than all other parts need."""

if __name__ == "__main__":
    sys.exit(main())
