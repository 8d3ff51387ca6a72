"""Sample-ratio mismatch as a family: subjects count once, and on one side each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyzers.comparing.assigned import Assigned, second_first
from analyzers.contrast.assignment import Assignments
from analyzers.contrast.strata import Strata
from analyzers.facts import Floats, Ints
from analyzers.folding.subjects import ASSIGNED

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


def buckets(rows: list[tuple[Ints, Floats]], share: float = 0.5) -> Strata:
    """A round of one stratum a row, each with buckets and their events by side."""
    counts = np.concatenate([held for _, held in rows]).astype(np.float64)
    units = np.array([held.sum(axis=0) for _, held in rows], np.float64)
    of = np.repeat(np.arange(len(rows)), [len(number) for number, _ in rows])
    number = np.concatenate([number for number, _ in rows])
    none = np.zeros_like(units)
    return Strata(units, none, none, np.full(len(rows), share), of, number, counts)


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


def test_a_bucket_that_both_sides_enter_at_once_is_divided_among_them() -> None:
    found = family(named=True)
    found.advance(ROW, stratum(([1, 2], [2, 3])))
    assert told(found) == (0.0, 3.0)
    found.advance(ROW, stratum(([], [2])))
    assert told(found) == (0.0, 3.0)


def test_few_that_are_entered_by_both_are_halved_whatever_the_share() -> None:
    found = family(named=True)
    found.advance(ROW, stratum(([1, 2, 3], [3]), share=0.1))
    score, units = told(found)
    assert units == 3.0
    assert score == pytest.approx(0.5 - 0.1 * 3.0, abs=1e-3)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.93])
@pytest.mark.parametrize("crowd", [0.001, 0.1, 1.0, 4.0])
def test_with_its_part_of_the_shared_buckets_each_side_was_first_in_its_share(
    share: float, crowd: float
) -> None:
    """Enumerated: Poisson numbers of subjects in a bucket, each on the second side by chance."""
    n = np.arange(60)
    many = stats.poisson.pmf(n, crowd)
    alone = [float(many[1:] @ side ** n[1:]) for side in (1.0 - share, share)]
    hit = float(many[1:].sum())
    part = second_first(np.array([1e6]), np.array([hit * 1e6]), np.array([share]))[0]
    assert alone[1] + part * (hit - sum(alone)) == pytest.approx(share * hit, rel=1e-9)
    assert 0.0 <= part <= 1.0


def test_a_stratum_that_enters_every_bucket_that_was_left_tells_nothing() -> None:
    found, every = family(named=True), list(range(1, ASSIGNED + 1))
    found.advance(ROW, stratum((every, every[:40])))
    assert told(found) == (0.0, 0.0)
    assert found.log_harm[0] == 0.0
    found.advance(ROW, stratum((every, every)))
    assert told(found) == (0.0, 0.0)


@pytest.mark.parametrize(("first", "second"), [(1.0, 9.0), (9.0, 1.0), (1.0, 1.0)])
def test_how_often_the_subjects_of_a_side_come_tells_nothing_against_it(
    first: float, second: float
) -> None:
    """Of 1,500 subjects each side is first in half of the buckets, however many its events."""
    found, chance = family(named=True), np.random.default_rng(3)
    for _ in range(4):
        sides = chance.permutation(ASSIGNED)[:1_500].reshape(2, 750) + 1
        number = np.unique(sides)
        counts = np.column_stack([
            np.isin(number, side) * times
            for side, times in zip(sides, (first, second), strict=True)
        ])  # fmt: skip
        shared = chance.choice(number, 150, replace=False)
        counts[np.isin(number, shared)] = first, second
        found.advance(ROW, buckets([(number, counts)]))
    assert found.log_harm[0] < 1.0


def test_subjects_that_are_sent_to_either_side_by_the_event_tell_nothing_against_it() -> None:
    """A tenth of the events, so that few buckets are the canary's alone."""
    found, chance = family(named=True), np.random.default_rng(4)
    for at in range(20):
        number = np.arange(at * 200 + 1, at * 200 + 201)
        events = 1 + chance.poisson(3.0, 200)
        second = chance.binomial(events, 0.1)
        found.advance(ROW, buckets([(number, np.column_stack([events - second, second]))], 0.1))
    score, units = told(found)
    assert units == 4_000.0
    assert abs(score) < 60.0
    assert found.log_harm[0] < 1.0


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


def test_one_row_alone_gets_the_bits_it_gets_among_many_in_any_order() -> None:
    chance, n = np.random.default_rng(6), 7
    together = Assigned()
    together.add(np.ones(n, np.bool_))
    alone = [family(named=True) for _ in range(n)]
    for _ in range(12):
        order = chance.permutation(n)[: int(chance.integers(1, n + 1))]
        drawn = []
        for _ in order:
            number = np.unique(chance.integers(1, ASSIGNED + 1, int(chance.integers(20, 900))))
            drawn.append((number, chance.poisson([1.2, 0.4], (len(number), 2)).astype(float)))
        together.advance(order, buckets(drawn, 0.25))
        for row, one in zip(order.tolist(), drawn, strict=True):
            alone[row].advance(ROW, buckets([one], 0.25))
    shown = together.told(np.arange(n))
    for row, one_row in enumerate(alone):
        assert one_row.log_harm[0] == together.log_harm[row]
        assert told(one_row) == (shown.score[row], shown.weight[row])
