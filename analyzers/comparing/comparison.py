"""One metric in one segment, canary against baseline, in the metric's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from analyzers.comparing.arms import BASELINE
from analyzers.comparing.families import family_of, swapped
from analyzers.comparing.traces import Trace
from analyzers.contrast.balance import balance
from analyzers.contrast.normal import boundary
from analyzers.contrast.strata import Told
from analyzers.facts import NEVER, Floats
from analyzers.folding.histogram import PER_OCTAVE, middles, quantile
from analyzers.policy import Kind, Measure, Metric

if TYPE_CHECKING:
    from analyzers.comparing.comparisons import Comparisons

# Effects of these kinds are parts of the baseline's level, of the others differences in the unit.
RELATIVE: Final = frozenset({Kind.COUNT, Kind.DURATION})
_WIDEST: Final = 32 * PER_OCTAVE  # a factor of four thousand million is as good as any


@dataclass(frozen=True, slots=True)
class Effects:
    """The estimated effect and its confidence sequence at p points, (p,) each: differences in the
    metric's unit, or, for counts and durations, parts of the baseline. Canary minus baseline; NaN
    where unknown."""

    effect: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row of the table of comparisons, by name."""

    metric: Metric
    table: Comparisons
    row: int

    @property
    def indicative(self) -> bool:
        """Whether it is shown but decides nothing."""
        return self.table.indicative(self.row)

    @property
    def silence(self) -> bool:
        """Whether it is about one arm's silence, rather than about what it shows."""
        return self.metric.measure is Measure.FLOW

    @property
    def shown(self) -> bool:
        """Whether either arm has shown it."""
        return self.first_seen < NEVER

    @property
    def slices(self) -> Floats:
        """Of a silence: in how many slices each arm has shown, (2,)."""
        if self.place < 0:
            return np.zeros(2)
        return np.asarray(self.table.families.quiet.slices(np.array([self.place]))[0])

    @property
    def seen(self) -> Floats:
        """Units of both arms in all slices, (2,)."""
        return np.asarray(self.table.seen[self.row])

    @property
    def units(self) -> Floats:
        """Units of both arms in closed strata, (2,)."""
        return np.asarray(self.table.units[self.row])

    @property
    def strata(self) -> int:
        """How many strata have closed."""
        return int(self.table.strata[self.row])

    @property
    def first_seen(self) -> int:
        """The first slice in which either arm showed it; the largest number there is before."""
        return int(self.table.first_seen[self.row])

    @property
    def baseline_first(self) -> int:
        """The first slice in which the baseline showed it."""
        return int(self.table.baseline_first[self.row])

    @property
    def log_harm(self) -> float:
        """Log e-value that the harm is beyond its margin, now."""
        return float(self.table.log_harm[self.row])

    @property
    def log_safe(self) -> float:
        """Log e-value that the harm is within its margin, now."""
        return float(self.table.log_safe[self.row])

    @property
    def log_harm_max(self) -> float:
        """The largest log e-value for harm so far."""
        return float(self.table.log_harm_max[self.row])

    @property
    def log_safe_top(self) -> float:
        """The largest log e-value for safety so far."""
        return float(self.table.log_safe_top[self.row])

    def effects(self, level: float) -> Effects:
        """The effect now, (1,); each bound is one-sided and wrong, ever, with probability at most
        ``exp(-level)``."""
        told = None if self.silence else self._told()
        return Effects(*_none()) if told is None else self._effects(told, level)

    def trace(self) -> Trace:
        """How it came to where it is: what to plot."""
        return self.table.traces.of(self.row)

    def effects_of(self, trace: Trace, level: float) -> Effects:
        """The effects along a trace."""
        return self._effects(trace.told, level)

    def detectable(self, level: float) -> float | None:
        """The smallest effect beyond what is told now that would be found at once at an e-value of
        ``exp(level)``, a size in the terms of ``Effects``; None before any stratum."""
        told = self._told()
        if told is None or told.weight[0] <= 0:
            return None
        at_most = self._natural(np.array([0.0, _width(told, level)[0]]))
        size = abs(float(at_most[1] - at_most[0]))
        return size if np.isfinite(size) else None

    def harm(self, level: float) -> tuple[float, float]:
        """The estimated effect in the direction of harm, and how far its bound on the side of more
        harm is from it, in the terms of ``Effects``; NaN where unknown."""
        told = self.effects(level)
        effect, low, high = (float(values[0]) for values in (told.effect, told.low, told.high))
        if self.metric.worse == "higher":
            return effect, high - effect
        return -effect, effect - low

    def margin(self) -> float:
        """The margin in the terms of ``Effects``, a positive size."""
        margin, base = self.metric.margin, self.baseline_level()
        if margin.relative == (self.metric.kind in RELATIVE) or base is None:
            return margin.size
        if margin.relative:
            return margin.size * abs(base)
        return margin.size / max(abs(base), 1e-12)

    def _told(self) -> Told | None:
        place = self.place
        if place < 0:
            return None
        return self.table.families.named(family_of(self.metric)).told(np.array([place]))

    @property
    def place(self) -> int:
        """Its place in its family; -1 before any stratum."""
        return int(self.table.families.place[self.row])

    def _effects(self, told: Told, level: float) -> Effects:
        known = told.weight > 0
        weight = np.where(known, told.weight, 1.0)
        x, width = told.score / weight, _width(told, level)
        effect, low, high = (
            np.where(known, self._natural(value), np.nan) for value in (x, x - width, x + width)
        )
        return Effects(effect, np.minimum(low, high), np.maximum(low, high))

    def _natural(self, x: Floats) -> Floats:
        """From the family's scale to that of ``Effects``."""
        kind, turned = self.metric.kind, swapped(self.metric)
        if self.metric.measure is Measure.ASSIGNMENT:
            return x
        if kind is Kind.PROPORTION:
            return np.clip(x if self.metric.worse == "higher" else 0.0 - x, -1.0, 1.0)
        if kind is Kind.COUNT:
            place = np.full(len(x), self.place)
            ratio = self.table.families.counts.ratio(place, x)
            return (1.0 / np.maximum(ratio, 1e-9) if turned else ratio) - 1.0
        if kind is Kind.DURATION:
            bucket, counts = self.table.values.of(self.row)
            held = balance(bucket, counts[:, ::-1] if turned else counts)
            now = self._told()
            at = float(now.score[0] / now.weight[0]) if now and now.weight[0] > 0 else 0.0
            buckets = held.shift + held.per_score * (x - at)
            buckets = np.clip(-buckets if turned else buckets, -_WIDEST, _WIDEST)
            return np.asarray(np.exp2(buckets / PER_OCTAVE) - 1.0)
        return 0.0 - x if turned else x

    # --- levels -----------------------------------------------------------------------------

    def median(self, arm: int) -> float | None:
        """The median of an arm's values in the metric's unit, within 1.1 %; None without any."""
        bucket, counts = self.table.values.of(self.row)
        return quantile(bucket, counts[:, arm], 0.5, self.metric.quantum)

    def cap(self) -> float | None:
        """What larger amounts count as; None before any stratum."""
        if self.metric.kind is not Kind.AMOUNT or self.place < 0:
            return None
        cap = float(self.table.families.amounts.cap(np.array([self.place]))[0])
        return cap if np.isfinite(cap) else None

    def baseline_level(self) -> float | None:
        """The baseline's level in the metric's unit: share of good, median, mean, ratio of sums;
        None where nothing is known."""
        return self.level(BASELINE)

    def level(self, arm: int) -> float | None:
        """An arm's level in the metric's unit, from closed strata."""
        kind, table, row = self.metric.kind, self.table, self.row
        if kind is Kind.DURATION:
            return self.median(arm)
        if kind is Kind.AMOUNT:
            bucket, counts = table.values.of(row)
            value, cap = middles(bucket, self.metric.quantum), self.cap()
            value = value if cap is None else np.clip(value, -cap, cap)
            n = counts[:, arm].sum()
            return float(counts[:, arm] @ value / n) if n else None
        units = float(table.units[row, arm])
        if kind is Kind.COUNT or not units:
            return None
        if kind is Kind.PROPORTION:
            return 1.0 - float(table.bad[row, arm]) / units
        return float(table.total[row, arm]) / units


def _width(told: Told, level: float) -> Floats:
    """Half of the confidence sequence's width in the family's scale: that of a mean of so many
    effective units whose variance is estimated (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
    2024, arXiv 2103.06476, with the mixture of ``normal.py``)."""
    weight = np.where(told.weight > 0, told.weight, 1.0)
    spread = np.sqrt(np.maximum(told.variance, 0.0) / weight)
    return np.asarray(boundary(weight, level) * spread / weight)


def _none() -> tuple[Floats, Floats, Floats]:
    unknown = np.full(1, np.nan)
    return unknown, unknown, unknown
