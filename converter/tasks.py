"""What the child process of the command line runs: a whole conversion, or a repeated proof."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converter.flow import convert, onnx_path
from converter.noise import ProgressLine
from converter.options import from_plain
from converter.prove import prove
from converter.report import agreement_line, summary, write_rejected, write_report


def convert_into(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    """Convert ``request["source"]`` into ``folder``; ``request["target"]`` is where the user wants the file.

    Returns the summary, notes and failures as text, and the names of the files written.
    """
    target = Path(request["target"])
    made = folder / target.name
    options = from_plain(request["options"])
    conversion = convert(Path(request["source"]), options, progress, made)
    files = [path for path in (made, onnx_path(made)) if conversion.passed and path.is_file()]
    if conversion.passed and options.report:
        files += write_report(conversion, target)
    if not conversion.passed:
        files += write_rejected(conversion, target, options.report)
    return {
        "summary": summary(conversion, target),
        "notes": [str(note) for note in conversion.notes],
        "layers": [[name, loss] for name, loss in conversion.layers],
        "failures": list(conversion.failures),
        "scheme": conversion.contract.quantization,
        "files": [path.name for path in files],
    }


def prove_again(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    """Repeat the proof of ``request["file"]``, against ``request["source"]`` where there is one."""
    source = Path(request["source"]) if request["source"] else None
    options = from_plain(request["options"])
    proof = prove(Path(request["file"]), source, options, progress)
    line = agreement_line(proof.parity, "held-back" if options.calibration else "composed") if proof.parity else ""
    return {"replay": proof.replay, "runtime": proof.runtime, "agreement": line, "failures": list(proof.failures)}
