"""What folding alone costs, by how many attribute sets, values and subjects there are.

Sketch: facts are numbered once by whose they are, slice and kind, some 30 ns an event; each set
that occurs then counts its combinations for all metrics, five passes of 1 to 2 ns where a table is
small enough and a sort of 12 ns where it is not; a metric of values adds up its sums and sorts its
buckets, 40 ns. Three attributes: 0.3 us. Only words are handled in Python, 1 us each: made-up
values have so many that it shows. Events with a subject are counted once more in each set, by
their bucket too, and each bucket becomes a row: 30 to 100 ns an event and set.
Measured: see README.md. The ratio is to one ``numpy.lexsort`` of the same rows by three keys.

Run: ``python -m benchmarks.bench_fold [--events N]``. CPU times, the best of the rounds.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np

from analyzers.facts import Facts, concat
from analyzers.folding.answers import nothing_waiting
from analyzers.folding.cells import Cells, fold
from analyzers.policy import Policy
from collector.keeping.packing import pack
from pipeline import config
from pipeline.kept import encode
from tests.facts_of import NEW, OLD, facts_of

ROUNDS = 5
SPAN_S = 600.0


def orders(events: int, *, values: int, attributes: int, subjects: int = 0, seed: int = 1) -> Facts:
    """Half submissions, half confirmations over ten minutes, with so many attributes of so many
    values each; of so many customers, or of none."""
    chance = np.random.default_rng(seed)
    names = ("country", "warehouse", "partner", "tenant", "channel")[:attributes]
    digests = chance.integers(1, 1 << 64, subjects, np.uint64)
    parts = []
    for number, (kind, n) in enumerate(
        (("order.submitted", events - events // 2), ("order.confirmed", events // 2))
    ):
        words = [f"v{i}" for i in range(values)]
        parts.append(
            facts_of(
                np.sort(chance.uniform(0, SPAN_S, n)),
                types=kind,
                version=chance.choice([OLD, NEW], n).tolist(),
                outcome=chance.choice(["ok", "rejected"], n, p=[0.98, 0.02]).tolist(),
                value=chance.lognormal(2.0, 0.7, n),
                ids=np.arange(n) + number * events + 1,
                attributes={name: chance.choice(words, n).tolist() for name in names},
                subjects=digests[chance.integers(0, subjects, n)] if subjects else 0,
            )
        )
    return concat(parts)


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def sorted_once(facts: Facts) -> float:
    """CPU seconds of one lexsort of the rows by version, type and time."""
    return cpu_s(lambda: np.lexsort((facts.time_ns, facts.type.codes, facts.version.codes)))


def folded(facts: Facts, policy: Policy) -> tuple[float, Cells]:
    """CPU seconds of folding, and what it gives."""
    cells = fold(facts, (), policy, open_from=0)
    return cpu_s(lambda: fold(facts, (), policy, open_from=0)), cells


def main() -> None:
    parser = argparse.ArgumentParser(description="Events folded into cells per second.")
    parser.add_argument("--events", type=int, default=100_000)
    events = parser.parse_args().events
    policy = config.load(None, {}).policy
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    for attributes, values in ((0, 1), (1, 20), (3, 20), (5, 20), (3, 1_000), (1, events)):
        for subjects in (0, 5_000):
            facts = orders(events, values=values, attributes=attributes, subjects=subjects)
            seconds, cells = folded(facts, policy)
            kept = len(pack(encode(cells, nothing_waiting()), "cells").body)
            print(
                f"{attributes} attributes of {values:>7,} values, {subjects:>5,} subjects"
                f"{events / seconds:>12,.0f} events/s{seconds / sorted_once(facts):>5.0f} sorts"
                f"{len(cells):>9,} cells{len(cells.bin):>9,} buckets"
                f"{kept / events:>7.2f} bytes an event kept"
            )


if __name__ == "__main__":
    main()
