"""Placebos watched together: each comes to what it would come to alone, and to what a release in
its place would come to, looked at again and again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from analyzers.auditing.injury import injured
from analyzers.auditing.placebo import Recorded, planned, recorded, split
from analyzers.auditing.trial import Case, Trial, Tried, tried
from analyzers.comparing.arms import shown_before
from analyzers.facts import NS_PER_S, SLICE_NS, SLICE_S, Facts, concat
from analyzers.folding.answers import heard, settle
from analyzers.folding.cells import Cells, fold, merge
from analyzers.judging.evidence import EXPECTED_DAYS, Evidence
from analyzers.policy import Metric, Policy
from analyzers.timeline import timeline
from tests.facts_of import (
    OLD,
    answered,
    assigned,
    duration,
    facts_of,
    flow,
    policy_of,
    started,
    success,
    throughput,
)
from tests.order_facts import Orders, drawn

HOUR = 3_600
LOOKS = 8
WATCH_S = 2_400
POLICY = policy_of(
    success(), duration(), throughput(), answered(), flow(),
    assigned(types=("assignment.made",)), watch_s=WATCH_S, promotion_error_rate=0.2,
)  # fmt: skip


def assignments(n: int = 400) -> Facts:
    """Customers put on a side, one after the other."""
    facts = facts_of(np.linspace(0.0, 4_000.0, n), types="assignment.made", version=OLD)
    return replace(facts, subject=np.arange(1, n + 1, dtype=np.uint64))


def stream() -> Recorded:
    """An hour of one version: orders, confirmations, and who was put on a side."""
    orders = drawn(Orders(slices=400, per_slice=20.0, share=0.0, viewed=False), seed=3)
    return recorded(concat([orders, assignments()]), (), (), watch_s=WATCH_S)[0]


def cases(told: Recorded, splits: int = 1) -> list[Case]:
    """Placebos without and with harm, one after the other."""
    times = told.facts.time_ns
    placebos = planned(
        int(times[0]), int(times[-1]), watch_s=WATCH_S, splits=splits, shares=(0.5, 0.1), seed=1
    )
    harms: list[Metric | None] = [None, duration()]
    return [Case(one, harm=harm) for one in placebos for harm in harms]


def watched(told: Recorded, some: list[Case], together: int) -> list[Trial]:
    return list(tried(told, some, POLICY, looks=LOOKS, together=together))


def test_a_placebo_comes_to_the_same_alone_as_among_others() -> None:
    told = stream()
    some = cases(told)
    alone = [one for case in some for one in watched(told, [case], 1)]
    assert watched(told, some, 10**9) == alone
    assert watched(told, some[::-1], 100_000) == alone[::-1]
    assert any(trial.rolled_back for trial in alone)
    assert any(trial.promoted for trial in alone)


def test_a_placebo_comes_to_what_a_release_in_its_place_would_come_to() -> None:
    told = stream()
    some = cases(told)
    assert watched(told, some, 10**9) == [released(told, case, POLICY) for case in some]


def released(told: Recorded, case: Case, policy: Policy) -> Trial:
    """The same placebo as a release that is advanced look by look and followed slice by slice."""
    placebo, harm = case.placebo, case.harm
    near = told.between(placebo.started_ns - 7 * 24 * HOUR * NS_PER_S, placebo.until_ns)
    sides = split(near, placebo)
    mine = sides.recorded if harm is None else injured(sides, harm, placebo.salt)
    cells = folded(mine, policy, placebo.until_ns)
    start, end = placebo.started_ns // SLICE_NS, placebo.until_ns // SLICE_NS + 1
    begun = {"time_ns": placebo.started_ns, "share": placebo.share}
    marker = started(version="new", replaces="old", **begun)
    (deployment,) = timeline([marker]).deployments
    history, rest = cells.split(start)
    expected = shown_before(deployment, "old", [history], EXPECTED_DAYS)
    evidence = Evidence(deployment, "old", policy, expected)
    level = -math.log(policy.error_rate)
    first: dict[str, tuple[int, int]] = {}
    for edge in np.linspace(start, end, LOOKS + 1).astype(int).tolist()[1:]:
        block, rest = rest.split(edge)
        evidence.advance(block)
        for key, one in evidence.comparisons.items():
            if not key[1] and key[0] not in first and one.log_harm_max >= level:
                first[key[0]] = ((edge - start) * SLICE_S, int(one.seen.sum()))
    at = evidence.degraded_at
    until_ns = 0 if at is None else (at + 1) * SLICE_NS
    times = mine.facts.time_ns
    return Trial(
        placebo,
        rolled_back=at is not None,
        promoted=any(change.status == "healthy" for change in evidence.changes),
        seconds=0 if at is None else (at + 1 - start) * SLICE_S,
        events=int(((times >= placebo.started_ns) & (times < until_ns)).sum()),
        metrics=tuple(
            Tried(key[0], one.indicative, key[0] in first, *first.get(key[0], (0, 0)))
            for key, one in sorted(evidence.comparisons.items())
            if not key[1] and one.shown
        ),
    )


def folded(told: Recorded, policy: Policy, until_ns: int) -> Cells:
    """All cells of some facts, those of due questions among them."""
    last_ns = until_ns // SLICE_NS * SLICE_NS - 1
    waiting = heard(told.facts, policy)
    due = settle(waiting, policy, old=0, since_ns=0, until_ns=last_ns, open_from=0)
    return merge([fold(told.facts, (), policy, open_from=0), due])
