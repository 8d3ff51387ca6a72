"""Sample-ratio mismatch as a family: subjects count once, and on one side only."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.comparing.assigned import Assigned
from analyzers.contrast.assignment import Assignments
from analyzers.contrast.strata import Strata
from analyzers.facts import Floats

ROW = np.zeros(1, np.int64)


def stratum(subjects: tuple[list[int], list[int]], share: float = 0.5, times: int = 1) -> Strata:
    """Events of the subjects of both sides, so many of each."""
    found = sorted({*subjects[0], *subjects[1]})
    counts = np.array([[float(side.count(k) * times) for side in subjects] for k in found])
    units: Floats = np.array([[float(len(side) * times) for side in subjects]])
    none = np.zeros((1, 2))
    return Strata(
        units, none, none, np.array([share]), np.zeros(len(found), np.int64),
        np.array(found, np.int64), counts.reshape(-1, 2),
    )  # fmt: skip


def family(*, named: bool) -> Assigned:
    found = Assigned()
    found.add(np.array([named]))
    return found


def told(found: Assigned) -> tuple[float, float]:
    """What the canary has more than its share of, and of how many."""
    shown = found.told(ROW)
    return float(shown.score[0]), float(shown.weight[0])


def test_a_subject_counts_once_however_often_it_comes() -> None:
    found = family(named=True)
    for _ in range(50):
        found.advance(ROW, stratum(([1, 2, 3], [4]), times=9))
    assert told(found) == (-1.0, 4.0)
    assert len(found) == 1


def test_a_bucket_that_both_sides_enter_at_once_is_nobodys() -> None:
    found = family(named=True)
    found.advance(ROW, stratum(([1, 2], [2, 3])))
    assert told(found) == (0.0, 2.0)
    found.advance(ROW, stratum(([], [2])))
    assert told(found) == (0.0, 2.0)


def test_the_test_is_exactly_that_of_the_subjects_seen_for_the_first_time() -> None:
    found, plain = family(named=True), Assignments()
    plain.add(np.array([False]))
    subject, chance = 0, np.random.default_rng(1)
    for _ in range(40):
        first, second = (int(n) for n in chance.poisson([30, 12]))
        fresh = list(range(subject, subject + first + second))
        subject += first + second
        again = [] if subject < 100 else [0, 1, 2]
        found.advance(ROW, stratum(([*fresh[:first], *again], fresh[first:])))
        expected = plain.advance(ROW, np.array([[first, second]], float), np.array([0.5]))
        assert found.log_harm.tolist() == expected.tolist()
    assert found.log_harm[0] > np.log(1_000)
    assert found.log_safe.tolist() == [0.0]


def test_events_without_subjects_are_taken_as_clustered() -> None:
    found, plain = family(named=False), Assignments()
    plain.add(np.array([True]))
    chance = np.random.default_rng(2)
    for _ in range(60):
        counts = chance.poisson([40.0, 20.0]).astype(float)[None] * 3.0
        none, empty = np.zeros((1, 2)), np.empty(0, np.int64)
        found.advance(
            ROW, Strata(counts, none, none, np.array([0.5]), empty, empty, np.empty((0, 2)))
        )
        expected = plain.advance(ROW, counts, np.array([0.5]))
        assert found.log_harm.tolist() == expected.tolist()
    assert found.log_harm[0] > np.log(1_000)


def test_rows_are_apart() -> None:
    found = Assigned()
    found.add(np.array([True, True]))
    found.advance(np.array([1]), stratum(([1, 2], [3])))
    found.advance(np.array([0]), stratum(([1], [3])))
    shown = found.told(np.arange(2))
    assert shown.weight.tolist() == [2.0, 3.0]
    assert shown.score.tolist() == pytest.approx([0.0, -0.5])
