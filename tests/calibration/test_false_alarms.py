"""How often an untouched release is called harmful, and one at its margin safe: never more often
than promised. Every failure prints the seeds that led to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from analyzers.comparing.attribution import Block
from analyzers.comparing.comparisons import Comparisons
from analyzers.contrast.quiet import Quiet
from analyzers.facts import Floats
from analyzers.folding.histogram import buckets
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
from tests.reference.rounds import of_counts

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


SLICES = 400


def timed(chance: np.random.Generator, row: int, values: str, share: float, factor: float) -> Block:
    """Slices of about four durations each; the canary's are ``factor`` times as long."""
    units = chance.poisson([4.0 * (1 - share), 4.0 * share], (SLICES, 2))
    place = np.concatenate([np.repeat(np.arange(SLICES), units[:, arm]) for arm in (0, 1)])
    arm = np.repeat([0, 1], units.sum(axis=0))
    n, odd = len(place), chance.random(len(place)) < 0.05
    told: Floats = {
        "lognormal": chance.lognormal(0.0, 0.7, n),
        "timeouts": np.where(odd, 100.0, 1.0),
        "cached": np.where(odd, 0.01, 1.0),
        "weather": chance.lognormal(0.0, 0.5, n) * np.exp(chance.normal(0, 0.4, SLICES))[place],
    }[values]
    told = told * np.where(arm == 1, factor, 1.0)
    number = buckets(np.rint(told * 1e6).astype(np.int64))
    # Rows and their buckets are in order, and unique.
    half = 1 << 13
    key, at = np.unique(place * 2 * half + number + half, return_inverse=True)
    counts = np.zeros((len(key), 2))
    np.add.at(counts, (at, arm), 1.0)
    none = np.zeros((SLICES, 2))
    of = np.full(SLICES, row)
    return Block(
        of, np.arange(SLICES), units.astype(np.float64), none, none, none, np.zeros(SLICES),
        key // (2 * half), key % (2 * half) - half, counts,
    )  # fmt: skip


def beside(parts: Sequence[Block]) -> Block:
    """Slices of many comparisons, one after the other."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in Block.__slots__
    }
    columns["bin_of"] = np.concatenate([p.bin_of + i * SLICES for i, p in enumerate(parts)])
    return Block(**columns)


@pytest.mark.parametrize("values", ["lognormal", "timeouts", "cached", "weather"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_durations_at_the_margin_keep_the_rate_whatever_their_distribution(
    values: str, share: float
) -> None:
    runs = 300
    for factor, harm in ((2 ** (5 / 32), True), (2 ** (4 / 32), False)):  # where 10 % rounds to
        table = Comparisons()
        table.add([duration()] * runs)
        table.advance(
            beside([
                timed(np.random.default_rng(seed), seed, values, share, factor)
                for seed in range(runs)
            ])
        )  # fmt: skip
        assert (table.strata > 20).all()
        tops = table.log_harm_max if harm else table.log_safe_top
        hits = (tops >= -np.log(ALPHA)).tolist()
        assert_at_most(rate(hits), ALPHA, [harm, *np.flatnonzero(hits).tolist()])


# --- silence -------------------------------------------------------------------------------------


def test_customers_who_order_at_other_hours_are_not_called_silent() -> None:
    """A canary of a tenth of the customers, most of whom order in one half of the day."""
    runs, slices = 150, 8_640
    hour = np.arange(slices) / 360
    often = np.where((hour % 24) < 12, 0.18, 0.04)[:, None]
    there = np.random.default_rng(1).random((slices, runs)) < often
    quiet, rows, tops = Quiet(), np.arange(runs), np.zeros(runs)
    quiet.add(runs)
    for seen in there:
        counts = np.column_stack([np.ones(runs), seen])
        quiet.advance(rows, of_counts(counts, np.full(runs, 0.1)))
        tops = np.maximum(tops, quiet.log_harm)
    hits = (tops >= -np.log(ALPHA)).tolist()
    assert_at_most(rate(hits), ALPHA, np.flatnonzero(hits).tolist())
