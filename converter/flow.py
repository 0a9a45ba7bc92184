"""The page to read first: one conversion, top to bottom.

load -> calibrate -> identify -> quantize -> verify -> golden inputs -> write
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from converter import draw, golden, verify
from converter.calibrate import Fit, no_calibration
from converter.evidence import evidence_of
from converter.explain import explain
from converter.export_onnx import check_onnx, contract_of, to_onnx
from converter.golden import Chosen
from converter.identify import identify
from converter.job import Job, StepTimes, gathered, in_words_of, reading_of
from converter.load import load
from converter.noise import ProgressLine, quiet
from converter.notes import notes_of
from converter.options import SCHEMES, Options
from converter.quantize import quantize
from converter.results import Attempt, Conversion, Onnx
from converter.write import check_target, write
from edge.drivers import open_interpreter
from edge.drivers.onnx import OnnxInterpreter
from edge.errors import ConversionError
from edge.inference.bundle import FORMAT, MAX_TEXT, Bundle, Confusion, Contract, Golden, InputSpec, Model, pack, sha256
from edge.stages.detect import STRIDES
from edge.text import MAX_LABEL, escaped, is_label
from edge.version import version

CANDIDATES = 36
"""Pictures that golden inputs are chosen from."""
DRAWN_CANDIDATES = {"classifier": 240, "detector": 36}
"""The same for drawn ones, of which fewer are to the point; an inference each, twice."""
GOLDEN_COUNT = {"classifier": 8, "detector": 4}
TIMED = 20
EXPLAINED = 16


def convert(
    source: Path | str,
    options: Options | None = None,
    progress: ProgressLine | None = None,
    into: Path | None = None,
) -> Conversion:
    """Convert a Keras model and prove it; writes the file (to ``into``, where given) only if the proof holds.

    The model is opened in this process; the command line does the same in a child (:mod:`converter.child`). Raises
    :class:`edge.errors.ConversionError` where ``source`` cannot be converted, :class:`edge.errors.DataError` where
    there are no pictures to calibrate on.
    """
    options, path = options or Options(), Path(source)
    target = into or target_of(path, options)
    check(options, target)
    job = _begin(path, options, progress or ProgressLine(None))
    attempts = _attempts(job, _draft(job, target))
    attempt = attempts[-1]
    with job.times("choose golden inputs"):
        chosen = _golden_of(job, attempt)
    with job.times("time and explain"):
        unrounded = _unrounded(job, attempts)
        milliseconds, layers = _timed(job, attempts, unrounded), _explained(job, attempt, unrounded)
    contract = msgspec.structs.replace(
        attempt.contract, parity=attempt.parity.numbers(), confusion=_confusion_of(job, attempt)
    )
    bundle = pack(attempt.flatbuffer, contract, chosen.golden)
    onnx = _onnx_of(job, contract, chosen) if options.onnx else None
    failures = attempt.failures + (onnx.failures if onnx else ())
    if not failures:
        write(target, bundle)
        if onnx:
            write(onnx_path(target), onnx.bundle)
    shares = job.shares_of(attempt.parity)
    return Conversion(
        path=None if failures else target,
        target=target,
        source=path,
        source_bytes=_size_of(path),
        options=options,
        bundle=bundle,
        contract=contract,
        identified=job.identified,
        calibration=job.pictures,
        parity=attempt.parity,
        shares=shares,
        failures=failures,
        golden=chosen,
        notes=notes_of(job.identified, job.pictures, options, attempts, shares, chosen, milliseconds),
        seconds=job.times.seconds,
        inference_ms=milliseconds,
        layers=layers,
        unrounded=unrounded,
        onnx=onnx,
    )


def target_of(source: Path, options: Options) -> Path:
    """Where the converted model goes: as stated, or beside ``source``."""
    return options.output or source.parent / f"{source.stem or source.name}.tflite"


def onnx_path(target: Path) -> Path:
    """Where ``--also onnx`` puts its file."""
    return target.with_suffix(".onnx")


def check(options: Options, target: Path) -> None:
    """Refuse before the long work: numbers that cannot be meant, places that take no file, missing libraries."""
    if options.pictures < 1:
        raise ConversionError(f"--pictures {options.pictures}: expected 1 or more to calibrate on, better 200")
    if options.proof is not None and options.proof < 0:
        raise ConversionError(f"--proof {options.proof}: expected 0 (all there are) or more to hold back")
    if not 0 <= options.crop_margin <= 2:
        raise ConversionError(f"--crop-margin {options.crop_margin}: expected 0 to 2 of the face's longer side")
    if options.seed < 0:
        raise ConversionError(f"--seed {options.seed}: expected 0 or more")
    # Not-a-number compares false with everything: such a gate would let all pass.
    if np.isnan([getattr(options.gate, name) for name in options.gate.__slots__]).any():
        raise ConversionError(f"gate: got {options.gate}, expected numbers")
    if options.calibration and not options.calibration.exists():
        raise no_calibration(options.calibration)
    check_target(target, options.force)
    if options.onnx:
        check_target(onnx_path(target), options.force)
        check_onnx()


def _begin(path: Path, options: Options, progress: ProgressLine) -> Job:
    """Read the model and the pictures, identify what is not stated, and let Keras answer."""
    times = StepTimes()
    progress.say(f"reading {path}")
    with times("read the model"):
        source = load(path, reading_of(options), progress)
    fit = Fit(source.height, source.width, source.task == "detector", options.crop_margin)
    with times("read the pictures"):
        pictures = gathered(options, fit, progress)
    with times("identify"):
        evidence = None if source.task == "detector" else evidence_of(pictures, fit, options.seed)
        identified = identify(source, evidence, options)
    _check_labels(identified.labels.names if identified.labels else ())
    pictures = in_words_of(identified.labels.names if identified.labels else (), pictures, identified.outputs)
    with times("run Keras"):
        floats = source.predict(pictures.proof.images, identified.pixels.of_bytes)
    return Job(source, fit, pictures, identified, floats, options, progress, times)


def _check_labels(names: Sequence[str]) -> None:
    """Raise ConversionError for a label that a model file cannot hold; labels reach terminals, logs and messages."""
    wrong = next((name for name in names if not is_label(name)), None)
    if wrong is not None:
        raise ConversionError(
            f"label {escaped(repr(wrong), MAX_LABEL)}: got {len(wrong)} characters, expected up to {MAX_LABEL} "
            "printable ones; name the outputs with --labels"
        )


def _draft(job: Job, target: Path) -> Contract:
    """The contract, as far as it is known before quantizing."""
    model, labels, scaling = job.source, job.identified.labels, job.pixels.scaling
    return Contract(
        format=FORMAT,
        task=model.task,
        name=escaped(target.stem, MAX_LABEL),
        input=InputSpec(height=model.height, width=model.width, scale=1.0, offset=0.0, colour=job.pixels.colour),
        sha256="",
        source_sha256=model.sha256,
        quantization="",
        reason="",
        versions={
            "source": escaped(model.made_by, MAX_LABEL),
            "tensorflow": importlib.metadata.version("tensorflow"),
            "keras": importlib.metadata.version("keras"),
            "fmd": version(),
        },
        parity={},
        labels=labels.names if labels else (),
        compliant=labels.compliant if labels else "",
        background=labels.background if labels else None,
        output="anchor-free" if labels is None else "sigmoid" if model.neurons == 1 else "softmax",
        crop_margin=job.options.crop_margin if labels else 0.0,
        strides=() if labels else STRIDES,
        heatmap=job.options.heatmap,
        scaling=msgspec.structs.replace(scaling, why=escaped(scaling.why, MAX_TEXT)),
    )


def _attempts(job: Job, draft: Contract) -> list[Attempt]:
    """Quantize by the scheme stated and compare; with ``auto`` by one after the other, until one passes the gate."""
    if job.options.scheme != "auto":
        return [_attempt_with(job, job.options.scheme, "as stated with --scheme", draft)]
    # Composed pictures can neither set nor prove the ranges of int8.
    schemes = [scheme for scheme in SCHEMES if scheme != "int8" or not job.pictures.drawn]
    attempts: list[Attempt] = []
    for scheme in schemes:
        missed = [f"{a.scheme} missed the gate: {', '.join(a.failures)}" for a in attempts]
        first = "the smallest that passes" if not job.pictures.drawn else "the smallest that needs no calibration"
        attempts.append(_attempt_with(job, scheme, "; ".join([*missed, first]), draft))
        if not attempts[-1].failures:
            break
        job.progress.say(f"{scheme} missed the gate: {', '.join(attempts[-1].failures)}")
    return attempts


def _attempt_with(job: Job, scheme: str, reason: str, draft: Contract) -> Attempt:
    job.progress.say(f"quantizing: {scheme} ({SCHEMES[scheme]})")
    with job.times("quantize"):
        images = job.pixels.ordered(job.pictures.fit.images)
        made = quantize(job.source, job.pixels, images, scheme, job.progress)
    flatbuffer = made.flatbuffer
    contract = msgspec.structs.replace(
        draft, sha256=sha256(flatbuffer), quantization=scheme, reason=escaped(reason, MAX_TEXT)
    )
    with quiet():  # the runtime greets on stderr
        interpreter = open_interpreter(flatbuffer)
    model = Model(Bundle(flatbuffer, contract, {}), interpreter, str(job.source.path))
    with job.times("run TFLite"):
        parity = job.parity_of(model)
    steps = [spec.scale for spec in interpreter.outputs]
    return Attempt(scheme, flatbuffer, made.unrounded, contract, model, steps, parity, job.failures_of(parity))


def _golden_of(job: Job, attempt: Attempt) -> Chosen:
    task = attempt.contract.task
    if job.options.golden == "drawn" or job.pictures.drawn:
        make = draw.scenes if job.fit.detector else draw.faces
        drawn = make(job.fit.height, job.fit.width, DRAWN_CANDIDATES[task], job.options.seed)[0]
        candidates = draw.varied(drawn, job.options.seed)
    else:
        candidates = job.pictures.proof.images[:CANDIDATES]
    colour = job.pixels.colour != "GRAY"
    return golden.choose(attempt.model, attempt.steps, candidates, GOLDEN_COUNT[task], job.progress, colour)


def _confusion_of(job: Job, attempt: Attempt) -> Confusion | None:
    """The file's answers to the held-back pictures of known label, counted; None where there are none."""
    worn = attempt.contract.worn
    if not worn:
        return None
    truth = job.pictures.proof.labels
    counts = verify.worn_confusion(attempt.parity.tflite_answers, job.names, worn, truth)
    if not counts.sum():
        return None
    return Confusion(labels=worn, observation=tuple(tuple(row) for row in counts.tolist()))


def _unrounded(job: Job, attempts: Sequence[Attempt]) -> bytes | None:
    """The same model in float32: as the converter left it, else converted once more where layers are compared."""
    left = [attempt.unrounded for attempt in attempts if attempt.unrounded is not None]
    if left or not job.options.explain:
        return left[0] if left else None
    job.progress.say("converting once more without rounding, to compare with")
    images = job.pixels.ordered(job.pictures.fit.images[:1])
    return quantize(job.source, job.pixels, images, "float32", job.progress).flatbuffer


def _timed(job: Job, attempts: Sequence[Attempt], unrounded: bytes | None) -> dict[str, float]:
    """Milliseconds a picture of every scheme tried, and of float where there is one."""
    models = {attempt.scheme: attempt.model for attempt in attempts}
    if unrounded is not None:
        models.setdefault("float32", _model_of(unrounded, attempts[-1].contract))
    return verify.paired_ms(models, job.pictures.proof.images[:TIMED])


def _explained(job: Job, attempt: Attempt, unrounded: bytes | None) -> tuple[tuple[str, float], ...]:
    """The layers that lose most, where that was asked for."""
    if not job.options.explain or unrounded is None:
        return ()
    return explain(attempt.flatbuffer, unrounded, job.pixels.ordered(job.pictures.proof.images[:EXPLAINED]))


def _onnx_of(job: Job, draft: Contract, chosen: Chosen) -> Onnx:
    """Export, compare with Keras on the same pictures, and answer the same golden inputs."""
    job.progress.say("exporting ONNX")
    with job.times("export ONNX"):
        exported = to_onnx(job.source, job.pixels)
        # The processor rounds the same everywhere, which golden outputs must; a laptop's GPU does not.
        interpreter = OnnxInterpreter(exported, providers=("cpu",))
        model = Model(Bundle(exported, draft, {}), interpreter, interpreter.runtime)
        parity = job.parity_of(model)
        inputs = chosen.golden["inputs"]
        outputs = verify.tflite_outputs(model, inputs, job.progress)
    answered: Golden = {"inputs": inputs, **{f"output_{k}": out for k, out in enumerate(outputs)}}
    contract = contract_of(draft, exported, parity.numbers())
    failures = tuple(f"ONNX: {failure}" for failure in job.failures_of(parity))
    return Onnx(pack(exported, contract, answered), contract, parity, failures)


def _model_of(flatbuffer: bytes, contract: Contract) -> Model:
    with quiet():
        return Model(Bundle(flatbuffer, contract, {}), open_interpreter(flatbuffer), contract.name)


def _size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
