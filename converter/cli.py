"""fmd-convert: a trained Keras model in, one file that is proven right out.

fmd-convert MODEL           convert a .keras, .h5, .model or SavedModel folder
fmd-convert inspect FILE    print what a converted file promises
fmd-convert verify FILE     prove it again: on this machine, against its Keras model
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.main import version_line
from edge.commands.parsing import add_completion_option
from edge.errors import EXIT_OK, ConversionError, FidelityError, RuntimeMissingError, exit_code_of
from edge.files import native_name
from edge.stages.classify import CROP_MARGIN

if TYPE_CHECKING:
    from converter.flow import Conversion, Options

PIXELS = ("auto", "-1..1", "0..1", "0..255", "torch", "caffe")
SCHEMES = ("int8", "dynamic", "float16", "float32", "auto")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The bare form is the common one, so it needs no word of its own; a model of that name is given as ./inspect.
    parser = {"inspect": _inspect_parser, "verify": _verify_parser}.get(words[0] if words else "", _parser)
    chosen = parser()
    chosen.add_argument("--version", action="version", version=version_line("fmd-convert"))
    chosen.add_argument("--verbose", action="store_true", help="where an unexpected error came from")
    arguments = chosen.parse_args(words if parser is _parser else words[1:])
    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        logging.getLogger("fmd").setLevel(logging.DEBUG)
    return exit_code_of(lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fmd-convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_completion_option(parser)
    parser.add_argument("model", type=Path, help=".keras, .h5, .model or SavedModel folder")
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: the model's name, .tflite)")
    parser.add_argument("--force", action="store_true", help="replace the file and its report if they exist")
    _add_meaning(parser)
    _add_pictures(parser)
    _add_gate(parser)
    parser.add_argument(
        "--scheme", choices=SCHEMES, default="int8", help="default %(default)s; auto: smallest that passes"
    )
    parser.add_argument(
        "--golden",
        choices=("held-back", "drawn"),
        default="held-back",
        help="pictures that travel in the file: of the calibration set, or drawn by code (default %(default)s)",
    )
    parser.add_argument("--explain", action="store_true", help="also name the layers that lose most")
    parser.add_argument("--also", choices=("onnx",), help="write it for TensorRT too: trtexec --onnx=F --saveEngine=E")
    parser.add_argument("--heatmap", action="store_true", help="a second output that shows where the model looked")
    parser.add_argument("--no-report", dest="report", action="store_false", help="write no report.html and report.json")
    _add_code(parser)
    parser.set_defaults(run=_convert)
    return parser


def _add_code(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-code", action="store_true", help="run Lambda layers of a file you trust")
    parser.add_argument("--custom-objects", type=Path, metavar="FILE.py", help="Python file that defines custom layers")


def _add_meaning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what the model means (found out where left alone)")
    group.add_argument("--labels", default="", metavar="A,B,C", help="names of the outputs, in their order")
    group.add_argument("--compliant", default="", metavar="LABEL", help="the label that is fine at the door")
    group.add_argument("--background", default="", metavar="LABEL", help="the label, if any, for what is no face")
    group.add_argument(
        "--pixels", choices=PIXELS, default="auto", help="what pixels are scaled to (default %(default)s)"
    )
    group.add_argument("--colour", choices=("auto", "RGB", "BGR"), default="auto", help="default %(default)s: RGB")
    group.add_argument(
        "--crop-margin", type=float, default=CROP_MARGIN, metavar="SHARE", help="kept around a face (%(default)s)"
    )


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("pictures")
    group.add_argument("--calibration", type=Path, metavar="DIR", help="class folders, pictures, or a boxes CSV")
    group.add_argument("--pictures", type=int, default=200, metavar="N", help="to calibrate on (default %(default)s)")
    group.add_argument(
        "--proof", type=int, default=200, metavar="N", help="held back for the proof; 0 all (%(default)s)"
    )
    group.add_argument("--seed", type=int, default=1, help="of the choice of pictures (default %(default)s)")


def _add_gate(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("gate (shares, 0 to 1)")
    group.add_argument("--agreement", type=float, default=0.995, help="least share of equal labels (%(default)s)")
    group.add_argument(
        "--faces", type=float, default=0.95, help="of a detector: least share of equal faces (%(default)s)"
    )
    group.add_argument("--bare-recall-drop", type=float, default=0.002, help="most for the bare face (%(default)s)")
    group.add_argument("--recall-drop", type=float, default=0.005, help="most for any label (%(default)s)")
    group.add_argument("--mean-difference", type=float, default=0.02, help="most, of probabilities (%(default)s)")


def options_of(arguments: argparse.Namespace) -> Options:
    """What was typed to convert a model, as the Python API takes it."""
    return dataclasses.replace(
        proof_options_of(arguments),
        output=arguments.output,
        labels=tuple(label.strip() for label in arguments.labels.split(",")) if arguments.labels else (),
        compliant=arguments.compliant,
        background=arguments.background,
        scheme=arguments.scheme,
        pixels=arguments.pixels,
        colour=arguments.colour,
        crop_margin=arguments.crop_margin,
        golden=arguments.golden,
        force=arguments.force,
        heatmap=arguments.heatmap,
        explain=arguments.explain,
        onnx=arguments.also == "onnx",
    )


def proof_options_of(arguments: argparse.Namespace) -> Options:
    """What was typed to prove a model, with or without converting it first."""
    from converter.flow import Options
    from converter.verify import Gate

    gate = Gate(
        agreement=arguments.agreement,
        dangerous_recall_drop=arguments.bare_recall_drop,
        recall_drop=arguments.recall_drop,
        mean_difference=arguments.mean_difference,
        faces=arguments.faces,
    )
    return Options(
        calibration=arguments.calibration,
        pictures=arguments.pictures,
        proof=arguments.proof,
        seed=arguments.seed,
        gate=gate,
        allow_code=arguments.allow_code,
        custom_objects=arguments.custom_objects,
    )


def _convert(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from converter.flow import convert, target_of
    from converter.noise import Progress
    from converter.report import report_paths, summary, worst_path, write_report, write_worst
    from converter.write import check_target

    # The report and TensorFlow name all of them, and neither can hold bytes that are not UTF-8.
    for named in filter(None, (arguments.model, arguments.output, arguments.calibration)):
        native_name(named, ConversionError)
    progress, options = Progress.on_stderr(), options_of(arguments)
    target = target_of(arguments.model, options)
    for path in (target, *(report_paths(target) if arguments.report else ()), worst_path(target)):
        check_target(path, options.force)
    conversion = convert(arguments.model, options, progress)
    for note in conversion.notes:
        progress.say(f"note: {note}")
    print(summary(conversion))
    for name, loss in conversion.layers:
        print(f"loses {loss:.2%} at {name}")
    if arguments.report:
        print(f"report: {' '.join(str(path) for path in write_report(conversion))}")
    if conversion.failures:
        print(f"worst disagreements: {write_worst(conversion)}")
    _refuse_unfaithful(conversion, arguments.report)
    return EXIT_OK


def _check_tensorflow() -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise RuntimeMissingError(
            "TensorFlow is not installed here, and converting needs it; in fmd's folder: pip install '.[convert]'"
        )


def _refuse_unfaithful(conversion: Conversion, reported: bool) -> None:
    if conversion.failures:
        where = " (see the report)" if reported else ""
        raise FidelityError(
            f"{conversion.source}: not close enough to Keras in {conversion.contract.quantization}: "
            f"{'; '.join(conversion.failures)}; no model was written{where}: give more --calibration pictures, "
            "prove on all there are with --proof 0, or take --scheme auto"
        )


def _inspect_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fmd-convert inspect", description="print what a converted file promises")
    parser.add_argument("file", type=Path, help="a .tflite of fmd-convert")
    parser.set_defaults(run=_inspect)
    return parser


def _inspect(arguments: argparse.Namespace) -> int:
    import msgspec

    from edge.inference.bundle import unpack

    bundle = unpack(arguments.file)
    print(msgspec.json.format(msgspec.json.encode(bundle.contract), indent=1).decode())
    shapes = {name: list(array.shape) for name, array in bundle.golden.items()}
    print(f"golden: {shapes}")
    return EXIT_OK


def _verify_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fmd-convert verify",
        description="repeat a converted file's proof here: its golden inputs, and with --against its Keras model too",
    )
    parser.add_argument("file", type=Path, help="a .tflite of fmd-convert")
    parser.add_argument("--against", type=Path, metavar="MODEL", help="the Keras model it was made from")
    _add_pictures(parser)
    _add_gate(parser)
    _add_code(parser)
    parser.set_defaults(run=_verify)
    return parser


def _verify(arguments: argparse.Namespace) -> int:
    if arguments.against:
        _check_tensorflow()
    from converter.flow import prove
    from converter.noise import Progress
    from converter.report import agreement_line

    options = proof_options_of(arguments)
    proof = prove(arguments.file, arguments.against, options, Progress.on_stderr())
    print(f"golden inputs: answers within {proof.replay:.0%} of what is allowed, on {proof.runtime}")
    if proof.parity:
        print(agreement_line(proof.parity, "held-back" if arguments.calibration else "drawn"))
    if proof.failures:
        raise FidelityError(f"{arguments.file}: not close enough to {arguments.against}: {'; '.join(proof.failures)}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
