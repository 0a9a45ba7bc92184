"""A model card: a shipped file's properties, origin, figures and failures on one markdown page.

After Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993), cut to what an operator needs.
All of it is read from files: the bundle's contract, the run's ``run.json`` and ``curve.csv``, evaluate's
``scores.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import DataError
from edge.inference.bundle import Contract, sha256, unpack
from training import evaluate, plots, results, tracking
from training.tracking import RUN_NAME

SCORES_SUFFIX = "-scores.json"
"""End of the name of the file beside a detector's card that holds the numbers of the card's table, for programs."""
WORST_BANDS_BELOW = 0.9
"""A band of face widths with a smaller share on the right side is a known failure; so are badly worn masks."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Sources of a card's facts. ``command`` overrides the run's own where it was not recorded."""

    bundle: Path
    keras: Path
    run: Path
    scores: Sequence[Path]
    notes: Path | None
    command: str


def write(sources: Sources, out: Path) -> None:
    """Write the card to ``out``, and beside it the run's curve as a PNG and the numbers of its first table as JSON."""
    contract = unpack(sources.bundle).contract
    _check_source(contract, sources)
    curve = tracking.read_curve(sources.run)
    if not curve:
        raise DataError(f"{sources.run}: holds no {tracking.CURVE_NAME}; give the folder of the run with --run")
    picture = out.with_name(f"{out.stem}-curve.png")
    plots.training_curves(curve, picture)
    all_scores = [_json(path) for path in sources.scores]
    write_numbers(all_scores, out)
    lines = [
        *_head(contract),
        *_files([sources.bundle, sources.keras]),
        *_contract(contract),
        *_made_by(sources, len(curve), picture.name),
        *_all_scores(all_scores),
        *_notes(sources.notes),
    ]
    results.write_text(out, "\n".join(lines) + "\n")


def write_numbers(all_scores: Sequence[Mapping[str, Any]], card: Path) -> None:
    """Write what the first table of a card shows beside it, if it has a table: all faces, and each band of widths."""
    for scores in all_scores:
        if "by_width" in scores:
            numbers = {key: scores[key] for key in ("title", "figures", "by_width")}
            path = card.with_name(f"{card.stem}{SCORES_SUFFIX}")
            results.write_json(path, numbers)
            return


def _check_source(contract: Contract, sources: Sources) -> None:
    try:
        found = sha256(sources.keras.read_bytes())
    except OSError as error:
        raise DataError(
            f"{sources.keras}: cannot read it: {error.strerror}; a card needs the model's source"
        ) from error
    if contract.source_sha256 and contract.source_sha256 != found:
        raise DataError(
            f"{sources.keras}: is not what {sources.bundle} was made from (sha256 got {found[:12]}..., expected "
            f"{contract.source_sha256[:12]}...); give the right one, or convert it again"
        )


def _head(contract: Contract) -> list[str]:
    what = "Finds faces, masked or not." if contract.task == "detector" else "Judges how a face wears a mask."
    return [f"# {contract.name}", "", f"{what} Made for a camera at a doorway.", ""]


def _files(paths: Sequence[Path]) -> Iterator[str]:
    yield from ("| file | bytes | sha256 |", "| --- | --- | --- |")
    for path in paths:
        content = path.read_bytes()
        yield f"| {path.name} | {len(content):,} | `{sha256(content)}` |"
    yield ""


def _contract(contract: Contract) -> Iterator[str]:
    size = contract.input
    yield f"* input: {size.width} x {size.height} {size.colour}, real = pixel * {size.scale:.6g} + {size.offset:.6g}"
    if contract.scaling:
        yield f"* pixels inside the file: {contract.scaling.name} ({contract.scaling.why})"
    if contract.labels:
        yield f"* labels, in output order: {', '.join(contract.labels)}; compliant: {contract.compliant}"
        yield f"* crop margin: {contract.crop_margin:g} of the face's longer side"
    yield f"* quantization: {contract.quantization}{f', {contract.reason}' if contract.reason else ''}"
    if contract.versions:
        yield f"* made with: {', '.join(f'{name} {version}' for name, version in sorted(contract.versions.items()))}"
    yield ""


def _made_by(sources: Sources, epochs: int, picture: str) -> Iterator[str]:
    record = _json(sources.run / RUN_NAME) if (sources.run / RUN_NAME).is_file() else {}
    command = sources.command or record.get("command", "")
    if not command:
        raise DataError(f"{sources.run}: holds no {RUN_NAME}; give the command that made the model with --command")
    yield from ("## What made it", "", "```", command, "```", "")
    recipe = record.get("recipe", {})
    if recipe:
        yield f"Seed {recipe['seed']}. " + ", ".join(f"{k} {v}" for k, v in record.get("versions", {}).items()) + "."
    yield from (f"{epochs} epochs in the last run, of which the best on the validation split was kept.", "")
    yield from (f"![loss and validation figures by epoch]({picture})", "")


def _all_scores(all_scores: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for scores in all_scores:
        yield from _scores(scores)
    failures = [line for scores in all_scores for line in known_failures(scores)]
    if failures:
        yield from ("## Known failures", "", *failures, "")


def _scores(scores: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## Scores: {scores.get('title', 'test')}", "")
    if "figures" in scores:
        columns = {"all": scores["figures"], **scores["by_width"]}
        yield f"| | {' | '.join(columns)} |"
        yield "| --- " * (len(columns) + 1) + "|"
        for key in scores["figures"]:
            yield f"| {key.replace('_', ' ')} | {' | '.join(_number(c.get(key)) for c in columns.values())} |"
    for name, found in scores.get("folders", {}).items():
        yield f"* {evaluate.folder_line(name, found)}"
    yield ""


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value > 1 and value == int(value) else f"{value:.3f}"


def known_failures(scores: Mapping[str, Any]) -> Iterator[str]:
    """Return the failures that the figures show: weak bands of face widths and weak labels."""
    for band, figures in scores.get("by_width", {}).items():
        if figures.get("right_side", 1.0) < WORST_BANDS_BELOW:
            share = f"{figures['right_side']:.0%} of {figures['faces']:.0f}"
            yield f"* Faces {band} wide: {share} end on the right side, {figures['recall']:.0%} are found."
    figures = scores.get("figures", {})
    if figures and figures["badly_worn_caught"] < WORST_BANDS_BELOW:
        yield f"* Badly worn masks: {figures['badly_worn_caught']:.0%} are caught."


def _notes(notes: Path | None) -> list[str]:
    if notes is None:
        return []
    try:
        return [notes.read_text(encoding="utf-8-sig").rstrip()]
    except OSError as error:
        raise DataError(f"{notes}: cannot read the notes: {error.strerror}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); write it again with fmd-train evaluate") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: got a {type(found).__name__}, expected an object as fmd-train evaluate writes it")
    return found
