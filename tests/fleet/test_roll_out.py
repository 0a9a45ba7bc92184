"""A roll-out of a model over doors in rings, by the real Ansible on real processes of fmd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.edge.parts import fmd
from tests.fleet.doors import FLEET, Fleet, ansible_environment, local_doors, model, needs_ansible, playing

pytestmark = needs_ansible

QUICK = {"door_shadow_s": 4, "door_observations": 1, "door_watch_s": 2}
PLAYBOOKS = [FLEET / f"{name}.yml" for name in ("hub", "doors", "enrol", "roll-out")]


def test_every_playbook_and_role_can_be_read(tmp_path: Path) -> None:
    inventory = FLEET / "inventory/hosts.yml"
    checked = subprocess.run(
        playing(inventory, "--syntax-check", *PLAYBOOKS),
        capture_output=True,
        text=True,
        check=False,
        env=ansible_environment(tmp_path),
    )
    # The group is made while the playbook runs.
    warned = [line for line in checked.stderr.splitlines() if "ignoring: door_ready" not in line]
    assert (checked.returncode, warned) == (0, [])
    listed = yaml.safe_load(inventory.read_text())
    assert {"hub", "doors"} <= listed.keys()


def test_rings_are_one_door_then_a_tenth_then_all(tmp_path: Path) -> None:
    """The rings of the playbook itself, over four sizes of a fleet."""
    (ring,) = (play for play in yaml.safe_load((FLEET / "roll-out.yml").read_text()) if "serial" in play)
    sizes = (1, 2, 10, 100)
    words = "size {{ ansible_play_hosts_all | length }} ring {{ ansible_play_batch | length }}"
    tasks = [{"ansible.builtin.debug": {"msg": words}, "run_once": True}]
    plays = [{"hosts": f"of{size}", "gather_facts": False, "serial": ring["serial"], "tasks": tasks} for size in sizes]
    (tmp_path / "rings.yml").write_text(json.dumps(plays))
    groups = {f"of{size}": {"hosts": {f"door{size}-{i}": None for i in range(size)}} for size in sizes}
    (tmp_path / "hosts.yml").write_text(json.dumps(groups))
    played = subprocess.run(
        playing(tmp_path / "hosts.yml", tmp_path / "rings.yml"),
        capture_output=True,
        text=True,
        check=True,
        env=ansible_environment(tmp_path),
    )
    rings = [line.split('"')[3] for line in played.stdout.splitlines() if '"msg": "size' in line]
    found = {size: [int(each.split()[-1]) for each in rings if each.startswith(f"size {size} ")] for size in sizes}
    assert found == {1: [1], 2: [1, 1], 10: [1, 1, 8], 100: [1, 10, 89]}


def test_a_bad_model_stops_in_the_first_ring(tmp_path: Path) -> None:
    with local_doors(tmp_path, "first", "second", **QUICK) as fleet:
        played = fleet.play("roll-out.yml", "-e", f"model={model(tmp_path, 'bad', bad=True)}")
        assert played.code == 2, played.said
        assert {name: door["verdict"] for name, door in played.report.items()} == {
            "first": "differs",
            "second": "not reached",
        }
        assert played.report["first"]["share"] > 0.5
        # Nothing is left of it: both doors watch with their own model, and the copy is deleted.
        assert {fleet.current(name) for name in fleet.doors} == {"mask_classifier.tflite"}
        assert not list(tmp_path.glob("*/upload*"))
        assert played.changed["second"] == 0


def in_use(fleet: Fleet, name: str) -> bool:
    """Return whether a door uses an installed model."""
    return fleet.current(name).startswith("classifier-")


def await_new_model(fleet: Fleet, name: str) -> None:
    """Wait until a door uses an installed model: shadow run and switch take seconds, on a busy machine many."""
    until_s = time.monotonic() + 120
    while not in_use(fleet, name) and time.monotonic() < until_s:
        time.sleep(0.2)
    assert in_use(fleet, name)


@pytest.mark.slow
def test_a_good_model_reaches_all_doors_that_are_ready_and_then_nothing_is_left_to_do(tmp_path: Path) -> None:
    names = ("first", "Tür 3 (Süd)", "off")
    with local_doors(tmp_path, *names, **QUICK) as fleet:
        fleet.stop("off")
        fleet.add("never installed", door_command=["/nonexistent/fmd"])
        fleet.add("away", ansible_connection="ssh", ansible_host="127.0.0.1", ansible_port=1)
        assert fmd("disarm", "--runtime", tmp_path / "first/run").returncode == 0
        good = f"model={model(tmp_path, 'good')}"
        checked = fleet.play("roll-out.yml", "--check", "-e", good)
        assert (checked.code, {name for name in names[:2] if in_use(fleet, name)}) == (0, set()), checked.said
        played = fleet.play("roll-out.yml", "-e", good)
        assert played.code == 0, played.said
        verdicts = {name: (door["verdict"], door["reason"]) for name, door in played.report.items()}
        assert verdicts == {
            "first": ("in use", ""),
            "Tür 3 (Süd)": ("in use", ""),
            "off": ("left out", "fmd does not run"),
            "never installed": ("left out", "fmd is not installed"),
            "away": ("left out", "unreachable"),
        }
        assert "disarmed" in played.said
        assert all(in_use(fleet, name) for name in names[:2])
        again = fleet.play("roll-out.yml", "-e", good)
        assert (again.code, set(again.changed.values())) == (0, {0}), again.said


@pytest.mark.slow
def test_a_door_that_dies_with_the_model_takes_its_ring_back(tmp_path: Path) -> None:
    names = ("first", "second", "third", "last")
    with local_doors(tmp_path, *names, **{**QUICK, "door_watch_s": 30}) as fleet:
        fleet.doors["first"]["door_watch_s"] = 1
        playing = fleet.begin("roll-out.yml", "-e", f"model={model(tmp_path, 'good')}", "-e", '{"rings": [1, 2, 1]}')
        await_new_model(fleet, "third")
        fleet.stop("third", signal.SIGKILL)
        played = fleet.end(playing)
        assert played.code == 2, played.said
        verdicts = {name: door["verdict"] for name, door in played.report.items()}
        died, reason = verdicts.pop("third"), played.report["third"]["reason"]
        assert verdicts == {"first": "in use", "second": "in use", "last": "not reached"}
        # The command on the door notices the new model up to a poll later than this test.
        assert {"unhealthy": "does not run", "failed": "did not load it"}[died] in reason
        assert {name for name in names if in_use(fleet, name)} == {"first"}
        assert played.report["second"]["back"] == "classifier: back to shipped"
        fleet.start("third")
        fleet.await_watching()
        assert not in_use(fleet, "third")


@pytest.mark.slow
def test_an_interrupted_roll_out_goes_on_where_it_was(tmp_path: Path) -> None:
    with local_doors(tmp_path, "first", "second", **{**QUICK, "door_watch_s": 8}) as fleet:
        good = f"model={model(tmp_path, 'good')}"
        playing = fleet.begin("roll-out.yml", "-e", good)
        await_new_model(fleet, "first")
        os.killpg(playing.pid, signal.SIGINT)
        playing.communicate(timeout=60)
        played = fleet.play("roll-out.yml", "-e", good)
        assert played.code == 0, played.said
        assert {door["verdict"] for door in played.report.values()} == {"in use"}
        assert all(in_use(fleet, name) for name in fleet.doors)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_and_a_wrong_file_leave_the_doors_as_they_are(tmp_path: Path) -> None:
    with local_doors(tmp_path, "first", "second", **QUICK) as fleet:
        wrong = tmp_path / "wrong.tflite"
        wrong.write_bytes(b"no model" * 1000)
        played = fleet.play("roll-out.yml", "-e", f"model={wrong}")
        assert (played.code, played.report["first"]["verdict"]) == (2, "refused"), played.said
        absent = fleet.play("roll-out.yml", "-e", f"model={tmp_path}/absent.tflite")
        assert absent.code == 2
        assert "no such file on this machine" in absent.said
        disk = tmp_path / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
        try:
            fleet.doors["first"]["door_upload"] = str(disk / "upload.tflite")
            played = fleet.play("roll-out.yml", "-e", f"model={model(tmp_path, 'good')}")
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)
        # The first ring has judged nothing, so that the second one is not begun.
        assert played.code == 2
        assert played.report["first"]["verdict"] == "left out"
        assert "No space left" in played.report["first"]["reason"]
        assert not any(in_use(fleet, name) for name in fleet.doors)
