"""How often durations and amounts without harm are called harmful, and with harm at the margin
safe, over thousands of comparisons as rows: never more often than promised; how soon harm is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from analyzers.contrast.amounts import Amounts
from analyzers.contrast.durations import Durations
from analyzers.facts import Floats
from tests.reference.rounds import of_values

pytestmark = pytest.mark.slow

ROWS, ROUNDS, QUANTUM = 500, 200, 1e-4  # with 2,000 rows the rates of MATH.md were measured
LEVELS = (0.05, 0.01)
Chance = np.random.Generator
Stream = Callable[[Chance, int, int, int], Floats]  # chance, rows, values, round -> values


def latency(chance: Chance, rows: int, n: int, _: int) -> Floats:
    return chance.lognormal(0, 0.5, (rows, n))


def timeouts(chance: Chance, rows: int, n: int, at: int) -> Floats:
    return np.where(chance.random((rows, n)) < 0.05, 30.0, latency(chance, rows, n, at))


def mostly_equal(chance: Chance, rows: int, n: int, _: int) -> Floats:
    return np.where(chance.random((rows, n)) < 0.05, 30.0, 1.0)


def drift(chance: Chance, rows: int, n: int, at: int) -> Floats:
    return np.asarray(latency(chance, rows, n, at) * np.exp(0.01 * at))


def weather(chance: Chance, rows: int, n: int, at: int) -> Floats:
    return latency(chance, rows, n, at) * chance.lognormal(0, 0.5, (rows, 1))


def clusters(chance: Chance, rows: int, n: int, _: int) -> Floats:
    """Fives of values that hang together, intraclass correlation 0.05."""
    shared = chance.normal(0, 0.5 * np.sqrt(0.05), (rows, n // 5)).repeat(5, axis=1)
    return np.asarray(np.exp(chance.normal(0, 0.5 * np.sqrt(0.95), (rows, n)) + shared))


def lognormal(chance: Chance, rows: int, n: int, _: int) -> Floats:
    return np.minimum(chance.lognormal(0, 2, (rows, n)), 1e8)


def pareto(chance: Chance, rows: int, n: int, _: int) -> Floats:
    return np.minimum(chance.pareto(1.2, (rows, n)) + 1, 1e8)


def orders(chance: Chance, rows: int, n: int, _: int) -> Floats:
    return chance.lognormal(3, 1, (rows, n))


def right_prices(chance: Chance, rows: int, n: int, _: int) -> Floats:
    """Nearly all deviations are exactly 0."""
    off = chance.choice([0.05, 0.2, 0.5], (rows, n))
    return np.where(chance.random((rows, n)) < 0.003, off, 0.0)


def strata(stream: Stream, rows: int, first: int, second: int) -> Iterator[Floats]:
    """Values of both arms, round by round."""
    chance = np.random.default_rng(20260521)
    for at in range(ROUNDS):
        yield stream(chance, rows, first + second, at)


def crossed(family: Durations | Amounts, rounds: Iterator[Floats], first: int) -> Floats:
    """The first round in which each row's evidence of harm, and of safety, reached each level;
    (level, 2, rows), infinite where never."""
    rows = np.arange(len(family))
    found = np.full((len(LEVELS), 2, len(family)), np.inf)
    for at, values in enumerate(rounds, 1):
        family.advance(rows, of_values(values, first, QUANTUM))
        for place, level in enumerate(LEVELS):
            for side, evidence in enumerate((family.log_harm, family.log_safe)):
                now = (evidence >= -np.log(level)) & np.isinf(found[place, side])
                found[place, side, now] = at
    return found


def assert_kept(found: Floats) -> None:
    """Both error rates, at both levels, within two Monte-Carlo standard errors."""
    for level, sides in zip(LEVELS, found, strict=True):
        bound = level + 2 * np.sqrt(level * (1 - level) / sides.shape[1])
        rates = np.isfinite(sides).mean(axis=1)
        assert (rates <= bound).all(), f"{rates} at {level}"


def durations(rows: int, shift: int = 0) -> Durations:
    family = Durations()
    family.add(np.full(rows, shift), np.full(rows, shift))
    return family


def amounts(
    rows: int, margin: float = 0.0, *, relative: bool = True, cap: float = np.nan
) -> Amounts:
    family = Amounts()
    family.add(
        np.full(rows, cap), np.full(rows, margin), np.full(rows, relative), np.full(rows, QUANTUM)
    )
    return family


@pytest.mark.parametrize(("first", "second"), [(15, 15), (36, 4), (99, 1)])
@pytest.mark.parametrize("stream", [latency, timeouts, mostly_equal])
def test_durations_of_equal_arms(stream: Stream, first: int, second: int) -> None:
    assert_kept(crossed(durations(ROWS), strata(stream, ROWS, first, second), first))


@pytest.mark.parametrize("stream", [drift, weather, clusters])
def test_durations_whose_level_changes_or_that_hang_together(stream: Stream) -> None:
    assert_kept(crossed(durations(ROWS), strata(stream, ROWS, 20, 20), 20))


def scaled(rounds: Iterator[Floats], first: int, factor: float, since: int = 0) -> Iterator[Floats]:
    """The second arm's values times a factor, from a round on."""
    for at, values in enumerate(rounds):
        values[:, first:] *= factor if at >= since else 1.0
        yield values


def test_durations_at_the_margin_are_neither_harmful_nor_safe() -> None:
    rounds = scaled(strata(latency, ROWS, 20, 20), 20, 2 ** (5 / 32))
    assert_kept(crossed(durations(ROWS, 5), rounds, 20))


@pytest.mark.parametrize(("first", "second"), [(15, 15), (36, 4), (99, 1)])
@pytest.mark.parametrize("stream", [lognormal, pareto])
def test_amounts_of_equal_arms(stream: Stream, first: int, second: int) -> None:
    assert_kept(crossed(amounts(ROWS), strata(stream, ROWS, first, second), first))


def test_amounts_at_the_margin_are_neither_harmful_nor_safe() -> None:
    rounds = scaled(strata(orders, ROWS, 20, 20), 20, 1.2)
    assert_kept(crossed(amounts(ROWS, 0.2), rounds, 20))


def shapes(rows: int) -> Iterator[Floats]:
    """Deviations of equal capped means and other distributions: the second arm's are all small, or
    few and large; a margin of 0.002 lies between the means."""
    chance = np.random.default_rng(7)
    for _ in range(ROUNDS):
        values = np.zeros((rows, 40))
        half = rows // 2
        values[:half, 20:] = 0.002
        rare = chance.random((rows - half, 20)) < 0.004
        values[half:, 20:] = 0.5 * rare
        yield values


def test_amounts_with_equal_means_of_other_shapes_are_neither_harmful_nor_safe() -> None:
    family = amounts(ROWS, 0.002, relative=False, cap=0.5)
    found = crossed(family, shapes(ROWS), 20)
    assert_kept(found[:, :, : ROWS // 2])
    assert_kept(found[:, :, ROWS // 2 :])


def assert_found(found: Floats, rounds: float, since: int = 0) -> None:
    """Harm is found in half the rows within that many rounds, at the first level."""
    assert np.median(found[0, 0]) - since <= rounds


@pytest.mark.parametrize(
    ("factor", "part", "since", "within"),
    [(1.1, 1.0, 0, 18), (3.0, 1.0, 0, 2), (4.0, 0.02, 0, 45), (1.5, 1.0, 100, 6)],
)
def test_slower_durations_are_found(factor: float, part: float, since: int, within: int) -> None:
    chance = np.random.default_rng(9)

    def rounds() -> Iterator[Floats]:
        for at, values in enumerate(strata(latency, 200, 50, 50)):
            hit = (chance.random((200, 50)) < part) & (at >= since)
            values[:, 50:] *= np.where(hit, factor, 1.0)
            yield values

    assert_found(crossed(durations(200), rounds(), 50), within, since)


def test_larger_amounts_are_found_and_equal_ones_shown_safe() -> None:
    double = crossed(amounts(200), scaled(strata(lognormal, 200, 50, 50), 50, 2.0), 50)
    assert_found(double, 15)
    late = scaled(strata(orders, 200, 50, 50), 50, 2.0, since=100)
    assert_found(crossed(amounts(200), late, 50), 6, 100)
    same = crossed(amounts(200, 0.2), strata(orders, 200, 50, 50), 50)
    assert np.median(same[0, 1]) <= 25


def test_a_few_wrong_prices_are_found_and_right_ones_shown_safe() -> None:
    family = amounts(400, 0.002, relative=False, cap=0.5)
    chance = np.random.default_rng(9)

    def rounds() -> Iterator[Floats]:
        for values in strata(right_prices, 400, 50, 50):
            off = chance.random((200, 50)) < 0.1
            values[:200, 50:] = np.where(off, 0.05, values[:200, 50:])
            yield values

    found = crossed(family, rounds(), 50)
    assert np.median(found[0, 0, :200]) <= 30
    assert np.median(found[0, 1, 200:]) <= 45
