"""Which cells speak in which comparisons: the cells of one release, side by side in two arms.

Late binding: cells know versions and tracks, the timeline knows which of them a release compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from analyzers.comparing.arms import CANARY, NEITHER, Key, share_over
from analyzers.comparing.names import Heard, Names
from analyzers.comparing.parts import TYPE, Parts, Role, epochs
from analyzers.facts import SLICE_NS, SLICE_S, Bools, Floats, Ints
from analyzers.folding.cells import Cells
from analyzers.folding.grouping import runs
from analyzers.folding.histogram import middles
from analyzers.folding.moments import floats
from analyzers.folding.subjects import BESIDE_VALUES
from analyzers.policy import Kind, Metric, Policy
from analyzers.timeline import Deployment

_UNASKED: Final = -2


@dataclass(frozen=True, slots=True)
class Block:
    """What both arms of many comparisons showed: k rows in order of (of, shown), unique.

    ``of`` (k,) is the comparison's row, ``shown`` (k,) the slice. Of baseline and canary, (k, 2)
    each: ``units`` (of a ratio its denominator), ``failures``, ``total`` sums of values in the
    metric's unit, ``exposed`` exposure events (of a ratio the events of its denominator).
    ``share`` (k,) is what is declared of the canary's, 0 if nothing is. Buckets as rows, in order:
    place in [0, k), number, counts (m, 2).
    """

    of: Ints
    shown: Ints
    units: Floats
    failures: Floats
    total: Floats
    exposed: Floats
    share: Floats
    bin_of: Ints
    bin: Ints
    bin_counts: Floats

    def __len__(self) -> int:
        return len(self.of)

    def where(self, rows: Bools) -> Block:
        """Only the given rows and their buckets."""
        if rows.all():
            return self
        place = np.cumsum(rows) - 1
        bins = rows[self.bin_of]
        return Block(
            self.of[rows], self.shown[rows], self.units[rows], self.failures[rows],
            self.total[rows], self.exposed[rows], self.share[rows],
            place[self.bin_of[bins]], self.bin[bins], self.bin_counts[bins],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shares:
    """Cells of one release as parts of its comparisons: c cells and m buckets, unsummed. ``of`` is
    the row of the comparison; ``numbers`` (c, 3) count, failures, sum of values in the unit (of
    events where they have none); ``share`` (c,) what is declared of the canary's."""

    of: Ints
    shown: Ints
    role: Ints
    arm: Ints
    numbers: Floats
    share: Floats
    bin_of: Ints
    bin_shown: Ints
    bin_arm: Ints
    bin: Ints
    bin_count: Floats


class _Bins(NamedTuple):
    """Buckets as ``Shares`` has them, (m,) each."""

    of: Ints
    shown: Ints
    arm: Ints
    bin: Ints
    units: Floats


class _Gone(NamedTuple):
    """How many units of which comparison, slice and arm do not count, (k,) each."""

    of: Ints
    shown: Ints
    arm: Ints
    units: Floats


class Attribution:
    """How the cells of one release find their comparisons. What a series is to it is found out
    once, and which row a comparison has is asked once."""

    def __init__(self, deployment: Deployment, replaces: str, policy: Policy) -> None:
        self._deployment, self._limit = deployment, policy.limits.segments
        self._parts = Parts(deployment, replaces, policy)
        self._epochs = epochs(deployment, self._parts.first)
        self._row_of = np.empty(0, np.int64)  # of each key of the parts
        self._taken: Counter[tuple[str, ...]] = Counter()
        self._named = {
            name for metric in policy.metrics for name in (*metric.types, metric.exposure)
        }
        self.canary_since: int | None = None  # first slice in which the canary showed anything

    def ask_again(self) -> None:
        """Forgets the rows of the comparisons, as when they have new ones."""
        self._row_of = np.full(len(self._parts.keys), _UNASKED)

    def _learn(self, heard: Heard) -> None:
        if self._parts.learn(heard.known):
            self._row_of = np.empty(0, np.int64)
        more = len(self._parts.keys) - len(self._row_of)
        if more:
            self._row_of = np.concatenate([self._row_of, np.full(more, _UNASKED)])

    def flowed(self, cells: Cells, heard: Heard) -> Ints:
        """The slices, ascending, in which either arm showed anything at all of this release."""
        self._learn(heard)
        return np.unique(cells.shown[self._flowing(cells, heard) != NEITHER])

    def _flowing(self, cells: Cells, heard: Heard) -> Ints:
        """Whose arm's flow each cell is while the release runs."""
        arm = np.full(len(cells.series), NEITHER)
        arm[heard.places] = self._parts.flows[heard.numbers]
        inside = cells.slice >= self._deployment.started_ns // SLICE_NS
        return np.where(inside & (cells.slice <= self._until), arm[cells.of], NEITHER)

    def _note_canary(self, cells: Cells, heard: Heard) -> None:
        if self.canary_since is None:
            shown = cells.shown[self._flowing(cells, heard) == CANARY]
            self.canary_since = int(shown.min()) if len(shown) else None

    @property
    def _until(self) -> int:
        last = self._deployment.ended_ns
        return int(np.iinfo(np.int64).max) if last is None else last // SLICE_NS

    def shares(
        self, cells: Cells, heard: Heard, rows: Callable[[Sequence[Key]], Ints]
    ) -> Shares | None:
        """The parts of some cells, of which some are ``heard`` to be this service's. ``rows``
        gives the comparisons' rows for keys in order, making new ones; those beyond the limit of
        segments are asked for as well, and are -1."""
        self._learn(heard)
        self._note_canary(cells, heard)
        edges, parts = self._parts.edges, self._parts.columns
        begin = edges[heard.numbers]
        many = edges[heard.numbers + 1] - begin
        place, part = np.repeat(heard.places, many), _spans(begin, many)
        at, joined = _join(cells.of, place)
        of_part = part[joined]
        kept = self._counts(cells.slice[at], of_part)
        # Who has never been there has not gone silent: its traffic may begin late.
        since = np.iinfo(np.int64).max if self.canary_since is None else self.canary_since
        kept &= ~parts.silence[of_part] | (cells.shown[at] >= since)
        at, of_part = at[kept], of_part[kept]
        if not len(at):
            return None
        self._ask(parts.key[of_part], cells.shown[at], rows)
        of = self._row_of[parts.key[of_part]]
        taken = of >= 0
        if not taken.all():
            at, of_part, of = at[taken], of_part[taken], of[taken]
        shown, quantum = cells.shown[at], parts.quantum[of_part]
        count = cells.count[at].astype(np.float64)
        total = np.where(quantum > 0, floats(cells.sum.take(at)) * quantum, count)
        numbers = np.column_stack([count, cells.failures[at], total])
        share = share_over(self._deployment, shown) * parts.declared[of_part]
        role, arm = parts.role[of_part], parts.arm[of_part]
        own = parts.role[part] == Role.OWN
        bins, earlier = self._bins(cells, place[own], part[own])
        told = Shares(of, shown, role, arm, numbers, share, *bins)
        return self._without(told, earlier) if len(earlier.of) else told

    def _counts(self, slices: Ints, of_part: Ints) -> Bools:
        """Which cells of some parts count, by when they happened."""
        parts = self._parts.columns
        kept = (slices >= parts.begins[of_part]) & (slices <= self._until)
        return np.asarray(kept & (slices >= self._epoch(slices) + parts.lag[of_part]))

    def _epoch(self, slices: Ints) -> Ints:
        """The slice since which the share has been what it is in each of some slices."""
        place = np.searchsorted(self._epochs, slices, side="right") - 1
        return self._epochs[np.maximum(place, 0)]

    def _bins(self, cells: Cells, place: Ints, part: Ints) -> tuple[_Bins, _Gone]:
        """The buckets of what is compared itself, and which durations do not count.

        A duration comes when it ends. What began before the start is the baseline's alone, and the
        longest of it comes last: a slow canary would look fast until its own have ended too. So
        only what began under the present share counts, of both arms.
        """
        parts = self._parts.columns
        at, joined = _join(cells.bin_of, place)
        of_part = part[joined]
        row = self._row_of[parts.key[of_part]]
        kept = self._counts(cells.bin_slice[at], of_part) & (row >= 0)
        at, row, of_part = at[kept], row[kept], of_part[kept]
        shown, number, slices = cells.bin_shown[at], cells.bin[at], cells.bin_slice[at]
        arm, count = parts.arm[of_part], cells.bin_count[at].astype(np.float64)
        quantum_s = parts.quantum_s[of_part]
        lasted = (quantum_s > 0) & (number < BESIDE_VALUES)
        began = slices * SLICE_S - middles(np.where(lasted, number, 0), 1.0) * quantum_s
        early = lasted & (began < self._epoch(slices) * SLICE_S)
        if not early.any():
            none = np.empty(0, np.int64)
            return _Bins(row, shown, arm, number, count), _Gone(none, none, none, np.empty(0))
        low, span = int(shown.min()), int(shown.max() - shown.min()) + 1
        key, same = np.unique((row * span + shown - low) * 2 + arm, return_inverse=True)
        whole = np.bincount(same, count * lasted, len(key))
        gone = np.bincount(same, count * early, len(key))
        # Buckets of subjects do not say which of their units these were.
        left = 1.0 - gone / np.maximum(whole, 1.0)
        count = np.where((quantum_s > 0) & ~lasted, count * left[same], count)
        some, late = gone > 0, ~early
        where = key[some] // 2
        arms = np.asarray(key[some] % 2, np.int64)
        earlier = _Gone(where // span, where % span + low, arms, gone[some].astype(np.float64))
        return _Bins(row[late], shown[late], arm[late], number[late], count[late]), earlier

    def _without(self, told: Shares, gone: _Gone) -> Shares:
        """The same without some units, whose buckets are not there already."""
        k = len(gone.of)
        numbers = np.column_stack([-gone.units, np.zeros((k, 2))])
        return replace(
            told,
            of=np.concatenate([told.of, gone.of]),
            shown=np.concatenate([told.shown, gone.shown]),
            role=np.concatenate([told.role, np.full(k, Role.OWN)]),
            arm=np.concatenate([told.arm, gone.arm]),
            numbers=np.concatenate([told.numbers, numbers]),
            share=np.concatenate([told.share, share_over(self._deployment, gone.shown)]),
        )

    def _ask(self, present: Ints, shown: Ints, rows: Callable[[Sequence[Key]], Ints]) -> None:
        """Finds the rows of the keys that are present for the first time, -1 for those beyond the
        limit: a sender who makes up attribute values or types must not make everything slow.
        First come, first served; types that the policy names always are."""
        unasked = self._row_of[present] == _UNASKED
        if not unasked.any():
            return
        present, shown = present[unasked], shown[unasked]
        since = np.full(len(self._parts.keys), np.iinfo(np.int64).max)
        np.minimum.at(since, present, shown)
        keys = list(self._parts.keys)
        come = sorted(np.unique(present).tolist(), key=lambda i: (since[i], keys[i]))
        self._row_of[come] = rows([keys[i] for i in come])

    def admits(self, key: Key) -> bool:
        """Whether a comparison not known yet is taken; it counts from then on."""
        if not key[1]:
            return True
        if key[1][0][0] == TYPE and key[1][0][1] in self._named:
            return True
        kind = (key[0], *(name for name, _ in key[1]))
        if self._taken[kind] >= self._limit:
            return False
        self._taken[kind] += 1
        return True


def _join(of: Ints, places: Ints) -> tuple[Ints, Ints]:
    """All pairs of a row of ``of`` and a place in the sorted ``places`` with equal value."""
    ends = np.arange(int(max(of.max(initial=0), places.max(initial=0))) + 2)
    edges = np.searchsorted(places, ends)
    begin = edges[of]
    many = edges[of + 1] - begin
    return np.repeat(np.arange(len(of)), many), _spans(begin, many)


def _spans(begin: Ints, many: Ints) -> Ints:
    """The numbers from each beginning on, so many of them, one after the other.

    >>> _spans(np.array([7, 2]), np.array([1, 3])).tolist()
    [7, 2, 3, 4]
    """
    ends = np.cumsum(many)
    return np.asarray(
        np.repeat(begin - ends + many, many) + np.arange(ends[-1] if len(ends) else 0)
    )


def block(parts: Sequence[Shares], ratios: Bools) -> Block:
    """The cells of some releases summed by comparison and slice; ``ratios`` (n,) says which of the
    comparisons are of a ratio, by row."""
    if not any(len(part.of) for part in parts):
        none, two = np.empty(0, np.int64), np.empty((0, 2))
        return Block(none, none, two, two, two, two, np.empty(0), none, none, two)
    of, shown, arm, role = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("of", "shown", "arm", "role")
    )
    numbers = np.concatenate([part.numbers for part in parts])
    low = int(shown.min())
    span = int(shown.max()) - low + 1
    key, place = np.unique(of * span + (shown - low), return_inverse=True)
    own, under = role == Role.OWN, role == Role.DENOMINATOR

    def sums(rows: Bools, number: int) -> Floats:
        return _by_arm(place[rows], arm[rows], numbers[rows, number], len(key))

    share = np.zeros(len(key))
    share[place] = np.concatenate([part.share for part in parts])
    comparison = key // span
    units, exposed = sums(own, 0), sums(~own, 0)
    units = np.where(ratios[comparison][:, None], sums(under, 2), units)
    bins = _bins(parts, key, low, span)
    return Block(
        comparison, key % span + low, units, sums(own, 1), sums(own, 2), exposed, share, *bins
    )


def _by_arm(place: Ints, arm: Ints, number: Floats, count: int) -> Floats:
    """Numbers summed by place, in [0, ``count``), and arm: (count, 2)."""
    return np.asarray(np.bincount(place * 2 + arm, number, 2 * count), np.float64).reshape(-1, 2)


def _bins(parts: Sequence[Shares], key: Ints, low: int, span: int) -> tuple[Ints, Ints, Floats]:
    """The buckets of a block whose rows have these keys."""
    of, shown, arm, number, count = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("bin_of", "bin_shown", "bin_arm", "bin", "bin_count")
    )
    room = 1 << 14
    at = np.searchsorted(key, of * span + (shown - low)) * room + number + room // 2
    order = np.argsort(at, kind="stable")
    at = at[order]
    starts = runs(at)
    place = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(at)))
    counts = _by_arm(place, arm[order], count[order], len(starts))
    return at[starts] // room, at[starts] % room - room // 2, counts


def totals(
    cells: Iterable[Cells],
    deployment: Deployment,
    replaces: str,
    policy: Policy,
    metrics: Sequence[Metric],
) -> Block:
    """What both arms of a release showed in some cells of some metrics' totals; rows are numbered
    like the metrics."""
    whose = (deployment.service, deployment.environment)
    row_of: dict[Key, int] = {(metric.name, ()): row for row, metric in enumerate(metrics)}
    attribution = Attribution(deployment, replaces, policy)

    def rows(keys: Sequence[Key]) -> Ints:
        return np.array([row_of.get(key, -1) for key in keys], np.int64)

    names, parts = Names(), []
    for one in cells:
        heard = names.heard(one.series, [whose]).get(whose)
        shares = attribution.shares(one, heard.totals(), rows) if heard else None
        if shares is not None:
            parts.append(shares)
    return block(parts, np.array([metric.kind is Kind.RATIO for metric in metrics]))
