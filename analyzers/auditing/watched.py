"""The evidence of one placebo, followed over its whole watch at once beside that of many others.

What is asked of a placebo is less than of a release: whether and when harm was found, and whether
it was ever promoted. So stretches in which neither can happen are passed in one step; all others
are followed slice by slice as a release is, by the very same rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from analyzers.comparing.arms import Key
from analyzers.comparing.attribution import Shares, block
from analyzers.comparing.comparisons import Closed, Comparisons
from analyzers.comparing.names import Heard
from analyzers.facts import NEVER
from analyzers.folding.cells import Cells
from analyzers.folding.series import SeriesTable, coded
from analyzers.judging.evidence import Evidence
from analyzers.policy import Policy
from analyzers.timeline import Deployment

_STRETCH: Final = 64  # slices
# Sums in another order differ by far less; whatever comes so near is followed slice by slice.
_NEAR: Final = 1.0 - 1e-9


class Watched(Evidence):
    """Everything that speaks about one placebo. Advanced once, by all cells of its watch."""

    def __init__(
        self,
        deployment: Deployment,
        replaces: str,
        policy: Policy,
        expected: Mapping[str, int],
        *,
        table: Comparisons,
    ) -> None:
        super().__init__(deployment, replaces, policy, expected, table=table)
        self.promoted = False  # ever
        self._parts: Shares | None = None  # the cells of its watch; None where nothing spoke
        self._crossed: dict[int, int] = {}  # by row: the slice in which it alone showed harm

    def shares(self, cells: Cells, heard: Heard) -> Shares | None:
        """What of some cells speaks here, of which some are ``heard`` to be this placebo's."""
        # All placebos are advanced at once: going through the cells of all for each is quadratic.
        self._parts = super().shares(*_near(cells, heard))
        return self._parts

    def crossed(self, key: Key) -> int:
        """The slice at whose end a comparison's own e-value first reached 1 / error rate; NEVER if
        it did not."""
        return self._crossed.get(self.comparisons[key].row, NEVER)

    def seen(self, key: Key, before: int) -> int:
        """How many units both sides of a comparison had shown before a slice."""
        if self._parts is None:
            return 0
        told = block([self._parts], self.table.ratios)
        rows = (told.of == self.comparisons[key].row) & (told.shown < before)
        return int(told.units[rows].sum())

    def follow(self, closed: Closed, appeared: Iterable[int]) -> None:
        """Takes in the evidence of strata that closed, in order of time, and what changed of what
        gates at other slices; follows the status wherever it can change."""
        self._crossed = _first(closed, -math.log(self.policy.error_rate))
        others = np.unique(np.fromiter(appeared, np.int64))
        times = np.union1d(closed.at, others)
        for begin in range(0, len(times), _STRETCH):
            first, last = times[begin : begin + _STRETCH][[0, -1]].tolist()
            here = closed.where(np.arange(*np.searchsorted(closed.at, (first, last + 1)).tolist()))
            if self._calm(here, first, last):
                self._take(here)
            else:
                between = slice(*np.searchsorted(others, (first, last + 1)).tolist())
                super().follow(here, others[between].tolist())
                self.promoted = any(change.status == "healthy" for change in self.changes)

    def _calm(self, closed: Closed, first: int, last: int) -> bool:
        """Whether neither harm nor health can be found in a stretch of slices."""
        if self.degraded_at is not None:
            return True
        place, e = self._weighted(closed)
        most = self._e.copy()
        np.maximum.at(most, place, e)
        if (self._unspent + float(most.sum())) * self.policy.error_rate >= _NEAR:
            return False
        if self.promoted or not self.gating(last) or self.missing(last):
            return True
        top = self._logs[3].copy()
        np.maximum.at(top, place, closed.log_safe)
        rows = np.array([self.comparisons[key].row for key in self.gating(first)], np.int64)
        return bool((top[np.searchsorted(self._row, rows)] < self.safe_threshold()).any())


def _near(cells: Cells, heard: Heard) -> tuple[Cells, Heard]:
    """Only the cells between the first and the last series that is heard; canonical as before."""
    first, last = int(heard.places[0]), int(heard.places[-1]) + 1
    rows = slice(*np.searchsorted(cells.of, (first, last)).tolist())
    bins = slice(*np.searchsorted(cells.bin_of, (first, last)).tolist())
    places = np.arange(rows.start, rows.stop)
    table = coded(cells.series)
    mine = Cells(
        SeriesTable(table.codes[:, first:last], table.words), cells.of[rows] - first,
        cells.slice[rows], cells.shown[rows], cells.count[rows], cells.failures[rows],
        cells.sum.take(places), cells.square.take(places), cells.bin_of[bins] - first,
        cells.bin_slice[bins], cells.bin_shown[bins], cells.bin[bins], cells.bin_count[bins],
    )  # fmt: skip
    return mine, Heard(heard.known, heard.places - first, heard.numbers)


def _first(closed: Closed, level: float) -> dict[int, int]:
    """By row, the slice in which evidence for harm first reached a level; in order of time."""
    over = np.flatnonzero(closed.log_harm >= level)
    rows, first = np.unique(closed.of[over], return_index=True)
    return dict(zip(rows.tolist(), closed.at[over[first]].tolist(), strict=True))
