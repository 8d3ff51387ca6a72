"""Evidence that an arm has gone silent while the other flows, for n comparisons at once.

Silence is counted in occupied 10 s slices, not in events: a nightly import of one arm fills many
events but few slices. The null is generous: the canary still shows in a third of the slices
that its share, or its own past, lets expect (a split by customer can be off by much, but not by
that; a declared share of 1 does not make one slice without it a proof). After the k-th slice
that the canary occupies, a bet of weight 6 / (pi^2 (k + 1)^2) says that it will never be seen
again; it gains 1 / (1 - theta) with every slice only the baseline occupies and is lost when the
canary shows. The sum of all bets, those not begun at 1, is an e-process under the null.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.strata import Strata, Told, added, grow
from analyzers.facts import Floats, Ints

# At 2/3 a customer split of a distributor with a few large customers trips it; at 1/6 it needs
# twice the time to notice a stop.
REST: Final = 1 / 3
# So many slices must have been occupied before the canary's own past says how often to expect it.
LEARNED_AFTER: Final = 30
_WEIGHT: Final = 6.0 / np.pi**2
_OVERFLOW: Final = 700.0


class Quiet:
    """The running evidence that the second arm has gone silent; a stratum is one slice that some
    arm occupies. Nothing here is ever safe: the absence of silence is not health."""

    def __init__(self) -> None:
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self._slices = np.zeros((0, 3))  # occupied by any arm, by the first, by the second
        self._run = np.zeros(0)  # log wealth of the bet that is open

    def __len__(self) -> int:
        return len(self.log_harm)

    def add(self, count: int) -> None:
        """As many new comparisons."""
        grow(self, count)

    def advance(self, rows: Ints, strata: Strata) -> None:
        """See ``Family``; ``share`` is the second arm's expected share of the events, 0 where
        unknown."""
        there = strata.units > 0
        seen = there[:, 1]
        slices, _, before = self._slices[rows].T
        learned = np.where(slices >= LEARNED_AFTER, before / np.maximum(slices, 1.0), 0.0)
        theta = REST * np.maximum(strata.share, learned)
        run = np.where(seen, 0.0, self._run[rows] - np.log1p(-theta))
        k = before + seen
        weight = _WEIGHT / (k + 1.0) ** 2
        unopened = _WEIGHT / (k + 2.0)  # at most the sum of the weights still to come
        e = np.log(weight * np.exp(np.minimum(run, _OVERFLOW)) + unopened)
        self.log_harm[rows] = np.where(run > _OVERFLOW, np.log(weight) + run, e)
        self._run[rows] = run
        added(self._slices, rows, np.ones(len(rows)), *there.T)

    def slices(self, rows: Ints) -> Floats:
        """In how many slices each arm has shown, (k, 2)."""
        return np.asarray(self._slices[rows, 1:])

    def told(self, rows: Ints) -> Told:
        """See ``Family``; silence has no size."""
        none = np.zeros(len(rows))
        return Told(none, none, none)
