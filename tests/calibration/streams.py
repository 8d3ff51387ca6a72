"""Streams of windows with fixed seeds, many replications side by side, for calibrating one test.

Arrays are (looks, runs, 2): of each window, replication and arm. The second arm is the one that may
be worse; harm is that it has more. ``share`` is its part of the traffic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter

from analyzers.facts import Floats, Ints
from analyzers.folding.histogram import buckets

SEED: Final = 20_260


def split(total: float, share: float) -> Floats:
    """What both arms have of so much traffic, (2,)."""
    return np.array([total * (1.0 - share), total * share])


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of events: ``rate`` a window of both arms together, by day twice as many as by night;
    ``fano`` is the variance over the mean (events that come in batches), ``ratio`` the second
    arm's rate over the first's."""

    rate: float = 40.0
    share: float = 0.5
    fano: float = 1.0
    ratio: float = 1.0

    def drawn(self, runs: int, looks: int, seed: int = SEED) -> Floats:
        """(looks, runs, 2)."""
        chance = np.random.default_rng(seed)
        day = 1.0 + np.sin(2.0 * np.pi * np.arange(looks) / 144.0) / 3.0
        mean = day[:, None, None] * split(self.rate, self.share) * np.array([1.0, self.ratio])
        mean = np.broadcast_to(mean, (looks, runs, 2))
        if self.fano > 1.0:  # Poisson with a gamma rate of variance (fano - 1) mean
            mean = chance.gamma(mean / (self.fano - 1.0), self.fano - 1.0)
        return np.asarray(chance.poisson(mean), np.float64)


@dataclass(frozen=True, slots=True)
class Failing:
    """Units and failures: ``base`` of the first arm's fail, ``points`` more of the second's;
    ``drift`` is the factor by which the base has grown at the end; ``icc`` above 0 makes the units
    of one window and arm alike (lines of one invoice)."""

    rate: float = 40.0
    share: float = 0.5
    base: float = 0.05
    points: float = 0.0
    drift: float = 1.0
    icc: float = 0.0

    def drawn(self, runs: int, looks: int, seed: int = SEED) -> tuple[Floats, Floats]:
        """Units and failures, (looks, runs, 2) each."""
        chance = np.random.default_rng(seed)
        shape = (looks, runs, 2)
        units = chance.poisson(split(self.rate, self.share), shape)
        base = self.base * self.drift ** (np.arange(looks) / max(looks - 1, 1))
        p = np.broadcast_to(base[:, None, None] + np.array([0.0, self.points]), shape)
        if self.icc > 0.0:
            alike = 1.0 / self.icc - 1.0
            p = chance.beta(p * alike, (1.0 - p) * alike)
        return units.astype(np.float64), chance.binomial(units, p).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Timed:
    """Durations, lognormal with median 200 ms and ``sigma``, ``rate`` a window of both arms:
    ``factor`` times as long in the second arm, of which a part ``slow`` take four times as long.
    ``drift`` is the factor by which all have grown at the end, ``weather`` the standard deviation
    of what a window does to the logarithm of both arms."""

    rate: float = 100.0
    share: float = 0.5
    factor: float = 1.0
    slow: float = 0.0
    drift: float = 1.0
    weather: float = 0.0
    sigma: float = 0.6

    def windows(
        self, runs: int, looks: int, seed: int = SEED
    ) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Each window: replication (v,), arm (v,) and microseconds (v,) of every value."""
        chance = np.random.default_rng(seed)
        for look in range(looks):
            units = chance.poisson(split(self.rate, self.share), (runs, 2))
            of = np.repeat(np.repeat(np.arange(runs), 2), units.ravel())
            arm = np.repeat(np.tile([0, 1], runs), units.ravel())
            log = chance.normal(np.log(200e3), self.sigma, len(of))
            log += np.log(self.drift) * look / max(looks - 1, 1)
            if self.weather > 0.0:
                log += chance.normal(0.0, self.weather, runs)[of]
            log += np.where(arm == 1, np.log(self.factor), 0.0)
            if self.slow > 0.0:
                log += np.where((arm == 1) & (chance.random(len(of)) < self.slow), np.log(4.0), 0.0)
            yield of, arm, np.rint(np.exp(log))


def binned(of: Ints, arm: Ints, value: Floats) -> tuple[Ints, Ints, Floats]:
    """Values as histograms: replication, bucket and counts (m, 2) of every occupied bucket."""
    key = of * 4096 + buckets(value.astype(np.int64))
    keys, place = np.unique(key, return_inverse=True)
    counts = np.bincount(place * 2 + arm, minlength=2 * len(keys)).reshape(-1, 2)
    return keys // 4096, keys % 4096, counts.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Level:
    """Gauges: one value a window and arm, around 100 with standard deviation 10.

    ``phi`` is the autocorrelation of each arm (AR(1)), ``theta`` the moving average on top
    (ARMA(1, 1)); ``common`` the standard deviation of what moves both arms, with the same memory;
    ``effect`` what the second arm has more, in standard deviations.
    """

    phi: float = 0.0
    theta: float = 0.0
    common: float = 0.0
    effect: float = 0.0

    def drawn(self, runs: int, looks: int, seed: int = SEED) -> Floats:
        """(looks, runs, 2)."""
        chance = np.random.default_rng(seed)
        value = 10.0 * self._series(chance, (looks, runs, 2))
        if self.common > 0.0:
            value += self.common * self._series(chance, (looks, runs, 1))
        value[..., 1] += 10.0 * self.effect
        return 100.0 + value

    def _series(self, chance: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Series along the first axis, of variance 1, long begun."""
        before = 200 if self.phi else 0
        noise = chance.standard_normal((before + shape[0], *shape[1:]))
        wide = (1.0 + 2.0 * self.phi * self.theta + self.theta**2) / (1.0 - self.phi**2)
        told = lfilter([1.0, self.theta], [1.0, -self.phi], noise, axis=0)
        return np.asarray(told[before:] / np.sqrt(wide))


def merged(windows: Floats, size: int) -> Floats:
    """Sums of so many consecutive windows each: (looks // size, runs, 2)."""
    looks = len(windows) // size
    return np.asarray(windows[: looks * size].reshape(looks, size, *windows.shape[1:]).sum(axis=1))


def windows_a_stratum(rate: float, share: float, units: float = 20.0) -> int:
    """How many windows make a stratum: enough units, and one of each arm to be expected."""
    return max(1, int(np.ceil(max(units / rate, 1.0 / (rate * min(share, 1.0 - share))))))
