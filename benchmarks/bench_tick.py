"""What one more stratum costs in every comparison of a deployment, against scipy in a loop.

A deployment with ten metrics' worth of totals and twenty segments each, some thirty comparisons
of a kind: a tick closes one stratum of twenty units in each of them. Beside it, in the same run,
``scipy.stats.mannwhitneyu`` once per comparison on the 600 values of each that have been seen by
then: what a judge would do that keeps raw values and tests them anew in every tick (and whose
false alarms add up with every look).

Sketch: evidence against some fifty effects at once, thirty NumPy calls of 5 to 10 us a kernel, so
0.3 ms; a Mann-Whitney test of 600 values 0.5 to 1 ms. Measured: see README.md.

Run: ``python -m benchmarks.bench_tick [--ticks N]``. CPU times of all ticks together.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np
from scipy import stats

from analyzers.evidence import Evidence
from analyzers.facts import Facts, concat
from analyzers.policy import Policy
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

SEGMENTS = 20
UNITS = 20  # of each arm, in every segment and slice: each closes one stratum a tick
SEEN = 600

POLICY = policy_of(
    success(segments=(("warehouse",),)), duration(segments=(("warehouse",),)), flow()
)


def tick(number: int, chance: np.random.Generator) -> Facts:
    """One slice in which every segment of both metrics fills a stratum."""
    n = SEGMENTS * UNITS
    words = {"warehouse": [f"W{i % SEGMENTS}" for i in range(n)]}
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


def judged(ticks: int, policy: Policy) -> tuple[int, float]:
    """Strata closed over all comparisons, and CPU seconds of taking in the cells of all ticks."""
    chance = np.random.default_rng(1)
    evidence = Evidence(timeline([started(share=0.5)]).deployments[0], OLD, policy)
    spent = 0.0
    for number in range(ticks):
        cells = settled_cells(tick(number, chance), policy, until_s=0.0)
        begin = time.process_time()
        evidence.advance(cells)
        spent += time.process_time() - begin
    assert evidence.changes[-1].slice >= BEGIN_SLICE
    return sum(len(one.path.at) for one in evidence.comparisons.values()), spent


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
    parser.add_argument("--ticks", type=int, default=12)
    ticks = parser.parse_args().ticks
    judged(2, POLICY)
    looped(20)
    comparisons, spent = judged(ticks, POLICY)
    scipy_s = looped(comparisons)
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{comparisons // ticks} comparisons a tick, {1e3 * spent / ticks:.0f} ms CPU")
    print(f"{comparisons / spent:,.0f} comparisons/s, {1e6 * spent / comparisons:.0f} us each")
    print(f"scipy's mannwhitneyu of {SEEN} values in a loop: {comparisons / scipy_s:,.0f}/s")
    print(f"a comparison costs {spent / scipy_s:.2f} of it, at every effect instead of one")


if __name__ == "__main__":
    main()
