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

from analyzers.contrast.strata import Rows, grow, read, run, write
from analyzers.facts import Floats

# The bet of the first stratum has this weight, the k-th the rest's part 1 / (k (k - 1)): a start
# after a thousand strata costs 14.5 nats, less than the flawless thousand would.
FIRST: Final = 0.5
# No stratum multiplies a bet that may begin late by more: the e-value only shrinks, and the sums
# stay within what a float holds.
_GAIN: Final = 230.0
_LOSS: Final = -700.0
_LARGE: Final = 1e150
_LOST: Final = -1e300  # in place of the log of 0: infinity less infinity is no number


class Held:
    """Bets that are held from the first stratum on: log wealth (n, K)."""

    def __init__(self, alternatives: int) -> None:
        self.wealth = np.zeros((0, alternatives))

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        grow(self, count)

    def advance(self, rows: Rows, factors: Floats) -> Floats:
        """Log e-values of the given rows, (k,), after log factors (k, K)."""
        rows = run(rows)
        wealth = read(self.wealth, rows)
        wealth += factors.T
        write(self.wealth, rows, wealth)
        top = wealth.max(axis=0)
        np.maximum(top, _LOST, out=top)
        now = wealth - top
        mean = _mean(np.exp(now, out=now))
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mean, out=mean) + top)


class Starts:
    """Bets that begin at every stratum: the summed weighted wealth (n, K) of those begun, times
    exp(-``scale``) (n,), and how many strata there were."""

    def __init__(self, alternatives: int) -> None:
        self.begun = np.zeros((0, alternatives))
        self.scale = np.zeros(0)
        self.strata = np.zeros(0)

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        grow(self, count)

    def advance(self, rows: Rows, factors: Floats) -> Floats:
        """Log e-values of the given rows, (k,), after log factors (k, K)."""
        rows = run(rows)
        k, scale, begun = self.strata[rows] + 1.0, self.scale[rows], read(self.begun, rows)
        # The first stratum's is FIRST.
        weight = (1.0 - FIRST) / np.maximum(k * (k - 1.0), (1.0 - FIRST) / FIRST)
        waiting = (1.0 - FIRST) / k
        scaled = bool(scale.any())
        begun += weight * np.exp(-scale) if scaled else weight
        gains = np.clip(factors.T, _LOSS, _GAIN)
        begun *= np.exp(gains, out=gains)
        top = begun.max(axis=0)
        if scaled or (top > _LARGE).any():
            # Sums near one, unless that would make what has not begun too large.
            far = (top > _LARGE) | (scale > 0.0)
            moved = np.where(far, scale + np.log(np.maximum(top, 1e-300)), 0.0)
            moved = np.maximum(moved, 0.0)
            begun *= np.exp(scale - moved)
            waiting *= np.exp(-moved)
            self.scale[rows] = scale = moved
        self.strata[rows] = k
        write(self.begun, rows, begun)
        total = _mean(begun)
        total += waiting
        return np.asarray(np.log(total, out=total) + scale)


def _mean(alternatives: Floats) -> Floats:
    """The mean of (K, k) over K, summed in their order whatever k is."""
    total = alternatives[0].copy()
    for one in alternatives[1:]:
        total += one
    total /= len(alternatives)
    return np.asarray(total)
