"""All checks of the doctor in order, as ``fmd doctor`` and the web page show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from edge.doctor import devices, machine, software
from edge.doctor.facts import Facts, Ran
from edge.doctor.findings import Finding, Status, fail, note, ok, warn
from edge.drivers.selection import is_enabled, may_have
from edge.drivers.table import SENSORS, SERVERS

Probe = Callable[..., Ran]
Loaded = Mapping[str, Any]
"""Result of the probe "settings": the settings as plain values, the cameras, and the wired outputs."""

GPU_RUNTIMES = ("onnxruntime/tensorrt", "onnxruntime/cuda")
"""Beginnings of the names of runtimes that compute on a GPU."""


def examined(
    facts: Facts,
    options: Sequence[str],
    try_outputs: bool = False,
    begin: Callable[[str], object] = lambda name: None,
) -> Iterator[Finding]:
    """Yield every finding as soon as it is known. A check that fails itself becomes a note.

    ``begin`` gets the name of each check before it runs, and of each probe, which may take many seconds.
    """
    loaded: dict[str, Any] = {}

    def probe(name: str, *more: str) -> Ran:
        begin(name)
        return facts.run([facts.python.executable, "-m", "edge.doctor.probes", name, *more, *options])

    checks: list[Callable[[], Iterator[Finding]]] = [
        *(partial(check, facts) for check in (machine.system, software.python, software.environment)),
        partial(software.libraries, facts, software.BASIC),
        partial(settings, probe, loaded),
        partial(as_set_up, facts, probe, loaded, try_outputs),
        *(partial(check, facts) for check in BOARD),
        partial(machine.service, facts, probe),
    ]
    for check in checks:
        begin(_name(check))
        try:
            yield from check()
        except (OSError, ValueError, KeyError) as error:
            yield note("doctor", f"{_name(check)} could not be checked: {error}")


BOARD = (
    machine.users,
    machine.power,
    machine.temperature,
    machine.memory,
    machine.disk,
    machine.clock,
)


def _name(check: Callable[[], object]) -> str:
    return check.func.__name__ if isinstance(check, partial) else "a check"


def settings(probe: Probe, loaded: dict[str, Any]) -> Iterator[Finding]:
    """Check the settings, and fill ``loaded`` with them."""
    ran = probe("settings")
    if ran.code != 0:
        yield fail("settings", software.how_it_ended(ran), "correct what the message names")
        return
    loaded.update(ran.decoded())
    watched = ", ".join(one["source"] for one in loaded["cameras"])
    yield ok("settings", f"camera {watched}, outputs by {loaded['settings']['alert']['driver']}")
    yield from changes(loaded.get("changes", {}))


def changes(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Report settings that were changed through the running fmd, and those that it could not use."""
    if why := found.get("problem"):
        fix = "sudo fmd doctor; if it finds the same: sudo systemctl reload fmd, then change them again"
        yield warn("settings", f"changed settings are not used: {why}", fix)
    elif file := found.get("refused"):
        fix = f"to find the reason: journalctl -u fmd -g 'changed settings'; then delete {file}"
        yield warn("settings", f"fmd could not use changed settings, and keeps them in {file}", fix)
    if keys := found.get("keys"):
        yield ok("settings", f"changed through the running fmd: {', '.join(keys)}")


def as_set_up(facts: Facts, probe: Probe, loaded: Loaded, try_outputs: bool) -> Iterator[Finding]:
    """Check what these settings need: libraries, models, cameras, pins, messages and servers."""
    if not loaded:
        yield note("doctor", "models, camera and pins are not checked until the settings are valid")
        return
    yield from software.libraries(facts, wanted(facts, loaded))
    yield from models(facts, probe, loaded)
    yield from devices.cameras(facts, loaded, probe)
    yield from devices.pins(facts, loaded)
    yield from schedule(facts, loaded)
    yield from devices.display(facts, loaded)
    yield from devices.sensor(facts, loaded, probe)
    yield from extras(probe)
    yield from metrics(facts, loaded, probe)
    if try_outputs:
        yield from devices.outputs(probe)


def wanted(facts: Facts, loaded: Loaded) -> list[software.Library]:
    """Return the libraries that cameras and pins of these settings need."""
    kinds = {kind for _, pin, kind in loaded["wired"] if may_have(pin, facts.root)}
    # Only the libraries that are used: a Jetson has no lgpio, a Pi no need of gpiod.
    found = [software.LGPIO] if "gpiozero" in kinds else []
    found += [software.GPIOD] if "gpiod" in kinds else []
    cameras = {camera["kind"] for camera in loaded["cameras"]}
    if loaded["settings"].get("display", {}).get("device"):
        found.append(software.PILLOW)
    sensor = SENSORS.get(loaded["settings"].get("sensor", {}).get("driver", "none").partition(":")[0])
    if sensor is not None and sensor.library:
        found.append(software.sensor_library(sensor.library, sensor.distribution))
    if "picamera2" in cameras or ("auto" in cameras and facts.is_pi):
        found.append(software.PICAMERA2)
    return found


def schedule(facts: Facts, loaded: Loaded) -> Iterator[Finding]:
    """Check whether the clock lets a schedule apply."""
    arm = loaded["settings"].get("arm", {})
    if not arm.get("schedule") or arm.get("trust_clock"):
        return
    if any(finding.status is not Status.OK for finding in machine.clock(facts)):
        yield warn(
            "arming",
            "fmd stays armed and ignores arm.schedule until the clock is set from the network",
            "sudo timedatectl set-ntp true; for a board with a battery clock: arm.trust_clock = true",
        )


def models(facts: Facts, probe: Probe, loaded: Loaded) -> Iterator[Finding]:
    """Replay the golden inputs on this machine, and check whether it is fast enough for the settings."""
    ran = probe("models")
    if ran.code != 0:
        fix = "fix the findings about libraries, or: pip install --force-reinstall ai-edge-litert"
        yield fail("models", software.how_it_ended(ran), fix)
        return
    found = ran.decoded()
    failures = found.pop("failures", [])
    for task, model in found.items():
        yield ok("models", f"{task}: golden inputs match on {model['runtime']}, {model['ms']:.1f} ms")
        if model.get("fallback"):
            fix = f"sudo fmd model install FILE, or: sudo fmd model rollback {task}"
            yield warn("models", f"{task}: not the installed one, because {model['fallback']}", fix)
    yield from gpu(facts, [model["runtime"] for model in found.values()], failures)
    every_s = loaded["settings"]["detect"].get("every_s", 0.0)
    # Detection cannot run more often than frames arrive.
    asked_ms = 1000 * max(every_s, 1 / loaded["settings"]["camera"]["fps"])
    cameras = len(loaded["cameras"])
    needed_ms = cameras * sum(model["ms"] for model in found.values())
    if needed_ms > asked_ms:
        each = f" for each of {cameras} cameras" if cameras > 1 else ""
        # A quarter more than needed, so that the board keeps up when it is warm.
        fix = f"detect.every_s = {needed_ms / 800:.1f}, or a lower camera.fps; until then fmd drops frames"
        if cameras > 1:
            fix = f"{max(1, int(cameras * asked_ms / needed_ms))} of them here, the others on another board; or {fix}"
        yield warn("models", f"inference{each} takes {needed_ms:.0f} ms, the settings allow {asked_ms:.0f} ms", fix)


def gpu(facts: Facts, runtimes: Sequence[str], failures: Sequence[Mapping[str, str]]) -> Iterator[Finding]:
    """Report why a model does not run on the GPU, or not on the best provider for it."""
    for failure in failures:
        # A PC's package without GPU providers was chosen so, and an engine that was built again is repaired.
        harmless = (failure["kind"] == "package" and not facts.is_jetson) or not failure["fix"]
        yield (note if harmless else warn)("gpu", f"{failure['provider']}: {failure['text']}", failure["fix"])
    if facts.is_jetson and not any(runtime.startswith(GPU_RUNTIMES) for runtime in runtimes):
        yield note("gpu", "the models run on this Jetson's CPU", "to use its GPU: docs/jetson-gpu.md")


def extras(probe: Probe) -> Iterator[Finding]:
    """Check voice and publishers that the settings enable."""
    ran = probe("extras")
    if ran.code == 0:
        yield ok("messages", "this machine can play the voice and send the messages that the settings enable")
    else:
        yield fail("messages", software.how_it_ended(ran), "fix what the message names, or turn it off in the settings")


def metrics(facts: Facts, loaded: Loaded, probe: Probe) -> Iterator[Finding]:
    """Check whether the servers that the settings enable can listen, unless the running service has their ports."""
    enabled = [driver for driver in SERVERS.values() if is_enabled(driver, partial(_value, loaded["settings"]))]
    if not enabled or machine.is_running(facts):
        return
    ran = probe("metrics")
    if ran.code == 0:
        yield ok("metrics", "metrics can be served at the configured address")
    else:
        fix = "another metrics.port or metrics.address; fmd watches the door without it"
        yield warn("metrics", software.how_it_ended(ran), fix)


def _value(settings: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return settings.get(section, {}).get(name, "")
