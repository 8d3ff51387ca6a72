"""How often an untouched release is called harmful, and one at its margin safe: never more often
than promised. Every failure prints the seeds that led to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from analyzers.arms import Rows
from analyzers.comparison import Comparison
from analyzers.contrast.silence import Quiet, watch
from analyzers.facts import Floats
from analyzers.histogram import buckets
from tests.calibration.simulated import (
    ALPHA,
    SETTINGS,
    Outcome,
    Rate,
    crossed,
    rate,
    simulated,
)
from tests.facts_of import duration

pytestmark = pytest.mark.slow

UNTOUCHED = [title for title in SETTINGS if title.startswith("untouched")]
AT_MARGIN = [title for title in SETTINGS if title.startswith("at the margin")]
RUNS = {**dict.fromkeys(UNTOUCHED, 50), **dict.fromkeys(AT_MARGIN, 25)}
GATING = ("success", "answered", "duration")


@cache
def outcomes(title: str) -> tuple[Outcome, ...]:
    first = 1_000 * list(SETTINGS).index(title)
    return tuple(simulated(SETTINGS[title], first + run) for run in range(RUNS[title]))


def all_of(titles: list[str]) -> list[Outcome]:
    return [outcome for title in titles for outcome in outcomes(title)]


def assert_at_most(measured: Rate, promised: float, seeds: Sequence[object]) -> None:
    assert measured.share <= measured.allowed(promised), (
        f"{measured.times} of {measured.runs}, promised {promised}; seeds {seeds}"
    )


@pytest.mark.parametrize("title", UNTOUCHED)
def test_an_untouched_release_is_degraded_no_more_often_than_promised(title: str) -> None:
    found = outcomes(title)
    seeds = [outcome.seed for outcome in found if outcome.degraded]
    assert_at_most(rate(outcome.degraded for outcome in found), ALPHA, seeds)


def test_over_all_settings_untouched_releases_keep_the_promised_rate() -> None:
    found = all_of(UNTOUCHED)
    assert len(found) >= 400
    seeds = [outcome.seed for outcome in found if outcome.degraded]
    assert_at_most(rate(outcome.degraded for outcome in found), ALPHA, seeds)


def test_every_comparison_alone_keeps_the_promised_rate() -> None:
    """Sharper than the rate of releases, in which each has a part of the budget only."""
    found = all_of(UNTOUCHED)
    names = {name for outcome in found for name in outcome.harm}
    assert names >= {"success", "success DE", "duration", "answered", "throughput", "silence"}
    for name in sorted(names):
        told = [outcome for outcome in found if name in outcome.harm]
        seeds = [outcome.seed for outcome in told if outcome.harm[name] >= -np.log(ALPHA)]
        assert_at_most(crossed(told, name), ALPHA, [name, *seeds])


def test_a_canary_exactly_at_its_margin_is_neither_rolled_back_nor_promoted_too_often() -> None:
    found = all_of(AT_MARGIN)
    for hits in ([o.degraded for o in found], [o.healthy for o in found]):
        seeds = [outcome.seed for outcome, hit in zip(found, hits, strict=True) if hit]
        assert_at_most(rate(hits), ALPHA, seeds)


@pytest.mark.parametrize("metric", GATING)
def test_at_the_margin_each_metric_alone_says_neither_harm_nor_safe_too_often(metric: str) -> None:
    found = all_of(AT_MARGIN)
    for safe in (False, True):
        assert_at_most(crossed(found, metric, safe=safe), ALPHA, [])


# --- distributions that break tests of durations -----------------------------------------------


def timed(chance: np.random.Generator, values: str, share: float, factor: float) -> Rows:
    """Rows of 400 slices of about four durations; the canary's are ``factor`` times as long."""
    units = chance.poisson([4.0 * (1 - share), 4.0 * share], (400, 2))
    place = np.concatenate([np.repeat(np.arange(400), units[:, arm]) for arm in (0, 1)])
    arm = np.repeat([0, 1], units.sum(axis=0))
    n, odd = len(place), chance.random(len(place)) < 0.05
    told: Floats = {
        "lognormal": chance.lognormal(0.0, 0.7, n),
        "timeouts": np.where(odd, 100.0, 1.0),
        "cached": np.where(odd, 0.01, 1.0),
        "weather": chance.lognormal(0.0, 0.5, n) * np.exp(chance.normal(0, 0.4, 400))[place],
    }[values]
    number = buckets(np.rint(told * np.where(arm == 1, factor, 1.0) * 1e6).astype(np.int64))
    counts = np.zeros((n, 2))
    counts[np.arange(n), arm] = 1.0
    order = np.argsort(place, kind="stable")
    none = np.zeros((400, 2))
    return Rows(
        np.arange(400), units.astype(np.float64), none, none, place[order], number[order],
        counts[order],
    )  # fmt: skip


@pytest.mark.parametrize("values", ["lognormal", "timeouts", "cached", "weather"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_durations_at_the_margin_keep_the_rate_whatever_their_distribution(
    values: str, share: float
) -> None:
    runs = 90
    harm: list[bool] = []
    safe: list[bool] = []
    for seed in range(runs):
        chance = np.random.default_rng(seed)
        for factor, found in ((2 ** (5 / 32), harm), (2 ** (4 / 32), safe)):  # where 10 % rounds to
            comparison = Comparison(duration(), promotion_error_rate=ALPHA)
            comparison.advance(timed(chance, values, share, factor), np.zeros(400))
            path = comparison.path
            top = comparison.log_harm_max if found is harm else max(path.log_safe_top)
            found.append(bool(top >= -np.log(ALPHA)))
    assert_at_most(rate(harm), ALPHA, [seed for seed in range(runs) if harm[seed]])
    assert_at_most(rate(safe), ALPHA, [seed for seed in range(runs) if safe[seed]])


# --- silence -------------------------------------------------------------------------------------


def test_customers_who_order_at_other_hours_are_not_called_silent() -> None:
    """A canary of a tenth of the customers, most of whom order in one half of the day."""
    runs, tops = 150, []
    for seed in range(runs):
        chance = np.random.default_rng(seed)
        hour = np.arange(8_640) / 360
        there = chance.random(8_640) < np.where((hour % 24) < 12, 0.18, 0.04)
        tops.append(watch(Quiet(), there, np.full(8_640, 0.1))[1].max())
    seeds = [seed for seed, top in enumerate(tops) if top >= -np.log(ALPHA)]
    assert_at_most(rate(top >= -np.log(ALPHA) for top in tops), ALPHA, seeds)
