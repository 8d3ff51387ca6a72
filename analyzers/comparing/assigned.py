"""Sample-ratio mismatch as a family: did each side get the share of units that it should have got?

Assignments are counted, never outcomes: a canary that loses a third of its orders has not been
given fewer customers. Where events name the subject that was put on a side, each subject counts
once: it is the first in its bucket.
"""

from __future__ import annotations

import numpy as np

from analyzers.contrast.assignment import Assignments
from analyzers.contrast.strata import Strata, Told
from analyzers.facts import Bools, Floats, Ints


class Assigned:
    """The running mismatch tests of n comparisons; ``log_harm`` is against "as intended"."""

    def __init__(self) -> None:
        self.log_safe = np.zeros(0)
        self._test = Assignments()
        self._shown = np.zeros((0, 3))  # canary's units beyond its share, expected units, variance
        self._named = np.zeros(0, np.bool_)
        self._occupied: list[set[int]] = []

    def __len__(self) -> int:
        return len(self.log_safe)

    @property
    def log_harm(self) -> Floats:
        """(n,) log e-values, now, against "each side gets its share"."""
        return self._test.log_e

    def add(self, named: Bools) -> None:
        """New comparisons; ``named`` (k,) says whether their events name subjects."""
        self._test.add(~named)
        self.log_safe = np.concatenate([self.log_safe, np.zeros(len(named))])
        self._shown = np.concatenate([self._shown, np.zeros((len(named), 3))])
        self._named = np.concatenate([self._named, named])
        self._occupied += [set() for _ in range(len(named))]

    def advance(self, rows: Ints, strata: Strata) -> None:
        """See ``Family``; ``units`` are the events, buckets their subjects."""
        units = strata.units.copy()
        for at in np.flatnonzero(self._named[rows]).tolist():
            units[at] = self._fresh(int(rows[at]), strata, at)
        self._test.advance(rows, units, strata.share)
        n, share = units.sum(axis=1), strata.share
        spread = n * share * (1.0 - share)
        self._shown[rows] += np.column_stack([units[:, 1] - n * share, n, spread])

    def _fresh(self, row: int, strata: Strata, at: int) -> Floats:
        """Units of both arms in buckets that nobody was in before; one that both arms enter at
        once is nobody's."""
        mine = strata.bin_of == at
        taken, counts = self._occupied[row], strata.bin_counts[mine] > 0
        fresh = np.array([number not in taken for number in strata.bin[mine].tolist()], np.bool_)
        taken.update(strata.bin[mine].tolist())
        alone = fresh & (counts.sum(axis=1) == 1)
        return np.asarray(counts[alone].sum(axis=0), np.float64)

    def told(self, rows: Ints) -> Told:
        """See ``Family``; the effect is the canary's share beyond what it should be."""
        score, expected, variance = self._shown[rows].T
        return Told(score, expected, variance)
