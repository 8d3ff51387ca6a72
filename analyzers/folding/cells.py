"""Cells: exact, mergeable integer sums of facts, per series and 10 s slice.

A cell is count, failures, sum, sum of squares and buckets of values or of subjects, all integers
under plain addition: order, batch size, retries and number of machines cannot change a bit.
Deployments are unknown here: a cell does not ask which release it belongs to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analyzers.facts import Bools, Column, Facts, Ints, Reject, code
from analyzers.folding import moments
from analyzers.folding.ground import Ground, Split, attribute
from analyzers.folding.grouping import grouped, mixed, runs
from analyzers.folding.moments import Wide
from analyzers.folding.series import Segment, Series, SeriesTable, coded, no_series, union
from analyzers.folding.tallies import Tally, outcome_tallies, tallies
from analyzers.policy import Measure, Metric, Policy

__all__ = [
    "Cells",
    "Segment",
    "Series",
    "as_happened",
    "fed_by",
    "fold",
    "merge",
    "no_cells",
    "tally",
]


@dataclass(frozen=True, slots=True)
class Cells:
    """n cells and their m occupied buckets, in canonical order.

    ``of`` (n,) points into ``series`` (sorted); ``slice`` (n,) is when it happened and ``shown``
    (n,) the first slice whose tick may see it, both in slices of 10 s since 1970. Rows are unique
    and sorted by (of, shown, slice). Buckets have the same key and a bucket number: ``bin_of``,
    ``bin_slice``, ``bin_shown``, ``bin``, ``bin_count`` (m,). They are those of the values
    (``histogram``) or, where there are none, of the subjects (``subjects``).
    """

    series: Sequence[Series]
    of: Ints
    slice: Ints
    shown: Ints
    count: Ints
    failures: Ints
    sum: Wide
    square: Wide
    bin_of: Ints
    bin_slice: Ints
    bin_shown: Ints
    bin: Ints
    bin_count: Ints

    def __len__(self) -> int:
        return len(self.of)

    def digest(self) -> str:
        """SHA-256 of every cell by when it happened: equal for equal facts in any order."""
        seen = merge([as_happened(self)])
        hasher = hashlib.sha256(repr(tuple(seen.series)).encode())
        for column in (
            seen.of, seen.slice, seen.count, seen.failures, seen.sum.hi, seen.sum.lo,
            seen.square.hi, seen.square.lo, seen.bin_of, seen.bin_slice, seen.bin, seen.bin_count,
        ):  # fmt: skip
            hasher.update(np.ascontiguousarray(column).tobytes())
        return hasher.hexdigest()

    def where(self, rows: Bools, bins: Bools) -> Cells:
        """Only the given rows and buckets; the series stay as they are."""
        chosen = np.flatnonzero(rows)
        return Cells(
            self.series, self.of[chosen], self.slice[chosen], self.shown[chosen],
            self.count[chosen], self.failures[chosen], self.sum.take(chosen),
            self.square.take(chosen), self.bin_of[bins], self.bin_slice[bins],
            self.bin_shown[bins], self.bin[bins], self.bin_count[bins],
        )  # fmt: skip

    def split(self, before: int) -> tuple[Cells, Cells]:
        """The cells shown before a slice, and the rest."""
        old, old_bins = self.shown < before, self.bin_shown < before
        return self.where(old, old_bins), self.where(~old, ~old_bins)


def as_happened(cells: Cells) -> Cells:
    """The cells as if none had been late: shown when they happened. Not merged."""
    return Cells(
        cells.series, cells.of, cells.slice, cells.slice, cells.count, cells.failures, cells.sum,
        cells.square, cells.bin_of, cells.bin_slice, cells.bin_slice, cells.bin, cells.bin_count,
    )  # fmt: skip


def no_cells() -> Cells:
    """No cell at all."""
    e = np.empty(0, np.int64)
    w = moments.zeros(0)
    return Cells(no_series(), e, e, e, e, e, w, w, e, e, e, e, e)


def merge(parts: Sequence[Cells]) -> Cells:
    """The sum of all parts: cells of equal key added up, in canonical order."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return no_cells()
    table, places = _series_of(parts)
    maps = list(zip(parts, places, strict=True))
    return _summed(
        Cells(
            table,
            of=np.concatenate([to[part.of] for part, to in maps]),
            slice=np.concatenate([part.slice for part in parts]),
            shown=np.concatenate([part.shown for part in parts]),
            count=np.concatenate([part.count for part in parts]),
            failures=np.concatenate([part.failures for part in parts]),
            sum=moments.concat([part.sum for part in parts]),
            square=moments.concat([part.square for part in parts]),
            bin_of=np.concatenate([to[part.bin_of] for part, to in maps]),
            bin_slice=np.concatenate([part.bin_slice for part in parts]),
            bin_shown=np.concatenate([part.bin_shown for part in parts]),
            bin=np.concatenate([part.bin for part in parts]),
            bin_count=np.concatenate([part.bin_count for part in parts]),
        )
    )


def _series_of(parts: Sequence[Cells]) -> tuple[SeriesTable, list[Ints]]:
    """The series that cells of some parts have, and for each part the places of its series there
    (any place for a series without a cell)."""
    tables, uses = [], []
    for part in parts:
        table = coded(part.series)
        used = np.zeros(len(table), np.bool_)
        used[part.of] = True
        uses.append(used)
        tables.append(table if used.all() else table.picked(used))
    table, found = union(tables)
    places = []
    for used, place in zip(uses, found, strict=True):
        to = np.zeros(len(used), np.int64)
        to[used] = place
        places.append(to)
    return table, places


def _summed(cells: Cells) -> Cells:
    """The cells in canonical order, those of equal key added up; their series are in order."""
    key = _key((cells.of, cells.shown, cells.slice), len(cells.series))
    of, slices, shown, count, failures = (
        cells.of, cells.slice, cells.shown, cells.count, cells.failures
    )  # fmt: skip
    total, square = cells.sum, cells.square
    if (order := _order(key)) is not None:
        key, of, slices, shown, count, failures = (
            column[order] for column in (key, of, slices, shown, count, failures)
        )
        total, square = total.take(order), square.take(order)
    starts = runs(key)
    if len(starts) < len(key):
        of, slices, shown = of[starts], slices[starts], shown[starts]
        count, failures = np.add.reduceat(count, starts), np.add.reduceat(failures, starts)
        total, square = moments.group_sums(total, starts), moments.group_sums(square, starts)
    return Cells(
        cells.series, of, slices, shown, count, failures, total, square, *_summed_bins(cells)
    )


def _summed_bins(cells: Cells) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """The five columns of buckets of ``_summed``."""
    of, slices, shown, number, count = (
        cells.bin_of, cells.bin_slice, cells.bin_shown, cells.bin, cells.bin_count
    )  # fmt: skip
    if not len(of):
        return of, slices, shown, number, count
    key = _key((of, shown, slices, number), len(cells.series))
    if (order := _order(key)) is not None:
        key, of, slices, shown, number, count = (
            column[order] for column in (key, of, slices, shown, number, count)
        )
    starts = runs(key)
    if len(starts) < len(key):
        count = np.add.reduceat(count, starts)
        of, slices, shown, number = (column[starts] for column in (of, slices, shown, number))
    return of, slices, shown, number, count


def _key(columns: Sequence[Ints], series: int) -> Ints:
    """One integer for each row that sorts like the columns; the first points into series."""
    codes, sizes = [columns[0]], [series]
    for column in columns[1:]:
        low = int(column.min())
        codes.append(column - low)
        sizes.append(int(column.max()) - low + 1)
    return mixed(codes, sizes).key


def _order(key: Ints) -> Ints | None:
    """The rows in ascending order of their key; None if they stand so."""
    if (key[1:] >= key[:-1]).all():
        return None
    return np.argsort(key, kind="stable")  # quick where a few ordered parts follow each other


def fold(facts: Facts, rejects: Sequence[Reject], policy: Policy, *, open_from: int) -> Cells:
    """The cells of a batch of facts, for every metric but those of answers (see ``answers``).

    ``open_from`` is the first slice that no tick has passed yet: what happened before it is
    late, and is shown there.
    """
    metrics = [metric for metric in policy.metrics if metric.measure is not Measure.ANSWER]
    parts: list[Cells] = []
    if len(facts):
        ground = Ground(facts)
        parts.append(_cells(ground, tallies(ground, metrics), open_from))
    for metric in metrics:
        if metric.measure is Measure.VALIDITY:
            parts += tally(metric, *_unreadable(rejects, metric), open_from=open_from)
    return merge(parts) if len(parts) > 1 else next(iter(parts), no_cells())


def tally(metric: Metric, facts: Facts, failed: Bools, *, open_from: int) -> list[Cells]:
    """Cells of one metric over all of the given facts, each failed or not, without values; one
    part or none."""
    if not len(facts):
        return []
    ground = Ground(facts)
    return [_cells(ground, outcome_tallies(ground, metric, failed), open_from)]


def fed_by(metric: Metric, facts: Facts) -> Bools:
    """Mask of the facts that feed a metric, whatever their outcome."""
    rows = facts.synthetic == metric.synthetic
    if metric.types:
        rows &= facts.type.among(metric.types)
    if metric.services:
        rows &= facts.service.among(metric.services)
    for name, value in metric.where:
        column = attribute(facts, name)
        rows &= np.False_ if column is None else column.equals(value)
    return np.asarray(rows)


def _cells(ground: Ground, told: Sequence[Tally], open_from: int) -> Cells:
    """What was counted on some ground, as cells."""
    if not told:
        return no_cells()
    table, series = _table(ground, told)
    sizes = [len(one.who) for one in told]
    ends = np.cumsum([0, *sizes]).tolist()
    slices = ground.slices[np.concatenate([one.slice for one in told])]
    shown = np.maximum(slices, open_from)
    at = np.concatenate([one.bin_of + end for one, end in zip(told, ends[:-1], strict=True)])
    blank = moments.zeros(0)
    total, square = moments.zeros(ends[-1]), moments.zeros(ends[-1])
    for one, (begin, end) in zip(told, pairwise(ends), strict=True):
        for whole, part in ((total, one.total or blank), (square, one.square or blank)):
            if len(part):
                whole.hi[begin:end], whole.lo[begin:end] = part.hi, part.lo
    return _summed(
        Cells(
            table,
            of=series,
            slice=slices,
            shown=shown,
            count=np.concatenate([one.count for one in told]),
            failures=np.concatenate([one.failures for one in told]),
            sum=total,
            square=square,
            bin_of=series[at],
            bin_slice=slices[at],
            bin_shown=shown[at],
            bin=np.concatenate([one.bin for one in told]),
            bin_count=np.concatenate([one.bin_count for one in told]),
        )
    )


def _table(ground: Ground, told: Sequence[Tally]) -> tuple[SeriesTable, Ints]:
    """The series of all cells counted on some ground, in order, and the place of each cell's."""
    metrics = tuple(sorted({one.metric.name for one in told}))
    segments, segment = _segments(told)
    # Words of a batch stand in the order they came in: each gets its place in ascending order.
    words, ranks = zip(*map(_ascending, ground.columns), strict=True)
    whose = mixed(
        [rank[codes] for rank, codes in zip(ranks, ground.whose, strict=True)],
        [len(one) for one in words],
    )
    place = grouped(whose.key, whose.end)
    sizes = [len(one.who) for one in told]
    key = mixed(
        [
            place.of[np.concatenate([one.who for one in told])],
            np.repeat([metrics.index(one.metric.name) for one in told], sizes),
            segment,
        ],
        [len(place), len(metrics), len(segments)],
    )
    found = grouped(key.key, key.end)
    owner, metric, part = key.codes(found.keys)
    codes = np.stack([*(column[owner] for column in whose.codes(place.keys)), metric, part])
    table = SeriesTable(codes, (*words, metrics, segments))
    return table.picked(np.ones(len(found), np.bool_)), found.of


def _segments(told: Sequence[Tally]) -> tuple[tuple[Segment, ...], Ints]:
    """The distinct segments of all cells in ascending order, and the place of each cell's."""
    made: list[Segment] = []
    places: dict[tuple[str, ...], Ints] = {}  # of all rows of a set, one tally after another
    for names in dict.fromkeys(one.names for one in told):
        mine = [one for one in told if one.names == names]
        found = grouped(np.concatenate([one.segment for one in mine]), mine[0].split.segment.end)
        segments, rank = _named(names, mine[0].split, found.keys)
        places[names] = rank[found.of] + len(made)
        made += segments
    # The segments of a set stand in order already, so that this merges runs.
    ascending = sorted(range(len(made)), key=made.__getitem__)
    rank = np.empty(len(made), np.int64)
    rank[ascending] = np.arange(len(made))
    rows = []
    for one in told:
        rows.append(rank[places[one.names][: len(one.who)]])
        places[one.names] = places[one.names][len(one.who) :]
    return tuple(made[i] for i in ascending), np.concatenate(rows)


def _named(names: tuple[str, ...], split: Split, keys: Ints) -> tuple[list[Segment], Ints]:
    """The segments of some combinations of attributes in ascending order, and the place of each
    combination's among them."""
    if not names:
        return [()], np.zeros(len(keys), np.int64)
    columns = split.segment.codes(keys)
    words, ranks = zip(*map(_ascending, split.columns), strict=True)
    combined = mixed(
        [rank[codes] for rank, codes in zip(ranks, columns, strict=True)],
        [len(one) for one in words],
    )
    place = grouped(combined.key, combined.end)
    codes = [one.tolist() for one in combined.codes(place.keys)]
    if len(names) == 1:
        name = names[0]
        return [((name, words[0][code]),) for code in codes[0]], place.of
    return [
        tuple((name, known[code]) for name, known, code in zip(names, words, one, strict=True))
        for one in zip(*codes, strict=True)
    ], place.of


def _ascending(column: Column) -> tuple[tuple[str, ...], Ints]:
    """The words of a column in ascending order, and the place of each word there."""
    order = sorted(range(len(column.words)), key=column.words.__getitem__)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return tuple(column.words[code] for code in order), rank


def _unreadable(rejects: Sequence[Reject], metric: Metric) -> tuple[Facts, Bools]:
    """The rejects whose service and time could still be read, as failed facts of a metric."""
    placed = [r for r in rejects if r.time_ns is not None and r.service]
    if metric.services:
        placed = [r for r in placed if r.service in metric.services]
    n = len(placed)
    blank = code([""] * n)
    facts = Facts(
        time_ns=np.array([r.time_ns for r in placed], np.int64),
        environment=code([r.environment or "production" for r in placed]),
        service=code([r.service for r in placed]),
        version=code([r.version for r in placed]),
        track=code([r.track for r in placed]),
        type=blank,
        outcome=code(["rejected"] * n),
        value=np.full(n, np.nan),
        key=np.zeros((n, 2), np.uint64),
        content=np.zeros(n, np.uint64),
        ref=np.zeros((n, 2), np.uint64),
        subject=np.zeros(n, np.uint64),
        synthetic=np.zeros(n, np.bool_),
        attributes={},
    )
    return facts, np.ones(n, np.bool_)
