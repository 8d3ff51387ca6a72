"""What a score of ranks means as a factor, for people: where two histograms balance.

The Hodges-Lehmann estimate from buckets: the shift of the second arm at which as many of its
values lie above the first arm's as below. How far the score moves with the shift around there
turns a score and its bounds into shifts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.contrast.shifted import SHIFT_MAX, Shifted
from analyzers.facts import Floats, Ints

# Where to look, in buckets: within half an octave by single ones, then ever more widely.
_NEAR: Final = 16
_FINER: Final = 33
_FINE: Final = float(1 << 29)
_STEPS: Final = np.unique(
    np.rint(np.geomspace(_NEAR, SHIFT_MAX, 22)).astype(np.int64)
)  # fmt: skip
SHIFTS: Final = np.concatenate([-_STEPS[::-1], np.arange(-_NEAR + 1, _NEAR), _STEPS])


@dataclass(frozen=True, slots=True)
class Balance:
    """``shift`` of the second arm in buckets, NaN where one arm is empty; ``per_score``, how many
    buckets one standardised score (``score / weight`` of ``Told``) is worth near it, above 0."""

    shift: float
    per_score: float

    def shift_at(self, effect: float, bound: float) -> float:
        """The shift in buckets for a ``bound`` of a standardised score whose estimate is
        ``effect``."""
        return self.shift + self.per_score * (bound - effect)


def balance(number: Ints, counts: Floats) -> Balance:
    """The balance of two histograms: ``number`` (m,) bucket numbers, ``counts`` (m, 2).

    >>> number = np.array([10, 20, 30, 15, 25, 35])
    >>> one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    >>> balance(number, np.concatenate([one.repeat(3, 0), other.repeat(3, 0)])).shift
    5.0
    """
    a, b = counts.sum(axis=0)
    if a <= 0 or b <= 0:
        return Balance(float("nan"), float("nan"))
    kept = (counts > 0).any(axis=1)
    # Whole numbers, as fine as their products can be summed.
    number, counts = number[kept], np.rint(counts[kept] * (_FINE / (a + b)))
    at = _standardised(number, counts, SHIFTS)
    low, high = _around(at)
    per_score = _slope(at, float(SHIFTS[low] + SHIFTS[high]) / 2.0)
    # Far from zero the shifts lie far apart: once more between the two around the balance.
    finer = np.unique(np.rint(np.linspace(SHIFTS[low], SHIFTS[high], _FINER)).astype(np.int64))
    at = _standardised(number, counts, finer)
    low, high = _around(at)
    if high - low == 1 and at[low] > 0 > at[high]:
        part = at[low] / (at[low] - at[high])
        return Balance(float(finer[low] + part * (finer[high] - finer[low])), per_score)
    return Balance(float(finer[low] + finer[high]) / 2.0, per_score)


def _around(at: Floats) -> tuple[int, int]:
    """The places around which falling scores are 0: the last above it and the first below it, or
    where several are 0, the first and the last of those."""
    zero = np.flatnonzero(at == 0)
    if len(zero):
        return int(zero[0]), int(zero[-1])
    above, below = np.flatnonzero(at > 0), np.flatnonzero(at < 0)
    low = int(above[-1]) if len(above) else 0
    return low, (int(below[0]) if len(below) else low)


def _standardised(number: Ints, counts: Floats, shifts: Ints) -> Floats:
    """The score over n_a n_b / n at each of the shifts (g,)."""
    shifted = Shifted(1, np.zeros(len(number), np.int64), number, counts)
    (na, nb), score = shifted.units[0], shifted.score(shifts[:, None])[:, 0]
    return np.asarray(score * (na + nb) / (na * nb))


def _slope(at: Floats, shift: float) -> float:
    """Buckets per standardised score: the secant over the shifts around whose scores differ from
    that at the balance by a fifth of a standard deviation of a rank or more."""
    low = np.flatnonzero((at >= 0.2) & (shift >= SHIFTS))
    high = np.flatnonzero((at <= -0.2) & (shift <= SHIFTS))
    first = int(low[-1]) if len(low) else 0
    last = int(high[0]) if len(high) else len(SHIFTS) - 1
    fall = float(at[first] - at[last])
    return float(SHIFTS[last] - SHIFTS[first]) / max(fall, 1e-9)
