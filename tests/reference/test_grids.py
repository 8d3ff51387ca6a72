"""Amounts of any volume, weight and sign: the same as plain loops over single values, and for a
stratum alone the same to the bit as among longer and shorter ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.contrast.amounts import (
    BELIEF_STRATA,
    BELIEVED,
    CAP_TIMES,
    EFFECTS,
    STAKE,
    Amounts,
)
from analyzers.contrast.bets import Held, Starts
from analyzers.contrast.capped import Capped
from analyzers.contrast.spread import Spread
from analyzers.contrast.strata import Strata
from analyzers.facts import Floats
from analyzers.folding.histogram import buckets, middles
from tests.reference.rounds import chosen

QUANTUM = 0.01
ONE = np.array([0])
Chance = np.random.Generator
Arms = tuple[Floats, Floats]


def ragged(arms: list[Arms], weights: Floats) -> Strata:
    """One stratum for each pair of arms' values, each value worth so much (k,)."""
    of, bins, counts = [], [], []
    for place, pair in enumerate(arms):
        numbers = [buckets(np.rint(values / QUANTUM).astype(np.int64)) for values in pair]
        known = np.unique(np.concatenate(numbers))
        sides = [np.searchsorted(known, number) for number in numbers]
        times = [np.bincount(side, minlength=len(known)) for side in sides]
        of.append(np.full(len(known), place))
        bins.append(known)
        counts.append(np.column_stack(times) * weights[place])
    units = np.array([[len(values) for values in pair] for pair in arms], np.float64)
    nothing = np.zeros((len(arms), 2))
    return Strata(
        units, nothing, nothing, np.zeros(len(arms)),
        np.concatenate(of), np.concatenate(bins), np.concatenate(counts),
    )  # fmt: skip


class Plain:
    """One comparison of amounts, a value at a time; cap declared."""

    def __init__(self, cap: float, size: float, *, relative: bool) -> None:
        self.cap, self.size, self.relative = cap, size, relative
        self.units = self.mean = self.variance = 0.0
        self.below = False
        self.spread, self.harm, self.safe = Spread(), Starts(len(EFFECTS)), Held(len(EFFECTS))
        for part in (self.spread, self.harm, self.safe):
            part.add(1)

    def advance(self, strata: Strata) -> tuple[float, float]:
        """Log e-values of harm and safety."""
        bins, cap = middles(strata.bin, QUANTUM), self.cap
        pooled, moved, second = [], [], []
        for value, (a, b) in zip(bins.tolist(), strata.bin_counts.tolist(), strict=True):
            less = value / (1 + self.size) if self.relative else value - self.size
            pooled += [(min(max(value, -cap), cap), a), (min(max(value, -cap), cap), b)]
            moved += [(min(max(value, -cap), cap), a), (min(max(less, -cap), cap), b)]
            second += [False, True]
        na, nb = (float(side) for side in strata.bin_counts.sum(axis=0))
        n = na + nb
        mean, variance = moments(pooled)
        spread = na * nb / max(n - 1, 1) * variance
        known = self.units > 0 and min(na, nb) > 0 and spread > 0
        parts = zip(pooled, second, strict=True)
        score = math.fsum(c * (y - mean) for (y, c), mine in parts if mine)
        phi = float(self.spread.factor(ONE, BELIEVED, BELIEF_STRATA)[0])
        standard = score / math.sqrt(spread) if known else 0.0
        self.spread.advance(ONE, np.array([standard]), np.array([known]))
        logs = self.factors(moved, second, na / n, nb / n)
        price = 1 / phi if self.units > 0 else 0.0
        harm, safe = (np.array([[log * price for log in side]]) for side in logs)
        self.move(moved, n, negative=bool((strata.bin < 0).any()))
        found = self.harm.advance(ONE, harm), self.safe.advance(ONE, safe)
        return float(found[0][0]), float(found[1][0])

    def factors(
        self, values: list[tuple[float, float]], second: list[bool], part_a: float, part_b: float
    ) -> tuple[list[float], list[float]]:
        """Logs of both e-variables for each effect."""
        unsigned = 0.0 if self.relative else -min(self.size, self.cap)
        floor = -self.cap if self.below else unsigned
        level = min(max(self.mean, floor), self.cap)
        scale = max(math.sqrt(self.variance), self.cap / 30)
        above, below = self.cap - level, level - floor
        up = STAKE / max(part_a * below, part_b * above, 1e-300)
        down = STAKE / max(part_a * above, part_b * below, 1e-300)
        sides = []
        for sign, most in ((1, up), (-1, down)):
            bets = [sign * min(effect / scale, most) for effect in EFFECTS]
            sides.append([
                math.fsum(
                    c * math.log1p(bet * (part_a if mine else -part_b) * (max(y, floor) - level))
                    for (y, c), mine in zip(values, second, strict=True)
                )
                for bet in bets
            ])  # fmt: skip
        return sides[0], sides[1]

    def move(self, values: list[tuple[float, float]], n: float, *, negative: bool) -> None:
        mean, variance = moments(values)
        self.units = min(self.units + n, 4_000.0)
        part = min(n / max(self.units, 1), 1.0)
        self.mean += part * (mean - self.mean)
        self.variance += part * (variance - self.variance)
        self.below |= negative


def moments(values: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean and variance of values with counts."""
    n = math.fsum(c for _, c in values)
    mean = math.fsum(c * y for y, c in values) / n
    return mean, math.fsum(c * (y - mean) ** 2 for y, c in values) / n


def drawn(chance: Chance, most: int) -> Arms:
    """Both arms of a stratum: heavy tails, zeroes or negative values, an arm sometimes empty."""
    first, second = (int(chance.integers(0, most)) for _ in range(2))
    second += first + second == 0
    kind = chance.integers(4)
    values = chance.lognormal(1, 1.2, first + second + 1)
    if kind == 1:
        values *= chance.random(len(values)) < 0.4
    if kind == 2:
        values -= 2.0
    return values[:first], values[first:]


@pytest.mark.parametrize("most", [2, 6, 30, 200, 5_000])
@pytest.mark.parametrize("weighted", [False, True])
def test_e_values_are_those_of_loops_over_single_values(most: int, weighted: bool) -> None:
    chance = np.random.default_rng(most)
    k = 6 if most < 5_000 else 3
    caps, relative = np.resize([4.0, 60.0], k), np.resize([True, True, False], k)
    sizes = np.where(relative, 0.1, 0.5)
    family, plain = Amounts(), []
    family.add(caps, sizes, relative, np.full(k, QUANTUM))
    for cap, size, part in zip(caps, sizes, relative, strict=True):
        plain.append(Plain(float(cap), float(size), relative=bool(part)))
    for _ in range(8 if most < 5_000 else 3):
        arms = [drawn(chance, most) for _ in range(k)]
        counts = np.array([len(a) + len(b) for a, b in arms])
        weights = np.maximum(chance.choice([1.0, 0.37, 0.9], k), 1 / counts)
        strata = ragged(arms, weights if weighted else np.ones(k))
        family.advance(np.arange(k), strata)
        for row in range(k):
            found = plain[row].advance(chosen(strata, np.array([row])))
            assert family.log_harm[row] == pytest.approx(found[0], rel=1e-9, abs=1e-12)
            assert family.log_safe[row] == pytest.approx(found[1], rel=1e-9, abs=1e-12)
    assert np.abs(family.log_safe).max() > 0.0


def mixed(chance: Chance, k: int) -> Strata:
    """Strata of very different lengths and weights; counts of some are no multiples of any."""
    arms = [drawn(chance, int(most)) for most in chance.choice([2, 5, 30, 70, 700], k)]
    strata = ragged(arms, chance.choice([1.0, 1.0, 0.37, 0.9], k))
    strata.bin_counts[chance.random(len(strata.bin)) < 0.02] *= 0.7
    return strata


@pytest.mark.parametrize("together", [1, 2, 3])
def test_strata_of_other_lengths_and_weights_change_nothing_to_the_bit(together: int) -> None:
    chance = np.random.default_rng(together)
    k = 24
    rounds = [mixed(chance, k) for _ in range(4)]
    caps = np.where(np.arange(k) % 2 == 0, np.nan, 5.0)
    found = []
    for rows in [np.arange(k), *np.split(np.arange(k), k // together)]:
        made = Amounts()
        some = np.arange(len(rows))
        made.add(caps[rows], np.full(len(rows), 0.1), rows % 3 > 0, np.full(len(rows), QUANTUM))
        for strata in rounds:
            made.advance(some, chosen(strata, rows))
        told = made.told(some)
        shown = made.log_harm, made.log_safe, made.cap(some), told.score, told.variance
        found.append(np.array(shown))
    assert np.array_equal(found[0], np.concatenate(found[1:], axis=1), equal_nan=True)


@pytest.mark.parametrize("weight", [1.0, 0.3, 1 / 3])
@pytest.mark.parametrize("units", [2, 7, 20, 1_000])
@pytest.mark.parametrize("value", [9.99, 0.1, 250.0])
def test_equal_values_have_no_variance_at_all(value: float, units: int, weight: float) -> None:
    same = np.full(units, value)
    values = Capped(1, ragged([(same, same)], np.array([weight])), np.array([QUANTUM]))
    score, variance = values.score(np.array([100.0]))
    assert score[0] == 0.0
    assert variance[0] == 0.0


def test_counts_that_are_no_multiples_of_one_weight_add_their_parts() -> None:
    counts = np.array([[0.5, 0.0], [1.0, 0.7], [0.0, 12.0], [30.0, 0.25]])
    number, nothing = np.array([100, 140, 180, 200]), np.zeros((1, 2))
    strata = Strata(
        nothing, nothing, nothing, np.zeros(1), np.zeros(4, np.int64), number, counts
    )  # fmt: skip
    values = Capped(1, strata, np.array([QUANTUM]))
    assert values.units[:, 0] == pytest.approx(counts.sum(axis=0))
    cap = 0.5
    y, n = np.minimum(middles(number, QUANTUM), cap), counts.sum()
    mean = (counts.sum(axis=1) * y).sum() / n
    score, _ = values.score(np.array([cap]))
    assert score[0] == pytest.approx((counts[:, 1] * (y - mean)).sum(), rel=1e-12)
    up, _ = values.log_factors(
        np.zeros(1), np.array([cap]), np.array([0.2]), np.array([[0.5]]), STAKE
    )  # fmt: skip
    part_a, part_b = counts.sum(axis=0) / n
    first = counts[:, 0] * np.log1p(-0.5 * part_b * (y - 0.2))
    second = counts[:, 1] * np.log1p(0.5 * part_a * (y - 0.2))
    assert up[0, 0] == pytest.approx((first + second).sum(), rel=1e-9)


def test_an_open_cap_is_taken_from_the_longer_arm_whatever_its_length() -> None:
    values = np.arange(1.0, 1_001.0)
    made = Amounts()
    made.add(np.full(1, np.nan), np.zeros(1), np.ones(1, np.bool_), np.full(1, QUANTUM))
    made.advance(ONE, ragged([(values[:10], values)], np.ones(1)))
    assert made.cap(ONE)[0] == pytest.approx(CAP_TIMES * 990.0, rel=0.02)


def test_a_round_of_more_rows_than_one_block_is_the_same_as_its_parts() -> None:
    chance = np.random.default_rng(8)
    k = 5_000
    sides = [(values[:3], values[3:]) for values in chance.lognormal(1, 1, (k, 6))]
    whole, parts = Amounts(), Amounts()
    for made in (whole, parts):
        made.add(np.full(k, 20.0), np.full(k, 0.1), np.ones(k, np.bool_), np.full(k, QUANTUM))
    groups = np.split(np.arange(k), 50)
    for _ in range(3):
        strata = ragged([sides[at] for at in chance.permutation(k).tolist()], np.ones(k))
        whole.advance(np.arange(k), strata)
        edges = np.searchsorted(strata.bin_of, [0, *(rows[-1] + 1 for rows in groups)])
        for place, rows in enumerate(groups):
            some = slice(edges[place], edges[place + 1])
            part = Strata(
                strata.units[rows], strata.bad[rows], strata.total[rows], strata.share[rows],
                strata.bin_of[some] - rows[0], strata.bin[some], strata.bin_counts[some],
            )  # fmt: skip
            parts.advance(rows, part)
    assert np.unique(whole.log_safe).size > k / 2
    assert np.array_equal(whole.log_harm, parts.log_harm)
    assert np.array_equal(whole.log_safe, parts.log_safe)
    for mine, other in zip(
        (whole.told(np.arange(k)).score, whole.told(np.arange(k)).variance),
        (parts.told(np.arange(k)).score, parts.told(np.arange(k)).variance),
        strict=True,
    ):
        assert (mine != 0.0).any()
        assert np.array_equal(mine, other)
