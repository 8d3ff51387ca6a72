"""Harm that begins late: bets that start at every stratum, not only at the first.

A likelihood ratio that starts with the release pays for every flawless stratum before a harm: a
canary that failed altogether after 20,000 good orders was found after 626 more. The mixture over
all starting points, weights fixed in advance and those not begun at 1, is an e-process too
(statisticians' "start-time mixture"; Shiryaev-Roberts with weights that sum to one): 31 orders, and
12 instead of 10 for a harm that is there from the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.facts import Floats

# The bet of the first stratum has this weight, the k-th the rest's part 1 / (k (k - 1)): a start
# after a thousand strata costs 14.5 nats, less than the flawless thousand would.
FIRST: Final = 0.5


@dataclass(slots=True)
class Starts:
    """What is carried on: the log wealth of the first bet of each of G x K alternatives, the log
    of the summed weights of all bets over the first one's wealth, and the strata so far."""

    first: Floats
    begun: Floats
    strata: int = 0

    @classmethod
    def none(cls, hypotheses: int, alternatives: int) -> Starts:
        """No stratum yet."""
        shape = (hypotheses, alternatives)
        return cls(np.zeros(shape), np.full(shape, -np.inf))

    def advance(self, factors: Floats) -> Floats:
        """Log e-values after each stratum, shape of ``factors`` (J, G, K): their log e-factors."""
        k = self.strata + 1.0 + np.arange(len(factors))
        weight = np.where(k == 1.0, FIRST, (1.0 - FIRST) / np.maximum(k * (k - 1.0), 1.0))
        first = np.cumsum(np.concatenate([self.first[None], factors]), axis=0)
        # A bet begun at stratum k has the first one's wealth now over what that had before k.
        opened = np.log(weight)[:, None, None] - first[:-1]
        begun = np.logaddexp.accumulate(np.concatenate([self.begun[None], opened]), axis=0)
        self.first, self.begun, self.strata = first[-1], begun[-1], self.strata + len(factors)
        unopened = np.log((1.0 - FIRST) / k)[:, None, None]
        return np.asarray(np.logaddexp(first[1:] + begun[1:], unopened))
