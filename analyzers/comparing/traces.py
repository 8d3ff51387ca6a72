"""How each comparison came to where it is: a bounded number of points, for plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.contrast.strata import Told
from analyzers.facts import Floats, Ints

# So many points at most; when they are full every second one is left out and every second one of
# those to come, so that a plot of a year is as large as one of an hour.
POINTS: Final = 96


@dataclass(frozen=True, slots=True)
class Trace:
    """The points of one comparison, (p,) each: slice, what it told, log e-values."""

    at: Ints
    told: Told
    log_harm: Floats
    log_safe: Floats


class Traces:
    """Points of n comparisons."""

    def __init__(self) -> None:
        self._points = np.zeros((0, POINTS, 6))
        self._held = np.zeros(0, np.int64)
        self._stride = np.zeros(0, np.int64)
        self._skipped = np.zeros(0, np.int64)

    def add(self, count: int) -> None:
        """As many new comparisons, without a point."""
        self._points = np.concatenate([self._points, np.zeros((count, POINTS, 6))])
        self._held = np.concatenate([self._held, np.zeros(count, np.int64)])
        self._stride = np.concatenate([self._stride, np.ones(count, np.int64)])
        self._skipped = np.concatenate([self._skipped, np.zeros(count, np.int64)])

    def record(self, rows: Ints, at: Ints, told: Told, harm: Floats, safe: Floats) -> None:
        """One more point for each of the given rows."""
        point = np.column_stack([at, told.score, told.weight, told.variance, harm, safe])
        # The latest point is always there: it is overwritten until it is one that stays.
        place = np.where(self._skipped[rows] > 0, self._held[rows] - 1, self._held[rows])
        self._points[rows, place] = point
        self._held[rows] = place + 1
        self._skipped[rows] = (self._skipped[rows] + 1) % self._stride[rows]
        full = rows[(self._held[rows] == POINTS) & (self._skipped[rows] == 0)]
        if len(full):
            self._points[full, : POINTS // 2] = self._points[full, 1::2]
            self._held[full] = POINTS // 2
            self._stride[full] *= 2

    def of(self, row: int) -> Trace:
        """The points of one comparison, the latest last."""
        points = self._points[row, : self._held[row]]
        at, score, weight, variance, harm, safe = points.T
        return Trace(at.astype(np.int64), Told(score, weight, variance), harm, safe)
