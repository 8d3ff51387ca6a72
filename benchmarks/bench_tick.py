"""What one more stratum costs in every comparison of a deployment, against scipy in a loop.

A deployment with two metrics, their totals and segments of each: a tick closes one stratum of
twenty units in each of them. Beside it, in the same run, ``scipy.stats.mannwhitneyu`` once per
comparison on the 600 values of each that have been seen by then: what a judge would do that keeps
raw values and tests them anew in every tick (and whose false alarms add up with every look).

Sketch: all comparisons of a family are one round of some hundred NumPy calls, 1 to 2 ms a tick
whatever their number, and 1 to 5 us a comparison in arrays; which cells speak in which comparison
is looked up by numbers, and strata and their buckets are formed, for as much again. A Mann-Whitney
test of 600 values takes 0.5 to 1 ms. A tick must cost the same at the end of a watch as at its
beginning: what is kept of a comparison does not grow. Measured: see README.md.

Run: ``python -m benchmarks.bench_tick [--ticks N] [--segments N]``. CPU times of all ticks.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np
from scipy import stats

from analyzers.facts import Facts, concat
from analyzers.judging.evidence import Evidence
from analyzers.policy import Limits
from analyzers.timeline import timeline
from tests.facts_of import (
    BEGIN_SLICE,
    NEW,
    OLD,
    duration,
    facts_of,
    flow,
    policy_of,
    started,
    success,
)
from tests.order_facts import settled_cells

UNITS = 20  # of each arm, in every segment and slice: each closes one stratum a tick
SEEN = 600

POLICY = policy_of(
    success(segments=(("warehouse",),)),
    duration(segments=(("warehouse",),)),
    flow(),
    limits=Limits(segments=100_000),
)


def tick(number: int, segments: int, chance: np.random.Generator) -> Facts:
    """One slice in which every segment of both metrics fills a stratum."""
    n = segments * UNITS
    words = {"warehouse": [f"W{i % segments}" for i in range(n)]}
    return concat(
        [
            facts_of(
                np.full(n, number * 10.0), types=kind, version=version,
                outcome=chance.choice(["ok", "rejected"], n, p=[0.97, 0.03]).tolist(),
                value=chance.lognormal(2.0, 0.7, n), attributes=words,
            )
            for kind in ("order.submitted", "order.confirmed")
            for version in (OLD, NEW)
        ]
    )  # fmt: skip


def judged(ticks: int, segments: int) -> tuple[int, list[float]]:
    """Strata closed over all comparisons, and CPU seconds of taking in the cells of each tick."""
    chance = np.random.default_rng(1)
    evidence = Evidence(timeline([started(share=0.5)]).deployments[0], OLD, POLICY)
    spent = []
    for number in range(ticks):
        cells = settled_cells(tick(number, segments, chance), POLICY, until_s=0.0)
        begin = time.process_time()
        evidence.advance(cells)
        spent.append(time.process_time() - begin)
    assert evidence.changes[-1].slice >= BEGIN_SLICE
    return sum(one.strata for one in evidence.comparisons.values()), spent


def aged(spent: list[float]) -> float:
    """What a tick costs in the last quarter of the watch, by what it cost in the second one: the
    first begins all comparisons."""
    quarter = len(spent) // 4
    return float(np.median(spent[-quarter:]) / np.median(spent[quarter : 2 * quarter]))


def looped(tests: int) -> float:
    """CPU seconds of so many Mann-Whitney tests in a loop."""
    chance = np.random.default_rng(2)
    a, b = chance.lognormal(2.0, 0.7, (2, SEEN // 2))
    begin = time.process_time()
    for _ in range(tests):
        stats.mannwhitneyu(a, b, method="asymptotic")
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description="Comparisons per second of a tick.")
    parser.add_argument("--ticks", type=int, default=160)
    parser.add_argument("--segments", type=int, default=20)
    told = parser.parse_args()
    ticks, tests = told.ticks, 500
    judged(2, told.segments)
    looped(20)
    comparisons, each = judged(ticks, told.segments)
    spent = sum(each)
    scipy_s = looped(tests) / tests * comparisons
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{comparisons // ticks} comparisons a tick, {1e3 * spent / ticks:.0f} ms CPU")
    print(f"{comparisons / spent:,.0f} comparisons/s, {1e6 * spent / comparisons:.0f} us each")
    print(f"scipy's mannwhitneyu of {SEEN} values in a loop: {comparisons / scipy_s:,.0f}/s")
    print(f"a comparison costs {spent / scipy_s:.3f} of it")
    print(f"a tick of the last quarter costs {aged(each):.2f} of one of the second")


if __name__ == "__main__":
    main()
