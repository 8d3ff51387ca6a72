"""When the peers alarm on the streams of ``streams.py``: the window of the first alarm, (runs,).

Their formulas are in ``tests/reference``, held there against the libraries' own values. Counts and
histograms are (looks, runs, 2) and are summed up as they come; series are gauges, window by window.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy import stats

from analyzers.facts import Bools, Floats, Ints
from tests.calibration.paths import NEVER, first
from tests.calibration.streams import Timed, binned
from tests.reference import any_time, fixed_horizon

# Kayenta takes at least so many points a series here, and looks anew every five windows: 39 looks
# in 200 windows, which is kinder to it than 200.
POINTS: Final = range(10, 201, 5)
_BINS: Final = 1_024  # buckets of durations in microseconds, up to four days


def _two_sided(z: Floats, alpha: float) -> Floats:
    return first(np.abs(z) >= stats.norm.isf(alpha / 2))


# --- counts --------------------------------------------------------------------------------------


def count_z(counts: Floats, share: float, alpha: float) -> Floats:
    """The binomial z test, looked at in every window."""
    first_arm, second = np.cumsum(counts, axis=0).transpose(2, 0, 1)
    return _two_sided(fixed_horizon.share_z(first_arm, second, share), alpha)


def savvi(counts: Floats, share: float, alpha: float, k: float = 100.0) -> Floats:
    """Netflix' two-sided test of counts and splits, as in savvi."""
    split = np.array([1.0 - share, share])
    log_e = any_time.dirichlet_multinomial(np.cumsum(counts, axis=0), split, k)
    return first(log_e >= -math.log(alpha))


def one_sided_beta(counts: Floats, share: float, alpha: float) -> Floats:
    """The Poisson-only one-sided test: Beta priors of weight 4, 32 and 256, equally mixed."""
    base, canary = np.cumsum(counts, axis=0).transpose(2, 0, 1)
    parts = [any_time.one_sided_beta(base, canary, share, k) for k in (4.0, 32.0, 256.0)]
    return first(np.logaddexp.reduce(parts, axis=0) - math.log(3.0) >= -math.log(alpha))


def count_oracle(rate: float, share: float, ratio: float, alpha: float) -> float:
    """Windows that the one-look z test needs to find a known ratio four times in five."""
    theta = share * ratio / (share * ratio + 1.0 - share)
    events = rate * (1.0 - share + share * ratio)
    return windows_needed(
        (theta - share) / math.sqrt(share * (1.0 - share)) * math.sqrt(events), alpha
    )


def windows_needed(effect: float, alpha: float) -> float:
    """As above, for scores with a mean of ``effect`` standard deviations a window."""
    return float(((stats.norm.isf(alpha) + stats.norm.isf(0.2)) / effect) ** 2)


# --- proportions ---------------------------------------------------------------------------------


def proportion_z(units: Floats, bad: Floats, alpha: float) -> Floats:
    """The pooled z test of two proportions, looked at in every window."""
    told, failed = np.cumsum(units, axis=0), np.cumsum(bad, axis=0)
    n = np.maximum(told, 1.0)
    z = fixed_horizon.proportion_z((failed[..., 0], failed[..., 1]), (n[..., 0], n[..., 1]))
    return _two_sided(z, alpha)


def haenszel(units: Floats, bad: Floats, alpha: float) -> Floats:
    """The one-sided normal mixture on the scores of Mantel and Haenszel with their exact variance,
    sharpest after 20 failures."""
    n = np.maximum(units.sum(-1), 1.0)
    y, (na, nb) = bad.sum(-1), units.transpose(2, 0, 1)
    s = np.cumsum(bad[..., 1] - nb * y / n, axis=0)
    v = np.cumsum(na * nb * y * (n - y) / (n * n * np.maximum(n - 1.0, 1.0)), axis=0)
    rho = any_time.best_rho(20.0, alpha, one_sided=True)
    wide = v + rho
    log_e = 0.5 * np.log(4.0 * rho / wide) + s**2 / (2.0 * wide)
    return first(log_e + stats.norm.logcdf(s / np.sqrt(wide)) >= -math.log(alpha))


def proportion_oracle(rate: float, share: float, base: float, points: float, alpha: float) -> float:
    """As ``count_oracle``, for a known difference in points."""
    p = base + share * points
    return windows_needed(points * math.sqrt(rate * share * (1.0 - share) / (p * (1.0 - p))), alpha)


# --- durations -----------------------------------------------------------------------------------


def of_durations(stream: Timed, runs: int, looks: int, alpha: float) -> dict[str, Floats]:
    """First alarms on all values so far, by name: Mann-Whitney and Welch on raw values, looked at
    in every window; the bands around both distribution functions that stay valid."""
    sums = np.zeros((3, runs, 2))
    seen = np.zeros((runs, _BINS, 2))
    names = ("Mann-Whitney repeated", "Welch repeated", "cdf bands (Howard, Ramdas)")
    alarms: dict[str, list[Bools]] = {name: [] for name in names}
    for of, arm, value in stream.windows(runs, looks):
        at, number, counts = binned(of, arm, value)
        seen[at, number] += counts
        n, mean, wide = _moments(sums, of, arm, value)
        z = _rank_z(seen)
        alarms[names[0]].append(np.abs(z) >= stats.norm.isf(alpha / 2))
        alarms[names[1]].append(_welch(n, mean, wide) <= alpha)
        part = np.cumsum(seen, axis=1) / n[:, None]
        gap = np.abs(part[..., 1] - part[..., 0]).max(axis=1)
        t = np.maximum(n, 3.0)
        told = np.log1p(np.log(t)) + 0.8 * math.log(1612.0 / (alpha / 2.0))
        alarms[names[2]].append(gap > (0.85 * np.sqrt(told / t)).sum(axis=1))
    return {name: first(np.array(told)) for name, told in alarms.items()}


def of_sums(stream: Timed, runs: int, looks: int, alpha: float) -> dict[str, Floats]:
    """First alarms on the means of all values so far, by name: Welch's test, looked at in every
    window; GrowthBook's asymptotic confidence sequence."""
    sums = np.zeros((3, runs, 2))
    rho2 = any_time.asymptotic_rho2(alpha, 5_000.0)
    alarms: dict[str, list[Bools]] = {"Welch repeated": [], "asymptotic sequence (GrowthBook)": []}
    repeated, sequence = alarms.values()
    for of, arm, value in stream.windows(runs, looks):
        n, mean, wide = _moments(sums, of, arm, value)
        repeated.append(_welch(n, mean, wide) <= alpha)
        both, gap = n.sum(-1), mean[:, 1] - mean[:, 0]
        score2 = both * gap**2 / np.maximum((wide / n).sum(-1), 1e-12)
        sequence.append(any_time.asymptotic_log_e(score2, both, rho2) >= -math.log(alpha))
    return {name: first(np.array(told)) for name, told in alarms.items()}


def _moments(sums: Floats, of: Ints, arm: Ints, value: Floats) -> tuple[Floats, Floats, Floats]:
    """Number, mean and variance by run and arm, (runs, 2) each, of a window's values and those
    that ``sums`` (3, runs, 2) of powers hold, which it adds them to."""
    for power in range(3):
        told = np.bincount(of * 2 + arm, (value / 1e6) ** power, sums[0].size)
        sums[power] += told.reshape(-1, 2)
    n = np.maximum(sums[0], 2.0)
    mean = sums[1] / n
    return n, mean, np.maximum(sums[2] - n * mean**2, 1e-12) / (n - 1.0)


def _welch(n: Floats, mean: Floats, wide: Floats) -> Floats:
    """Welch's p-values of both arms, (runs,)."""
    told = ((both[:, 0], both[:, 1]) for both in (n, mean, wide))
    return np.asarray(fixed_horizon.welch(*told)[2])


def _rank_z(seen: Floats) -> Floats:
    """Tie-corrected z of Mann and Whitney from histograms (runs, bins, 2)."""
    both = seen.sum(-1)
    n = np.maximum(both.sum(-1), 2.0)
    na, nb = seen.sum(1).T
    rank = np.cumsum(both, axis=1) - both / 2.0
    score = (rank * seen[..., 1]).sum(1) - nb * n / 2.0
    wide = (rank**2 * both).sum(1) / n - n**2 / 4.0
    return np.asarray(score / np.sqrt(np.maximum(na * nb / (n - 1.0) * wide, 1e-12)))


# --- series of windows ---------------------------------------------------------------------------


def _asked(values: Floats, alarm: dict[str, float]) -> dict[str, Floats]:
    """First alarms of rules on all windows so far, asked at ``POINTS``; gauges (looks, runs, 2)."""
    runs = values.shape[1]
    found = {name: np.full(runs, NEVER) for name in alarm}
    for look in (look for look in POINTS if look <= len(values)):
        seen = values[:look].transpose(2, 1, 0)
        p = 2.0 * stats.norm.sf(np.abs(fixed_horizon.rank_z(seen[1], seen[0])))
        for name, level in alarm.items():
            found[name] = np.where((p <= level) & np.isinf(found[name]), look, found[name])
    return found


def ranks_repeated(values: Floats) -> dict[str, Floats]:
    """Mann-Whitney's test on the series, at two levels."""
    return _asked(values, {"Mann-Whitney repeated, 5 %": 0.05, "Mann-Whitney repeated, 2 %": 0.02})


def welch_repeated(values: Floats, alpha: float) -> Floats:
    """Welch's test on the series, asked at ``POINTS``."""
    at = np.array([look for look in POINTS if look <= len(values)])
    n = at[:, None].astype(np.float64)
    centred = values - 100.0
    mean = np.cumsum(centred, axis=0)[at - 1] / n[..., None]
    wide = (np.cumsum(centred**2, axis=0)[at - 1] - n[..., None] * mean**2) / (n[..., None] - 1.0)
    p = fixed_horizon.welch((n, n), (mean[..., 1], mean[..., 0]), (wide[..., 1], wide[..., 0]))[2]
    return _at(at, np.asarray(p <= alpha))


def _at(at: Floats, alarms: Bools) -> Floats:
    return np.where(alarms.any(axis=0), at[alarms.argmax(axis=0)], NEVER)


def growthbook(values: Floats, alpha: float) -> Floats:
    """The unpaired asymptotic confidence sequence, asked from window 10 on."""
    n = np.arange(1.0, len(values) + 1.0)[:, None, None]
    centred = values - 100.0
    mean = np.cumsum(centred, axis=0) / n
    wide = np.maximum(np.cumsum(centred**2, axis=0) - n * mean**2, 1e-12) / np.maximum(n - 1.0, 1)
    both = 2.0 * n[..., 0]
    score2 = (both * (mean[..., 1] - mean[..., 0])) ** 2 / (both * (wide.sum(-1) / n[..., 0]))
    log_e = any_time.asymptotic_log_e(score2, both, any_time.asymptotic_rho2(alpha, 100.0))
    log_e[:9] = -np.inf
    return first(log_e >= -math.log(alpha))


def kayenta(values: Floats) -> Floats:
    """Kayenta's rule with its own defaults (98 %, a quarter), either direction, at ``POINTS``."""
    found = np.full(values.shape[1], NEVER)
    for look in (look for look in POINTS if look <= len(values)):
        waiting = np.flatnonzero(np.isinf(found))
        for begin in range(0, len(waiting), 50):  # a run of 200 windows has 40,000 differences
            rows = waiting[begin : begin + 50]
            seen = values[:look, rows].transpose(2, 1, 0)
            told = fixed_horizon.kayenta(seen[1], seen[0])
            found[rows[told.is_high | told.is_low]] = look
    return found
