"""Histograms of many comparisons in one sorted table, and rows numbered within their comparison."""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import Bools, Floats, Ints
from analyzers.folding.grouping import runs

# Room for every bucket number there is, of values and of subjects, on both sides of zero.
_HALF: Final = 1 << 13
_SPAN: Final = 2 * _HALF


class Buckets:
    """Counts of both arms by comparison and bucket. What is added is merged now and then: adding
    must not cost as much as all that is held."""

    def __init__(self) -> None:
        self._key = np.empty(0, np.int64)
        self._counts = np.empty((0, 2))
        self._news: list[tuple[Ints, Floats]] = []
        self._waiting = 0

    def add(self, of: Ints, bucket: Ints, counts: Floats) -> None:
        """Adds ``counts`` (m, 2) to buckets of the comparisons ``of`` (m,)."""
        if len(of):
            self._news.append((of * _SPAN + bucket + _HALF, counts))
            self._waiting += len(of)
            if self._waiting > len(self._key):
                self._merge()

    def take(self, leaving: Bools) -> tuple[Ints, Ints, Floats]:
        """Removes and gives back the comparison, bucket and counts of those ``leaving`` (n,)."""
        self._merge()
        if not len(self._key):
            return self._key, self._key, self._counts
        mine = leaving[self._key // _SPAN]
        key, counts = self._key[mine], self._counts[mine]
        if mine.any():
            self._key, self._counts = self._key[~mine], self._counts[~mine]
        return key // _SPAN, key % _SPAN - _HALF, counts

    def of(self, comparison: int) -> tuple[Ints, Floats]:
        """The buckets of one comparison, ascending, and their counts (m, 2)."""
        self._merge()
        begin, end = np.searchsorted(self._key, [comparison * _SPAN, (comparison + 1) * _SPAN])
        return self._key[begin:end] % _SPAN - _HALF, self._counts[begin:end]

    def renumber(self, new: Ints) -> None:
        """Gives every comparison its new number, ascending as before; those at -1 are dropped."""
        self._merge()
        to = new[self._key // _SPAN]
        kept = to >= 0
        self._key = to[kept] * _SPAN + self._key[kept] % _SPAN
        self._counts = self._counts[kept]

    def _merge(self) -> None:
        if not self._news:
            return
        key = np.concatenate([self._key, *(key for key, _ in self._news)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._news)])
        self._news, self._waiting = [], 0
        self._key, self._counts = summed(key, counts)


def summed(key: Ints, counts: Floats) -> tuple[Ints, Floats]:
    """The distinct keys, ascending, and the sums of the counts (m, 2) of each."""
    if (key[1:] > key[:-1]).all():
        return key, counts
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = runs(key)
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(key)))
    sums = [np.bincount(group, arm[order], len(starts)) for arm in counts.T]
    return key[starts], np.column_stack(sums)


def ranks_within(ordered: Ints) -> Ints:
    """The place of each row among those of equal value; ``ordered`` is sorted.

    >>> ranks_within(np.array([2, 2, 5, 7, 7, 7])).tolist()
    [0, 1, 0, 0, 1, 2]
    """
    starts = runs(ordered)
    sizes = np.diff(np.append(starts, len(ordered)))
    return np.asarray(np.arange(len(ordered)) - np.repeat(starts, sizes))
