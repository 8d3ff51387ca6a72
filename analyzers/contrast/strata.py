"""What a family of running tests takes in and gives out: strata of many comparisons at once.

A family holds the tests of one kind for n comparisons as columns, one row each, and is advanced by
rounds: one closed stratum for each of some rows. What one row goes through never depends on the
others, nor on how rounds were cut. Arms are ordered so that harm is always "the second arm has
more": where less is worse, whoever calls swaps the arms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

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


class Judged(Protocol):
    """What running tests of one kind say: n comparisons, one row each."""

    def __len__(self) -> int: ...

    @property
    def log_harm(self) -> Floats:
        """(n,) log e-values, now, against "the effect is at most the margin"."""

    @property
    def log_safe(self) -> Floats:
        """(n,) log e-values, now, against "the effect is at least the margin"."""

    def told(self, rows: Ints) -> Told:
        """What the given rows show."""


class Family(Judged, Protocol):
    """Running tests of one kind that take in strata, whenever they close."""

    def advance(self, rows: Ints, strata: Strata) -> None:
        """Takes in one stratum for each of the given rows (each row at most once)."""


# Rows that are advanced at once: what is computed on the way stays in the processor's cache.
BLOCK: Final = 512


def blocks(rows: Ints, strata: Strata) -> Iterator[tuple[Ints, Strata]]:
    """The same round in parts of a few hundred rows; nothing depends on where they are cut."""
    if len(rows) <= BLOCK:
        yield rows, strata
        return
    starts = range(0, len(rows), BLOCK)
    edges = np.searchsorted(strata.bin_of, [*starts, len(rows)]).tolist()
    for place, begin in enumerate(starts):
        part, bins = slice(begin, begin + BLOCK), slice(edges[place], edges[place + 1])
        yield (
            rows[part],
            Strata(
                strata.units[part], strata.bad[part], strata.total[part], strata.share[part],
                strata.bin_of[bins] - begin, strata.bin[bins], strata.bin_counts[bins],
            ),
        )  # fmt: skip


def keep(family: object, rows: Ints) -> None:
    """Leaves only some of the rows in every column of a family and of its parts."""
    for name, column in vars(family).items():
        if isinstance(column, np.ndarray):
            setattr(family, name, column[rows])
        elif isinstance(column, list) and any(hasattr(part, "__dict__") for part in column):
            for part in column:
                keep(part, rows)
        elif isinstance(column, list):
            setattr(family, name, [column[row] for row in rows.tolist()])
        elif hasattr(column, "__dict__"):
            keep(column, rows)
