"""Releases that are simulated whole: drawn orders, folded cells, evidence at every slice.

Used by the tests beside this, and as ``python -m tests.calibration.simulated --runs 400`` to
measure the rates that docs/MATH.md tells.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from analyzers.judging.evidence import Evidence
from analyzers.policy import Policy
from analyzers.timeline import timeline
from tests.facts_of import OLD, answered, duration, flow, policy_of, started, success, throughput
from tests.order_facts import Orders, drawn, settled_cells

ALPHA: Final = 0.05
MARGIN: Final = 0.03
POLICY: Final = policy_of(
    success(segments=(("country",),)),
    duration(),
    answered(),
    throughput(exposure="page.viewed"),
    flow(),
    error_rate=ALPHA,
    promotion_error_rate=ALPHA,
)
SLICES: Final = 180


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one simulated release came to: whether it was ever degraded or healthy, and for each
    comparison and silence the largest log e-value for harm, and for safety of totals."""

    seed: int
    degraded: bool
    healthy: bool
    harm: dict[str, float]
    safe: dict[str, float]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened in so many runs."""

    times: int
    runs: int

    @property
    def share(self) -> float:
        """The measured rate."""
        return self.times / self.runs

    def allowed(self, rate: float) -> float:
        """A true rate of ``rate`` and two Monte Carlo standard errors."""
        return rate + 2.0 * math.sqrt(rate * (1.0 - rate) / self.runs)


def untouched(base: float, share: float, *, drift: float = 1.0) -> Orders:
    """Orders of two arms that do not differ."""
    return Orders(
        slices=SLICES, share=share, failing=(base, base), unconfirmed=(base, base), drift=drift
    )


def at_margin(base: float, share: float) -> Orders:
    """Orders whose canary is worse by exactly the margin in every metric."""
    return replace(
        untouched(base, share),
        failing=(base, base + MARGIN),
        unconfirmed=(base, base + MARGIN),
        median_s=(8.0, 8.8),
    )


SETTINGS: Final[dict[str, Orders]] = {
    **{
        f"untouched, {base:.1%} fail, canary {share:.0%}": untouched(base, share)
        for base in (0.005, 0.05, 0.3)
        for share in (0.1, 0.5)
    },
    **{
        f"untouched, 5% drifting threefold, canary {share:.0%}": untouched(0.05, share, drift=3.0)
        for share in (0.1, 0.5)
    },
    **{
        f"at the margin, {base:.1%} fail, canary {share:.0%}": at_margin(base, share)
        for base in (0.005, 0.05, 0.3)
        for share in (0.1, 0.5)
    },
}


def simulated(orders: Orders, seed: int, policy: Policy = POLICY) -> Outcome:
    """One release, judged at every slice."""
    cells = settled_cells(drawn(orders, seed), policy, until_s=orders.slices * 10 + 100.0)
    deployment = timeline([started(share=orders.share)]).deployments[0]
    evidence = Evidence(deployment, OLD, policy)
    evidence.advance(cells)
    statuses = {change.status for change in evidence.changes}
    everything = evidence.comparisons.items()
    judged = {key: c for key, c in everything if not (c.indicative or c.silence)}
    harm = {_name(key): c.log_harm_max for key, c in judged.items()}
    silences = [c.log_harm_max for _, c in everything if c.silence]
    harm |= {"silence": max(silences, default=0.0)}
    safe = {key[0]: c.log_safe_top for key, c in judged.items() if not key[1]}
    return Outcome(seed, "degraded" in statuses, "healthy" in statuses, harm, safe)


def _name(key: tuple[str, tuple[tuple[str, str], ...]]) -> str:
    return " ".join([key[0], *(value for _, value in key[1])])


def rate(hits: Iterable[bool]) -> Rate:
    """The rate of what is true."""
    told = list(hits)
    return Rate(sum(told), len(told))


def crossed(outcomes: Iterable[Outcome], name: str, *, safe: bool = False) -> Rate:
    """How often a comparison alone ever reached 1 / alpha."""
    level = -math.log(ALPHA)
    tops = [(o.safe if safe else o.harm).get(name, 0.0) for o in outcomes]
    return rate(top >= level for top in tops)


def main() -> None:
    """Prints the measured rates as the rows of a table."""
    parser = argparse.ArgumentParser(description="Measured error rates of simulated releases.")
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    names = ("success", "duration", "answered", "throughput", "silence")
    print(f"| {runs} releases each | degraded | healthy | {' | '.join(names)} |")  # noqa: T201
    for title, orders in SETTINGS.items():
        outcomes = [simulated(orders, seed) for seed in range(runs)]
        alone = [f"{crossed(outcomes, name).share:.3f}" for name in names]
        ever = rate(o.degraded for o in outcomes), rate(o.healthy for o in outcomes)
        safe = [f"{crossed(outcomes, name, safe=True).share:.3f}" for name in names[:4]]
        row = [f"{one.share:.3f}" for one in ever] + alone
        print(f"| {title} | {' | '.join(row)} | safe: {', '.join(safe)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
