"""Sample-ratio mismatch as a family: did each side get the share of units that it should have got?

Assignments are counted, never outcomes: a canary that loses a third of its orders has not been
given fewer customers. Where events name the subject that was put on a side, each subject counts
once: it is the first in its bucket. Who was the first in a bucket that both sides enter in one
stratum is not known, and leaving such buckets out would favour the side that has more. Two accounts
of them are kept, and the one that says less is believed: by how many buckets each side entered,
right wherever subjects stay on their side, however often they come there; and by the events in each
bucket, right wherever subjects of both sides come equally often, even if one comes to both.
"""

from __future__ import annotations

import numpy as np

from analyzers.contrast.assignment import Assignments
from analyzers.contrast.strata import Strata, Told
from analyzers.facts import Bools, Floats, Ints
from analyzers.folding.subjects import ASSIGNED


class Assigned:
    """The running mismatch tests of n comparisons; ``log_harm`` is against "as intended"."""

    def __init__(self) -> None:
        self.log_safe = np.zeros(0)
        self._test = Assignments()
        self._shown = np.zeros((0, 3))  # canary's units beyond its share, expected units, variance
        self._named = np.zeros(0, np.bool_)
        self._taken = np.zeros((0, ASSIGNED + 1), np.bool_)  # by bucket number, from 1 on
        self._free = np.zeros(0)  # how many are not

    def __len__(self) -> int:
        return len(self.log_safe)

    @property
    def log_harm(self) -> Floats:
        """(n,) log e-values, now, against "each side gets its share"."""
        return self._test.log_e

    def add(self, named: Bools) -> None:
        """New comparisons; ``named`` (k,) says whether their events name subjects."""
        count = len(named)
        self._test.add(~named)
        self.log_safe = np.concatenate([self.log_safe, np.zeros(count)])
        self._shown = np.concatenate([self._shown, np.zeros((count, 3))])
        self._named = np.concatenate([self._named, named])
        self._taken = np.concatenate([self._taken, np.zeros((count, ASSIGNED + 1), np.bool_)])
        self._free = np.concatenate([self._free, np.full(count, float(ASSIGNED))])

    def advance(self, rows: Ints, strata: Strata) -> None:
        """See ``Family``; ``units`` are the events, buckets their subjects."""
        units, other, share = strata.units.copy(), strata.units.copy(), strata.share
        named = np.flatnonzero(self._named[rows])
        if len(named):
            units[named], other[named] = self._fresh(rows, strata, named)
        self._test.advance(rows, units, share, other)
        n = units.sum(axis=1)
        beyond = np.column_stack([units[:, 1], other[:, 1]]) - (n * share)[:, None]
        nearer = np.where(np.abs(beyond[:, 0]) <= np.abs(beyond[:, 1]), beyond[:, 0], beyond[:, 1])
        self._shown[rows] += np.column_stack([nearer, n, n * share * (1.0 - share)])

    def _fresh(self, rows: Ints, strata: Strata, places: Ints) -> tuple[Floats, Floats]:
        """Of the strata at ``places`` (p,), the buckets that nobody was in before, by the side that
        was there first, (p, 2): by how many each side entered, and by the events in each."""
        there = self._named[rows[strata.bin_of]] & (strata.bin_counts > 0).any(axis=1)
        of, number, counts = strata.bin_of[there], strata.bin[there], strata.bin_counts[there]
        row = rows[of]
        fresh = ~self._taken[row, number]
        self._taken[row, number] = True
        place, counts = np.searchsorted(places, of[fresh]), counts[fresh]

        def summed(weight: Floats | Bools) -> Floats:
            return np.asarray(np.bincount(place, weight, len(places)), np.float64)

        first, second = counts.T > 0
        alone = np.column_stack([summed(first & ~second), summed(second & ~first)])
        both, share = summed(first & second), strata.share[places]
        hit = alone.sum(axis=1) + both
        free = self._free[rows[places]]
        self._free[rows[places]] -= hit
        part = second_first(free, hit, share)
        by_bucket = alone + both[:, None] * np.column_stack([1.0 - part, part])
        sent = summed(counts[:, 1] / counts.sum(axis=1))
        by_event = np.column_stack([hit - sent, sent])
        # With every bucket entered at once there may have been any number of subjects.
        told = (hit < free)[:, None]
        return np.where(told, by_bucket, 0.0), np.where(told, by_event, 0.0)

    def told(self, rows: Ints) -> Told:
        """See ``Family``; the effect is the canary's share beyond what it should be."""
        score, expected, variance = self._shown[rows].T
        return Told(score, expected, variance)


def second_first(free: Floats, hit: Floats, share: Floats) -> Floats:
    """In which part (k,) of the buckets that both arms entered in a stratum the second was there
    first, if its share of the subjects is ``share`` (k,): of ``free`` (k,) buckets ``hit`` (k,)
    were entered at all, which says nothing of the arms and everything of how crowded it was.

    Subjects come to a bucket as a Poisson number of mean m, with 1 - exp(-m) = hit / free. The
    second arm is first in ``share`` of all that are entered; what it has not in those where it is
    alone, it has in those of both. Half of them where few are entered, ``share`` where all are.

    >>> second_first(np.array([4096.0, 4096.0]), np.array([41.0, 4090.0]), np.full(2, 0.1)).round(3)
    array([0.499, 0.206])
    """
    crowd = -np.log1p(-hit / np.maximum(free, hit + 1.0))
    one, two = -np.expm1(-crowd * (1.0 - share)), -np.expm1(-crowd * share)
    among = share * -np.expm1(-crowd) - two * (1.0 - one)
    return np.asarray(np.clip(among / np.maximum(one * two, 1e-300), 0.0, 1.0))
