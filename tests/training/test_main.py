"""The command as people type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed; pip install '.[train]'")

from edge.errors import EXIT_KNOWN, EXIT_OK, EXIT_USAGE
from training import main


def test_help_needs_neither_tensorflow_nor_matplotlib() -> None:
    program = (
        "import sys\nfrom training import main\ntry:\n    main.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'tensorflow', 'keras', 'matplotlib', 'sklearn'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout


def test_without_a_command_the_help_names_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == EXIT_USAGE
    printed = capsys.readouterr().out
    assert [name for name in main.COMMANDS if name not in printed] == []


def test_a_typing_error_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["clasifier"])
    assert ended.value.code == EXIT_USAGE
    assert "did you mean classifier?" in capsys.readouterr().err


def test_measuring_needs_no_tensorflow() -> None:
    program = (
        "import sys\nfrom training import bench, card, evaluate, teacher, tracking\n"
        "sys.exit(bool({'tensorflow', 'keras', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from training import main
sys.exit(main.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("words", [["detector"], ["classifier"], ["papers", "--folders", "f"]])
def test_training_without_tensorflow_is_one_line(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", BLOCKED, *words, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_KNOWN
    assert done.stdout == ""
    assert done.stderr.startswith("error: training needs TensorFlow and Keras")
    assert done.stderr.endswith("in fmd's folder: pip install '.[train]'\n")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_evaluating_a_table_of_predictions(
    boxes_table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = tmp_path / "p.csv"
    predictions.write_text("image,xmin,ymin,xmax,ymax,score,label\n016.png,28,20,58,50,0.9,without_mask\n")
    out = tmp_path / "out"
    arguments = ["evaluate", "--boxes", str(boxes_table), "--predictions", str(predictions), "--out", str(out)]
    assert main.main(arguments) == EXIT_OK
    told = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert told["figures"]["recall"] == pytest.approx(1 / 16)
    assert told["split"] == "test"
    assert "right_side" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "--boxes", "BOXES", "--out", "OUT"], "--detector: is needed"),
        (["evaluate", "--boxes", "BOXES", "--detector", "none.tflite", "--out", "OUT"], "none.tflite: cannot read"),
        (["evaluate", "--boxes", "BOXES", "--split", "x", "--out", "OUT"], "--split x: no picture is in it"),
        (["evaluate", "--folders", "OUT", "--out", "OUT"], "no such folder"),
        (
            ["evaluate", "--boxes", "BOXES", "--predictions", "p.csv", "--min-score", "0.5", "--out", "OUT"],
            "--predictions: are scored as they stand",
        ),
        (["bench"], "nothing to time"),
        (["bench", "--detector", "x.tflite"], "--yunet: is needed"),
        (["card", "--bundle", "x", "--keras", "x", "--run", "x", "--out", "OUT"], "cannot read the model file"),
        (["boxes", "--folders", "FOLDERS", "--teacher", "x.onnx", "--out", "OUT"], "no such teacher"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str],
    words: str,
    boxes_table: Path,
    class_folders: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"BOXES": boxes_table, "FOLDERS": class_folders, "OUT": tmp_path / "out"}
    assert main.main([str(places.get(word, word)) for word in arguments]) == EXIT_KNOWN
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["detector", "--out", "x", "--epochs", "0"],
        ["detector", "--out", "x", "--learning-rate", "nan"],
        ["classifier", "--out", "x", "--size", "16"],
        ["classifier", "--out", "x", "--track", "mlflow"],
        ["evaluate", "--boxes", "b", "--out", "o", "--start-score", "1.5"],
        ["evaluate", "--boxes", "b", "--folders", "f", "--out", "o"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    assert ended.value.code == EXIT_USAGE
    assert "usage:" in capsys.readouterr().err


def test_training_needs_something_to_learn_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")
    out = str(tmp_path / "out")
    assert main.main(["classifier", "--out", out]) == EXIT_KNOWN
    assert main.main(["detector", "--out", out]) == EXIT_KNOWN
    assert main.main(["classifier", "--sigmoid", "--out", out]) == EXIT_KNOWN
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip()[:9] for line in told] == ["give --fo", "--boxes", "--sigmoid"]
