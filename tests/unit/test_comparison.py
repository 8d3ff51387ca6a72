"""A comparison grows row by row; how the rows are cut changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from analyzers.comparing.attribution import Block
from analyzers.comparing.comparison import Comparison, Effects
from analyzers.comparing.comparisons import Closed, Comparisons
from analyzers.comparing.forming import STRATUM_UNITS
from analyzers.facts import Floats, Ints
from analyzers.folding.histogram import buckets
from analyzers.policy import Kind, Margin, Measure, Metric
from tests.facts_of import duration, metric_of, success, throughput

RATE = 0.05
LEVEL = -np.log(RATE)
Pairs = Floats | Ints | list[list[float]]
GAUGE = metric_of("depth", Kind.GAUGE, Measure.VALUE)
AMOUNT = metric_of("value", Kind.AMOUNT, Measure.VALUE, worse="lower")
RATIO = metric_of("ratio", Kind.RATIO, Measure.VALUE, over="value")
EXPOSED = throughput(exposure="page.viewed")


def rows_of(
    units: Pairs,
    *,
    failures: Pairs | None = None,
    exposed: Pairs | None = None,
    values: list[tuple[int, int, float]] | None = None,
) -> Block:
    """Rows of consecutive slices; ``values`` are (row, arm, value in seconds)."""
    pairs = np.asarray(units, np.float64)
    none = np.zeros_like(pairs)
    told = values or []
    bin_counts = np.zeros((len(told), 2))
    bin_counts[np.arange(len(told)), [arm for _, arm, _ in told]] = 1.0
    total = np.zeros_like(pairs)
    for row, arm, value in told:
        total[row, arm] += value
    return Block(
        of=np.zeros(len(pairs), np.int64),
        shown=np.arange(len(pairs), dtype=np.int64),
        units=pairs,
        failures=none if failures is None else np.asarray(failures, np.float64),
        total=total,
        exposed=none if exposed is None else np.asarray(exposed, np.float64),
        share=np.zeros(len(pairs)),
        bin_of=np.array([row for row, _, _ in told], np.int64),
        bin=buckets(np.array([round(value * 1e6) for _, _, value in told], np.int64)),
        bin_counts=bin_counts,
    )


def between(rows: Block, start: int, stop: int) -> Block:
    inside = np.zeros(len(rows), np.bool_)
    inside[start:stop] = True
    return rows.where(inside)


@dataclass
class Run:
    """A comparison, and what closed while it advanced."""

    comparison: Comparison
    closed: list[Closed]

    @property
    def at(self) -> list[int]:
        return [at for one in self.closed for at in one.at.tolist()]

    @property
    def evidence(self) -> list[tuple[int, float, float]]:
        """Slice and log e-values after each stratum."""
        return [
            told
            for one in self.closed
            for told in zip(
                one.at.tolist(), one.log_harm.tolist(), one.log_safe.tolist(), strict=True
            )
        ]


def advanced(metric: Metric, rows: Block, share: Floats, cuts: Iterable[int] = ()) -> Run:
    """The comparison after all rows, handed over in the blocks between ``cuts``."""
    table = Comparisons()
    table.add([success(), metric])  # it is not alone
    rows, closed = replace(rows, of=np.ones(len(rows), np.int64), share=share), []
    for start, stop in pairwise([0, *sorted(cuts), len(rows)]):
        closed.append(table.advance(between(rows, start, stop)))
    return Run(Comparison(metric, table, 1), closed)


def beside(parts: list[Block]) -> Block:
    """Rows of some comparisons, in order, in one block."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in (
            "of", "shown", "units", "failures", "total", "exposed", "share", "bin", "bin_counts"
        )
    }  # fmt: skip
    begins = np.cumsum([0, *(len(part) for part in parts)])
    bin_of = [part.bin_of + begin for part, begin in zip(parts, begins[:-1], strict=True)]
    return Block(**columns, bin_of=np.concatenate(bin_of))


def paths(metric: Metric, rows: Block, share: Floats) -> Effects:
    """The effect as it grew, at no more than a hundred points."""
    return all_paths(metric, [replace(rows, share=share)])[0]


def all_paths(metric: Metric, runs: list[Block]) -> list[Effects]:
    """The effects of many comparisons, judged side by side."""
    table, told = Comparisons(), []
    table.add([metric] * len(runs))
    table.advance(beside([replace(one, of=one.of + row) for row, one in enumerate(runs)]))
    for row in range(len(runs)):
        comparison = Comparison(metric, table, row)
        told.append(comparison.effects_of(comparison.trace(), LEVEL))
    return told


def said(run: Run) -> dict[str, object]:
    """Everything that a verdict may read, NaN made comparable."""
    comparison = run.comparison
    return {
        "evidence": run.evidence,
        "effects": repr(comparison.effects(LEVEL)),
        "trace": repr(comparison.trace()),
        "seen": comparison.seen.tolist(),
        "units": comparison.units.tolist(),
        "first": comparison.first_seen,
        "baseline_first": comparison.baseline_first,
        "level": repr(comparison.baseline_level()),
        "largest": (comparison.log_harm_max, comparison.log_safe_top),
    }


def drawn(seed: int, n: int, *, rate: float = 1.5, canary: float = 0.3) -> tuple[Block, Floats]:
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
        RATIO,
    ],
    ids=["success", "relative", "duration", "faster", "absolute", "count", "exposed", "gauge",
         "amount", "ratio"],
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
    assert len(whole.at) > 20


def test_beside_others_in_any_order_a_comparison_says_what_it_says_alone() -> None:
    metrics = [success(), duration(), throughput(), EXPOSED, AMOUNT, GAUGE, RATIO]
    told = [drawn(seed, 300) for seed in range(len(metrics))]
    table = Comparisons()
    table.add(metrics)
    closed = []
    for row in range(300):
        parts = [
            replace(between(rows, row, row + 1), of=np.array([number]), share=share[row : row + 1])
            for number, (rows, share) in enumerate(told)
        ]
        closed.append(table.advance(beside(parts)))
    for number, (metric, (rows, share)) in enumerate(zip(metrics, told, strict=True)):
        alone = advanced(metric, rows, share)
        mine = [one.where(one.of == number) for one in closed]
        assert Run(Comparison(metric, table, number), mine).evidence == alone.evidence
        assert said(Run(Comparison(metric, table, number), mine)) == said(alone)


def test_what_is_left_of_a_table_goes_on_as_if_nothing_had_been_taken_away() -> None:
    rows, share = drawn(7, 400)
    for metric in (success(), duration(), EXPOSED, AMOUNT, GAUGE, RATIO):
        table = Comparisons()
        table.add([success(), metric, duration()])
        told = replace(rows, of=np.ones(len(rows), np.int64), share=share)
        first = table.advance(between(told, 0, 150))
        new = table.keep(np.array([1]))
        assert new.tolist() == [-1, 0, -1]
        told = replace(told, of=np.zeros(len(rows), np.int64))
        second = table.advance(between(told, 150, 400))
        run = Run(Comparison(metric, table, 0), [first, second])
        assert said(run) == said(advanced(metric, rows, share))


def test_a_stratum_closes_by_its_units_and_never_because_of_whose_the_last_one_is() -> None:
    for metric in (success(), duration()):
        rows, share = drawn(4, 800, rate=0.8, canary=0.1)
        found = advanced(metric, rows, share)
        last, sizes = [], []
        for start, stop in pairwise([-1, *found.at]):
            inside = rows.units[start + 1 : stop + 1].sum(axis=0)
            assert inside.sum() >= STRATUM_UNITS[metric.kind]
            last.append(rows.units[stop, 1] > 0)
            sizes.append(inside.sum())
        # A tenth of the units is the canary's: strata of twenty hold two of them.
        assert np.median(sizes[5:]) < 2.5 * STRATUM_UNITS[Kind.DURATION]
        assert np.mean(last) < 0.5


def test_strata_of_a_rare_arm_are_larger_so_that_they_hold_some_of_it() -> None:
    rows, share = drawn(4, 4_000, rate=0.8, canary=0.02)
    found = advanced(duration(), rows, share)
    ends = [-1, *found.at]
    held = [rows.units[a + 1 : b + 1].sum(axis=0) for a, b in pairwise(ends[3:])]
    assert np.median([one.sum() for one in held]) > 3 * STRATUM_UNITS[Kind.DURATION]
    assert found.comparison.units[1] > 0.75 * rows.units[:, 1].sum()


def test_one_arm_alone_closes_nothing() -> None:
    run = advanced(success(), rows_of([[50.0, 0.0]] * 40), np.zeros(40))
    comparison = run.comparison
    assert run.at == []
    assert comparison.seen.tolist() == [2_000.0, 0.0]
    assert (comparison.log_harm, comparison.log_safe) == (0.0, 0.0)
    assert comparison.baseline_level() is None


def test_no_rows_change_nothing() -> None:
    run = advanced(success(), rows_of(np.empty((0, 2))), np.empty(0))
    assert not run.comparison.shown
    assert run.at == []


def test_a_gauge_without_a_past_of_its_own_is_only_shown() -> None:
    rows, share = drawn(5, 300)
    assert advanced(GAUGE, rows, share).comparison.indicative
    assert not advanced(AMOUNT, rows, share).comparison.indicative


def test_a_count_is_indicative_unless_exposure_says_what_traffic_each_side_had() -> None:
    nothing = rows_of(np.empty((0, 2)))
    assert advanced(throughput(), nothing, np.empty(0)).comparison.indicative
    assert not advanced(EXPOSED, nothing, np.empty(0)).comparison.indicative


def test_a_count_without_share_and_exposure_is_not_compared() -> None:
    rows, _ = drawn(6, 300)
    assert advanced(throughput(), rows, np.zeros(300)).at == []


# --- margins -----------------------------------------------------------------------------------


def judged_at(metric: Metric, rows: Block) -> tuple[float, float]:
    """The effects at which harm and safety are judged, as the family holds them."""
    families = advanced(metric, rows, np.full(len(rows), 0.5)).comparison.table.families
    if metric.kind is Kind.PROPORTION:
        return (float(families.proportions.margin[0]),) * 2
    if metric.kind is Kind.COUNT:
        return (float(families.counts.edge[0]),) * 2
    harm, safe = families.durations.shifts[0].tolist()
    return harm, safe


# A margin of the other kind waits for four hundred units to be resolved.
SECONDS = rows_of([[10.0, 10.0]] * 25, values=[(i, arm, 2.0) for i in range(25) for arm in (0, 1)])
HALF_BAD = rows_of([[10.0, 10.0]] * 25, failures=[[5.0, 5.0]] * 25)


@pytest.mark.parametrize(
    ("metric", "harm", "safe"),
    [
        (duration(), 5, 4),  # 1.1 is 4.4 buckets
        (duration(worse="lower"), 5, 4),  # 1 / 0.9 is 4.9 buckets, the arms swapped
        (duration(margin=Margin(1.0, relative=True)), 32, 32),
        (duration(margin=Margin(2.0, relative=False)), 32, 31),  # of a median of about 2 seconds
        (duration(worse="lower", margin=Margin(5.0, relative=True)), 319, 318),
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
        (throughput(), SECONDS, 1 / 0.9),
        (throughput(worse="higher"), SECONDS, 1.1),
        (throughput(margin=Margin(5.0, relative=True)), SECONDS, 1_000.0),
    ],
    ids=["points", "relative", "too large", "fewer", "more", "all"],
)
def test_margins_of_shares_and_counts_are_judged_as_they_are(
    metric: Metric, rows: Block, edge: float
) -> None:
    assert judged_at(metric, rows) == pytest.approx((edge, edge))


# --- effects and intervals -----------------------------------------------------------------------


def shares(seed: int, n: int, base: float, canary: float) -> Block:
    chance = np.random.default_rng(seed)
    units = chance.poisson([6.0, 4.0], (n, 2))
    return rows_of(units, failures=chance.binomial(units, [base, canary]))


def test_the_effect_on_a_share_is_the_difference_of_bad_shares() -> None:
    rows = rows_of([[40.0, 20.0]] * 5, failures=[[4.0, 6.0]] * 5)
    path = paths(success(), rows, np.zeros(5))
    assert path.effect[-1] == pytest.approx(-0.2)  # of the share of good ones
    assert (path.low <= -0.2).all()
    assert (path.high >= -0.2).all()


@pytest.mark.parametrize(("base", "canary"), [(0.05, 0.05), (0.02, 0.12), (0.3, 0.2)])
def test_intervals_of_a_difference_of_shares_cover_it_at_every_look(
    base: float, canary: float
) -> None:
    runs = 400
    told = all_paths(success(), [shares(seed, 250, base, canary) for seed in range(runs)])
    missed_low = sum(bool((path.low > base - canary).any()) for path in told)
    missed_high = sum(bool((path.high < base - canary).any()) for path in told)
    allowed = runs * RATE + 2 * np.sqrt(runs * RATE * (1 - RATE))
    assert missed_low <= allowed, f"seeds 0 to {runs - 1}: {missed_low}"
    assert missed_high <= allowed, f"seeds 0 to {runs - 1}: {missed_high}"


@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_intervals_of_a_shift_of_durations_cover_it_and_shrink(ratio: float) -> None:
    runs, missed, drawn_of = 60, 0, []
    for seed in range(runs):
        chance = np.random.default_rng(seed)
        values = [
            (row, arm, float(chance.lognormal(0.0, 0.6) * (ratio if arm else 1.0)))
            for row in range(120)
            for arm in (0, 1)
            for _ in range(6)
        ]
        drawn_of.append(rows_of(np.full((120, 2), 6.0), values=values))
    for path in all_paths(duration(), drawn_of):
        missed += bool((path.low > ratio - 1).any())
        missed += bool((path.high < ratio - 1).any())
        assert path.high[-1] - path.low[-1] < 0.5
        assert path.effect[-1] == pytest.approx(ratio - 1, abs=0.25)
    assert missed <= 2 * runs * RATE + 2 * np.sqrt(2 * runs * RATE), f"seeds 0 to {runs - 1}"


def test_the_effect_on_a_count_is_the_rate_ratio_given_the_share() -> None:
    rows = rows_of([[90.0, 5.0]] * 40)
    path = paths(throughput(), rows, np.full(40, 0.1))
    assert path.effect[-1] == pytest.approx(0.5 - 1.0)
    assert path.low[-1] < -0.5 < path.high[-1] < -0.25


def test_exposure_takes_the_place_of_the_share() -> None:
    rows = rows_of([[90.0, 5.0]] * 40, exposed=[[900.0, 50.0]] * 40)
    path = paths(EXPOSED, rows, np.zeros(40))
    assert path.effect[-1] == pytest.approx(0.0, abs=1e-9)


def test_harm_is_seen_on_the_side_that_the_metric_calls_worse() -> None:
    slower = [(i, arm, 2.0 + arm + 0.01 * i) for i in range(60) for arm in (0, 1) for _ in range(5)]
    rows = rows_of(np.full((60, 2), 5.0), values=slower)
    assert advanced(duration(), rows, np.zeros(60)).comparison.log_harm > 5
    assert advanced(duration(worse="lower"), rows, np.zeros(60)).comparison.log_harm < 0
    fewer = rows_of([[90.0, 5.0]] * 40)
    assert advanced(throughput(), fewer, np.full(40, 0.1)).comparison.log_harm > 20
    assert advanced(throughput(worse="higher"), fewer, np.full(40, 0.1)).comparison.log_harm < 0
    worse = rows_of([[40.0, 20.0]] * 9, failures=[[4.0, 9.0]] * 9)
    assert advanced(success(), worse, np.zeros(9)).comparison.log_harm > 5
    assert advanced(success(), worse, np.zeros(9)).comparison.log_safe < 0


def test_the_level_of_the_baseline_is_its_share_of_good_or_its_median() -> None:
    rows = rows_of([[40.0, 20.0]] * 5, failures=[[4.0, 6.0]] * 5)
    assert advanced(success(), rows, np.zeros(5)).comparison.baseline_level() == pytest.approx(0.9)
    values = [(i, arm, 2.0 if arm == 0 else 9.0) for i in range(30) for arm in (0, 1)]
    timed = advanced(duration(), rows_of(np.ones((30, 2)), values=values), np.zeros(30))
    assert timed.comparison.baseline_level() == pytest.approx(2.0, rel=0.012)
    assert timed.comparison.median(1) == pytest.approx(9.0, rel=0.012)
