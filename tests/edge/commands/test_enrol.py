"""``fmd enrol`` as an operator types it: what it writes, what it refuses, and that no interruption loses a member."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge import config, paths
from edge.hub import broker
from edge.hub.files import Hub
from tests.edge.parts import ROOT, command, environment, fmd

pytestmark = pytest.mark.skipif(
    shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd: apt install mosquitto"
)
OURS = "etc/mosquitto/fmd"
Run = subprocess.CompletedProcess[str]


def enrol(root: Path, *words: str | Path) -> Run:
    return fmd("enrol", *words, "--root", root, cwd=root)


def content(root: Path) -> dict[str, bytes]:
    """Every file below the hub's etc/, by name, and the folders of members."""
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub with one door."""
    root = tmp_path_factory.mktemp("template")
    assert enrol(root, "--broker", "hub.lan").returncode == 0
    assert enrol(root, "door-1", "--site", "Lobby").returncode == 0
    return root


@pytest.fixture
def hub(template: Path, tmp_path: Path) -> Path:
    root = tmp_path / "hub"
    shutil.copytree(template, root)
    return root


def test_a_machine_becomes_a_hub_and_a_door_gets_its_folder(template: Path) -> None:
    folder, settings = template / "door-1", config.load(template / "door-1/fmd.toml")
    assert (settings.publish.name, settings.mqtt.host, settings.mqtt.port) == ("door-1", "hub.lan", 8883)
    assert (settings.mqtt.tls, settings.mqtt.username, settings.mqtt.discovery) == (True, "door-1", False)
    assert (settings.metrics.port, settings.metrics.address) == (9817, "0.0.0.0")
    password = Path(settings.mqtt.password_file).read_text().strip()
    assert len(password) >= 43
    ssl.create_default_context(cafile=settings.mqtt.ca_file)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    (line,) = (template / OURS / "passwords").read_text().splitlines()
    assert line.startswith("door-1:$7$")
    assert not [name for name, data in content(template / "etc").items() if password.encode() in data]
    (target,) = json.loads((template / "etc/prometheus/fmd/doors/door-1.json").read_text())
    assert target == {"targets": ["door-1.local:9817"], "labels": {"door": "door-1", "site": "Lobby"}}


def test_no_output_shows_a_password(hub: Path) -> None:
    done = enrol(hub, "door-2", "--verbose")
    password = (hub / "door-2/mqtt-password").read_text().strip()
    assert password not in done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become another user")
def test_another_user_than_root_is_sent_for_sudo(template: Path) -> None:
    program = (
        "import os, sys, email.parser, edge.flash.checks, edge.hub.broker, edge.hub.folder; "
        "from edge.commands import enrol, main; "
        "os.setuid(65534); sys.exit(main.main(sys.argv[1:]))"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's folders are closed to others
        hub = Path(folder, "hub")
        shutil.copytree(template, hub)
        Path(folder).chmod(0o755)
        for words in ([], ["door-2"], ["--broker", "x"]):
            command = [sys.executable, "-c", program, "enrol", *words, "--root", str(hub)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert done.stderr.endswith("Permission denied; run the command with sudo\n")


def test_only_root_and_the_broker_read_keys_and_passwords(template: Path) -> None:
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (template / OURS).iterdir()}
    assert {name for name, mode in modes.items() if mode & 0o077} == {"ca.pem"}


def test_the_folder_of_a_door_is_what_fmd_flash_and_fmd_run_accept(template: Path, tmp_path: Path) -> None:
    from edge.flash.settings import gathered

    etc = gathered(template / "door-1/fmd.toml", {}, {"publish.name": "door-1"})
    assert set(etc.secrets) == {"fmd.toml", "mqtt-password"}
    assert (set(etc.files), set(etc.drop_ins)) == ({"mqtt-ca.pem"}, {"network"})


def test_settings_of_the_door_stay_and_the_files_that_they_name_come_along(hub: Path) -> None:
    (hub / "mine").mkdir()
    (hub / "mine/base.toml").write_text('# Our door\n[alert]\nled_pin = 22\n[notify]\nurls_file = "urls"\n')
    (hub / "mine/urls").write_text("json://example.invalid/\n")
    done = enrol(hub, "door-2", "--config", "mine/base.toml", "--address", "192.0.2.7", "--out", "two")
    assert done.returncode == 0, done.stderr
    settings = config.load(hub / "two/fmd.toml")
    assert (settings.alert.led_pin, settings.mqtt.username) == (22, "door-2")
    assert (hub / "two/fmd.toml").read_text().startswith("# Our door\n")
    assert (hub / "two/urls").read_text() == "json://example.invalid/\n"
    assert '"192.0.2.7:9817"' in (hub / "etc/prometheus/fmd/doors/door-2.json").read_text()


def test_a_door_that_prometheus_cannot_reach_has_no_target_and_serves_no_metrics(hub: Path) -> None:
    assert enrol(hub, "door-2", "--no-metrics").returncode == 0
    assert not (hub / "etc/prometheus/fmd/doors/door-2.json").exists()
    assert config.load(hub / "door-2/fmd.toml").metrics.port == 0


def test_a_new_password_keeps_site_and_target(hub: Path) -> None:
    before = content(hub)
    assert enrol(hub, "door-1", "--rotate").returncode == 1  # no broker runs here that would end the old one
    now = content(hub)
    changed = {name for name, data in now.items() if before.get(name) != data}
    assert {"door-1/mqtt-password", f"{OURS}/passwords"} <= changed
    assert not changed - {"door-1/mqtt-password", f"{OURS}/passwords", f"{OURS}/members.json"}


def test_revoking_takes_password_rights_and_target_of_that_member_alone(hub: Path) -> None:
    before = {name: data for name, data in content(hub).items() if name.startswith("etc/")}
    for words in (["door-2"], ["board", "--reader"], ["desk", "--operator"], ["annex", "--bridge"]):
        assert enrol(hub, *words).returncode == 0
    assert "user board\ntopic read fmd/#\nuser desk\ntopic readwrite fmd/#\n" in (hub / OURS / "acl").read_text()
    for name in ("door-2", "board", "annex", "desk"):
        done = enrol(hub, name, "--revoke")
        assert (done.returncode, "must read them: sudo systemctl reload mosquitto" in done.stderr) == (1, True)
    assert {name: data for name, data in content(hub).items() if name.startswith("etc/")} == before
    assert "door-2: not enrolled" in enrol(hub, "door-2", "--revoke").stderr


def test_what_a_person_added_to_users_and_rights_stays(hub: Path) -> None:
    for file, text in (("passwords", "printer:$7$101$a$b\n"), ("acl", "user printer\ntopic read fmd/+/report\n")):
        with (hub / OURS / file).open("a") as handle:
            handle.write(text)
    assert enrol(hub, "board", "--reader").returncode == 0
    assert enrol(hub, "board", "--revoke").returncode == 1
    assert "printer:$7$101$a$b\n" in (hub / OURS / "passwords").read_text()
    assert (hub / OURS / "acl").read_text().endswith("user printer\ntopic read fmd/+/report\n")
    assert "printer  not by fmd" in enrol(hub).stdout


def test_the_list_has_each_member(hub: Path) -> None:
    enrol(hub, "annex", "--bridge")
    lines = [line.split() for line in enrol(hub).stdout.splitlines()]
    assert [line[:2] for line in lines] == [["NAME", "KIND"], ["annex", "site"], ["door-1", "door"]]
    assert lines[2][2:4] == ["Lobby", "door-1.local:9817"]


def test_a_hub_that_is_set_up_again_keeps_authority_members_and_changed_configuration(hub: Path) -> None:
    (hub / "etc/mosquitto/conf.d/fmd.conf").write_text("# changed\n")
    before = content(hub)
    assert enrol(hub, "--broker", "other.lan:8884", "--broker", "hub.lan").returncode == 0
    now = content(hub)
    assert {name for name in now if before.get(name) != now[name]} == {f"{OURS}/server.pem", f"{OURS}/members.json"}
    assert Hub(hub).register().members == Hub(hub).register().members
    enrol(hub, "door-2")
    settings = config.load(hub / "door-2/fmd.toml")
    assert (settings.mqtt.host, settings.mqtt.port) == ("other.lan", 8884)


HOSTILE = ["a+b", "a#", "#", "a/b", "../etc", "a b", "a\nb", "a:b", "%u", "$SYS", "ä", "x" * 64, "a\x00b", ".", "door-"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_would_be_more_than_one_topic_file_or_line_is_refused(hub: Path, name: str) -> None:
    before = content(hub)
    done = fmd("enrol", "--root", hub, "--", name, cwd=hub)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: command line: NAME: got ")
    assert done.stderr.count("\n") == 1
    assert content(hub) == before


def nothing(root: Path) -> None:
    """Change nothing."""


def spoil(path: str, data: bytes | None) -> Callable[[Path], None]:
    """Return what makes a file of the hub hold ``data``, or a folder of it."""

    def change(root: Path) -> None:
        (root / path).unlink(missing_ok=True)
        (root / path).mkdir() if data is None else (root / path).write_bytes(data)

    return change


BAD: dict[str, tuple[list[str], str, Callable[[Path], object]]] = {
    "a door again": (["door-1"], "door-1: enrolled already; --rotate gives", nothing),
    "another kind": (
        ["door-1", "--rotate", "--bridge"],
        "door-1: enrolled as a door; revoke it first",
        nothing,
    ),
    "a stranger to rotate": (["door-9", "--rotate"], "door-9: not enrolled; fmd enrol lists", nothing),
    "a stranger to revoke": (["door-9", "--revoke"], "door-9: not enrolled; fmd enrol lists", nothing),
    "a folder of others": (["d", "--out", "etc"], "etc: exists and is no folder of fmd enrol", nothing),
    "a file as a folder": (["d", "--out", "d/x"], "d/x: no folder d", nothing),
    "a name and a broker": (["d", "--broker", "h"], "--broker sets the hub up and takes no other", nothing),
    "an option and a broker": (["--site", "x", "--broker", "h"], "--broker sets the hub up", nothing),
    "options for no name": (["--rotate"], "NAME: missing; name the member", nothing),
    "revoking with options": (["door-1", "--revoke", "--site", "x"], "--revoke takes no other option", nothing),
    "a bad broker": (["--broker", "a,b"], "--broker: got 'a,b', expected a broker's host name", nothing),
    "a broker no host may be called": (["--broker", "a_b"], "got 'a_b', expected a host name", nothing),
    "a bad port": (["d", "--address", "a:99999"], "--address: got port 99999", nothing),
    "a bad site": (["d", "--site", "a\nb"], "--site: got 'a\\nb', expected up to 64 printable", nothing),
    "a site's address": (["s", "--bridge", "--address", "x"], "a site has no --site, --address", nothing),
    "no settings": (["d", "--config", "no.toml"], "no.toml: ", nothing),
    "settings of another door": (
        ["d", "--config", "b.toml"],
        "publish.name: got 'd', but the settings file states 'e'",
        spoil("b.toml", b'[publish]\nname = "e"\n'),
    ),
    "no hub": (
        ["d"],
        "members.json: no such file; to make this machine a hub",
        lambda root: shutil.rmtree(root / "etc"),
    ),
    "a damaged register": (["d"], "members.json: damaged", spoil(f"{OURS}/members.json", b"{")),
    "a damaged register, set up": (["--broker", "h"], "members.json: damaged", spoil(f"{OURS}/members.json", b"[]")),
    "no register, but a folder": (["d"], "members.json: not a regular file", spoil(f"{OURS}/members.json", None)),
    "half an authority": (["--broker", "h"], "ca.key: no such file, and doors trust", spoil(f"{OURS}/ca.key", b"")),
    "an authority that is none": (["--broker", "h"], "openssl made no certificate", spoil(f"{OURS}/ca.key", b"x")),
    "passwords that are a folder": (["d"], "passwords: not a regular file", spoil(f"{OURS}/passwords", None)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_changes_nothing(hub: Path, case: str) -> None:
    words, expected, prepare = BAD[case]
    prepare(hub)
    before = content(hub)
    done = enrol(hub, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert {name: data for name, data in content(hub).items() if not name.endswith(".lock")} == {
        name: data for name, data in before.items() if not name.endswith(".lock")
    }


def test_a_process_that_does_not_handle_the_signal_yet_survives_it(hub: Path, tmp_path: Path) -> None:
    """As a mosquitto within its first moments; systemd would not start it again after this signal."""
    sleeper = Path(shutil.copy("/bin/sleep", tmp_path / "mosquitto"))
    (hub / "run/mosquitto").mkdir(parents=True)
    with subprocess.Popen([sleeper, "60"]) as process:
        (hub / "run/mosquitto/mosquitto.pid").write_text(f"{process.pid}\n")
        done = enrol(hub, "door-1", "--revoke")
        assert (done.returncode, process.poll()) == (1, None)
        process.kill()


@pytest.mark.parametrize("number", ["1", "0", "-1", "x", "99999999", ""])
def test_a_stale_number_of_a_process_signals_no_other(hub: Path, number: str) -> None:
    (hub / "run/mosquitto").mkdir(parents=True)
    (hub / "run/mosquitto/mosquitto.pid").write_text(number)
    assert broker.reload(Hub(hub)) is False


def test_a_root_that_is_not_there_and_a_missing_program_are_named(hub: Path, tmp_path: Path) -> None:
    assert "--root" in fmd("enrol", "--root", tmp_path / "nowhere").stderr
    done = fmd("enrol", "door-2", "--root", hub, cwd=hub, PATH=str(tmp_path))
    assert done.stderr == "error: a hub needs mosquitto_passwd: sudo apt install mosquitto\n"
    done = fmd("enrol", "--broker", "x", "--root", tmp_path, PATH=str(tmp_path))
    assert done.stderr == "error: making a certificate needs openssl: sudo apt install openssl\n"


INTERRUPTED = """
import os, shutil, sys
from edge.commands.main import main
import edge.commands.enrol, edge.flash.checks, edge.hub.broker, edge.hub.folder  # before the hook counts

root, *words = sys.argv[1:]

def run(place, stop_at):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        seen += event == "os.rename"
        if event == "os.rename" and seen == stop_at:
            raise KeyboardInterrupt if stop_at % 2 else OSError(28, "No space left on device")
    os.chdir(place)
    os.dup2(os.open("errors", os.O_CREAT | os.O_WRONLY), 2)
    sys.addaudithook(hook)
    code = main(["enrol", *words, "--root", place])
    sys.stdout.flush()
    os._exit(100 if seen < stop_at else code)

for stop_at in range(1, 20):
    place = f"{root}-{stop_at}"
    shutil.copytree(root, place)
    if not (child := os.fork()):
        run(place, stop_at)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("code", code)
    if code == 100:  # it was through before
        break
"""


@pytest.mark.parametrize("words", [["door-2"], ["door-1", "--rotate"], ["door-1", "--revoke"]], ids=" ".join)
def test_an_interruption_before_any_file_is_replaced_loses_no_member(hub: Path, words: list[str]) -> None:
    assert enrol(hub, "door-0").returncode == 0
    kept = [line for line in (hub / OURS / "passwords").read_text().splitlines() if line.startswith("door-0:")]
    program = [sys.executable, "-c", INTERRUPTED, str(hub), *words]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment(PYTHONPATH=str(ROOT)))
    codes = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("code")]
    # Ctrl-C and a full disk in turn.
    assert codes[:-1] == ([130, 1] * len(codes))[: len(codes) - 1]
    assert (len(codes) >= 3, codes[-1], done.stderr) == (True, 100, "")
    for stop_at in range(1, len(codes)):
        place = Path(f"{hub}-{stop_at}")
        assert (place / "errors").read_text().count("\n") == 1
        assert not list(place.rglob("*.part"))
        assert kept[0] in (place / OURS / "passwords").read_text().splitlines()
        assert "door-0" in Hub(place).register().members
        assert (place / "etc/prometheus/fmd/doors/door-0.json").exists()
        # The same command again finishes what was begun.
        again = enrol(place, *words)
        assert "Traceback" not in again.stderr
        has_access = "door-2:" in (place / OURS / "passwords").read_text()
        assert has_access == ("door-2" in Hub(place).register().members) == (words == ["door-2"])


def test_doors_that_are_enrolled_at_the_same_time_are_all_there(hub: Path) -> None:
    names = [f"gate-{number}" for number in range(4)]
    at_once = [
        subprocess.Popen(command("enrol", name, "--root", hub), cwd=hub, stdout=subprocess.DEVNULL, env=environment())
        for name in names
    ]
    assert [each.wait() for each in at_once] == [0] * len(names)
    assert set(Hub(hub).register().members) == {"door-1", *names}
    users = {line.partition(":")[0] for line in (hub / OURS / "passwords").read_text().splitlines()}
    assert users == {"door-1", *names}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may give files away")
def test_files_for_the_broker_keep_the_user_that_its_passwords_have(hub: Path) -> None:
    """As in a container, where mosquitto's user has a number that this machine does not know."""
    os.chown(hub / OURS / "passwords", 1883, 1883)
    assert enrol(hub, "door-2").returncode == 0
    assert enrol(hub, "--broker", "hub.lan").returncode == 0
    owners = {file.name: file.stat().st_uid for file in (hub / OURS).iterdir() if file.name != ".lock"}
    assert {name for name, owner in owners.items() if owner == 1883} == {"passwords", "acl", "server.pem"}


def test_the_shipped_configuration_has_no_place_without_tls() -> None:
    lines = paths.broker_template("hub.conf").read_text().splitlines()
    assert [line for line in lines if line.startswith("listener")] == ["listener 8883"]
    assert {"allow_anonymous false", "per_listener_settings false", "tls_version tlsv1.2"} <= set(lines)
