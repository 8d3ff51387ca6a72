"""Rows in groups by integer codes: several codes as one key, keys as group numbers, and counts.

Pure integer arithmetic on arrays; what the codes mean is never known here. Every key sorts like
the codes that it was made of. Nothing here calls Python once a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.facts import Ints

_KEY_END: Final = 1 << 62  # keys are int64
# A table of so many places for each row is cheaper than sorting the rows: a place costs 1 ns to
# clear and look through, a row 12 ns to sort. At 64 the table no longer fits into the cache.
_PLACES_PER_ROW: Final = 8
_PLACES_MIN: Final = 1024


@dataclass(frozen=True, slots=True)
class Mixed:
    """The combination of codes in each of n rows as one integer: ``key`` (n,), in [0, ``end``).

    ``sizes`` are the ends of the codes; ``table`` (codes, combinations) is there where a plain
    mixed radix would overflow, as when a hostile batch names a hundred thousand versions.
    """

    key: Ints
    end: int
    sizes: tuple[int, ...]
    table: Ints | None = None

    def codes(self, keys: Ints) -> list[Ints]:
        """The codes that some keys were made of, an array for each."""
        if self.table is not None:
            return [row[keys] for row in self.table]
        found = []
        for size in reversed(self.sizes[1:]):
            if size == 1:
                found.append(np.zeros(len(keys), np.int64))
                continue
            higher = keys // size
            found.append(keys - higher * size)
            keys = higher
        return [keys, *reversed(found)]


def mixed(codes: Sequence[Ints], sizes: Sequence[int]) -> Mixed:
    """One key for the codes of each row, each int64 (n,) in [0, size); the first leads.

    >>> both = mixed([np.array([0, 1]), np.array([2, 0])], [2, 3])
    >>> both.key.tolist(), [part.tolist() for part in both.codes(both.key)]
    ([2, 3], [[0, 1], [2, 0]])
    """
    end = math.prod(sizes)
    if end >= _KEY_END:
        return _numbered(codes, sizes)
    key = codes[0]
    for code, size in zip(codes[1:], sizes[1:], strict=True):
        if size > 1:
            key = key * size + code
    return Mixed(key, end, tuple(sizes))


def _numbered(codes: Sequence[Ints], sizes: Sequence[int]) -> Mixed:
    """Combinations numbered in order: their number is bounded by that of the rows."""
    order = np.lexsort(tuple(reversed(codes)))
    change = np.zeros(len(order), np.bool_)
    change[:1] = True
    for code in codes:
        ordered = code[order]
        change[1:] |= ordered[1:] != ordered[:-1]
    key = np.empty(len(order), np.int64)
    key[order] = np.cumsum(change) - 1
    first = order[change]
    return Mixed(key, len(first), tuple(sizes), np.stack([code[first] for code in codes]))


@dataclass(frozen=True, slots=True)
class Groups:
    """n rows in k groups: ``of`` (n,) says which, ``keys`` (k,) ascending is what they share."""

    of: Ints
    keys: Ints

    def __len__(self) -> int:
        return len(self.keys)


def grouped(keys: Ints, end: int) -> Groups:
    """The groups of rows of equal key, keys in [0, ``end``).

    >>> found = grouped(np.array([7, 2, 7]), 9)
    >>> found.of.tolist(), found.keys.tolist()
    ([1, 0, 1], [2, 7])
    """
    if end > max(_PLACES_MIN, _PLACES_PER_ROW * len(keys)):
        found, of = np.unique(keys, return_inverse=True)
        return Groups(of, found)
    there = np.zeros(end, np.bool_)
    there[keys] = True
    found = np.flatnonzero(there)
    if len(found) == end:
        return Groups(keys, found)
    number = np.empty(end, np.int64)
    number[found] = np.arange(len(found))
    return Groups(number[keys], found)


def counted(keys: Ints, end: int) -> tuple[Ints, Ints]:
    """The distinct keys, ascending, and how many rows have each.

    >>> [column.tolist() for column in counted(np.array([7, 2, 7]), 9)]
    [[2, 7], [1, 2]]
    """
    if end > max(_PLACES_MIN, _PLACES_PER_ROW * len(keys)):
        ordered = np.sort(keys)
        starts = runs(ordered)
        return ordered[starts], np.diff(starts, append=len(ordered))
    counts = np.bincount(keys, minlength=end)
    found = np.flatnonzero(counts)
    return found, counts[found]


def runs(ordered: Ints) -> Ints:
    """Where the runs of equal values begin in a sorted array."""
    change = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=change[1:])
    return np.flatnonzero(change)
