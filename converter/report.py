"""Results of a conversion: a few lines for the terminal, report.json for programs, report.html for people."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from converter.heatmap import overlay
from converter.options import changed
from converter.results import Conversion
from converter.verify import Counts, Parity
from converter.write import write
from edge.contracts import Floats, Image

MEGABYTE = 1e6
WORST_SHOWN = 12
TILE = 128
BINS = 10
COLUMNS = 6


def summary(conversion: Conversion, target: Path | None = None) -> str:
    """What to know in ten seconds: the verdict, how good the file is, how close to Keras, and what was concluded.

    ``target`` is the file as the user knows it, where it is written elsewhere first.
    """
    contract, parity, spec = conversion.contract, conversion.parity, conversion.contract.input
    verdict = "passed the gate" if conversion.passed else "DID NOT PASS the gate; no model was written"
    lines = [f"{target or conversion.target}: {verdict}", *_quality_lines(conversion)]
    pictures = "composed" if conversion.calibration.drawn else "held-back"
    lines.append(agreement_line(parity, pictures))
    if contract.labels:
        background = f"; no face: {contract.background}" if contract.background else ""
        lines.append(f"labels: {', '.join(contract.labels)}; mask worn rightly: {contract.compliant}{background}")
    lines.append(f"pixels: {conversion.pixels.name} {conversion.pixels.colour} ({conversion.pixels.why})")
    lines.append(
        f"file: {contract.task}, {spec.width} x {spec.height} {spec.colour}, {contract.quantization} "
        f"({contract.reason}), {len(conversion.bundle) / MEGABYTE:.2f} MB (Keras "
        f"{conversion.source_bytes / MEGABYTE:.2f} MB)"
    )
    lines.append(
        f"golden inputs: {len(conversion.golden.golden['inputs'])}; answers spread {conversion.golden.spread:.1f}, a "
        f"colour swap moves them {conversion.golden.swap:.1f} times what replay allows"
    )
    if conversion.onnx:
        lines.append(f"ONNX {agreement_line(conversion.onnx.parity, 'same')}")
    lines.append("time: " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in conversion.seconds.items()))
    return "\n".join(lines)


def _quality_lines(conversion: Conversion) -> list[str]:
    """Accuracy and the recall of faces without a mask, which come first."""
    parity, labels = conversion.parity, conversion.labels
    if labels is None:
        return []
    if parity.float_confusion is None or not parity.float_confusion.sum():
        found = conversion.identified
        if found.accuracy is None:
            return []
        return [f"accuracy: {found.accuracy:.1%} of {found.pictures} {found.of}"]
    split = "held back by the pictures' own split" if conversion.calibration.split else "held back"
    shown = int(parity.float_confusion.sum())
    accuracies = [
        f"{name} {np.trace(counts) / max(1, counts.sum()):.2%}"
        for name, counts in (("Keras", parity.float_confusion), ("TFLite", parity.tflite_confusion))
        if counts is not None
    ]
    lines = [f"accuracy: {', '.join(accuracies)} of {shown} pictures {split}"]
    names = sorted(parity.float_recall, key=lambda name: name != labels.dangerous)
    return lines + [
        f"recall of {name}: Keras {parity.float_recall[name]:.2%}, TFLite {parity.tflite_recall[name]:.2%}"
        for name in names
    ]


def agreement_line(parity: Parity, pictures: str) -> str:
    """One line on how alike Keras and TFLite answer."""
    if parity.float_confusion is None:
        return (
            f"agreement: {parity.agreement:.2%} of faces on {parity.pictures} {pictures} pictures (Keras "
            f"{parity.float_faces}, TFLite {parity.tflite_faces}), mean score difference "
            f"{parity.mean_difference:.4f}, largest {parity.max_difference:.4f}"
        )
    return (
        f"agreement: {parity.agreement:.2%} of {parity.pictures} {pictures} pictures, mean probability difference "
        f"{parity.mean_difference:.4f}, largest {parity.max_difference:.4f}"
    )


def report_paths(target: Path) -> tuple[Path, Path]:
    """Where the report of the model file ``target`` goes: JSON, HTML."""
    return target.with_suffix(".report.json"), target.with_suffix(".report.html")


def rejected_paths(target: Path) -> tuple[Path, Path, Path]:
    """Where a report goes when no model was written: JSON, HTML, worst pictures.

    These names are only fmd's and are replaced by the next run, so a failed run is in nobody's way.
    """
    return (
        target.with_suffix(".rejected.json"),
        target.with_suffix(".rejected.html"),
        target.with_suffix(".rejected.png"),
    )


def write_report(conversion: Conversion, target: Path | None = None) -> tuple[Path, Path]:
    """Write ``NAME.report.json`` and ``NAME.report.html`` beside the model file; returns their paths.

    The page holds pictures of the calibration set: it is for people who may see those.
    """
    as_json, as_html = report_paths(conversion.target)
    write(as_json, msgspec.json.format(msgspec.json.encode(as_data(conversion)), indent=1))
    write(as_html, page(conversion, target).encode())
    return as_json, as_html


def write_rejected(conversion: Conversion, target: Path | None, report: bool) -> list[Path]:
    """Write the report of a conversion that did not pass (if ``report``) and its worst pictures; returns the paths."""
    as_json, as_html, worst = rejected_paths(conversion.target)
    write(worst, _png(worst_sheet(conversion)))
    if not report:
        return [worst]
    write(as_json, msgspec.json.format(msgspec.json.encode(as_data(conversion)), indent=1))
    write(as_html, page(conversion, target).encode())
    return [as_json, as_html, worst]


def as_data(conversion: Conversion) -> dict[str, Any]:
    """Everything the page shows, as plain values."""
    parity, labels = conversion.parity, conversion.contract.labels
    names, truth = conversion.calibration.proof.names, conversion.calibration.proof.labels
    return {
        "passed": conversion.passed,
        "failures": list(conversion.failures),
        "notes": [str(note) for note in conversion.notes],
        "options": changed(conversion.options),
        "split_used": conversion.calibration.split,
        "contract": msgspec.to_builtins(conversion.contract),
        "bytes": {"keras": conversion.source_bytes, "tflite": len(conversion.bundle)},
        "seconds": {step: round(seconds, 3) for step, seconds in conversion.seconds.items()},
        "inference_ms": {name: round(value, 3) for name, value in conversion.inference_ms.items()},
        "parity": parity.numbers(),
        "quality": {
            name: quality(counts, labels)
            for name, counts in (("keras", parity.float_confusion), ("tflite", parity.tflite_confusion))
            if counts is not None and counts.sum()
        },
        "hypotheses": [
            {
                "pixels": r.pixels.name,
                "colour": r.pixels.colour,
                "accuracy": round(r.accuracy, 4),
                "pictures": len(r.answers),
            }
            for r in conversion.identified.ranking
        ],
        "gate": [
            {"what": s.what, "lost": s.lost, "pictures": s.pictures, "allowed": round(s.allowed, 6), "failed": s.failed}
            for s in conversion.shares
        ],
        "disagreeing": [names[i] for i in parity.disagreeing],
        "worst": [
            {"picture": names[i], "difference": round(float(parity.differences[i]), 4)}
            for i in parity.worst[:WORST_SHOWN]
        ],
        "difference_histogram": histogram(parity.differences),
        "confusion": {
            "labels": list(labels),
            "keras": _listed(parity.float_confusion),
            "tflite": _listed(parity.tflite_confusion),
        },
        "reliability": {
            "keras": reliability(parity.float_answers, labels, truth),
            "tflite": reliability(parity.tflite_answers, labels, truth),
        },
        "layers": [{"layer": name, "loss": round(loss, 5)} for name, loss in conversion.layers],
    }


def quality(counts: Counts, labels: Sequence[str]) -> dict[str, Any]:
    """Accuracy, and precision, recall and F1 of each label, of (labels, labels) counts: row truth, column answer."""
    found: dict[str, Any] = {"accuracy": round(float(np.trace(counts) / max(1, counts.sum())), 5)}
    for i, label in enumerate(labels):
        right, shown, said = int(counts[i, i]), int(counts[i].sum()), int(counts[:, i].sum())
        found[label] = {
            "precision": round(right / said, 5) if said else None,
            "recall": round(right / shown, 5) if shown else None,
            "f1": round(2 * right / (said + shown), 5) if said + shown else None,
            "pictures": shown,
        }
    return found


def _listed(counts: Counts | None) -> list[list[int]]:
    return [] if counts is None else [[int(v) for v in row] for row in counts]


def histogram(differences: Floats) -> dict[str, list[float]]:
    """How many pictures' largest differences fall into each of ten equal bins from 0 to the largest."""
    counts, edges = np.histogram(differences, BINS, (0.0, max(1e-3, float(differences.max(initial=0)))))
    return {"edges": [round(float(e), 5) for e in edges], "counts": [float(c) for c in counts]}


def reliability(answers: Floats, labels: Sequence[str], truth: Sequence[str]) -> list[dict[str, float]]:
    """Of the answers given with about the same confidence, how many were right (a calibrated model: as many).

    One entry a bin of confidence that holds pictures of known truth; Guo et al. 2017, arXiv:1706.04599.
    """
    known = [i for i, label in enumerate(truth) if label in labels]
    if not known or answers.shape[1] != len(labels):
        return []
    confidence = answers[known].max(axis=1)
    right = np.array([labels[answers[i].argmax()] == truth[i] for i in known])
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "confidence": round(float(confidence[bins == b].mean()), 4),
            "right": round(float(right[bins == b].mean()), 4),
            "pictures": float((bins == b).sum()),
        }
        for b in range(BINS)
        if (bins == b).any()
    ]


def worst_sheet(conversion: Conversion) -> Image:
    """The pictures Keras and TFLite differ most on, (rows, COLUMNS * TILE, 3) RGB, each with both answers under it."""
    parity = conversion.parity
    tiles = [
        _tile(conversion.calibration.proof.images[i], _answer(conversion, i), i in parity.disagreeing)
        for i in parity.worst[:WORST_SHOWN]
    ]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[i : i + COLUMNS], axis=1) for i in range(0, len(tiles), COLUMNS)]
    return np.asarray(np.concatenate(rows), np.uint8)


def _answer(conversion: Conversion, i: int) -> tuple[str, str]:
    parity, labels = conversion.parity, conversion.contract.labels
    if not labels:
        return (
            f"Keras {float(parity.float_answers[i].max()):.2f}",
            f"TFLite {float(parity.tflite_answers[i].max()):.2f}",
        )
    said = [
        f"{who} {labels[int(answers.argmax())]} {float(answers.max()):.2f}"
        for who, answers in (("K", parity.float_answers[i]), ("T", parity.tflite_answers[i]))
    ]
    return said[0], said[1]


def _tile(image: Image, lines: Sequence[str], disagreeing: bool) -> Image:
    tile = np.full((TILE + 30, TILE, 3), 255, np.uint8)
    tile[:TILE] = cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_AREA)
    colour = (190, 20, 20) if disagreeing else (40, 40, 40)
    for k, line in enumerate(lines):
        place = (2, TILE + 12 + 13 * k)
        cv2.putText(tile, line[:26], place, cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour, 1, cv2.LINE_AA)
    return tile


def _png(image: Image) -> bytes:
    return bytes(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes())


def page(conversion: Conversion, target: Path | None = None) -> str:
    """The report as one HTML page that needs no other file."""
    data = as_data(conversion)
    contract = msgspec.json.format(msgspec.json.encode(conversion.contract), indent=1).decode()
    sheet = base64.b64encode(_png(worst_sheet(conversion))).decode()
    verdict = "The gate was passed." if conversion.passed else "NOT PASSED: " + "; ".join(conversion.failures)
    title = html.escape((target or conversion.target).name)
    parts = [
        f"<h1>{title}</h1>",
        f"<p class={'good' if conversion.passed else 'bad'}>{html.escape(verdict)}</p>",
        f"<pre>{html.escape(summary(conversion, target))}</pre>",
        "<p>This page shows faces of your calibration pictures. Treat it as you treat those.</p>",
        _list("What to know: decisions, guesses, improvements", data["notes"]),
        _quality_table(data["quality"], conversion.contract.labels),
        _table("Gate: pictures lost by the conversion", _gate_rows(conversion)),
        _confusions(conversion),
        "<h2>How far Keras and TFLite are apart</h2>"
        "<p>Each picture counts once, by its largest difference of a probability. All bars should stand left.</p>",
        _bars(data["difference_histogram"], "largest difference of a probability (0 to 1)", "number of pictures"),
        _reliability_plot(data["reliability"]),
        "<h2>Pictures on which they differ most</h2>"
        "<p>K is Keras, T is TFLite, each with its label and probability; red where the labels differ.</p>",
        f'<img alt="pictures with the largest differences" src="data:image/png;base64,{sheet}">',
        _heatmaps(conversion),
        _table(
            "Layers that lose most (share of the signal)", [(x["layer"], f"{x['loss']:.4f}") for x in data["layers"]]
        ),
        _table(
            "Pixel scalings tried",
            [
                (f"{h['pixels']} {h['colour']}", f"{h['accuracy']:.1%} of {h['pictures']} right")
                for h in data["hypotheses"]
            ],
        ),
        _table("Sizes and times", _size_rows(data)),
        _table("Options that differ from the defaults", sorted(data["options"].items())),
        f"<h2>Contract</h2><pre>{html.escape(contract)}</pre>",
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{title}</title><style>{STYLE}</style>" + "\n".join(parts) + "</html>\n"
    )


def _hypothesis_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"{h['pixels']} {h['colour']}", f"{h['accuracy']:.1%} of {h['pictures']} right") for h in data["hypotheses"]
    ]


def _quality_table(found: dict[str, Any], labels: Sequence[str]) -> str:
    """Accuracy, precision, recall and F1 of both models, side by side."""
    if not found:
        return ""
    rows = []
    for name, numbers in found.items():
        rows.append(f"<tr><th>{name}</th><th>accuracy</th><td colspan=4>{numbers['accuracy']:.2%}</td></tr>")
        for label in labels:
            cells = "".join(
                f"<td>{'' if numbers[label][key] is None else format(numbers[label][key], '.2%')}</td>"
                for key in ("precision", "recall", "f1")
            )
            shown = numbers[label]["pictures"]
            rows.append(f"<tr><th>{name}</th><th>{html.escape(label)}</th>{cells}<td>{shown}</td></tr>")
    head = "<tr><th>model</th><th>label</th><th>precision</th><th>recall</th><th>F1</th><th>pictures</th></tr>"
    return f"<h2>Quality on the held-back pictures</h2><table>{head}{''.join(rows)}</table>"


STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.2em .6em;text-align:right}pre{background:#f4f4f4;padding:.6em;"
    "white-space:pre-wrap}.good{color:#060}.bad{color:#b00;font-weight:bold}img{max-width:100%}svg{display:block}"
)


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>" if lines else ""


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f"<h2>{title}</h2><table>{cells}</table>" if rows else ""


def _gate_rows(conversion: Conversion) -> list[tuple[str, str]]:
    """Each share of the gate: what was lost of how many, what may be, and the resolution of a small proof."""
    return [
        (
            s.what,
            f"{s.lost} of {s.pictures}, allowed {100 * s.allowed:.2f} points"
            + (f"; {s.resolution()}" if s.coarse else ""),
        )
        for s in conversion.shares
    ]


def _size_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(f"{name}, MB", f"{size / MEGABYTE:.2f}") for name, size in data["bytes"].items()]
    rows += [(f"{name}, ms a picture, 1 thread", f"{ms:.2f}") for name, ms in data["inference_ms"].items()]
    return rows + [(f"{step}, s", f"{seconds:.1f}") for step, seconds in data["seconds"].items()]


def _confusions(conversion: Conversion) -> str:
    parity, labels = conversion.parity, conversion.contract.labels
    if parity.float_confusion is None or not parity.float_confusion.sum():
        return ""
    tables = []
    for name, counts in (("Keras", parity.float_confusion), ("TFLite", parity.tflite_confusion)):
        head = "".join(f"<th>{html.escape(label)}</th>" for label in labels)
        rows = "".join(
            f"<tr><th>{html.escape(label)}</th>{''.join(f'<td>{int(v)}</td>' for v in row)}</tr>"
            for label, row in zip(labels, counts if counts is not None else (), strict=False)
        )
        tables.append(f"<h3>{name}</h3><table><tr><th>truth (rows), answer (columns)</th>{head}</tr>{rows}</table>")
    return "<h2>Confusion</h2>" + "".join(tables)


def _heatmaps(conversion: Conversion) -> str:
    """The golden inputs under their maps; empty for files without."""
    if not conversion.contract.heatmap:
        return ""
    sheet = base64.b64encode(_png(heat_sheet(conversion))).decode()
    return (
        "<h2>Heat maps of the golden inputs</h2>"
        "<p>Red places speak for the label that was given, blue ones against it.</p>"
        f'<img alt="heat maps" src="data:image/png;base64,{sheet}">'
    )


def heat_sheet(conversion: Conversion) -> Image:
    """Golden inputs above the same under their maps, (2 * TILE, n * TILE, 3) RGB."""
    golden, size = conversion.golden.golden, (TILE, TILE)
    plain = [cv2.resize(image, size) for image in golden["inputs"]]
    answers = zip(plain, golden["output_0"], golden["output_1"], strict=True)
    under = [overlay(np.asarray(image, np.uint8), answer, maps) for image, answer, maps in answers]
    return np.asarray(np.concatenate([np.concatenate(plain, axis=1), np.concatenate(under, axis=1)]), np.uint8)


def _bars(data: dict[str, list[float]], x_axis: str, y_axis: str) -> str:
    """A bar chart as SVG, with its largest value and both ends of the x axis written on it."""
    counts, top = data["counts"], max(1.0, *data["counts"])
    width = 560 / len(counts)
    bars = "".join(
        f'<rect x="{40 + i * width:.1f}" y="{180 - 160 * c / top:.1f}" width="{width - 2:.1f}" '
        f'height="{160 * c / top:.1f}" fill="#47a"/>'
        for i, c in enumerate(counts)
    )
    return (
        f'<svg width="620" height="220" font-size="12">{bars}<text x="0" y="25">{top:.0f}</text>'
        f'<text x="40" y="198">{data["edges"][0]:.3f}</text><text x="560" y="198">{data["edges"][-1]:.3f}</text>'
        f'<text x="200" y="214">{x_axis}</text><text x="44" y="12">{y_axis}</text></svg>'
    )


def _reliability_plot(data: dict[str, list[dict[str, float]]]) -> str:
    """Confidence against share right, both models, over the diagonal of a perfectly calibrated one, as SVG."""
    if not data["keras"]:
        return ""
    lines = []
    for name, colour in (("keras", "#47a"), ("tflite", "#c50")):
        points = " ".join(f"{40 + 240 * p['confidence']:.1f},{260 - 240 * p['right']:.1f}" for p in data[name])
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return (
        "<h2>Confidence against the share that is right</h2>"
        "<p>On the grey line a model is right as often as it claims; below it, it claims too much.</p>"
        '<svg width="420" height="290" font-size="12"><line x1="40" y1="260" x2="280" y2="20" stroke="#bbb"/>'
        + "".join(lines)
        + '<text x="40" y="278">0</text><text x="272" y="278">1</text>'
        '<text x="60" y="288">confidence of the answer (0 to 1)</text>'
        '<text x="44" y="16">share of right answers (0 to 1)</text>'
        '<text x="300" y="60" fill="#47a">Keras</text><text x="300" y="80" fill="#c50">TFLite</text></svg>'
    )
