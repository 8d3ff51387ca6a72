"""Columns of comparisons: runs of rows as views, growing, and bits that no cut of a round moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analyzers.contrast.counts import Counts
from analyzers.contrast.gauge import Gauges
from analyzers.contrast.proportions import Proportions
from analyzers.contrast.quiet import Quiet
from analyzers.contrast.ratio import Ratios
from analyzers.contrast.strata import Rows, Strata, added, grow, keep, read, run, those, write
from analyzers.facts import Floats, Ints

NONE = np.zeros(0, np.int64)


class Part:
    def __init__(self) -> None:
        self.sums = np.zeros((0, 3))
        self.known = np.zeros(0, np.bool_)


class Whole:
    def __init__(self) -> None:
        self.last = np.zeros(0, np.int64)
        self.part = Part()
        self.parts = [Part(), Part()]


def test_rows_that_follow_each_other_are_a_slice_and_others_are_left_alone() -> None:
    assert run(np.arange(3, 9)) == slice(3, 9)
    assert run(np.array([7])) == slice(7, 8)
    for rows in ([3, 5, 4, 6], [3, 4, 6], [6, 5, 4, 3], [0, 2, 1, 3], []):
        found = run(np.array(rows, np.int64))
        assert isinstance(found, np.ndarray)
        assert found.tolist() == rows


@pytest.mark.parametrize("rows", [slice(2, 6), np.array([2, 3, 4, 5]), np.array([4, 0, 5, 2])])
def test_some_of_the_rows_are_those_that_a_mask_names(rows: Rows) -> None:
    every = np.arange(10)
    for mask in ([True] * 4, [False, True, True, False], [True, False, False, True]):
        chosen = np.array(mask)
        assert every[those(rows, chosen)].tolist() == every[rows][chosen].tolist()


@pytest.mark.parametrize("rows", [slice(2, 6), np.array([4, 0, 5, 2])])
def test_what_is_added_to_rows_is_added_to_them_alone_and_told(rows: Rows) -> None:
    column = np.asfortranarray(np.arange(16.0).reshape(8, 2))
    expected, more = column.copy(), np.arange(4.0) * 100.0
    expected[rows, 1] += more
    found = added(column, rows, np.zeros(4), more)
    assert column.tolist() == expected.tolist()
    assert found.T.tolist() == expected[rows].tolist()
    now = read(column, rows)
    now *= 2.0
    write(column, rows, now)
    expected[rows] *= 2.0
    assert column.tolist() == expected.tolist()


def test_every_column_of_a_family_and_its_parts_grows_by_zeros_and_keeps_what_it_held() -> None:
    whole = Whole()
    assert grow(whole, 2) == slice(0, 2)
    whole.last[:] = [5, 6]
    whole.parts[1].sums[:] = [[1, 2, 3], [4, 5, 6]]
    assert grow(whole, 3) == slice(2, 5)
    assert grow(whole, 0) == slice(5, 5)
    assert whole.last.tolist() == [5, 6, 0, 0, 0]
    assert whole.parts[1].sums[:3].tolist() == [[1, 2, 3], [4, 5, 6], [0, 0, 0]]
    assert whole.last.dtype == np.dtype(np.int64)
    assert whole.part.known.dtype == np.dtype(np.bool_)
    assert len(whole.part.sums) == len(whole.part.known) == len(whole.parts[0].sums) == 5
    keep(whole, np.array([1, 4]))
    assert whole.last.tolist() == [6, 0]
    assert whole.parts[1].sums.tolist() == [[4, 5, 6], [0, 0, 0]]


def proportions(rows: int) -> Proportions:
    family = Proportions()
    family.add(np.linspace(0.0, 0.2, rows))
    return family


def counts(rows: int) -> Counts:
    family = Counts()
    family.add(np.linspace(1.0, 1.2, rows))
    return family


def ratios(rows: int) -> Ratios:
    family = Ratios()
    family.add(np.linspace(0.0, 0.2, rows), np.arange(rows) % 2 == 0)
    return family


def quiet(rows: int) -> Quiet:
    family = Quiet()
    family.add(rows)
    return family


def gauges(rows: int) -> Gauges:
    family, even = Gauges(), np.arange(rows) % 2 == 0
    family.add(np.full(rows, 0.1), even, np.tile([0.5, 0.1, 0.0, 0.0, 0.0], (rows, 1)), even)
    return family


def of(told: tuple[Floats, Floats, Floats, Floats], rows: Ints) -> Strata:
    units, bad, total, share = told
    nothing = np.zeros((0, 2))
    return Strata(units[rows], bad[rows], total[rows], share[rows], NONE, NONE, nothing)


def advance(family: object, rows: Ints, strata: Strata, at: int) -> None:
    if isinstance(family, Gauges):
        family.advance(rows, strata, np.full(len(rows), at))
    elif isinstance(family, Proportions | Counts | Ratios | Quiet):
        family.advance(rows, strata)


@pytest.mark.parametrize("made", [proportions, counts, ratios, quiet, gauges])
def test_in_whatever_order_and_parts_a_round_comes_the_bits_are_the_same(
    made: Callable[[int], Proportions | Counts | Ratios | Quiet | Gauges],
) -> None:
    chance, n = np.random.default_rng(11), 2_500  # more than are advanced at once
    whole, parts = made(n), made(n)
    share = chance.choice([0.5, 0.1], n)
    for at in range(30):
        units = chance.poisson(12.0, (n, 2)).astype(np.float64)
        bad = chance.binomial(units.astype(np.int64), 0.3).astype(np.float64)
        total = units * chance.lognormal(0.0, 1.0, (n, 2))
        rows = np.sort(chance.permutation(n)[:2_400]) if at % 2 else np.arange(n)
        told = units, bad, total, share
        advance(whole, rows, of(told, rows), at)
        mixed = chance.permutation(rows)
        for some in (mixed[:7], np.sort(mixed[7:900]), mixed[900:901], mixed[901:]):
            advance(parts, some, of(told, some), at)
        assert parts.log_harm.tolist() == whole.log_harm.tolist()
        assert parts.log_safe.tolist() == whole.log_safe.tolist()
    assert (whole.log_harm != 0.0).mean() >= 0.5
