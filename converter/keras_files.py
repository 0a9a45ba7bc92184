"""Safety and facts of .keras and HDF5 files before Keras reads them: sizes, links out of the file, code, versions."""

from __future__ import annotations

import io
import json
import runpy
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge.errors import ConversionError

MAX_CONFIG = 32 << 20
"""Bytes of a model's own description; EfficientNetB7's takes 1 MB."""
MAX_EXPANDED = 4 << 30
MAX_MEMBERS, MAX_DIRECTORY = 2000, 1 << 20
"""Files in an archive, and bytes of its directory."""
MAX_OBJECTS = 100_000
"""Groups and data sets of an HDF5 file; EfficientNetB7 has 3,000."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
FILTERS = frozenset((1, 2, 3, 32000))
"""HDF5's numbers of deflate, shuffle, checksum and LZF, which h5py contains; others are programs that HDF5 loads."""
CONFIG, METADATA = "config.json", "metadata.json"
PICKLED = ("model.weights.npz", "variables.npz")
"""Weights that Keras never writes into an archive but reads there, in some versions as pickles, which are programs."""
MAX_NOTES = 1 << 20
NOTES_NAME = "fmd.json"
"""Entry that fmd-train adds to a .keras archive: labels and pixel scaling. Keras ignores entries of other names."""


def config_of(path: Path, kind: str) -> tuple[Any, str]:
    """The model's own description as parsed JSON, and the version of Keras that wrote it (such as ``3.15.1``).

    Raises ConversionError where the file is damaged, expands beyond bounds, or refers to other files.
    """
    try:
        return _zip_config(path) if kind == "keras" else _hdf5_config(path)
    except ConversionError:
        raise
    except KeyError as error:
        raise ConversionError(
            f"{path}: holds weights and no model; build the model in Python, call "
            "model.load_weights on this file, then model.save('model.keras'), and give that"
        ) from error
    # zipfile and h5py raise errors of many kinds for damaged files.
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, RecursionError, TypeError) as error:
        raise ConversionError(
            f"{path}: is cut short or damaged ({first_line(error)}); copy it again or save the model once more"
        ) from error


def _zip_config(path: Path) -> tuple[Any, str]:
    check_directory(path)
    with zipfile.ZipFile(path) as archive:
        config_size = archive.getinfo(CONFIG).file_size
        config_size += sum(info.file_size for info in archive.infolist() if info.filename == METADATA)
        expanded = sum(info.file_size for info in archive.infolist())
        if config_size > MAX_CONFIG or expanded > MAX_EXPANDED:
            raise ConversionError(
                f"{path}: expands to {expanded:,} bytes (config.json {config_size:,}), expected at most "
                f"{MAX_EXPANDED:,} ({MAX_CONFIG:,}); such a file is no mask classifier"
            )
        for info in archive.infolist():
            if info.filename in PICKLED:
                raise ConversionError(
                    f"{path}: its weights are {info.filename}, which can hold code and which Keras does not save; do "
                    "not trust this file"
                )
            # Deflate adds a thousandth at worst. What is longer compressed expands to more than the directory states.
            if info.compress_type not in METHODS or info.compress_size > info.file_size * 1.001 + 1024:
                raise ConversionError(
                    f"{path}: {info.filename!r} does not expand to the {info.file_size:,} bytes that the archive "
                    "states; do not trust this file"
                )
        broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(f"bad checksum of {broken}")
        config = json.loads(archive.read(CONFIG))
        metadata = json.loads(archive.read(METADATA)) if METADATA in archive.namelist() else {}
        for info in archive.infolist():
            if info.filename.endswith(".h5"):
                _check_weights(path, archive, info)
    return config, str(metadata.get("keras_version", ""))


def check_directory(path: Path) -> None:
    """Raise BadZipFile for an archive with more files than a model has, before zipfile reads its directory."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - (1 << 16)))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("it has no directory at its end")
    entries, length = struct.unpack_from("<HL", tail, at + 10)
    if entries > MAX_MEMBERS or length > MAX_DIRECTORY or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise zipfile.BadZipFile(f"it lists {entries:,} files in {length:,} bytes")


def _check_weights(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Check the HDF5 file inside an archive, from a copy on the disk: it may have the size of all memory."""
    import h5py  # type: ignore[import-untyped, unused-ignore]

    with tempfile.TemporaryFile() as copy, archive.open(info) as member:
        shutil.copyfileobj(member, copy)
        copy.seek(0)
        with h5py.File(copy, "r") as file:
            refuse_foreign_data(path, file)


def _hdf5_config(path: Path) -> tuple[Any, str]:
    import h5py

    with h5py.File(path, "r") as file:
        refuse_foreign_data(path, file)
        text = file.attrs["model_config"]
        if len(text) > MAX_CONFIG:
            raise ConversionError(f"{path}: its description has {len(text):,} bytes, expected at most {MAX_CONFIG:,}")
        version = file.attrs.get("keras_version", "")
        return json.loads(text), version.decode() if isinstance(version, bytes) else str(version)


def refuse_foreign_data(path: Path, file: Any) -> None:
    """Raise ConversionError for HDF5 that reads other files or loads programs of this machine, or grows without bound.

    Links are read and never followed: only a hard link stays in its file. ``file`` is an open h5py.File.
    """
    from h5py import h5d, h5g, h5l, h5o

    if file.userblock_size:
        raise ConversionError(f"{path}: holds {file.userblock_size} foreign bytes before its data; do not trust it")
    waiting, seen, total = [h5g.open(file.id, b"/")], set[tuple[int, int]](), 0
    while waiting:
        group = waiting.pop()
        for name in group:
            if group.links.get_info(name).type != h5l.TYPE_HARD:
                raise ConversionError(
                    f"{path}: {name!r} is a link to another file or place; a model has no need of one: do not trust "
                    "this file"
                )
            item = h5o.open(group, name)
            about = h5o.get_info(item)
            # A hard link to a parent would never end.
            if (about.fileno, about.addr) in seen:
                continue
            seen.add((about.fileno, about.addr))
            if len(seen) > MAX_OBJECTS:
                raise ConversionError(
                    f"{path}: holds more than {MAX_OBJECTS:,} objects; such a file is no mask classifier"
                )
            if isinstance(item, h5g.GroupID):
                waiting.append(item)
            elif isinstance(item, h5d.DatasetID):
                _refuse_storage(path, name, item)
                total += item.get_space().get_simple_extent_npoints() * item.get_type().get_size()
        if total > MAX_EXPANDED:
            raise ConversionError(
                f"{path}: its weights expand to {total:,} bytes, expected at most {MAX_EXPANDED:,}; such a file is no "
                "mask classifier"
            )


def _refuse_storage(path: Path, name: bytes, dataset: Any) -> None:
    """Raise ConversionError for a data set whose values lie elsewhere, or that a plugin has to unpack."""
    from h5py import h5d

    how = dataset.get_create_plist()
    if how.get_external_count() or how.get_layout() == h5d.VIRTUAL:
        raise ConversionError(f"{path}: {name!r} is stored in another file; do not trust this file")
    foreign = {how.get_filter(k)[0] for k in range(how.get_nfilters())} - FILTERS
    if foreign:
        raise ConversionError(f"{path}: {name!r} needs the HDF5 plugin {min(foreign)}, which no Keras model does")


def notes_of(path: Path) -> dict[str, Any]:
    """What fmd-train noted inside a .keras archive (``labels``, ``pixels``, ``colour`` ...); empty where nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(NOTES_NAME).file_size > MAX_NOTES:
                return {}
            found = json.loads(archive.read(NOTES_NAME))
            return found if isinstance(found, dict) else {}
    except (KeyError, OSError, ValueError, zipfile.BadZipFile, RuntimeError, RecursionError):
        return {}


def add_notes(path: Path, notes: dict[str, Any]) -> None:
    """Note labels and scaling inside the .keras archive at ``path``, for fmd-convert to find."""
    with zipfile.ZipFile(path, "a") as archive:
        # A fixed date: equal training runs give equal files.
        archive.writestr(zipfile.ZipInfo(NOTES_NAME), json.dumps(notes, indent=1))


def noting(save: Callable[[Path], None], notes: dict[str, Any]) -> Callable[[Path], None]:
    """``save``, followed by :func:`add_notes`."""

    def both(path: Path) -> None:
        save(path)
        add_notes(path, notes)

    return both


def layers_in(config: Any) -> Iterator[dict[str, Any]]:
    """Every layer's own config in a model's, at any depth."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def refuse_code(path: Path, config: Any) -> None:
    """Raise ConversionError where the model carries Python code."""
    for layer in layers_in(config):
        if layer["class_name"] in ("Lambda", "__lambda__"):
            own = layer.get("config")
            name = own.get("name", "?") if isinstance(own, dict) else "?"
            raise ConversionError(
                f"{path}: its Lambda layer {name!r} is Python code that would run on this machine; if you trust its "
                "author give --allow-code, else replace the layer by a Keras one such as Rescaling"
            )


def objects_of(file: Path | None) -> dict[str, Any]:
    """Classes and functions of the user's own Python file, by name."""
    if file is None:
        return {}
    try:
        found = runpy.run_path(str(file))
    except OSError as error:
        raise ConversionError(f"--custom-objects {file}: cannot be read: {error.strerror}") from error
    # It is the user's own program; whatever it raises is reported in one line.
    except Exception as error:
        raise ConversionError(f"--custom-objects {file}: {type(error).__name__}: {first_line(error)}") from error
    return {name: value for name, value in found.items() if callable(value) and not name.startswith("_")}


def first_line(error: BaseException) -> str:
    """First line of an error's text, at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def loading_error(path: Path, error: Exception) -> ConversionError:
    """What to report of a file that Keras refuses."""
    text = str(error)
    for mark in (
        "Could not locate class '",
        "Unknown layer: '",
        "Unknown layer: ",
        "Could not locate function '",
        "Unknown object: '",
        "Unrecognized or not yet supported class: '",
    ):
        if mark in text:
            name = text.split(mark, 1)[1].split("'", 1)[0].split(".", 1)[0]
            return ConversionError(
                f"{path}: needs the custom object {name!r}; give the Python file that defines it: "
                "--custom-objects FILE.py"
            )
    # Keras wraps the cause in the whole configuration, layer by layer; the cause itself comes last.
    cause = text.rsplit("Exception encountered: ", 1)[-1]
    return ConversionError(
        f"{path}: Keras cannot read it: {first_line(ValueError(cause))}; save it again with the Keras that made it, "
        "as a SavedModel: model.export('folder'), in Keras 2 tf.saved_model.save(model, 'folder'); convert the folder"
    )
