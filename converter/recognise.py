"""What a file is, by its content: a model that can be read, or the name of what it is and the way to a model."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from converter.keras_files import check_directory
from converter.options import typed
from edge.errors import ConversionError

Kind = Literal["keras", "hdf5", "saved_model"]

HEAD = 4096
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
TORCH_PICKLE = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number that torch.save of PyTorch < 1.6 pickles first."""
AS_KERAS = "save the model with model.save('model.keras') in the script that trained it and give that file"
TEACHABLE = "in Teachable Machine choose Export Model, TensorFlow, Keras, unzip it and give keras_model.h5"
IN_PYTORCH = (
    "fmd reads Keras models; train one on the same pictures (fmd-train classifier --folders PICTURES --out RUN) and "
    "convert RUN/best.keras"
)


def kind_of(path: Path) -> Kind:
    """Kind of model at ``path``. Raises ConversionError that names any other kind of file and the next step."""
    if path.is_dir():
        return _kind_of_folder(path)
    if path.exists() and not path.is_file():  # opening a pipe without a writer would wait for ever
        raise ConversionError(f"{path}: is a pipe or a device; save it as a file and give that")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise ConversionError(
            f"{path}: cannot read the model: {error.strerror}; give a .keras, .h5 or SavedModel{_beside(path)}"
        ) from error
    if not head:
        raise ConversionError(f"{path}: the file is empty; copy it again or save the model once more")
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head.startswith(HDF5_MAGIC):
        return "hdf5"
    raise ConversionError(f"{path}: {_foreign(path, head)}")


def _beside(path: Path) -> str:
    """Models that lie in the same folder, for someone who misspelt a name."""
    found = sorted(p.name for p in path.parent.glob("*") if p.suffix in (".keras", ".h5", ".hdf5", ".model"))[:5]
    return f" (beside it: {', '.join(found)})" if found else ""


def _kind_of_folder(path: Path) -> Kind:
    names = {p.name for p in path.iterdir()}
    if "saved_model.pb" in names:
        return "saved_model"
    if {"config.json", "model.weights.h5"} <= names:
        raise ConversionError(
            f"{path}: is an unpacked .keras file; pack it again: (cd {typed(path)} && zip -r ../packed.keras .) "
            "and give that"
        )
    if "model.json" in names:
        raise ConversionError(f"{path}: is a TensorFlow.js model, which has no way back to Keras; {AS_KERAS}")
    inside = sorted(p for p in path.iterdir() if p.suffix in (".keras", ".h5", ".hdf5", ".model"))
    if inside:
        raise ConversionError(
            f"{path}: a folder without saved_model.pb; give the file in it: fmd-convert {typed(inside[0])}"
        )
    raise ConversionError(f"{path}: a folder without saved_model.pb; give a .keras, .h5 or SavedModel folder")


def _kind_of_zip(path: Path) -> Kind:
    try:
        check_directory(path)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise ConversionError(
            f"{path}: is cut short or damaged ({error}); copy it again or save the model once more"
        ) from error
    if "config.json" in names:
        return "keras"
    raise ConversionError(f"{path}: {_foreign_zip(path, names)}")


def _unzip(path: Path, inside: str) -> str:
    return f"unzip it and give the model in it: unzip {typed(path)} && fmd-convert {typed(inside)}"


def _foreign_zip(path: Path, names: Sequence[str]) -> str:
    if any(name.endswith("data.pkl") for name in names):
        return f"is a PyTorch file; {IN_PYTORCH}"
    bases = {name.rsplit("/", 1)[-1]: name for name in names}
    if "keras_model.h5" in bases:
        return f"is Teachable Machine's zip; {_unzip(path, bases['keras_model.h5'])}"
    if "model.json" in bases:
        return f"is a zip with a TensorFlow.js model, which has no way back to Keras; {TEACHABLE}"
    if "saved_model.pb" in bases:
        folder = bases["saved_model.pb"].rpartition("/")[0] or "."
        return f"is a zip with a SavedModel; {_unzip(path, folder)}"
    if any(name.endswith(".tflite") for name in names):
        return f"is a zip with a TFLite file, which has no way back to Keras; {TEACHABLE}"
    inside = [name for name in names if name.endswith((".keras", ".h5", ".hdf5", ".model"))]
    if inside:
        return f"is a zip; {_unzip(path, inside[0])}"
    return f"is a zip that holds no model (holds {', '.join(names[:3]) or 'nothing'}); {AS_KERAS}"


def _foreign(path: Path, head: bytes) -> str:
    """What a file is that is no Keras model, and what to do."""
    for matches, said in FOREIGN:
        if matches(path, head):
            return said.format(path=typed(path), folder=typed(path.parent))
    return f"is not a Keras model (starts with {head[:8]!r}, expected a .keras zip or an HDF5 file); {AS_KERAS}"


def _text(head: bytes) -> str:
    try:
        return head.decode("utf-8-sig", errors="strict" if len(head) < HEAD else "ignore").strip()
    except UnicodeDecodeError:
        return ""


def _is_json_with(*keys: str) -> Callable[[Path, bytes], bool]:
    def matches(path: Path, head: bytes) -> bool:
        text = _text(head)
        return text.startswith("{") and any(json.dumps(key) in text for key in keys)

    return matches


def _is_python(path: Path, head: bytes) -> bool:
    return path.suffix == ".py" or bool(re.match(r"(#!.*python|import \w|from \w[\w.]* import )", _text(head)))


def _is_onnx(path: Path, head: bytes) -> bool:
    # Protocol buffer: field 1 (ir_version) as a small number, then field 2, 3, 7 or 8 of ModelProto.
    return path.suffix == ".onnx" or (head[0] == 8 and head[1] < 20 and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"B"))


def _is_graph(path: Path, head: bytes) -> bool:
    return path.suffix in (".pb", ".pbtxt") or (head[0] == 10 and b"Placeholder" in head)


FOREIGN: Sequence[tuple[Callable[[Path, bytes], bool], str]] = (
    (
        lambda path, head: head[4:8] == b"TFL3",
        "is a TFLite file already; if fmd made it, print its contract with: fmd-convert inspect {path}; otherwise its "
        "weights are rounded and it has no way back: give the Keras model (" + TEACHABLE + ")",
    ),
    (
        lambda path, head: head.startswith(b"version https://git-lfs"),
        "is a Git LFS pointer and not the model itself; fetch the model with: git lfs pull (or use the download button "
        "of the repository's web page)",
    ),
    (
        lambda path, head: bool(re.match(r"<(!doctype|html|\?xml|head|body)", _text(head).lower())),
        "is a web page and not a model; download the file itself (on GitHub: the Raw or Download button)",
    ),
    (lambda path, head: TORCH_PICKLE in head[:64], f"is a PyTorch file; {IN_PYTORCH}"),
    (
        lambda path, head: path.suffix in (".pt", ".pth", ".ckpt", ".safetensors"),
        f"is a PyTorch file; {IN_PYTORCH}",
    ),
    (
        lambda path, head: (
            (head[:1] == b"\x80" and head[1] in (2, 3, 4, 5)) or path.suffix in (".pkl", ".pickle", ".joblib")
        ),
        "is a pickle (of Python, joblib or scikit-learn), which runs code when it is read; if it holds a Keras model, "
        + AS_KERAS,
    ),
    (
        lambda path, head: path.name == "saved_model.pb",
        "is the graph of a SavedModel, whose weights lie beside it; give its folder: fmd-convert {folder}",
    ),
    (_is_onnx, "is an ONNX model; fmd reads Keras models: if it came from Keras, " + AS_KERAS),
    (_is_graph, "is a frozen TensorFlow graph, which does not name its input and output; " + AS_KERAS),
    (
        _is_json_with("modelTopology", "weightsManifest"),
        f"is a TensorFlow.js model, which has no way back to Keras; {AS_KERAS}",
    ),
    (_is_json_with("nbformat"), f"is a notebook and not a model; {AS_KERAS}"),
    (
        _is_json_with("class_name", "config"),
        "is a Keras architecture without its weights; build it in Python with keras.models.model_from_json, load the "
        "weights with model.load_weights, then " + AS_KERAS,
    ),
    (_is_python, f"is Python source and not a model; run it, then {AS_KERAS}"),
    (
        lambda path, head: (
            head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")) or head[257:262] == b"ustar"
        ),
        "is an archive; unpack it and give the model in it",
    ),
)
"""Files that people take for a Keras model, in the order of trying: how each is known, and what to do."""
