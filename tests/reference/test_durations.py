"""Durations as rows: against scipy and plain loops, by every way to deal values, to the bit."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analyzers.contrast.durations import (
    BELIEF_STRATA,
    EFFECTS,
    HARM_BELIEVED,
    RANKS,
    SAFE_BELIEVED,
    Durations,
)
from analyzers.contrast.shifted import SHIFT_MAX, Shifted
from analyzers.contrast.strata import Strata
from analyzers.contrast.tails import ODDS
from analyzers.contrast.tmixture import log_e
from analyzers.facts import Floats, Ints
from tests.reference.rounds import chosen, of_buckets, of_values

numbers = st.integers(-40, 40)
sides = st.lists(numbers, min_size=1, max_size=25)


def cells(a: list[int], b: list[int], of: int = 0) -> tuple[Ints, Ints, Floats]:
    """Rows (stratum, bucket, counts) of two lists of bucket numbers."""
    found = sorted({*a, *b})
    counts = np.array([[a.count(k), b.count(k)] for k in found], float)
    return np.full(len(found), of), np.array(found, np.int64), counts


def moved(bucket: int, shift: int) -> float:
    """A value less the margin, where zero and either sign stay apart."""
    return 0.0 if bucket == 0 else math.copysign(10_000 + abs(bucket) - shift, bucket)


def tie_corrected_z(a: list[float], b: list[float]) -> float:
    """The signed z of Mann-Whitney, from scipy's two-sided p and its U; 0 if all are equal."""
    if len({*a, *b}) == 1:
        return 0.0
    u = stats.mannwhitneyu(b, a, use_continuity=False, method="asymptotic")
    sign = np.sign(u.statistic - len(a) * len(b) / 2)
    return float(sign * stats.norm.isf(u.pvalue / 2))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(sides, sides, st.integers(-50, 50)), min_size=1, max_size=4))
def test_the_score_is_mann_whitneys_z_on_the_shifted_values(
    strata: list[tuple[list[int], list[int], int]],
) -> None:
    rows = [cells(a, b, of) for of, (a, b, _) in enumerate(strata)]
    of, bucket, counts = (np.concatenate(column) for column in zip(*rows, strict=True))
    shifts = np.array([shift for _, _, shift in strata])
    shifted = Shifted(len(strata), of, bucket, counts)
    score, variance = shifted.wilcoxon(shifts)
    assert shifted.score(shifts).tolist() == score.tolist()
    for place, (a, b, shift) in enumerate(strata):
        expected = tie_corrected_z([moved(k, 0) for k in a], [moved(k, shift) for k in b])
        if variance[place] < 1e-12:
            assert expected == score[place] == 0.0
        else:
            # The p-value near 1 leaves only so many digits of a z near 0.
            z = score[place] / np.sqrt(variance[place])
            assert z == pytest.approx(expected, rel=1e-6, abs=1e-7)


@given(sides, sides, st.integers(-20, 20), st.randoms(use_true_random=False))
def test_buckets_in_any_order_and_in_pieces_are_the_same_to_the_bit(
    a: list[int], b: list[int], shift: int, chance: st.DataObject
) -> None:
    of, bucket, counts = cells(a, b)
    pieces = [
        (k, side) for k, sides_of in zip(bucket.tolist(), counts, strict=True)
        for side in (0, 1) for _ in range(int(sides_of[side]))
    ]  # fmt: skip
    chance.shuffle(pieces)  # type: ignore[attr-defined]
    single = np.array([[1.0 - side, float(side)] for _, side in pieces])
    shuffled = Shifted(1, np.zeros(len(pieces), np.int64), np.array([k for k, _ in pieces]), single)
    whole = Shifted(1, of, bucket, counts)
    for one, other in zip(
        whole.wilcoxon(np.array([shift])), shuffled.wilcoxon(np.array([shift])), strict=True
    ):
        assert one.tolist() == other.tolist()


@given(sides, sides, st.integers(-30, 30), st.floats(-60, 60))
def test_what_lies_beyond_a_threshold_is_counted(
    a: list[int], b: list[int], shift: int, threshold: float
) -> None:
    place = math.copysign(4_096 + abs(threshold), threshold)
    found = Shifted(1, *cells(a, b)).beyond(np.array([place]), np.array([shift]))
    limit = math.floor(place)

    def at(k: int, less: int) -> float:
        return 0.0 if k == 0 else math.copysign(4_096 + abs(k) - less, k)

    assert found[0].tolist() == [
        sum(at(k, 0) > limit for k in a),
        # Against a threshold on the other side of zero no shift matters.
        sum(at(k, shift if (k > 0) == (limit > 0) else 0) > limit for k in b),
    ]


@pytest.mark.parametrize(
    ("pooled", "second"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], 4), ([1, 1, 1, 1, 1, 1, 1, 9], 2), ([3, 3, 3, 9, 9, 9], 3),
        ([1, 1, 2, 3, 5, 8], 1), ([0, -3, 7, 7, 1, 2, 2, 2, 2, 5], 5), ([1, 2], 1),
    ],
)  # fmt: skip
def test_bets_on_ranks_are_worth_at_most_one_over_every_way_to_deal_the_values(
    pooled: list[int], second: int
) -> None:
    n = len(pooled)
    deals = list(itertools.combinations(range(n), second))
    rows = [
        cells(
            [pooled[i] for i in range(n) if i not in deal], [pooled[i] for i in deal], of
        )
        for of, deal in enumerate(deals)
    ]  # fmt: skip
    of, bucket, counts = (np.concatenate(column) for column in zip(*rows, strict=True))
    shifted = Shifted(len(deals), of, bucket, counts)
    score, variance = shifted.wilcoxon(np.zeros(len(deals), np.int64))
    assert score.mean() == pytest.approx(0.0, abs=1e-12)
    assert variance == pytest.approx(np.full(len(deals), score.var()), rel=1e-9)
    for effect in (*EFFECTS, *(-effect for effect in EFFECTS)):
        e = np.exp(effect * score - effect**2 / 2 * shifted.untied())
        assert e.mean() <= 1.0 + 1e-12


@pytest.mark.parametrize(("n", "beyond", "second"), [(50, 5, 25), (20, 1, 2), (100, 30, 1)])
def test_bets_on_the_tail_are_worth_at_most_one(n: int, beyond: int, second: int) -> None:
    b = np.arange(0, min(beyond, second) + 1)
    chance = stats.hypergeom.pmf(b, n, beyond, second)
    for odds in ODDS:
        e = odds**b / (1.0 + second / n * (odds - 1.0)) ** beyond
        assert (chance * e).sum() <= 1.0 + 1e-12


def mixed(logs: Floats) -> float:
    return float(np.logaddexp.reduce(logs) - np.log(len(logs)))


def plain_evidence(rounds: list[Strata], harm: int, safe: int) -> tuple[Floats, Floats]:
    """Evidence on ranks after each round for one comparison, by loops over values: harm that may
    begin at any stratum or is learned from batches, summed; and safety from the start."""
    sums, held = [0.0, 0.0, 0.0], np.zeros(len(EFFECTS))
    learned: list[float] = []
    begun: list[Floats] = []
    lam, ups, downs = np.array(EFFECTS), [], []
    for strata in rounds:
        a, b = (
            [k for k, c in zip(strata.bin.tolist(), strata.bin_counts, strict=True)
             for _ in range(int(c[arm]))]
            for arm in (0, 1)
        )  # fmt: skip
        n = len(a) + len(b)

        def score(shift: int, a: list[int] = a, b: list[int] = b, n: int = n) -> float:
            wins = sum(
                (moved(y, shift) > moved(x, 0)) + (moved(y, shift) == moved(x, 0)) / 2
                for x in a for y in b
            )  # fmt: skip
            return math.sqrt(12) * (wins - len(a) * len(b) / 2) / n

        count, total, square = sums
        past = square - total**2 / max(count, 1.0)
        phi, safe_phi = (
            max((BELIEF_STRATA * told + past) / (BELIEF_STRATA + max(count - 1, 0.0)), 1.0)
            for told in (HARM_BELIEVED, SAFE_BELIEVED)
        )
        z = tie_corrected_z([moved(k, 0) for k in a], [moved(k, 0) for k in b])
        sums = [count + 1, total + z, square + z * z]
        untied = len(a) * len(b) * (n + 1) / n**2
        price = lam**2 / 2 * untied
        begun = [
            wealth + lam * score(harm) - price * phi for wealth in [*begun, np.zeros(len(lam))]
        ]
        learned.append(score(harm) / math.sqrt(untied))
        k = len(begun)
        weights = [0.5 if j == 1 else 0.5 / (j * (j - 1)) for j in range(1, k + 1)]
        paths = np.array([w * np.exp(x) for w, x in zip(weights, begun, strict=True)]).sum(axis=0)
        u = np.array(learned)  # every stratum is a batch
        mixture = float(log_e(np.array([1.0 * k]), u.sum(keepdims=True), (u @ u)[None])[0])
        ups.append(math.log((paths + 0.5 / k).mean() + math.exp(mixture)))
        held = held - lam * score(safe) - price * safe_phi
        downs.append(mixed(held))
    return np.array(ups), np.array(downs)


def test_evidence_is_that_of_plain_loops() -> None:
    chance = np.random.default_rng(3)
    rounds = [
        of_buckets(chance.integers(60, 100, (1, 24)) + (np.arange(24) >= 14) * 4, 14)
        for _ in range(12)
    ]
    family = Durations()
    family.add(np.array([3]), np.array([2]))
    ups, downs = plain_evidence(rounds, 3, 2)
    for strata, up, down in zip(rounds, ups, downs, strict=True):
        family.advance(np.array([0]), strata)
        tails = family._tails._bets
        tail = tails.begun[0].mean() * math.exp(tails.scale[0]) + 0.5 / tails.strata[0]
        expected = RANKS * math.exp(up) + (1.0 - 2.0 * RANKS) * tail
        assert math.exp(family.log_harm[0]) == pytest.approx(expected, rel=1e-6)
        assert family.log_safe[0] == pytest.approx(down, rel=1e-6)


def advanced(rounds: list[Strata], rows: Ints, shifts: Ints) -> list[list[float]]:
    """Everything that the given rows show after rounds of all of them."""
    family = Durations()
    family.add(shifts[rows], shifts[rows] - 1)
    for strata in rounds:
        family.advance(np.arange(len(rows)), chosen(strata, rows))
    told = family.told(np.arange(len(rows)))
    columns = (family.log_harm, family.log_safe, told.score, told.weight, told.variance)
    return [column.tolist() for column in columns]


def test_a_row_alone_and_among_others_in_any_order_says_the_same_to_the_bit() -> None:
    chance = np.random.default_rng(4)
    k = 60
    shifts = chance.integers(-3, 40, k)
    rounds = [of_values(chance.lognormal(0, 0.7, (k, 30)), 19, 1e-3) for _ in range(8)]
    everyone = advanced(rounds, np.arange(k), shifts)
    order = chance.permutation(k)
    shuffled = advanced(rounds, order, shifts)
    for whole, some in zip(everyone, shuffled, strict=True):
        assert [whole[row] for row in order] == some
    for row in (0, 17, 59):
        alone = advanced(rounds, np.array([row]), shifts)
        assert [whole[row] for whole in everyone] == [column[0] for column in alone]


def test_rounds_of_some_rows_leave_the_others_as_they_were() -> None:
    chance = np.random.default_rng(5)
    family = Durations()
    family.add(np.zeros(4, np.int64), np.zeros(4, np.int64))
    assert len(family) == 4
    family.advance(np.array([2, 0]), of_values(chance.lognormal(0, 1, (2, 40)), 20, 1e-3))
    assert family.log_harm[1] == family.log_harm[3] == family.told(np.array([1])).weight[0] == 0.0
    assert (family.told(np.array([0, 2])).weight > 0).all()


def test_one_arm_alone_or_equal_values_say_nothing() -> None:
    family = Durations()
    family.add(np.array([0, 0]), np.array([0, 0]))
    for _ in range(5):
        family.advance(np.array([0]), of_buckets(np.full((1, 30), 7), 30))
        family.advance(np.array([1]), of_buckets(np.full((1, 30), 7), 15))
    assert (family.log_harm <= 0).all()
    assert (family.log_safe <= 0).all()
    assert np.isfinite(family.log_harm).all()


def test_a_margin_beyond_all_bounds_compares_as_if_every_value_were_below() -> None:
    family = Durations()
    family.add(np.array([10**9, SHIFT_MAX]), np.array([10**9, SHIFT_MAX]))
    rounds = of_values(np.random.default_rng(6).lognormal(0, 1, (1, 40)), 20, 1e-3)
    family.advance(np.array([0]), rounds)
    family.advance(np.array([1]), rounds)
    assert family.log_safe[0] == family.log_safe[1] > 1
