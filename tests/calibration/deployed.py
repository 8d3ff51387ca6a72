"""Deployments of twenty metrics: how often they are rolled back and promoted, ours and by rules
beside it, on the same scores.

One score a metric and window, Gaussian of standard deviation 1, which each rule but the two that
say so must learn; correlated across metrics. Rolled back where anything is worse, promoted where
each metric has been shown to be worse by less than a margin in standard deviations of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from scipy import stats

from analyzers.contrast.batched import Batches
from analyzers.contrast.mixing import log_mean
from analyzers.facts import Bools, Floats
from tests.calibration.paths import first
from tests.calibration.streams import SEED
from tests.reference import any_time

ALPHA: Final = 0.05
METRICS: Final = 20
LOOKS: Final = 200
SOON: Final = 100  # windows
_LEVEL: Final = -np.log(ALPHA)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is deployed: ``worst`` is what one metric of it is worse, ``margin`` what each may be,
    in standard deviations; ``correlation`` of any two metrics within a window."""

    worst: float = 0.0
    margin: float = 0.5
    correlation: float = 0.3

    def scores(self, runs: int, looks: int = LOOKS) -> Iterator[Floats]:
        """(runs, METRICS) of each window; more is worse."""
        chance = np.random.default_rng(SEED)
        own, common = np.sqrt(1.0 - self.correlation), np.sqrt(self.correlation)
        for _ in range(looks):
            shared = chance.standard_normal((runs, 1))
            score = common * shared + own * chance.standard_normal((runs, METRICS))
            score[:, 0] += self.worst
            yield score


@dataclass(frozen=True, slots=True)
class Deployments:
    """Windows (runs,) in which each deployment is rolled back, and promoted; infinite if never."""

    rollback: Floats
    promoted: Floats

    @property
    def first_promoted(self) -> Floats:
        """As ``promoted``, never where it was rolled back before."""
        return np.where(self.promoted < self.rollback, self.promoted, np.inf)


def ours(setting: Setting, runs: int, looks: int = LOOKS) -> dict[str, Deployments]:
    """By the average of all e-values of harm, or (uncorrected) by any; promoted by each e-value of
    safety."""
    batches, rows = Batches(2), np.arange(runs * METRICS)
    batches.add(len(rows))
    one, units = np.ones(len(rows)), np.ones((len(rows), 2))
    top, worst = np.full((2, runs, METRICS), -np.inf)
    mean, any_, safe = np.zeros((3, looks, runs))
    for look, score in enumerate(setting.scores(runs, looks)):
        both = np.column_stack([score.ravel(), setting.margin - score.ravel()])
        log_e = batches.advance(rows, both, np.ones_like(both), one, units)
        harm = log_e[:, 0].reshape(runs, METRICS)
        top = np.maximum(top, log_e[:, 1].reshape(runs, METRICS))
        worst = np.maximum(worst, harm)
        mean[look], any_[look] = log_mean(harm, 1), worst.max(axis=1)
        safe[look] = top.min(axis=1)
    promoted = first(safe >= _LEVEL)
    return {
        "**ours**": Deployments(first(mean >= _LEVEL), promoted),
        "ours, metrics uncorrected": Deployments(first(any_ >= _LEVEL), promoted),
    }


Rule: TypeAlias = Callable[[Floats, int, float], tuple[Bools, Bools]]
"""Sums of scores (..., 2) up to now and of their squares around zero in the last axis, the number
of windows, the margin -> whether harm, and whether safety, is shown (runs, METRICS) each."""


def _t_test(alpha: float) -> Rule:
    def told(sums: Floats, n: int, margin: float) -> tuple[Bools, Bools]:
        mean = sums[..., 0] / n
        error = np.sqrt(np.maximum(sums[..., 1] - n * mean**2, 1e-12) / (max(n - 1, 1) * n))
        limit = stats.t.isf(np.array([alpha, ALPHA]), max(n - 1, 1)) if n > 1 else [np.inf, np.inf]
        return mean / error >= limit[0], (margin - mean) / error >= limit[1]

    return told


def _sequence(sums: Floats, n: int, margin: float) -> tuple[Bools, Bools]:
    """The asymptotic confidence sequence (two-sided), corrected for the metrics, from window 10."""
    mean = sums[..., 0] / n
    error2 = np.maximum(sums[..., 1] / n - mean**2, 1e-12) / n
    shown = []
    for gap, level in ((mean, ALPHA / METRICS), (margin - mean, ALPHA)):
        rho2 = any_time.asymptotic_rho2(level, float(SOON))
        log_e = any_time.asymptotic_log_e(n * gap**2 / error2, np.full(1, float(n)), rho2)
        shown.append((gap > 0) & (log_e >= -np.log(level)) & (n >= 10))
    return shown[0], shown[1]


def _known(bet: float | None) -> Rule:
    """Likelihood ratios that know the standard deviation: against a deviation of the margin, or of
    another size; never rolled back."""

    def told(sums: Floats, n: int, margin: float) -> tuple[Bools, Bools]:
        size = margin if bet is None else bet
        log_e = size * (n * margin - sums[..., 0]) - n * size**2 / 2.0
        return np.zeros(log_e.shape, np.bool_), log_e >= _LEVEL

    return told


RULES: Final[dict[str, Rule]] = {
    "t tests repeated, any": _t_test(ALPHA),
    "t tests repeated, Bonferroni": _t_test(ALPHA / METRICS),
    "asymptotic sequence, Bonferroni": _sequence,
    "likelihood ratio that knows sd and truth": _known(None),
    "bet that is best for 100 windows, knows sd": _known(np.sqrt(2.0 * _LEVEL / SOON)),
}


def peers(setting: Setting, runs: int, looks: int = LOOKS) -> dict[str, Deployments]:
    """The rules beside ours, by name."""
    sums = np.zeros((runs, METRICS, 2))
    safe = {name: np.zeros((runs, METRICS), np.bool_) for name in RULES}
    found = {name: np.zeros((2, looks, runs), np.bool_) for name in RULES}
    for look, score in enumerate(setting.scores(runs, looks)):
        sums += np.stack([score, score**2], axis=-1)
        for name, rule in RULES.items():
            harm, shown = rule(sums, look + 1, setting.margin)
            safe[name] |= shown
            found[name][:, look] = harm.any(axis=1), safe[name].all(axis=1)
    return {name: Deployments(first(told[0]), first(told[1])) for name, told in found.items()}


SETTINGS: Final = {
    "correlation .3": Setting(),
    "independent": Setting(correlation=0.0),
}


def table(runs: int) -> Iterator[str]:
    """A table for each setting, as Markdown; neutral: nothing is worse."""
    heads = (
        f"neutral: rolled back | promoted in {SOON} | in {LOOKS} / median window "
        "| one at its margin: promoted | one 1 sd worse: rolled back / median"
    )
    for title, neutral in SETTINGS.items():
        at_margin = Setting(worst=neutral.margin, correlation=neutral.correlation)
        worse = Setting(worst=1.0, correlation=neutral.correlation)
        lines = [
            f"| 20 metrics, {title} | {heads} |",
            "|---" * 6 + "|",
        ]
        told = [{**ours(one, runs), **peers(one, runs)} for one in (neutral, at_margin, worse)]
        lines += [_row(name, *(one[name] for one in told)) for name in told[0]]
        yield "\n".join(lines)


def _row(name: str, neutral: Deployments, at_margin: Deployments, worse: Deployments) -> str:
    promoted = neutral.first_promoted
    cells = [
        f"{np.isfinite(neutral.rollback).mean():.3f}",
        f"{(promoted <= SOON).mean():.3f}",
        _found(promoted),
        f"{np.isfinite(at_margin.promoted).mean():.3f}",
        _found(worse.rollback),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _found(windows: Floats) -> str:
    """The share that ever is, and the median window where half are."""
    share, middle = np.isfinite(windows).mean(), np.median(windows)
    return f"{share:.3f}" + (f" / {middle:.0f}" if np.isfinite(middle) else "")
