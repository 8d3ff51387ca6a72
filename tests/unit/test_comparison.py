"""A comparison grows row by row; how the rows are cut changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest

from analyzers.arms import Rows
from analyzers.comparison import STRATUM_UNITS, Comparison, Path
from analyzers.facts import Floats, Ints
from analyzers.histogram import buckets
from analyzers.policy import Kind, Margin, Measure, Metric
from tests.facts_of import duration, metric_of, success, throughput

RATE = 0.05
Pairs = Floats | Ints | list[list[float]]
GAUGE = metric_of("depth", Kind.GAUGE, Measure.VALUE)
AMOUNT = metric_of("value", Kind.AMOUNT, Measure.VALUE, worse="lower")
EXPOSED = throughput(exposure="page.viewed")


def rows_of(
    units: Pairs,
    *,
    failures: Pairs | None = None,
    exposed: Pairs | None = None,
    values: list[tuple[int, int, float]] | None = None,
) -> Rows:
    """Rows of consecutive slices; ``values`` are (row, arm, value in seconds)."""
    pairs = np.asarray(units, np.float64)
    none = np.zeros_like(pairs)
    told = values or []
    bin_counts = np.zeros((len(told), 2))
    bin_counts[np.arange(len(told)), [arm for _, arm, _ in told]] = 1.0
    return Rows(
        shown=np.arange(len(pairs), dtype=np.int64),
        units=pairs,
        failures=none if failures is None else np.asarray(failures, np.float64),
        exposed=none if exposed is None else np.asarray(exposed, np.float64),
        bin_of=np.array([row for row, _, _ in told], np.int64),
        bin=buckets(np.array([round(value * 1e6) for _, _, value in told], np.int64)),
        bin_counts=bin_counts,
    )


def between(rows: Rows, start: int, stop: int) -> Rows:
    inside = (rows.bin_of >= start) & (rows.bin_of < stop)
    return Rows(
        rows.shown[start:stop], rows.units[start:stop], rows.failures[start:stop],
        rows.exposed[start:stop], rows.bin_of[inside] - start, rows.bin[inside],
        rows.bin_counts[inside],
    )  # fmt: skip


def advanced(metric: Metric, rows: Rows, share: Floats, cuts: Iterable[int] = ()) -> Comparison:
    """The comparison after all rows, handed over in the blocks between ``cuts``."""
    comparison = Comparison(metric, promotion_error_rate=RATE)
    for start, stop in pairwise([0, *sorted(cuts), len(rows)]):
        comparison.advance(between(rows, start, stop), share[start:stop])
    return comparison


def said(comparison: Comparison) -> dict[str, object]:
    """Everything that a verdict may read, NaN made comparable."""
    path = {
        field.name: [repr(value) for value in getattr(comparison.path, field.name)]
        for field in fields(Path)
    }
    rest = {
        "seen": comparison.seen.tolist(),
        "units": comparison.units.tolist(),
        "bad": comparison.bad.tolist(),
        "first": comparison.first_seen,
        "baseline_first": comparison.baseline_first,
        "level": comparison.baseline_level(),
        "log_harm": comparison.log_harm,
        "log_safe": comparison.log_safe,
        "log_harm_max": comparison.log_harm_max,
    }
    return {**path, **rest}


def drawn(seed: int, n: int, *, rate: float = 1.5, canary: float = 0.3) -> tuple[Rows, Floats]:
    """Random rows with failures, values and exposure, and a share that is declared late."""
    chance = np.random.default_rng(seed)
    units = chance.poisson([rate * (1 - canary), rate * canary], (n, 2))
    failures = chance.binomial(units, 0.1)
    values = [
        (row, arm, float(chance.lognormal(1.0, 0.8)))
        for row in range(n)
        for arm in (0, 1)
        for _ in range(units[row, arm])
    ]
    exposed = chance.poisson([5.0, 2.0], (n, 2))
    share = np.where(np.arange(n) < n // 5, 0.0, np.where(np.arange(n) < n // 2, 0.2, canary))
    return rows_of(units, failures=failures, exposed=exposed, values=values), share


@pytest.mark.parametrize(
    "metric",
    [
        success(),
        success(margin=Margin(0.05, relative=True)),
        duration(),
        duration(worse="lower"),
        duration(margin=Margin(0.3, relative=False)),
        throughput(),
        EXPOSED,
        GAUGE,
        AMOUNT,
    ],
    ids=["success", "relative", "duration", "faster", "absolute", "count", "exposed", "gauge",
         "amount"],
)  # fmt: skip
def test_row_by_row_in_blocks_and_all_at_once_give_the_same_floats(metric: Metric) -> None:
    rows, share = drawn(1, 800)
    whole = advanced(metric, rows, share)
    chance = np.random.default_rng(2)
    for cuts in (
        range(1, 800),
        [400, 400, 401],
        np.unique(chance.integers(0, 800, 12)).tolist(),
    ):
        assert said(advanced(metric, rows, share, cuts)) == said(whole)
    if metric not in (GAUGE, AMOUNT):
        assert len(whole.path.at) > 20


def test_more_strata_than_one_block_computes_give_the_same_floats() -> None:
    chance = np.random.default_rng(3)
    units = np.full((400, 2), 6.0)
    rows = rows_of(units, failures=chance.binomial(6, 0.1, (400, 2)))
    share = np.zeros(400)
    whole = advanced(success(), rows, share)
    assert len(whole.path.at) == 400
    assert said(advanced(success(), rows, share, range(1, 400))) == said(whole)


def test_a_stratum_closes_when_it_holds_enough_units_of_both_arms() -> None:
    for metric in (success(), duration()):
        rows, share = drawn(4, 800, rate=0.8, canary=0.1)
        comparison = advanced(metric, rows, share)
        for start, stop in pairwise([-1, *comparison.path.at]):
            inside = rows.units[start + 1 : stop + 1].sum(axis=0)
            assert inside.min() >= 1
            assert inside.sum() >= STRATUM_UNITS[metric.kind]
            earlier = rows.units[start + 1 : stop].sum(axis=0)
            assert earlier.min() < 1 or earlier.sum() < STRATUM_UNITS[metric.kind]


def test_one_arm_alone_closes_nothing() -> None:
    comparison = advanced(success(), rows_of([[50.0, 0.0]] * 40), np.zeros(40))
    assert comparison.path.at == []
    assert comparison.seen.tolist() == [2_000.0, 0.0]
    assert (comparison.log_harm, comparison.log_safe) == (0.0, 0.0)
    assert comparison.baseline_level() is None


def test_no_rows_change_nothing() -> None:
    comparison = advanced(success(), rows_of(np.empty((0, 2))), np.empty(0))
    assert comparison.first_seen is None
    assert comparison.path.at == []


@pytest.mark.parametrize("metric", [GAUGE, AMOUNT], ids=["gauge", "amount"])
def test_what_is_only_shown_is_never_judged(metric: Metric) -> None:
    rows, share = drawn(5, 300)
    comparison = advanced(metric, rows, share)
    assert comparison.indicative
    assert comparison.path.at == []
    assert comparison.seen.sum() == rows.units.sum()
    assert comparison.median(0) is not None


def test_a_count_is_indicative_unless_exposure_says_what_traffic_each_side_had() -> None:
    assert Comparison(throughput(), promotion_error_rate=RATE).indicative
    assert not Comparison(EXPOSED, promotion_error_rate=RATE).indicative


def test_a_count_without_share_and_exposure_is_not_compared() -> None:
    rows, _ = drawn(6, 300)
    assert advanced(throughput(), rows, np.zeros(300)).path.at == []


# --- margins -----------------------------------------------------------------------------------


def judged_at(metric: Metric, rows: Rows) -> tuple[float, float]:
    """The effects at which harm and safety are judged, on the kernel's grid."""
    comparison = advanced(metric, rows, np.full(len(rows), 0.5))
    assert comparison._kernel is not None
    grid = comparison._kernel.grid
    return float(grid[comparison._harm_at]), float(grid[comparison._safe_at])


SECONDS = rows_of([[10.0, 10.0]] * 3, values=[(i, arm, 2.0) for i in range(3) for arm in (0, 1)])
HALF_BAD = rows_of([[10.0, 10.0]] * 3, failures=[[5.0, 5.0]] * 3)


@pytest.mark.parametrize(
    ("metric", "harm", "safe"),
    [
        (duration(), 5, 4),  # 1.1 is 4.4 buckets
        (duration(worse="lower"), -5, -4),  # 0.9 is -4.9 buckets
        (duration(margin=Margin(1.0, relative=True)), 32, 32),
        (duration(margin=Margin(2.0, relative=False)), 32, 31),  # of a median of about 2 seconds
        (duration(worse="lower", margin=Margin(5.0, relative=True)), -319, -318),
    ],
    ids=["slower", "faster", "whole", "absolute", "all"],
)
def test_a_margin_between_buckets_is_rounded_against_alarm_and_against_promotion(
    metric: Metric, harm: int, safe: int
) -> None:
    found = judged_at(metric, SECONDS)
    assert found == pytest.approx((harm, safe), abs=1 if not metric.margin.relative else 0)
    assert abs(found[0]) >= abs(found[1])


@pytest.mark.parametrize(
    ("metric", "rows", "edge"),
    [
        (success(), HALF_BAD, 0.03),
        (success(margin=Margin(0.2, relative=True)), HALF_BAD, 0.1),
        (success(margin=Margin(5.0, relative=False)), HALF_BAD, 0.99),
        (throughput(), SECONDS, 0.9),
        (throughput(worse="higher"), SECONDS, 1.1),
        (throughput(margin=Margin(5.0, relative=True)), SECONDS, 0.001),
    ],
    ids=["points", "relative", "too large", "fewer", "more", "all"],
)
def test_margins_of_shares_and_counts_lie_on_the_grid_as_they_are(
    metric: Metric, rows: Rows, edge: float
) -> None:
    assert judged_at(metric, rows) == pytest.approx((edge, edge))


# --- effects and intervals -----------------------------------------------------------------------


def shares(seed: int, n: int, base: float, canary: float) -> Rows:
    chance = np.random.default_rng(seed)
    units = chance.poisson([6.0, 4.0], (n, 2))
    return rows_of(units, failures=chance.binomial(units, [base, canary]))


def test_the_effect_on_a_share_is_the_difference_of_bad_shares() -> None:
    rows = rows_of([[40.0, 20.0]] * 5, failures=[[4.0, 6.0]] * 5)
    path = advanced(success(), rows, np.zeros(5)).path
    assert path.effect[-1] == pytest.approx(0.2)
    assert all(low <= 0.2 <= high for low, high in zip(path.low[1:], path.high[1:], strict=True))


@pytest.mark.parametrize(("base", "canary"), [(0.05, 0.05), (0.02, 0.12), (0.3, 0.2)])
def test_intervals_of_a_difference_of_shares_cover_it_at_every_look(
    base: float, canary: float
) -> None:
    runs, missed_low, missed_high = 40, 0, 0
    for seed in range(runs):
        path = advanced(success(), shares(seed, 250, base, canary), np.zeros(250)).path
        missed_low += any(low > canary - base for low in path.low)
        missed_high += any(high < canary - base for high in path.high)
    allowed = runs * RATE + 2 * np.sqrt(runs * RATE * (1 - RATE))
    assert missed_low <= allowed, f"seeds 0 to {runs - 1}: {missed_low}"
    assert missed_high <= allowed, f"seeds 0 to {runs - 1}: {missed_high}"


@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_intervals_of_a_shift_of_durations_cover_it_and_shrink(ratio: float) -> None:
    runs, missed = 30, 0
    for seed in range(runs):
        chance = np.random.default_rng(seed)
        values = [
            (row, arm, float(chance.lognormal(0.0, 0.6) * (ratio if arm else 1.0)))
            for row in range(120)
            for arm in (0, 1)
            for _ in range(6)
        ]
        comparison = advanced(duration(), rows_of(np.full((120, 2), 6.0), values=values),
                              np.zeros(120))  # fmt: skip
        path = comparison.path
        missed += any(low > ratio - 1 for low in path.low)
        missed += any(high < ratio - 1 for high in path.high)
        assert path.high[-1] - path.low[-1] < 0.5
        assert path.effect[-1] == pytest.approx(ratio - 1, abs=0.25)
    assert missed <= 2 * runs * RATE + 2 * np.sqrt(2 * runs * RATE), f"seeds 0 to {runs - 1}"


def test_the_effect_on_a_count_is_the_rate_ratio_given_the_share() -> None:
    rows = rows_of([[90.0, 5.0]] * 40)
    path = advanced(throughput(), rows, np.full(40, 0.1)).path
    assert path.effect[-1] == pytest.approx(0.5 - 1.0)
    assert path.low[-1] < -0.5 < path.high[-1] < -0.3


def test_exposure_takes_the_place_of_the_share() -> None:
    rows = rows_of([[90.0, 5.0]] * 40, exposed=[[900.0, 50.0]] * 40)
    path = advanced(EXPOSED, rows, np.zeros(40)).path
    assert path.effect[-1] == pytest.approx(0.0, abs=1e-9)


def test_harm_is_seen_on_the_side_that_the_metric_calls_worse() -> None:
    slower = [(i, arm, 2.0 + arm + 0.01 * i) for i in range(60) for arm in (0, 1) for _ in range(5)]
    rows = rows_of(np.full((60, 2), 5.0), values=slower)
    assert advanced(duration(), rows, np.zeros(60)).log_harm > 5
    assert advanced(duration(worse="lower"), rows, np.zeros(60)).log_harm < 0
    fewer = rows_of([[90.0, 5.0]] * 40)
    assert advanced(throughput(), fewer, np.full(40, 0.1)).log_harm > 20
    assert advanced(throughput(worse="higher"), fewer, np.full(40, 0.1)).log_harm < 0
    worse = rows_of([[40.0, 20.0]] * 9, failures=[[4.0, 9.0]] * 9)
    assert advanced(success(), worse, np.zeros(9)).log_harm > 5
    assert advanced(success(), worse, np.zeros(9)).log_safe < 0


def test_the_level_of_the_baseline_is_its_share_of_good_or_its_median() -> None:
    rows = rows_of([[40.0, 20.0]] * 5, failures=[[4.0, 6.0]] * 5)
    assert advanced(success(), rows, np.zeros(5)).baseline_level() == pytest.approx(0.9)
    values = [(i, arm, 2.0 if arm == 0 else 9.0) for i in range(30) for arm in (0, 1)]
    timed = advanced(duration(), rows_of(np.ones((30, 2)), values=values), np.zeros(30))
    assert timed.baseline_level() == pytest.approx(2.0, rel=0.012)
    assert timed.median(1) == pytest.approx(9.0, rel=0.012)
