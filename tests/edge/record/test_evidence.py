"""Observations of a passage, packed."""

from __future__ import annotations

import random
import statistics
import zlib

import pytest

from edge.record import evidence
from edge.record.evidence import Weighed, packed, unpacked


def observations(seed: int, count: int, labels: int = 3) -> list[Weighed]:
    chance, at_s = random.Random(seed), 0.0
    found = []
    for _ in range(count):
        at_s += chance.choice((0.05, 0.1, 0.4)) + chance.random() * 0.01
        weights = [chance.random() ** 3 for _ in range(labels)]
        shares = tuple(weight / sum(weights) for weight in weights)
        found.append(Weighed(at_s, chance.random(), chance.random() < 0.7, shares))
    return found


@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 30, evidence.MOST])
def test_observations_come_back(count: int, labels: int) -> None:
    before = observations(count, count, labels)
    after = unpacked(packed(before))
    assert len(after) == count
    for one, other in zip(before, after, strict=True):
        assert other.at_s == pytest.approx(one.at_s, abs=count * 1e-4)
        assert other.quality == pytest.approx(one.quality, abs=1e-4)
        assert other.sure == one.sure
        assert other.probabilities == pytest.approx(one.probabilities, abs=1e-3)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 3.0667, 4000.0])
def test_how_long_a_person_was_followed_comes_back(seconds: float) -> None:
    data = packed(observations(1, 5), seconds)
    assert evidence.lasted_s(data) == pytest.approx(seconds, abs=5e-4)
    assert len(unpacked(data)) == 5


def test_evidence_of_an_earlier_version_is_read() -> None:
    """Two observations of a face with two labels, as bytes without the duration."""
    planes = bytes([0xE8, 0xE8, 0xFF, 0xFF, 0x00, 0x00, 0x03, 0x03, 0xFF, 0xFF, 0x10, 0x10])
    data = b"\2" + zlib.compress(planes)
    assert evidence.lasted_s(data) == evidence.lasted_s(b"") == 0.0
    assert [round(one.at_s, 3) for one in unpacked(data)] == [0.1, 0.2]


def test_impossible_probabilities_come_back_as_good_as_possible() -> None:
    sure = unpacked(packed([Weighed(0.1, 1.0, True, (1.0, 0.0, 0.0))]))[0]
    assert sure.probabilities == pytest.approx((1.0, 0.0, 0.0), abs=1e-6)
    assert unpacked(packed([Weighed(0.1, 1.0, True, (0.0, 0.0, 1.0))]))[0].probabilities[2] > 0.999


def test_a_passage_takes_about_a_hundred_bytes() -> None:
    sizes = [len(packed(observations(seed, 20))) for seed in range(50)]
    assert statistics.mean(sizes) < 190  # of random numbers, which nothing can compress; real ones are smaller


@pytest.mark.parametrize("at", [0, 1, 5, -1])
def test_damaged_evidence_is_a_value_error(at: int) -> None:
    data = bytearray(packed(observations(1, 20)))
    data[at] ^= 0x55
    with pytest.raises(ValueError, match="evidence is damaged"):
        unpacked(bytes(data))
    with pytest.raises(ValueError, match="evidence is damaged"):
        unpacked(bytes(data[:at]) or b"\1")


def test_evidence_that_expands_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="evidence is damaged"):
        unpacked(b"\3" + zlib.compress(bytes(10_000_000)))
