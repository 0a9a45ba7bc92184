"""A converted file proven again: on this machine, and against the Keras model it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from converter import verify
from converter.calibrate import Fit
from converter.evidence import evidence_of
from converter.identify import identify
from converter.job import compare, gathered, in_words_of, reading_of
from converter.load import load
from converter.names import dangerous_of
from converter.noise import ProgressLine, quiet
from converter.options import Options
from converter.results import Proof
from converter.scaling import pixels_of
from edge.drivers import open_interpreter
from edge.errors import ConversionError
from edge.inference.bundle import Model, unpack


def prove(
    file: Path, source: Path | None = None, options: Options | None = None, progress: ProgressLine | None = None
) -> Proof:
    """Repeat a converted file's proof here: golden inputs, and with ``source`` the comparison with Keras.

    Raises BundleError or GoldenError where the file breaks its contract, ConversionError where ``source`` is another
    model than it was made from.
    """
    options, progress = options or Options(), progress or ProgressLine(None)
    bundle = unpack(file)
    with quiet():
        model = Model(bundle, open_interpreter(bundle.flatbuffer), str(file))
    replayed = model.replay()
    contract = bundle.contract
    if source is None:
        return Proof(contract, model.runtime, replayed, None, ())
    size = (contract.input.height, contract.input.width)
    reading = replace(reading_of(options), heatmap=contract.heatmap)
    keras_model = load(source, reading, progress)
    if keras_model.sha256 != contract.source_sha256:
        raise ConversionError(
            f"{source}: is not what {file} was made from (sha256 got {keras_model.sha256[:12]}..., expected "
            f"{contract.source_sha256[:12]}...); give the file it was made from"
        )
    fit = Fit(*size, contract.task == "detector", contract.crop_margin)
    pictures = gathered(options, fit, progress)
    pixels = pixels_of(contract)
    if pixels is None:  # files made before the contract recorded it
        evidence = None if contract.task == "detector" else evidence_of(pictures, fit, options.seed)
        pixels = identify(keras_model, evidence, replace(options, labels=contract.labels)).pixels
    pictures = in_words_of(contract.labels, pictures)
    floats = keras_model.predict(pictures.proof.images, pixels.of_bytes)
    parity = compare(keras_model, contract.labels, pictures, floats, model, progress)
    dangerous = dangerous_of(contract.worn, contract.compliant) if contract.labels else ""
    failures = verify.failures_of(parity, options.gate, contract.labels, dangerous)
    return Proof(contract, model.runtime, replayed, parity, failures)
