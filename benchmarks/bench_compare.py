"""What one comparison costs a tick, for each family, against scipy's rank test in a loop.

10,000 comparisons at once, each with one more stratum: 20 units in either arm (durations and
amounts 20 values in either arm, gauges one window). Beside it, in the same run and for the same
number of comparisons, ``scipy.stats.mannwhitneyu`` of 60 values once per comparison in a loop, and
in one call with ``axis=1``: what a judge costs that tests a window's raw values anew in every tick
(and whose false alarms add up with every look).

Sketch: a t mixture is two logarithms and, for both sides, one tail of Student's from polynomials,
0.3 us; eight or nine bets for harm and five to eight for safety are as many fused operations of
10 ns, twenty of them: 2 us. Ranks and capped values walk some 40 buckets, 30 ns each. Goal: at most
5 us, so 50 ms for all 10,000, and 300 times as fast as the loop. Measured on busy cores: ratios,
gauges and counts 1 to 2 us, proportions 4, amounts 6, durations 7.5, all more than 300 times as
fast as the loop. See README.md.

Run: ``python -m benchmarks.bench_compare [--rows N]``. CPU times, the median of the rounds.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from analyzers.contrast.amounts import Amounts
from analyzers.contrast.counts import Counts
from analyzers.contrast.durations import Durations
from analyzers.contrast.gauge import Gauges
from analyzers.contrast.proportions import Proportions
from analyzers.contrast.ratio import Ratios
from analyzers.contrast.strata import Strata
from analyzers.facts import Floats
from tests.calibration.streams import binned

ROUNDS = 9
UNITS = 20
LOOPED = 200
VALUES = 60


def strata(rows: int, chance: np.random.Generator) -> Strata:
    """One stratum for each comparison, with what every family reads."""
    units = np.full((rows, 2), float(UNITS))
    bad = chance.binomial(UNITS, 0.05, (rows, 2)).astype(np.float64)
    of = np.repeat(np.arange(rows), 2 * UNITS)
    arm = np.tile(np.repeat([0, 1], UNITS), rows)
    value = np.rint(chance.lognormal(np.log(200e3), 0.6, len(of)))
    total = np.asarray(np.bincount(of * 2 + arm, value), np.float64).reshape(-1, 2)
    return Strata(units, bad, total, np.full(rows, 0.5), *binned(of, arm, value))


def families(rows: int) -> Iterator[tuple[str, Callable[[Strata, int], None]]]:
    """Each family by name, with what one round of it is."""
    every, zero = np.arange(rows), np.zeros(rows)
    proportions, counts, durations = Proportions(), Counts(), Durations()
    amounts, gauges, ratios = Amounts(), Gauges(), Ratios()
    proportions.add(zero + 0.01)
    counts.add(zero + 1.05)
    durations.add(np.full(rows, 5), np.full(rows, 4))
    relative = np.ones(rows, np.bool_)
    amounts.add(zero + 2e6, zero + 0.1, relative, zero + 1.0)
    gauges.add(zero + 0.1, relative, np.tile([0.5, 0.1, 0.0, 0.0, 0.0], (rows, 1)), relative)
    ratios.add(zero + 0.1, relative)
    yield "proportions", lambda told, _: proportions.advance(every, told)
    yield "counts", lambda told, _: counts.advance(every, told)
    yield "durations", lambda told, _: durations.advance(every, told)
    yield "amounts", lambda told, _: amounts.advance(every, told)
    yield "gauges", lambda told, at: gauges.advance(every, told, np.full(rows, at))
    yield "ratios", lambda told, _: ratios.advance(every, told)


def cpu_us(work: Callable[[int], object], each: int) -> float:
    """Median CPU microseconds of a round for each of so many; the first two warm up."""
    spent = []
    for number in range(ROUNDS + 2):
        begin = time.process_time()
        work(number)
        spent.append(time.process_time() - begin)
    return 1e6 * float(np.median(spent[2:])) / each


def scipy_us(values: Floats) -> tuple[float, float]:
    """Microseconds a comparison of scipy's test in a loop, and along an axis."""
    first, second = values

    def looped(_: int) -> None:
        for a, b in zip(first[:LOOPED], second[:LOOPED], strict=True):
            stats.mannwhitneyu(a, b, method="asymptotic")

    def at_once(_: int) -> None:
        stats.mannwhitneyu(first, second, axis=1, method="asymptotic")

    return cpu_us(looped, LOOPED), cpu_us(at_once, len(first))


def main() -> None:
    parser = argparse.ArgumentParser(description="What a comparison costs a tick.")
    parser.add_argument("--rows", type=int, default=10_000)
    rows = parser.parse_args().rows
    chance = np.random.default_rng(1)
    loop, axis = scipy_us(chance.lognormal(2.0, 0.7, (2, min(rows, 2_000), VALUES)))
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"scipy.stats.mannwhitneyu of {VALUES} values in either arm, us each: "
          f"in a loop {loop:.0f}, with axis=1 {axis:.1f}")  # fmt: skip
    print("| family | us each | ms for 10,000 | times the loop | times axis=1 |")
    print("|---|---|---|---|---|")
    rounds = [strata(rows, chance) for _ in range(3)]
    for name, advance in families(rows):
        each = cpu_us(lambda number, go=advance: go(rounds[number % 3], number), rows)  # type: ignore[misc]
        print(f"| {name} | {each:.1f} | {10 * each:.0f} | {loop / each:.0f} | {axis / each:.1f} |")


if __name__ == "__main__":
    main()
