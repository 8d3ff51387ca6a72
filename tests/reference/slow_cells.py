"""Folding and merging as first written: one sort of the rows for every metric and segment set.

Slow, and plain enough to be checked by eye. ``analyzers.folding.cells`` must agree with it in
every bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyzers.facts import OK, SLICE_NS, Bools, Column, Facts, Ints, Reject, code
from analyzers.folding import moments
from analyzers.folding.cells import Cells, Series, no_cells
from analyzers.folding.histogram import _EDGES, PER_OCTAVE
from analyzers.policy import Measure, Metric, Policy


def merge(parts: Sequence[Cells]) -> Cells:
    """The sum of all parts: cells of equal key added up, in canonical order."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return no_cells()
    names = sorted({part.series[i] for part in parts for i in np.unique(part.of).tolist()})
    place = {name: i for i, name in enumerate(names)}
    maps = [np.array([place.get(name, -1) for name in part.series], np.int64) for part in parts]
    of = np.concatenate([m[p.of] for m, p in zip(maps, parts, strict=True)])
    slices = np.concatenate([p.slice for p in parts])
    shown = np.concatenate([p.shown for p in parts])
    order, starts = _runs((slices, shown, of))
    first = order[starts]
    count = np.add.reduceat(np.concatenate([p.count for p in parts])[order], starts)
    failures = np.add.reduceat(np.concatenate([p.failures for p in parts])[order], starts)
    total = moments.group_sums(moments.concat([p.sum for p in parts]).take(order), starts)
    square = moments.group_sums(moments.concat([p.square for p in parts]).take(order), starts)
    bin_of = np.concatenate([m[p.bin_of] for m, p in zip(maps, parts, strict=True)])
    bin_slice = np.concatenate([p.bin_slice for p in parts])
    bin_shown = np.concatenate([p.bin_shown for p in parts])
    number = np.concatenate([p.bin for p in parts])
    bin_count = np.concatenate([p.bin_count for p in parts])
    if len(bin_of):
        bin_order, bin_starts = _runs((number, bin_slice, bin_shown, bin_of))
        kept = bin_order[bin_starts]
        bin_count = np.add.reduceat(bin_count[bin_order], bin_starts)
        bin_of, bin_slice, bin_shown, number = (
            column[kept] for column in (bin_of, bin_slice, bin_shown, number)
        )
    return Cells(
        tuple(names), of[first], slices[first], shown[first], count, failures, total, square,
        bin_of, bin_slice, bin_shown, number, bin_count,
    )  # fmt: skip


def buckets(quanta: Ints) -> Ints:
    """The bucket number of each quantised value, by a search among the edges of an octave."""
    size = np.abs(quanta)
    mantissa, exponent = np.frexp(size.astype(np.float64))  # exact: size < 2**53
    scaled = np.ldexp(mantissa, 53).astype(np.int64)
    place = np.searchsorted(_EDGES, scaled, side="right") - 1
    number = (exponent.astype(np.int64) - 1) * PER_OCTAVE + place + 1
    return np.where(size == 0, 0, np.sign(quanta) * number)


def _runs(keys: tuple[Ints, ...]) -> tuple[Ints, Ints]:
    """Order that sorts rows by ``keys`` (last one first), and where runs of equal keys begin."""
    order = np.lexsort(keys)
    change = np.zeros(len(order), np.bool_)
    change[0] = True
    for key in keys:
        ordered = key[order]
        change[1:] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(change)


def fold(facts: Facts, rejects: Sequence[Reject], policy: Policy, *, open_from: int) -> Cells:
    """The cells of a batch of facts, for every metric but those of answers (see ``answers``).

    ``open_from`` is the first slice that no tick has passed yet: what happened before it is
    late, and is shown there.
    """
    parts: list[Cells] = []
    for metric in policy.metrics:
        if metric.measure is Measure.ANSWER:
            continue
        chosen = facts if feeds_all(metric) else facts.take(fed_by(metric, facts))
        if feeds_all(metric) and facts.synthetic.any():
            chosen = facts.take(~facts.synthetic)
        failed = chosen.outcome.codes != _code_of(chosen.outcome, OK)
        if metric.measure is Measure.VALIDITY:
            failed = np.zeros(len(chosen), np.bool_)
            parts += tally(metric, *_unreadable(rejects, metric), open_from=open_from)
        elif metric.measure in (Measure.EVENTS, Measure.VALUE):
            kept = ~failed
            if metric.measure is Measure.VALUE:
                kept &= np.isfinite(chosen.value)
            chosen, failed = chosen.take(kept), failed[kept]
        elif metric.measure in (Measure.FLOW, Measure.ASSIGNMENT):
            failed = np.zeros(len(chosen), np.bool_)
        parts += tally(metric, chosen, failed, open_from=open_from)
    return merge(parts)


def feeds_all(metric: Metric) -> bool:
    """Whether every event that is not synthetic feeds the metric."""
    return not (metric.types or metric.services or metric.where or metric.synthetic)


def fed_by(metric: Metric, facts: Facts) -> Bools:
    """Mask of the facts that feed a metric, whatever their outcome."""
    rows = facts.synthetic == metric.synthetic
    if metric.types:
        rows &= facts.type.among(metric.types)
    if metric.services:
        rows &= facts.service.among(metric.services)
    for name, value in metric.where:
        column = _attribute(facts, name)
        rows &= np.False_ if column is None else column.equals(value)
    return np.asarray(rows)


def tally(metric: Metric, facts: Facts, failed: Bools, *, open_from: int) -> list[Cells]:
    """Cells of one metric over the given facts, one part for the total and each segment set."""
    if not len(facts):
        return []
    slices = facts.time_ns // SLICE_NS
    told = _Observed(
        slice=slices,
        shown=np.maximum(slices, open_from),
        failed=failed.astype(np.int64),
        quanta=_quanta(metric, facts) if metric.measure is Measure.VALUE else None,
        bucket=_bucket(metric, facts, failed),
    )
    sets = ((),) if metric.measure is Measure.ASSIGNMENT else ((), *metric.segments)
    return [part for names in sets if (part := _tally_by(names, metric, facts, told)) is not None]


@dataclass(frozen=True, slots=True)
class _Observed:
    """What each row of some facts contributes to a metric's cells, and where; (n,) each."""

    slice: Ints
    shown: Ints
    failed: Ints
    quanta: Ints | None
    bucket: Ints  # of the subject; 0 where none is counted

    def take(self, rows: Ints) -> _Observed:
        """The given rows."""
        quanta = None if self.quanta is None else self.quanta[rows]
        return _Observed(
            self.slice[rows], self.shown[rows], self.failed[rows], quanta, self.bucket[rows]
        )


def _bucket(metric: Metric, facts: Facts, failed: Bools) -> Ints:
    """The bucket of each fact's subject: 1 + digest mod 64, negative if the fact failed."""
    ends = {
        Measure.OUTCOME: 64, Measure.ANSWER: 64, Measure.VALUE: 64, Measure.ASSIGNMENT: 4096,
    }  # fmt: skip
    if metric.measure not in ends:
        return np.zeros(len(facts), np.int64)
    return np.array(
        [
            0 if not subject else (-1 if bad else 1) * (1 + subject % ends[metric.measure])
            for subject, bad in zip(facts.subject.tolist(), failed.tolist(), strict=True)
        ],
        np.int64,
    )


def _tally_by(
    names: tuple[str, ...], metric: Metric, facts: Facts, told: _Observed
) -> Cells | None:
    """Cells of one metric in the segments that some attributes make; None without any."""
    columns = [_attribute(facts, name) for name in names]
    if any(column is None for column in columns):
        return None
    found = [column for column in columns if column is not None]
    rows = np.arange(len(facts))
    for column in found:
        rows = rows[column.codes[rows] != _code_of(column, "")]
    if not len(rows):
        return None
    keys = [facts.environment, facts.service, facts.version, facts.track, *found]
    of, samples = _distinct([key.codes[rows] for key in keys])
    series = [_series(metric, names, keys, row) for row in rows[samples].tolist()]
    mine = told.take(rows)
    order, starts = _runs((mine.slice, mine.shown, of))
    first = order[starts]
    total = square = moments.zeros(len(starts))
    number, counting = mine.bucket, mine.bucket != 0
    if mine.quanta is not None:
        total = moments.group_sums(moments.wide(mine.quanta).take(order), starts)
        square = moments.group_sums(moments.squares(mine.quanta).take(order), starts)
        number, counting = buckets(mine.quanta), np.ones(len(of), np.bool_)
    e = np.empty(0, np.int64)
    bins = (e, e, e, e, e)
    if counting.any():
        owner, when, seen, number = (
            part[counting] for part in (of, mine.slice, mine.shown, number)
        )
        if mine.quanta is not None:  # subjects stand beside the buckets of values
            named = mine.bucket != 0
            owner, when, seen, number = (
                np.concatenate([part, more[named]])
                for part, more in (
                    (owner, of), (when, mine.slice), (seen, mine.shown),
                    (number, 4096 + np.abs(mine.bucket)),
                )
            )  # fmt: skip
        bin_order, bin_starts = _runs((number, when, seen, owner))
        kept = bin_order[bin_starts]
        counts = np.diff(np.append(bin_starts, len(bin_order)))
        bins = (owner[kept], when[kept], seen[kept], number[kept], counts)
    return Cells(
        tuple(series),
        of[first],
        mine.slice[first],
        mine.shown[first],
        np.diff(np.append(starts, len(order))),
        np.add.reduceat(mine.failed[order], starts),
        total,
        square,
        *bins,
    )


def _distinct(keys: Sequence[Ints]) -> tuple[Ints, Ints]:
    """For each row the number of its combination of keys, and one row of each combination.

    Combined one key after another and renumbered each time: a plain mixed radix would overflow
    when a hostile batch names a hundred thousand versions.
    """
    of = np.zeros(len(keys[0]), np.int64)
    samples = np.zeros(1, np.int64)
    for key in keys:
        mixed = of * (int(key.max()) + 1) + key
        _, samples, of = np.unique(mixed, return_index=True, return_inverse=True)
    return of, samples


def _series(metric: Metric, names: tuple[str, ...], keys: list[Column], row: int) -> Series:
    environment, service, version, track, *values = (key.words[key.codes[row]] for key in keys)
    segment = tuple(zip(names, values, strict=True))
    return Series(environment, service, version, track, metric.name, segment)


def _attribute(facts: Facts, name: str) -> Column | None:
    if name == "type":
        return facts.type
    if name == "outcome":
        return facts.outcome
    return facts.attributes.get(name)


def _code_of(column: Column, word: str) -> int:
    return column.words.index(word) if word in column.words else -1


def _quanta(metric: Metric, facts: Facts) -> Ints:
    """Values as integers, half to even. The door has refused what does not fit."""
    limit = float(moments.QUANTA_LIMIT - 1)
    return np.clip(np.rint(facts.value / metric.quantum), -limit, limit).astype(np.int64)


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
