"""E-processes for a rate ratio of two counts, given what share of the traffic each arm had.

Given a stratum's total, the second arm's count is binomial with probability theta(r) = s r / (s r +
1 - s), s its share of exposure and r the rate ratio (Lindon and Malek 2022, "Anytime-Valid
Inference for Multinomial Count Data", arXiv 2011.03567, section 4): the nuisance rate cancels. The
likelihood ratio is monotone in r, so one computed at the edge of a one-sided null is valid for all
of it; a mixture over alternatives is exact for Poisson counts, and works with shares that change
from stratum to stratum.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.batched import Batches
from analyzers.contrast.bets import Held, Starts
from analyzers.contrast.mixing import log_average
from analyzers.contrast.spread import Spread
from analyzers.contrast.strata import Strata, Told
from analyzers.facts import Floats, Ints

# Alternatives as factors on the rate ratio at the margin: from a hardly visible 2 % to nothing
# left. Below 2 % no volume of one deployment would tell.
LESS: Final = np.array([0.98, 0.95, 0.9, 0.8, 0.65, 0.45, 0.2, 0.02])
MORE: Final = 1.0 / LESS
_ALL: Final = np.concatenate([MORE, LESS])


class Counts:
    """Rate ratio, second arm over first, at the given shares: exact kernel and t mixture."""

    def __init__(self) -> None:
        self.edge = np.zeros(0)
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self._shown = np.zeros((0, 4))  # score at equal rates, its variance and phi's, share's sum
        self._up = Starts(len(MORE))
        self._down = Held(len(LESS))
        self._spread = Spread()
        self._batches = Batches(2)

    def __len__(self) -> int:
        return len(self.edge)

    def add(self, edges: Floats) -> None:
        """New comparisons, each with the rate ratio at its margin, above 0."""
        n = len(edges)
        self.edge = np.concatenate([self.edge, edges])
        self.log_harm = np.concatenate([self.log_harm, np.zeros(n)])
        self.log_safe = np.concatenate([self.log_safe, np.zeros(n)])
        self._shown = np.concatenate([self._shown, np.zeros((n, 4))])
        for part in (self._up, self._down, self._spread, self._batches):
            part.add(n)

    def advance(self, rows: Ints, strata: Strata) -> None:
        """See ``Family``; ``units`` are the counts."""
        counts, share, edge = strata.units, strata.share, self.edge[rows]
        phi = self._spread.factor(rows)
        factors = log_factors(counts, share, _ALL, edge) / phi[:, None]
        harm = self._up.advance(rows, factors[:, : len(MORE)])
        safe = self._down.advance(rows, factors[:, len(MORE) :])
        score, variance = scores(counts, share, edge)
        total = counts.sum(axis=1)
        told = total * share * (1 - share)
        exposed = np.column_stack([total * (1 - share), total * share])
        both = np.column_stack([score, -score])
        wide = np.column_stack([variance, variance])
        learned = self._batches.advance(rows, both, wide, told, exposed)
        self.log_harm[rows] = log_average(harm, learned[:, 0])
        self.log_safe[rows] = log_average(safe, learned[:, 1])
        equal = counts[:, 1] - total * share
        self._shown[rows] += np.column_stack([equal, told, told * phi, told * share])
        self._spread.advance(rows, equal / np.sqrt(np.where(told > 0, told, 1.0)), told > 0)

    def told(self, rows: Ints) -> Told:
        """See ``Family``; the effect is near the logarithm of the rate ratio (see ``ratio``)."""
        score, weight, variance, _ = self._shown[rows].T
        return Told(score, weight, variance)

    def ratio(self, rows: Ints, effect: Floats) -> Floats:
        """The rate ratio of an effect as ``told`` tells it, at the mean share of the rows; (k,).

        ``score / weight`` is (r - 1) / (1 + s (r - 1)): what an arm has more than its share.
        """
        _, weight, _, shares = self._shown[rows].T
        s = shares / np.maximum(weight, 1e-12)
        more = np.clip(effect, -1.0 / np.maximum(1.0 - s, 1e-9), (1.0 - 1e-9) / np.maximum(s, 1e-9))
        return np.asarray(np.maximum((1.0 + more * (1.0 - s)) / (1.0 - more * s), 0.0))


def share_at(share: Floats, ratio: Floats) -> Floats:
    """The second arm's expected share of the counts at a rate ratio; arguments broadcast."""
    return np.asarray(share * ratio / (share * ratio + 1 - share))


def log_factors(counts: Floats, share: Floats, factors: Floats, edge: Floats) -> Floats:
    """Log likelihood ratio of one stratum of k comparisons, ratio ``edge * factor`` against ratio
    ``edge``; (k, K).

    ``counts`` (k, 2) of both arms, ``share`` (k,) of the second arm in exposure, ``factors``
    (K,), ``edge`` (k,) rate ratios at the margins.
    """
    s = share[:, None]
    null = share_at(s, edge[:, None])
    other = share_at(s, edge[:, None] * factors)
    return counts[:, 1:] * np.log(other / null) + counts[:, :1] * np.log((1 - other) / (1 - null))


def scores(counts: Floats, share: Floats, edge: Floats) -> tuple[Floats, Floats]:
    """The second arm's count beyond its expectation at each ratio, and its binomial variance."""
    n = counts.sum(axis=1)
    theta = share_at(share, edge)
    return counts[:, 1] - n * theta, n * theta * (1 - theta)
