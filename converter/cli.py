"""fmd-convert: a trained Keras model in, one proven file out.

fmd-convert MODEL           convert a .keras, .h5, .model or SavedModel folder
fmd-convert inspect FILE    print the contract of a converted file
fmd-convert verify FILE     prove it again: on this machine, against its Keras model
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from converter import child
from converter.noise import ProgressLine
from converter.options import CODE, GATE, MEANING, OUTPUT, PICTURES, Options, add_options, options_of, plain
from edge import process
from edge.commands.main import version_line
from edge.commands.parsing import add_completion_option
from edge.errors import EXIT_OK, ConversionError, FidelityError, RuntimeMissingError, exit_code_of
from edge.files import native_name
from edge.text import escaped


def main(argv: Sequence[str] | None = None, isolated: bool = True) -> int:
    """Entry point; returns the exit code. ``isolated`` opens model files in a child process with limits."""
    process.open_streams()
    words = joined(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The bare form is the common one, so it needs no word of its own; a model of that name is given as ./inspect.
    parser = {"inspect": _inspect_parser, "verify": _verify_parser}.get(words[0] if words else "", _parser)
    chosen = parser()
    chosen.add_argument("--version", action="version", version=version_line("fmd-convert"))
    chosen.add_argument("--verbose", action="store_true", help="print where an unexpected error came from")
    arguments = chosen.parse_args(words if parser is _parser else words[1:])
    arguments.isolated = isolated
    if arguments.verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        # Only fmd's own lines: TensorFlow has hundreds of this level.
        for package in ("converter", "edge"):
            logging.getLogger(package).setLevel(logging.DEBUG)
    commands: list[str] = []
    code = exit_code_of(lambda: _run(arguments, commands))
    for line in commands:
        print(f"  {line}", file=sys.stderr)
    return code


def joined(words: Sequence[str]) -> list[str]:
    """Words with ``--pixels -1..1`` as one: argparse takes a value that starts with a minus for an option."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == "--pixels" and word.startswith("-"):
            found[-1] = f"--pixels={word}"
        else:
            found.append(word)
    return found


def _run(arguments: argparse.Namespace, commands: list[str]) -> int:
    """Run the command. The commands that an error offers, one a line, are printed after it."""
    try:
        return int(arguments.run(arguments))
    except ConversionError as error:
        commands += error.commands
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fmd-convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_completion_option(parser)
    parser.add_argument("model", type=Path, help=".keras, .h5, .model or SavedModel folder")
    add_options(parser, (OUTPUT, MEANING, PICTURES, GATE, CODE))
    parser.set_defaults(run=_convert)
    return parser


def _work(arguments: argparse.Namespace, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a task in a child process, or here where the caller wants that."""
    progress = ProgressLine.on_stderr()
    if arguments.isolated:
        with unwinding_on_signals():
            return child.run(task, request, folder, child.Limits(), progress)
    from converter import tasks

    work = {"convert": tasks.convert_into, "prove": tasks.prove_again}[task]
    return work(request, folder, progress)


@contextlib.contextmanager
def unwinding_on_signals() -> Iterator[None]:
    """Exit through ``finally`` on a signal: otherwise the child would run on and its folder would stay."""
    stopping = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def leave(number: int, frame: FrameType | None) -> None:
        # One is enough: a second exception would interrupt the cleaning up.
        for each in stopping:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in stopping}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _convert(arguments: argparse.Namespace) -> int:
    _check_tensorflow()
    from converter.flow import check, target_of
    from converter.recognise import kind_of
    from converter.report import report_paths
    from converter.write import check_target

    # TensorFlow and the report name these files, and neither can hold bytes that are not UTF-8.
    for named in filter(None, (arguments.model, arguments.output, arguments.calibration)):
        native_name(named, ConversionError)
    options, model = options_of(arguments), arguments.model
    target = target_of(model, options)
    kind_of(model)
    check(options, target)
    for path in report_paths(target) if options.report else ():
        check_target(path, options.force)
    with tempfile.TemporaryDirectory(prefix="fmd-convert-") as name:
        request = {"source": _shown(model), "target": str(target), "options": plain(options)}
        done = _work(arguments, "convert", request, Path(name))
        written = _placed(done["files"], Path(name), target)
    # Names of layers and labels are the model author's.
    for note in done["notes"]:
        print(escaped(str(note)), file=sys.stderr)
    print("\n".join(map(escaped, str(done["summary"]).splitlines())))
    for place, loss in done["layers"]:
        print(escaped(f"loses {loss:.2%} at {place}"))
    others = [str(path) for path in written if path != target]
    if others:
        print(f"beside it: {' '.join(others)}")
    if done["failures"]:
        _refuse(model, options, done)
    return EXIT_OK


def _shown(model: Path) -> str:
    """The path as typed, where a child in another folder can use it."""
    return str(model) if model.is_absolute() else str(Path.cwd() / model)


def _placed(names: Sequence[str], folder: Path, target: Path) -> list[Path]:
    """Move what the child wrote beside the target; the model itself last, so that its report is there when it is."""
    from converter.write import write

    made = [target.parent / name for name in names]
    placed: list[Path] = []
    try:
        for path in sorted(made, key=lambda path: path == target):
            write(path, (folder / path.name).read_bytes())
            placed.append(path)
    except BaseException:
        # A report without its model would only be in the way of the next run.
        for path in placed:
            path.unlink(missing_ok=True)
        raise
    return made


def _check_tensorflow() -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise RuntimeMissingError(
            "TensorFlow is not installed here, and converting needs it; in fmd's folder: pip install '.[convert]'"
        )


def _refuse(model: Path, options: Options, done: Mapping[str, Any]) -> None:
    report = next((name for name in done["files"] if name.endswith(".html")), "")
    where = f" (see {report})" if report else ""
    step = "give more --calibration pictures" if options.scheme == "auto" else "omit --scheme to try the others"
    raise FidelityError(
        f"{model}: not close enough to Keras in {done['scheme']}: {'; '.join(done['failures'])}; no model was "
        f"written{where}: {step}, or prove on all there are with --proof 0"
    )


def _inspect_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fmd-convert inspect", description="print the contract of a converted file")
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
    add_options(parser, (PICTURES, GATE, CODE))
    parser.set_defaults(run=_verify)
    return parser


def _verify(arguments: argparse.Namespace) -> int:
    if arguments.against:
        _check_tensorflow()
    with tempfile.TemporaryDirectory(prefix="fmd-convert-") as name:
        request = {
            "file": _shown(arguments.file),
            "source": _shown(arguments.against) if arguments.against else "",
            "options": plain(options_of(arguments)),
        }
        done = _work(arguments, "prove", request, Path(name))
    print(f"golden inputs: answers within {done['replay']:.0%} of what is allowed, on {done['runtime']}")
    if done["agreement"]:
        print(done["agreement"])
    if done["failures"]:
        raise FidelityError(
            f"{arguments.file}: not close enough to {arguments.against}: {'; '.join(done['failures'])}; "
            "convert it again"
        )
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
