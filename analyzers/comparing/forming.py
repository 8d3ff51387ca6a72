"""How slices merge into strata that are worth comparing, for all running comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from analyzers.comparing.attribution import Block
from analyzers.comparing.families import WINDOW_SLICES
from analyzers.comparing.pending import ranks_within
from analyzers.comparing.traits import Traits
from analyzers.contrast.strata import grow
from analyzers.facts import Bools, Floats, Ints
from analyzers.policy import Kind, Measure, Metric

# A stratum of one unit carries no information; of n it carries (n - 1) / n. Ranks need some for
# their scores to look normal. Proportions have an exact kernel, which needs none: at 20, a segment
# of one order a day would wait three weeks between looks.
STRATUM_UNITS: Final = {
    Kind.PROPORTION: 8, Kind.COUNT: 20, Kind.DURATION: 20, Kind.AMOUNT: 20, Kind.RATIO: 20,
    Kind.GAUGE: 1,
}  # fmt: skip
# A stratum closes by the number of its units, whose they are: if it waited for both arms, the
# rarer one's unit would be its last, and a level that falls within strata would make a slow canary
# look fast (95 % of canaries of 1 % at the margin were promoted along a falling sawtooth). It is
# large enough to hold two units of the rarer arm, as far as that is known, and this much at most;
# one that holds none of it waits for as many slices as should have held eight: units of a slice
# may all be one invoice's.
_RARER: Final = 2.0
_LARGER: Final = 10.0
_ALONE: Final = 8.0
_ALIKE: Final = 4.0  # units' worth of belief, of each arm, that they are equally frequent
# A margin that is resolved by the level of the first stratum is as wrong as that level is.
_RESOLVING: Final = 400.0


@dataclass(frozen=True, slots=True)
class Formed:
    """The c strata that closed in a block, those of a comparison in order of time: of which one,
    the slice that closed it, the minute it is about (of gauges: the one before), the rank among its
    comparison's, and the sums (c, 9): units, failures, totals and exposure of both arms, units
    expected of the canary. ``tells`` (c,) is false where one arm is missing; ``age`` (c,) says for
    how many slices the declared share had been what it was."""

    of: Ints
    at: Ints
    minute: Ints
    rank: Ints
    sums: Floats
    tells: Bools
    age: Ints

    def where(self, chosen: Ints) -> Formed:
        """Only some strata, in order."""
        of = self.of[chosen]
        return Formed(
            of, self.at[chosen], self.minute[chosen], ranks_within(of), self.sums[chosen],
            self.tells[chosen], self.age[chosen],
        )  # fmt: skip


class Forming:
    """The open strata of n comparisons."""

    def __init__(self, traits: Traits) -> None:
        self._traits = traits
        self._sums = np.zeros((0, 9))
        self._window = np.zeros(0, np.int64)  # of gauges: the minute that is open
        self._wanted = np.zeros((0, 2))  # units of a stratum, and of the first one
        self._come = np.zeros((0, 2))  # units, or exposure, of both arms in closed strata
        self._slices = np.zeros(0)  # that an open stratum has
        self._share = np.zeros(0)  # declared, as of the last row
        self._since = np.zeros(0, np.int64)  # the first slice with it

    def add(self, metrics: Sequence[Metric]) -> None:
        """Comparisons of some metrics, without a unit."""
        rows = grow(self, len(metrics))
        self._share[rows] = np.nan
        self._wanted[rows] = np.array([_wanted(metric) for metric in metrics]).reshape(-1, 2)

    def advance(self, block: Block) -> tuple[Formed, Ints]:
        """The strata that close in a block, and for each of its rows which of them it is part of,
        -1 while that is open: by totals, never by outcomes."""
        expected = block.share * block.units.sum(axis=1)
        sums = np.column_stack([block.units, block.failures, block.total, block.exposed, expected])
        rank = ranks_within(block.of)
        by_rank = np.argsort(rank, kind="stable")
        rounds = np.searchsorted(rank[by_rank], np.arange(int(rank.max(initial=-1)) + 2))
        closed: list[tuple[Ints, ...]] = []
        told: list[Floats] = []
        for r, (begin, end) in enumerate(pairwise(rounds.tolist())):
            rows = by_rank[begin:end]
            mine, shown = block.of[rows], block.shown[rows]
            over = self._passed(mine, shown)
            if len(over):
                self._close(closed, told, mine[over], shown[over], r - 1)
            share = block.share[rows]
            begun = self._share[mine] != share
            self._since[mine[begun]] = shown[begun]
            self._share[mine] = share
            self._window[mine] = shown // WINDOW_SLICES
            self._sums[mine] = now = self._sums[mine] + sums[rows]
            self._slices[mine] += 1.0
            full = self._full(mine, now)
            if full.any():
                self._close(closed, told, mine[full], shown[full], r)
        if not closed:
            none = np.empty(0, np.int64)
            nothing = Formed(none, none, none, none, np.empty((0, 9)), none > 0, none)
            return nothing, np.full(len(block), -1)
        of, at, minute, until, since = (
            np.concatenate(parts) for parts in zip(*closed, strict=True)
        )
        order = np.lexsort((until, of))
        of, until = of[order], until[order]
        held = np.concatenate(told)[order]
        strata = Formed(
            of, at[order], minute[order], ranks_within(of), held, self._tells(of, held),
            (at - since)[order],
        )  # fmt: skip
        return strata, _parts(block.of, rank, of, until)

    def _close(
        self,
        closed: list[tuple[Ints, ...]],
        told: list[Floats],
        mine: Ints,
        shown: Ints,
        last: int,
    ) -> None:
        sums = self._sums[mine]
        last_of = np.full(len(mine), last)
        closed.append((mine, shown, self._window[mine], last_of, self._since[mine]))
        told.append(sums)
        self._come[mine] += self._arms(mine, sums)
        self._sums[mine] = self._slices[mine] = 0.0

    def _arms(self, mine: Ints, sums: Floats) -> Floats:
        """What says how much each arm had of some strata, (k, 2)."""
        return np.where(self._traits.of("exposed", mine)[:, None], sums[:, 6:8], sums[:, :2])

    def _tells(self, mine: Ints, sums: Floats) -> Bools:
        """Which strata say anything of both arms; silence and shares do with one alone."""
        alone = self._traits.of("flow", mine) | self._traits.of("declared", mine)
        return np.asarray(alone | (self._arms(mine, sums) > 0).all(axis=1))

    def _passed(self, mine: Ints, shown: Ints) -> Ints:
        """The places of the gauges whose open minute is over."""
        over = self._traits.of("gauge", mine) & (self._window[mine] != shown // WINDOW_SLICES)
        return np.flatnonzero(over)

    def _full(self, mine: Ints, now: Floats) -> Bools:
        """Which open strata hold enough, (k,)."""
        n, expected = now[:, :2].sum(axis=1), now[:, 8]
        size = np.where(self._traits.of("ratio", mine), now[:, 6:8].sum(axis=1), n)
        come = self._come[mine]
        whole = come.sum(axis=1)
        rarer = (come.min(axis=1) + _ALIKE) / (whole + 2.0 * _ALIKE)
        least, first = self._wanted[mine].T
        wanted = np.clip(_RARER / rarer, np.where(whole > 0, least, first), _LARGER * least)
        declared = (size >= least) & (expected >= 1.0) & (expected <= n - 1.0)
        both = (self._arms(mine, now) > 0).all(axis=1)
        alone = self._slices[mine] >= _ALONE / rarer
        enough = (size >= wanted) & (both | alone)
        full = np.where(self._traits.of("declared", mine), declared, enough)
        full &= ~self._traits.of("gauge", mine)
        return np.asarray(full | self._traits.of("flow", mine))


def _parts(of: Ints, rank: Ints, comparison: Ints, until: Ints) -> Ints:
    """For each row of a block, the stratum it is part of: the first of its comparison that ends
    at its rank or later; -1 for none."""
    width = int(max(rank.max(initial=0), until.max(initial=0))) + 2
    place = np.searchsorted(comparison * width + until + 1, of * width + rank + 1)
    inside = np.minimum(place, len(comparison) - 1)
    return np.where((place < len(comparison)) & (comparison[inside] == of), place, -1)


def _wanted(metric: Metric) -> tuple[float, float]:
    """The units of a stratum, and of the first one."""
    if metric.measure is Measure.FLOW:
        return 0.0, 0.0
    least = float(STRATUM_UNITS[metric.kind])
    resolved = metric.kind is Kind.PROPORTION and metric.margin.relative
    resolved |= metric.kind is Kind.DURATION and not metric.margin.relative
    return least, _RESOLVING if resolved else least
