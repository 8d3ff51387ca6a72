"""What a family of running tests takes in and gives out: strata of many comparisons at once.

A family holds the tests of one kind for n comparisons as columns, one row each, and is advanced by
rounds: one closed stratum for each of some rows. What one row goes through never depends on the
others, nor on how rounds were cut. Arms are ordered so that harm is always "the second arm has
more": where less is worse, whoever calls swaps the arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from analyzers.facts import Floats, Ints


@dataclass(frozen=True, slots=True)
class Strata:
    """One round: k strata, each of another comparison.

    ``units``, ``bad`` (k, 2): units of both arms, and how many of them failed. ``total`` (k, 2):
    sums of values in the metric's unit. ``share`` (k,): of the second arm in the exposure, 0 where
    unknown. Buckets as rows, sorted by ``bin_of``: place in [0, k), bucket number, counts (m, 2).
    """

    units: Floats
    bad: Floats
    total: Floats
    share: Floats
    bin_of: Ints
    bin: Ints
    bin_counts: Floats


@dataclass(frozen=True, slots=True)
class Told:
    """What k comparisons show, for people. ``score`` is the sum so far of what the second arm has
    more than expected without any effect, ``weight`` what an effect of one would have added to it,
    ``variance`` its variance; all (k,). ``score / weight`` is the effect in the family's scale."""

    score: Floats
    weight: Floats
    variance: Floats


class Family(Protocol):
    """The running tests of one kind: n comparisons, one row each."""

    log_harm: Floats
    """(n,) log e-values, now, against "the effect is at most the margin"."""
    log_safe: Floats
    """(n,) log e-values, now, against "the effect is at least the margin"."""

    def __len__(self) -> int: ...

    def advance(self, rows: Ints, strata: Strata) -> None:
        """Takes in one stratum for each of the given rows (each row at most once)."""

    def told(self, rows: Ints) -> Told:
        """What the given rows show."""
