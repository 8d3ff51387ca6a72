"""Gauges: what both arms showed in the same window, as paired differences without memory.

A queue's depth of one minute tells most of that of the next, and what moves both arms alike says
nothing about a release. The difference of the arms in one window removes the latter; an
autoregression, fitted to the past before the release, removes the former: its residuals have mean
zero if the difference has, and can be tested one by one. Rank tests on the values themselves, as
common canary analysis runs them, call 29 % of harmless releases bad at a correlation of .5.

Residuals are exact from the first window on: with k < p windows known, the predictor of order k
follows from that of order p by the recursion of Levinson (1947) and Durbin (1960), downwards.
After a gap the windows before it are no longer the lags, yet still tell of what comes: nothing is
judged until all lags are filled anew.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.means import Means
from analyzers.contrast.strata import Strata, Told, added, grow, read
from analyzers.facts import Bools, Floats, Ints

ORDER: Final = 5
# Windows of a batch where no past tells the memory: its mean is nearly independent of the next
# one's if the correlation is gone after so many windows.
BATCH: Final = 20.0
# Windows of the past below which fitted memory is too uncertain: with 500, correlation .9 raised
# 4.6 % false alarms at 5 %, with 200 it was 10 %.
PAST: Final = 1_000
# A nearer unit root than this cannot be told from one in a thousand windows.
_ROOT: Final = 0.03
# Means of so many residuals may vary by so much more than fitted memory explains: a level that
# swings slowly is no memory of five windows. One past in a hundred is refused by chance.
_STRETCHES: Final = ((50, 2.0), (100, 2.4))


class Gauges:
    """The running tests of n gauges, one row each; one stratum is one window in which both arms
    had samples: ``units`` (k, 2) how many, ``total`` (k, 2) their sum, in the unit."""

    def __init__(self) -> None:
        self._margin = np.zeros((0, 2))  # factor of the first arm, and what is taken off
        self._known = np.zeros(0, np.bool_)
        self._memory = np.zeros(0)  # 1 - sum of the coefficients
        self._lags = np.zeros((0, ORDER, 2))  # both arms' values, the latest first
        self._predictors = np.zeros((0, ORDER + 1, ORDER))
        self._scales = np.zeros((0, ORDER + 1))
        self._filled = np.zeros(0, np.int64)
        self._last = np.zeros(0, np.int64)
        self._windows = np.zeros((0, 2))  # number, sum of differences
        self._open = np.zeros((0, 3))  # of a batch: number, sum of z, sum of differences
        self._told = np.zeros((0, 3))  # scores of the plain difference: number, sum, squares
        self._means = Means()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def log_harm(self) -> Floats:
        """(n,) log e-values against "the second arm is above the first by at most the margin"."""
        return self._means.log_harm

    @property
    def log_safe(self) -> Floats:
        """(n,) log e-values against "the second arm is above the first by at least the margin"."""
        return self._means.log_safe

    def add(self, margins: Floats, relative: Bools, coefficients: Floats, known: Bools) -> None:
        """New rows: margins (n,) in the unit or, where ``relative``, as a part of the first arm;
        ``coefficients`` (n, 5) of the autoregression as ``coefficients`` gives them, read only
        where ``known`` (n,). Where not, batches of windows are judged, and are indicative."""
        fitted = np.where(known[:, None], coefficients, 0.0)
        predictors, scales = _lower_orders(fitted)
        rows = grow(self, len(margins))
        self._margin[rows, 0] = np.where(relative, 1.0 + margins, 1.0)
        self._margin[rows, 1] = np.where(relative, 0.0, margins)
        self._known[rows] = known
        self._memory[rows] = 1.0 - _sum(fitted)
        self._predictors[rows], self._scales[rows] = predictors, scales
        self._last[rows] = -1

    def advance(self, rows: Ints, strata: Strata, at: Ints) -> None:
        """Takes in one window for each of the given rows (each row at most once), ``at`` (k,) its
        number, 0 or more and growing for each row. A window without samples of both arms, or with
        values that are no numbers, counts as absent."""
        behind = at <= self._last[rows]
        if behind.any():
            place = int(np.flatnonzero(behind)[0])
            raise ValueError(
                f"window {at[place]} of gauge row {rows[place]} comes after window "
                f"{self._last[rows[place]]}; give windows in order"
            )
        usable = (strata.units > 0).all(axis=1) & np.isfinite(strata.total).all(axis=1)
        rows, at = rows[usable], at[usable]
        value = strata.total[usable] / strata.units[usable]
        factor, off = self._margin[rows].T
        lags = self._lags[rows]
        in_time = at == self._last[rows] + 1
        first = self._last[rows] < 0
        filled = np.where(in_time, self._filled[rows], 0)
        # Fewer lags than all are enough for the first windows, not for those after a gap, which
        # the windows before it foretell: negative numbers count what is still to be filled.
        filled = np.where(in_time | first, filled, -ORDER)
        order = np.maximum(filled, 0)
        predictor, scale = self._predictors[rows, order], self._scales[rows, order]
        plain = value[:, 1] - value[:, 0]
        beyond = value[:, 1] - factor * value[:, 0] - off
        told = plain.copy()
        score = beyond.copy()
        for k in range(ORDER):
            before = lags[:, k]
            told -= predictor[:, k] * (before[:, 1] - before[:, 0])
            score -= predictor[:, k] * (before[:, 1] - factor * before[:, 0] - off)
        self._lags[rows, 1:] = lags[:, :-1]
        self._lags[rows, 0] = value
        grown = np.where(filled < 0, filled + 1, np.minimum(filled + 1, ORDER))
        self._filled[rows] = np.where((filled < 0) & (grown == 0), ORDER, grown)
        self._last[rows] = at
        added(self._windows, rows, np.ones(len(rows)), plain)
        known = self._known[rows]
        ready = known & (filled >= 0)
        self._judge(rows[ready], score[ready] / scale[ready], told[ready] / scale[ready])
        self._gather(rows[~known], beyond[~known], plain[~known])

    def told(self, rows: Ints) -> Told:
        """The sum of differences in the unit, the number of windows, and the sum's variance with
        the memory in it: that of the residuals over (1 - sum of the coefficients)^2, or that of
        batches. All zero until four scores tell a variance."""
        number, total, square = self._told[rows].T
        windows, plain = self._windows[rows].T
        enough = number >= 4
        # (n - 1) / (n - 3) more than the usual estimate: the variance of Student's t.
        rest = np.maximum(square - total * total / np.maximum(number, 1.0), 0.0)
        each = rest / np.maximum(number - 3.0, 1.0)
        long_run = np.where(self._known[rows], each / self._memory[rows] ** 2, each * BATCH)
        zero = np.zeros(len(rows))
        return Told(
            np.where(enough, plain, zero),
            np.where(enough, windows, zero),
            np.where(enough, windows * long_run, zero),
        )

    def _judge(self, rows: Ints, score: Floats, told: Floats) -> None:
        added(self._told, rows, np.ones(len(rows)), told, told * told)
        self._means.advance(rows, score)

    def _gather(self, rows: Ints, beyond: Floats, plain: Floats) -> None:
        number, *_ = added(self._open, rows, np.ones(len(rows)), beyond, plain)
        full = rows[number >= BATCH]
        if len(full):
            _, beyond, plain = read(self._open, full) / BATCH
            self._judge(full, beyond, plain)
            self._open[full] = 0.0


def yule_walker(series: Floats, order: int) -> Floats:
    """Coefficients (order,) of the autoregression of a series, by the equations of Yule (1927)
    and Walker (1931) with autocovariances divided by n, which always gives a stationary one.

    Solved by the recursion of Levinson and Durbin, with sums that no library reorders.

    >>> yule_walker(np.array([1.0, -1.0, 1.0, -1.0]), 1).tolist()
    [-0.75]
    """
    centred = series - series.mean()
    n = len(centred)
    covariance = [float((centred[: n - k] * centred[k:]).sum()) / n for k in range(order + 1)]
    fitted = np.zeros(order)
    rest = covariance[0]
    for k in range(order):
        reach = covariance[k + 1] - sum(float(fitted[j]) * covariance[k - j] for j in range(k))
        if rest <= 0.0:
            break
        reflection = reach / rest
        fitted[:k] -= reflection * fitted[:k][::-1].copy()
        fitted[k] = reflection
        rest *= 1.0 - reflection * reflection
    return fitted


def coefficients(series: Floats) -> Floats | None:
    """Coefficients (5,) for ``Gauges.add`` from the past before a release, one number a window,
    without gaps; None where the past says too little or nothing that may be relied on: fewer than
    1,000 windows, values that are no numbers, a constant, a level that wanders (unit root), memory
    longer than an autoregression of order 5 explains.

    The best past is the difference of two halves of the baseline, or of two arms without a
    release between them; the baseline's own values serve where there is none.
    """
    if len(series) < PAST or not np.isfinite(series).all():
        return None
    spread = float(series.std())
    if spread <= 1e-9 * max(1e-300, float(np.abs(series).max())):
        return None
    fitted = yule_walker(series, ORDER)
    left = 1.0 - float(_sum(fitted[None])[0])
    if left < _ROOT:
        return None
    residual = (series - series.mean())[ORDER:].copy()
    centred = series - series.mean()
    for k in range(ORDER):
        residual -= fitted[k] * centred[ORDER - 1 - k : len(series) - 1 - k]
    square = float((residual * residual).mean())
    for stretch, allowed in _STRETCHES:
        whole = len(residual) // stretch * stretch
        means = residual[:whole].reshape(-1, stretch).mean(axis=1)
        if float(means.var()) > allowed * square / stretch:
            return None
    return fitted


def _sum(fitted: Floats) -> Floats:
    """Sums of rows (n,), added in one order."""
    total = np.zeros(len(fitted))
    for k in range(fitted.shape[1]):
        total += fitted[:, k]
    return total


def _lower_orders(fitted: Floats) -> tuple[Floats, Floats]:
    """Predictors (n, 6, 5) from 0 to 5 lags, and the standard deviations (n, 6) of what they
    leave, that of 5 lags being 1. ValueError unless all are stationary."""
    predictors = np.zeros((len(fitted), ORDER + 1, ORDER))
    variance = np.ones((len(fitted), ORDER + 1))
    predictors[:, ORDER] = fitted
    for order in range(ORDER, 0, -1):
        above = predictors[:, order, :order]
        reflection = above[:, -1:]
        wild = ~(np.abs(reflection[:, 0]) < 1.0) | ~np.isfinite(above).all(axis=1)
        if wild.any():
            row = fitted[int(np.flatnonzero(wild)[0])].tolist()
            raise ValueError(
                f"coefficients {row} are not those of a stationary autoregression; "
                "take them from coefficients(), or say that none are known"
            )
        unexplained = 1.0 - reflection**2
        kept = above[:, :-1]
        lower = (kept + reflection * kept[:, ::-1]) / unexplained
        predictors[:, order - 1, : order - 1] = lower
        variance[:, order - 1] = variance[:, order] / unexplained[:, 0]
    return predictors, np.sqrt(variance)
