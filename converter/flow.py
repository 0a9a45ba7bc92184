"""The page to read first: one conversion, top to bottom.

load -> calibrate -> find out pixels and labels -> quantize -> verify -> golden -> write
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from converter import calibrate, draw, golden, verify
from converter.calibrate import Calibration, Fit
from converter.explain import explain
from converter.export_onnx import OnnxInterpreter, check_onnx, contract_of, to_onnx, with_contract
from converter.golden import Chosen
from converter.heatmap import with_heatmap
from converter.labels import Asked, Labels, dangerous_of, find_labels
from converter.load import Source, load
from converter.noise import Progress, quiet
from converter.pixels import Pixels, find_pixels, full_probabilities, pixels_of
from converter.quantize import SCHEMES, quantize
from converter.verify import Gate, Parity, Share
from converter.write import check_target, write
from edge.contracts import Floats, Image
from edge.drivers import open_interpreter
from edge.errors import ConversionError
from edge.inference.bundle import FORMAT, Bundle, Contract, Golden, InputSpec, Model, pack, sha256, unpack
from edge.stages.classify import CROP_MARGIN
from edge.stages.detect import STRIDES

CANDIDATES = 36
"""Pictures that golden inputs are chosen from."""
DRAWN_CANDIDATES = {"classifier": 240, "detector": 36}
"""The same for drawn ones, of which fewer are to the point; an inference each, twice."""
GOLDEN_COUNT = {"classifier": 8, "detector": 4}
SPREAD_FOR_LABELS = 64
TIMED = 20
EXPLAINED = 16


@dataclass(frozen=True, slots=True)
class Options:
    """How to convert. Everything left alone is found out or has the default that suits most.

    ``calibration`` is a folder (of class folders, or of pictures) or a boxes CSV; ``pictures`` of it are calibrated on
    and ``proof`` (0: all) held back. ``pixels`` is a key of :data:`converter.pixels.SCALINGS` or ``auto``. ``golden``
    says whose pictures travel in the file: ``held-back`` ones of the calibration set, or ``drawn`` ones.
    """

    output: Path | None = None
    labels: tuple[str, ...] = ()
    compliant: str = ""
    background: str = ""
    calibration: Path | None = None
    pictures: int = 200
    proof: int = 200
    seed: int = 1
    scheme: str = "int8"
    pixels: str = "auto"
    colour: Literal["auto", "RGB", "BGR"] = "auto"
    crop_margin: float = CROP_MARGIN
    golden: Literal["held-back", "drawn"] = "held-back"
    gate: Gate = field(default_factory=Gate)
    heatmap: bool = False
    explain: bool = False
    onnx: bool = False
    force: bool = False
    allow_code: bool = False
    custom_objects: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One scheme tried: the flatbuffer, the model on the edge's runtime, its parity, and what of the gate it missed.

    ``unrounded`` is the same in float32, where the converter left one.
    """

    scheme: str
    flatbuffer: bytes
    unrounded: bytes | None
    contract: Contract
    model: Model
    steps: list[float]
    parity: Parity
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Onnx:
    """The same model as ONNX, proven the same way; ``bundle`` is what is written to :func:`onnx_path`."""

    bundle: bytes
    contract: Contract
    parity: Parity
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """What came of it. ``path`` is None where the gate was not passed: then no model was written.

    ``bundle`` holds the file's bytes either way. ``shares`` are what the gate looked at (of a classifier). ``failures``
    are sentences; ``notes`` are what was guessed or is less than it could be. ``seconds`` maps a step's name to the
    time it took, ``inference_ms`` a model to the median milliseconds of one picture on one thread here. ``layers``
    are those that lose most, where that was asked for. ``unrounded`` is the flatbuffer in float32 that the times
    and the layers are compared with.
    """

    path: Path | None
    target: Path
    source: Path
    source_bytes: int
    bundle: bytes
    contract: Contract
    pixels: Pixels
    labels: Labels | None
    calibration: Calibration
    parity: Parity
    shares: tuple[Share, ...]
    failures: tuple[str, ...]
    golden: Chosen
    notes: tuple[str, ...]
    seconds: dict[str, float]
    inference_ms: dict[str, float]
    layers: tuple[tuple[str, float], ...]
    unrounded: bytes
    onnx: Onnx | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate was passed and the file written."""
        return not self.failures


class Watch:
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
    """What is known once a model was read and looked at, and what every later step needs.

    ``floats`` are Keras's outputs on the held-back pictures.
    """

    source: Source
    fit: Fit
    pictures: Calibration
    pixels: Pixels
    labels: Labels | None
    floats: list[Floats]
    options: Options
    progress: Progress
    watch: Watch

    def parity_of(self, model: Model) -> Parity:
        """``model``'s answers to the held-back pictures against Keras's."""
        names = self.labels.names if self.labels else ()
        return compare(self.source, names, self.pictures, self.floats, model, self.progress)

    def failures_of(self, parity: Parity) -> tuple[str, ...]:
        """What of the gate ``parity`` misses."""
        names, dangerous = (self.labels.names, self.labels.dangerous) if self.labels else ((), "")
        return verify.failures_of(parity, self.options.gate, names, dangerous)

    def shares_of(self, parity: Parity) -> tuple[Share, ...]:
        """What the gate looks at, as it came out; empty of a detector."""
        if self.labels is None:
            return ()
        return verify.shares_of(parity, self.options.gate, self.labels.names, self.labels.dangerous)


def convert(source: Path | str, options: Options | None = None, progress: Progress | None = None) -> Conversion:
    """Convert a Keras model and prove it; writes the file only if the proof holds.

    Raises :class:`edge.errors.ConversionError` where ``source`` cannot be converted, :class:`edge.errors.DataError`
    where there are no pictures to calibrate on.
    """
    options, path = options or Options(), Path(source)
    target = target_of(path, options)
    _check(options, target)
    job = _begin(path, options, progress or Progress(None))
    attempt = _attempt(job, _draft(job, target))
    with job.watch("choose golden inputs"):
        chosen = _golden_of(job, attempt)
    with job.watch("time and explain"):
        unrounded = _unrounded(job, attempt)
        times, layers = _timed(job, attempt, unrounded), _explained(job, attempt, unrounded)
    contract = msgspec.structs.replace(attempt.contract, parity=attempt.parity.numbers())
    bundle = pack(attempt.flatbuffer, contract, chosen.golden)
    onnx = _onnx_of(job, contract, chosen) if options.onnx else None
    failures = attempt.failures + (onnx.failures if onnx else ())
    if not failures:
        write(target, bundle)
        if onnx:
            write(onnx_path(target), onnx.bundle)
    return Conversion(
        path=None if failures else target,
        target=target,
        source=path,
        source_bytes=_size_of(path),
        bundle=bundle,
        contract=contract,
        pixels=job.pixels,
        labels=job.labels,
        calibration=job.pictures,
        parity=attempt.parity,
        shares=job.shares_of(attempt.parity),
        failures=failures,
        golden=chosen,
        notes=_notes(job, attempt, chosen),
        seconds=job.watch.seconds,
        inference_ms=times,
        layers=layers,
        unrounded=unrounded,
        onnx=onnx,
    )


def target_of(source: Path, options: Options) -> Path:
    """Where the converted model goes: as asked, or beside ``source``."""
    return options.output or source.parent / f"{source.stem or source.name}.tflite"


def _check(options: Options, target: Path) -> None:
    """Complain before the long work: of numbers that cannot be meant, places that take no file, missing libraries."""
    if options.pictures < 1:
        raise ConversionError(f"--pictures {options.pictures}: expected 1 or more to calibrate on, better 200")
    if options.proof < 0:
        raise ConversionError(f"--proof {options.proof}: expected 0 (all there are) or more to hold back")
    if not 0 <= options.crop_margin <= 2:
        raise ConversionError(f"--crop-margin {options.crop_margin}: expected 0 to 2 of the face's longer side")
    if options.seed < 0:
        raise ConversionError(f"--seed {options.seed}: expected 0 or more")
    # Not-a-number compares false with everything: such a gate would let all pass.
    if np.isnan([getattr(options.gate, name) for name in options.gate.__slots__]).any():
        raise ConversionError(f"gate: got {options.gate}, expected numbers")
    check_target(target, options.force)
    if options.onnx:
        check_target(onnx_path(target), options.force)
        check_onnx()


def _begin(path: Path, options: Options, progress: Progress) -> Job:
    """Read the model and the pictures, find out what is not said, and let Keras answer."""
    watch = Watch()
    progress.say(f"reading {path}")
    with watch("read the model"):
        source = load(path, options.allow_code, options.custom_objects)
        if options.heatmap:
            source = with_heatmap(source)
    fit = Fit(source.height, source.width, source.task == "detector", options.crop_margin)
    with watch("read the pictures"):
        pictures = calibrate.gather(options.calibration, fit, options.pictures, options.proof, options.seed, progress)
    with watch("find out"):
        pixels = find_pixels(source, pictures.fit, options.pixels, options.colour)
        labels = _labels_of(source, pixels, pictures, options)
    with watch("run Keras"):
        floats = source.predict(pictures.proof.images, pixels.of_bytes)
    return Job(source, fit, pictures, pixels, labels, floats, options, progress, watch)


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """A file proven anew: ``replay`` is the largest golden difference as a share of what is allowed.

    ``parity`` and ``failures`` compare it with its Keras model where one was given, else they are None and empty.
    """

    contract: Contract
    runtime: str
    replay: float
    parity: Parity | None
    failures: tuple[str, ...]


def prove(
    file: Path, source: Path | None = None, options: Options | None = None, progress: Progress | None = None
) -> Proof:
    """Repeat a converted file's proof here: golden inputs, and with ``source`` the comparison with Keras.

    Raises BundleError or GoldenError where the file is not what it says, ConversionError where ``source`` is another
    model than it was made from.
    """
    options, progress = options or Options(), progress or Progress(None)
    bundle = unpack(file)
    with quiet():
        model = Model(bundle, open_interpreter(bundle.flatbuffer), str(file))
    replayed = model.replay()
    contract = bundle.contract
    if source is None:
        return Proof(contract, model.runtime, replayed, None, ())
    keras_model = load(source, options.allow_code, options.custom_objects)
    if keras_model.sha256 != contract.source_sha256:
        raise ConversionError(
            f"{source}: is not what {file} was made from (sha256 got {keras_model.sha256[:12]}..., expected "
            f"{contract.source_sha256[:12]}...); give the file it was made from"
        )
    fit = Fit(keras_model.height, keras_model.width, contract.task == "detector", contract.crop_margin)
    pictures = calibrate.gather(options.calibration, fit, options.pictures, options.proof, options.seed, progress)
    # A second guess, on other pictures, could only differ from the first; files made before it was kept need one.
    pixels = pixels_of(contract) or find_pixels(keras_model, pictures.fit, "auto", contract.input.colour)
    floats = keras_model.predict(pictures.proof.images, pixels.of_bytes)
    parity = compare(keras_model, contract.labels, pictures, floats, model, progress)
    dangerous = dangerous_of(contract.worn, contract.compliant) if contract.labels else ""
    return Proof(
        contract, model.runtime, replayed, parity, verify.failures_of(parity, options.gate, contract.labels, dangerous)
    )


def _labels_of(model: Source, pixels: Pixels, pictures: Calibration, options: Options) -> Labels | None:
    if model.task == "detector":
        return None
    chosen = np.linspace(0, len(pictures.fit) - 1, min(SPREAD_FOR_LABELS, len(pictures.fit))).astype(int)
    probes = calibrate.Pictures(
        pictures.fit.images[chosen],
        tuple(pictures.fit.labels[i] for i in chosen),
        tuple(pictures.fit.names[i] for i in chosen),
    )
    raw = model.predict(probes.images, pixels.of_bytes)[0]
    _check_probabilities(model, raw)
    return find_labels(
        model, Asked(options.labels, options.compliant, options.background), probes, full_probabilities(raw)
    )


def _check_probabilities(model: Source, raw: Floats) -> None:
    """Refuse what does not answer in probabilities: a regression, or a last layer without its activation."""
    if not np.isfinite(raw).all():
        raise ConversionError(
            f"{model.path}: answers NaN or infinity to pictures; the training diverged: train it again"
        )
    sums_right = raw.shape[1] == 1 or np.allclose(raw.sum(axis=1), 1, atol=1e-2) or model.activation == "sigmoid"
    bounded = (
        raw.min() >= -1e-3 and raw.max() <= 1 + 1e-3 and model.activation in ("", "softmax", "sigmoid", "hard_sigmoid")
    )
    if not (sums_right and bounded):
        raise ConversionError(
            f"{model.path}: answers {raw.min():.3g} to {raw.max():.3g} (last activation "
            f"{model.activation or 'unknown'}), expected probabilities; end it with softmax, or sigmoid for one neuron "
            "(a model trained with from_logits=True: add keras.layers.Softmax)"
        )


def _draft(job: Job, target: Path) -> Contract:
    """The contract, as far as it is known before quantizing."""
    model, labels = job.source, job.labels
    return Contract(
        format=FORMAT,
        task=model.task,
        name=target.stem,
        input=InputSpec(height=model.height, width=model.width, scale=1.0, offset=0.0, colour=job.pixels.colour),
        sha256="",
        source_sha256=model.sha256,
        quantization="",
        reason="",
        versions={
            "source": model.made_by,
            "tensorflow": importlib.metadata.version("tensorflow"),
            "keras": importlib.metadata.version("keras"),
            "fmd": importlib.metadata.version("fmd-edge"),
        },
        parity={},
        labels=labels.names if labels else (),
        compliant=labels.compliant if labels else "",
        background=labels.background if labels else None,
        output="anchor-free" if labels is None else "sigmoid" if model.neurons == 1 else "softmax",
        crop_margin=job.options.crop_margin if labels else 0.0,
        strides=() if labels else STRIDES,
        heatmap=job.options.heatmap,
        scaling=job.pixels.scaling,
    )


def _attempt(job: Job, draft: Contract) -> Attempt:
    """Quantize by the scheme asked for and compare; of ``auto`` the first, smallest, that passes."""
    if job.options.scheme != "auto":
        return _attempt_with(job, job.options.scheme, "as asked", draft)
    fallen: list[str] = []
    unrounded = None
    for scheme in SCHEMES:
        attempt = _attempt_with(job, scheme, "; ".join([*fallen, "the smallest that passes"]), draft)
        unrounded = attempt.unrounded or unrounded
        if not attempt.failures:
            break
        fallen.append(f"{scheme} fell: {', '.join(attempt.failures)}")
        job.progress.say(fallen[-1])
    return replace(attempt, unrounded=unrounded)


def _attempt_with(job: Job, scheme: str, reason: str, draft: Contract) -> Attempt:
    job.progress.say(f"quantizing: {scheme} ({SCHEMES[scheme]})")
    with job.watch("quantize"):
        images = _fed(job.pictures.fit.images, job.pixels)
        made = quantize(job.source, job.pixels, images, scheme, job.progress)
    flatbuffer = made.flatbuffer
    contract = msgspec.structs.replace(draft, sha256=sha256(flatbuffer), quantization=scheme, reason=reason)
    with quiet():  # the runtime greets on stderr
        interpreter = open_interpreter(flatbuffer)
    model = Model(Bundle(flatbuffer, contract, {}), interpreter, str(job.source.path))
    with job.watch("run TFLite"):
        parity = job.parity_of(model)
    steps = [spec.scale for spec in interpreter.outputs]
    return Attempt(scheme, flatbuffer, made.unrounded, contract, model, steps, parity, job.failures_of(parity))


def _fed(images: Image, pixels: Pixels) -> Image:
    """Pictures in the colour order the graph is fed: the edge swaps before it, by the contract."""
    return images if pixels.colour == "RGB" else np.ascontiguousarray(images[..., ::-1])


def compare(
    source: Source, labels: Sequence[str], pictures: Calibration, floats: list[Floats], model: Model, progress: Progress
) -> Parity:
    """Keras's outputs ``floats`` on the held-back pictures against the TFLite ``model``'s; no labels: a detector."""
    outputs = verify.tflite_outputs(model, pictures.proof.images, progress)
    if not labels:
        return verify.compare_detector(floats, outputs, source.height, source.width)
    return verify.compare_classifier(
        full_probabilities(floats[0]), full_probabilities(outputs[0]), labels, pictures.proof.labels
    )


def _golden_of(job: Job, attempt: Attempt) -> Chosen:
    task = attempt.contract.task
    if job.options.golden == "drawn" or job.pictures.drawn:
        candidates = draw.varied(_drawn(job.fit, DRAWN_CANDIDATES[task], job.options.seed), job.options.seed)
    else:
        candidates = job.pictures.proof.images[:CANDIDATES]
    return golden.choose(attempt.model, attempt.steps, candidates, GOLDEN_COUNT[task], job.progress)


def _unrounded(job: Job, attempt: Attempt) -> bytes:
    """The same model in float32: as the converter left it, else converted once more."""
    if attempt.unrounded is not None:
        return attempt.unrounded
    job.progress.say("converting once more without rounding, to compare with")
    return quantize(job.source, job.pixels, job.pictures.fit.images[:1], "float32", job.progress).flatbuffer


def _timed(job: Job, attempt: Attempt, unrounded: bytes) -> dict[str, float]:
    """Milliseconds a picture of the file, and of float beside it."""
    models = {attempt.scheme: attempt.model, "float32": _model_of(unrounded, attempt.contract)}
    return verify.paired_ms(models, job.pictures.proof.images[:TIMED])


def _explained(job: Job, attempt: Attempt, unrounded: bytes) -> tuple[tuple[str, float], ...]:
    """The layers that lose most, where that was asked for."""
    if not job.options.explain:
        return ()
    return explain(attempt.flatbuffer, unrounded, _fed(job.pictures.proof.images[:EXPLAINED], job.pixels))


def onnx_path(target: Path) -> Path:
    """Where ``--also onnx`` puts its file."""
    return target.with_suffix(".onnx")


def _onnx_of(job: Job, draft: Contract, chosen: Chosen) -> Onnx:
    """Export, compare with Keras on the same pictures, and answer the same golden inputs."""
    job.progress.say("exporting ONNX")
    with job.watch("export ONNX"):
        exported = to_onnx(job.source, job.pixels)
        interpreter = OnnxInterpreter(exported)
        model = Model(Bundle(exported, draft, {}), interpreter, interpreter.runtime)
        parity = job.parity_of(model)
        inputs = chosen.golden["inputs"]
        outputs = verify.tflite_outputs(model, inputs, job.progress)
    answered: Golden = {"inputs": inputs, **{f"output_{k}": out for k, out in enumerate(outputs)}}
    contract = contract_of(draft, exported, parity.numbers())
    failures = tuple(f"ONNX: {failure}" for failure in job.failures_of(parity))
    return Onnx(with_contract(exported, contract, answered), contract, parity, failures)


def _model_of(flatbuffer: bytes, contract: Contract) -> Model:
    with quiet():
        return Model(Bundle(flatbuffer, contract, {}), open_interpreter(flatbuffer), contract.name)


def _drawn(fit: Fit, count: int, seed: int) -> Image:
    make = draw.scenes if fit.detector else draw.faces
    return make(fit.height, fit.width, count, seed)[0]


def _notes(job: Job, attempt: Attempt, chosen: Chosen) -> tuple[str, ...]:
    """What was guessed, or is less than it could be."""
    pixels, labels, notes = job.pixels, job.labels, list(job.pictures.notes)
    if pixels.guessed:
        notes.append(f"guess: pixels are {pixels.name} ({pixels.why}); --pixels sets it")
    if labels and labels.guessed:
        notes.append(f"guess: labels are {', '.join(labels.names)} ({labels.why}); --labels sets them")
    if labels and labels.compliant_guessed:
        notes.append(f"guess: {labels.compliant} is fine at the door, by its name; --compliant sets it")
    if labels and labels.background_guessed:
        notes.append(f"guess: {labels.background} means that it is no face, by its name; --background sets it")
    if job.options.golden == "held-back" and not job.pictures.drawn:
        count = len(chosen.golden["inputs"])
        notes.append(f"{count} of your held-back pictures travel in the file; --golden drawn takes drawings instead")
    warnings = filter(None, (labels.warning if labels else "", chosen.warning))
    return (*notes, *verify.coarseness_of(job.shares_of(attempt.parity)), *warnings)


def _size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
