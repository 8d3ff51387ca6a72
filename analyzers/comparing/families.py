"""Which test compares a metric, and with what margin: comparisons begin in their kind's family.

A margin in the other kind of unit (a relative one of a proportion, an absolute one of a duration)
is resolved once, by the level of the baseline's first stratum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from analyzers.comparing.arms import BASELINE, CANARY
from analyzers.comparing.assigned import Assigned
from analyzers.contrast.amounts import Amounts
from analyzers.contrast.counts import Counts
from analyzers.contrast.durations import Durations
from analyzers.contrast.gauge import Gauges
from analyzers.contrast.proportions import Proportions
from analyzers.contrast.quiet import Quiet
from analyzers.contrast.ratio import Ratios
from analyzers.contrast.strata import Family, Judged, Strata, keep
from analyzers.facts import Floats, Ints
from analyzers.folding.histogram import quantile, shift_of
from analyzers.policy import Kind, Measure, Metric

FAMILIES: Final = (
    "proportions", "counts", "durations", "amounts", "gauges", "ratios", "quiet", "assignments",
)  # fmt: skip
_OF_KIND: Final = {
    Kind.PROPORTION: "proportions", Kind.COUNT: "counts", Kind.DURATION: "durations",
    Kind.AMOUNT: "amounts", Kind.GAUGE: "gauges", Kind.RATIO: "ratios",
}  # fmt: skip
_OF_MEASURE: Final = {Measure.FLOW: "quiet", Measure.ASSIGNMENT: "assignments"}
_SMALLEST: Final = 1e-3  # of a rate or a duration that is left at a margin near 100 %


def family_of(metric: Metric) -> str:
    """The name of the family whose test compares a metric."""
    return _OF_MEASURE.get(metric.measure) or _OF_KIND[metric.kind]


def swapped(metric: Metric) -> bool:
    """Whether a family sees the arms the other way round: harm is always that its second arm has
    more. Failures are counted, so that a share of successes needs no swap."""
    if metric.measure in _OF_MEASURE or metric.kind is Kind.PROPORTION:
        return False
    return metric.worse == "lower"


class Families:
    """The running tests of n comparisons: each has a place in one of the families, from its first
    stratum on."""

    def __init__(self) -> None:
        self.proportions = Proportions()
        self.counts = Counts()
        self.durations = Durations()
        self.amounts = Amounts()
        self.gauges = Gauges()
        self.ratios = Ratios()
        self.quiet = Quiet()
        self.assignments = Assigned()
        self.place = np.zeros(0, np.int64)  # -1 before the first stratum
        self._past: dict[int, Floats] = {}  # coefficients of gauges

    def add(self, count: int) -> None:
        """As many new comparisons."""
        self.place = np.concatenate([self.place, np.full(count, -1)])

    def remember(self, row: int, coefficients: Floats) -> None:
        """What a gauge's own past says of how its values hang together, (5,)."""
        self._past[row] = coefficients

    def knows(self, row: int) -> bool:
        """Whether a gauge's past has been long enough."""
        return row in self._past

    def keep(self, rows: Ints, codes: Ints) -> None:
        """Leaves only some comparisons; ``codes`` are those of their families, by row of all."""
        place, code = self.place[rows], codes[rows]
        for number, name in enumerate(FAMILIES):
            mine = (code == number) & (place >= 0)
            used = np.sort(place[mine])
            keep(self.named(name), used)
            place[mine] = np.searchsorted(used, place[mine])
        self.place = place
        new = {row: at for at, row in enumerate(rows.tolist())}
        self._past = {new[row]: past for row, past in self._past.items() if row in new}

    def named(self, name: str) -> Judged:
        """The family of that name."""
        family: Judged = getattr(self, name)
        return family

    def advance(
        self, name: str, rows: Ints, minute: Ints, strata: Strata, metrics: Sequence[Metric]
    ) -> tuple[Judged, Ints]:
        """Takes in one stratum, about a ``minute`` (k,), for each of some rows of one family; gives
        back the family and the places there."""
        fresh = np.flatnonzero(self.place[rows] < 0)
        if len(fresh):
            self._begin(name, rows[fresh], fresh, strata, metrics)
        place = self.place[rows]
        if name == "gauges":
            self.gauges.advance(place, strata, minute)
            return self.gauges, place
        family: Family = getattr(self, name)
        family.advance(place, strata)
        return family, place

    def _begin(
        self, name: str, rows: Ints, fresh: Ints, strata: Strata, metrics: Sequence[Metric]
    ) -> None:
        """Gives rows their places, with the margins that their first strata resolve."""
        told = [metrics[row] for row in rows.tolist()]
        first = len(self.named(name))
        self.place[rows] = np.arange(first, first + len(rows))
        if name == "quiet":
            self.quiet.add(len(rows))
        elif name == "assignments":
            self.assignments.add(np.isin(fresh, strata.bin_of))
        elif name == "proportions":
            sizes = [_points(m, strata, at) for m, at in zip(told, fresh.tolist(), strict=True)]
            self.proportions.add(np.array(sizes))
        elif name == "counts":
            self.counts.add(np.array([_ratio(metric, metric.margin.size) for metric in told]))
        elif name == "durations":
            pairs = [_shifts(m, strata, at) for m, at in zip(told, fresh.tolist(), strict=True)]
            harm, safe = np.array(pairs, np.int64).reshape(-1, 2).T
            self.durations.add(harm, safe)
        else:
            self._begin_means(name, rows, told)

    def _begin_means(self, name: str, rows: Ints, told: Sequence[Metric]) -> None:
        relative = np.array([metric.margin.relative for metric in told])
        margins = np.array([
            _ratio(metric, metric.margin.size) - 1.0
            if metric.margin.relative
            else metric.margin.size
            for metric in told
        ])  # fmt: skip
        if name == "amounts":
            caps = [math.nan if metric.cap is None else metric.cap for metric in told]
            quanta = np.array([metric.quantum for metric in told])
            self.amounts.add(np.array(caps), margins, relative, quanta)
        elif name == "ratios":
            self.ratios.add(margins, relative)
        else:
            known = np.array([row in self._past for row in rows.tolist()])
            past = [self._past.get(row, np.zeros(5)) for row in rows.tolist()]
            self.gauges.add(margins, relative, np.array(past), known)


WINDOW_SLICES: Final = 6  # a gauge is compared minute by minute


def _ratio(metric: Metric, size: float) -> float:
    """The ratio of the second arm to the first at a relative margin, above 1."""
    return 1.0 / max(1.0 - size, _SMALLEST) if swapped(metric) else 1.0 + size


def _points(metric: Metric, strata: Strata, at: int) -> float:
    size = metric.margin.size
    if metric.margin.relative:
        worse = float(strata.bad[at, BASELINE] / max(strata.units[at, BASELINE], 1.0))
        size *= worse if metric.worse == "higher" else 1.0 - worse
    return min(size, 0.99)


def _shifts(metric: Metric, strata: Strata, at: int) -> tuple[int, int]:
    """The margin in whole buckets for harm and for safety, rounded against us both times."""
    size = metric.margin.size
    if not metric.margin.relative:
        mine = strata.bin_of == at
        arm = CANARY if swapped(metric) else BASELINE  # where the baseline stands in the strata
        counts = strata.bin_counts[mine, arm].astype(np.int64)
        size /= max(quantile(strata.bin[mine], counts, 0.5, metric.quantum) or size, 1e-12)
    ratio = _ratio(metric, size)
    return shift_of(ratio, up=True), shift_of(ratio, up=False)
