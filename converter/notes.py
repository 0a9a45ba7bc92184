"""What the user should know of a conversion: decisions needed, guesses made, possible improvements, in this order."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from converter import verify
from converter.calibrate import Calibration
from converter.golden import Chosen
from converter.identify import Identified
from converter.names import Labels
from converter.options import SCHEMES, Options, labels_words
from converter.results import DECIDE, GUESS, IMPROVE, STATE, Attempt, Note, ranked
from converter.verify import Share


def notes_of(
    identified: Identified,
    pictures: Calibration,
    options: Options,
    attempts: Sequence[Attempt],
    shares: Sequence[Share],
    chosen: Chosen,
    milliseconds: Mapping[str, float],
) -> tuple[Note, ...]:
    """All notes of a conversion, the most urgent first."""
    notes = [Note(IMPROVE, text) for text in (*pictures.notes, *identified.notes)]
    pixels = identified.pixels
    if pixels.guessed:
        kind = DECIDE if pictures.drawn else GUESS
        words = " ".join(pixels.words)
        notes.append(Note(kind, f"pixels are {pixels.name} {pixels.colour} ({pixels.why}); to state it: {words}"))
    if identified.labels:
        notes += _label_notes(identified.labels, pictures.drawn)
        if pictures.drawn and identified.accuracy is not None and identified.accuracy < 0.5:
            notes.append(Note(DECIDE, _doubted_order(identified.labels, identified.accuracy)))
    if len(attempts) > 1:
        notes.append(Note(STATE, _cost(attempts, milliseconds)))
    if options.golden == "held-back" and not pictures.drawn:
        count = len(chosen.golden["inputs"])
        notes.append(
            Note(STATE, f"{count} of your held-back pictures travel in the file; --golden drawn takes drawings instead")
        )
    notes += [Note(IMPROVE, text) for text in verify.coarseness_of(shares)]
    if chosen.warning:
        notes.append(Note(IMPROVE, chosen.warning))
    return ranked(notes)


def _label_notes(labels: Labels, composed: bool) -> list[Note]:
    notes = []
    if labels.guessed:
        kind, names = (DECIDE if composed else GUESS), ",".join(labels.names)
        notes.append(Note(kind, f"labels are {names} ({labels.why}); to state it: {labels_words(labels.names)}"))
    for found, name, what, option in (
        (labels.compliant_guessed, labels.compliant, "a rightly worn mask", "--compliant"),
        (labels.background_guessed, labels.background or "", "no face, by its name", "--background"),
    ):
        if found:
            notes.append(Note(GUESS, f"{name} is {what}; to state it: {option} {shlex.quote(name)}"))
    return notes


def _doubted_order(labels: Labels, accuracy: float) -> str:
    return (
        f"the labels {', '.join(labels.names)} ({labels.why}) make only {accuracy:.0%} of the composed pictures right, "
        "which show one person and prove little; check the order with --calibration FOLDER_WITH_A_FOLDER_PER_CLASS"
    )


def _cost(attempts: Sequence[Attempt], milliseconds: Mapping[str, float]) -> str:
    """What the scheme that passed costs beside the one that did not."""
    first, taken = attempts[0], attempts[-1]
    slower = milliseconds[taken.scheme] / max(1e-6, milliseconds[first.scheme])
    larger = len(taken.flatbuffer) / len(first.flatbuffer)
    missed = "; ".join(failure for failure in first.failures)
    return (
        f"{first.scheme} missed the gate ({missed}), so the file is {taken.scheme}: {SCHEMES[taken.scheme]}. On this "
        f"machine it takes {slower:.1f} times the time of {first.scheme} and {larger:.1f} times its size; on a Pi "
        f"expect the factor of time to be larger. More --pictures to calibrate on may bring {first.scheme} back"
    )
