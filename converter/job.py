"""What every step of a conversion needs: the model, the pictures, Keras's answers, and the times."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from converter import calibrate, verify
from converter.calibrate import Calibration, Fit
from converter.contradict import given_outputs
from converter.evidence import composed
from converter.identify import Identified
from converter.load import Reading, Source
from converter.noise import ProgressLine
from converter.options import Options
from converter.rank import full_probabilities
from converter.scaling import Pixels
from converter.verify import Parity, Share
from edge.contracts import Floats
from edge.inference.bundle import Model


class StepTimes:
    """Names steps and adds up their seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        begun_s = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - begun_s


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is known of a model once it was read and identified; every later step needs it.

    ``floats`` are Keras's outputs on the held-back pictures.
    """

    source: Source
    fit: Fit
    pictures: Calibration
    identified: Identified
    floats: list[Floats]
    options: Options
    progress: ProgressLine
    times: StepTimes

    @property
    def pixels(self) -> Pixels:
        """Scaling and colour order of the source model."""
        return self.identified.pixels

    @property
    def names(self) -> tuple[str, ...]:
        """Labels in output order; empty of a detector."""
        return self.identified.labels.names if self.identified.labels else ()

    @property
    def dangerous(self) -> str:
        """The label that must not be missed; empty of a detector."""
        return self.identified.labels.dangerous if self.identified.labels else ""

    def parity_of(self, model: Model) -> Parity:
        """``model``'s answers to the held-back pictures against Keras's."""
        return compare(self.source, self.names, self.pictures, self.floats, model, self.progress)

    def failures_of(self, parity: Parity) -> tuple[str, ...]:
        """What of the gate ``parity`` misses."""
        return verify.failures_of(parity, self.options.gate, self.names, self.dangerous)

    def shares_of(self, parity: Parity) -> tuple[Share, ...]:
        """The gate's shares; empty of a detector."""
        return verify.shares_of(parity, self.options.gate, self.names, self.dangerous) if self.names else ()


def reading_of(options: Options) -> Reading:
    """How these options read a model file."""
    return Reading(options.allow_code, options.custom_objects, options.size, options.heatmap)


def gathered(options: Options, fit: Fit, progress: ProgressLine) -> Calibration:
    return calibrate.gather(options.calibration, fit, options.pictures, options.proof, options.seed, progress, composed)


def in_words_of(names: Sequence[str], pictures: Calibration, found: Mapping[str, int] | None = None) -> Calibration:
    """The held-back pictures labelled with the model's names where the folders have others for the same meaning.

    Where the names show no meaning (``a``, ``b``), the outputs that were ``found`` to answer each folder count.
    """
    classes = sorted(set(pictures.proof.labels) - {""})
    outputs = given_outputs(names, classes)
    if len(outputs) < 2 and found:
        outputs = {label: output for label, output in found.items() if label in classes and output < len(names)}
    labels = tuple(names[outputs[label]] if label in outputs else label for label in pictures.proof.labels)
    return replace(pictures, proof=replace(pictures.proof, labels=labels))


def compare(
    source: Source,
    labels: Sequence[str],
    pictures: Calibration,
    floats: list[Floats],
    model: Model,
    progress: ProgressLine,
) -> Parity:
    """Keras's outputs ``floats`` on the held-back pictures against the TFLite ``model``'s; no labels: a detector."""
    outputs = verify.tflite_outputs(model, pictures.proof.images, progress)
    if not labels:
        return verify.compare_detector(floats, outputs, source.height, source.width)
    return verify.compare_classifier(
        full_probabilities(floats[0]), full_probabilities(outputs[0]), labels, pictures.proof.labels
    )
