"""Every option of fmd-convert, once: its field, flag, help and default. The command line and the report read these."""

# ruff: noqa: RUF009 (_option returns a dataclass field)
from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from converter.scaling import SCALINGS
from edge.stages.classify import CROP_MARGIN

SCHEMES = {
    "int8": "weights and activations in 8 bits, bytes in and out: smallest and fastest on an Arm core",
    "dynamic": "weights in 8 bits, arithmetic in float: small, slower than int8, no calibration",
    "float16": "weights in 16 bits, arithmetic in float: half the size, answers as the Keras model's",
    "float32": "nothing is rounded: as large and as slow as the Keras model, and as exact",
}
"""What each scheme does, smallest first; ``auto`` tries them in this order."""
CHECKS = {
    "order": "another order of the labels is clearly better on your pictures",
    "scaling": "another pixel scaling or colour order is clearly better on your pictures",
    "constant": "the model almost always gives the same answer",
    "chance": "the model is near chance level on your pictures",
}
"""Reasons for which a model is refused although the conversion is exact; ``--accept`` overrides one."""

OUTPUT, MEANING, PICTURES, GATE, CODE = "output", "meaning", "pictures", "gate", "code"
TITLES = {
    MEANING: "meaning of input and output (found out where omitted)",
    PICTURES: "pictures",
    GATE: "gate (shares, 0 to 1)",
    CODE: "trust",
}

Chosen = TypeVar("Chosen")


def _option(default: Any, flags: str, help_: str, group: str, **how: Any) -> Any:
    """Dataclass field that is an option; ``how`` goes to argparse."""
    return field(default=default, metadata={"flags": flags.split(), "help": help_, "group": group, "how": how})


def names(text: str) -> tuple[str, ...]:
    """Comma-separated names."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def size(text: str) -> tuple[int, int]:
    """``224`` or ``HEIGHTxWIDTH`` as (height, width) in pixels."""
    height, cross, width = text.lower().partition("x")
    if not height.isdigit() or (cross and not width.isdigit()) or not 8 <= int(height) <= 4096:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number of pixels or HEIGHTxWIDTH, such as 224")
    return int(height), int(width or height)


@dataclass(frozen=True, slots=True)
class Gate:
    """What a converted model must reach. Shares are 0..1; recall drops count only downwards."""

    agreement: float = _option(0.995, "--agreement", "minimum share of equal labels (default %(default)s)", GATE)
    dangerous_recall_drop: float = _option(
        0.002, "--bare-recall-drop", "maximum loss of recall of faces without a mask (default %(default)s)", GATE
    )
    recall_drop: float = _option(
        0.005, "--recall-drop", "maximum loss of recall of any label (default %(default)s)", GATE
    )
    mean_difference: float = _option(
        0.02, "--mean-difference", "maximum mean difference of probabilities (default %(default)s)", GATE
    )
    faces: float = _option(0.95, "--faces", "of a detector: minimum share of equal faces (default %(default)s)", GATE)


@dataclass(frozen=True, slots=True)
class Options:
    """How to convert. Everything omitted is found out or has the default that suits most.

    ``proof`` None holds back as many pictures as make the gate meaningful (see :func:`converter.calibrate.gather`).
    """

    output: Path | None = _option(None, "-o --output", "file to write (default: the model's name, .tflite)", OUTPUT)
    force: bool = _option(False, "--force", "replace the file and its report if they exist", OUTPUT)
    scheme: str = _option(
        "auto",
        "--scheme",
        "default %(default)s: the smallest that passes the gate; without --calibration none that needs pictures",
        OUTPUT,
        choices=(*SCHEMES, "auto"),
    )
    golden: Literal["held-back", "drawn"] = _option(
        "held-back",
        "--golden",
        "pictures that travel in the file: of the calibration set, or drawn by code (default %(default)s)",
        OUTPUT,
        choices=("held-back", "drawn"),
    )
    explain: bool = _option(False, "--explain", "also name the layers that lose most", OUTPUT)
    also: str = _option(
        "", "--also", "also write ONNX for TensorRT: trtexec --onnx=F --saveEngine=E", OUTPUT, choices=("onnx",)
    )
    heatmap: bool = _option(False, "--heatmap", "a second output that shows which part of the picture decided", OUTPUT)
    report: bool = _option(True, "--no-report", "write no report.html and report.json", OUTPUT, action="store_false")
    labels: tuple[str, ...] = _option(
        (), "--labels", "names of the outputs, in their order", MEANING, type=names, metavar="A,B,C"
    )
    compliant: str = _option("", "--compliant", "the label of a rightly worn mask", MEANING, metavar="LABEL")
    background: str = _option("", "--background", "the label, if any, for what is no face", MEANING, metavar="LABEL")
    pixels: str = _option(
        "auto", "--pixels", "scaling of pixels (default %(default)s)", MEANING, choices=("auto", *SCALINGS)
    )
    colour: Literal["auto", "RGB", "BGR", "GRAY"] = _option(
        "auto",
        "--colour",
        "colour order; BGR is OpenCV's (default %(default)s)",
        MEANING,
        choices=("auto", "RGB", "BGR", "GRAY"),
    )
    size: tuple[int, int] | None = _option(
        None,
        "--size",
        "input size of a model that accepts any, such as 224",
        MEANING,
        type=size,
        metavar="HEIGHTxWIDTH",
    )
    crop_margin: float = _option(
        CROP_MARGIN, "--crop-margin", "kept around a face (default %(default)s)", MEANING, type=float, metavar="SHARE"
    )
    calibration: Path | None = _option(
        None, "--calibration", "class folders, pictures, or a boxes CSV", PICTURES, metavar="DIR"
    )
    pictures: int = _option(200, "--pictures", "to calibrate on (default %(default)s)", PICTURES, type=int, metavar="N")
    proof: int | None = _option(
        None,
        "--proof",
        "held back for the proof; 0: all there are (default: 500 of each class, from which on the gate is meaningful)",
        PICTURES,
        type=int,
        metavar="N",
    )
    seed: int = _option(1, "--seed", "of the choice of pictures (default %(default)s)", PICTURES, type=int)
    accept: tuple[str, ...] = _option(
        (),
        "--accept",
        "convert although: " + "; ".join(f"{name}: {text}" for name, text in CHECKS.items()) + " (repeatable)",
        GATE,
        action="append",
        choices=tuple(CHECKS),
        metavar="{" + ",".join(CHECKS) + "}",
    )
    gate: Gate = field(default_factory=Gate)
    allow_code: bool = _option(False, "--allow-code", "run Python code inside a file whose author you trust", CODE)
    custom_objects: Path | None = _option(
        None, "--custom-objects", "Python file that defines custom layers", CODE, metavar="FILE.py"
    )

    @property
    def onnx(self) -> bool:
        """Whether ONNX is written as well."""
        return self.also == "onnx"


def add_options(parser: argparse.ArgumentParser, groups: Sequence[str]) -> None:
    """Add the options of some groups to a parser, in the order of their fields."""
    places: dict[str, Any] = dict.fromkeys((OUTPUT,), parser)
    for group in groups:
        places.setdefault(group, parser.add_argument_group(TITLES.get(group, group)))
    for each in (*dataclasses.fields(Options), *dataclasses.fields(Gate)):
        if each.metadata.get("group") in groups:
            how = {**_type_of(each), **each.metadata["how"]}
            default: Any = [] if how.get("action") == "append" else each.default
            places[each.metadata["group"]].add_argument(
                *each.metadata["flags"], dest=each.name, help=each.metadata["help"], default=default, **how
            )


def _type_of(each: dataclasses.Field[Any]) -> dict[str, Any]:
    if "action" in each.metadata["how"] or "choices" in each.metadata["how"] or "type" in each.metadata["how"]:
        return {}
    if each.default is False:
        return {"action": "store_true"}
    if isinstance(each.default, float):
        return {"type": float, "metavar": "SHARE"}
    return {"type": Path} if "Path" in str(each.type) else {}


def options_of(arguments: argparse.Namespace) -> Options:
    """The options that a parser of :func:`add_options` read; those it lacks have their defaults."""
    given = vars(arguments)
    own = {each.name: given[each.name] for each in dataclasses.fields(Options) if each.name in given}
    gate = {each.name: given[each.name] for each in dataclasses.fields(Gate) if each.name in given}
    if "accept" in own:
        own["accept"] = tuple(own["accept"])
    return Options(**own, gate=Gate(**gate))


def changed(options: Options) -> dict[str, str]:
    """Flag -> value, as text, of every option that has not its default."""
    found: dict[str, str] = {}
    for holder in (options, options.gate):
        for each in dataclasses.fields(holder):
            value = getattr(holder, each.name)
            if each.metadata and value != each.default:
                found[each.metadata["flags"][-1]] = _text(value)
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return ""
    if isinstance(value, tuple):
        return ("x" if all(isinstance(part, int) for part in value) else ",").join(str(part) for part in value)
    return str(value)


def command(model: Path, options: Options, *more: str) -> str:
    """The complete command that converts ``model`` with ``options``, and ``more`` options in place of their own."""
    flags = {words.split("=")[0].split(" ")[0] for words in more}
    own = [
        " ".join(filter(None, (flag, shlex.quote(value) if value else ""))).replace(f"{flag} -", f"{flag}=-")
        for flag, value in changed(options).items()
        if flag not in flags
    ]
    if "--accept" in changed(options):
        own = [word for word in own if not word.startswith("--accept")] + [f"--accept {c}" for c in options.accept]
    return " ".join(["fmd-convert", typed(model), *own, *more])


def typed(value: Path | str) -> str:
    """A path or name as it is typed in a shell; a path is never taken for an option."""
    text = str(value)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def labels_words(names: Sequence[str]) -> str:
    """The option that states ``names`` as labels, as it is typed in a shell."""
    return f"--labels {shlex.quote(','.join(names))}"


def plain(options: Options) -> dict[str, Any]:
    """Options as plain values for a child process; :func:`from_plain` reads them."""
    return {
        **{f.name: _plain(getattr(options, f.name)) for f in dataclasses.fields(Options) if f.name != "gate"},
        "gate": dataclasses.asdict(options.gate),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.resolve())
    return list(value) if isinstance(value, tuple) else value


def from_plain(values: dict[str, Any]) -> Options:
    """The options of :func:`plain`."""
    made: dict[str, Any] = {}
    for each in dataclasses.fields(Options):
        value = values[each.name]
        if each.name == "gate":
            value = Gate(**value)
        elif isinstance(value, list):
            value = tuple(value)
        elif value is not None and "Path" in str(each.type):
            value = Path(value)
        made[each.name] = value
    return Options(**made)
