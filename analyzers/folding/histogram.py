"""Logarithmic buckets of quantised values, 32 an octave, by integer arithmetic only.

Bucket of q > 0: with 2**e <= q < 2**(e+1) and i the place of q / 2**e among 2**(i/32), the number
is 32 e + i + 1; zero is bucket 0; negative values have the negated bucket of their size. No libm
call decides a bucket, so every machine agrees. A factor of 2**(k/32) is a shift by k buckets.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from analyzers.facts import Floats, Ints

PER_OCTAVE: Final = 32
_TOP_BIT: Final = 52  # mantissas are compared as integers in [2**52, 2**53)


def _edge(step: int) -> int:
    """The smallest integer from 2**(52 + step/32) on, by integer square roots: 32 is two to the
    fifth. An irrational edge lies above the floor of its root."""
    return _nth_root((1 << (_TOP_BIT * PER_OCTAVE)) << step) + (step > 0)


def _nth_root(value: int) -> int:
    for _ in range(5):
        value = math.isqrt(value)
    return value


# Lower edges of the 32 buckets of one octave. floor of nested isqrt equals floor of the 32nd root.
_EDGES: Final = np.array([_edge(step) for step in range(PER_OCTAVE)], dtype=np.int64)
# A float64 from 1 on is 52 bits of mantissa under its exponent: the edges as such mantissas, the
# last of them never reached. The upper 8 bits of a mantissa leave at most one edge to compare
# with, since neighbouring edges are at least 2.1 % apart.
_MANTISSA: Final = np.int64((1 << _TOP_BIT) - 1)
_BIAS: Final = 1023
_CELL_BITS: Final = _TOP_BIT - 8
_NEXT: Final = np.append(_EDGES[1:] - (1 << _TOP_BIT), 1 << _TOP_BIT)
_FIRST: Final = np.searchsorted(_NEXT, np.arange(256, dtype=np.int64) << _CELL_BITS, side="right")


def buckets(quanta: Ints) -> Ints:
    """The bucket number of each quantised value (int64, below 2**53 in size), same shape.

    >>> buckets(np.array([0, 1, 2, 4, -4])).tolist()
    [0, 1, 33, 65, -65]
    """
    bits = np.abs(quanta).astype(np.float64).view(np.int64)  # exact: below 2**53
    mantissa = bits & _MANTISSA
    place = _FIRST[mantissa >> _CELL_BITS]
    place += mantissa >= _NEXT[place]
    number = ((bits >> _TOP_BIT) - _BIAS) * PER_OCTAVE + place + 1
    return np.asarray(np.sign(quanta) * number)  # zero has no sign, and so bucket 0


def _middles(numbers: Ints) -> Floats:
    value = np.exp2((np.abs(numbers) - 0.5) / PER_OCTAVE)
    return np.where(numbers == 0, 0.0, np.sign(numbers) * value)


# The middles of all buckets, those of negative values from the end.
_LAST: Final = (_TOP_BIT + 1) * PER_OCTAVE
_MIDDLES: Final = _middles(np.append(np.arange(_LAST + 1), np.arange(-_LAST, 0)))


def middles(numbers: Ints, quantum: float) -> Floats:
    """The geometric middle of each bucket in the metric's unit (float64, for display only)."""
    if numbers.max(initial=0) <= _LAST and numbers.min(initial=0) >= -_LAST:
        return np.asarray(_MIDDLES.take(numbers) * quantum)
    return _middles(numbers) * quantum


def quantile(numbers: Ints, counts: Ints | Floats, q: float, quantum: float) -> float | None:
    """The q-quantile of a histogram (bucket numbers and counts or weights, any order), within half
    a bucket (1.1 %); None for an empty one."""
    total = float(counts.sum())
    if total <= 0:
        return None
    order = np.argsort(numbers, kind="stable")
    place = np.searchsorted(np.cumsum(counts[order]), q * total, side="left")
    chosen = numbers[order][min(int(place), len(order) - 1)]
    return float(middles(np.array([chosen]), quantum)[0])


def shift_of(factor: float, *, up: bool) -> int:
    """How many buckets a factor is, rounded up or down to a whole number of buckets.

    >>> shift_of(2.0, up=True), shift_of(1.1, up=True), shift_of(1.1, up=False)
    (32, 5, 4)
    """
    exact = PER_OCTAVE * math.log2(factor)
    return math.ceil(exact - 1e-9) if up else math.floor(exact + 1e-9)
