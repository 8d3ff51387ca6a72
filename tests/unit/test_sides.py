"""Whether the two sides can be compared at all: who was put where, and what gauges remember."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analyzers.facts import Facts, concat
from analyzers.folding.cells import fold
from analyzers.judging.evidence import Evidence
from analyzers.judging.judge import judge
from analyzers.policy import Criticality, Kind, Margin, Measure, Policy
from analyzers.timeline import timeline
from analyzers.turn import Inbox, State, take_turn
from tests.facts_of import (
    NEW,
    OLD,
    at_ns,
    duration,
    facts_of,
    flow,
    metric_of,
    policy_of,
    started,
    success,
)

ASSIGNED = metric_of(
    "assignment", Kind.COUNT, Measure.ASSIGNMENT, types=("order.seen",),
    criticality=Criticality.WATCH,
)  # fmt: skip
POLICY = policy_of(success(), ASSIGNED)


def seen(n: int, canary: float, *, seed: int = 1, subjects: bool = True) -> Facts:
    """So many customers that are put on a side, each seen about three times, and their orders."""
    chance = np.random.default_rng(seed)
    times = np.sort(chance.uniform(0.0, 3_000.0, n))
    version = np.where(chance.random(n) < canary, NEW, OLD)
    again = np.repeat(np.arange(n), 3)
    shown = facts_of(
        np.minimum(times[again] + chance.uniform(0.0, 60.0, 3 * n), 3_050.0),
        types="order.seen",
        version=version[again].tolist(),
        subjects=again + 1 if subjects else 0,
        ids=np.arange(3 * n) + 1,
    )
    bought = facts_of(times, version=version.tolist(), ids=np.arange(n) + 10**6)
    return concat([shown, bought])


def evidence_of(facts: Facts, policy: Policy = POLICY, share: float = 0.5) -> Evidence:
    evidence = Evidence(timeline([started(share=share)]).deployments[0], OLD, policy)
    evidence.advance(fold(facts, (), policy, open_from=0))
    return evidence


def test_sides_that_got_other_customers_than_they_should_decide_nothing() -> None:
    evidence = evidence_of(seen(2_000, 0.6))
    verdict = judge(evidence, as_of_ns=at_ns(3_100.0))
    assert evidence.mismatch == ("assignment", ())
    assert (verdict.verdict, verdict.action) == ("inconclusive", "wait")
    assert "sample-ratio mismatch" in verdict.why
    told = next(reason for reason in verdict.reasons if reason.metric == "assignment")
    assert told.e_value > 1_000
    assert told.n_canary > told.n_baseline


def test_sides_that_got_what_they_should_are_no_mismatch_however_often_each_is_seen() -> None:
    for seed in range(20):
        evidence = evidence_of(seen(1_000, 0.5, seed=seed))
        assert evidence.mismatch is None, seed
        verdict = judge(evidence, as_of_ns=at_ns(3_100.0))
        assert [reason.metric for reason in verdict.reasons] == ["success"]


def test_a_crossed_harm_outranks_a_mismatch() -> None:
    lost = facts_of(np.linspace(0.0, 3_000.0, 600), version=NEW, outcome="rejected",
                    ids=np.arange(600) + 10**7)  # fmt: skip
    evidence = evidence_of(concat([seen(2_000, 0.6), lost]))
    assert evidence.mismatch is not None
    assert judge(evidence, as_of_ns=at_ns(3_100.0)).verdict == "degraded"


def test_without_a_declared_share_there_is_no_mismatch() -> None:
    deployment = timeline([started(share=None)]).deployments[0]
    evidence = Evidence(deployment, OLD, POLICY)
    evidence.advance(fold(seen(2_000, 0.6), (), POLICY, open_from=0))
    assert evidence.mismatch is None


# --- durations ---------------------------------------------------------------------------------

TIMES = policy_of(duration(quantum=0.01), flow())


def confirmed(median_s: float, slower: float, hours: float, *, seed: int = 1) -> Facts:
    """Orders of both versions, two hundred a minute, each heard of when it is confirmed; half an
    hour of the old version's before the start."""
    chance = np.random.default_rng(seed)
    n = int(200 * 60 * (hours + 0.5))
    begun = chance.uniform(-1_800.0, hours * 3_600.0, n)
    canary = (begun > 0) & (chance.random(n) < 0.5)
    lasted = median_s * np.exp(chance.normal(0.0, 0.6, n)) * np.where(canary, slower, 1.0)
    ended = begun + lasted
    heard = ended < hours * 3_600.0
    return facts_of(
        ended[heard], types="order.confirmed", value=lasted[heard], ids=np.flatnonzero(heard) + 1,
        version=np.where(canary, NEW, OLD)[heard].tolist(),
    )  # fmt: skip


def test_a_slow_canary_is_not_safe_while_its_slow_orders_have_not_ended() -> None:
    """At twice its margin; what has ended is alike on both sides for the first half hour."""
    for seed in range(3):
        state = state_after(confirmed(1_200.0, 1.2, 1.2, seed=seed), TIMES)
        assert state.evidence["d-1"].comparisons["duration", ()].log_safe_top < 3.0
        assert state.verdicts["d-1"].verdict != "healthy"


def test_an_untouched_canary_is_safe_once_its_longest_orders_can_have_ended() -> None:
    state = state_after(confirmed(30.0, 1.0, 0.8), TIMES)
    assert state.verdicts["d-1"].verdict == "healthy"


# --- gauges ------------------------------------------------------------------------------------

DEPTH = metric_of(
    "depth", Kind.GAUGE, Measure.VALUE, types=("queue.sampled",), quantum=0.01,
    margin=Margin(20.0, relative=False),
)  # fmt: skip
QUEUES = replace(policy_of(DEPTH, success()), error_rate=0.05)
LEAD_IN = 1_500  # minutes before the start


def queues(minutes: int, harm: float, *, seed: int = 1, common: float = 0.0) -> Facts:
    """Samples of the queues of both tracks, of which the canary's has the new version from the
    start on and is ``harm`` deeper then: each is an autoregression around 100, and both share
    noise of standard deviation ``common``."""
    chance = np.random.default_rng(seed)
    n = LEAD_IN + minutes
    noise = chance.normal(0.0, 5.0, (n, 2))
    depth = np.zeros((n, 2))
    for i in range(1, n):
        depth[i] = 0.8 * depth[i - 1] + noise[i]
    depth += chance.normal(0.0, common, (n, 1))
    times = (np.arange(n) - LEAD_IN) * 60.0
    after = times >= 0
    depth[after, 1] += harm
    old = facts_of(times, types="queue.sampled", version=OLD, track="baseline",
                   value=100.0 + depth[:, 0], ids=np.arange(n) + 1)  # fmt: skip
    new = facts_of(
        times, types="queue.sampled", version=np.where(after, NEW, OLD).tolist(), track="canary",
        value=100.0 + depth[:, 1], ids=np.arange(n) + 10**6,
    )  # fmt: skip
    return concat([old, new])


def state_after(facts: Facts, policy: Policy) -> State:
    state = State()
    take_turn(state, Inbox(facts=facts, markers=(started(share=0.5),), complete=True), policy)
    return state


def test_a_deeper_queue_is_harm_once_both_tracks_have_a_past() -> None:
    state = state_after(queues(400, 80.0), QUEUES)
    reason = next(one for one in state.verdicts["d-1"].reasons if one.metric == "depth")
    assert (reason.state, reason.indicative) == ("degraded", False)
    assert reason.effect is not None
    assert abs(reason.effect - 80.0) < 15.0


def test_an_untouched_queue_is_no_harm_and_shown_safe_in_time() -> None:
    for seed in range(5):
        state = state_after(queues(700, 0.0, seed=seed), QUEUES)
        assert state.verdicts["d-1"].verdict != "degraded", seed
        comparison = state.evidence["d-1"].comparisons["depth", ()]
        assert comparison.log_safe_top > 3.0, seed


def test_noise_that_both_sides_share_hides_no_memory_of_their_own() -> None:
    found = [state_after(queues(300, 0.0, seed=seed, common=30.0), QUEUES) for seed in range(10)]
    assert sum(state.verdicts["d-1"].verdict == "degraded" for state in found) <= 1


def test_the_baselines_own_past_does_not_tell_what_a_difference_remembers() -> None:
    facts = queues(400, 80.0)
    alone = facts.take((facts.time_ns >= at_ns(0.0)) | facts.track.equals("baseline"))
    (reason,) = [r for r in state_after(alone, QUEUES).verdicts["d-1"].reasons
                 if r.metric == "depth"]  # fmt: skip
    assert reason.indicative


def test_a_queue_without_a_past_is_indicative_and_decides_nothing() -> None:
    facts = queues(400, 80.0)
    state = state_after(facts.take(facts.time_ns >= at_ns(0.0)), QUEUES)
    verdict = state.verdicts["d-1"]
    reason = next(one for one in verdict.reasons if one.metric == "depth")
    assert (verdict.verdict, reason.indicative, reason.gates) == ("inconclusive", True, False)
    assert "thousand minutes" in reason.detail
