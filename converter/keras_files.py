"""Safety and facts of .keras and HDF5 files before Keras reads them: sizes, links out of the file, code, versions."""

from __future__ import annotations

import io
import json
import runpy
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge.errors import ConversionError

MAX_CONFIG = 32 << 20
"""Bytes of a model's own description; EfficientNetB7's takes 1 MB."""
MAX_EXPANDED = 4 << 30
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
    with zipfile.ZipFile(path) as archive:
        config_size = archive.getinfo("config.json").file_size
        config_size += sum(info.file_size for info in archive.infolist() if info.filename == "metadata.json")
        expanded = sum(info.file_size for info in archive.infolist())
        if config_size > MAX_CONFIG or expanded > MAX_EXPANDED:
            raise ConversionError(
                f"{path}: expands to {expanded:,} bytes (config.json {config_size:,}), expected at most "
                f"{MAX_EXPANDED:,} ({MAX_CONFIG:,}); such a file is no mask classifier"
            )
        broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(f"bad checksum of {broken}")
        config = json.loads(archive.read("config.json"))
        metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else {}
        for info in archive.infolist():
            if info.filename.endswith(".h5"):
                import h5py  # type: ignore[import-untyped, unused-ignore]

                with h5py.File(io.BytesIO(archive.read(info)), "r") as file:
                    _refuse_links(path, file)
    return config, str(metadata.get("keras_version", ""))


def _hdf5_config(path: Path) -> tuple[Any, str]:
    import h5py

    with h5py.File(path, "r") as file:
        _refuse_links(path, file)
        text = file.attrs["model_config"]
        if len(text) > MAX_CONFIG:
            raise ConversionError(f"{path}: its description has {len(text):,} bytes, expected at most {MAX_CONFIG:,}")
        version = file.attrs.get("keras_version", "")
        return json.loads(text), version.decode() if isinstance(version, bytes) else str(version)


def _refuse_links(path: Path, group: Any) -> None:
    """Refuse HDF5 that reads other files of this machine: external links, external storage, virtual data sets."""
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise ConversionError(
                f"{path}: {name!r} is a link to another file ({link.filename!r}); a model has no need of one: do not "
                "trust this file"
            )
        item = group[name]
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise ConversionError(f"{path}: {item.name!r} is stored in another file; do not trust this file")
        # A hard link to a parent would never end.
        if isinstance(item, h5py.Group) and isinstance(link, h5py.HardLink) and item.name.count("/") < 30:
            _refuse_links(path, item)


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
