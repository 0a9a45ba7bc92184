"""Model file: a TFLite flatbuffer, followed by a zip with its contract and golden inputs. Or the same as ONNX.

TensorFlow Lite calls this "associated files". Programs read a flatbuffer from its start and a zip from its end. So
every interpreter ignores the zip, and ``unzip -l mask.tflite`` lists its files:

* ``fmd.json``: the :class:`Contract`, all that the runtime must know and that people get wrong: pixel scaling, colour
  order, label order, crop margin, and the hash of the flatbuffer that it describes;
* ``golden.npz``: a few real inputs and the outputs that the converter measured. :meth:`Model.replay` runs them again.

In an ONNX file the same two are metadata at its end, ``golden.npz`` in base64 (:mod:`edge.inference.onnx_file`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edge.contracts import Floats, Image, Interpreter, Stored
from edge.errors import BundleError, GoldenError
from edge.inference import archive, onnx_file
from edge.inference.archive import ArchiveError
from edge.inference.onnx_file import CONTRACT_NAME, GOLDEN_NAME
from edge.text import MAX_LABEL, escaped, is_label

FORMAT = 2
READABLE_FORMATS = (1, 2)
"""Formats this fmd reads. Format 1 lacks ``confusion`` and ``temperature``, which are optional."""
INPUTS, OUTPUT = "inputs", "output_"
"""Names of the golden arrays; a number follows the second."""
MAX_CONTRACT, MAX_GOLDEN = 256 << 10, 32 << 20
"""Bytes of the contract and of the golden data."""
MAX_GOLDEN_INPUTS, MAX_OUTPUTS = 64, 2
"""The converter writes eight inputs: each one costs an inference at every start."""
MAX_LABELS, MAX_TEXT = 32, 2000
"""Number of labels, and characters of a sentence in a contract."""
MAX_SHOWN = 300
"""Characters of a file's own text in a message."""
MAX_FILE = onnx_file.MAX_FILE
SUFFIXES = TFLITE_SUFFIX, ONNX_SUFFIX = ".tflite", ".onnx"
FLATBUFFER_MAGIC = b"TFL3"  # bytes 4..8 of every TFLite file (its FlatBuffers file identifier)

GOLDEN_QUANTA = {"ai-edge-litert": 1, "tflite-runtime": 64, "tensorflow": 24}
"""Largest difference from the golden outputs for each runtime, in steps of the output's quantization.

LiteRT with XNNPACK is bit-exact between x86-64 and arm64; 1 allows for one rounding. tflite-runtime 2.14 and
TensorFlow's own interpreter use other int8 kernels. On the shipped models tflite-runtime is up to 40 steps off where a
face is unclear. A colour swap, a wrong scaling or a constant output changes most of the 256 steps."""
GOLDEN_ABSOLUTE = 2e-3
"""Largest difference from the golden outputs of float tensors, in the output's own unit."""
GOLDEN_SHARE = {"onnxruntime/tensorrt": 0.05}
"""The same for runtimes that compute in 16-bit floats, as a share of the range of the golden outputs.

Weights and activations rounded to 16 bits, on a processor, change the shipped models' outputs by up to 0.025 of it."""


Factor = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]
Labels = Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_LABELS)]


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Input of a model: ``real = pixel * scale + offset`` for each channel of a pixel 0..255.

    ``colour`` is what the model expects: RGB, BGR, or one channel of luminance (GRAY). :meth:`Model.run` takes RGB and
    converts it.
    """

    height: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    width: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    scale: Factor
    offset: Factor
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"

    @property
    def channels(self) -> int:
        """Channels of the input tensor."""
        return 1 if self.colour == "GRAY" else 3


Triple = tuple[Factor, Factor, Factor]


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pixel scaling of the source model, which the converter identified and built into the file before the model.

    ``real = value * scale + offset``, for each channel in the input's colour order; ``value`` is what the runtime
    passes. ``name`` is a key of :data:`converter.scaling.SCALINGS`, ``why`` states how it is known, and ``guessed``
    that it is not certain.
    """

    name: str
    scale: Triple
    offset: Triple
    why: str
    guessed: bool


Row = Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(max_length=MAX_LABELS)]
Counts = Annotated[tuple[Row, ...], msgspec.Meta(max_length=MAX_LABELS)]


class Confusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Counts on labelled validation pictures: true labels down, the classifier's labels across, as in ``labels``.

    ``observation`` counts single observations, ``passage`` decided passages, empty where those were not measured. A row
    of zeros is a label that no picture had.
    """

    labels: Labels
    observation: Counts
    passage: Counts = ()

    def __post_init__(self) -> None:
        """ValueError where a matrix does not fit the labels (msgspec makes a ValidationError of it)."""
        sizes = {len(self.labels)}
        for name, counts in (("observation", self.observation), ("passage", self.passage)):
            if counts and ({len(counts)} != sizes or {len(row) for row in counts} != sizes):
                raise ValueError(f"confusion.{name} has a row and a column for each of {self.labels}, got {counts}")
        if not self.observation:
            raise ValueError("confusion.observation is empty; leave confusion out where nothing was measured")


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Promise of a model file: how to prepare its input and how to read its output.

    ``output`` says how to read a classifier's last tensor: ``softmax`` has one probability per label,
    ``sigmoid`` has one neuron, the probability of ``labels[1]``. ``crop_margin`` is the share of the face box's
    longer side added on every side before the square crop. ``background`` is the label, if any, of what is no
    face at all: a detector's mistake that the classifier rejects. ``strides`` belong to detectors.
    ``heatmap`` is true if there is a second output (1, h, w, neurons): a class activation map for each neuron.
    ``scaling`` is None in files of converters that did not record it. ``confusion`` is None if the converter had no
    labelled pictures, ``temperature`` (probabilities to the power 1 / temperature are calibrated) if nobody fitted it.
    """

    format: int
    task: Literal["classifier", "detector"]
    name: str
    input: InputSpec
    sha256: str
    source_sha256: str
    quantization: str
    reason: str
    versions: Annotated[Mapping[str, str], msgspec.Meta(max_length=MAX_LABELS)]
    parity: Annotated[Mapping[str, float], msgspec.Meta(max_length=8 * MAX_LABELS)]
    labels: Labels = ()
    compliant: str = ""
    background: str | None = None
    output: Literal["softmax", "sigmoid", "anchor-free"] = "softmax"
    crop_margin: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    strides: Annotated[tuple[Annotated[int, msgspec.Meta(ge=1, le=4096)], ...], msgspec.Meta(max_length=8)] = ()
    heatmap: bool = False
    scaling: Scaling | None = None
    confusion: Confusion | None = None
    temperature: Annotated[float, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError if the parts do not fit together; msgspec turns it into a ValidationError."""
        if self.task == "detector":
            if self.output != "anchor-free" or not self.strides:
                raise ValueError(f"a detector has output anchor-free and strides, got {self.output}, {self.strides}")
            return
        if self.output not in ("softmax", "sigmoid"):
            raise ValueError(f"a classifier has output softmax or sigmoid, got {self.output}")
        if len(set(self.labels)) < 2 or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"a classifier has two different labels or more, got {self.labels}")
        if self.output == "sigmoid" and len(self.labels) != 2:
            raise ValueError(f"a sigmoid has two labels, got {self.labels}")
        if self.compliant not in self.labels:
            raise ValueError(f"compliant is one of {self.labels}, got {self.compliant!r}")
        self._check_background()
        if self.confusion is not None and self.confusion.labels != self.worn:
            raise ValueError(f"confusion is of the labels {self.worn}, got {self.confusion.labels}")

    def _check_background(self) -> None:
        if self.background is None:
            return
        if self.background not in self.labels or self.background == self.compliant:
            raise ValueError(f"background is one of {self.labels} and not {self.compliant!r}, got {self.background!r}")
        if self.output != "softmax" or len(self.worn) < 2:
            raise ValueError(f"beside background there are two labels or more in a softmax, got {self.labels}")

    @property
    def worn(self) -> tuple[str, ...]:
        """Labels of a face, in the model's order: all but ``background``."""
        return tuple(label for label in self.labels if label != self.background)


Golden = dict[str, npt.NDArray[Any]]
"""Golden arrays: ``inputs`` (n, height, width, 3) uint8 RGB, and ``output_0`` ... float32, dequantized, first axis
n."""


class Bundle(msgspec.Struct, frozen=True):
    """Parts of a model file. ``flatbuffer`` is the network: a TFLite flatbuffer, or an ONNX model."""

    flatbuffer: bytes
    contract: Contract
    golden: Golden

    @property
    def suffix(self) -> str:
        """Ending of the name of such a file."""
        return TFLITE_SUFFIX if is_tflite(self.flatbuffer) else ONNX_SUFFIX


def is_tflite(network: bytes) -> bool:
    """Return whether a network, or a whole model file, is a TFLite flatbuffer; fmd's others are ONNX models."""
    return network[4:8] == FLATBUFFER_MAGIC


def check_kind(data: bytes, path: Path) -> None:
    """Raise BundleError, which names ``path``, for a file that is neither TFLite nor ONNX with a contract."""
    if not is_tflite(data) and onnx_file.split(data) is None:
        raise _foreign(path, data)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as a hexadecimal string."""
    return hashlib.sha256(data).hexdigest()


def pack(flatbuffer: bytes, contract: Contract, golden: Golden) -> bytes:
    """Return the bytes of a model file. Equal parts give equal bytes: the zip holds no time."""
    arrays = io.BytesIO()
    np.savez_compressed(arrays, allow_pickle=False, **golden)
    contract_json = msgspec.json.format(msgspec.json.encode(contract), indent=1)
    if not is_tflite(flatbuffer):
        return onnx_file.joined(flatbuffer, contract_json, base64.b64encode(arrays.getvalue()))
    packed = io.BytesIO()
    packed.write(flatbuffer)
    with zipfile.ZipFile(packed, "a") as made:
        for name, data in ((CONTRACT_NAME, contract_json), (GOLDEN_NAME, arrays.getvalue())):
            # ZipInfo without a time, so that equal parts give equal bytes; writestr alone would store the clock.
            made.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def read(path: Path) -> bytes:
    """Return the bytes of a model file. Raises :class:`edge.errors.BundleError` if it is unreadable or too large."""
    try:
        # A pipe without a writer would wait for ever.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as handle:  # noqa: PTH123
            about = os.fstat(handle.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise BundleError(f"{path}: not a file; name a model file made by fmd-convert")
            if about.st_size > MAX_FILE:
                raise BundleError(
                    f"{path}: has {about.st_size >> 20} MB, expected at most {MAX_FILE >> 20}; a board's memory holds "
                    "no larger model: choose a smaller network"
                )
            return handle.read(about.st_size)
    except OSError as error:
        raise BundleError(f"{path}: cannot read the model file: {error.strerror}") from error


def unpack(path: Path) -> Bundle:
    """Read and check a model file; see :func:`parse`. Raises :class:`edge.errors.BundleError`."""
    return parse(read(path), path)


def parse(data: bytes, path: Path) -> Bundle:
    """Check the bytes of a model file; ``path`` names it in messages.

    Raises :class:`edge.errors.BundleError` if the file is truncated, without a contract or of another format, if its
    hash does not match, or if an ONNX model leads out of its file. It opens no model: :mod:`edge.service.model_proof`
    does.
    """
    flatbuffer, contract_json, arrays = _tflite_parts(path, data) if is_tflite(data) else _onnx_parts(path, data)
    try:
        golden = _golden_of(arrays)
    except ArchiveError as error:
        raise _without_contract(path, "TFLite" if is_tflite(data) else "ONNX", error) from error
    contract = _decode_contract(path, contract_json)
    if sha256(flatbuffer) != contract.sha256:
        raise BundleError(
            f"{path}: the model is not the one its contract describes (sha256 got {sha256(flatbuffer)[:12]}..., "
            f"expected {contract.sha256[:12]}...); the file is damaged or was edited: copy or convert it again"
        )
    _check_golden(path, contract, golden)
    return Bundle(flatbuffer, contract, golden)


def _tflite_parts(path: Path, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return flatbuffer, contract and golden arrays of a TFLite file."""
    try:
        found, end = archive.members(data, {CONTRACT_NAME: MAX_CONTRACT, GOLDEN_NAME: MAX_GOLDEN})
        # The flatbuffer ends where the first file of the zip begins.
        return data[:end], found[CONTRACT_NAME], found[GOLDEN_NAME]
    except (ArchiveError, KeyError) as error:
        raise _without_contract(path, "TFLite", error) from error


def _without_contract(path: Path, kind: str, error: Exception) -> BundleError:
    return BundleError(
        f"{path}: a {kind} file without a readable contract ({escaped(str(error), MAX_SHOWN)}); it was cut short in "
        "copying or not made by fmd-convert; copy it again or convert its Keras model with: fmd-convert model.keras"
    )


def _foreign(path: Path, data: bytes) -> BundleError:
    return BundleError(
        f"{path}: not a TFLite file (got {len(data)} bytes starting {data[:8]!r}, expected the mark "
        f"{FLATBUFFER_MAGIC.decode()}) nor an ONNX file with a contract; make one with: fmd-convert model.keras"
    )


def _onnx_parts(path: Path, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return model, contract and golden arrays of an ONNX file."""
    parts = onnx_file.split(data)
    if parts is None:
        raise _foreign(path, data)
    try:
        onnx_file.check(parts.model)
        if len(parts.contract) > MAX_CONTRACT or len(parts.golden) > 4 * MAX_GOLDEN // 3 + 4:
            raise ValueError(f"a contract of {len(parts.contract):,} bytes, golden data of {len(parts.golden):,}")
        return parts.model, parts.contract, base64.b64decode(parts.golden, validate=True)
    except ValueError as error:
        raise BundleError(
            f"{path}: not an ONNX model that fmd runs: {escaped(str(error), MAX_SHOWN)}; convert its Keras model with: "
            "fmd-convert model.keras --also onnx"
        ) from error


def _golden_of(data: bytes) -> Golden:
    """Return the golden arrays of an npz file. Raises ArchiveError."""
    names = (INPUTS, *(f"{OUTPUT}{k}" for k in range(MAX_OUTPUTS)))
    found, _ = archive.members(data, {f"{name}.npy": MAX_GOLDEN for name in names})
    return {name.removesuffix(".npy"): archive.array(stored) for name, stored in found.items()}


def _decode_contract(path: Path, contract_json: bytes) -> Contract:
    try:
        found = msgspec.json.decode(contract_json).get("format")
        # Before the full decoding: of another format, every field may be another one.
        if found not in READABLE_FORMATS:
            raise BundleError(
                f"{path}: contract format {escaped(repr(found), MAX_SHOWN)}, this fmd reads "
                f"{', '.join(map(str, READABLE_FORMATS))}; update fmd here or convert again"
            )
        contract = msgspec.json.decode(contract_json, type=Contract)
        check_texts(contract)
    except BundleError:
        raise
    # RecursionError: nested a thousand times. UnicodeDecodeError is a ValueError.
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(
            f"{path}: its contract cannot be read: {escaped(str(error), MAX_SHOWN)}; convert the Keras model again"
        ) from error
    return contract


def check_texts(contract: Contract) -> None:
    """Raise ValueError unless all texts of a contract may be printed: they reach terminals, logs and messages."""
    labels = (contract.name, *contract.labels, *(contract.confusion.labels if contract.confusion else ()))
    wrong = next((label for label in labels if not is_label(label)), None)
    if wrong is not None:
        raise ValueError(
            f"a name or label has up to {MAX_LABEL} printable characters, got {escaped(repr(wrong), MAX_LABEL)}"
        )
    waiting: list[Any] = [msgspec.to_builtins(contract)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and value and not is_label(value, MAX_TEXT):
            raise ValueError(f"a text has up to {MAX_TEXT} printable characters, got {escaped(repr(value), MAX_LABEL)}")
        waiting += [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []


def _check_golden(path: Path, contract: Contract, golden: Golden) -> None:
    """Raise BundleError unless the golden set fits the contract; an empty one would pass on any runtime."""
    inputs = golden.get(INPUTS, np.zeros(0))
    count, size = len(inputs), (contract.input.height, contract.input.width, 3)
    if inputs.dtype != np.uint8 or not 0 < count <= MAX_GOLDEN_INPUTS or inputs.shape[1:] != size:
        raise BundleError(
            f"{path}: golden inputs are {inputs.dtype} {inputs.shape}, expected uint8 {('n', *size)} with up to "
            f"{MAX_GOLDEN_INPUTS} of them; convert its Keras model again"
        )
    outputs = {name: array.shape for name, array in golden.items() if name != INPUTS and array.dtype == np.float32}
    wanted = [(count, *shape) for shape in _output_shapes(contract)]
    # A heat map has its own height and width; converters choose the order of a detector's outputs.
    found = [(*shape[:1], *(None, None), *shape[3:]) if len(shape) == 4 else shape for shape in outputs.values()]
    if sorted(map(str, found)) != sorted(map(str, wanted)) or set(outputs) != {
        f"{OUTPUT}{k}" for k in range(len(wanted))
    }:
        raise BundleError(
            f"{path}: golden outputs {list(outputs.values())} do not match its golden inputs and contract, expected "
            f"{wanted}; convert its Keras model again"
        )


def _output_shapes(contract: Contract) -> list[tuple[int | None, ...]]:
    """Return the shapes that a contract promises of one picture's outputs; None is any number."""
    height, width = contract.input.height, contract.input.width
    if contract.task == "detector":
        cells = sum(-(-height // stride) * -(-width // stride) for stride in contract.strides)
        return [(cells, 1), (cells, 4)]
    neurons = 1 if contract.output == "sigmoid" else len(contract.labels)
    return [(neurons,), *([(None, None, neurons)] if contract.heatmap else [])]


class Model:
    """Interpreter with the contract of its model: RGB uint8 in, float32 out.

    ``source`` names the file in messages. Raises :class:`edge.errors.BundleError` if the interpreter's input does not
    match the contract.
    """

    def __init__(self, bundle: Bundle, interpreter: Interpreter, source: str) -> None:
        self.contract = bundle.contract
        self.source = source
        self._golden = bundle.golden
        self._interpreter = interpreter
        self._table = _pixel_table(bundle.contract.input, interpreter)
        self.outputs = interpreter.outputs
        spec = bundle.contract.input
        wanted = (1, spec.height, spec.width, spec.channels)
        if interpreter.input.shape != wanted:
            raise BundleError(
                f"{source}: the model takes {interpreter.input.shape}, its contract says {wanted}; convert it again"
            )

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the outputs, in the file's order; the batch axis of size 1 comes first."""
        return tuple(output.shape for output in self.outputs)

    @property
    def runtime(self) -> str:
        """Name and version of the interpreter's runtime."""
        return self._interpreter.runtime

    def run(self, pixels: Image) -> list[Floats]:
        """Run one inference on (height, width, 3) uint8 RGB of the contract's size.

        Returns the outputs as float32, with a batch axis of size 1.
        """
        return [spec.real(stored) for spec, stored in zip(self.outputs, self.run_stored(pixels), strict=True)]

    def run_stored(self, pixels: Image) -> Sequence[Stored]:
        """Run one inference as :meth:`run` does, and return the outputs as the file stores them (see :attr:`outputs`).

        This is for callers that need only a few of the values.
        """
        pixels = in_colour(pixels, self.contract.input.colour)
        # A table of 256 entries is faster than arithmetic on every pixel, and rounds like the converter.
        tensor = pixels if self._table is None else self._table[pixels]
        return self._interpreter.run(tensor[None])

    def replay(self) -> float:
        """Run the golden inputs and return the largest difference, as a share 0..1 of the allowed one.

        Raises :class:`edge.errors.GoldenError` if this machine's outputs differ from those that the converter measured.
        """
        runtime_name = self._interpreter.runtime.split(" ")[0]
        worst = 0.0
        if len(self.output_shapes) != len(self._golden) - 1:
            raise BundleError(
                f"{self.source}: has {len(self.output_shapes)} outputs, not those of its golden set; convert it again"
            )
        for i, pixels in enumerate(self._golden[INPUTS]):
            for k, got in enumerate(self.run(pixels)):
                scale = self.outputs[k].scale
                golden = self._golden[f"{OUTPUT}{k}"]
                if got.shape != (1, *golden.shape[1:]):
                    raise BundleError(
                        f"{self.source}: output {k} is {got.shape}, its golden output {golden.shape[1:]}; convert it "
                        "again"
                    )
                allowed = _allowed(runtime_name, scale, golden)
                difference = float(np.max(np.abs(got[0] - golden[i])))
                # Not "difference > allowed": NaN compares false with everything, and must not pass.
                if not difference <= allowed:
                    raise GoldenError(
                        f"{self.source}: golden input {i} gives an answer {difference:.4f} off (allowed {allowed:.4f}) "
                        f"on {self.runtime}; this runtime computes this model wrongly: {_another(runtime_name)}, or "
                        "convert the model again with this fmd"
                    )
                worst = max(worst, difference / allowed)
        return worst


def _another(runtime: str) -> str:
    """Return how to run a model on another runtime than one that computes it wrongly."""
    return 'set model.runtime = "onnxruntime-cpu"' if runtime.startswith("onnxruntime") else "install ai-edge-litert"


def _allowed(runtime: str, scale: float, golden: npt.NDArray[Any]) -> float:
    """Return the largest difference from ``golden`` (n, ...), an output of that quantization step (0: float)."""
    if scale:
        return GOLDEN_QUANTA.get(runtime, 1) * scale * 1.01
    share = GOLDEN_SHARE.get(runtime)
    return GOLDEN_ABSOLUTE if share is None else max(GOLDEN_ABSOLUTE, share * float(np.ptp(golden)))


def in_colour(pixels: Image, colour: str) -> Image:
    """Return (height, width, 3) RGB bytes as a model takes them: RGB, BGR, or GRAY (height, width, 1)."""
    if colour == "GRAY":
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None], np.uint8)
    return pixels[:, :, ::-1] if colour == "BGR" else pixels


def _pixel_table(spec: InputSpec, interpreter: Interpreter) -> npt.NDArray[np.generic] | None:
    """Return the input tensor's value for each byte 0..255, as (256,) of its dtype; None if bytes pass unchanged."""
    tensor = interpreter.input
    real = np.arange(256, dtype=np.float64) * spec.scale + spec.offset
    if not tensor.scale:
        return real.astype(tensor.dtype)
    limits = np.iinfo(np.dtype(tensor.dtype.str))
    rounded = np.clip(np.rint(real / tensor.scale) + tensor.zero_point, limits.min, limits.max)
    stored: npt.NDArray[np.generic] = rounded.astype(tensor.dtype)
    # The usual case: no table, and no copy of the picture.
    if tensor.dtype == np.uint8 and np.array_equal(stored, np.arange(256)):
        return None
    return stored


def described(contract: Contract) -> dict[str, Any]:
    """Return the contract as plain values (dicts, lists, strings, numbers), for printing."""
    plain: dict[str, Any] = msgspec.to_builtins(contract)
    return plain


def load(
    path: Path,
    task: str,
    interpreter_of: Callable[[bytes], Interpreter],
    prove: Callable[[bytes, Path], None] | None = None,
) -> Model:
    """Read a model file, check that it is for ``task``, and load it into an interpreter.

    ``interpreter_of`` turns flatbuffer bytes into an :class:`edge.contracts.Interpreter` (see
    :func:`edge.drivers.open_interpreter`). ``prove`` is given the checked file's bytes first, and raises BundleError
    for one that must not be opened in this process; None is for files that fmd itself has made.
    """
    data = read(path)
    bundle = parse(data, path)
    if bundle.contract.task != task:
        raise BundleError(
            f"{path}: holds a {bundle.contract.task}, expected a {task}; inspect it with: fmd verify {path}"
        )
    if prove is not None:
        prove(data, path)
    return Model(bundle, interpreter_of(bundle.flatbuffer), str(path))
