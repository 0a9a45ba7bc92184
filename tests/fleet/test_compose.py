"""The hub in containers: a valid file that pins, locks down and shares its settings with the Debian packages."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.fleet.monitoring import FLEET, MONITORING, needs

COMPOSE = FLEET / "compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
EVERY = pytest.mark.parametrize("name", SERVICES)
PACKAGES = {
    "prometheus": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "victoria-metrics": "victoria-metrics",
}
"""Service -> file in default/ with the arguments of Debian's package."""


@needs("docker-compose")
def test_docker_compose_understands_it() -> None:
    command = ["docker-compose", "--file", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_follows_the_schema_of_compose() -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@EVERY
def test_an_image_is_pinned_to_a_whole_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@EVERY
def test_a_service_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] == "CMD"
    # mosquitto starts as root and becomes another user.
    assert (service.get("read_only"), service.get("cap_drop")) == (
        (None, None) if name == "mosquitto" else (True, ["ALL"])
    )
    binds = [volume for volume in service["volumes"] if volume.startswith((".", "/", "$"))]
    assert [bind for bind in binds if not bind.endswith(":ro")] == []
    for source in (bind.rsplit(":", 2)[0] for bind in binds):
        own = re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", source)
        assert own.startswith("/etc/") or (FLEET / own).exists(), own


def test_no_password_has_a_default() -> None:
    whole = yaml.safe_load(COMPOSE.read_text())
    assert whole["secrets"] == {"grafana-admin": {"file": "./secrets/grafana-admin"}}
    for service in SERVICES.values():
        named = {key: value for key, value in service.get("environment", {}).items() if "PASSWORD" in key}
        assert all(key.endswith("__FILE") and value.startswith("/run/secrets/") for key, value in named.items())
        assert not [word for word in service.get("command", []) if "password" in word.lower()]
    assert "/fleet/secrets/" in (FLEET.parent / ".gitignore").read_text()


@pytest.mark.parametrize("name", PACKAGES)
def test_arguments_are_those_of_the_debian_package(name: str) -> None:
    found = re.search(r'^ARGS="(.*)"$', (MONITORING / "default" / PACKAGES[name]).read_text(), re.MULTILINE)
    assert found

    def flags(arguments: list[str]) -> set[str]:
        places = ("--config.file=", "--storage.tsdb.path=", "--storage.path=", "-storageDataPath=")
        return {argument for argument in arguments if not argument.startswith(places)}

    assert flags(SERVICES[name]["command"]) == flags(found[1].split())


def test_grafana_is_the_version_of_the_sdk() -> None:
    setup = (FLEET.parent / "setup.cfg").read_text()
    sdk = re.search(r"grafana-foundation-sdk==\d+!(\d+\.\d+)\.\d+", setup)
    image = re.fullmatch(r"grafana/grafana:(\d+\.\d+)\.\d+", SERVICES["grafana"]["image"])
    assert sdk
    assert image
    assert sdk[1] == image[1]


@needs("mosquitto")
def test_mosquitto_understands_the_file_of_its_container(tmp_path: Any) -> None:
    text = (FLEET / "mosquitto/container.conf").read_text()
    (tmp_path / "conf.d").mkdir()
    # A listener on a socket file is enough to start; the real one is hub.conf's.
    (tmp_path / "conf.d/own.conf").write_text(f"listener 0 {tmp_path / 'socket'}\nuser root\n")
    text = text.replace("/etc/mosquitto/conf.d", str(tmp_path / "conf.d")).replace("/mosquitto/data", str(tmp_path))
    (tmp_path / "mosquitto.conf").write_text(text)
    command = ["mosquitto", "-c", str(tmp_path / "mosquitto.conf")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.rstrip().endswith("running"):
                process.kill()  # it forgets a SIGTERM that comes before its first round
    assert any(line.rstrip().endswith("running") for line in lines), lines
    assert not [line for line in lines if "Error" in line]
