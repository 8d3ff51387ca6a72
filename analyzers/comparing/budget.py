"""How the budget of false alarms is shared out: weights fixed when a comparison first appears.

A weight may depend on what came before it, never on what the comparison will show; they never sum
to more than 1, and what is not given away counts as an e-value of 1.
"""

from __future__ import annotations

import math
from typing import Final

from analyzers.folding.cells import Segment
from analyzers.policy import WEIGHTS, Measure, Metric

# What a metric gets per unit of its weight, until nine tenths are given away; later ones share the
# rest. Equal shares of a catalogue of twenty metrics would leave those that a service really has
# with a quarter of it.
PER_WEIGHT: Final = 0.06
_FIRST: Final = 0.9
# The first twenty segments of a metric share four fifths of its segments' part equally. With
# 6 / (pi^2 k^2) for the k-th from the start, the fifth country had half, the tenth a seventh.
_SEGMENTS: Final = 20
_PER_SEGMENT: Final = 0.04


class Budget:
    """The weights of one deployment's comparisons."""

    def __init__(self) -> None:
        self._mass: dict[str, float] = {}  # of each metric
        self._ranks: dict[str, int] = {}  # segments so far
        self._given = 0.0
        self._late = 0

    def weight(self, metric: Metric, segment: Segment) -> float:
        """The weight of a newcomer: half of its metric's for the total, the rest for segments (all
        of it, where the total is not tested)."""
        mass = self._mass.get(metric.name)
        if mass is None:
            mass = self._mass[metric.name] = self._share(metric)
        if not segment:
            return mass / 2
        self._ranks[metric.name] = rank = self._ranks.get(metric.name, 0) + 1
        whole = mass if metric.measure is Measure.FLOW else mass / 2
        late = 1.0 - _SEGMENTS * _PER_SEGMENT
        return whole * (_PER_SEGMENT if rank <= _SEGMENTS else late * _basel(rank - _SEGMENTS))

    def _share(self, metric: Metric) -> float:
        weight = WEIGHTS[metric.criticality] if metric.weight is None else metric.weight
        size = PER_WEIGHT * weight
        if self._given + size <= _FIRST + 1e-9:
            self._given += size
            return size
        self._late += 1
        return (1.0 - _FIRST) * _basel(self._late)


def _basel(k: int) -> float:
    """6 / (pi^2 k^2), k = 1, 2, ...: sums to 1."""
    return 6.0 / (math.pi**2 * k * k)
