"""The files fmd ships: whole, proven here, and made from the Keras files beside them."""

from __future__ import annotations

import json

import pytest

from edge import config
from edge.inference import bundle
from edge.inference.bundle import sha256
from edge.service import models


@pytest.mark.parametrize("task", ["detector", "classifier"])
def test_a_shipped_model_proves_itself_and_names_its_source(task: str) -> None:
    path = models.shipped_model(task)
    contract = bundle.unpack(path).contract
    assert contract.task == task
    assert contract.quantization == "int8"
    assert contract.source_sha256 == sha256(path.with_suffix(".keras").read_bytes())
    models.load_model(config.load().model, task)


def test_the_shipped_classifier_knows_the_three_labels() -> None:
    contract = bundle.unpack(models.shipped_model("classifier")).contract
    assert set(contract.worn) == {"with_mask", "without_mask", "with_incorrect_mask"}
    assert contract.compliant == "with_mask"
    assert contract.background == "not_a_face"


@pytest.mark.parametrize("task", ["detector", "classifier"])
def test_a_shipped_model_has_its_card(task: str) -> None:
    path = models.shipped_model(task)
    assert sha256(path.read_bytes()) in path.with_suffix(".md").read_text(encoding="utf-8")


def test_the_card_of_the_shipped_detector_states_the_numbers_beside_it() -> None:
    card = models.shipped_model("detector").with_suffix(".md")
    numbers = json.loads(card.with_name(f"{card.stem}-scores.json").read_text(encoding="utf-8"))
    lines = card.read_text(encoding="utf-8").partition(f"## Scores: {numbers['title']}\n")[2].splitlines()
    columns = {"all": numbers["figures"], **numbers["by_width"]}
    assert lines[1] == f"| | {' | '.join(columns)} |"
    stated = {line.split(" | ")[0].lstrip("| ").replace(" ", "_"): line.rstrip(" |").split(" | ")[1:] for line in lines}
    shared = stated.keys() & numbers["figures"].keys()
    assert {"faces", "recall", "right_side", "violations_caught", "false_alarms"} <= shared
    for key in shared:
        for cell, figures in zip(stated[key], columns.values(), strict=True):
            assert float(cell) == pytest.approx(figures[key], abs=0.0005)
