"""Ratios of sums: heavy values, small canaries, clusters, margins, and what says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.contrast.ratio import MOST, Ratios
from analyzers.contrast.strata import Strata
from analyzers.facts import Floats, Ints

NONE = np.zeros(0, np.int64)
ONE = np.zeros(1, np.int64)


def stratum(numerators: Floats, denominators: Floats) -> Strata:
    """One stratum for each of k rows, (k, 2) each."""
    k = len(numerators)
    no = np.zeros((k, 2))
    return Strata(denominators, no, numerators, np.zeros(k), NONE, NONE, np.zeros((0, 2)))


def ratios(rows: int, margin: float = 0.0, *, relative: bool = False) -> Ratios:
    made = Ratios()
    made.add(np.full(rows, margin), np.full(rows, relative))
    return made


def drawn(
    rng: np.random.Generator,
    rows: int,
    per: float,
    share: float,
    *,
    sigma: float,
    lines: float = 1.0,
) -> tuple[Floats, Floats]:
    """Lognormal values of mean 1 a line and numbers of lines, (rows, 2); ``lines`` an invoice on
    average, all of one value."""
    y, x = np.zeros((rows, 2)), np.zeros((rows, 2))
    for arm, part in enumerate((1.0 - share, share)):
        invoices = rng.poisson(per * part, rows)
        row = np.repeat(np.arange(rows), invoices)
        value = np.exp(sigma * rng.standard_normal(len(row)) - sigma * sigma / 2)
        number = rng.geometric(1.0 / lines, len(row)).astype(float)
        y[:, arm] = np.bincount(row, value * number, minlength=rows)
        x[:, arm] = np.bincount(row, number, minlength=rows)
    return y, x


def allowed(alpha: float, runs: int) -> float:
    return alpha + 2 * float(np.sqrt(alpha * (1 - alpha) / runs))


@pytest.mark.parametrize(
    ("share", "per", "sigma", "lines"),
    [(0.5, 20, 1.0, 1.0), (0.1, 40, 1.0, 1.0), (0.01, 100, 0.6, 1.0), (0.25, 40, 0.6, 5.0)],
)
def test_heavy_values_small_canaries_and_clusters_raise_no_false_alarm(
    share: float, per: float, sigma: float, lines: float
) -> None:
    seed, rows = 41, 400
    rng = np.random.default_rng(seed)
    made, every = ratios(rows), np.arange(rows)
    top = np.zeros((rows, 2))
    for _ in range(100):
        made.advance(every, stratum(*drawn(rng, rows, per, share, sigma=sigma, lines=lines)))
        top = np.maximum(top, np.column_stack([made.log_harm, made.log_safe]))
    crossed = (top >= -np.log(0.05)).mean(axis=0)
    assert crossed.max() <= allowed(0.05, rows), f"seed {seed}: {crossed}"


def test_a_level_that_both_arms_share_may_drift() -> None:
    seed, rows = 42, 400
    rng = np.random.default_rng(seed)
    made, every = ratios(rows), np.arange(rows)
    top = np.zeros(rows)
    for at in range(100):
        y, x = drawn(rng, rows, 30, 0.5, sigma=0.8)
        made.advance(every, stratum(y * np.exp(at / 40), x))
        top = np.maximum(top, np.maximum(made.log_harm, made.log_safe))
    assert (top >= -np.log(0.025)).mean() <= allowed(0.05, rows), f"seed {seed}"


@pytest.mark.parametrize("relative", [True, False])
def test_the_margin_is_a_part_of_the_ratio_or_in_its_unit(relative: bool) -> None:
    """Ratios 4 and 5: beyond a quarter of the first, and beyond one, is where safety begins."""
    rng = np.random.default_rng(43)
    edge = 0.25 if relative else 1.0
    rows = 200
    wide, narrow = (
        ratios(rows, 2 * edge, relative=relative),
        ratios(rows, 0.2 * edge, relative=relative),
    )
    every = np.arange(rows)
    for _ in range(80):
        y, x = drawn(rng, rows, 60, 0.5, sigma=0.5)
        y *= np.array([4.0, 5.0])
        wide.advance(every, stratum(y, x))
        narrow.advance(every, stratum(y, x))
    assert (wide.log_safe >= -np.log(0.05)).mean() > 0.95
    assert (narrow.log_harm >= -np.log(0.05)).mean() > 0.95
    assert (wide.log_harm >= -np.log(0.05)).mean() == 0.0
    told = wide.told(every)
    assert (told.score / told.weight).mean() == pytest.approx(1.0, abs=0.05)
    z = (told.score - told.weight) / np.sqrt(told.variance)
    assert (np.abs(z) <= 1.96).mean() > 0.9


def test_nothing_is_said_of_denominators_that_are_not_above_zero() -> None:
    made = ratios(1)
    strange = [((1.0, 2.0), (0.0, 3.0)), ((1.0, 2.0), (-1.0, 3.0)), ((np.nan, 2.0), (1.0, 3.0)),
               ((1.0, 2.0), (np.inf, 3.0)), ((1.0, np.inf), (2.0, 3.0))]  # fmt: skip
    for y, x in strange:
        made.advance(ONE, stratum(np.array([y]), np.array([x])))
    told = made.told(ONE)
    assert (told.score[0], told.weight[0], told.variance[0]) == (0.0, 0.0, 0.0)
    assert made.log_harm[0] == made.log_safe[0] == 0.0


def test_a_batch_of_few_effective_units_waits_yet_never_for_ever() -> None:
    """A ratio near zero tells no scale: a batch closes after so many strata all the same."""
    rng = np.random.default_rng(44)
    made = ratios(1)
    closed = []
    for _ in range(int(2 * MOST)):
        y = rng.standard_normal((1, 2)) * 100.0
        made.advance(ONE, stratum(y, np.array([[90.0, 10.0]])))
        closed.append(made._means.count[0])
    assert closed[10] == 0.0
    assert closed[-1] >= 1.0


def test_the_unit_of_numerators_and_of_denominators_changes_no_evidence() -> None:
    rng = np.random.default_rng(45)
    plain, scaled = ratios(1, 0.1, relative=True), ratios(1, 0.1, relative=True)
    for _ in range(120):
        y, x = drawn(rng, 1, 60, 0.2, sigma=0.7)
        plain.advance(ONE, stratum(y, x))
        scaled.advance(ONE, stratum(y * 1024.0, x * 2.0**-20))
    assert plain._means.count[0] > 10
    assert scaled.log_harm[0] == pytest.approx(plain.log_harm[0], rel=1e-9)
    assert scaled.log_safe[0] == pytest.approx(plain.log_safe[0], rel=1e-9)


def test_one_row_alone_gets_the_bits_it_gets_among_many_in_any_order() -> None:
    rng = np.random.default_rng(46)
    n, length = 13, 60
    cells = [drawn(rng, n, 60, 0.3, sigma=0.9) for _ in range(length)]
    relative = rng.random(n) < 0.5
    margins = np.full(n, 0.07)
    together = Ratios()
    together.add(margins, relative)
    there = rng.random((length, n)) < 0.8
    for at, (y, x) in enumerate(cells):
        rows: Ints = rng.permutation(np.flatnonzero(there[at]))
        together.advance(rows, stratum(y[rows], x[rows]))
    assert together._means.count.min() > 5
    for one in range(n):
        this = slice(one, one + 1)
        alone = Ratios()
        alone.add(margins[this], relative[this])
        for at in np.flatnonzero(there[:, one]).tolist():
            alone.advance(ONE, stratum(cells[at][0][this], cells[at][1][this]))
        assert alone.log_harm[0] == together.log_harm[one]
        assert alone.log_safe[0] == together.log_safe[one]
