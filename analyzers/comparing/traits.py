"""What of its metric each comparison must know at every step, as columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from analyzers.comparing.families import swapped
from analyzers.facts import Bools, Ints
from analyzers.policy import Kind, Measure, Metric


def only_declared(metric: Metric) -> bool:
    """Whether nothing but a declared share says how much a count should be."""
    return metric.kind is Kind.COUNT and not metric.exposure


_BUCKETS: Final = (Kind.PROPORTION, Kind.DURATION, Kind.AMOUNT)
_RULES: Final[dict[str, Callable[[Metric], bool]]] = {
    "asked": lambda metric: metric.measure is Measure.ANSWER,
    "flow": lambda metric: metric.measure is Measure.FLOW,
    "counts": lambda metric: metric.kind is Kind.COUNT,
    "declared": lambda metric: metric.kind is Kind.COUNT and not metric.exposure,
    "exposed": lambda metric: bool(metric.exposure) or metric.kind is Kind.RATIO,
    "ratio": lambda metric: metric.kind is Kind.RATIO,
    "gauge": lambda metric: metric.kind is Kind.GAUGE,
    "share": lambda metric: metric.kind is Kind.PROPORTION,
    "buckets": lambda metric: metric.kind in _BUCKETS or metric.measure is Measure.ASSIGNMENT,
    "valued": lambda metric: metric.measure is Measure.VALUE,
    "good": lambda metric: metric.kind is Kind.PROPORTION and metric.worse == "higher",
    "swapped": swapped,
    # A count by declared share has nothing to be held against before one is declared.
    "undeclared": lambda metric: only_declared(metric) and metric.measure is not Measure.FLOW,
}
_PLACE: Final = {name: place for place, name in enumerate(_RULES)}


class Traits:
    """The traits of n comparisons, by name."""

    __slots__ = ("_is",)

    def __init__(self) -> None:
        self._is = np.zeros((0, len(_RULES)), np.bool_)

    def add(self, metrics: Sequence[Metric]) -> None:
        """Comparisons of some metrics."""
        told = np.array([[rule(metric) for rule in _RULES.values()] for metric in metrics])
        self._is = np.concatenate([self._is, told.reshape(len(metrics), len(_RULES))])

    def of(self, name: str, rows: Ints | slice) -> Bools:
        """Which of some comparisons have a trait, (k,)."""
        return np.asarray(self._is[rows, _PLACE[name]])

    def keep(self, rows: Ints) -> None:
        """Leaves only some comparisons."""
        self._is = self._is[rows]
