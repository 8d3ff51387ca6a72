"""Measured tables for docs/MATH.md: false alarms, and power with the median delay, of our families
and of the peers beside them, on the same streams.

``python -m tests.calibration.tables --runs 4000 [--only counts]``; error rate 5 % one-sided for
ours, two-sided for peers that have no side; 200 windows, 39 looks for the peers that take series.
Deployments of twenty metrics are in ``deployed.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias, TypeVar

import numpy as np

from analyzers.facts import Floats
from tests.calibration import deployed, peers
from tests.calibration.paths import (
    Paths,
    of_amounts,
    of_assignments,
    of_counts,
    of_durations,
    of_gauges,
    of_proportions,
    of_ratios,
)
from tests.calibration.streams import Counted, Failing, Level, Timed, merged, windows_a_stratum

ALPHA: Final = 0.05
LOOKS: Final = 200
ASSIGNED: Final = 0.001  # the error rate of assignments by default
Rows: TypeAlias = dict[str, list[str]]
S = TypeVar("S")
Draw: TypeAlias = Callable[[S, int, bool], Iterator[tuple[str, Floats]]]

COUNTS: Final = {
    "Poisson": Counted(),
    "one a window": Counted(rate=1.0),
    "canary 25 %": Counted(share=0.25),
    "canary 10 %": Counted(share=0.1),
    "canary 1 %": Counted(share=0.01),
    "Fano 2": Counted(fano=2.0),
    "Fano 5": Counted(fano=5.0),
    "Fano 5, canary 10 %": Counted(fano=5.0, share=0.1),
}
COUNT_EFFECTS: Final = {
    "-10 %": Counted(ratio=1 / 0.9),  # arms swapped: what is lost is what the other has more
    "-20 %": Counted(ratio=1 / 0.8),
    "-50 %": Counted(ratio=2.0),
    "-20 %, Fano 5": Counted(ratio=1 / 0.8, fano=5.0),
}
PROPORTIONS: Final = {
    "5 % fail": Failing(),
    "0.2 % fail": Failing(base=0.002),
    "drifting threefold": Failing(drift=3.0),
    "canary 25 %": Failing(share=0.25),
    "canary 10 %": Failing(share=0.1),
    "canary 1 %": Failing(share=0.01),
    "clusters, icc .05": Failing(icc=0.05),
}
PROPORTION_EFFECTS: Final = {
    "+1 point": Failing(points=0.01),
    "+2": Failing(points=0.02),
    "+5": Failing(points=0.05),
    "+2, 200 units": Failing(points=0.02, rate=200.0),
    "+5, canary 10 %": Failing(points=0.05, share=0.1),
}
DURATIONS: Final = {
    "equal": Timed(),
    "drifting twofold": Timed(drift=2.0),
    "weather": Timed(weather=0.3),
    "canary 10 %": Timed(share=0.1),
    "canary 1 %": Timed(share=0.01, rate=200.0),
}
DURATION_EFFECTS: Final = {
    "+5 %": Timed(factor=1.05),
    "+10 %": Timed(factor=1.1),
    "+20 %": Timed(factor=1.2),
    "2 % fourfold": Timed(slow=0.02),
    "5 % fourfold": Timed(slow=0.05),
    "+10 %, canary 10 %": Timed(factor=1.1, share=0.1),
}
SUMS: Final = {
    "equal": Timed(),
    "sigma 1.5": Timed(sigma=1.5),
    "drifting twofold": Timed(drift=2.0),
    "weather": Timed(weather=0.3),
    "canary 10 %": Timed(share=0.1),
    "sigma 1.5, canary 10 %": Timed(sigma=1.5, share=0.1),
    "canary 1 %": Timed(share=0.01, rate=200.0),
}
SUM_EFFECTS: Final = {
    "+10 %": Timed(factor=1.1),
    "+20 %": Timed(factor=1.2),
    "+20 %, sigma 1.5": Timed(factor=1.2, sigma=1.5),
    "2 % fourfold": Timed(slow=0.02),
    "+20 %, canary 10 %": Timed(factor=1.2, share=0.1),
}
ASSIGNMENTS: Final = {
    "50 %": Counted(rate=100.0),
    "10 %": Counted(rate=100.0, share=0.1),
    "1 %": Counted(rate=100.0, share=0.01),
    "in clusters, 50 %": Counted(rate=100.0, fano=3.0),
    "in clusters, 10 %": Counted(rate=100.0, share=0.1, fano=3.0),
}
ASSIGNMENT_EFFECTS: Final = {
    "52 % for 50": Counted(rate=100.0, ratio=0.52 / 0.48),
    "55 % for 50": Counted(rate=100.0, ratio=0.55 / 0.45),
    "10 % loses a third": Counted(rate=100.0, share=0.1, ratio=2 / 3),
    "55 % for 50, in clusters": Counted(rate=100.0, ratio=0.55 / 0.45, fano=3.0),
}
GAUGES: Final = {
    "independent": Level(),
    "AR .5": Level(0.5),
    "AR .9": Level(0.9),
    "ARMA .9": Level(0.9, -0.4),
    "common mode": Level(common=20.0),
    "common, AR .5": Level(0.5, common=20.0),
    "common, AR .9": Level(0.9, common=20.0),
}
GAUGE_EFFECTS: Final = {
    "+.5 sd": Level(effect=0.5),
    "+1 sd": Level(effect=1.0),
    "+1 sd, common": Level(effect=1.0, common=20.0),
    "+1 sd, AR .5": Level(0.5, effect=1.0),
    "+2 sd, AR .9": Level(0.9, effect=2.0),
}


def counts(stream: Counted, runs: int, looks: int = LOOKS) -> Paths:
    """Ours, in strata of as many windows as they take."""
    size = windows_a_stratum(stream.rate, stream.share)
    told = of_counts(merged(stream.drawn(runs, looks * size), size), stream.share)
    return replace(told, every=size)


def proportions(stream: Failing, runs: int, looks: int = LOOKS) -> Paths:
    """Ours, in strata of as many windows as they take."""
    size = windows_a_stratum(stream.rate, stream.share, 8.0)
    units, bad = (merged(told, size) for told in stream.drawn(runs, looks * size))
    return replace(of_proportions(units, bad), every=size)


def alarmed(found: Floats) -> str:
    """The share that ever alarms."""
    return f"{np.isfinite(found).mean():.3f}"


def found(delays: Floats) -> str:
    """The share found, and the median delay where half are."""
    power, middle = np.isfinite(delays).mean(), np.median(delays)
    return f"{power:.2f}".removesuffix(".00") + (f" / {middle:.0f}" if np.isfinite(middle) else "")


def _columns(rows: Rows, told: Iterator[tuple[str, Floats]], cell: Callable[[Floats], str]) -> None:
    for name, delays in told:
        rows.setdefault(name, []).append(cell(delays))


def _of_counts(stream: Counted, runs: int, effects: bool) -> Iterator[tuple[str, Floats]]:
    ours = counts(stream, runs)
    drawn = stream.drawn(runs, LOOKS)
    yield "**ours, harm**", ours.delays(ALPHA)
    if not effects:
        yield "ours, harm, 1 %", ours.delays(0.01)
        yield "ours, safety", ours.delays(ALPHA, safe=True)
        yield "binomial z, repeated", peers.count_z(drawn, stream.share, ALPHA)
    yield "savvi (Dirichlet, k 100)", peers.savvi(drawn, stream.share, ALPHA)
    yield "one-sided Beta 4, 32, 256", peers.one_sided_beta(drawn, stream.share, ALPHA)


def _of_proportions(stream: Failing, runs: int, effects: bool) -> Iterator[tuple[str, Floats]]:
    ours = proportions(stream, runs)
    units, bad = stream.drawn(runs, LOOKS)
    yield "**ours, harm**", ours.delays(ALPHA)
    if not effects:
        yield "ours, harm, 1 %", ours.delays(0.01)
        yield "ours, safety", ours.delays(ALPHA, safe=True)
        yield "pooled z, repeated", peers.proportion_z(units, bad, ALPHA)
    yield "Mantel-Haenszel, normal mixture", peers.haenszel(units, bad, ALPHA)


def _of_durations(stream: Timed, runs: int, effects: bool) -> Iterator[tuple[str, Floats]]:
    ours = of_durations(stream, runs, LOOKS)
    yield "**ours, harm**", ours.delays(ALPHA)
    if not effects:
        yield "ours, harm, 1 %", ours.delays(0.01)
        yield "ours, safety", ours.delays(ALPHA, safe=True)
    told = peers.of_durations(stream, min(runs, 400), LOOKS, ALPHA)
    yield from ((name, at) for name, at in told.items() if not effects or "repeated" not in name)


def _of_gauges(stream: Level, runs: int, effects: bool) -> Iterator[tuple[str, Floats]]:
    ours, values = of_gauges(stream, runs, LOOKS), stream.drawn(runs, LOOKS)
    yield "**ours, harm**", ours.delays(ALPHA)
    if not effects:
        yield "ours, harm, 1 %", ours.delays(0.01)
        yield "ours, safety", ours.delays(ALPHA, safe=True)
        yield from peers.ranks_repeated(values).items()
        yield "Welch repeated", peers.welch_repeated(values, ALPHA)
    yield "asymptotic sequence, unpaired", peers.growthbook(values, ALPHA)
    yield "Kayenta's rule", peers.kayenta(values[:, : min(runs, 400)])


def _of_sums(
    family: Callable[[Timed, int, int], Paths], stream: Timed, runs: int, effects: bool
) -> Iterator[tuple[str, Floats]]:
    ours = family(stream, runs, LOOKS)
    yield "**ours, harm**", ours.delays(ALPHA)
    if not effects:
        yield "ours, harm, 1 %", ours.delays(0.01)
        yield "ours, safety", ours.delays(ALPHA, safe=True)
    told = peers.of_sums(stream, runs, LOOKS, ALPHA)
    yield from ((name, at) for name, at in told.items() if not effects or "repeated" not in name)


def _of_assignments(stream: Counted, runs: int, effects: bool) -> Iterator[tuple[str, Floats]]:
    """At the level that a policy's default gives them, where savvi and chi-squared stand too; a
    stream's ``ratio`` is a mismatch here."""
    drawn = stream.drawn(runs, LOOKS)
    clustered = stream.fano > 1.0
    ours = of_assignments(drawn, stream.share, clustered=clustered)
    yield "**ours, 0.1 %**", ours.delays(ASSIGNED)
    yield "ours, 1 %", ours.delays(0.01)
    if not effects:
        yield "chi-squared repeated, 1 %", peers.count_z(drawn, stream.share, 0.01)
        yield "chi-squared repeated, 0.05 %", peers.count_z(drawn, stream.share, 0.0005)
    yield "savvi (Dirichlet, k 100), 1 %", peers.savvi(drawn, stream.share, 0.01)


def _table(title: str, streams: Mapping[str, S], draw: Draw[S], runs: int, *, effects: bool) -> str:
    """One table as Markdown."""
    rows: Rows = {}
    for stream in streams.values():
        _columns(rows, draw(stream, runs, effects), found if effects else alarmed)
    what = "found / median window" if effects else "false alarms"
    lines = [f"| {title}: {what} | {' | '.join(streams)} |", "|---" * (len(streams) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(row)} |" for name, row in rows.items())])


def _both(
    title: str, untouched: Mapping[str, S], moved: Mapping[str, S], draw: Draw[S]
) -> Callable[[int], Iterator[str]]:
    def told(runs: int) -> Iterator[str]:
        yield _table(title, untouched, draw, runs, effects=False)
        yield _table(title, moved, draw, runs, effects=True)

    return told


TABLES: Final[dict[str, Callable[[int], Iterator[str]]]] = {
    "counts": _both("counts", COUNTS, COUNT_EFFECTS, _of_counts),
    "proportions": _both("proportions", PROPORTIONS, PROPORTION_EFFECTS, _of_proportions),
    "durations": _both("durations", DURATIONS, DURATION_EFFECTS, _of_durations),
    "amounts": _both("amounts", SUMS, SUM_EFFECTS, partial(_of_sums, of_amounts)),
    "ratios": _both("ratios of sums", SUMS, SUM_EFFECTS, partial(_of_sums, of_ratios)),
    "assignments": _both("assignments", ASSIGNMENTS, ASSIGNMENT_EFFECTS, _of_assignments),
    "deployments": deployed.table,
    "gauges": _both("gauges", GAUGES, GAUGE_EFFECTS, _of_gauges),
}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="False alarms and delays, ours and peers'.")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--only", choices=TABLES)
    given = parser.parse_args()
    for title in TABLES if given.only is None else (given.only,):
        for table in TABLES[title](given.runs):
            print(table, end="\n\n", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
