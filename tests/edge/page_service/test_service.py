"""The real command with the built-in scene: what the page gets from it, and what becomes of changes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge import control
from edge.control import DoneReply, Expected, Message, ReloadRequest, StateReply
from edge.errors import ControlError
from edge.page_messages import (
    PIECE,
    SOCKET,
    ChangeReply,
    ChangeRequest,
    DisarmRequest,
    ExportRequest,
    FileReply,
    ImportRequest,
    InstallRequest,
    LiveReply,
    LiveRequest,
    LogReply,
    LogRequest,
    PictureReply,
    PictureRequest,
    SettingsReply,
    SettingsRequest,
    SettingView,
    ShadowStateReply,
    ShadowStateRequest,
    UploadRequest,
)
from tests.edge.page_service.parts import PageClient, decoded
from tests.edge.parts import ROOT, command, environment, wait_for

OWNER = "owner, 192.0.2.7"
SETTINGS = """\
[camera]
source = "doorway"
live = true
loop = true

[notify]
urls = ["json://user:a-secret-of-the-test@192.0.2.1/x"]
on = []
"""


class Fmd:
    """A running fmd, and its page's socket."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder / "run", folder / "state"
        self.file = folder / "fmd.toml"
        self.file.write_text(SETTINGS)
        for each in (self.folder, self.state):
            each.mkdir()
        options = ("--config", self.file, "--runtime", self.folder, "--state", self.state)
        self.log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            command("run", *options), stdin=subprocess.DEVNULL, stderr=self.log, stdout=self.log, env=environment()
        )
        try:
            wait_for(lambda: self.pictures() > 0)
        except BaseException:
            self.process.kill()
            raise

    def pictures(self) -> int:
        """Return how many pictures fmd has seen, 0 before it serves the page."""
        try:
            return sum(camera.picture for camera in self.ask(LiveRequest(), LiveReply).cameras)
        except ControlError:
            return 0

    def ask(self, request: Message, reply: type[Expected]) -> Expected:
        with PageClient(self.folder, 90.0) as client:
            return client.ask(request, reply)

    def change(self, confirmed: bool = False, **changes: str | None) -> ChangeReply:
        asked = {key.replace("__", "."): text for key, text in changes.items()}
        return self.ask(ChangeRequest(changes=asked, confirmed=confirmed, who=OWNER), ChangeReply)

    def setting(self, key: str) -> SettingView:
        return next(each for each in self.ask(SettingsRequest(), SettingsReply).settings if each.key == key)

    def close(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0
        self.log.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fmd]:
    found = Fmd(tmp_path_factory.mktemp("fmd"))
    yield found
    found.close()


def test_the_scene_is_live_with_blurred_pictures(door: Fmd) -> None:
    live = door.ask(LiveRequest(), LiveReply)
    (camera,) = live.cameras
    assert (camera.width, camera.height) == (640, 480)
    assert camera.health is not None
    assert camera.health.state == "streaming"
    assert live.models == ("detector face_detector.tflite", "classifier mask_classifier.tflite")
    picture = door.ask(PictureRequest(width=320), PictureReply)
    assert decoded(picture.jpeg).shape == (240, 320, 3)
    assert picture.age_s < 5.0


def test_settings_are_listed_without_secrets(door: Fmd) -> None:
    found = {each.key: each for each in door.ask(SettingsRequest(), SettingsReply).settings}
    urls = found["notify.urls"]
    assert found["camera.source"].access == "read"
    assert (urls.value, urls.origin, urls.access) == ("set", "file", "secret")
    pin = found["alert.led_pin"]
    assert (pin.value, pin.access, pin.kind) == ("17", "confirm", "pin")
    assert found["decide.on_unsure"].choices == ('"alarm"', '"signal"', '"admit"')
    assert "secret-of-the-test" not in str(found)


def test_a_change_is_in_use_after_its_first_frame_and_can_be_reset(door: Fmd) -> None:
    reply = door.change(decide__error_rate="0.01")
    assert reply == ChangeReply(applied=True, words="In use: decide.error_rate.", errors={})
    found = door.setting("decide.error_rate")
    assert (found.value, found.default, found.origin) == ("0.01", "0.002", "page")
    assert door.change(decide__error_rate="0.01").words == "Nothing differs from the settings in use."
    exported = door.ask(ExportRequest(), FileReply)
    assert b"error_rate = 0.01" in exported.content
    assert b"secret-of-the-test" not in exported.content
    assert door.change(decide__error_rate=None).applied
    assert door.setting("decide.error_rate").origin == "default"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"decide__error_rate": "7"}, "decide.error_rate"),
        ({"decide__error_rate": "x"}, "decide.error_rate"),
        ({"decide__nonsense": "1"}, "decide.nonsense"),
        ({"nonsense": "1"}, "nonsense"),
        ({"camera__source": '"/etc/passwd"'}, "camera.source"),
        ({"notify__urls": '["json://x"]'}, "notify.urls"),
        ({"alert__led_pin": "22"}, "alert.led_pin"),
        ({"page__show_faces": "true"}, "page.show_faces"),
        ({"watch__ignore": "[[[0,0],[1,1],[1,0],[0,1]]]"}, "watch.ignore"),
    ],
)
def test_a_change_that_cannot_be_is_refused_at_its_key(door: Fmd, changes: dict[str, str], key: str) -> None:
    reply = door.change(**changes)
    assert not reply.applied
    assert list(reply.errors) == [key]
    assert door.process.poll() is None


def test_a_change_that_the_run_refuses_is_taken_back_and_the_reason_reaches_the_page(door: Fmd) -> None:
    """The pin is valid, and only opening it shows that this machine has none."""
    reply = door.change(confirmed=True, alert__driver='"gpiod"', alert__led_pin='"gpiochip9:1"', alert__buzzer_pin='""')
    assert not reply.applied
    assert reply.words == "fmd cannot run with this change, and goes on as before."
    assert "alert.led_pin" in reply.errors[""]
    assert "gpiochip9:1" in reply.errors[""]
    assert door.setting("alert.led_pin").value == "17"
    before = door.pictures()
    wait_for(lambda: door.pictures() > before)


def test_a_reload_reads_the_file_again_and_a_refusal_names_the_reason(door: Fmd) -> None:
    assert door.ask(ReloadRequest(), DoneReply) == DoneReply()
    door.file.write_text(f"{SETTINGS}[decide]\nerror_rate = 7\n")
    with pytest.raises(ControlError, match=r"goes on as before.*decide\.error_rate"):
        door.ask(ReloadRequest(), DoneReply)
    door.file.write_text(SETTINGS)
    assert door.ask(ReloadRequest(), DoneReply) == DoneReply()


def test_settings_can_be_imported(door: Fmd) -> None:
    def imported(text: str) -> ChangeReply:
        door.ask(UploadRequest(purpose="settings", name="a.toml", offset=0, piece=text.encode()), DoneReply)
        return door.ask(ImportRequest(name="a.toml", who=OWNER), ChangeReply)

    assert imported("[decide]\nunsure_after_s = 4.0\n").applied
    assert door.setting("decide.unsure_after_s").value == "4.0"
    assert "not valid TOML" in imported("[decide").errors[""]
    assert door.change(decide__unsure_after_s=None).applied


def test_who_changed_what_is_recorded_and_logged(door: Fmd) -> None:
    door.change(decide__error_rate="0.003")
    assert door.change(decide__error_rate=None).applied
    lines = door.ask(LogRequest(), LogReply).lines
    assert any(line.endswith(f"web page: {OWNER} changes decide.error_rate") for line in lines)
    assert not any("secret-of-the-test" in line for line in lines)


def uploaded(door: Fmd, content: bytes, name: str = "new.tflite") -> None:
    for at in range(0, len(content), PIECE):
        piece = UploadRequest(purpose="model", name=name, offset=at, piece=content[at : at + PIECE])
        door.ask(piece, DoneReply)


def ended(door: Fmd) -> ShadowStateReply:
    def state() -> ShadowStateReply:
        return door.ask(ShadowStateRequest(), ShadowStateReply)

    wait_for(lambda: state().phase in ("installed", "refused", "failed"))
    return state()


def test_a_file_that_is_no_model_is_refused(door: Fmd) -> None:
    uploaded(door, b"x" * 100_000)
    door.ask(InstallRequest(name="new.tflite", who=OWNER), DoneReply)
    reply = ended(door)
    assert reply.phase == "refused"
    assert "new.tflite" in reply.words
    with pytest.raises(ControlError, match="not uploaded"):
        door.ask(InstallRequest(name="new.tflite"), DoneReply)


def test_a_disarmed_door_says_who_did_it(door: Fmd) -> None:
    reply = door.ask(DisarmRequest(for_s=1.0, who=OWNER), StateReply)
    assert (reply.arming.armed, reply.arming.by) == (False, f"web page ({OWNER})")
    live = door.ask(LiveRequest(), LiveReply)
    assert live.arming == reply.arming


VIEWER = """
import sys
from pathlib import Path
from edge.page_messages import LiveReply, LiveRequest, LogRequest, LogReply, PictureReply, PictureRequest
from tests.edge.page_service.parts import PageClient
with PageClient(Path(sys.argv[1])) as client:
    client.ask(PictureRequest(), PictureReply)
    print("watching", flush=True)
    while True:
        client.ask(LiveRequest(), LiveReply)
        client.ask(LogRequest(), LogReply)
"""


def test_a_page_that_is_killed_and_a_crowd_of_clients_change_nothing_at_the_door(door: Fmd) -> None:
    viewer = subprocess.Popen([sys.executable, "-c", VIEWER, str(door.folder)], stdout=subprocess.PIPE, cwd=ROOT)
    assert viewer.stdout is not None
    assert viewer.stdout.readline() == b"watching\n"
    with ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            if client.connect_ex(str(door.folder / SOCKET)) == 0:
                client.send(b"\xff" * 50)
        with control.Client(door.folder) as operator:
            assert operator.ask(control.StateRequest(), StateReply).pid == door.process.pid
        viewer.kill()
        viewer.wait()
        viewer.stdout.close()
    before = door.pictures()
    wait_for(lambda: door.pictures() > before)
    assert door.process.poll() is None
