"""What simpler rules would have said at the same looks, for comparison only.

A fixed rule compares point estimates with the margin; a repeated test asks a test for one look
again at every look (Johari et al. 2017, KDD, on what peeking does to it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtri

from analyzers.auditing.placebo import BASELINE, CANARY
from analyzers.facts import Bools, Floats, Ints
from analyzers.folding.cells import Cells
from analyzers.folding.histogram import PER_OCTAVE
from analyzers.folding.subjects import BESIDE_VALUES
from analyzers.policy import FixedRule, Kind, Measure, Metric, Policy

_LN2: Final = math.log(2.0)
_KINDS: Final = (Kind.PROPORTION, Kind.COUNT, Kind.DURATION)


@dataclass(frozen=True, slots=True)
class Simple:
    """Whether simpler rules ever called one metric harmed: the fixed rule, and a z test of no
    difference repeated at every look."""

    metric: str
    fixed: bool
    peeked: bool


def simple_rules(
    cells: Cells, edges: Ints, policy: Policy, *, share: float, since: int
) -> tuple[Simple, ...]:
    """What simpler rules say of the total of each metric whose kind they know.

    ``edges`` (k,) are the slices before which each look happens; cells from ``since`` on count.
    """
    rule = policy.fixed_rule or FixedRule()
    cells = cells.split(since)[1]
    critical = float(ndtri(1.0 - policy.error_rate))
    found = []
    for metric in policy.metrics:
        if metric.kind not in _KINDS or metric.measure is Measure.FLOW:
            continue
        mine, canary = _totals(cells, metric)
        if not mine.any():
            continue
        sums = _sums(cells, metric, mine, canary, edges)
        effect, z = _compared(sums, metric, share)
        enough = (sums[:, :, 0] >= rule.min_events).all(axis=1)
        beyond = enough & (effect > _limit(metric, sums))
        found.append(Simple(metric.name, bool(beyond.any()), bool((enough & (z > critical)).any())))
    return tuple(found)


def _totals(cells: Cells, metric: Metric) -> tuple[Bools, Bools]:
    """Masks of the series: the metric's totals on either side, and the canary's among them."""
    mine = np.zeros(len(cells.series), np.bool_)
    canary = np.zeros(len(cells.series), np.bool_)
    for i, one in enumerate(cells.series):
        if one.metric == metric.name and not one.segment and one.track in (BASELINE, CANARY):
            mine[i], canary[i] = True, one.track == CANARY
    return mine, canary


def _sums(cells: Cells, metric: Metric, mine: Bools, canary: Bools, edges: Ints) -> Floats:
    """Running sums (k, 2, 3) at each look, baseline and canary: units, first and second moment of
    what is compared (failures, or logarithms of values by their buckets)."""
    if metric.kind is Kind.DURATION:
        rows = mine[cells.bin_of] & (cells.bin < BESIDE_VALUES)
        of, when, n = cells.bin_of[rows], cells.bin_slice[rows], cells.bin_count[rows]
        log = cells.bin[rows] * (_LN2 / PER_OCTAVE)
        parts = np.column_stack([n, n * log, n * log * log])
    else:
        rows = mine[cells.of]
        of, when, n, bad = (
            cells.of[rows], cells.slice[rows], cells.count[rows], cells.failures[rows]
        )  # fmt: skip
        if metric.kind is Kind.COUNT:
            n = n - bad
        parts = np.column_stack([n, bad, bad]).astype(np.float64)
    sums = np.zeros((len(edges) + 1, 2, 3))
    np.add.at(sums, (np.searchsorted(edges, when, side="right"), canary[of].astype(int)), parts)
    return np.asarray(np.cumsum(sums, axis=0)[: len(edges)])


def _compared(sums: Floats, metric: Metric, share: float) -> tuple[Floats, Floats]:
    """The harm as estimated and its z value, (k,) each; 0 where nothing can be said."""
    n0, n1 = sums[:, 0, 0], sums[:, 1, 0]
    sign = 1.0 if metric.worse == "higher" else -1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric.kind is Kind.COUNT:
            n = n0 + n1
            effect = sign * (n1 * (1.0 - share) / (n0 * share) - 1.0)
            z = sign * (n1 - n * share) / np.sqrt(n * share * (1.0 - share))
        else:
            mean = sums[:, :, 1] / sums[:, :, 0]
            difference = mean[:, 1] - mean[:, 0]
            if metric.kind is Kind.PROPORTION:  # of failures: more of them is harm
                pooled = sums[:, :, 1].sum(axis=1) / (n0 + n1)
                effect = difference
                spread = pooled * (1.0 - pooled) * (1.0 / n0 + 1.0 / n1)
            else:
                effect = sign * np.expm1(difference)
                variance = sums[:, :, 2] / sums[:, :, 0] - mean * mean
                difference = sign * difference
                spread = (variance / sums[:, :, 0]).sum(axis=1)
            z = difference / np.sqrt(spread)
    return np.nan_to_num(effect, posinf=0.0, neginf=0.0), np.nan_to_num(z, posinf=0.0, neginf=0.0)


def _limit(metric: Metric, sums: Floats) -> Floats:
    """The margin on the scale of the effect, (k,)."""
    if metric.kind is not Kind.PROPORTION or not metric.margin.relative:
        return np.full(len(sums), metric.margin.size)
    bad = sums[:, 0, 1] / np.maximum(sums[:, 0, 0], 1.0)
    return np.asarray(metric.margin.size * (1.0 - bad if metric.worse == "lower" else bad))
