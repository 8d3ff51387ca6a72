"""Streams of orders drawn from a seed: submissions, confirmations, probes, for both arms.

Made as columns at once, so that hundreds of deployments can be simulated in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzers.facts import SLICE_NS, SLICE_S, Facts, concat
from analyzers.folding.answers import heard, settle
from analyzers.folding.cells import Cells, fold, merge
from analyzers.policy import Policy
from tests.facts_of import NEW, OLD, at_ns, facts_of

COUNTRIES = ("UK", "DE", "FR", "")


@dataclass(frozen=True, slots=True)
class Orders:
    """How orders come. Pairs are baseline and canary; ``drift`` is how far the failure rate
    wanders over the stream, as a factor up and down; times in slices from the start."""

    slices: int = 360
    per_slice: float = 4.0
    share: float = 0.5
    failing: tuple[float, float] = (0.02, 0.02)
    unconfirmed: tuple[float, float] = (0.01, 0.01)
    median_s: tuple[float, float] = (8.0, 8.0)
    drift: float = 1.0
    canary_from: int = 0
    canary_until: int | None = None
    lead_in: int = 0  # slices before the start in which the old version serves everybody
    viewed: bool = True


def drawn(orders: Orders, seed: int) -> Facts:
    """The facts of one stream, submissions first, each with its confirmation by reference."""
    chance = np.random.default_rng(seed)
    n = chance.poisson(orders.per_slice * (orders.slices + orders.lead_in))
    first = -orders.lead_in * SLICE_S
    times = np.sort(chance.uniform(first, orders.slices * SLICE_S, n))
    canary = (chance.random(n) < orders.share) & (times >= orders.canary_from * SLICE_S)
    if orders.canary_until is not None:
        canary &= times < orders.canary_until * SLICE_S
    rate = np.where(canary, orders.failing[1], orders.failing[0])
    rate = rate * orders.drift ** np.sin(times / 1_500.0)
    failed = chance.random(n) < np.minimum(rate, 1.0)
    version = np.where(canary, NEW, OLD).tolist()
    country = chance.choice(COUNTRIES, n, p=(0.6, 0.2, 0.15, 0.05)).tolist()
    ids = np.arange(1, n + 1)
    attributes = {"country": country}
    submitted = facts_of(
        times,
        version=version,
        outcome=np.where(failed, "rejected", "ok").tolist(),
        ids=ids,
        attributes=attributes,
    )
    lost = chance.random(n) < np.where(canary, orders.unconfirmed[1], orders.unconfirmed[0])
    took = chance.lognormal(0.0, 0.7, n) * np.where(canary, *orders.median_s[::-1])
    done = np.flatnonzero(~failed & ~lost)
    confirmed = facts_of(
        (times + took)[done],
        types="order.confirmed",
        version=[version[i] for i in done],
        value=took[done],
        ids=ids[done] + 10 * n,
        refs=ids[done],
        attributes={"country": [country[i] for i in done]},
    )
    parts = [submitted, confirmed]
    if orders.viewed:
        m = 3 * n
        seen = np.sort(chance.uniform(first, orders.slices * SLICE_S, m))
        by_canary = (chance.random(m) < orders.share) & (seen >= orders.canary_from * SLICE_S)
        parts.append(
            facts_of(
                seen,
                types="page.viewed",
                version=np.where(by_canary, NEW, OLD).tolist(),
                ids=np.arange(1, m + 1) + 20 * n,
            )
        )
    return concat(parts)


def settled_cells(facts: Facts, policy: Policy, *, until_s: float) -> Cells:
    """All cells of a stream whose every question due by ``until_s`` has been settled."""
    waiting = heard(facts, policy)
    until_ns = at_ns(until_s) // SLICE_NS * SLICE_NS - 1
    due = settle(waiting, policy, old=0, since_ns=0, until_ns=until_ns, open_from=0)
    return merge([fold(facts, (), policy, open_from=0), due])
