"""``fmd examples learn``: propose settings of [decide] from sorted pictures, and write them if asked."""

from __future__ import annotations

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from edge import paths
from edge.commands import common, tune
from edge.contracts import PICTURE_SUFFIXES
from edge.errors import EXIT_OK, CameraError, DataError, SettingsError

if TYPE_CHECKING:
    from edge.config import Settings
    from edge.inference.bundle import Model
    from edge.record.learn import Sorted
    from edge.record.replay import Recorded
    from edge.record.tune import Effect


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Print what the sorted pictures in ``folder`` say about the present settings."""
    from edge import config
    from edge.record import learn
    from edge.service import models

    file = common.settings_file(arguments.config)
    settings = config.load(file)
    model = models.load_model(settings.model, "classifier")
    pictures = _read(folder, model)
    labels = model.contract.worn
    people = {picture.person for picture in pictures}
    counts = ", ".join(f"{sum(p.label == label for p in pictures)} {label}" for label in labels)
    print(f"{len(pictures)} pictures of {len(people)} people: {counts}")
    if len(people) < learn.MIN_PEOPLE or len({p.label for p in pictures}) < 2:
        raise DataError(
            f"{folder}: got {len(people)} people, expected {learn.MIN_PEOPLE} or more, with pictures of two labels"
        )
    proposed = _temperature(pictures, labels, settings)
    passages = _passages(arguments.state, model.contract.sha256[:12])
    proposed |= _error_rate(pictures, passages, _with(file, proposed), model.contract.compliant)
    if passages and proposed:
        changed = _with(file, proposed)
        print(f"all {len(passages)} recorded passages, clear ones too, now and as proposed:")
        print(
            tune.table([(name, _effect(passages, each)) for name, each in (("now", settings), ("proposed", changed))])
        )
    if not proposed:
        print("nothing to change")
    elif arguments.apply:
        _apply(arguments.apply, proposed)
    else:
        print(f"proposed: {_shown(proposed)}; nothing was changed, --apply FILE writes it")
    return EXIT_OK


def _effect(passages: list[Recorded], settings: Settings) -> Effect:
    from edge.record import tune as computed

    return computed.effect(passages, settings.decide)


def _temperature(pictures: list[Sorted], labels: tuple[str, ...], settings: Settings) -> dict[str, object]:
    from edge.record import learn

    now = settings.decide.temperature
    found = learn.fit_temperature(pictures, labels, now)
    share = found.accuracy
    print(f"the classifier is right on {share.value:.1%} (95%: {share.low:.1%} to {share.high:.1%})")
    value, low, high = found.fitted
    print(
        f"decide.temperature: now {now:g}, these pictures say {value:.3g} (95%: {low:.3g} to {high:.3g}); mean "
        f"negative log probability of the right label {found.before:.3f}, with it {found.after:.3f}"
    )
    if not found.found:
        print("no temperature helps: the classifier is always right, or no better than chance (then train a model)")
    elif low <= now <= high:
        print("decide.temperature stays: its present value is within the interval")
    else:
        return {"decide.temperature": float(f"{value:.3g}")}
    return {}


def _error_rate(
    pictures: list[Sorted], passages: list[Recorded], settings: Settings, compliant: str
) -> dict[str, object]:
    from edge.contracts import WITH_INCORRECT_MASK
    from edge.record import learn

    decide = settings.decide
    accepted = {compliant, *decide.accept} | ({WITH_INCORRECT_MASK} if decide.on_incorrect == "admit" else set())
    truth = learn.truth_of(pictures, accepted)
    known = [passage for passage in passages if str(passage.entered) in truth]
    if len(known) < learn.MIN_PEOPLE:
        print(f"decide.error_rate stays: the record holds {len(known)} of these people, {learn.MIN_PEOPLE} are needed")
        return {}
    found = learn.fit_error_rate(known, truth, decide)
    saved = found.saved
    print(
        f"decide.error_rate: now {decide.error_rate:g}, best {found.error_rate:g}; wrong decisions for each of "
        f"{len(known)} people, an unsure one counts half: {found.before:.3f}, with it {found.after:.3f}; saved on "
        f"people that it was not chosen on: {saved.value:.3f} (95%: {saved.low:.3f} to {saved.high:.3f})"
    )
    if found.saved.low <= 0 or found.error_rate == decide.error_rate:
        print("decide.error_rate stays: none is better beyond chance")
        return {}
    return {"decide.error_rate": found.error_rate}


def _read(folder: Path, model: Model) -> list[Sorted]:
    """Classify the pictures of each class folder. Raises DataError."""
    from edge.inference.resize import resized
    from edge.record import examples
    from edge.record.learn import Sorted
    from edge.reporting.predictor import read_picture
    from edge.stages.classify import PLAIN_AND_MIRRORED, classify_crop, observation_of

    contract, found = model.contract, []
    size = contract.input
    try:
        folders = sorted(path for path in folder.iterdir() if path.is_dir())
        files = [(each.name, path) for each in folders for path in sorted(each.iterdir()) if _is_picture(path)]
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; name the folder of fmd examples export") from error
    for label, path in files:
        if label == contract.background:
            continue
        if label not in contract.worn:
            raise DataError(f"{path.parent}: no label of the classifier, expected {', '.join(contract.worn)}")
        try:
            crop = resized(read_picture(path), size.width, size.height)
        except CameraError as error:
            raise DataError(f"{error}; delete it") from error
        answers = []
        for mirrored in PLAIN_AND_MIRRORED:
            probabilities, _ = classify_crop(model, crop, (mirrored,))
            observation = observation_of(probabilities, 1.0, contract.background)
            answers.append(tuple(observation.probabilities[each] for each in contract.worn))
        entered = examples.entered_of(path.name)
        found.append(Sorted(path.stem if entered is None else str(entered), label, tuple(answers)))
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _passages(state: Path | None, classifier: str) -> list[Recorded]:
    """Return the recorded passages of this classifier that have evidence; none without a record."""
    from edge.record import database, replay

    folder = state or paths.state_folder() or paths.STATE
    if not (folder / database.NAME).is_file():
        return []
    with closing(database.open_for_reading(folder)) as connection:
        return list(replay.recorded(connection, 0, 1 << 60, classifier=classifier))


def _with(file: Path | None, values: dict[str, object]) -> Settings:
    from edge import config

    return config.load(file, values)


def _shown(values: dict[str, object]) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in values.items() if isinstance(value, float))


def _apply(file: Path, proposed: dict[str, object]) -> None:
    """Write settings into a file, and keep its comments, owner and permissions. Raises SettingsError."""
    from edge import config
    from edge.commands import settings_text
    from edge.files import write_atomically

    config.load(file, proposed)  # a file with errors is not touched
    settings_text.check_effect(config.read(file), proposed)
    path = file.resolve()  # a link stays one
    values = {key: value for key, value in proposed.items() if isinstance(value, float)}
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            text = handle.read()
        status = path.stat()
        write_atomically(path, settings_text.changed(text, values, str(file)).encode(), status.st_mode & 0o7777, True)
        if paths.is_root():
            os.chown(path, status.st_uid, status.st_gid)
    except OSError as error:
        raise SettingsError(f"{file}: cannot write the settings: {error.strerror}; use sudo") from error
    print(f"{file}: {_shown(proposed)} written; to use it: sudo systemctl reload fmd")
