"""The files fmd ships: whole, proven here, and made from the Keras files beside them."""

from __future__ import annotations

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
