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

from analyzers.contrast.mixing import log_mean
from analyzers.facts import Floats, Ints

# The bet of the first stratum has this weight, the k-th the rest's part 1 / (k (k - 1)): a start
# after a thousand strata costs 14.5 nats, less than the flawless thousand would.
FIRST: Final = 0.5


class Held:
    """Bets that are held from the first stratum on: log wealth (n, K)."""

    def __init__(self, alternatives: int) -> None:
        self.wealth = np.zeros((0, alternatives))

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        self.wealth = _more(self.wealth, count, 0.0)

    def advance(self, rows: Ints, factors: Floats) -> Floats:
        """Log e-values of the given rows, (k,), after log factors (k, K)."""
        self.wealth[rows] = now = self.wealth[rows] + factors
        return log_mean(now, -1)


class Starts:
    """Bets that begin at every stratum: the log wealth of the first one (n, K), and the log of the
    summed weights of all bets over the first one's wealth."""

    def __init__(self, alternatives: int) -> None:
        self.first = np.zeros((0, alternatives))
        self.begun = np.zeros((0, alternatives))
        self.strata = np.zeros(0)

    def add(self, count: int) -> None:
        """As many new rows, without any stratum."""
        self.first = _more(self.first, count, 0.0)
        self.begun = _more(self.begun, count, -np.inf)
        self.strata = _more(self.strata, count, 0.0)

    def advance(self, rows: Ints, factors: Floats) -> Floats:
        """Log e-values of the given rows, (k,), after log factors (k, K)."""
        k = self.strata[rows] + 1.0
        weight = np.where(k == 1.0, FIRST, (1.0 - FIRST) / np.maximum(k * (k - 1.0), 1.0))
        first = self.first[rows]
        # A bet begun at this stratum has the first one's wealth now over what that had before.
        begun = np.logaddexp(self.begun[rows], np.log(weight)[:, None] - first)
        first = first + factors
        self.first[rows], self.begun[rows], self.strata[rows] = first, begun, k
        unopened = np.log((1.0 - FIRST) / k)[:, None]
        return log_mean(np.logaddexp(first + begun, unopened), -1)


def _more(column: Floats, count: int, fill: float) -> Floats:
    return np.concatenate([column, np.full((count, *column.shape[1:]), fill)])
