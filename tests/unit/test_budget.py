"""How the budget of false alarms is shared out."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from analyzers.comparing.budget import PER_WEIGHT, Budget
from analyzers.policy import WEIGHTS, Criticality, Metric
from tests.facts_of import flow, success


def named(number: int, **changes: object) -> Metric:
    return replace(success(), name=f"m{number}", **changes)  # type: ignore[arg-type]


def country(number: int) -> tuple[tuple[str, str], ...]:
    return (("country", f"C{number}"),)


@pytest.mark.parametrize("criticality", [c for c in Criticality if c is not Criticality.WATCH])
def test_weights_never_sum_to_more_than_one(criticality: Criticality) -> None:
    budget, given = Budget(), []
    for number in range(200):
        metric = named(number, criticality=criticality)
        given.append(budget.weight(metric, ()))
        given += [budget.weight(metric, country(each)) for each in range(30)]
        given += [budget.weight(replace(flow(), name=f"f{number}"), country(e)) for e in range(30)]
    assert min(given) > 0.0
    assert math.fsum(given) <= 1.0


def test_a_weight_never_depends_on_who_comes_later() -> None:
    short, long = Budget(), Budget()
    first = [short.weight(named(number), ()) for number in range(5)]
    told = [long.weight(named(number), ()) for number in range(60)]
    assert told[:5] == first


def test_half_is_for_the_total_and_the_first_segments_have_equal_parts() -> None:
    budget = Budget()
    total = budget.weight(named(1), ())
    assert total == pytest.approx(PER_WEIGHT * WEIGHTS[named(1).criticality] / 2)
    parts = [budget.weight(named(1), country(each)) for each in range(40)]
    assert len(set(parts[:20])) == 1
    assert parts[0] == pytest.approx(total / 25)
    assert all(later < earlier for earlier, later in pairwise(parts[20:]))
    assert math.fsum(parts) <= total


def test_a_silence_gives_all_it_has_to_its_types() -> None:
    tested, silent = Budget(), Budget()
    part = tested.weight(named(1), country(1))
    assert silent.weight(replace(flow(), name="m1"), country(1)) == pytest.approx(2 * part)


def test_a_declared_weight_counts_instead_of_the_criticality() -> None:
    plain, heavy = Budget(), Budget()
    one = plain.weight(named(1, weight=1.0), ())
    assert heavy.weight(named(1, weight=5.0), ()) == pytest.approx(5 * one)


def test_a_metric_too_heavy_for_what_is_left_shares_the_rest() -> None:
    budget = Budget()
    heavy = budget.weight(named(1, weight=1_000.0), ())
    assert 0.0 < heavy < 0.05
    assert budget.weight(named(2, weight=1_000.0), ()) == pytest.approx(heavy / 4)
    assert budget.weight(named(3), ()) == Budget().weight(named(3), ())
