"""Rounds of strata from plain values, for the tests of families on histograms."""

from __future__ import annotations

import numpy as np

from analyzers.contrast.strata import Strata
from analyzers.facts import Floats, Ints
from analyzers.folding.histogram import buckets

_SPAN = 1 << 13


def of_values(values: Floats, first_arm: int, quantum: float) -> Strata:
    """One stratum for each row of ``values`` (k, n), whose first columns are the first arm's."""
    return of_buckets(buckets(np.rint(values / quantum).astype(np.int64)), first_arm)


def of_buckets(number: Ints, first_arm: int) -> Strata:
    """One stratum for each row of bucket numbers (k, n)."""
    k, n = number.shape
    key = np.sort(
        ((np.arange(k)[:, None] * _SPAN + number + _SPAN // 2) * 2 + (np.arange(n) >= first_arm)),
        axis=None,
    )
    places, counts = _runs(key)
    cells, at = np.unique(places >> 1, return_inverse=True)
    both = np.zeros((len(cells), 2))
    both[at, places & 1] = counts
    units = np.tile([float(first_arm), float(n - first_arm)], (k, 1))
    nothing = np.zeros((k, 2))
    of = cells // _SPAN
    return Strata(units, nothing, nothing, np.zeros(k), of, cells % _SPAN - _SPAN // 2, both)


def _runs(key: Ints) -> tuple[Ints, Ints]:
    start = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    return key[start], np.diff(np.append(start, len(key)))


def chosen(strata: Strata, rows: Ints) -> Strata:
    """The strata of some rows, in the order given."""
    parts = [np.flatnonzero(strata.bin_of == row) for row in rows.tolist()]
    of = np.repeat(np.arange(len(rows)), [len(part) for part in parts])
    at = np.concatenate([np.zeros(0, np.int64), *parts])
    return Strata(
        strata.units[rows], strata.bad[rows], strata.total[rows], strata.share[rows],
        of, strata.bin[at], strata.bin_counts[at],
    )  # fmt: skip


def of_failures(bad: Floats, units: Floats) -> Strata:
    """One stratum for each row of failures and units of both arms, (k, 2) each."""
    return _unvalued(units, bad, np.zeros(len(units)))


def of_counts(counts: Floats, share: Floats) -> Strata:
    """One stratum for each row of counts (k, 2), at shares of the second arm (k,)."""
    return _unvalued(counts, np.zeros_like(counts), share)


def _unvalued(units: Floats, bad: Floats, share: Floats) -> Strata:
    none = np.empty(0, np.int64)
    return Strata(units, bad, np.zeros_like(units), share, none, none, np.empty((0, 2)))
