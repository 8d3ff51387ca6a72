"""Evidence along simulated streams, look by look: our families, and the peers beside them.

A path is (looks, runs). Ours are log e-values; peers that give a z are turned into log e-values'
place by ``crossing``: whether and when a rule first alarms is all that a table compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from analyzers.contrast.counts import Counts
from analyzers.contrast.durations import Durations
from analyzers.contrast.gauge import Gauges, coefficients
from analyzers.contrast.proportions import Proportions
from analyzers.contrast.strata import Strata
from analyzers.facts import Bools, Floats, Ints
from tests.calibration.streams import Level, Timed, binned

NEVER: Final = math.inf
_NO_INTS: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Paths:
    """Log e-values of harm and of safety, (looks, runs); ``every`` windows make one look."""

    harm: Floats
    safe: Floats
    every: int = 1

    def delays(self, alpha: float, *, safe: bool = False) -> Floats:
        """The window of the first crossing of 1 / alpha, (runs,)."""
        path = self.safe if safe else self.harm
        return first(path >= -math.log(alpha)) * self.every

    def rate(self, alpha: float, *, safe: bool = False) -> float:
        """How many runs ever cross 1 / alpha."""
        return float(np.isfinite(self.delays(alpha, safe=safe)).mean())


def first(alarms: Bools) -> Floats:
    """The number of the first look that alarms, counted from 1, of (looks, runs); (runs,)."""
    return np.where(alarms.any(axis=0), alarms.argmax(axis=0) + 1.0, NEVER)


def strata(
    units: Floats,
    bad: Floats | None = None,
    *,
    total: Floats | None = None,
    share: Floats | None = None,
    bins: tuple[Ints, Ints, Floats] | None = None,
) -> Strata:
    """One round with what a family reads; the rest is empty."""
    none = np.zeros_like(units)
    of, number, counts = bins or (_NO_INTS, _NO_INTS, np.empty((0, 2)))
    return Strata(
        units,
        none if bad is None else bad,
        none if total is None else total,
        np.zeros(len(units)) if share is None else share,
        of,
        number,
        counts,
    )


def _walked(
    family: Counts | Proportions | Durations, rounds: Iterator[Strata], looks: int
) -> Paths:
    n = len(family)
    rows, harm, safe = np.arange(n), np.zeros((looks, n)), np.zeros((looks, n))
    for look, told in enumerate(rounds):
        family.advance(rows, told)
        harm[look], safe[look] = family.log_harm, family.log_safe
    return Paths(harm, safe)


def of_counts(counts: Floats, share: float, edge: float = 1.0) -> Paths:
    """Ours on counts (looks, runs, 2), at a rate ratio of ``edge``."""
    family = Counts()
    looks, runs, _ = counts.shape
    family.add(np.full(runs, edge))
    rounds = (strata(now, share=np.full(runs, share)) for now in counts)
    return _walked(family, rounds, looks)


def of_proportions(units: Floats, bad: Floats, margin: float = 0.0) -> Paths:
    """Ours on failures (looks, runs, 2), at a margin in points."""
    family = Proportions()
    family.add(np.full(units.shape[1], margin))
    rounds = (strata(n, x) for n, x in zip(units, bad, strict=True))
    return _walked(family, rounds, len(units))


def of_durations(stream: Timed, runs: int, looks: int, shift: int = 0) -> Paths:
    """Ours on durations, at a margin of so many buckets."""
    family = Durations()
    family.add(np.full(runs, shift), np.full(runs, shift))

    def rounds() -> Iterator[Strata]:
        for of, arm, value in stream.windows(runs, looks):
            at, number, counts = binned(of, arm, value)
            units = np.bincount(of * 2 + arm, minlength=2 * runs).reshape(-1, 2).astype(float)
            yield strata(units, bins=(at, number, counts))

    return _walked(family, rounds(), looks)


def of_gauges(stream: Level, runs: int, looks: int, *, past: int = 1_200) -> Paths:
    """Ours on gauges, with the memory that so many windows of harmless past tell."""
    family = Gauges()
    before = Level(stream.phi, stream.theta, stream.common).drawn(runs, past, seed=1)
    fitted = [coefficients(before[:, run, 1] - before[:, run, 0]) for run in range(runs)]
    known = np.array([one is not None for one in fitted])
    memory = np.array([np.zeros(5) if one is None else one for one in fitted])
    family.add(np.zeros(runs), np.zeros(runs, np.bool_), memory, known)
    harm, safe = np.zeros((looks, runs)), np.zeros((looks, runs))
    units = np.ones((runs, 2))
    for look, value in enumerate(stream.drawn(runs, looks)):
        family.advance(np.arange(runs), strata(units, total=value), np.full(runs, look))
        harm[look], safe[look] = family.log_harm, family.log_safe
    return Paths(harm, safe)


# --- peers ---------------------------------------------------------------------------------------


def repeated(z: Floats, alpha: float) -> Bools:
    """Alarms of a two-sided z test that is looked at again and again."""
    return np.asarray(np.abs(z) >= stats.norm.isf(alpha / 2))


def grown(values: Floats, kernel: Callable[[Floats, Floats], Bools], looks: range) -> Floats:
    """First alarms of a rule that takes all windows so far of both arms, (runs, n) each, and is
    asked at some looks."""
    found = np.full(values.shape[1], NEVER)
    for look in looks:
        waiting = np.flatnonzero(np.isinf(found))
        if not len(waiting):
            break
        seen = values[:look, waiting]
        alarm = kernel(seen[..., 0].T, seen[..., 1].T)
        found[waiting[alarm]] = look
    return found
