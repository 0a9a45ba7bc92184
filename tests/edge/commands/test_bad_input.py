"""Bad input through the real command: one clear line that names what is wrong, and exit code 1."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import pytest

from edge.inference.bundle import unpack
from edge.inference.picture_file import write_rgb
from tests.edge.parts import command, environment, fmd, texture, write_clip

MAKERS: dict[str, Callable[[Path, Path], object]] = {
    "cut.tflite": lambda path, model: path.write_bytes(model.read_bytes()[:100_000]),
    "bare.tflite": lambda path, model: path.write_bytes(unpack(model).flatbuffer),
    "edited.tflite": lambda path, model: path.write_bytes(flipped(model.read_bytes())),
    "pointer.tflite": lambda path, model: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
    "typo.toml": lambda path, model: path.write_text("[alert]\nled_pni = 5\n"),
    "broken.toml": lambda path, model: path.write_text("[alert\n"),
    "wrong.toml": lambda path, model: path.write_text('[alert]\nled_pin = "five"\ndriver = "gpiozero"\n'),
    "accept.toml": lambda path, model: path.write_text('[decide]\naccept = ["scarf"]\n'),
    "ok.mp4": lambda path, model: write_clip(path),
    "cut.mp4": lambda path, model: cut(write_clip(path)),
    "cut.avi": lambda path, model: cut(write_clip(path)),
    "text.mp4": lambda path, model: path.write_text("no video\n"),
    "empty.mp4": lambda path, model: path.write_bytes(b""),
    "notes.txt": lambda path, model: path.write_text("no video\n"),
    "empty": lambda path, model: path.mkdir(),
    "corrupt": lambda path, model: corrupt(path),
}


def flipped(data: bytes) -> bytes:
    """One bit in the middle of the flatbuffer."""
    return data[:500_000] + bytes([data[500_000] ^ 1]) + data[500_001:]


def cut(path: Path) -> None:
    """Two thirds of a video: an AVI stops in mid-frame, an MP4 loses the index at its end."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def corrupt(folder: Path) -> None:
    """A folder of pictures of which the second is none."""
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), texture(64, 64))
    (folder / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 and then nothing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, classifier_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for name, make in MAKERS.items():
        make(folder / name, classifier_path)
    return folder


CASES = {
    "a model cut short": ("verify cut.tflite", "cut.tflite: a TFLite file without a readable contract"),
    "a model without contract": ("verify bare.tflite", "bare.tflite: a TFLite file without a readable contract"),
    "a model whose hash is off": ("verify edited.tflite", "edited.tflite: the model is not the one its contract"),
    "a model that is a Git pointer": ("verify pointer.tflite", "pointer.tflite: not a TFLite file"),
    "a model that is not there": ("verify nowhere.tflite", "nowhere.tflite: cannot read the model file: No such"),
    "a damaged model in the settings": (
        "run --source ok.mp4 --set model.detector=edited.tflite",
        "edited.tflite: the model is not the one its contract",
    ),
    "settings with a typo": (
        "run --source ok.mp4 --config typo.toml",
        "typo.toml: unknown key alert.led_pni; did you mean led_pin?",
    ),
    "settings that are no TOML": ("run --config broken.toml", "broken.toml: not valid TOML: "),
    "settings of a wrong type": (
        "run --config wrong.toml",
        "wrong.toml: alert.led_pin: got 'five', expected a BCM number",
    ),
    "settings that are not there": ("run --config nowhere.toml", "nowhere.toml: cannot read the settings: No such"),
    "settings that cannot be read": ("run --config empty", "empty: cannot read the settings: Is a directory"),
    "a label the model lacks": ("run --source ok.mp4 --config accept.toml", "decide.accept: ['scarf']: no label"),
    "an assignment without a key": ("run --set led", "command line: --set led: expected section.key=value"),
    "a video without its index": ("run --source cut.mp4", "cut.mp4: not a video that OpenCV can read"),
    "a video that ends in mid-frame": ("run --source cut.avi", "cut.avi: ends after "),
    "a text named as a video": ("run --source text.mp4", "text.mp4: not a video that OpenCV can read"),
    "an empty video": ("run --source empty.mp4", "empty.mp4: not a video that OpenCV can read"),
    "a text as a source": ("run --source notes.txt", "notes.txt: not a video that OpenCV can read"),
    "a source that is not there": ("run --source nowhere.mp4", "camera.source: no such file or folder: nowhere.mp4"),
    "a source without a name": ("run --source=", "command line: camera.source: expected text of length >= 1"),
    "a camera that is not there": ("run --source /dev/video9", "camera.source: no device at /dev/video9 (found "),
    "a camera that is not there, with a next step": (
        "run --source /dev/video9",
        "camera.source: no device at /dev/video9 (found no /dev/video*); plug the camera in, or name another one or",
    ),
    "a Pi camera by a word": ("run --source picamera2:left", "camera.source: picamera2:left: got 'left'"),
    "an empty folder": ("run --source empty", "empty: no pictures in this folder"),
    "a corrupt picture in a folder": ("run --source corrupt", "corrupt/b.jpg: not a picture that OpenCV can read"),
    "a corrupt picture to predict": ("predict corrupt/b.jpg", "corrupt/b.jpg: not a picture that OpenCV can read"),
    "a corrupt picture among those to predict": ("predict corrupt", "corrupt: 1 of its pictures could not be read"),
    "an empty folder to predict": ("predict empty --csv out.csv", "empty: no pictures in this folder"),
    "a cut video to predict": ("predict cut.avi", "cut.avi: ends after "),
    "nothing to predict": ("predict nowhere", "nowhere: no such file or folder"),
    "a full disk under a CSV": ("predict corrupt/a.png --csv /dev/full", "/dev/full: No space left on device"),
    "a CSV into no folder": ("predict corrupt/a.png --csv no/out.csv", "no/out.csv: No such file or directory"),
    "a file where pictures should go": ("predict corrupt/a.png --annotate notes.txt", "notes.txt: File exists"),
    "a full disk under a video": (
        "run --source ok.mp4 --annotate /dev/full",
        "/dev/full: the video cannot be written",
    ),
    "a video into no folder": ("run --source ok.mp4 --annotate no/o.mp4", "no/o.mp4: the video cannot be written"),
    "a video over its own source": ("run --source ok.mp4 --annotate ok.mp4", "--annotate ok.mp4: the same file as"),
    "a folder as a model to verify": ("verify empty", "empty: cannot read the model file: Is a directory"),
    "a text to predict": ("predict notes.txt", "notes.txt: neither a picture nor a video that OpenCV can read"),
    "a CSV into no folder beside JSON": ("predict corrupt/a.png --json --csv no/o.csv", "no/o.csv: No such file"),
    "a clip that is not there, on a machine without pins": (
        "run --source nowhere.mp4 --set alert.driver=gpiozero",
        "camera.source: no such file or folder: nowhere.mp4",
    ),
    "a clip to replay that is not there": ("replay nowhere.mp4", "camera.source: no such file or folder: nowhere.mp4"),
    "an expectation that is not there": ("replay ok.mp4 --expect nowhere.toml", "nowhere.toml: cannot read the expec"),
    "an expectation that is none": ("replay ok.mp4 --expect typo.toml", "typo.toml: Object contains unknown field"),
    "an expectation into no folder": ("replay ok.mp4 --expect no/o.toml --write", "--expect no/o.toml: no folder no"),
    "a folder as an expectation to write": ("replay ok.mp4 --expect empty --write", "--expect empty: a folder, expec"),
    "a log of events that is not there": (
        "events --state nowhere",
        "nowhere: no such folder; name the state directory",
    ),
    "a model to install that is not there": (
        "model install nowhere.tflite --state s",
        "nowhere.tflite: cannot read the model file: No such file",
    ),
    "a model to install that is cut short": (
        "model install cut.tflite --state s",
        "cut.tflite: a TFLite file without a readable contract",
    ),
    "a text as a model to install": ("model install notes.txt --state s", "notes.txt: not a TFLite file (got 9 bytes"),
    "a text as a model to verify": ("verify notes.txt", "notes.txt: not a TFLite file (got 9 bytes"),
    "a text to restore": ("restore notes.txt --state nowhere", "notes.txt: damaged, cut off, or no backup of fmd"),
    "no earlier model": ("model rollback --state empty", "empty-models: no earlier classifier to go back to"),
    "outputs that no settings name": ("off --config typo.toml", "typo.toml: unknown key alert.led_pni"),
    "a card that is not there": ("flash nowhere --package x.deb", "nowhere: No such file or directory"),
    "a file where the demo should go": ("demo --out notes.txt", "notes.txt: a file, expected a folder"),
    "a demo below a file": (
        "demo --out notes.txt/a",
        "notes.txt/a: Not a directory; name a folder that you may",
    ),
}


def assert_one_line(found: subprocess.CompletedProcess[str], said: str) -> None:
    complaints = [line for line in found.stderr.splitlines() if line.startswith(("error", "unexpected"))]
    assert len(complaints) == 1, found.stderr
    assert complaints[0].startswith(f"error: {said}")
    assert found.stderr.splitlines()[-1] == complaints[0]
    assert "Traceback" not in found.stderr
    assert "WARN" not in found.stderr
    assert found.returncode == 1


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_code_1(folder: Path, case: str) -> None:
    arguments, said = CASES[case]
    assert_one_line(fmd(*arguments.split(), cwd=folder), said)


def test_pictures_whose_names_are_not_utf_8_are_evaluated(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xfc")
    folder.mkdir()
    write_rgb(folder / os.fsdecode(b"T\xfcr.png"), texture(64, 64))
    found = fmd("predict", folder, "--csv", folder / "a.csv", "--annotate", folder / "out", "--json")
    assert (found.returncode, found.stdout[:24]) == (0, r'{"image": "T\udcfcr.png"'), found.stderr
    assert len(list((folder / "out").glob(os.fsdecode(b"T\xfcr*.png")))) == 1


@pytest.mark.parametrize("option", ["--source", "--annotate", "--set=model.detector"])
def test_names_that_are_not_utf_8_are_refused_where_a_library_opens_them(folder: Path, option: str) -> None:
    bad = folder / os.fsdecode(b"\xfc.mp4")
    bad.write_bytes((folder / "ok.mp4").read_bytes())
    words: dict[str, tuple[str | Path, ...]] = {
        "--source": ("--source", bad),
        "--annotate": ("--source", "ok.mp4", "--annotate", folder / os.fsdecode(b"new\xfc.mp4")),
        "--set=model.detector": ("--source", "ok.mp4", "--set", f"model.detector={bad}"),
    }
    found = fmd("run", *words[option], "--set", "alert.driver=console", cwd=folder)
    assert_one_line(found, str(folder))
    assert "the name is not valid UTF-8" in found.stderr


def test_a_mistyped_source_does_not_empty_the_csv_of_an_earlier_run(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "out.csv"
    kept.write_text("an hour's work\n")
    assert_one_line(fmd("predict", "nowhere", "--csv", kept, cwd=folder), "nowhere: no such file or folder")
    assert kept.read_text() == "an hour's work\n"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("run --source mine.mp4 --annotate mine.mp4", "--annotate mine.mp4"),
        ("run --source file:mine.mp4 --annotate ./mine.mp4", "--annotate mine.mp4"),
        ("run --config two.toml --annotate out.mp4", "--annotate out-b.mp4"),
        ("replay mine.mp4 --expect link.mp4 --write", "--expect link.mp4"),
        ("replay pictures --expect pictures/a.png --write", "--expect pictures/a.png"),
        ("replay mine.mp4 --config two.toml --expect two.toml --write", "--expect two.toml"),
        ("predict mine.mp4 --csv mine.mp4", "--csv mine.mp4"),
        ("predict mine.mp4 --config two.toml --csv two.toml", "--csv two.toml"),
        ("predict pictures --csv pictures/a.png", "--csv pictures/a.png"),
        ("predict pictures --annotate pictures", "--annotate pictures"),
        ("predict pictures/a.png --annotate ./pictures", "--annotate pictures"),
    ],
)
def test_nothing_is_written_over_what_is_read(tmp_path: Path, arguments: str, option: str) -> None:
    clips = [write_clip(tmp_path / name) for name in ("mine.mp4", "out-b.mp4")]
    (tmp_path / "link.mp4").hardlink_to(clips[0])
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), texture(64, 64))
    (tmp_path / "two.toml").write_text('[camera]\nsources = { a = "mine.mp4", b = "out-b.mp4" }\n')
    files = [*clips, tmp_path / "pictures" / "a.png", tmp_path / "two.toml"]
    before = [file.read_bytes() for file in files]
    assert_one_line(fmd(*arguments.split(), cwd=tmp_path), f"{option}: the same file as ")
    assert [file.read_bytes() for file in files] == before


def test_a_text_as_a_model_needs_no_library_of_another_format(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not installed')\n")
    (tmp_path / "state").mkdir()
    words = command("model", "install", "notes.txt", "--state", str(tmp_path / "state"))
    without = environment(PYTHONPATH=str(tmp_path))
    found = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, env=without)
    assert_one_line(found, "notes.txt: not a TFLite file (got 9 bytes")


@pytest.mark.parametrize("words", ["events", "report", "tune decide.error_rate=0.01", "backup new.fmd"])
def test_a_machine_without_the_service_is_named(folder: Path, words: str) -> None:
    if Path("/var/lib/fmd").exists():
        pytest.skip("this machine has the service")
    plain = {key: value for key, value in environment().items() if key != "STATE_DIRECTORY"}
    found = subprocess.run(command(*words.split()), capture_output=True, text=True, check=False, cwd=folder, env=plain)
    assert_one_line(
        found, "/var/lib/fmd: no such folder; this machine has no fmd service: run the command on the board"
    )
    assert "--state FOLDER" in found.stderr


def test_pins_that_are_not_there(folder: Path) -> None:
    """No simulated pins: this machine has none, or its user may not have them."""
    if any(Path("/dev").glob("gpiochip*")) or Path("/proc/device-tree/model").exists():
        pytest.skip("this machine has pins")
    plain = {key: value for key, value in environment().items() if key != "GPIOZERO_PIN_FACTORY"}
    found = subprocess.run(
        command("run", "--source", "/dev/video9"), capture_output=True, text=True, check=False, cwd=folder, env=plain
    )
    assert_one_line(
        found, 'alert.led_pin: got 17, but this machine has no pins; set alert.driver = "console" in the settings'
    )


def test_a_clip_needs_no_pins_on_a_pc_and_a_missing_clip_is_reported_before_them(folder: Path) -> None:
    if any(Path("/dev").glob("gpiochip*")) or Path("/proc/device-tree/model").exists():
        pytest.skip("this machine has pins")
    plain = {key: value for key, value in environment().items() if key != "GPIOZERO_PIN_FACTORY"}

    def run(source: str) -> subprocess.CompletedProcess[str]:
        words = command("run", "--source", source)
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, env=plain)

    played = run("ok.mp4")
    assert played.returncode == 0, played.stderr
    assert "a PC has no pins, so led (17) is on the console only" in played.stderr
    assert_one_line(run("nosuch.mp4"), "camera.source: no such file or folder: nosuch.mp4")


@pytest.mark.parametrize("words", ["predict corrupt/a.png", "predict corrupt/a.png --json"])
def test_a_full_disk_under_standard_output(folder: Path, words: str) -> None:
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            command(*words.split()),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=folder,
            env=environment(),
        )
    assert_one_line(found, "standard output: No space left on device")


def test_a_closed_standard_output_is_no_error(folder: Path) -> None:
    found = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("predict", "corrupt/a.png")],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=folder,
        env=environment(),
    )
    assert found.returncode == 0, found.stderr


def test_a_watch_goes_on_where_its_lines_cannot_be_printed(folder: Path) -> None:
    """The built-in scene's alarm comes, is not printed, and goes off again; the end says what was lost."""
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            command("run", "--source", "doorway", "--set", "alert.driver=console"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=folder,
            env=environment(PYTHONUNBUFFERED=""),
        )
    assert found.stderr.count("standard output: No space left on device; watching goes on without it") == 1
    assert "passages: 1 (1 with a violation" in found.stderr
    assert_one_line(found, "standard output: No space left on device")


@pytest.mark.parametrize("words", ["config", "config --json"])
def test_a_full_disk_under_more_than_standard_output_buffers(folder: Path, words: str) -> None:
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            command(*words.split()), stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=folder
        )
    assert_one_line(found, "standard output: No space left on device")


def test_a_full_disk_under_events(folder: Path, tmp_path: Path) -> None:
    assert fmd("run", "--source", "ok.mp4", "--state", tmp_path, cwd=folder).returncode == 0
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            command("events", "--state", str(tmp_path)),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(PYTHONUNBUFFERED="1"),
        )
    assert_one_line(found, "standard output: No space left on device")


@pytest.fixture
def full_soon(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield small
    subprocess.run(["umount", str(small)], check=True)


def test_a_disk_that_fills_up_under_a_video(folder: Path, full_soon: Path) -> None:
    found = fmd("run", "--source", "ok.mp4", "--annotate", full_soon / "o.mp4", cwd=folder)
    assert_one_line(found, f"{full_soon}/o.mp4: only ")
    assert found.stderr.endswith("make room or name another folder, and run the command again\n")
    assert re.search(r"frames are in the video; it has 0\.1 MB, and 0\.0 MB are free; ", found.stderr)


def test_a_disk_that_is_full_under_the_record(folder: Path, full_soon: Path) -> None:
    (full_soon / "state").mkdir()
    with suppress(OSError):
        (full_soon / "rest").write_bytes(bytes(200_000))
    found = fmd("run", "--source", "ok.mp4", "--state", full_soon / "state", cwd=folder)
    assert found.returncode == 0, found.stderr
    assert re.search(r"record\.db: [0-9]+ rows are lost: the last batch could not be written; ", found.stderr)


def test_a_disk_that_fills_up_under_pictures(folder: Path, full_soon: Path) -> None:
    found = fmd("predict", "ok.mp4", "--annotate", full_soon, cwd=folder)
    assert_one_line(found, f"{full_soon}/ok.mp4-")


FOREIGN = {
    "backup": ("backup notes.txt", "notes.txt", "a backup of fmd"),
    "report as HTML": ("report --html page.html", "--html page.html", "a report of fmd"),
    "report as CSV": ("report --csv list.csv", "--csv list.csv", "a table of fmd report"),
    "curves": ("tune decide.error_rate=0.01..0.1 --html page.html", "--html page.html", "a report of fmd"),
    "predictions": ("predict a.png --csv list.csv", "--csv list.csv", "a table of fmd predict"),
    "marked pictures": ("predict a.png --annotate marked", "--annotate marked/a.png", "a picture that fmd has marked"),
    "marked pictures of a clip": (
        "predict ok.mp4 --annotate marked",
        "--annotate marked/ok.mp4-3.png",
        "a picture that fmd has marked",
    ),
    "a video": ("run --source ok.mp4 --annotate mine.webm", "--annotate mine.webm", "a video of fmd"),
    "an MP4 video": ("run --source ok.mp4 --annotate mine.mp4", "--annotate mine.mp4", "a video of fmd"),
    "the demo's video": ("demo --out .", "demo.webm", "a video of fmd"),
    "the demo's contact sheet": ("demo --out marked", "marked/contact-sheet.png", "a picture of fmd"),
    "an expectation": ("replay ok.mp4 --expect notes.txt --write", "--expect notes.txt", "an expectation of fmd"),
}


@pytest.fixture(scope="module")
def of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a user under the names that a command is about to write."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "marked").mkdir()
    write_clip(folder / "ok.mp4")
    for name in ("a.png", "marked/a.png", "marked/ok.mp4-3.png", "marked/contact-sheet.png"):
        write_rgb(folder / name, texture(64, 64))
    (folder / "page.html").write_text("<!DOCTYPE html>\n<html><title>mine</title></html>\n")
    (folder / "list.csv").write_text("name,size\na,1\n")
    for name in ("notes.txt", "mine.webm", "mine.mp4", "demo.webm"):
        (folder / name).write_text("an hour's work\n")
    return folder


@pytest.mark.parametrize("case", FOREIGN)
def test_a_file_that_fmd_did_not_write_is_not_replaced(of_the_user: Path, case: str) -> None:
    arguments, named, kind = FOREIGN[case]
    before = {file: file.read_bytes() for file in of_the_user.rglob("*") if file.is_file()}
    found = fmd(*arguments.split(), cwd=of_the_user)
    assert_one_line(found, f"{named}: exists and is not {kind}; choose another name or delete it")
    assert {file: file.read_bytes() for file in of_the_user.rglob("*") if file.is_file()} == before


def test_the_earlier_output_of_the_same_command_is_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), texture(64, 64))
    (tmp_path / "empty.csv").touch()
    predict = ("predict", "pictures", "--csv", "empty.csv", "--annotate", "marked")
    replay = ("replay", folder / "ok.mp4", "--expect", "e.toml", "--write")
    for words in (predict, predict, replay, replay):
        assert fmd(*words, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("words", ["backup /dev/null", "report --html /dev/null", "report --csv /dev/null"])
def test_a_device_is_not_replaced_by_a_file(folder: Path, words: str) -> None:
    found = fmd(*words.split(), cwd=folder)
    assert found.stderr.endswith(" /dev/null: a device or pipe, expected a file\n")
    assert Path("/dev/null").is_char_device()
