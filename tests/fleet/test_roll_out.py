"""A roll-out of a model over doors in rings, by the real Ansible on real processes of fmd."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml

from tests.fleet.doors import FLEET, ansible_environment, local_doors, model, needs_ansible, playing

pytestmark = needs_ansible

QUICK = {"door_shadow_s": 4, "door_observations": 1, "door_watch_s": 2}
PLAYBOOKS = sorted(FLEET.glob("*.yml"))


def test_every_playbook_and_role_can_be_read(tmp_path: Path) -> None:
    playbooks = [path for path in PLAYBOOKS if path.name != "compose.yml"]
    inventory = FLEET / "inventory/hosts.yml"
    checked = subprocess.run(
        playing(inventory, "--syntax-check", *playbooks),
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
