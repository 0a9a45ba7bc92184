"""What labels mean by their names, and the files in which people write them down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converter.names import dangerous_of, guess_compliant, labels_of_run, read_labels, role_of
from edge.errors import ConversionError

ROLES = {
    "masked": "with_mask Mask mask WithMask withMask With-Mask masked face_with_mask face-mask correct_mask Compliant "
    "fully_covered with",
    "bare": "without_mask NoMask no-mask nomask No_Mask unmasked un-masked non-mask maskless mask_off lack_of_mask "
    "missing_mask not_masked not-wearing-mask WithoutMask bare face_no_mask "
    "not_covered non_compliant without",
    "badly worn": "with_incorrect_mask incorrect mask_weared_incorrect IncorrectlyMasked mask_below_nose improper "
    "mask_not_worn_correctly chin_mask not_correct wrong_mask",
    "no face": "not_a_face no_face background Background",
    "": "0 class_1 face A",
}


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in ROLES.items() for name in names.split()])
def test_role_of_a_name(role: str, name: str) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("names", "compliant"),
    [
        (("Mask", "NoMask"), "Mask"),
        (("0 Mask", "1 No Mask"), "0 Mask"),
        (("Mask", "incorrect", "nomask"), "Mask"),
        (("mask", "face"), ""),  # the word alone proves nothing
        (("cloth_mask", "surgical_mask", "no_mask"), ""),  # two candidates
        (("yes", "no"), ""),
    ],
)
def test_compliant_label_by_name(names: tuple[str, ...], compliant: str) -> None:
    assert guess_compliant(names) == compliant


@pytest.mark.parametrize(
    ("worn", "compliant", "dangerous"),
    [
        (("with_mask", "with_incorrect_mask", "without_mask"), "with_mask", "without_mask"),
        (("incorrect", "mask", "No-Mask"), "mask", "No-Mask"),
        (("Mask", "incorrect", "nomask"), "Mask", "nomask"),
        (("mask", "chin", "nose"), "mask", "chin"),
    ],
)
def test_no_mask_is_the_label_not_to_be_missed(worn: tuple[str, ...], compliant: str, dangerous: str) -> None:
    assert dangerous_of(worn, compliant) == dangerous


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "﻿0 Mask\r\n1 No Mask\r\n"),
        ("labels.txt", "0: Mask\n1: No Mask"),
        ("labels.txt", "0,Mask\n1,No Mask\n"),
        ("labels.txt", "0\tMask\n1\tNo Mask\n"),
        ("labels.txt", "1 No Mask\n0 Mask\n"),
        ("labels.txt", "Mask 0\nNo Mask 1\n"),
        ("labels.txt", "Mask\nNo Mask\n\n"),
        ("labels.txt", "Mask, No Mask\n"),
        ("class_indices.json", '{"Mask": 0, "No Mask": 1}'),
        ("class_indices.json", '{"1": "No Mask", "0": "Mask"}'),
        ("labels.json", '["Mask", "No Mask"]'),
    ],
)
def test_labels_files(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8"))
    assert read_labels(tmp_path / name) == ("Mask", "No Mask")


@pytest.mark.parametrize("text", ['{"a": "first"}', "{", '"Mask"', "\xff\xfe"])
def test_a_labels_file_that_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConversionError, match="cannot be read as labels"):
        read_labels(tmp_path / "labels.json")


@pytest.mark.parametrize(
    ("run", "labels"),
    [
        ({"command": "fmd-train classifier --labels b,a --folders x --out y"}, ("b", "a")),
        ({"command": "fmd-train classifier --labels=b,a --out y"}, ("b", "a")),
        ({"command": "fmd-train classifier --out y"}, ("with_mask", "without_mask", "with_incorrect_mask")),
        ({"command": "fmd-train detector --out y"}, ()),
        ({"labels": ["x", "y"], "command": "other"}, ("x", "y")),
        ({}, ()),
    ],
)
def test_labels_of_a_training_run(run: dict[str, object], labels: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert labels_of_run(tmp_path / "best.keras") == labels
