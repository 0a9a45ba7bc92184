"""What a conversion found, told: a few lines for the terminal."""

from __future__ import annotations

from converter.flow import Conversion

MEGABYTE = 1e6


def summary(conversion: Conversion) -> str:
    """A few lines: what the file is, how close it is to Keras, what replay will notice."""
    contract, parity = conversion.contract, conversion.parity
    spec = contract.input
    lines = [
        f"{conversion.target}: {contract.task}, {spec.width} x {spec.height} {spec.colour}, {contract.quantization}, "
        f"{len(conversion.bundle) / MEGABYTE:.2f} MB (Keras {conversion.source_bytes / MEGABYTE:.2f} MB)",
    ]
    if contract.labels:
        lines.append(f"labels: {', '.join(contract.labels)}; fine at the door: {contract.compliant}")
    lines.append(f"pixels: {conversion.pixels.name} ({conversion.pixels.why})")
    lines.append(_agreement(conversion))
    for label, recall in parity.float_recall.items():
        lines.append(f"recall of {label}: Keras {recall:.2%}, TFLite {parity.tflite_recall[label]:.2%}")
    lines.append(
        f"golden inputs: {len(conversion.golden.golden['inputs'])}; answers spread {conversion.golden.spread:.1f}, a "
        f"colour swap moves them {conversion.golden.swap:.1f} times what replay allows"
    )
    lines.append("time: " + ", ".join(f"{step} {seconds:.1f} s" for step, seconds in conversion.seconds.items()))
    return "\n".join(lines)


def _agreement(conversion: Conversion) -> str:
    parity = conversion.parity
    drawn = "drawn" if conversion.calibration.drawn else "held-back"
    if conversion.labels is None:
        return (
            f"agreement: {parity.agreement:.2%} of faces on {parity.pictures} {drawn} pictures (Keras "
            f"{parity.float_faces}, TFLite {parity.tflite_faces}), mean score difference "
            f"{parity.mean_difference:.4f}, largest {parity.max_difference:.4f}"
        )
    return (
        f"agreement: {parity.agreement:.2%} of {parity.pictures} {drawn} pictures, mean probability difference "
        f"{parity.mean_difference:.4f}, largest {parity.max_difference:.4f}"
    )
