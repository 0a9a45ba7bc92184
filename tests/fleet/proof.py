"""``make proof-fleet``: a hub and two doors, three Debian machines under their own systemd, set up by the playbooks.

Ansible reaches them with its own ssh connection; the program ``ssh`` is replaced by one that enters the machine's
namespaces. Virtual cables connect the doors with the hub, and nothing else.

Needs root, ansible-core, and what tests/machine/README.md lists for packages.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.debian.test_lifecycle import later
from tests.fleet.doors import FLEET, Played, ansible_environment, model, played_of, playing
from tests.machine import namespaces, package, root, scene
from tests.machine.namespaces import System
from tests.machine.place import ProofError, Report, cache, call, end_in_order, need, need_root

HUB, DOORS = "hub-1", ("door-1", "door-2")
HUB_PACKAGES = "python3-apt,mosquitto,mosquitto-clients,prometheus,prometheus-alertmanager"
HUB_NAME = "hub.proof"
PLAY_S = 1800
SSH = """#!/bin/sh
# As far as Ansible uses ssh: the last two words are the machine and the command.
for word; do machine=$command; command=$word; done
pid=$(cat "{folder}/$machine.pid") || exit 255
exec nsenter --target="$pid" --mount --pid --uts --ipc --net --cgroup --root --wd \\
  env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c "$command"
"""
SETTINGS = """version = 5

[camera]
source = "/etc/fmd/clip.mp4"
loop = true
live = true
fps = 5

[alert]
driver = "console"
"""
QUICK = {"door_shadow_s": 10, "door_observations": 1, "door_watch_s": 10, "door_first_watch_s": 5, "door_poll_s": 2}


class Site:
    """The machines, and the inventory that Ansible reaches them by."""

    def __init__(self, folder: Path, systems: Mapping[str, System]) -> None:
        self.folder, self.systems = folder, systems
        self.variables: dict[str, object] = {"door_config": SETTINGS, **QUICK}
        (folder / "ssh").write_text(SSH.format(folder=folder))
        (folder / "ssh").chmod(0o755)
        for name, system in systems.items():
            (folder / f"{name}.pid").write_text(str(system.pid))

    def play(self, playbook: str, code: int = 0, check: bool = False, **variables: object) -> Played:
        """Run a playbook; raises ProofError if it ends with another exit code."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        words = playing(self._inventory(), FLEET / playbook, "-e", f"report={report}", "-e", json.dumps(variables))
        words += ["--check"] if check else []
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=ansible_environment(self.folder), timeout=PLAY_S
        )
        played = played_of(done.returncode, done.stdout + done.stderr, report)
        if played.code != code:
            raise ProofError(f"{playbook} ended with {played.code}, expected {code}:\n{played.said[-4000:]}")
        return played

    def unchanged(self, playbook: str, **variables: object) -> None:
        """Run a playbook that must change nothing."""
        played = self.play(playbook, **variables)
        if any(played.changed.values()):
            raise ProofError(f"changed: {played.changed}:\n{played.said[-6000:]}")

    def verdicts(self, played: Played) -> list[str]:
        """Return the verdict of each door."""
        return [played.report[name]["verdict"] for name in DOORS]

    def status(self, name: str) -> dict[str, Any]:
        """Return what a door's fmd says of itself."""
        found: dict[str, Any] = json.loads(self.systems[name].out("fmd status --json || true"))
        return found

    def _inventory(self) -> Path:
        common = {
            "ansible_ssh_executable": str(self.folder / "ssh"),
            "ansible_ssh_args": "",
            "ansible_ssh_transfer_method": "piped",
            "ansible_become": False,
            "ansible_python_interpreter": "/usr/bin/python3",
            **self.variables,
        }
        doors = {name: {"door_address": f"{name}.proof:9817", "door_site": "Proof"} for name in DOORS}
        hosts = {
            "all": {"vars": common},
            "hub": {"hosts": {HUB: {"hub_names": [HUB_NAME]}}},
            "doors": {"hosts": doors},
        }
        file = self.folder / "hosts.yml"
        file.write_text(json.dumps(hosts))
        return file


def main() -> int:
    """Run every check, print each with its seconds, and return 0 if all passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help=package.PACKAGES_HELP)
    parser.add_argument("--keep", action="store_true", help="keep the folder of the machines")
    arguments = parser.parse_args()
    report = Report()
    work = Path(tempfile.mkdtemp(prefix="proof-fleet.", dir=cache()))
    end_in_order()
    try:
        need_root()
        need("ansible-playbook", "ip", "nsenter", "dpkg-deb", "apt-ftparchive")
        deb = package.find("amd64", arguments.packages)
        with _site(report, work) as site:
            _check_hub(report, site, deb)
            _check_doors(report, site, deb)
            _check_settings(report, site)
            _check_packages(report, site, deb, work)
            _check_models(report, site, work)
    except ProofError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)
    return report.end()


@contextmanager
def _site(report: Report, work: Path) -> Iterator[Site]:
    """Yield the machines, booted and connected."""
    systems: dict[str, System] = {}
    with ExitStack() as stack:
        with report.step("three Debian machines boot under their own systemd"):
            for name in (HUB, *DOORS):
                tree = root.unpack(root.make("amd64", more=HUB_PACKAGES if name == HUB else "python3-apt"), work / name)
                (tree / "etc/hostname").write_text(f"{name}\n")
                # There is no network: apt knows what is installed, and the repository below.
                (tree / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/repository ./\n")
                shutil.rmtree(tree / "var/lib/apt/lists")
                (tree / "var/lib/apt/lists/partial").mkdir(parents=True)
                (tree / "srv/repository").mkdir(parents=True)
                (tree / "srv/repository/Packages").touch()
                if name != HUB:
                    (tree / "etc/fmd").mkdir(exist_ok=True)
                    scene.write_clip(tree / "etc/fmd/clip.mp4")
                systems[name] = stack.enter_context(namespaces.booted(tree, work / f"{name}.console"))
            for number, name in enumerate(DOORS, 1):
                _connect(systems[HUB], systems[name], number, name)
        if report.failed:
            raise ProofError("without machines nothing can be proved")
        yield Site(work, systems)


def _connect(hub: System, door: System, number: int, name: str) -> None:
    """Connect a door with the hub by a virtual cable, and give both their names."""
    ends = f"fmdh{number}", f"fmdd{number}"
    call(["ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]])
    for end, system, last in zip(ends, (hub, door), (1, 2), strict=True):
        call(["ip", "link", "set", end, "netns", str(system.pid)])
        system.out(f"ip address add 10.9.{number}.{last}/24 dev {end} && ip link set {end} up && ip link set lo up")
    door.out(f"echo '10.9.{number}.1 {HUB_NAME}' >>/etc/hosts")
    hub.out(f"echo '10.9.{number}.2 {name}.proof' >>/etc/hosts")


def _check_hub(report: Report, site: Site, deb: Path) -> None:
    with report.step("hub.yml makes a machine the hub"):
        site.play("hub.yml", hub_package=str(deb))
        site.systems[HUB].out("systemctl is-active mosquitto prometheus prometheus-alertmanager")
    with report.step("a second run changes nothing"):
        site.unchanged("hub.yml", hub_package=str(deb))
    with report.step("a configuration that Prometheus refuses does not replace the one in use"):
        bad = site.folder / "bad.yml"
        bad.write_text("scrape_configs: [{job_name: 7, nothing: true}]\n")
        site.play("hub.yml", 2, hub_package=str(deb), hub_prometheus_config=str(bad))
        site.systems[HUB].out("promtool check config /etc/prometheus/prometheus.yml")
        site.systems[HUB].out("grep -q fmd/doors /etc/prometheus/prometheus.yml")


def _check_doors(report: Report, site: Site, deb: Path) -> None:
    site.variables["door_package"] = str(deb)
    with report.step("--check of doors.yml changes nothing on new doors"):
        site.play("doors.yml", check=True)
        for name in DOORS:
            site.systems[name].out("! command -v fmd && ! ls /etc/ansible /etc/fmd/fmd.toml")
    with report.step("doors.yml installs, enrols and sets up two doors"):
        played = site.play("doors.yml")
        if site.verdicts(played) != ["in use", "in use"] or not all(site.status(name)["healthy"] for name in DOORS):
            raise ProofError(f"{played.report}")
    with report.step("no password is printed, and none is left on the hub or on this machine"):
        for name in DOORS:
            password = site.systems[name].out("cat /etc/fmd/mqtt-password")
            if password in played.said:
                raise ProofError(f"the password of {name} was printed")
            site.systems[HUB].out(f"! grep -rqF '{password}' /etc /root /tmp /var/tmp /var/lib/prometheus")
            site.systems[name].out(f"! grep -rqF '{password}' /root /tmp /var/tmp /var/log")
    with report.step("a second run changes nothing"):
        site.unchanged("doors.yml")
    with report.step("the hub reads the metrics of both doors, and both are connected to its broker"):
        hub = site.systems[HUB]
        query = "promtool query instant http://127.0.0.1:9090 'sum(up{job=\"fmd\"})' | grep -c '=> 2 '"
        hub.wait(query, "1")
        hub.wait("grep -c 'connected from' /var/log/mosquitto/mosquitto.log | grep -qv '^0' && echo yes", "yes")
        hub.out("fmd enrol proof --reader --out /root/proof && systemctl reload mosquitto")
        listen = (
            f"mosquitto_sub -h {HUB_NAME} -p 8883 --cafile /etc/mosquitto/fmd/ca.pem -u proof -W 10 -C 2 "
            '-P "$(cat /root/proof/mqtt-password)" -t "fmd/+/status" -F "%t %p" | sort'
        )
        hub.out(f"echo '127.0.0.1 {HUB_NAME}' >>/etc/hosts")
        hub.wait(listen, "\n".join(f"fmd/{name}/status online" for name in DOORS))


def _check_settings(report: Report, site: Site) -> None:
    with report.step("settings with an error change nothing; the door watches on"):
        before = site.systems["door-1"].out("cat /etc/fmd/fmd.toml; systemctl show --property=MainPID fmd")
        played = site.play("doors.yml", 2, door_config=SETTINGS + "led_pni = 4\n", door_hub="")
        after = site.systems["door-1"].out("cat /etc/fmd/fmd.toml; systemctl show --property=MainPID fmd")
        if site.verdicts(played) != ["failed", "not reached"] or before != after:
            raise ProofError(f"{played.report}\n{before}\n{after}")
        if "led_pni" not in played.report["door-1"]["reason"]:
            raise ProofError(f"no reason: {played.report}")
    with report.step("settings that pass the check but leave the door blind are put back"):
        gone = SETTINGS.replace("clip.mp4", "gone.mp4")
        played = site.play("doors.yml", 2, door_config=gone, door_hub="")
        if site.verdicts(played) != ["failed", "not reached"] or not site.status("door-1")["healthy"]:
            raise ProofError(f"{played.report} {site.status('door-1')}")
    with report.step("changed settings go through the running fmd; a second run changes nothing"):
        site.variables["door_options"] = {"watch.contrast": 9, "decide.accept": []}
        site.play("doors.yml")
        if site.systems["door-2"].out("fmd config watch.contrast | head -1") != "watch.contrast = 9":
            raise ProofError("not changed")
        site.unchanged("doors.yml")


def _check_packages(report: Report, site: Site, deb: Path, work: Path) -> None:
    broken, good = work / "fmd_0.9.1_amd64.deb", work / "fmd_0.9.2_amd64.deb"
    later(deb, broken, "0.9.1", broken=True)
    later(deb, good, "0.9.2")
    site.variables["door_package_before"] = str(deb)
    version = "dpkg-query --show --showformat='${db:Status-Status} ${Version}' fmd"
    with report.step("a package that cannot run here stops in the first ring; the door has the version before"):
        before = site.systems["door-1"].out(version)
        played = site.play("doors.yml", 2, door_package=str(broken))
        if site.verdicts(played) != ["failed", "not reached"]:
            raise ProofError(f"{played.report}")
        if site.systems["door-1"].out(version) != before or not site.status("door-1")["healthy"]:
            raise ProofError(f"{site.systems['door-1'].out(version)} {played.report}")
    with report.step("a good one from an apt repository is installed on both"):
        for name in DOORS:
            shutil.copy(good, work / name / "srv/repository")
            listed = call(["apt-ftparchive", "packages", "."], cwd=work / name / "srv/repository")
            (work / name / "srv/repository/Packages").write_text(listed)
        site.variables |= {"door_package": "", "door_version": "0.9.2"}
        site.play("doors.yml")
        if {site.systems[name].out(version) for name in DOORS} != {"installed 0.9.2"}:
            raise ProofError("not installed")


def _check_models(report: Report, site: Site, work: Path) -> None:
    with report.step("a bad model stops in the first ring"):
        played = site.play("roll-out.yml", 2, model=str(model(work, "bad", bad=True)))
        if site.verdicts(played) != ["differs", "not reached"]:
            raise ProofError(f"{played.report}")
    with report.step("a good model is rolled out to both doors"):
        site.play("roll-out.yml", model=str(model(work, "good")))
        names = {site.status(name)["models"]["classifier"] for name in DOORS}
        if len(names) != 1 or not names.pop().startswith("classifier-"):
            raise ProofError("not in use")
    with report.step("a second run changes nothing"):
        site.unchanged("roll-out.yml", model=str(work / "good.tflite"))
    with report.step("a door that is away is left out, and the other one gets the next model"):
        (site.folder / "door-1.pid").rename(site.folder / "away")
        played = site.play("roll-out.yml", model=str(model(work, "next")))
        if site.verdicts(played) != ["left out", "in use"]:
            raise ProofError(f"{played.report}")


if __name__ == "__main__":
    os.environ.setdefault("ANSIBLE_NOCOLOR", "1")
    sys.exit(main())
