"""Units of independence: the subjects of facts among the buckets of cells.

The lines of one invoice fail together, and cost alike. A cell of a proportion therefore counts its
events by bucket of their subject: the bucket is 1 + digest mod ``BUCKETS``, negative where the
events failed. A cell of values has them beside those of its values, from ``BESIDE_VALUES`` on. A
cell of assignments has ``ASSIGNED`` buckets, so that those newly occupied say how many units came.
Events without a subject are in no bucket: each is a unit of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers.facts import Bools, Ints, Words
from analyzers.folding.ground import Ground, Names
from analyzers.folding.grouping import counted, mixed
from analyzers.policy import Measure

BUCKETS: Final = 64
ASSIGNED: Final = 4096
# Beyond every bucket of a value: a value is below 2**53 quanta.
BESIDE_VALUES: Final = 4096
_ENDS: Final = {
    Measure.OUTCOME: BUCKETS,
    Measure.ANSWER: BUCKETS,
    Measure.ASSIGNMENT: ASSIGNED,
}


def bucket_of(subject: Words, end: int) -> Ints:
    """The bucket of each subject (n,), in [1, ``end``], a power of two; for none as for the digest
    that is 0. Digests are spread evenly, so that their lowest bits are a hash.

    >>> bucket_of(np.array([5, 69, 63], np.uint64), 64).tolist()
    [6, 6, 64]
    """
    return (subject & np.uint64(end - 1)).astype(np.int64) + 1


@dataclass(frozen=True, slots=True)
class Buckets:
    """Facts counted by cell, bucket number and class, g groups in this order; ``who`` is a number
    of the ``Ground``."""

    cell: Ints
    who: Ints
    number: Ints
    kind: Ints
    count: Ints

    def take(self, rows: Bools) -> Buckets:
        """The given groups."""
        return Buckets(
            self.cell[rows], self.who[rows], self.number[rows], self.kind[rows], self.count[rows]
        )


class Subjects:
    """The facts that have a subject and feed metrics of one measure, by bucket.

    ``kind`` (n,) is a number of each fact of the ground, in [0, k); ``failed`` (k,) says which
    kinds have failed, and ``feeds`` (k,) of each metric which kinds feed it. Nothing is done where
    no fact has a subject, and once for all metrics what can be done once.
    """

    def __init__(
        self, ground: Ground, kind: Ints, feeds: Sequence[Bools], failed: Bools, measure: Measure
    ) -> None:
        self._ground = ground
        self._told: dict[Names, Buckets | None] = {}
        self._there: Bools | None = None
        if measure not in _ENDS or not feeds or not ground.facts.subject.max():
            return
        there = np.logical_or.reduce(feeds)[kind]
        there &= ground.facts.subject != 0
        if not there.any():
            return
        end = _ENDS[measure]
        number = bucket_of(ground.facts.subject, end)
        if measure is not Measure.ASSIGNMENT:
            np.negative(number, out=number, where=failed[kind])
        # Kinds that feed the same metrics are one class here: fewer groups, and smaller keys.
        classes: dict[bytes, int] = {}
        columns = [column.tobytes() for column in np.array(feeds).T]
        self._class = np.array([classes.setdefault(one, len(classes)) for one in columns], np.int64)
        self._there, self._end = there, end
        self._code = mixed([number + end, self._class[kind]], [2 * end + 1, len(classes)])

    def buckets(self, names: Names, feeds: Bools, served: Bools | None) -> Buckets | None:
        """The buckets of one metric in the segments of a set, by cell and number in order; None
        without any. ``served`` says which of those in ``Ground.whose`` it takes."""
        if self._there is None:
            return None
        if names not in self._told:
            self._told[names] = self._counted(names, self._there)
        told = self._told[names]
        if told is None:
            return None
        fed = np.zeros(int(self._class.max()) + 1, np.bool_)
        fed[self._class[feeds]] = True
        mine = fed[told.kind] if served is None else fed[told.kind] & served[told.who]
        if not mine.all():
            told = told.take(mine)
        if not len(told.cell):
            return None
        return _summed(told)

    def _counted(self, names: Names, there: Bools) -> Buckets | None:
        split = self._ground.split(names)
        if split is None:
            return None
        cell, code = split.cell.key, self._code.key
        if split.rows is not None:
            there, code = there[split.rows], code[split.rows]
        if not there.all():
            cell, code = cell[there], code[there]
        both = mixed([cell, code], [split.cell.end, self._code.end])
        keys, count = counted(both.key, both.end)
        cell, code = both.codes(keys)
        number, kind = self._code.codes(code)
        return Buckets(cell, split.cell.codes(cell)[0], number - self._end, kind, count)


def _summed(told: Buckets) -> Buckets:
    """The groups with those of several classes added up."""
    change = np.ones(len(told.cell), np.bool_)
    np.not_equal(told.cell[1:], told.cell[:-1], out=change[1:])
    change[1:] |= told.number[1:] != told.number[:-1]
    if change.all():
        return told
    count = np.add.reduceat(told.count, np.flatnonzero(change))
    return replace(told.take(change), count=count)
