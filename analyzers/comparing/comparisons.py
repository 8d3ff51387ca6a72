"""All running comparisons, canary against baseline, as rows of columns: slices in, evidence out.

Slices are storage, not strata: consecutive ones merge until a stratum holds enough units in both
arms to say anything (at low volume nearly every event sits alone in its slice). A comparison is a
running fold: advanced slice by slice or a year at once, beside ten thousand others or alone, it
says the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers.comparing.arms import BASELINE, CANARY
from analyzers.comparing.attribution import Block
from analyzers.comparing.families import FAMILIES, Families, family_of
from analyzers.comparing.forming import Formed, Forming
from analyzers.comparing.names import Names
from analyzers.comparing.parts import quantum_s
from analyzers.comparing.pending import Buckets, summed
from analyzers.comparing.traces import Traces
from analyzers.comparing.traits import Traits, only_declared
from analyzers.contrast.strata import Strata, keep
from analyzers.facts import NEVER, SLICE_S, Bools, Floats, Ints
from analyzers.folding.grouping import runs
from analyzers.folding.histogram import PER_OCTAVE
from analyzers.folding.subjects import BESIDE_VALUES, BUCKETS
from analyzers.policy import Kind, Measure, Metric

# Durations are taken for shorter than their mean and so many standard deviations, in octaves: both
# are too small while long ones are cut off, and this leaves a thousandth of lognormal ones.
_LONGEST: Final = 3.5
_FEWEST: Final = 20.0


@dataclass(frozen=True, slots=True)
class Closed:
    """The evidence after each stratum that closed: of which comparison, at the end of which slice,
    and the log e-values for harm and for safety then; in order of time. All (c,)."""

    of: Ints
    at: Ints
    log_harm: Floats
    log_safe: Floats

    def where(self, rows: Ints | slice) -> Closed:
        """Only the given ones."""
        return Closed(self.of[rows], self.at[rows], self.log_harm[rows], self.log_safe[rows])


@dataclass(frozen=True, slots=True)
class Appearances:
    """When some comparisons were first shown at all, and by the baseline; (k,) each."""

    rows: Ints
    seen: Ints
    baseline: Ints


class Comparisons:
    """The table of all running comparisons. Attributes are for reading."""

    def __init__(self) -> None:
        self.names = Names()  # the series that speak in them
        self.metrics: list[Metric] = []
        self.seen = np.zeros((0, 2))  # units of both arms in all slices, whatever they tell
        self.first_seen = np.zeros(0, np.int64)  # first slice in which anything was shown
        self.baseline_first = np.zeros(0, np.int64)  # and by the baseline
        self.last_seen = np.zeros((0, 2), np.int64)  # last slice in which each arm showed anything
        self.longest_pause = np.zeros((0, 2), np.int64)  # between such slices, in slices
        self.units = np.zeros((0, 2))  # of closed strata
        self.bad = np.zeros((0, 2))
        self.total = np.zeros((0, 2))
        self.strata = np.zeros(0, np.int64)
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self.log_harm_max = np.zeros(0)
        self.log_safe_top = np.zeros(0)
        self.families = Families()
        self.traces = Traces()
        self.values = Buckets()  # of closed strata, both arms alike, for medians and means
        self._traits = Traits()
        self._forming = Forming(self._traits)
        self._waiting = Buckets()  # of open strata
        self._code = np.zeros(0, np.int64)  # which family
        self._quantum_s = np.zeros(0)  # seconds of a quantum, of durations
        self._lasted = np.zeros((0, 3))  # number, sum and squares of durations, in octaves

    def __len__(self) -> int:
        return len(self.metrics)

    def add(self, metrics: Sequence[Metric]) -> Ints:
        """The rows of new comparisons, of one metric each."""
        n, k = len(self), len(metrics)
        self.metrics += metrics
        for name in ("first_seen", "baseline_first"):
            setattr(self, name, np.concatenate([getattr(self, name), np.full(k, NEVER)]))
        for name in ("last_seen", "longest_pause"):
            zeros = np.zeros((k, 2), np.int64)
            setattr(self, name, np.concatenate([getattr(self, name), zeros]))
        for name in ("seen", "units", "bad", "total"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros((k, 2))]))
        for name in ("log_harm", "log_safe", "log_harm_max", "log_safe_top"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(k)]))
        self.strata = np.concatenate([self.strata, np.zeros(k, np.int64)])
        codes = [FAMILIES.index(family_of(metric)) for metric in metrics]
        self._code = np.concatenate([self._code, np.array(codes, np.int64)])
        seconds = [quantum_s(metric) for metric in metrics]
        self._quantum_s = np.concatenate([self._quantum_s, seconds])
        self._lasted = np.concatenate([self._lasted, np.zeros((k, 3))])
        self._traits.add(metrics)
        self._forming.add(metrics)
        self.families.add(k)
        self.traces.add(k)
        return np.arange(n, n + k)

    def keep(self, rows: Ints) -> Ints:
        """Leaves only some comparisons, in ascending order; the new row of each old one, -1 for
        those that are gone."""
        new = np.full(len(self), -1)
        new[rows] = np.arange(len(rows))
        self.families.keep(rows, self._code)
        self.values.renumber(new)
        self._waiting.renumber(new)
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray):
                setattr(self, name, column[rows])
        self._traits.keep(rows)
        for part in (self.traces, self._forming):
            keep(part, rows)
        self.metrics = [self.metrics[row] for row in rows.tolist()]
        return new

    @property
    def ratios(self) -> Bools:
        """Which comparisons are of a ratio, (n,)."""
        return self._traits.of("ratio", slice(None))

    def indicative(self, row: int) -> bool:
        """Whether a comparison is shown but decides nothing: a count without exposure cannot tell
        harm from a split that sends fewer customers, a gauge without enough of a past cannot tell
        it from its own ups and downs."""
        metric = self.metrics[row]
        if metric.kind is Kind.GAUGE:
            return not self.families.knows(row)
        return only_declared(metric) and metric.measure is not Measure.FLOW

    def appearances(self, rows: Ints) -> Appearances:
        """When the given comparisons were first shown, as known now."""
        rows = np.unique(rows)
        return Appearances(rows, self.first_seen[rows], self.baseline_first[rows])

    def appeared(self, before: Appearances) -> list[tuple[int, int]]:
        """Row and slice of what has been shown for the first time since: at all, by the
        baseline."""
        rows, news = before.rows, set[tuple[int, int]]()
        for then, now in (
            (before.seen, self.first_seen[rows]), (before.baseline, self.baseline_first[rows])
        ):  # fmt: skip
            fresh = then != now
            news |= set(zip(rows[fresh].tolist(), now[fresh].tolist(), strict=True))
        return sorted(news)

    # --- moving ---------------------------------------------------------------------------

    def advance(self, block: Block) -> Closed:
        """Takes in later slices, rows in order of comparison and slice; what closed by them."""
        if not len(block):
            none, no_float = np.empty(0, np.int64), np.empty(0)
            return Closed(none, none, no_float, no_float)
        self._note(block)
        block = block.where(~self._traits.of("undeclared", block.of) | (block.share > 0))
        strata, row_of = self._forming.advance(block)
        bins = self._buckets(block, strata, row_of)
        if not strata.tells.all():
            told = np.flatnonzero(strata.tells)
            strata, bins = strata.where(told), bins.of_strata(told)
        self._show(strata, bins)
        closed = self._tell(strata, bins)
        order = np.lexsort((closed.of, closed.at))
        return Closed(
            closed.of[order], closed.at[order], closed.log_harm[order], closed.log_safe[order]
        )

    def _note(self, block: Block) -> None:
        """What is shown, whether it tells anything or not."""
        np.add.at(self.seen, block.of, block.units)
        # Questions that nobody has ever answered show nothing: answers are not sent here.
        unanswered = np.where(self._traits.of("asked", block.of)[:, None], block.failures, 0.0)
        there = block.units - unanswered > 0
        any_arm, baseline = there.any(axis=1), there[:, BASELINE]
        np.minimum.at(self.first_seen, block.of[any_arm], block.shown[any_arm])
        np.minimum.at(self.baseline_first, block.of[baseline], block.shown[baseline])
        for arm in (BASELINE, CANARY):
            self._note_pauses(block.of[there[:, arm]], block.shown[there[:, arm]], arm)

    def _note_pauses(self, of: Ints, shown: Ints, arm: int) -> None:
        """How long an arm has paused: ``of`` and ``shown`` in order, where it shows anything."""
        if not len(of):
            return
        first = np.append(True, of[1:] != of[:-1])
        before = np.append(0, shown[:-1])
        before[first] = self.last_seen[of[first], arm]
        pause = np.where(before > 0, shown - before, 0)
        np.maximum.at(self.longest_pause[:, arm], of, pause)
        last = np.append(first[1:], True)
        self.last_seen[of[last], arm] = shown[last]

    def _buckets(self, block: Block, strata: Formed, row_of: Ints) -> _Bins:
        """The buckets of the strata that closed; those of open ones wait."""
        leaving = np.zeros(len(self), np.bool_)
        leaving[strata.of] = True
        comparison, bucket, counts = self._waiting.take(leaving)
        # What has waited belongs to the first stratum of its comparison that closes.
        first = np.searchsorted(strata.of, comparison)
        mine = block.of[block.bin_of]
        part = np.where(self._traits.of("buckets", mine), row_of[block.bin_of], -2)
        here, open_ = part >= 0, part == -1
        self._waiting.add(mine[open_], block.bin[open_], block.bin_counts[open_])
        of = np.concatenate([first, part[here]])
        number = np.concatenate([bucket, block.bin[here]])
        held = np.concatenate([counts, block.bin_counts[here]])
        key, held = summed(of * (1 << 14) + number + (1 << 13), held)
        return _Bins(key >> 14, key % (1 << 14) - (1 << 13), held)

    def _show(self, strata: Formed, bins: _Bins) -> None:
        """Keeps the values of strata for medians and means. Each stratum's arms count alike, so
        that a share that grows while the level moves is no effect: a unit of one arm as much as
        the other's part of the stratum (Mantel and Haenszel's weights)."""
        valued = self._traits.of("valued", strata.of[bins.of]) & (bins.bin < BESIDE_VALUES)
        of, counts = bins.of[valued], bins.counts[valued]
        n = np.zeros((len(strata.of), 2))
        for arm in (BASELINE, CANARY):
            n[:, arm] = np.bincount(of, counts[:, arm], len(n))
        part = n[:, ::-1] / np.maximum(n.sum(axis=1), 1.0)[:, None]
        self.values.add(strata.of[of], bins.bin[valued], counts * part[of])

    def _tell(self, strata: Formed, bins: _Bins) -> Closed:
        """Hands strata to their families, round by round."""
        harm, safe = np.zeros(len(strata.of)), np.zeros(len(strata.of))
        code = self._code[strata.of]
        order = np.lexsort((code, strata.rank))
        turn = strata.rank[order] * len(FAMILIES) + code[order]
        for begin in runs(turn).tolist():
            end = int(np.searchsorted(turn, turn[begin], side="right"))
            chosen = order[begin:end]
            harm[chosen], safe[chosen] = self._round(
                FAMILIES[int(code[chosen[0]])], strata, bins.of_strata(chosen), chosen
            )
        return Closed(strata.of, strata.at, harm, safe)

    def _round(self, name: str, strata: Formed, bins: _Bins, chosen: Ints) -> tuple[Floats, Floats]:
        rows, at = strata.of[chosen], strata.at[chosen]
        one = self._arranged(rows, strata.sums[chosen], bins)
        if name == "durations":
            one = replace(one, ripe=self._ripe(rows, strata.age[chosen], one))
        minute = strata.minute[chosen]
        family, place = self.families.advance(name, rows, minute, one, self.metrics)
        harm, safe = family.log_harm[place], family.log_safe[place]
        self.log_harm[rows], self.log_safe[rows] = harm, safe
        self.log_harm_max[rows] = np.maximum(self.log_harm_max[rows], harm)
        self.log_safe_top[rows] = np.maximum(self.log_safe_top[rows], safe)
        self.units[rows] += strata.sums[chosen, 0:2]
        self.bad[rows] += strata.sums[chosen, 2:4]
        self.total[rows] += strata.sums[chosen, 4:6]
        self.strata[rows] += 1
        if name != "quiet":  # silence has no size to plot
            self.traces.record(rows, at, family.told(place), harm, safe)
        return harm, safe

    def _ripe(self, rows: Ints, age: Ints, one: Strata) -> Bools:
        """Which strata hold durations that nothing cuts short any more, by those before them.

        What has ended is at most as long as the present share is old, on either side: until that is
        beyond nearly all durations a slow canary looks like its baseline, and is never safe."""
        n, mean, square = self._lasted[rows].T
        mean, square = mean / np.maximum(n, 1.0), square / np.maximum(n, 1.0)
        longest = mean + _LONGEST * np.sqrt(np.maximum(square - mean * mean, 0.0))
        old = np.log2(np.maximum(age * SLICE_S / self._quantum_s[rows], 1e-9))
        octaves, count = one.bin / PER_OCTAVE, one.bin_counts.sum(axis=1)
        for place, part in enumerate((count, count * octaves, count * octaves * octaves)):
            self._lasted[rows, place] += np.bincount(one.bin_of, part, len(rows))
        return np.asarray((n >= _FEWEST) & (old >= longest))

    def _arranged(self, rows: Ints, sums: Floats, bins: _Bins) -> Strata:
        """Strata as a family takes them: arms swapped where less is worse, subjects as units."""
        units, bad, total, exposed = (sums[:, at : at + 2] for at in (0, 2, 4, 6))
        worth = None
        if len(bins.of) and self._traits.of("share", rows).any():
            units, bad = _by_subject(units, bad, bins)
        elif self._traits.of("valued", rows).any():
            bins, worth = _by_worth(units, bins)
        bad = np.where(self._traits.of("good", rows)[:, None], units - bad, bad)
        n = np.maximum(units.sum(axis=1), 1.0)
        everyone = np.maximum(exposed.sum(axis=1), 1e-300)
        by_exposure = self._traits.of("exposed", rows) & self._traits.of("counts", rows)
        share = np.where(by_exposure, exposed[:, CANARY] / everyone, sums[:, 8] / n)
        turned = self._traits.of("swapped", rows)
        if turned.any():
            units, bad, total = (
                np.where(turned[:, None], pair[:, ::-1], pair) for pair in (units, bad, total)
            )
            share = np.where(turned, 1.0 - share, share)
            counts = np.where(turned[bins.of][:, None], bins.counts[:, ::-1], bins.counts)
            bins = _Bins(bins.of, bins.bin, counts)
        return Strata(units, bad, total, share, bins.of, bins.bin, bins.counts, worth)


@dataclass(frozen=True, slots=True)
class _Bins:
    """Buckets of strata, in order: of which one, bucket number, counts (m, 2)."""

    of: Ints
    bin: Ints
    counts: Floats

    def of_strata(self, chosen: Ints) -> _Bins:
        """Those of the chosen strata, numbered as they are chosen."""
        if not len(self.of):
            return self
        begin = np.searchsorted(self.of, chosen)
        sizes = np.searchsorted(self.of, chosen, side="right") - begin
        of = np.repeat(np.arange(len(chosen)), sizes)
        at = np.arange(len(of)) + np.repeat(begin - np.cumsum(sizes) + sizes, sizes)
        return _Bins(of, self.bin[at], self.counts[at])


def _by_subject(units: Floats, bad: Floats, bins: _Bins) -> tuple[Floats, Floats]:
    """Units and failures in which each bucket of subjects counts once, with the part of it that
    failed: lines of one invoice are not independent. Those without a subject count as they are."""
    k = len(units)
    subject = np.abs(bins.bin)
    key, whole = summed(bins.of * (1 << 13) + subject, bins.counts)
    failed = np.zeros_like(whole)
    np.add.at(
        failed,
        np.searchsorted(key, bins.of * (1 << 13) + subject),
        np.where((bins.bin < 0)[:, None], bins.counts, 0.0),
    )
    of = key >> 13
    own = [np.zeros((k, 2)) for _ in range(4)]
    for column, values in zip(
        own,
        (whole, failed, whole > 0, failed / np.maximum(whole, 1.0)),
        strict=True,
    ):
        np.add.at(column, of, values)
    everything, failures, buckets, parts = own
    return units - everything + buckets, bad - failures + parts


def _by_worth(units: Floats, bins: _Bins) -> tuple[_Bins, Floats | None]:
    """The buckets of values, and what a unit of each stratum is worth (k,) where units come in
    clusters: as much as so many independent ones would be, as if lines of one invoice were all
    alike. Of n units in clusters of sizes c, spread over B buckets of subjects, the sum of c^2 is
    near (sum of squares - n^2 / B) / (1 - 1 / B)."""
    named = bins.bin >= BESIDE_VALUES
    values = _Bins(bins.of[~named], bins.bin[~named], bins.counts[~named])
    if not named.any():
        return values, None
    sums, squares = np.zeros_like(units), np.zeros_like(units)
    np.add.at(sums, bins.of[named], bins.counts[named])
    np.add.at(squares, bins.of[named], bins.counts[named] ** 2)
    alike = np.maximum((squares - sums**2 / BUCKETS) / (1.0 - 1.0 / BUCKETS), sums)
    n = np.maximum(units, 1.0)
    crowding = np.maximum((alike + np.maximum(units - sums, 0.0)) / n, 1.0)
    return values, np.asarray((1.0 / n).sum(axis=1) / (crowding / n).sum(axis=1))
