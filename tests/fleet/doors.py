"""Doors for Ansible on this machine: real processes of fmd, each with folders of its own, over local connections.

Only the connection differs from that of real doors: Ansible runs the same commands on them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from edge import paths
from edge.inference import bundle
from edge.reporting.status_file import read_status
from tests.edge.parts import ROOT, command, environment, wait_for

FLEET = ROOT / "fleet"
ANSIBLE_S = 300
"""Longest time of a playbook, seconds."""
CAMERA = ("--source", "doorway", "--set", "camera.live=true", "--set", "camera.loop=true", "--set", "camera.fps=5")
SWAPPED = {"with_mask": "without_mask", "without_mask": "with_mask"}

needs_ansible = pytest.mark.skipif(shutil.which("ansible-playbook") is None, reason="ansible-core is not installed")


class Played(NamedTuple):
    """A run of a playbook: exit code, output, changes by host, and the report by door if it got as far as that."""

    code: int
    said: str
    changed: Mapping[str, int]
    report: Mapping[str, Mapping[str, Any]]


class Fleet:
    """Doors below ``folder``, and an inventory of them."""

    def __init__(self, folder: Path, **variables: object) -> None:
        self.folder, self.variables = folder, variables
        self.doors: dict[str, dict[str, object]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def add(self, name: str, **variables: object) -> None:
        """Name a door that does not run."""
        for part in ("run", "state"):
            (self.folder / name / part).mkdir(parents=True, exist_ok=True)
        (self.folder / name / "fmd.toml").touch()
        self.doors[name] = variables

    def start(self, name: str, *more: str) -> None:
        """Start the fmd of a door, with more options."""
        folder = self.folder / name
        options = ("--runtime", folder / "run", "--state", folder / "state", "--config", folder / "fmd.toml")
        with (folder / "log").open("a") as log:
            self._processes[name] = subprocess.Popen(
                command("run", *CAMERA, "--set", "alert.driver=console", *options, *more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
            )

    def await_watching(self) -> None:
        """Wait until all doors that were started watch."""
        for name in self._processes:
            wait_for(lambda name=name: bool((now := read_status(self.folder / name / "run")) and now.watching))

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End the fmd of a door."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(30)

    def stop_all(self) -> None:
        """End every fmd."""
        for process in self._processes.values():
            process.terminate()
        for name in list(self._processes):
            self.stop(name)

    def inventory(self) -> Path:
        """Write the inventory and return its path; JSON is YAML as well."""
        folder = f"{self.folder}/{{{{ inventory_hostname }}}}"
        places = {f"door_{part}": f"{folder}/{part}" for part in ("runtime", "state", "facts", "upload")}
        common = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": "/usr/bin/python3",
            "door_command": command(),
            **places,
            "door_runtime": f"{folder}/run",
            "door_settings_file": f"{folder}/fmd.toml",
            "door_poll_s": 1,
            **self.variables,
        }
        file = self.folder / "hosts.yml"
        file.write_text(json.dumps({"all": {"vars": common}, "doors": {"hosts": self.doors}}))
        return file

    def begin(self, playbook: str, *options: str) -> subprocess.Popen[str]:
        """Start a playbook of fleet/."""
        (self.folder / "report.json").unlink(missing_ok=True)
        return subprocess.Popen(
            playing(self.inventory(), FLEET / playbook, "-e", f"report={self.folder}/report.json", *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ansible_environment(self.folder),
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str]) -> Played:
        """Wait for a playbook and return what it did."""
        said, _ = process.communicate(timeout=ANSIBLE_S)
        return played_of(process.returncode, said, self.folder / "report.json")

    def play(self, playbook: str, *options: str) -> Played:
        """Run a playbook of fleet/ over the doors."""
        return self.end(self.begin(playbook, *options))

    def current(self, name: str) -> str:
        """Return the classifier that a door's fmd uses."""
        found = json.loads((self.folder / name / "run/in-use.json").read_text())
        return Path(found["classifier"]).name


@contextmanager
def local_doors(folder: Path, *names: str, **variables: object) -> Iterator[Fleet]:
    """Doors of these names that watch; leaving ends them."""
    fleet = Fleet(folder, **variables)
    with ExitStack() as stack:
        stack.callback(fleet.stop_all)
        for name in names:
            fleet.add(name)
            fleet.start(name)
        fleet.await_watching()
        yield fleet


def played_of(code: int, said: str, report: Path) -> Played:
    """Return what a playbook did, from its output and the report that it wrote."""
    recap = [line for line in said.partition("PLAY RECAP")[2].splitlines() if "changed=" in line]
    changed = {line.split(" : ")[0].strip(): int(line.partition("changed=")[2].split()[0]) for line in recap}
    return Played(code, said, changed, json.loads(report.read_text()) if report.exists() else {})


def playing(inventory: Path, *words: str | Path) -> list[str]:
    """Return the command line of ansible-playbook; $FMD_ANSIBLE names another version's folder of programs."""
    folder = os.environ.get("FMD_ANSIBLE")
    program = str(Path(folder) / "ansible-playbook") if folder else "ansible-playbook"
    return [program, "--inventory", str(inventory), *map(str, words)]


def ansible_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which Ansible writes only below ``folder``."""
    own = {
        "ANSIBLE_HOME": folder / "ansible",
        "ANSIBLE_LOCAL_TEMP": folder / "tmp",
        "ANSIBLE_REMOTE_TEMP": folder / "tmp",
    }
    more = {"ANSIBLE_ASYNC_DIR": folder / "async", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": FLEET / "ansible.cfg"}
    # Of this virtual environment nothing: Ansible has a Python of its own.
    path = os.environ["PATH"].replace(f"{Path(sys.executable).parent}:", "")
    return {**os.environ, "PATH": path, **{key: str(value) for key, value in {**own, **more}.items()}}


def model(folder: Path, name: str, *, bad: bool = False) -> Path:
    """Return the shipped classifier under another name; a ``bad`` one swaps with and without a mask."""
    loaded = bundle.unpack(paths.shipped_model("classifier"))
    labels: Sequence[str] = loaded.contract.labels
    if bad:
        labels = [SWAPPED.get(label, label) for label in labels]
    contract = msgspec.structs.replace(loaded.contract, name=name, labels=tuple(labels), confusion=None)
    path = folder / f"{name}.tflite"
    path.write_bytes(bundle.pack(loaded.flatbuffer, contract, loaded.golden))
    return path
