"""What a batch of facts adds to each metric, counted group by group: the inside of ``cells.fold``.

Nothing is done once a metric and event that can be done once an event: facts are numbered by whose
they are, by slice and by what metrics they feed; each attribute set then counts its combinations
once, for all metrics, and a metric adds up the few groups that feed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analyzers.facts import OK, Bools, Facts, Floats, Ints
from analyzers.folding import moments
from analyzers.folding.ground import Ground, Names, Split, attribute
from analyzers.folding.grouping import counted, grouped, mixed, runs
from analyzers.folding.histogram import buckets
from analyzers.folding.moments import Wide
from analyzers.folding.subjects import BESIDE_VALUES, BUCKETS, Buckets, Subjects, bucket_of
from analyzers.policy import Measure, Metric


@dataclass(frozen=True, slots=True)
class Tally:
    """What one metric counts in the segments of one attribute set, c cells and m buckets.

    ``who`` and ``slice`` (c,) are numbers of the ``Ground``, ``segment`` (c,) of the ``split``;
    ``total`` and ``square`` are None without values; ``bin_of`` (m,) is a row here. Buckets are
    those of values, or of subjects where there are no values.
    """

    metric: Metric
    names: Names
    split: Split
    who: Ints
    segment: Ints
    slice: Ints
    count: Ints
    failures: Ints
    total: Wide | None = None
    square: Wide | None = None
    bin_of: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    bin: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    bin_count: Ints = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Kinds:
    """n facts by what metrics they feed: ``of`` (n,), whether each kind has ``failed`` (k,), and
    for each metric the kinds that feed it whatever their outcome, (k,)."""

    of: Ints
    failed: Bools
    feeds: tuple[Bools, ...]

    def __len__(self) -> int:
        return len(self.failed)


def kinds_of(facts: Facts, metrics: Sequence[Metric]) -> Kinds:
    """The kinds of facts that some metrics tell apart; there are few, whatever senders say."""
    by_type: dict[str, int] = {}
    for number, metric in enumerate(metrics):
        for name in metric.types:
            by_type[name] = by_type.get(name, 0) | 1 << number
    classes: dict[int, int] = {}
    of_word = np.array(
        [classes.setdefault(by_type.get(word, 0), len(classes)) for word in facts.type.words],
        np.int64,
    )
    conditions = list(dict.fromkeys(one for metric in metrics for one in metric.where))
    met = [_meets(facts, *condition).astype(np.int64) for condition in conditions]
    failed = facts.outcome.among((OK,)) ^ np.True_
    codes = [of_word[facts.type.codes], failed.astype(np.int64), facts.synthetic.astype(np.int64)]
    kind = mixed([*codes, *met], [len(classes), 2, 2, *(2 for _ in met)])
    groups = grouped(kind.key, kind.end)
    types, has_failed, synthetic, *holds = kind.codes(groups.keys)
    types_of = list(classes)
    feeds = []
    for number, metric in enumerate(metrics):
        mine = synthetic == metric.synthetic
        if metric.types:
            listed = np.array([bool(types >> number & 1) for types in types_of], np.bool_)
            mine &= listed[types]
        for condition, held in zip(conditions, holds, strict=True):
            if condition in metric.where:
                mine &= held == 1
        feeds.append(mine)
    return Kinds(groups.of, has_failed == 1, tuple(feeds))


def _meets(facts: Facts, name: str, value: str) -> Bools:
    column = attribute(facts, name)
    return np.zeros(len(facts), np.bool_) if column is None else column.equals(value)


def tallies(ground: Ground, metrics: Sequence[Metric]) -> list[Tally]:
    """What the facts add to some metrics, each in its total and in all its segments."""
    kinds = kinds_of(ground.facts, metrics)
    counts: dict[Names, _Counts | None] = {}
    subjects = {
        measure: Subjects(
            ground,
            kinds.of,
            [fed for m, fed in zip(metrics, kinds.feeds, strict=True) if m.measure is measure],
            kinds.failed,
            measure,
        )
        for measure in {metric.measure for metric in metrics}
    }
    found: list[Tally] = []
    for metric, feeds in zip(metrics, kinds.feeds, strict=True):
        if metric.measure in (Measure.EVENTS, Measure.VALUE):
            feeds = feeds & ~kinds.failed  # noqa: PLW2901  # the mask may be another metric's
        served = _serves(ground, metric)
        if not feeds.any() or (served is not None and not served.any()):
            continue
        if metric.measure is Measure.VALUE:
            found += _value_tallies(ground, metric, _rows(ground, kinds, feeds, served))
            continue
        fails = kinds.failed if metric.measure is Measure.OUTCOME else np.zeros_like(kinds.failed)
        for names in sets_of(metric):
            if names not in counts:
                counts[names] = _counts(ground, names, kinds.of, len(kinds))
            told = counts[names]
            if told is not None:
                units = subjects[metric.measure].buckets(names, feeds, served)
                found += _tally(
                    metric, names, told, feeds=feeds, fails=fails, served=served, units=units
                )
    return found


def outcome_tallies(ground: Ground, metric: Metric, failed: Bools) -> list[Tally]:
    """What all of the facts add to one metric, each failed or not as given."""
    found: list[Tally] = []
    kind, both, fails = failed.astype(np.int64), np.array([True, True]), np.array([False, True])
    subjects = Subjects(ground, kind, [both], fails, metric.measure)
    for names in sets_of(metric):
        told = _counts(ground, names, kind, 2)
        if told is not None:
            units = subjects.buckets(names, both, None)
            found += _tally(metric, names, told, feeds=both, fails=fails, served=None, units=units)
    return found


def sets_of(metric: Metric) -> tuple[Names, ...]:
    """The attribute sets that a metric is counted by, the total first; assignments in total only,
    since a split is only ever declared for all traffic."""
    return ((),) if metric.measure is Measure.ASSIGNMENT else ((), *metric.segments)


def _serves(ground: Ground, metric: Metric) -> Bools | None:
    """Which of those in ``ground.whose`` are services of a metric; None for all."""
    if not metric.services:
        return None
    service = ground.columns[1]
    known = np.array([word in metric.services for word in service.words], np.bool_)
    return np.asarray(known[ground.whose[1]])


@dataclass(frozen=True, slots=True)
class _Counts:
    """The groups of one attribute set by cell and kind, in order: their numbers, and counts."""

    split: Split
    cell: Ints
    who: Ints
    kind: Ints
    count: Ints


def _counts(ground: Ground, names: Names, kind: Ints, kinds: int) -> _Counts | None:
    split = ground.split(names)
    if split is None:
        return None
    both = mixed([split.cell.key, split.chosen(kind)], [split.cell.end, kinds])
    keys, count = counted(both.key, both.end)
    cell, kind = both.codes(keys)
    return _Counts(split, cell, split.cell.codes(cell)[0], kind, count)


def _tally(
    metric: Metric,
    names: Names,
    told: _Counts,
    *,
    feeds: Bools,
    fails: Bools,
    served: Bools | None,
    units: Buckets | None,
) -> list[Tally]:
    mine = feeds[told.kind] if served is None else feeds[told.kind] & served[told.who]
    cell, kind, count = told.cell, told.kind, told.count
    if not mine.all():
        cell, kind, count = cell[mine], kind[mine], count[mine]
    if not len(cell):
        return []
    starts = runs(cell)
    cell = cell[starts]
    who, segment, slices = told.split.cell.codes(cell)
    failures = np.add.reduceat(np.where(fails[kind], count, 0), starts)
    count = np.add.reduceat(count, starts)
    tally = Tally(metric, names, told.split, who, segment, slices, count, failures)
    if units is None:
        return [tally]
    at = np.searchsorted(cell, units.cell)
    return [replace(tally, bin_of=at, bin=units.number, bin_count=units.count)]


def _rows(ground: Ground, kinds: Kinds, feeds: Bools, served: Bools | None) -> Bools:
    """The facts with a value whose kind and service feed a metric, as a mask."""
    mine = np.isfinite(ground.facts.value)
    mine &= feeds[kinds.of]
    return mine if served is None else mine & served[ground.who]


@dataclass(frozen=True, slots=True)
class _Values:
    """n values as integers, and their buckets counted from the lowest, ``low``, on; ``span`` is
    the end of ``bucket``. ``subject`` is the bucket of each one's subject, 0 for none; None where
    nobody names one."""

    quanta: Ints
    bucket: Ints
    low: int
    span: int
    subject: Ints | None

    def take(self, rows: Bools) -> _Values:
        """The given rows."""
        subject = None if self.subject is None else self.subject[rows]
        return _Values(self.quanta[rows], self.bucket[rows], self.low, self.span, subject)


def _value_tallies(ground: Ground, metric: Metric, mine: Bools) -> list[Tally]:
    """What the values of some facts add to one metric."""
    rows = np.flatnonzero(mine)
    if not len(rows):
        return []
    whole = quanta(metric, ground.facts.value[rows])
    number = buckets(whole)
    low = int(number.min())
    subject, named = None, ground.facts.subject[rows]
    if named.any():
        subject = np.where(named != 0, bucket_of(named, BUCKETS), 0)
    told = _Values(whole, number - low, low, int(number.max()) - low + 1, subject)
    found = []
    for names in ((), *metric.segments):
        split = ground.split(names)
        if split is None:
            continue
        if split.rows is None:
            found.append(_value_tally(metric, names, split, split.cell.key[rows], told))
            continue
        having = np.zeros(len(ground), np.bool_)
        having[split.rows] = True
        cell = split.cell.key[mine[split.rows]]
        if len(cell):
            found.append(_value_tally(metric, names, split, cell, told.take(having[rows])))
    return found


def _value_tally(metric: Metric, names: Names, split: Split, cell: Ints, told: _Values) -> Tally:
    """What values, each in the given cell, add to a metric in the segments of one set."""
    cells = grouped(cell, split.cell.end)
    k = len(cells)
    both, bin_count = counted(cells.of * told.span + told.bucket, k * told.span)
    bin_of = both // told.span
    number = both - bin_of * told.span + told.low
    if told.subject is not None:
        named = told.subject > 0
        whose, units = counted(
            cells.of[named] * (BUCKETS + 1) + told.subject[named], k * (BUCKETS + 1)
        )
        bin_of = np.concatenate([bin_of, whose // (BUCKETS + 1)])
        number = np.concatenate([number, whose % (BUCKETS + 1) + BESIDE_VALUES])
        bin_count = np.concatenate([bin_count, units])
    who, segment, slices = split.cell.codes(cells.keys)
    return Tally(
        metric, names, split, who, segment, slices,
        count=np.bincount(cells.of, minlength=k),
        failures=np.zeros(k, np.int64),
        total=moments.sums_of(told.quanta, cells.of, k),
        square=moments.square_sums_of(told.quanta, cells.of, k),
        bin_of=bin_of,
        bin=number,
        bin_count=bin_count,
    )  # fmt: skip


def quanta(metric: Metric, values: Floats) -> Ints:
    """Values as integers, half to even. The door has refused what does not fit."""
    limit = float(moments.QUANTA_LIMIT - 1)
    return np.clip(np.rint(values / metric.quantum), -limit, limit).astype(np.int64)
