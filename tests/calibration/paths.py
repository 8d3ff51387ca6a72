"""Evidence of our families along simulated streams, look by look.

A path is (looks, runs) log e-values. Of peers (``peers.py``) only the first alarm is of interest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.contrast.amounts import Amounts
from analyzers.contrast.assignment import Assignments
from analyzers.contrast.counts import Counts
from analyzers.contrast.durations import Durations
from analyzers.contrast.gauge import Gauges, coefficients
from analyzers.contrast.proportions import Proportions
from analyzers.contrast.ratio import Ratios
from analyzers.contrast.strata import Family, Strata
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


def assert_kept(paths: Paths, title: str) -> None:
    """At most the rate and two Monte Carlo standard errors, for harm and safety, at two levels."""
    runs = paths.harm.shape[1]
    for level in (0.05, 0.01):
        allowed = level + 2.0 * math.sqrt(level * (1.0 - level) / runs)
        for safe in (False, True):
            rate = paths.rate(level, safe=safe)
            what = "safe" if safe else "harm"
            assert rate <= allowed, f"{title}: {what} {rate:.3f} of {runs} runs at {level}"


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


def _walked(family: Family, rounds: Iterator[Strata], looks: int) -> Paths:
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


def of_assignments(counts: Floats, share: float, *, clustered: bool) -> Paths:
    """Ours on units that came to each arm (looks, runs, 2), against the declared share; it knows
    no safety."""
    family = Assignments()
    looks, runs, _ = counts.shape
    family.add(np.full(runs, clustered))
    rows, declared = np.arange(runs), np.full(runs, share)
    log_e = np.array([family.advance(rows, now, declared) for now in counts])
    return Paths(log_e, np.full((looks, runs), -math.inf))


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
    return _walked(family, _of_values(stream, runs, looks), looks)


def of_amounts(stream: Timed, runs: int, looks: int) -> Paths:
    """Ours on the same values as amounts, capped where the first stratum says."""
    family, zero = Amounts(), np.zeros(runs)
    family.add(np.full(runs, np.nan), zero, zero == 0.0, zero + 1.0)
    return _walked(family, _of_values(stream, runs, looks), looks)


def of_ratios(stream: Timed, runs: int, looks: int) -> Paths:
    """Ours on the sum of the same values over their number."""
    family, zero = Ratios(), np.zeros(runs)
    family.add(zero, zero == 0.0)
    return _walked(family, _of_values(stream, runs, looks), looks)


def _of_values(stream: Timed, runs: int, looks: int) -> Iterator[Strata]:
    for of, arm, value in stream.windows(runs, looks):
        place = of * 2 + arm
        units = np.bincount(place, minlength=2 * runs).reshape(-1, 2).astype(np.float64)
        total = np.bincount(place, value, 2 * runs).reshape(-1, 2)
        yield strata(units, total=np.asarray(total, np.float64), bins=binned(of, arm, value))


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
