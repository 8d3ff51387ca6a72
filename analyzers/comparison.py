"""One metric in one segment, canary against baseline, as it grows: rows in, evidence out.

Slices are storage, not strata: consecutive rows merge until a stratum holds enough units in both
arms to say anything (at low volume nearly every event sits alone in its slice). A comparison is a
running fold: advanced by blocks or row by row, it says the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from analyzers.arms import BASELINE, CANARY, Rows, stack
from analyzers.contrast.kernels import Count, Kernel, Proportion, Ranks, Strata
from analyzers.facts import Floats, Ints
from analyzers.histogram import PER_OCTAVE, quantile, shift_of
from analyzers.policy import Kind, Measure, Metric

# A stratum of one unit carries no information; of n it carries (n - 1) / n. Ranks need some for
# their scores to look normal. Proportions have an exact kernel, which needs none: at 20, a segment
# of one order a day would wait three weeks between looks.
STRATUM_UNITS: Final = {
    Kind.PROPORTION: 8, Kind.COUNT: 20, Kind.DURATION: 20,
}  # fmt: skip
# Shown but not judged yet: a gauge is autocorrelated and an amount heavy-tailed, and a rank test
# of either raises false alarms or has no margin in the metric's unit.
SHOWN: Final = frozenset({Kind.GAUGE, Kind.AMOUNT})
_PARTS_MAX: Final = 64  # pieces in which the rows of an open stratum are held
_BLOCK: Final = 256  # strata computed at once: bounds memory, not results


@dataclass(slots=True)
class Path:
    """The evidence after each closed stratum. Effects are in the kernel's scale: difference of
    bad shares, rate ratio - 1, or relative shift of a duration; NaN where unknown."""

    at: list[int] = field(default_factory=list)  # shown slice that closed the stratum
    effect: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    log_harm: list[float] = field(default_factory=list)
    log_safe: list[float] = field(default_factory=list)
    log_safe_top: list[float] = field(default_factory=list)  # the largest so far


class Comparison:
    """The running comparison of one metric and segment for one deployment."""

    def __init__(self, metric: Metric, *, promotion_error_rate: float) -> None:
        self.metric = metric
        self.path = Path()
        self.seen = np.zeros(2)  # units of both arms in all rows
        self.first_seen: int | None = None
        self.baseline_first: int | None = None  # first slice in which the baseline showed it
        self.units = np.zeros(2)  # of closed strata
        self.bad = np.zeros(2)
        self.indicative = only_indicative(metric)
        self.log_harm_max = 0.0
        self._level = -np.log(promotion_error_rate)
        self._open: list[tuple[Rows, Floats]] = []  # rows of the open stratum, and their shares
        self._sums = (0.0,) * 5  # of it: units and exposure of both arms, units expected
        self._kernel: Kernel | None = None
        self._harm_at = self._safe_at = 0
        self._weights = np.zeros(2)  # running numerator and denominator of the effect
        self._bins: dict[int, Floats] = {}

    @property
    def log_harm(self) -> float:
        """Log e-value that the harm is beyond its margin, now."""
        return self.path.log_harm[-1] if self.path.at else 0.0

    @property
    def log_safe(self) -> float:
        """Log e-value that the harm is within its margin, now."""
        return self.path.log_safe[-1] if self.path.at else 0.0

    def advance(self, rows: Rows, share: Floats) -> None:
        """Takes in later rows; ``share`` (k,) is the canary's declared share, 0 if unknown."""
        if not len(rows):
            return
        self.seen = self.seen + rows.units.sum(axis=0)
        # Questions that nobody has ever answered show nothing: answers are not sent here.
        asked = self.metric.measure is Measure.ANSWER
        there = (rows.units - rows.failures if asked else rows.units) > 0
        if self.first_seen is None and there.any():
            self.first_seen = int(rows.shown[there.any(axis=1)][0])
        if self.baseline_first is None and there[:, BASELINE].any():
            self.baseline_first = int(rows.shown[there[:, BASELINE]][0])
        if self.metric.kind in SHOWN:
            self._gather(rows)
            return
        if self.metric.kind is Kind.COUNT and not self.metric.exposure:
            rows, share = _declared(rows, share)
        ends = self._ends(rows, share) + sum(len(part) for part, _ in self._open)
        self._open.append((rows, share))
        # While only one arm shows anything no stratum closes: rows are joined when one does, or
        # now and then, never looked at again in every tick.
        if not len(ends) and len(self._open) < _PARTS_MAX:
            return
        rows = stack(*(part for part, _ in self._open))
        share = np.concatenate([part for _, part in self._open])
        for begin in range(0, len(ends), _BLOCK):
            block = ends[begin : begin + _BLOCK]
            start = int(ends[begin - 1]) + 1 if begin else 0
            self._close(_between(rows, start, int(block[-1]) + 1), share, block, start)
        rest = int(ends[-1]) + 1 if len(ends) else 0
        self._open = [(_between(rows, rest, len(rows)), share[rest:])]

    def _ends(self, rows: Rows, share: Floats) -> Ints:
        """The last row of every stratum that is full: by totals, never by outcomes. ``rows`` come
        after those of the open stratum."""
        ends: list[int] = []
        a, b, exposed_a, exposed_b, expected = self._sums
        enough = STRATUM_UNITS[self.metric.kind]
        counts, exposure = self.metric.kind is Kind.COUNT, bool(self.metric.exposure)
        told = zip(rows.units.tolist(), rows.exposed.tolist(), share.tolist(), strict=True)
        for i, ((ua, ub), (ea, eb), s) in enumerate(told):
            a, b, exposed_a, exposed_b = a + ua, b + ub, exposed_a + ea, exposed_b + eb
            n = a + b
            expected += s * (ua + ub)
            if n < enough:
                continue
            if counts and exposure:
                full = exposed_a >= 1 and exposed_b >= 1
            elif counts:
                full = 1 <= expected <= n - 1
            else:
                full = a >= 1 and b >= 1
            if full:
                ends.append(i)
                a = b = exposed_a = exposed_b = expected = 0.0
        self._sums = (a, b, exposed_a, exposed_b, expected)
        return np.array(ends, np.int64)

    def _close(self, rows: Rows, share: Floats, ends: Ints, start: int) -> None:
        """Closes the strata that end at ``ends``; ``rows`` begin at row ``start`` of all rows."""
        strata = self._strata(rows, share[start : start + len(rows)], ends - start)
        if self._kernel is None:
            self._kernel = self._new_kernel(strata)
        up, down = self._kernel.advance(strata)
        effect = self._effects(strata, _crossing(self._kernel.grid, up - down))
        low, high = _interval(self._kernel.grid, up, down, self._level)
        harm, safe = (up, down) if self._harm_up() else (down, up)
        self.path.at += rows.shown[ends - start].tolist()
        self.path.effect += self._scale(effect).tolist()
        unknown = np.isnan(effect)
        self.path.low += self._scale(np.where(unknown, low, np.minimum(low, effect))).tolist()
        self.path.high += self._scale(np.where(unknown, high, np.maximum(high, effect))).tolist()
        self.path.log_harm += harm[:, self._harm_at].tolist()
        self.path.log_safe += safe[:, self._safe_at].tolist()
        self.log_harm_max = max(self.log_harm_max, float(harm[:, self._harm_at].max()))
        top = self.path.log_safe_top[-1] if self.path.log_safe_top else 0.0
        self.path.log_safe_top += np.maximum(
            np.maximum.accumulate(safe[:, self._safe_at]), top
        ).tolist()
        self.units = self.units + strata.units.sum(axis=0)
        self.bad = self.bad + strata.bad.sum(axis=0)

    def _strata(self, rows: Rows, share: Floats, ends: Ints) -> Strata:
        starts = np.concatenate([[0], ends[:-1] + 1])
        units = np.add.reduceat(rows.units, starts)
        bad = np.add.reduceat(rows.failures, starts)
        if self.metric.kind is Kind.PROPORTION and self.metric.worse == "higher":
            bad = units - bad
        if self.metric.exposure:
            exposed = np.add.reduceat(rows.exposed, starts)
            part = exposed[:, CANARY] / exposed.sum(axis=1)
        else:
            weight = rows.units.sum(axis=1)
            total = np.maximum(np.add.reduceat(weight, starts), 1.0)
            part = np.add.reduceat(weight * share, starts) / total
        of = np.searchsorted(ends, rows.bin_of)
        self._gather(rows)
        return Strata(units, bad, part, of, rows.bin, rows.bin_counts)

    def _gather(self, rows: Rows) -> None:
        if self.metric.measure is not Measure.VALUE:
            return  # buckets of subjects
        for number, counts in zip(rows.bin.tolist(), rows.bin_counts, strict=True):
            self._bins[number] = self._bins.get(number, np.zeros(2)) + counts

    def _harm_up(self) -> bool:
        return self.metric.kind is Kind.PROPORTION or self.metric.worse == "higher"

    def _new_kernel(self, first: Strata) -> Kernel:
        """The kernel with the margin on its grid; a margin in the other kind of unit is resolved
        once, by the level of the baseline's first stratum."""
        margin, kind = self.metric.margin, self.metric.kind
        if kind is Kind.PROPORTION:
            good = 1.0 - float(first.bad[0, 0] / first.units[0, 0])
            size = margin.size * good if margin.relative else margin.size
            size = min(size, 0.99)
            return self._at(Proportion([size]), size, size)
        size = margin.size
        if not margin.relative:
            mine = first.bin_of == 0
            counts = first.bin_counts[mine, 0].astype(np.int64)
            level = quantile(first.bin[mine], counts, 0.5, self.metric.quantum)
            size /= max(level or size, 1e-12)
        if kind is Kind.COUNT:
            edge = 1.0 + size if self._harm_up() else max(1.0 - size, 1e-3)
            return self._at(Count([edge]), edge, edge)
        # A whole number of buckets, rounded against us both times.
        if self._harm_up():
            harm, safe = shift_of(1 + size, up=True), shift_of(1 + size, up=False)
        else:
            smaller = max(1 - size, 1e-3)
            harm, safe = shift_of(smaller, up=False), shift_of(smaller, up=True)
        return self._at(Ranks([harm, safe]), harm, safe)

    def _at(self, kernel: Kernel, harm: float, safe: float) -> Kernel:
        self._harm_at = int(np.searchsorted(kernel.grid, harm))
        self._safe_at = int(np.searchsorted(kernel.grid, safe))
        return kernel

    def _effects(self, strata: Strata, balance: Floats) -> Floats:
        """The estimated effect after each stratum, on the kernel's grid scale, (J,);
        ``balance`` is where the evidence for above and for below is equal."""
        a, b = strata.units[:, 0], strata.units[:, 1]
        if self.metric.kind is Kind.PROPORTION:
            n = a + b
            parts = (strata.bad[:, 1] * a - strata.bad[:, 0] * b) / n, a * b / n
        elif self.metric.kind is Kind.COUNT:
            parts = b * (1 - strata.share), a * strata.share
        else:
            return balance
        sums = np.cumsum(np.vstack([self._weights, np.column_stack(parts)]), axis=0)
        self._weights = sums[-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(sums[1:, 1] > 0, sums[1:, 0] / sums[1:, 1], np.nan))

    def _scale(self, values: Floats) -> Floats:
        """From the kernel's grid to the scale of the path."""
        if self.metric.kind is Kind.PROPORTION:
            return values
        if self.metric.kind is Kind.COUNT:
            return values - 1.0
        return np.exp2(values / PER_OCTAVE) - 1.0

    def median(self, arm: int) -> float | None:
        """The median of an arm's values in the metric's unit, within 1.1 %; None without any."""
        numbers = np.array(list(self._bins), np.int64)
        counts = np.array([pair[arm] for pair in self._bins.values()], np.int64)
        return quantile(numbers, counts, 0.5, self.metric.quantum) if len(numbers) else None

    def baseline_level(self) -> float | None:
        """The baseline's level in the metric's unit: share of good, median, or None."""
        if self.metric.kind is not Kind.PROPORTION:
            return self.median(BASELINE)
        if not self.units[0]:
            return None
        share = float(self.bad[0] / self.units[0])
        return share if self.metric.worse == "higher" else 1.0 - share


def _declared(rows: Rows, share: Floats) -> tuple[Rows, Floats]:
    """The rows in which a share is declared: before it, a count has nothing to be held against.
    Counts have no buckets."""
    told = share > 0
    kept = Rows(
        rows.shown[told],
        rows.units[told],
        rows.failures[told],
        rows.exposed[told],
        rows.bin_of[:0],
        rows.bin[:0],
        rows.bin_counts[:0],
    )
    return kept, share[told]


def only_indicative(metric: Metric) -> bool:
    """Whether a metric is shown but decides nothing: a count without exposure cannot tell harm
    from a split that sends fewer customers, and some kinds are not judged yet."""
    return metric.kind in SHOWN or (metric.kind is Kind.COUNT and not metric.exposure)


def _between(rows: Rows, start: int, stop: int) -> Rows:
    inside = (rows.bin_of >= start) & (rows.bin_of < stop)
    return Rows(
        rows.shown[start:stop],
        rows.units[start:stop],
        rows.failures[start:stop],
        rows.exposed[start:stop],
        rows.bin_of[inside] - start,
        rows.bin[inside],
        rows.bin_counts[inside],
    )


def _interval(grid: Floats, up: Floats, down: Floats, level: float) -> tuple[Floats, Floats]:
    """Where the grid stops being rejected from below and from above, interpolated; (J,) each.

    Each bound is a one-sided confidence sequence: at ``level`` = log(1 / alpha) the truth is
    outside it, ever, with probability at most alpha.
    """
    low = _bound(grid, up, level)
    high = -_bound(-grid[::-1], down[:, ::-1], level)
    return low, high


def _bound(grid: Floats, logs: Floats, level: float) -> Floats:
    rejected = np.cumprod(logs >= level, axis=1).sum(axis=1)  # leading rejected grid points
    last = np.maximum(rejected - 1, 0)
    following = np.minimum(rejected, len(grid) - 1)
    rows = np.arange(len(logs))
    high, low = logs[rows, last], logs[rows, following]
    part = np.where(high > low, (high - level) / np.maximum(high - low, 1e-12), 0.0)
    value = grid[last] + np.clip(part, 0.0, 1.0) * (grid[following] - grid[last])
    return np.asarray(np.where(rejected > 0, value, np.nan))


def _crossing(grid: Floats, difference: Floats) -> Floats:
    """Where the evidence for above and for below balance: the Hodges-Lehmann-like estimate."""
    above = (difference > 0).sum(axis=1)
    left, right = np.clip(above - 1, 0, None), np.clip(above, None, len(grid) - 1)
    rows = np.arange(len(difference))
    a, b = difference[rows, left], difference[rows, right]
    part = np.where(a > b, a / np.maximum(a - b, 1e-12), 0.5)
    value = grid[left] + np.clip(part, 0.0, 1.0) * (grid[right] - grid[left])
    known = (difference > 0).any(axis=1) | (difference < 0).any(axis=1)
    return np.asarray(np.where(known, value, np.nan))
