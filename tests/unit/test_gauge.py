"""Gauges: what windows do to the evidence, whatever their memory, their gaps and their order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from analyzers.contrast.gauge import ORDER, Gauges, coefficients
from analyzers.contrast.strata import Strata
from analyzers.facts import Bools, Floats, Ints

NONE = np.zeros(0, np.int64)
AR_9 = np.array([0.9, 0.0, 0.0, 0.0, 0.0])


def windows(values: Floats, units: float = 4.0) -> Strata:
    """One window for each row of values (k, 2)."""
    k = len(values)
    counts = np.full((k, 2), units)
    no = np.zeros((k, 2))
    return Strata(counts, no, values * units, np.zeros(k), NONE, NONE, np.zeros((0, 2)))


def gauges(rows: int, fitted: Floats | None = None, margin: float = 0.0) -> Gauges:
    made = Gauges()
    every = np.zeros((rows, ORDER)) if fitted is None else np.tile(fitted, (rows, 1))
    known = np.full(rows, fitted is not None)
    made.add(np.full(rows, margin), np.zeros(rows, np.bool_), every, known)
    return made


def tops(made: Gauges, values: Floats) -> Floats:
    """Largest log e-values for harm and safety (rows, 2) after values (windows, rows, 2)."""
    rows = np.arange(len(made))
    top = np.zeros((len(rows), 2))
    for at, value in enumerate(values):
        made.advance(rows, windows(value), np.full(len(rows), at))
        top = np.maximum(top, np.column_stack([made.log_harm, made.log_safe]))
    return top


def memory(rng: np.random.Generator, shape: tuple[int, int, int], phi: float) -> Floats:
    """Autoregressive noise of variance 1 along the first axis."""
    noise = rng.standard_normal((shape[0] + 100, *shape[1:]))
    told = lfilter([1.0], [1.0, -phi], noise, axis=0)[100:] * np.sqrt(1 - phi * phi)
    return np.asarray(told, np.float64)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_memory_that_the_past_tells_raises_no_false_alarm(phi: float) -> None:
    seed, rows, past = 21, 300, 1_000
    values = memory(np.random.default_rng(seed), (past + 150, rows, 2), phi)
    history = values[:past, :, 1] - values[:past, :, 0]
    fitted = [coefficients(series) for series in history.T.copy()]
    made = Gauges()
    every = np.array([np.zeros(ORDER) if one is None else one for one in fitted])
    known = np.array([one is not None for one in fitted])
    assert known.mean() > 0.98
    made.add(np.zeros(rows), np.zeros(rows, np.bool_), every, known)
    crossed = (tops(made, values[past:]) >= -np.log(0.05)).mean(axis=0)
    allowed = 0.05 + 2 * np.sqrt(0.05 * 0.95 / rows)
    assert crossed.max() <= allowed, f"seed {seed}: {crossed}"


def test_the_same_memory_without_its_past_would_be_called_harm() -> None:
    values = memory(np.random.default_rng(22), (150, 200, 2), 0.9)
    crossed = (tops(gauges(200, np.zeros(ORDER)), values)[:, 0] >= -np.log(0.05)).mean()
    assert crossed > 0.3


def test_without_a_past_batches_of_windows_hold_moderate_memory() -> None:
    seed, rows = 23, 400
    values = memory(np.random.default_rng(seed), (300, rows, 2), 0.5)
    crossed = (tops(gauges(rows), values) >= -np.log(0.05)).mean(axis=0)
    assert crossed.max() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / rows), f"seed {seed}: {crossed}"


def test_what_moves_both_arms_alike_hides_no_harm() -> None:
    rng = np.random.default_rng(24)
    values = rng.standard_normal((40, 300, 2)) + 20.0 * rng.standard_normal((40, 300, 1))
    values[:, :, 1] += 1.0
    top = tops(gauges(300, np.zeros(ORDER)), values)
    assert (top[:, 0] >= -np.log(0.05)).mean() > 0.8


def test_a_late_harm_is_not_held_up_by_the_good_windows_before_it() -> None:
    rng = np.random.default_rng(25)
    values = rng.standard_normal((220, 200, 2))
    values[200:, :, 1] += 3.0
    top = tops(gauges(200, np.zeros(ORDER)), values)
    assert (top[:, 0] >= -np.log(0.01)).mean() > 0.9


def test_a_gauge_within_its_margin_is_shown_safe() -> None:
    values = np.random.default_rng(26).standard_normal((60, 100, 2)) + 10.0
    top = tops(gauges(100, np.zeros(ORDER), margin=1.5), values)
    assert (top[:, 1] >= -np.log(0.05)).mean() > 0.95
    assert (top[:, 0] >= -np.log(0.05)).mean() == 0.0


def test_a_relative_margin_is_a_part_of_the_first_arm() -> None:
    made = Gauges()
    made.add(np.array([0.2]), np.array([True]), np.zeros((1, ORDER)), np.array([True]))
    rng = np.random.default_rng(27)
    noise = rng.standard_normal((60, 1, 2))
    tops(made, noise + np.array([100.0, 110.0]))
    assert made.log_safe[0] > 5.0 > made.log_harm[0]
    told = made.told(np.zeros(1, np.int64))
    assert told.score[0] / told.weight[0] == pytest.approx(10.0, abs=1.0)


def test_nothing_is_judged_after_a_gap_until_all_lags_are_filled_anew() -> None:
    rng = np.random.default_rng(28)
    made, row = gauges(1, AR_9), np.zeros(1, np.int64)
    moved = []
    for at in [*range(10), *range(12, 24)]:
        before = made.log_harm[0]
        made.advance(row, windows(rng.standard_normal((1, 2))), np.array([at]))
        moved.append(bool(made.log_harm[0] != before))
    assert moved[2:10] == [True] * 8
    assert moved[10:15] == [False] * 5
    assert moved[15:] == [True] * 7


def test_windows_after_a_gap_are_judged_by_their_own_lags() -> None:
    """The residuals after a gap are those of a series that never had one."""
    rng = np.random.default_rng(29)
    values, row = rng.standard_normal((30, 1, 2)), np.zeros(1, np.int64)
    phi = np.array([0.5, 0.2, -0.1, 0.05, 0.02])
    made = gauges(1, phi)
    for at, value in enumerate(values):
        made.advance(row, windows(value), np.array([at if at < 3 else at + 7]))
    z = values[3:, 0, 1] - values[3:, 0, 0]
    expected = sum(z[t] - phi @ z[t - ORDER : t][::-1] for t in range(ORDER, len(z)))
    early = Gauges()
    early.add(np.zeros(1), np.zeros(1, np.bool_), phi[None], np.array([True]))
    for at in range(3):
        early.advance(row, windows(values[at]), np.array([at]))
    assert made._means.total[0] - early._means.total[0] == pytest.approx(expected, rel=1e-9)


def test_the_first_windows_are_judged_by_the_lags_there_are() -> None:
    """Scores of a stationary series have the same variance from the first on, and no memory."""
    phi = np.array([0.6, 0.2, 0.0, -0.1, 0.15])
    rows = 4_000
    noise = np.random.default_rng(30).standard_normal((400, rows))
    z = lfilter([1.0], [1.0, *-phi], noise, axis=0)[-8:]
    made = gauges(rows, phi)
    scores, before = [], np.zeros(rows)
    for at in range(8):
        value = np.column_stack([np.zeros(rows), z[at]])
        made.advance(np.arange(rows), windows(value), np.full(rows, at))
        scores.append(made._means.total - before)
        before = made._means.total.copy()
    assert np.std(scores, axis=1) == pytest.approx(np.ones(8), abs=0.05)
    assert np.corrcoef(scores) == pytest.approx(np.eye(8), abs=0.06)


def test_windows_without_samples_or_with_values_that_are_no_numbers_are_absent() -> None:
    made, row = gauges(1, np.zeros(ORDER)), np.zeros(1, np.int64)
    for at, value in enumerate([(np.nan, 1.0), (1.0, np.inf)]):
        made.advance(row, windows(np.array([value])), np.array([at]))
    made.advance(row, windows(np.ones((1, 2)), units=0.0), np.array([2]))
    assert made.told(row).weight[0] == 0.0
    assert made._means.count[0] == 0.0


def test_windows_out_of_order_are_refused() -> None:
    made, row = gauges(1, np.zeros(ORDER)), np.zeros(1, np.int64)
    made.advance(row, windows(np.ones((1, 2))), np.array([5]))
    with pytest.raises(ValueError, match="window 5 of gauge row 0 comes after window 5"):
        made.advance(row, windows(np.ones((1, 2))), np.array([5]))


@pytest.mark.parametrize("first", [1.0, 1.3, np.nan])
def test_coefficients_of_no_stationary_series_are_refused(first: float) -> None:
    with pytest.raises(ValueError, match="not those of a stationary autoregression"):
        gauges(1, np.array([first, 0.0, 0.0, 0.0, 0.0]))


def test_arms_that_stay_the_same_say_nothing_and_raise_nothing() -> None:
    top = tops(gauges(3, np.zeros(ORDER)), np.full((30, 3, 2), 7.0))
    assert top.max() <= 0.0


@pytest.mark.parametrize("phi", [0.0, 0.9])
def test_the_interval_covers_the_effect(phi: float) -> None:
    seed, rows = 31, 500
    values = memory(np.random.default_rng(seed), (120, rows, 2), phi)
    values[:, :, 1] += 0.7
    made = gauges(rows, np.array([phi, 0.0, 0.0, 0.0, 0.0]))
    tops(made, values)
    told = made.told(np.arange(rows))
    z = (told.score - 0.7 * told.weight) / np.sqrt(told.variance)
    assert (np.abs(z) <= 1.96).mean() >= 0.94, f"seed {seed}"


def test_one_row_alone_gets_the_bits_it_gets_among_many_in_any_order() -> None:
    rng = np.random.default_rng(32)
    n, length = 13, 45
    values = rng.standard_normal((length, n, 2)) * 3.0 + 50.0
    relative: Bools = rng.random(n) < 0.5
    known: Bools = rng.random(n) < 0.6
    margins = np.where(relative, 0.01, 0.5)
    fitted = np.tile(np.array([0.4, 0.1, 0.05, -0.02, 0.01]), (n, 1))
    there = rng.random((length, n)) < 0.97
    together = Gauges()
    together.add(margins, relative, fitted, known)
    for at in range(length):
        rows: Ints = rng.permutation(np.flatnonzero(there[at]))
        together.advance(rows, windows(values[at, rows]), np.full(len(rows), at))
    row = np.zeros(1, np.int64)
    for one in range(n):
        alone, this = Gauges(), slice(one, one + 1)
        alone.add(margins[this], relative[this], fitted[this], known[this])
        for at in np.flatnonzero(there[:, one]).tolist():
            alone.advance(row, windows(values[at, this]), np.array([at]))
        assert alone.log_harm[0] == together.log_harm[one]
        assert alone.log_safe[0] == together.log_safe[one]
        here, among = alone.told(row), together.told(np.array([one]))
        assert (here.score[0], here.variance[0]) == (among.score[0], among.variance[0])
