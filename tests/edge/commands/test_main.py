"""The real command in its own process: what it prints, and its exit code."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.commands import main
from edge.reporting.predictor import COLUMNS
from tests.edge.parts import ROOT, command, environment, fmd, texture, write_clip

PATIENCE_S = 60.0

STAND_IN = '''
"""picamera2 as the command finds it: pictures of noise, about 20 per second; writes the history of the pins at exit."""
import atexit, json, os, pathlib, time
from edge.drivers import fake_picamera2
from tests.edge.parts import texture

class Picamera2(fake_picamera2.Picamera2):
    def capture_request(self, wait=None):
        left = int(os.environ.get("FRAMES", 10**9))
        if len(self.requests) >= left:
            time.sleep(3600)  # hangs, whatever time-out it was given
        time.sleep(0.05)
        self.requests.append(None)
        return fake_picamera2.Request(texture(240, 320), self.configuration)

    def configure(self, configuration):
        super().configure(configuration)
        self.configuration = configuration

@atexit.register
def write_history():
    from gpiozero import Device
    states = {n: [s.state for s in Device.pin_factory.pin(n).states] for n in (17, 27)}
    pathlib.Path(os.environ["PINS"]).write_text(json.dumps(states))
'''


@pytest.fixture
def live(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``picamera2`` is the stand-in."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "picamera2.py").write_text(STAND_IN)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PINS": str(tmp_path / "pins.json")}


@contextmanager
def running(*arguments: str | Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The real command under way; killed at the end if it still is."""
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
        # A shell starts what it puts in the background with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def systemd(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(PATIENCE_S)
        listening.bind(str(path))
        yield listening


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_service_from_start_to_signal(
    tmp_path: Path, live: dict[str, str], number: signal.Signals, code: int
) -> None:
    with (
        systemd(tmp_path / "notify") as listening,
        running("run", "--source", "picamera2", NOTIFY_SOCKET=str(tmp_path / "notify"), **live) as process,
    ):
        assert listening.recv(4096).startswith(b"READY=1")
        assert listening.recv(4096) == b"WATCHDOG=1"
        process.send_signal(number)
        said = b""
        while said != b"STOPPING=1":
            said = listening.recv(4096)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    assert errors.splitlines()[-2:] == [
        "stopped: a signal asked for it",
        "passages: 0 (0 with a violation, 0 compliant, 0 unsure)",
    ]
    for history in json.loads(Path(live["PINS"]).read_text()).values():
        assert history[-1] is False


def test_a_camera_that_hangs_is_reported_and_ends_the_process(live: dict[str, str]) -> None:
    """Its read never returns; the process ends nevertheless, and systemd starts it again."""
    found = fmd(
        "run", "--source", "picamera2", "--set", "camera.stall_s=0.3", "--set", "camera.give_up_s=1", FRAMES="3", **live
    )
    assert found.returncode == 1
    told = "the camera gave no picture for 0.3 s; check its cable and power"
    assert found.stderr.splitlines()[-2:] == [f"camera stalled: {told}", f"error: {told}"]


def test_ctrl_c_while_predicting_is_one_line_and_130(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.avi", frames=2000)
    with running("predict", clip, "--csv", tmp_path / "out.csv") as process:
        assert process.stderr is not None
        while "golden" not in process.stderr.readline():  # models loaded, the work begins
            assert process.poll() is None
        assert "golden" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors


def test_a_clip_is_watched_to_its_end(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    found = fmd("run", "--source", clip, "--annotate", tmp_path / "seen.mp4", "--timings")
    assert found.returncode == 0, found.stderr
    assert found.stderr.splitlines()[-2:] == [
        "stopped: the source has ended",
        "passages: 0 (0 with a violation, 0 compliant, 0 unsure)",
    ]
    assert found.stdout.splitlines()[0].endswith("of 30 frames")
    assert found.stdout.splitlines()[1].split()[:2] == ["watch", "30"]
    assert cv2.VideoCapture(str(tmp_path / "seen.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 30


def test_the_libraries_underneath_keep_quiet(tmp_path: Path) -> None:
    found = fmd("run", "--source", write_clip(tmp_path / "clip.mp4", frames=3))
    assert len(found.stderr.splitlines()) == 4
    assert "XNNPACK" not in found.stderr
    assert "WARN" not in found.stderr


def test_predict_writes_a_csv_with_its_header(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), texture(64, 64))
    out = tmp_path / "out.csv"
    found = fmd("predict", tmp_path / "a.png", "--csv", out, "--annotate", tmp_path / "seen")
    assert found.returncode == 0, found.stderr
    with out.open(newline="") as handle:
        header = next(csv.reader(handle))
    assert header[:7] == ["image", "xmin", "ymin", "xmax", "ymax", "score", "label"]
    assert header[7:] == ["p_with_mask", "p_without_mask", "p_with_incorrect_mask"]
    assert cv2.imread(str(tmp_path / "seen" / "a.png")).shape == (64, 64, 3)


def test_predict_prints_a_line_of_json_per_picture_beside_the_csv_if_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), texture(64, 64))
    alone = fmd("predict", tmp_path, "--json")
    both = fmd("predict", tmp_path, "--json", "--csv", tmp_path / "out.csv")
    assert [json.loads(line)["image"] for line in alone.stdout.splitlines()] == ["a.png", "b.png"]
    assert both.stdout == alone.stdout
    assert (tmp_path / "out.csv").read_text().startswith("image,xmin,")


def test_predict_goes_on_past_a_bad_picture_and_says_so_at_the_end(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(shown / name), texture(64, 64))
    (shown / "b.png").write_bytes(b"no picture")
    found = fmd("predict", shown, "--csv", tmp_path / "out.csv", "--annotate", tmp_path / "seen")
    assert found.returncode == 1
    assert f"left out {shown / 'b.png'}: not a picture" in found.stderr
    assert found.stderr.splitlines()[-1].startswith(f"error: {shown}: 1 of its pictures could not be read")
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["a.png", "c.png"]


def test_predict_names_what_it_skips_and_keeps_names_apart(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    for name in ("a.png", "a.jpg", "b.tiff", "c.ppm", "d.gif"):
        shown.mkdir(exist_ok=True)
        cv2.imwrite(str(shown / name), texture(64, 64))
    animation = cv2.Animation()
    animation.frames, animation.durations = [texture(64, 64), texture(64, 64, 1)], np.array([100, 100], np.int32)
    cv2.imwriteanimation(str(shown / "e.webp"), animation)
    (shown / "notes").write_text("no picture")
    found = fmd("predict", shown, "--json", "--annotate", tmp_path / "seen")
    assert found.returncode == 0, found.stderr
    names = ["a.jpg", "a.png", "b.tiff", "c.ppm", "d.gif", "e.webp"]
    assert [json.loads(line)["image"] for line in found.stdout.splitlines()] == names
    assert f"{shown}: skipped notes: no picture by the suffix of the name" in found.stderr
    assert f"{shown / 'e.webp'}: holds several pictures; only the first one is evaluated" in found.stderr
    assert "d.gif: holds" not in found.stderr
    wanted = ["a.jpg.png", "a.png", "b.tiff.png", "c.ppm.png", "d.gif.png", "e.webp.png"]
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == wanted


def test_predict_checks_its_csv_before_it_loads_models(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), texture(64, 64))
    words = ["predict", tmp_path / "a.png", "--set", "model.detector=nowhere.tflite", "--csv"]
    assert "no/out.csv: No such file" in fmd(*words, tmp_path / "no" / "out.csv").stderr
    earlier = ",".join(COLUMNS) + "\nof an earlier run\n"
    (tmp_path / "old.csv").write_text(earlier)
    assert "nowhere.tflite: cannot read the model file" in fmd(*words, tmp_path / "old.csv").stderr
    assert (tmp_path / "old.csv").read_text() == earlier
    fmd(*words, tmp_path / "new.csv")
    assert not (tmp_path / "new.csv").exists()


def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    """``fmd predict ... | head -1``"""
    clip = write_clip(tmp_path / "clip.avi", frames=3)
    with running("predict", clip) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(PATIENCE_S)
    assert process.returncode == 0
    assert "error" not in errors
    assert "Traceback" not in errors


def test_verify_prints_the_contract_and_that_it_holds(classifier_path: Path) -> None:
    found = fmd("verify", classifier_path)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["task"] == "classifier"  # nothing else, so that programs can read it
    assert "golden inputs are right on" in found.stderr


def test_version_is_that_of_the_package() -> None:
    found = fmd("--version")
    assert (found.returncode, found.stdout) == (0, f"fmd {importlib.metadata.version('fmd-edge')}\n")


@pytest.mark.parametrize("words", [[], ["model"]], ids=["fmd", "fmd model"])
def test_a_command_alone_prints_its_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is an error: a script whose variable is empty must not continue as if it had run a command."""
    assert main.main(words) == 2
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: {' '.join(['fmd', *words])} [-h]")
    assert {"install", "rollback"} <= set(said.out.split()) if words else "\n    run " in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rnu", "fmd: error: COMMAND: got 'rnu', expected one of run, demo, "),
        ("rnu", "; did you mean run?"),
        (
            "model instal x",
            "fmd model: error: WHAT: got 'instal', expected one of install, list, rollback; did you mean ",
        ),
        ("model rollback detecter", "got 'detecter', expected one of detector, classifier; did you mean detector?"),
        ("run --tmings", "fmd run: error: unknown option --tmings; did you mean --timings?"),
        ("predict --anotate=x y", "fmd predict: error: unknown option --anotate=x; did you mean --annotate?"),
        ("model install m --seconds=-5", "argument --seconds: got '-5', expected seconds from 0 to 86400"),
        ("model install m --allow nan", "argument --allow: got 'nan', expected a share from 0 to 1"),
        ("model install m --seconds soon", "argument --seconds: got 'soon', expected seconds from 0 to 86400"),
        ("verify a b", "fmd verify: error: unexpected argument b\n"),
        ("run a.mp4", "fmd run: error: unexpected argument a.mp4; a camera or a clip needs --source in front\n"),
        ("run --qqqqqq", "fmd run: error: unknown option --qqqqqq\n"),
        ("--verbsoe off", "fmd: error: unknown option --verbsoe; did you mean --verbose?"),
    ],
)
def test_wrong_words_are_answered_with_what_is_expected_and_a_likely_name(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(words.split())
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", main.COMMANDS, ids=lambda command: command.name)
def test_help_starts_with_a_sentence_and_ends_with_examples_that_are_understood(
    command: main.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main([command.name, "--help"])
    said = capsys.readouterr().out
    assert caught.value.code == 0
    assert re.search(r"\n\n[A-Z][^.]{15,110}\.\n\n", said), "no sentence"
    lines = said.partition("\nexamples:\n")[2].splitlines()
    assert lines
    parser = main.make_parser()
    parser.load()
    for line in lines:
        # The command stands before its explanation, two spaces or a pipe apart.
        words = shlex.split(re.split(r"\s{2,}|\s\|\s", line.strip())[0])
        assert parser.parse_args(words[words.index("fmd") + 1 :]).command == command.name


def test_a_reader_that_leaves_the_completion_script_is_no_error() -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    with running("--print-completion", "bash") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(PATIENCE_S) == 0
    assert errors == ""


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_completion_script_knows_commands_and_their_options(shell: str) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    found = fmd("--print-completion", shell)
    assert (found.returncode, found.stderr) == (0, "")
    for word in ("predict", "rollback", "--annotate", "--wifi-country"):
        assert word in found.stdout
    if checked := shutil.which(shell):
        subprocess.run([checked, "-n"], input=found.stdout, text=True, check=True)


def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    (tmp_path / "fmd.bash").write_text(fmd("--print-completion", "bash").stdout)
    (tmp_path / "clip.mp4").touch()
    complete = r"""
        source ./fmd.bash
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        $(complete -p fmd | sed "s/.*-F \([^ ]*\).*/\1/") fmd "${@: -1:1}" "${@: -2:1}"
        echo "${COMPREPLY[@]}"
    """
    for words, wanted in [
        (["pre"], "predict"),
        (["model", "roll"], "rollback"),
        (["run", "--tim"], "--timings"),
        (["predict", "cl"], "clip.mp4"),
    ]:
        found = subprocess.run(
            [bash, "-c", complete, "bash", "fmd", *words], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert (found.stdout.split(), found.stderr) == ([wanted], "")


def test_completion_without_shtab_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError('not here')\n")
    found = fmd("--print-completion", "bash", PYTHONPATH=str(tmp_path))
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "error: --print-completion needs shtab: pip install 'fmd-edge[completion]'\n"


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--nonsense"], ["predict"], ["verify"]])
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert caught.value.code == 2
    assert "usage: fmd" in capsys.readouterr().err


def test_verbose_may_stand_before_or_after_the_command(tmp_path: Path) -> None:
    for arguments in (["--verbose", "verify"], ["verify", "--verbose"]):
        found = fmd(*arguments, tmp_path / "nowhere.tflite")
        assert found.returncode == 1
        assert found.stderr.startswith("error: ")


def test_a_bug_is_code_3_with_its_traceback_under_verbose(tmp_path: Path, live: dict[str, str]) -> None:
    """A camera module with a bug stands for any other."""
    Path(live["PYTHONPATH"].split(os.pathsep)[0], "picamera2.py").write_text("Picamera2 = None\n")
    quiet = fmd("run", "--source", "picamera2", **live)
    assert quiet.returncode == 3
    assert quiet.stderr.splitlines()[-1].startswith("unexpected error, please report it: AttributeError: ")
    assert "Traceback" not in quiet.stderr
    loud = fmd("run", "--verbose", "--source", "picamera2", **live)
    assert loud.returncode == 3
    assert "Traceback" in loud.stderr


def test_a_damaged_installation_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    found = fmd("predict", tmp_path / "x.png", PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    assert found.stderr.startswith("error: libGL.so.1: cannot open shared object file; ")
    assert found.stderr.count("\n") == 1


def test_it_runs_as_a_module_too() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "edge.commands.main", "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert found.returncode == 0
    for name in ("run", "demo", "predict", "verify"):
        assert f"\n    {name} " in found.stdout


def test_off_leaves_both_pins_off() -> None:
    found = fmd("off", "--set", "alert.driver=console")
    assert (found.returncode, found.stdout) == (0, "")


def test_run_check_prints_that_settings_and_models_are_fit() -> None:
    found = fmd("run", "--check")
    assert (found.returncode, found.stdout) == (
        0,
        "settings and models are fit to run (camera and pins were not opened)\n",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[alert]\nled_pin = 99\n", "alert.led_pin: expected"),
        ('[model]\nclassifier = "none.tflite"\n', "cannot read the model file"),
        ('[camera]\nsource = "nowhere.mp4"\n', "no such file or folder: nowhere.mp4"),
        ('[decide]\naccept = ["scarf"]\n', "no label of this model"),
    ],
)
def test_run_check_refuses_what_run_would(tmp_path: Path, text: str, said: str) -> None:
    settings = tmp_path / "fmd.toml"
    settings.write_text(text)
    found = fmd("run", "--check", "--config", settings)
    assert found.returncode == 1
    assert said in found.stderr.splitlines()[-1]


def test_a_line_without_a_time_does_not_end_the_events(tmp_path: Path) -> None:
    lines = ['{"n": 1}', '{"n": 2, "at": 5, "event": null}', '{"n": 3, "at": "x", "event": "a", "b": "\\u001b[2J\\n"}']
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    found = fmd("events", "--state", tmp_path)
    assert found.returncode == 0
    assert found.stdout.splitlines()[-1].startswith("x  a ")
    assert "\x1b" not in found.stdout


def test_a_service_keeps_its_events_and_they_can_be_printed(tmp_path: Path) -> None:
    found = fmd("run", "--source", write_clip(tmp_path / "clip.mp4", frames=3), STATE_DIRECTORY=str(tmp_path))
    assert found.returncode == 0, found.stderr
    told = fmd("events", "--state", tmp_path, TZ="Asia/Kolkata")
    assert [line.split()[1] for line in told.stdout.splitlines()] == ["started", "stopped"]
    in_utc = fmd("events", "--state", tmp_path, "--utc", TZ="Asia/Kolkata")
    local, utc = (line.stdout.split()[0] for line in (told, in_utc))
    assert (local[-6:], utc[-6:]) == ("+05:30", "+00:00")
    assert datetime.fromisoformat(local) == datetime.fromisoformat(utc)
    assert [json.loads(line)["n"] for line in fmd("events", "--json", "--state", tmp_path).stdout.splitlines()] == [
        1,
        2,
    ]


def test_every_decision_is_printed_recorded_and_counted_once(tmp_path: Path) -> None:
    """Through the real command: several listeners hear of a decision, each of them once."""
    pytest.importorskip("skimage", reason="scikit-image is not installed: it has the scene's portrait")
    found = fmd("run", "--source", "doorway", "--set", "alert.driver=console", STATE_DIRECTORY=str(tmp_path))
    assert found.returncode == 0, found.stderr
    printed = [line for line in found.stdout.splitlines() if "person 1" in line]
    events = [json.loads(line) for line in fmd("events", "--json", "--state", tmp_path).stdout.splitlines()]
    decisions = [event["change"] for event in events if event["event"] == "decision"]
    assert decisions == ["decided", "revised", "left"]
    assert len(printed) == len(decisions)
    assert "passages: 1 (1 with a violation, 0 compliant, 0 unsure)" in found.stderr


def test_what_a_live_camera_showed_plays_as_long_as_it_took(tmp_path: Path) -> None:
    """At the camera's speed, however its first frames came."""
    clip = write_clip(tmp_path / "clip.avi", frames=40, fps=20)
    seen = tmp_path / "seen.mp4"
    found = fmd("run", "--source", clip, "--set", "camera.live=true", "--set", "camera.fps=10", "--annotate", seen)
    assert found.returncode == 0, found.stderr
    video = cv2.VideoCapture(str(seen))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    assert 15 <= video.get(cv2.CAP_PROP_FRAME_COUNT) <= 25


def scraped(port: int) -> bool:
    """Return whether metrics are served on ``port`` before long."""
    for _ in range(int(PATIENCE_S / 0.1)):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
                return b"fmd_frames_total" in answer.read()
        except OSError:
            threading.Event().wait(0.1)
    return False


def test_a_reload_reaches_receivers_and_says_which_settings_it_does_not_reach(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = tmp_path / "fmd.toml"
    settings.write_text(f'[camera]\nsource = "{write_clip(tmp_path / "clip.avi")}"\nloop = true\n')
    with (
        systemd(tmp_path / "notify") as listening,
        running("run", "--config", settings, NOTIFY_SOCKET=str(tmp_path / "notify")) as process,
    ):
        assert listening.recv(4096).startswith(b"READY=1")
        settings.write_text(settings.read_text() + f"[record]\nkeep = false\n[metrics]\nport = {port}\n")
        process.send_signal(signal.SIGHUP)
        while not listening.recv(4096).startswith(b"READY=1"):
            """The first frame with the new settings."""
        assert scraped(port)
        process.send_signal(signal.SIGTERM)
        said = b""
        while said != b"STOPPING=1":
            said = listening.recv(4096)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert "changed settings under [record] and [report] take effect at the next restart" in errors
    assert "settings read again" in errors
