"""Exact 128-bit integer sums as two limbs: ``value = hi * 2**64 + lo``.

Floats never come in here: the sum of squares of a metric at offset 1e9 must still give its
variance, and a sum must not depend on the order of its terms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.facts import Floats, Ints, Words

QUANTA_LIMIT: Final = 1 << 53  # beyond it a float64 no longer holds every integer
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_LIMB: Final = np.int64(0xFFFFFFFF)
_BITS: Final = np.int64(32)
_WORD: Final = np.uint64(64)


@dataclass(frozen=True, slots=True)
class Wide:
    """n integers of 128 bits: ``hi`` int64 (signed), ``lo`` uint64, both of shape (n,)."""

    hi: Ints
    lo: Words

    def __len__(self) -> int:
        return len(self.hi)

    def take(self, rows: Ints) -> Wide:
        """The given rows."""
        return Wide(self.hi[rows], self.lo[rows])

    def integers(self) -> list[int]:
        """The values as Python integers.

        >>> wide(np.array([-3])).integers()
        [-3]
        """
        return [(hi << 64) + lo for hi, lo in zip(self.hi.tolist(), self.lo.tolist(), strict=True)]


def wide(values: Ints) -> Wide:
    """The int64 ``values`` (n,) as 128-bit integers."""
    return Wide(values >> np.int64(63), values.astype(np.uint64))


def squares(values: Ints) -> Wide:
    """The exact squares of int64 ``values`` (n,), each below 2**53 in size."""
    size = np.abs(values).astype(np.uint64)
    high, low = size >> _HALF, size & _LOW
    middle = np.uint64(2) * high * low
    shifted = (middle & _LOW) << _HALF
    lo = low * low + shifted
    carry = (lo < shifted).astype(np.uint64)
    hi = high * high + (middle >> _HALF) + carry
    return Wide(hi.astype(np.int64), lo)


def zeros(n: int) -> Wide:
    """N zeros."""
    return Wide(np.zeros(n, np.int64), np.zeros(n, np.uint64))


def concat(parts: list[Wide]) -> Wide:
    """The rows of all parts, in order."""
    if not parts:
        return zeros(0)
    return Wide(np.concatenate([p.hi for p in parts]), np.concatenate([p.lo for p in parts]))


def group_sums(values: Wide, starts: Ints) -> Wide:
    """The sums of the runs of rows that begin at ``starts`` (int64, increasing, first is 0).

    Exact for up to 2**32 rows a run: 32-bit limbs are summed apart, then carried.
    """
    if not len(values):
        return zeros(0)
    low = np.add.reduceat(values.lo & _LOW, starts)
    high = np.add.reduceat(values.lo >> _HALF, starts) + (low >> _HALF)
    lo = (high << _HALF) | (low & _LOW)
    hi = np.add.reduceat(values.hi, starts) + (high >> _HALF).astype(np.int64)
    return Wide(hi, lo)


def sums_of(values: Ints, of: Ints, groups: int) -> Wide:
    """The sum of the int64 ``values`` (n,), each below 2**53 in size, in each group: row i counts
    in group ``of[i]``, in [0, ``groups``).

    Exact for up to 2**31 rows, without sorting them.

    >>> sums_of(np.array([5, -6, 7]), np.array([1, 0, 1]), 2).integers()
    [-6, 12]
    """
    if _small(values):
        return wide(_added(values, of, groups))
    return _carried(_added(values & _LIMB, of, groups), _added(values >> _BITS, of, groups))


def square_sums_of(values: Ints, of: Ints, groups: int) -> Wide:
    """The sum of the squares of ``values`` in each group, as ``sums_of``."""
    if _small(values):
        square = values * values
        return _carried(_added(square & _LIMB, of, groups), _added(square >> _BITS, of, groups))
    each = squares(values)
    low = _added((each.lo & _LOW).astype(np.int64), of, groups)
    rest = _carried(low, _added((each.lo >> _HALF).astype(np.int64), of, groups))
    return Wide(rest.hi + _added(each.hi, of, groups), rest.lo)


def _small(values: Ints) -> bool:
    """Whether 2**31 of the values, and each of their squares, fit into 63 bits."""
    return not len(values) or -(1 << 31) < int(values.min()) <= int(values.max()) < 1 << 31


def _added(values: Ints, of: Ints, groups: int) -> Ints:
    sums = np.zeros(groups, np.int64)
    np.add.at(sums, of, values)
    return sums


def _carried(low: Ints, high: Ints) -> Wide:
    """``high * 2**32 + low`` of sums of limbs, ``low`` not negative."""
    high = high + (low >> _BITS)
    lo = ((high & _LIMB) << _BITS) | (low & _LIMB)
    return Wide(high >> _BITS, lo.astype(np.uint64))


def added(values: Wide, of: Ints, groups: int) -> Wide:
    """The sum of ``values`` (n,) in each group, in any order: row i counts in group ``of[i]``, in
    [0, ``groups``). Exact for up to 2**31 rows.

    >>> added(wide(np.array([5, -6, 7])), np.array([1, 0, 1]), 2).integers()
    [-6, 12]
    """
    low = _added((values.lo & _LOW).astype(np.int64), of, groups)
    rest = _carried(low, _added((values.lo >> _HALF).astype(np.int64), of, groups))
    return Wide(rest.hi + _added(values.hi, of, groups), rest.lo)


def floats(values: Wide) -> Floats:
    """The float64 nearest to each of the values (n,), half to even, as Python's ``float`` gives it.

    Sums are added as integers first and become floats last: then they depend on no order.

    >>> floats(Wide(np.array([0, -1]), np.array([7, 2**64 - 7], np.uint64))).tolist()
    [7.0, -7.0]
    """
    near = values.lo.view(np.int64)
    found = near.astype(np.float64)
    wider = np.flatnonzero(values.hi != near >> np.int64(63))
    if len(wider):  # beyond 64 bits with their sign
        found[wider] = _wide_floats(values.hi[wider], values.lo[wider])
    return found


def _wide_floats(hi: Ints, lo: Words) -> Floats:
    """``floats`` of values of any size, in one rounding."""
    negative = hi < 0
    borrow = (lo == 0).astype(np.uint64)  # of the negation
    high = np.where(negative, ~hi.astype(np.uint64) + borrow, hi.astype(np.uint64))
    low = np.where(negative, ~lo + np.uint64(1), lo)
    # The 64 leading bits, or 63 where the float of the limb was rounded up to a power of two; a one
    # in the last place stands for all that is lost, so that rounding happens only once.
    _, width = np.frexp(high.astype(np.float64))
    down, up = width.astype(np.uint64), np.uint64(64) - width.astype(np.uint64)
    top = _left(high, up) | _right(low, down) | (_left(low, up) != 0).astype(np.uint64)
    size = np.ldexp(top.astype(np.float64), width)
    return np.asarray(np.where(negative, -size, size))


def _left(values: Words, bits: Words) -> Words:
    """Shifted up; nothing is left from 64 bits on, where C leaves it undefined."""
    return np.where(bits < _WORD, values << np.minimum(bits, _WORD - np.uint64(1)), np.uint64(0))


def _right(values: Words, bits: Words) -> Words:
    """Shifted down, as ``_left``."""
    return np.where(bits < _WORD, values >> np.minimum(bits, _WORD - np.uint64(1)), np.uint64(0))


def variance(count: int, total: int, square: int) -> float | None:
    """The sample variance (ddof 1) from exact integer sums, in squared quanta; None below two."""
    if count < 2:
        return None
    return (count * square - total * total) / (count * (count - 1))
