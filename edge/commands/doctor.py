"""``fmd doctor``: every check in order, as lines for people or as JSON for machines."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from edge import paths
from edge.commands import common
from edge.doctor import devices, machine, software
from edge.doctor.facts import Facts, Ran
from edge.doctor.findings import Finding, Status, fail, note, ok, warn
from edge.errors import EXIT_KNOWN, EXIT_OK

Probe = Callable[..., Ran]
Told = Mapping[str, Any]


EXAMPLES = """\
examples:
  sudo fmd doctor                  with the service's settings
  fmd doctor --config my.toml --try-outputs
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd doctor``."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--try-outputs", action="store_true", help="switch each output on for half a second: watch and listen"
    )
    common.add_settings_options(parser)


def run(arguments: argparse.Namespace, facts: Facts | None = None) -> int:
    """Look at this machine; exit code 1 where something has to be cured."""
    facts = facts or Facts()
    findings = []
    for finding in examined(facts, _options(arguments, facts), arguments.try_outputs):
        findings.append(finding)
        if not arguments.json:
            print(line_of(finding), flush=True)
    print(as_json(findings) if arguments.json else summary(findings))
    return EXIT_KNOWN if any(finding.status is Status.FAIL for finding in findings) else EXIT_OK


def _options(arguments: argparse.Namespace, facts: Facts) -> list[str]:
    """What the probes are told: the settings the service would use, unless others are named."""
    path = arguments.config
    if path is None and facts.under_root(paths.SETTINGS).is_file():
        path = facts.under_root(paths.SETTINGS)
    named = ["--config", str(path)] if path else []
    return named + [option for text in arguments.set for option in ("--set", text)]


def examined(facts: Facts, options: Sequence[str], try_outputs: bool = False) -> Iterator[Finding]:
    """Every finding, as it is made; what cannot be looked at is told as that."""
    told: dict[str, Any] = {}

    def probe(name: str, *more: str) -> Ran:
        return facts.run([facts.python.executable, "-m", "edge.doctor.probes", name, *more, *options])

    checks: list[Callable[[], Iterator[Finding]]] = [
        *(partial(check, facts) for check in (machine.system, software.python, software.environment)),
        partial(software.libraries, facts, software.BASIC),
        partial(settings, probe, told),
        partial(as_set_up, facts, probe, told, try_outputs),
        *(partial(check, facts) for check in BOARD),
    ]
    for check in checks:
        try:
            yield from check()
        except (OSError, ValueError, KeyError) as error:
            yield note("doctor", f"{_name(check)} could not be looked at: {error}")


BOARD = (
    machine.users,
    machine.power,
    machine.temperature,
    machine.memory,
    machine.disk,
    machine.clock,
    machine.service,
)


def _name(check: Callable[[], object]) -> str:
    return check.func.__name__ if isinstance(check, partial) else "a check"


def settings(probe: Probe, told: dict[str, Any]) -> Iterator[Finding]:
    """Do the settings hold? Fills ``told`` with what they say."""
    ran = probe("settings")
    if ran.code != 0:
        yield fail(
            "settings", software.how_it_ended(ran), "what expects what stands in the message; see also fmd run --check"
        )
        return
    told.update(devices.decoded(ran))
    watched = ", ".join(one["source"] for one in told["cameras"])
    yield ok("settings", f"camera {watched}, outputs by {told['settings']['alert']['driver']}")


def as_set_up(facts: Facts, probe: Probe, told: Told, try_outputs: bool) -> Iterator[Finding]:
    """What these settings need: their libraries, models, camera and pins."""
    if not told:
        yield note("doctor", "models, camera and pins are not looked at before the settings are right")
        return
    yield from software.libraries(facts, wanted(facts, told))
    yield from models(probe, told)
    yield from devices.cameras(facts, told, probe)
    yield from devices.pins(facts, told)
    yield from extras(probe)
    yield from metrics(facts, told, probe)
    if try_outputs:
        yield from devices.outputs(probe)


def wanted(facts: Facts, told: Told) -> list[software.Library]:
    """The libraries that camera and pins of these settings go through."""
    kinds = {kind for _, _, kind in told["wired"]}
    found = [software.LGPIO] if "gpiozero" in kinds else []
    found += [software.GPIOD] if "gpiod" in kinds else []
    cameras = {its["kind"] for its in told["cameras"]}
    if "picamera2" in cameras or ("auto" in cameras and facts.is_pi):
        found.append(software.PICAMERA2)
    return found


def models(probe: Probe, told: Told) -> Iterator[Finding]:
    """Golden inputs replayed on this machine, and whether it is quick enough for what the settings ask of it."""
    ran = probe("models")
    if ran.code != 0:
        yield fail(
            "models", software.how_it_ended(ran), "pip install --force-reinstall ai-edge-litert; or see libraries"
        )
        return
    found = devices.decoded(ran)
    for task, model in found.items():
        yield ok("models", f"{task} answers as it should on {model['runtime']}, {model['ms']:.1f} ms")
    look_s = told["settings"]["detect"].get("every_s", 0.0)
    asked_ms = 1000 * max(look_s, 1 / told["settings"]["camera"]["fps"])
    cameras = len(told["cameras"])
    needed_ms = cameras * sum(model["ms"] for model in found.values())
    if needed_ms > asked_ms:
        each = f" at each of {cameras} cameras" if cameras > 1 else ""
        cure = f"detect.every_s = {needed_ms / 800:.1f}, or a lower camera.fps; frames it cannot take are dropped"
        if cameras > 1:
            cure = f"{max(1, int(cameras * asked_ms / needed_ms))} of them here, the others on another board; or {cure}"
        yield warn("models", f"a look{each} takes {needed_ms:.0f} ms, {asked_ms:.0f} ms are left for it", cure)


def extras(probe: Probe) -> Iterator[Finding]:
    """Voice and messages, as far as the settings turn them on."""
    ran = probe("extras")
    if ran.code == 0:
        yield ok("messages", "voice and messages, where turned on, can be played and sent from here")
    else:
        yield fail("messages", software.how_it_ended(ran), "see the message; or turn it off in the settings")


def metrics(facts: Facts, told: Told, probe: Probe) -> Iterator[Finding]:
    """Can figures be served where the settings say? Not asked while the service does."""
    if not told["settings"]["metrics"]["port"] or machine.is_running(facts):
        return
    ran = probe("metrics")
    if ran.code == 0:
        yield ok("metrics", "figures for Prometheus can be served where the settings say")
    else:
        cure = "another metrics.port or metrics.address; the door is watched all the same"
        yield warn("metrics", software.how_it_ended(ran), cure)


def line_of(finding: Finding) -> str:
    """One finding as a line, its cure on a second one."""
    line = f"{finding.status.value:<6}{finding.check:<13}{finding.said}"
    return f"{line}\n{'':<19}-> {finding.cure}" if finding.cure else line


def summary(findings: Sequence[Finding]) -> str:
    """The last line."""
    count = Counter(finding.status for finding in findings)
    if not count[Status.FAIL] and not count[Status.WARN]:
        return "fit to watch a door"
    return f"{count[Status.FAIL]} to be cured, {count[Status.WARN]} doubtful"


def as_json(findings: Sequence[Finding]) -> str:
    """``{"fit": bool, "findings": [{"check", "status", "said", "cure"}, ...]}``, statuses in lower case."""
    rows = [{"check": f.check, "status": f.status.value.lower(), "said": f.said, "cure": f.cure} for f in findings]
    return json.dumps({"fit": all(row["status"] != "fail" for row in rows), "findings": rows}, indent=1)
