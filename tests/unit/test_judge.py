"""What is said of a deployment, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import msgspec
import numpy as np
import pytest

from analyzers.facts import Facts, Marker, concat
from analyzers.folding.cells import fold
from analyzers.judging.alert import firing
from analyzers.judging.evidence import Evidence
from analyzers.judging.judge import judge
from analyzers.judging.verdict import Reason, Verdict
from analyzers.policy import Criticality, Margin, Policy, Service
from analyzers.timeline import timeline
from tests.daemon import Daemon, inboxes
from tests.facts_of import (
    NEW,
    OLD,
    at_ns,
    duration,
    facts_of,
    finished,
    flow,
    policy_of,
    rolled_back,
    started,
    success,
    throughput,
)
from tests.order_facts import Orders, drawn, settled_cells

POLICY = replace(policy_of(success(), flow()), watch_s=3_600)


def both(
    n: int, *, bad: float = 0.0, until_s: float = 600.0, country: str = "", step: int = 1
) -> Facts:
    """n orders of each arm by ``until_s``; of the canary's, a share is rejected."""
    times = np.linspace(0.0, until_s - 0.01, n)
    outcome = ["rejected" if i < bad * n else "ok" for i in np.random.default_rng(1).permutation(n)]
    attributes = {"country": country}
    return concat(
        [
            facts_of(times, version=OLD, ids=np.arange(n) + step * 10**6, attributes=attributes),
            facts_of(
                times, version=NEW, ids=np.arange(n) + step * 10**6 + n, outcome=outcome,
                attributes=attributes,
            ),
        ]
    )  # fmt: skip


def judged(
    facts: Facts,
    policy: Policy = POLICY,
    *markers: Marker,
    as_of_s: float = 600.0,
    expected: Mapping[str, int] = MappingProxyType({}),
) -> Verdict:
    deployment = timeline(markers or (started(),)).deployments[0]
    evidence = Evidence(deployment, OLD, policy, expected)
    come = facts.take(facts.time_ns < at_ns(as_of_s))
    evidence.advance(fold(come, (), policy, open_from=0))
    return judge(evidence, as_of_ns=at_ns(as_of_s))


def reason(verdict: Verdict, metric: str, **segment: str) -> Reason:
    (found,) = [r for r in verdict.reasons if r.metric == metric and r.segment == segment]
    return found


def test_the_words_name_the_segments_that_carry_a_harm_and_each_says_what_it_cost() -> None:
    policy = replace(POLICY, metrics=(success(segments=(("country",),)), flow()))
    german, french = both(900, bad=0.6, country="DE"), both(900, bad=0.5, country="FR", step=9)
    facts = concat([german, french, both(900, country="UK", step=5)])
    verdict = judged(facts, policy)
    assert verdict.verdict == "degraded"
    assert verdict.why.startswith("success: -")
    assert verdict.why.endswith("; shown in country DE, country FR.")
    alone = judged(concat([german, both(900, country="UK", step=5)]), policy)
    assert alone.why.startswith("success (country DE): -")
    total, germany = reason(verdict, "success"), reason(verdict, "success", country="DE")
    assert germany.impact is not None
    assert total.impact is not None
    assert germany.impact.low < 540 < germany.impact.high
    assert germany.impact.unit == "orders"
    assert reason(verdict, "success", country="UK").impact is None


GOOD, BAD = both(1_200), both(1_200, bad=0.3)


def test_a_flawless_canary_is_healthy_and_promoted() -> None:
    verdict = judged(GOOD)
    assert (verdict.verdict, verdict.action, verdict.score) == ("healthy", "promote", 100)
    assert reason(verdict, "success").state == "safe"
    assert verdict.decided_at == verdict.since
    assert (verdict.impact, verdict.suspects, verdict.first_degraded_at) == (None, [], None)


def test_a_harmful_canary_is_degraded_and_rolled_back_with_its_cost() -> None:
    verdict = judged(BAD)
    assert (verdict.verdict, verdict.action, verdict.score) == ("degraded", "rollback", 0)
    worst = verdict.reasons[0]
    assert (worst.metric, worst.state, worst.margin) == ("success", "degraded", -0.03)
    assert worst.effect == pytest.approx(-0.3, abs=0.02)
    assert worst.low is not None
    assert worst.high is not None
    assert worst.low < -0.3 < worst.high < -0.03
    assert worst.baseline == 1.0
    assert worst.canary == pytest.approx(0.7, abs=0.02)
    assert worst.p_value < 1e-4
    assert verdict.impact is not None
    assert verdict.impact.unit == "orders"
    assert verdict.impact.low < verdict.impact.events == pytest.approx(360, abs=20)
    assert verdict.suspects[0].deployment == "d-1"
    assert "success: -30.0 points against the baseline" in verdict.why


def test_degraded_verdicts_keep_their_action_after_the_watch_and_the_end() -> None:
    assert judged(BAD, POLICY, as_of_s=9_999.0).action == "rollback"
    assert judged(BAD, POLICY, started(), finished(590.0), as_of_s=700.0).action == "rollback"


@pytest.mark.parametrize(
    ("as_of_s", "action"), [(600.0, "wait"), (3_599.0, "wait"), (3_600.0, "hold"), (9e6, "hold")]
)
def test_what_is_undecided_waits_while_the_watch_is_open_and_holds_after(
    as_of_s: float, action: str
) -> None:
    verdict = judged(both(3), POLICY, as_of_s=as_of_s)
    assert verdict.verdict == "inconclusive"
    assert verdict.action == action


def test_an_ended_release_that_was_never_decided_holds() -> None:
    assert judged(both(3), POLICY, started(), finished(590.0)).action == "hold"


@pytest.mark.parametrize("facts", [GOOD, BAD, both(3)], ids=["good", "bad", "few"])
@pytest.mark.parametrize("as_of_s", [600.0, 99_999.0])
def test_in_observe_mode_every_gate_answers_as_for_wait(facts: Facts, as_of_s: float) -> None:
    observing = replace(POLICY, mode="observe")
    verdict = judged(facts, observing, as_of_s=as_of_s)
    assert verdict.action == "wait"
    assert verdict.verdict == judged(facts, POLICY, as_of_s=as_of_s).verdict


def test_a_ring_is_not_judged_before_its_peers_can_be_compared() -> None:
    verdict = judged(BAD, POLICY, started(strategy="ring", cohort={"warehouse": ("W1",)}))
    assert (verdict.verdict, verdict.design) == ("inconclusive", "peers")
    assert verdict.action != "rollback"


@pytest.mark.parametrize("strategy", ["blue_green", "migration", "emergency"])
def test_without_a_concurrent_baseline_evidence_is_indicative_and_never_rolls_back(
    strategy: str,
) -> None:
    alone = facts_of(np.linspace(0, 600, 900), version=NEW, outcome="rejected")
    verdict = judged(alone, POLICY, started(strategy=strategy))
    assert verdict.design == "history"
    assert verdict.indicative
    assert verdict.action not in ("rollback", "promote")


@pytest.mark.parametrize(
    ("facts", "status", "why"),
    [
        (facts_of([]), "no_data", "No event of order-api 2.0.0 has come yet"),
        (facts_of([1.0], version=OLD), "no_data", "its baseline flows"),
        (facts_of([1.0], version=NEW), "inconclusive", "No event of the baseline (1.9.0)"),
        (both(3), "inconclusive", "Not yet decided: success"),
    ],
    ids=["nothing", "baseline only", "canary only", "few"],
)
def test_missing_data_is_never_health(facts: Facts, status: str, why: str) -> None:
    verdict = judged(facts, POLICY)
    assert verdict.verdict == status
    assert verdict.action == "wait"
    assert why in verdict.why


# --- time ----------------------------------------------------------------------------------------


def test_a_stop_of_all_traffic_turns_healthy_into_inconclusive() -> None:
    daemon = Daemon(POLICY)
    for inbox in inboxes(GOOD, [started()], [300.0]):
        daemon.take(inbox)
    daemon.wait(650.0)
    assert daemon.verdict().verdict == "healthy"
    daemon.wait(600.0 + 600.0)
    assert daemon.verdict().verdict == "healthy"
    daemon.wait(600.0 + 700.0)
    assert (daemon.verdict().verdict, daemon.verdict().action) == ("inconclusive", "wait")
    assert "All traffic has stopped since 2026-05-21T00:10:00.000Z" in daemon.verdict().why
    assert "Until then it was healthy." in daemon.verdict().why
    assert daemon.verdict().since == "2026-05-21T00:10:00.000Z"
    back = facts_of([2_600.0, 2_601.0], version=[OLD, NEW], ids=[10**7, 10**7 + 1])
    daemon.hear(facts=back)
    daemon.wait(2_700.0)
    assert daemon.verdict().verdict == "healthy"


def test_a_pause_like_those_before_is_no_stop() -> None:
    slow = replace(POLICY, watch_s=10**7)
    back = facts_of([4_600.0] * 2, version=[OLD, NEW], ids=[10**7, 10**7 + 1])
    paused = concat([GOOD, back])  # after 4,000 s
    assert judged(paused, slow, as_of_s=4_600.0 + 7_900.0).verdict == "healthy"
    assert judged(paused, slow, as_of_s=4_600.0 + 8_200.0).verdict == "inconclusive"


def orders(begin_s: float, end_s: float, version: str, *, bad: float = 0.0) -> Facts:
    """An order every two seconds."""
    times = np.arange(begin_s, end_s, 2.0)
    ids = np.arange(len(times)) + int(begin_s * 10**6) + (10**12 if version == NEW else 0)
    outcome = np.where(np.arange(len(times)) < bad * len(times), "rejected", "ok").tolist()
    return facts_of(times, version=version, ids=ids, outcome=outcome)


def test_health_does_not_outlive_its_control() -> None:
    alone = concat([GOOD, orders(600.0, 3_000.0, NEW, bad=1.0)])
    verdict = judged(alone, POLICY, as_of_s=1_100.0)
    assert verdict.verdict == "healthy"
    verdict = judged(alone, POLICY, as_of_s=3_000.0)
    assert (verdict.verdict, verdict.action) == ("inconclusive", "wait")
    assert (
        f"The baseline ({OLD}) has shown no success since 2026-05-21T00:10:00.000Z" in verdict.why
    )
    said = reason(verdict, "success")
    assert (said.state, said.needed) == ("no_data", None)
    assert said.detail == "nothing from the baseline since 2026-05-21T00:10:00.000Z"


def test_a_rollout_that_was_finished_keeps_what_was_found_while_it_could_be_compared() -> None:
    everything = concat([GOOD, orders(600.0, 3_000.0, NEW)])
    verdict = judged(everything, POLICY, started(), finished(2_900.0), as_of_s=3_000.0)
    assert verdict.verdict == "healthy"


def test_a_metric_that_ends_on_both_sides_is_no_longer_safe() -> None:
    calls = replace(success(types=("api.called",)), name="calls")
    policy = replace(policy_of(success(), calls, flow()), watch_s=10**6)
    facts = concat([
        both(4_000),
        *(
            facts_of(np.arange(0.0, 4_000.0, 0.5), types="api.called", version=version,
                     ids=np.arange(8_000) + number * 10**9)
            for number, version in ((1, OLD), (2, NEW))
        ),
    ])  # fmt: skip
    assert judged(facts, policy, as_of_s=700.0).verdict == "healthy"
    verdict = judged(facts, policy, as_of_s=4_000.0)
    assert verdict.verdict == "inconclusive"
    assert "Neither side has shown any success since" in verdict.why
    assert reason(verdict, "success").state == "no_data"


def test_a_pause_as_long_as_the_baselines_before_the_start_is_no_silence() -> None:
    facts = concat([GOOD, orders(600.0, 3_000.0, NEW)])
    usual = {"success": 120}
    assert judged(facts, POLICY, as_of_s=2_900.0, expected=usual).verdict == "healthy"
    assert judged(facts, POLICY, as_of_s=3_100.0, expected=usual).verdict == "inconclusive"


def test_a_canary_that_has_never_come_is_awaited_and_not_silent() -> None:
    alone = orders(0.0, 4_000.0, OLD)
    verdict = judged(alone, POLICY, as_of_s=4_000.0)
    assert (verdict.verdict, verdict.action) == ("no_data", "hold")
    late = concat([alone, orders(3_000.0, 4_000.0, NEW)])
    assert judged(late, POLICY, as_of_s=4_000.0).verdict == "healthy"


def test_a_release_that_bakes_says_so() -> None:
    baking = replace(POLICY, bake_s=1_200)
    verdict = judged(GOOD, baking, as_of_s=600.0)
    assert (verdict.verdict, verdict.action) == ("inconclusive", "wait")
    assert verdict.why == "It is baking: nothing is judged before 2026-05-21T00:20:00.000Z."


def test_once_the_watch_has_ended_healthy_a_stop_changes_nothing() -> None:
    short = replace(POLICY, watch_s=400)
    assert judged(GOOD, short, as_of_s=99_999.0).verdict == "healthy"


def test_silence_of_one_arm_degrades_and_says_so() -> None:
    alone = facts_of(np.linspace(600.0, 4_000.0, 2_000), version=OLD, ids=np.arange(2_000) + 10**7)
    verdict = judged(concat([GOOD, alone]), POLICY, as_of_s=4_000.0)
    assert (verdict.verdict, verdict.action) == ("degraded", "rollback")
    assert "The canary has gone silent (type order.submitted)" in verdict.why
    worst = verdict.reasons[0]
    assert (worst.metric, worst.segment) == ("flow", {"type": "order.submitted"})
    assert "canary seen in 60 slices" in worst.detail
    assert worst.effect is None


# --- reasons -------------------------------------------------------------------------------------


def test_one_harmed_segment_is_named_while_the_total_looks_fine() -> None:
    policy = policy_of(success(segments=(("country",),)))
    facts = concat([both(6_000, country="UK"), both(120, bad=0.9, country="DE", step=2)])
    verdict = judged(facts, policy)
    assert verdict.verdict == "degraded"
    assert reason(verdict, "success", country="DE").state == "degraded"
    assert reason(verdict, "success").state != "degraded"
    assert "success (country DE)" in verdict.why


def test_at_most_five_segments_are_told_beside_the_degraded_ones() -> None:
    policy = policy_of(success(segments=(("country",),)))
    facts = concat([both(30, country=f"c{i}", step=i + 1) for i in range(12)])
    segments = [r for r in judged(facts, policy).reasons if r.segment]
    assert len(segments) == 5


def test_metrics_without_any_event_are_listed_and_hold_nothing_up() -> None:
    policy = policy_of(success(), duration())
    verdict = judged(GOOD, policy)
    assert verdict.verdict == "healthy"
    assert reason(verdict, "duration").state == "not_observed"
    assert not reason(verdict, "duration").gates


def test_metrics_of_other_services_are_not_listed() -> None:
    policy = policy_of(success(), duration(services=("stock",)))
    assert [r.metric for r in judged(GOOD, policy).reasons] == ["success"]


def test_a_watched_metric_is_shown_and_decides_nothing() -> None:
    policy = policy_of(success(criticality=Criticality.WATCH))
    verdict = judged(BAD, policy)
    assert verdict.verdict == "inconclusive"
    assert not reason(verdict, "success").gates
    assert reason(verdict, "success").e_value > 1e6


def test_what_is_still_needed_shrinks_as_events_come() -> None:
    """Margins of half a point take some thousand orders at two percent of failures."""
    policy = policy_of(success(margin=Margin(0.005, relative=False)))
    needed = []
    for n in (200, 800, 3_000):
        facts = drawn(Orders(slices=100, per_slice=n / 50, viewed=False), seed=3)
        cells = settled_cells(facts, policy, until_s=2_000.0)
        evidence = Evidence(timeline([started()]).deployments[0], OLD, policy)
        evidence.advance(cells)
        told = reason(judge(evidence, as_of_ns=at_ns(1_000.0)), "success").needed
        assert told is not None
        assert told.events >= 1
        needed.append(told.seconds)
    assert needed[0] > needed[-1]


def test_a_safe_or_degraded_metric_needs_nothing_more() -> None:
    assert reason(judged(GOOD), "success").needed is None
    assert judged(BAD).reasons[0].needed is None


def test_a_verdict_says_nothing_that_json_cannot() -> None:
    huge = concat([both(20_000, bad=1.0)])
    policy = policy_of(success(), duration(types=()), throughput(), flow())
    text = msgspec.json.encode(judged(huge, policy, started(share=0.5)))
    told = msgspec.json.decode(text)
    assert b"null" in text
    assert told["reasons"][0]["e_value"] <= 1e300
    again = msgspec.json.decode(text, type=Verdict)
    assert all(math.isfinite(r.e_value) and math.isfinite(r.p_value) for r in again.reasons)


# --- who is told ---------------------------------------------------------------------------------


def test_owner_and_runbook_come_from_the_marker_and_else_from_the_service() -> None:
    service = Service("order-api", tier="critical", owner="team-a", runbook="https://run.test/a",
                      escalation="pager", rollback_criteria="any rejected order")  # fmt: skip
    policy = replace(POLICY, services={"order-api": service})
    said = judged(BAD, policy)
    assert (said.owner, said.runbook) == ("team-a", "https://run.test/a")
    marked = judged(BAD, policy, started(owner="team-b", runbook="https://run.test/b"))
    assert (marked.owner, marked.runbook) == ("team-b", "https://run.test/b")
    alert = firing(marked, policy)
    assert alert.labels["severity"] == "critical"
    assert alert.annotations["escalation"] == "pager"
    assert alert.annotations["rollback_criteria"] == "any rejected order"
    assert alert.annotations["runbook_url"] == "https://run.test/b"
    assert not set(alert.labels) & {"value", "effect"}
    assert "Harmed so far" in alert.description


def test_an_alert_about_silence_needs_no_numbers() -> None:
    alone = facts_of(np.linspace(600.0, 4_000.0, 2_000), version=OLD, ids=np.arange(2_000) + 10**7)
    verdict = judged(concat([GOOD, alone]), POLICY, as_of_s=4_000.0)
    alert = firing(verdict, POLICY)
    assert alert.description == verdict.why
    assert alert.labels["severity"] == "warning"


def test_the_verdict_of_a_rolled_back_release_still_tells_what_was_wrong() -> None:
    verdict = judged(BAD, POLICY, started(), rolled_back(590.0), as_of_s=600.0)
    assert verdict.verdict == "degraded"
    assert verdict.policy == POLICY.digest()
