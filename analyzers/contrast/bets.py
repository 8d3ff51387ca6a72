"""Likelihood ratios that are bet on, for n comparisons at once; harm may begin at any stratum.

A bet that starts with the release pays for every flawless stratum before a harm: a canary that
failed altogether after 20,000 good orders was found after 626 more. The mixture over all starting
points, weights fixed in advance and bets not begun at 1, is an e-process too (statisticians'
"start-time mixture"; Shiryaev-Roberts with weights that sum to one): 31 orders, and 12 instead of
10 for a harm that is there from the start. Safety is what has held since the beginning.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import Floats, Ints

# The bet of the first stratum has this weight, the k-th the rest's part 1 / (k (k - 1)): a start
# after a thousand strata costs 14.5 nats, less than the flawless thousand would.
FIRST: Final = 0.5
# No stratum multiplies a bet that may begin late by more: the e-value only shrinks, and the sums
# stay within what a float holds.
_GAIN: Final = 230.0
_LOSS: Final = -700.0
_LARGE: Final = 1e150


class Held:
    """Bets that are held from the first stratum on: log wealth (n, K)."""

    def __init__(self, alternatives: int) -> None:
        self.wealth = np.zeros((0, alternatives))

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        self.wealth = _more(self.wealth, count, 0.0)

    def advance(self, rows: Ints, factors: Floats) -> Floats:
        """Log e-values of the given rows, (k,), after log factors (k, K)."""
        now = np.ascontiguousarray(self.wealth[rows].T)
        now += factors.T
        self.wealth[rows] = now.T
        top = now.max(axis=0)
        top = np.where(np.isfinite(top), top, 0.0)
        now -= top
        mean = _mean(np.exp(now, out=now))
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mean) + top)


class Starts:
    """Bets that begin at every stratum: the summed weighted wealth (n, K) of those begun, times
    exp(-``scale``) (n,), and how many strata there were."""

    def __init__(self, alternatives: int) -> None:
        self.begun = np.zeros((0, alternatives))
        self.scale = np.zeros(0)
        self.strata = np.zeros(0)

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        self.begun = _more(self.begun, count, 0.0)
        self.scale = _more(self.scale, count, 0.0)
        self.strata = _more(self.strata, count, 0.0)

    def advance(self, rows: Ints, factors: Floats) -> Floats:
        """Log e-values of the given rows, (k,), after log factors (k, K)."""
        k = self.strata[rows] + 1.0
        weight = np.where(k == 1.0, FIRST, (1.0 - FIRST) / np.maximum(k * (k - 1.0), 1.0))
        scale = self.scale[rows]
        unit = np.exp(-scale)
        begun = np.ascontiguousarray(self.begun[rows].T)
        begun += weight * unit
        begun *= np.exp(np.clip(factors.T, _LOSS, _GAIN))
        top = begun.max(axis=0)
        far = (top > _LARGE) | (scale > 0.0)
        if far.any():
            # Sums near one, unless that would make what has not begun too large.
            moved = np.where(far, scale + np.log(np.maximum(top, 1e-300)), 0.0)
            moved = np.maximum(moved, 0.0)
            begun *= np.exp(scale - moved)
            scale, unit = moved, np.exp(-moved)
        self.begun[rows], self.scale[rows], self.strata[rows] = begun.T, scale, k
        return np.asarray(np.log(_mean(begun) + unit * ((1.0 - FIRST) / k)) + scale)


def _mean(alternatives: Floats) -> Floats:
    """The mean of (K, k) over K, summed in their order whatever k is."""
    total = alternatives[0].copy()
    for one in alternatives[1:]:
        total += one
    return np.asarray(total / len(alternatives))


def _more(column: Floats, count: int, fill: float) -> Floats:
    return np.concatenate([column, np.full((count, *column.shape[1:]), fill)])
