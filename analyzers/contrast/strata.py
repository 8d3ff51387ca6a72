"""What a family of running tests takes in and gives out: strata of many comparisons at once.

A family holds the tests of one kind for n comparisons as columns, one row each, and is advanced by
rounds: one closed stratum for each of some rows. What one row goes through never depends on the
others, nor on how rounds were cut. Arms are ordered so that harm is always "the second arm has
more": where less is worse, whoever calls swaps the arms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

import numpy as np

from analyzers.facts import Bools, Floats, Ints

# Places of comparisons in the columns of a family: see ``run``.
Rows: TypeAlias = Ints | slice


@dataclass(frozen=True, slots=True)
class Strata:
    """One round: k strata, each of another comparison.

    ``units``, ``bad`` (k, 2): units of both arms, and how many of them failed. ``total`` (k, 2):
    sums of values in the metric's unit. ``share`` (k,): of the second arm in the exposure, 0 where
    unknown. Buckets as rows, sorted by ``bin_of``: place in [0, k), bucket number, counts (m, 2).
    ``worth`` (k,) is what each value of a stratum counts for, 1 if it is None; ``ripe`` (k,)
    whether its values say anything of safety, as all do if it is None.
    """

    units: Floats
    bad: Floats
    total: Floats
    share: Floats
    bin_of: Ints
    bin: Ints
    bin_counts: Floats
    worth: Floats | None = None
    ripe: Bools | None = None

    def weighed(self) -> Strata:
        """The same with counts of what values are worth."""
        if self.worth is None:
            return self
        counts = self.bin_counts * self.worth[self.bin_of][:, None]
        return replace(self, bin_counts=counts, worth=None)


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


# Rows that are advanced at once, so that what is computed on the way stays in the processor's
# cache; and of families that read no buckets.
BLOCK: Final = 1024
WIDE: Final = 2048


def blocks(rows: Ints, strata: Strata, *, wide: bool = False) -> Iterator[tuple[Ints, Strata]]:
    """The same round in parts of some rows, ``wide`` without their buckets; nothing depends on
    where they are cut."""
    size = WIDE if wide else BLOCK
    if len(rows) <= size:
        yield rows, strata
        return
    if wide:
        bins = strata.bin_of[:0], strata.bin[:0], strata.bin_counts[:0]
        strata = Strata(strata.units, strata.bad, strata.total, strata.share, *bins)
    starts = range(0, len(rows), size)
    edges = np.searchsorted(strata.bin_of, [*starts, len(rows)]).tolist()
    for place, begin in enumerate(starts):
        part, of = slice(begin, begin + size), slice(edges[place], edges[place + 1])
        yield (
            rows[part],
            Strata(
                strata.units[part], strata.bad[part], strata.total[part], strata.share[part],
                strata.bin_of[of] - begin, strata.bin[of], strata.bin_counts[of],
                None if strata.worth is None else strata.worth[part],
                None if strata.ripe is None else strata.ripe[part],
            ),
        )  # fmt: skip


def run(rows: Rows) -> Rows:
    """The same rows, as a slice where each follows the one before: a view of columns costs nothing,
    a gather up to 25 ns a row. What is read by a slice changes with what is stored later."""
    if isinstance(rows, slice) or not len(rows):
        return rows
    first, count = int(rows[0]), len(rows)
    if int(rows[-1]) - first != count - 1 or (rows[1:] - rows[:-1] != 1).any():
        return rows
    return slice(first, first + count)


def those(rows: Rows, chosen: Bools) -> Rows:
    """Some of the given rows, by a mask (k,)."""
    if chosen.all():
        return rows
    if isinstance(rows, slice):
        return run(np.flatnonzero(chosen) + rows.start)
    return rows[chosen]


def read(column: Floats, rows: Rows) -> Floats:
    """The columns (C, k) of some rows of (n, C), to be changed and stored with ``write``."""
    return column.T[:, rows] if isinstance(rows, slice) else column.T.take(rows, axis=1)


def write(column: Floats, rows: Rows, told: Floats) -> None:
    """Stores what ``read`` gave, changed in place."""
    if not isinstance(rows, slice):
        for one, values in zip(column.T, told, strict=True):
            one[rows] = values


def added(column: Floats, rows: Rows, *more: Floats | Bools) -> Floats:
    """The columns (C, k) of some rows of (n, C), after something (k,) is added to each of them."""
    sums = read(column, rows)
    for at, one in enumerate(more):
        sums[at] += one
    write(column, rows, sums)
    return sums


def grow(family: object, count: int) -> slice:
    """Adds so many rows of zeros to every column of a family and of its parts; which they are."""
    rows = slice(0, 0)
    for name, column in vars(family).items():
        if isinstance(column, np.ndarray):
            rows = slice(len(column), len(column) + count)
            # One number of many rows lies together, so that a run of rows is contiguous.
            grown = np.zeros((rows.stop, *column.shape[1:]), column.dtype, order="F")
            grown[: rows.start] = column
            setattr(family, name, grown)
        else:
            for part in column if isinstance(column, list) else [column]:
                if hasattr(part, "__dict__"):
                    grow(part, count)
    return rows


def keep(family: object, rows: Ints) -> None:
    """Leaves only some of the rows in every column of a family and of its parts."""
    for name, column in vars(family).items():
        if isinstance(column, np.ndarray):
            setattr(family, name, np.asfortranarray(column[rows]))
        elif isinstance(column, list) and any(hasattr(part, "__dict__") for part in column):
            for part in column:
                keep(part, rows)
        elif isinstance(column, list):
            setattr(family, name, [column[row] for row in rows.tolist()])
        elif hasattr(column, "__dict__"):
            keep(column, rows)
