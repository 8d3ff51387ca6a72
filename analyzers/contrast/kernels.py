"""The three kernels as running comparisons: strata in, log e-values against a grid of effects out.

A kernel holds a grid of G effects in the metric's natural direction, and answers for each stratum
how strong the evidence is that the true effect lies above, and below, each of them. The verdict
reads at the margin; the confidence sequence is where the grid stops being rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from analyzers.contrast import count, normal, proportion, ranks
from analyzers.contrast.batches import Batches
from analyzers.contrast.dispersion import dispersion, nothing_carried
from analyzers.contrast.mixing import log_mean
from analyzers.contrast.onset import Starts
from analyzers.facts import Floats, Ints

_DIFFERENCES: Final = (
    0.0, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.125, 0.15,
    0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95,
)  # fmt: skip
_RATIOS: Final = (
    0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.75, 0.8, 0.85, 0.9, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1, 1.2,
    1.35, 1.6, 2.0, 3.0, 5.0,
)  # fmt: skip
_SHIFTS: Final = (0, 1, 2, 3, 4, 6, 8, 11, 14, 18, 22, 27, 32, 40, 48, 64, 96, 160)


@dataclass(frozen=True, slots=True)
class Strata:
    """J closed strata. ``units`` and ``bad`` (J, 2) baseline and canary; ``share`` (J,) of the
    canary in exposure; buckets as rows: stratum in [0, J), number, counts (m, 2)."""

    units: Floats
    bad: Floats
    share: Floats
    bin_of: Ints
    bin: Ints
    bin_counts: Floats


class Kernel(Protocol):
    """A running comparison of two arms. ``grid`` (G,) is increasing."""

    grid: Floats

    def advance(self, strata: Strata) -> tuple[Floats, Floats]:
        """Log e-values (J, G) that the effect lies above, and below, each effect of the grid."""


class Proportion:
    """Difference of bad shares, canary minus baseline: exact kernel and t mixture, averaged."""

    def __init__(self, margins: Sequence[float]) -> None:
        self.grid = _grid((*_DIFFERENCES, *(-d for d in _DIFFERENCES)), margins)
        self._above = proportion.harm_differences(self.grid)
        self._below = proportion.safe_differences(self.grid)
        self._up = Starts.none(*self._above.shape)
        self._down = np.zeros(self._below.shape)
        self._past = np.zeros(4)
        self._spread = nothing_carried()
        self._batches = Batches.empty(len(self.grid))

    def advance(self, strata: Strata) -> tuple[Floats, Floats]:
        """See ``Kernel``."""
        seen = np.column_stack([strata.bad[:, 0], strata.units[:, 0],
                                strata.bad[:, 1], strata.units[:, 1]])  # fmt: skip
        sums = np.cumsum(np.vstack([self._past, seen]), axis=0)
        past, self._past = sums[:-1], sums[-1]
        phi, self._spread = dispersion(
            *proportion.standardised(strata.bad, strata.units), self._spread
        )
        above, below = (
            proportion.log_factors(strata.bad, strata.units, past, other, self.grid)
            / phi[:, None, None]
            for other in (self._above, self._below)
        )
        # Harm may begin at any time; safety is what has held from the start.
        path = np.cumsum(np.concatenate([self._down[None], below]), axis=0)
        self._down = path[-1]
        exact = log_mean(self._up.advance(above), -1), log_mean(path[1:], -1)
        score, variance = proportion.scores(strata.bad, strata.units, past, self.grid)
        wide = np.broadcast_to(variance[:, None], score.shape)
        told = proportion.information(strata.bad, strata.units)
        batched = self._batches.advance(score, wide, told, strata.units)
        return _average(exact[0], batched[0]), _average(exact[1], batched[1])


class Count:
    """Rate ratio, canary over baseline, at the given shares: exact kernel and t mixture."""

    def __init__(self, margins: Sequence[float]) -> None:
        self.grid = _grid(_RATIOS, margins)
        self._up = np.zeros((len(self.grid), len(count.UP)))
        self._down = np.zeros((len(self.grid), len(count.DOWN)))
        self._spread = nothing_carried()
        self._batches = Batches.empty(len(self.grid))

    def advance(self, strata: Strata) -> tuple[Floats, Floats]:
        """See ``Kernel``."""
        phi, self._spread = dispersion(
            *count.standardised(strata.units, strata.share), self._spread
        )
        exact = []
        for name, factors in (("_up", count.UP), ("_down", count.DOWN)):
            logs = count.log_factors(strata.units, strata.share, factors, self.grid)
            logs /= phi[:, None, None]
            path = np.cumsum(np.concatenate([getattr(self, name)[None], logs]), axis=0)
            setattr(self, name, path[-1])
            exact.append(log_mean(path[1:], -1))
        score, variance = count.scores(strata.units, strata.share, self.grid)
        total = strata.units.sum(axis=1)
        information = total * strata.share * (1 - strata.share)
        exposed = np.column_stack([total * (1 - strata.share), total * strata.share])
        batched = self._batches.advance(score, variance, information, exposed)
        return _average(exact[0], batched[0]), _average(exact[1], batched[1])


class Ranks:
    """Shift of the distribution in logarithmic buckets, canary against baseline: t mixture and
    normal mixture on permutation scores, averaged: the one learns their variance, the other knows
    it and needs no batches. ``margins`` are whole numbers of buckets."""

    def __init__(self, margins: Sequence[float]) -> None:
        self.grid = _grid((*_SHIFTS, *(-s for s in _SHIFTS)), margins)
        self._shifts = self.grid.astype(np.int64)
        self._batches = Batches.empty(len(self.grid))
        self._score = np.zeros(len(self.grid))
        self._variance = np.zeros(len(self.grid))
        self._spread = nothing_carried()

    def advance(self, strata: Strata) -> tuple[Floats, Floats]:
        """See ``Kernel``."""
        score, variance = ranks.scores(
            strata.bin_of, strata.bin, strata.bin_counts, len(strata.units), self._shifts
        )
        # n_a n_b / n but for ties: where most values are equal few tell anything, and scores of
        # few are skewed (5 % timeouts, a tenth of the traffic: 11 % false alarms without this).
        information = variance[:, int(np.searchsorted(self.grid, 0.0))]
        learned = self._batches.advance(score, variance, information, strata.units)
        known = self._known(score, variance)
        return _average(learned[0], known[0]), _average(learned[1], known[1])

    def _known(self, score: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """The normal mixture's log e-values, (J, G); clusters widen the variance."""
        same = int(np.searchsorted(self.grid, 0.0))
        told = variance[:, same] > 0
        standard = score[:, same] / np.sqrt(np.where(told, variance[:, same], 1.0))
        phi, self._spread = dispersion(standard, told, self._spread)
        total = np.cumsum(np.vstack([self._score, score]), axis=0)
        wide = np.cumsum(np.vstack([self._variance, variance * phi[:, None]]), axis=0)
        self._score, self._variance = total[-1], wide[-1]
        return normal.log_e(total[1:], wide[1:]), normal.log_e(-total[1:], wide[1:])


def _grid(values: Sequence[float], margins: Sequence[float]) -> Floats:
    return np.unique(np.array([*values, *margins], np.float64))


def _average(a: Floats, b: Floats) -> Floats:
    """Log of the mean of two e-values, fixed in advance."""
    return np.asarray(np.logaddexp(a, b) - np.log(2.0))
