"""A batch of facts, numbered once by whose they are, when they happened and in which segments.

What is counted of them is counted on this ground: see ``tallies``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.facts import SLICE_NS, Bools, Column, Facts, Ints
from analyzers.folding.grouping import Mixed, grouped, mixed

Names = tuple[str, ...]
_WHO: Final = ("environment", "service", "version", "track")


@dataclass(frozen=True, slots=True)
class Split:
    """The facts that have all attributes of a set: ``rows`` (None: all of them), their combination
    of attributes, and their cell: whose, which segment, which slice."""

    rows: Ints | None
    columns: tuple[Column, ...]
    segment: Mixed
    cell: Mixed

    def chosen(self, per_fact: Ints) -> Ints:
        """The given column of all facts, only these rows."""
        return per_fact if self.rows is None else per_fact[self.rows]


class Ground:
    """n facts by whose they are and when they happened.

    ``who`` (n,) is a number in [0, len(whose[0])), ``whose`` the codes of environment, service,
    version and track of each; ``slice`` (n,) is a place in ``slices``, ascending.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.columns: tuple[Column, ...] = tuple(getattr(facts, name) for name in _WHO)
        said = mixed([one.codes for one in self.columns], [len(one.words) for one in self.columns])
        groups = grouped(said.key, said.end)
        self.who = groups.of
        self.whose = said.codes(groups.keys)
        slices = facts.time_ns // SLICE_NS
        first = int(slices.min())
        when = grouped(slices - first, int(slices.max()) - first + 1)
        self.slice = when.of
        self.slices = when.keys + first
        self._splits: dict[Names, Split | None] = {}

    def __len__(self) -> int:
        return len(self.who)

    def split(self, names: Names) -> Split | None:
        """The facts by the segments that some attributes make; None without any."""
        if names not in self._splits:
            self._splits[names] = self._split(names)
        return self._splits[names]

    def _split(self, names: Names) -> Split | None:
        found = [attribute(self.facts, name) for name in names]
        columns = tuple(column for column in found if column is not None)
        if len(columns) < len(names):
            return None
        rows = self._having(columns)
        if rows is not None and not len(rows):
            return None
        who, when = self.who, self.slice
        codes = [column.codes for column in columns]
        if rows is not None:
            who, when, codes = who[rows], when[rows], [code[rows] for code in codes]
        segment = mixed(
            codes or [np.zeros(len(who), np.int64)],
            [len(column.words) for column in columns] or [1],
        )
        sizes = (len(self.whose[0]), segment.end, len(self.slices))
        return Split(rows, columns, segment, mixed([who, segment.key, when], sizes))

    def _having(self, columns: Sequence[Column]) -> Ints | None:
        """The rows in which no column is blank; None if that is all of them."""
        there: Bools | None = None
        for column in columns:
            if "" in column.words:
                said = column.codes != column.words.index("")
                there = said if there is None else there & said
        return None if there is None or there.all() else np.flatnonzero(there)


def attribute(facts: Facts, name: str) -> Column | None:
    """The column that a segment or a condition names; None if no event has it."""
    if name == "type":
        return facts.type
    if name == "outcome":
        return facts.outcome
    return facts.attributes.get(name)
