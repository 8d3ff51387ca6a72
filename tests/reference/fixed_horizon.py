"""Peers that are meant to be looked at once, from their formulas, many comparisons side by side.

Test oracles and rows of the tables of ``tests.calibration``; nothing here is part of the product.
Rows of matrices are comparisons; p-values are two-sided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize, stats

from analyzers.facts import Bools, Floats


def _two_sided(z: Floats) -> Floats:
    return np.asarray(2.0 * stats.norm.sf(np.abs(z)))


def welch(
    n: tuple[Floats, Floats], mean: tuple[Floats, Floats], variance: tuple[Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """t, degrees of freedom and p of Welch's test, first sample less second, from the number,
    mean and unbiased variance of either."""
    first, second = variance[0] / n[0], variance[1] / n[1]
    both = np.maximum(first + second, 1e-300)
    t = (mean[0] - mean[1]) / np.sqrt(both)
    df = both**2 / np.maximum(first**2 / (n[0] - 1) + second**2 / (n[1] - 1), 1e-300)
    return t, df, np.asarray(2.0 * stats.t.sf(np.abs(t), df))


def poisson(
    counts: tuple[float, float], exposure: tuple[float, float] = (1.0, 1.0)
) -> dict[str, float]:
    """p of "both rates are equal" by four methods (Gu, Ng, Tang and Schucany 2008)."""
    (first, second), d = counts, exposure[0] / exposure[1]
    z = {
        "score": (first - second * d) / np.sqrt((first + second) * d),
        "wald": (first - second * d) / np.sqrt(first + second * d**2),
        "sqrt": 2 * (np.sqrt(first + 0.375) - np.sqrt((second + 0.375) * d)) / np.sqrt(1 + d),
    }
    exact = stats.binomtest(int(first), int(first + second), d / (1 + d)).pvalue
    return {name: float(_two_sided(np.asarray(at))) for name, at in z.items()} | {
        "exact-cond": float(exact)
    }


def share_z(first: Floats, second: Floats, theta: Floats | float) -> Floats:
    """z of the second arm's share of two counts being ``theta`` (the score test of two Poisson
    rates, and Pearson's chi2 of a split); 0 without any count."""
    n = first + second
    return np.asarray((second - n * theta) / np.sqrt(np.maximum(n * theta * (1 - theta), 1e-12)))


def proportion_z(bad: tuple[Floats, Floats], units: tuple[Floats, Floats]) -> Floats:
    """Pooled z of two proportions, first less second; 0 where nothing differs."""
    pooled = (bad[0] + bad[1]) / (units[0] + units[1])
    wide = pooled * (1 - pooled) * (1 / units[0] + 1 / units[1])
    gap = bad[0] / units[0] - bad[1] / units[1]
    return np.asarray(np.where(wide > 0, gap / np.sqrt(np.maximum(wide, 1e-300)), 0.0))


def adjusted(p: Floats, method: str) -> Floats:
    """Adjusted p-values: "bonferroni", "holm", "bh" or "by"."""
    m = len(p)
    order = np.argsort(p)
    rank = np.arange(1, m + 1)
    if method == "bonferroni":
        return np.minimum(p * m, 1.0)
    if method == "holm":
        told = np.maximum.accumulate(p[order] * (m - rank + 1))
    else:
        harmonic = (1.0 / rank).sum() if method == "by" else 1.0
        told = np.minimum.accumulate((p[order] * m * harmonic / rank)[::-1])[::-1]
    found = np.empty(m)
    found[order] = np.minimum(told, 1.0)
    return found


def hac_error(series: Floats, lags: int) -> float:
    """Standard error of a series' mean with Bartlett weights (Newey and West 1987)."""
    gap, n = series - series.mean(), len(series)
    told = float(gap @ gap) / n
    for lag in range(1, lags + 1):
        told += 2.0 * (1.0 - lag / (lags + 1.0)) * float(gap[lag:] @ gap[:-lag]) / n
    return float(np.sqrt(told / n))


def yule_walker(series: Floats, order: int) -> tuple[Floats, float]:
    """Coefficients of an autoregression and the innovations' standard deviation, by the
    autocovariances divided by n."""
    gap, n = series - series.mean(), len(series)
    r = np.array([gap[lag:] @ gap[: n - lag] for lag in range(order + 1)]) / n
    places = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    phi = np.linalg.solve(r[places], r[1:])
    return np.asarray(phi, np.float64), float(np.sqrt(r[0] - r[1:] @ phi))


# --- ranks ---------------------------------------------------------------------------------------


def rank_z(first: Floats, second: Floats) -> Floats:
    """Tie-corrected z of the Mann-Whitney test with continuity correction, (R,), positive where
    the first sample (R, n) is the larger."""
    n, m = first.shape[-1], second.shape[-1]
    both = np.concatenate([first, second], axis=-1)
    rank = stats.rankdata(both, axis=-1)
    u = rank[..., :n].sum(-1) - n * (n + 1) / 2 - n * m / 2
    return np.asarray((u - 0.5 * np.sign(u)) / _rank_sd(rank, n, m))


def _rank_sd(rank: Floats, n: int, m: int) -> Floats:
    """Standard deviation of U from midranks (..., n + m): their variance tells the ties."""
    wide = rank.var(axis=-1) * n * m / (n + m - 1)
    return np.asarray(np.sqrt(np.maximum(wide, 1e-12)))


CONFIDENCE: Final = 0.98
TOLERANCE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Kayenta:
    """What Kayenta's NetflixACAJudge sees: (R,) each."""

    low: Floats
    high: Floats
    estimate: Floats

    @property
    def is_high(self) -> Bools:
        """Whether the experiment is judged High."""
        return np.asarray(self.low > TOLERANCE * np.abs(self.estimate))

    @property
    def is_low(self) -> Bools:
        """Whether the experiment is judged Low."""
        return np.asarray(self.high < -TOLERANCE * np.abs(self.estimate))


def kayenta_roots(
    experiment: Floats, control: Floats, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Low, high and estimate as Kayenta finds them, of one sample each: Brent's root of the z of
    ranks, with continuity correction, of the experiment shifted down."""

    def z(shift: float, at: float) -> float:
        return float(rank_z((experiment - shift)[None], control[None])[0]) - at

    ends = experiment.min() - control.max(), experiment.max() - control.min()
    beyond = float(stats.norm.isf((1 - confidence) / 2))
    low, high, middle = (
        float(optimize.brentq(z, *ends, args=(at,), xtol=1e-10)) for at in (beyond, -beyond, 0.0)
    )
    return low, high, middle


def kayenta(experiment: Floats, control: Floats, confidence: float = CONFIDENCE) -> Kayenta:
    """The Mann-Whitney location interval and estimate of the shift, of (R, n) and (R, m).

    Kayenta finds the roots of z(shift) numerically, as R's ``wilcox.test`` does. z is a step
    function that falls at the pairwise differences, so that its roots are order statistics of
    them. Its estimate is wherever on the step around their median Brent's method arrives; here it
    is the median (Hodges and Lehmann's).
    """
    n, m = experiment.shape[-1], control.shape[-1]
    gaps = (experiment[..., :, None] - control[..., None, :]).reshape(*experiment.shape[:-1], n * m)
    # Ties within one arm stay whatever the shift; those across arms are gone off the steps.
    apart = control - (control.max(-1) - experiment.min(-1) + 1.0)[..., None]
    sd = _rank_sd(stats.rankdata(np.concatenate([experiment, apart], -1), axis=-1), n, m)
    z = float(stats.norm.isf((1 - confidence) / 2))
    k = np.clip(np.ceil(n * m / 2 - 0.5 - z * sd), 1, n * m).astype(np.int64)
    middle = [(n * m - 1) // 2, n * m // 2]
    wanted = np.unique(np.concatenate([k - 1, n * m - k, middle]))
    gaps.partition(wanted, axis=-1)
    low = np.take_along_axis(gaps, (k - 1)[..., None], -1)[..., 0]
    high = np.take_along_axis(gaps, (n * m - k)[..., None], -1)[..., 0]
    return Kayenta(low, high, gaps[..., middle].mean(-1))
