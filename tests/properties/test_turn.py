"""However a stream is cut into turns, interrupted or told late, the verdict is the same."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from analyzers.comparing.arms import shown_before
from analyzers.facts import SLICE_NS, Facts, Marker
from analyzers.folding.cells import merge
from analyzers.judging.evidence import EXPECTED_DAYS, Evidence
from analyzers.judging.judge import judge
from analyzers.policy import Kind, Measure
from analyzers.turn import Inbox, take_turn
from tests.daemon import Daemon, inboxes, lived
from tests.facts_of import (
    OLD,
    answered,
    at_ns,
    duration,
    finished,
    flow,
    metric_of,
    policy_of,
    rolled_back,
    shifted,
    started,
    success,
    throughput,
)
from tests.order_facts import Orders, drawn

POLICY = replace(
    policy_of(
        success(segments=(("country",),)),
        duration(),
        answered(),
        throughput(exposure="page.viewed"),
        replace(throughput(), name="bare"),
        metric_of("named", Kind.PROPORTION, Measure.OUTCOME, named=True, services=("order-api",)),
        flow(),
    ),
    watch_s=900,
)
STREAMS = {
    "untouched": Orders(slices=120, lead_in=30),
    "harmed": Orders(slices=120, failing=(0.02, 0.35), share=0.2, lead_in=30),
    "unconfirmed": Orders(slices=120, unconfirmed=(0.01, 0.6)),
    "sparse": Orders(slices=300, per_slice=0.1, lead_in=100),
    "silent": Orders(slices=150, canary_until=40),
    "late canary": Orders(slices=120, canary_from=40, lead_in=30),
}
CHANGES = {
    "watched": (started(share=0.5),),
    "nameless": (started(share=0.5, replaces=""),),
    "shifted": (started(), shifted(200.0, 0.3), shifted(400.0, 0.5)),
    "ended": (started(share=0.5), finished(800.0)),
    "rolled back": (started(share=0.5), rolled_back(800.0)),
}
PAIRS = [
    ("untouched", "watched"),
    ("untouched", "nameless"),
    ("harmed", "rolled back"),
    ("harmed", "shifted"),
    ("unconfirmed", "watched"),
    ("unconfirmed", "ended"),
    ("sparse", "watched"),
    ("sparse", "nameless"),
    ("silent", "watched"),
    ("silent", "rolled back"),
    ("late canary", "nameless"),
    ("late canary", "ended"),
]
each_pair = pytest.mark.parametrize(("stream", "change"), PAIRS)
END_S = 1_250.0


def steps(every_s: float, until_s: float = END_S, begin_s: float = -300.0) -> list[float]:
    return np.arange(begin_s, until_s, every_s).tolist()


def facts_and(stream: str) -> Facts:
    return drawn(STREAMS[stream], seed=7)


@each_pair
def test_ticking_often_seldom_and_once_give_the_same_verdicts_and_alerts(
    stream: str, change: str
) -> None:
    facts, markers = facts_and(stream), CHANGES[change]
    often = lived(POLICY, inboxes(facts, markers, steps(10.0)))
    assert len(often.cells) > 150
    for cuts in (steps(130.0), [200.0]):
        seldom = lived(POLICY, inboxes(facts, markers, cuts))
        assert merge(seldom.cells).digest() == merge(often.cells).digest()
        assert seldom.said() == often.said()
        assert [(a.status, a.at) for a in seldom.alerts] == [(a.status, a.at) for a in often.alerts]
        assert seldom.state.counts == often.state.counts
        assert seldom.state.totals == often.state.totals


@each_pair
@pytest.mark.parametrize("at", [0, 3, 6, 11, 15])
def test_a_restart_after_any_turn_changes_nothing(stream: str, change: str, at: int) -> None:
    turns = inboxes(facts_and(stream), CHANGES[change], steps(100.0))
    whole, daemon = Daemon(POLICY), Daemon(POLICY)
    for number, inbox in enumerate(turns):
        whole.take(inbox)
        daemon.take(inbox)
        if number == at:
            daemon.restart()
        if number > at:
            assert daemon.said() == whole.said()
    assert daemon.alerts == whole.alerts
    assert daemon.verdicts == whole.verdicts
    assert daemon.state.counts == whole.state.counts
    assert daemon.state.totals == whole.state.totals
    assert merge(daemon.cells).digest() == merge(whole.cells).digest()


@pytest.mark.parametrize(("stream", "change"), [p for p in PAIRS if p[1] != "rolled back"])
@pytest.mark.parametrize("late_s", [40.0, 500.0, 2_000.0])
def test_a_marker_that_comes_late_gives_the_verdict_of_one_in_time(
    stream: str, change: str, late_s: float
) -> None:
    facts, markers = facts_and(stream), CHANGES[change]
    in_time = lived(POLICY, inboxes(facts, markers, steps(50.0)))
    turns = inboxes(facts, (), steps(50.0))
    held: list[Marker] = list(markers)
    late = []
    for inbox, cut in zip(turns, [*steps(50.0), END_S + 50.0], strict=True):
        due = [m for m in held if m.time_ns + at_ns(late_s) - at_ns(0) < at_ns(cut)]
        held = [m for m in held if m not in due]
        late.append(replace(inbox, markers=tuple(due)))
    late[-1] = replace(late[-1], markers=(*late[-1].markers, *held))
    assert lived(POLICY, late).said() == in_time.said()


@pytest.mark.parametrize("stream", STREAMS)
def test_a_live_verdict_is_the_whole_streams_read_at_its_time(stream: str) -> None:
    facts, markers = facts_and(stream), CHANGES["watched"]
    whole = lived(POLICY, inboxes(facts, markers, [0.0]))
    cells = merge(whole.cells)
    daemon = Daemon(POLICY)
    for inbox in inboxes(facts, markers, steps(70.0)):
        daemon.take(inbox)
        watermark = daemon.state.watermark_ns or 0
        if watermark < at_ns(10.0):  # its start and what came before are not closed yet
            continue
        deployment = daemon.state.timeline.deployments[0]
        expected = shown_before(deployment, OLD, [cells], EXPECTED_DAYS)
        evidence = Evidence(deployment, OLD, POLICY, expected)
        evidence.advance(cells.split(watermark // SLICE_NS)[0])
        assert msgspec.json.encode(judge(evidence, as_of_ns=watermark)) == daemon.said()[0]


@each_pair
def test_a_complete_replay_in_any_order_gives_one_verdict(stream: str, change: str) -> None:
    facts, markers = facts_and(stream), CHANGES[change]
    chance = np.random.default_rng(1)
    said = []
    for order in (np.arange(len(facts)), chance.permutation(len(facts))):
        daemon = Daemon(POLICY)
        told = tuple(chance.permutation(np.array(markers, object)))
        delta = daemon.take(Inbox(facts=facts.take(order), markers=told, complete=True))
        assert daemon.verdict().complete
        said.append((daemon.said(), delta.alerts, merge(daemon.cells).digest()))
    assert said[0] == said[1]


def test_the_same_state_moves_the_same_way_twice() -> None:
    facts = facts_and("harmed")
    daemons = [Daemon(POLICY), Daemon(POLICY)]
    for inbox in inboxes(facts, CHANGES["watched"], steps(200.0)):
        one, two = (take_turn(daemon.state, inbox, POLICY) for daemon in daemons)
        assert one.memory == two.memory
        assert one.cells.digest() == two.cells.digest()
        assert one.verdicts == two.verdicts


def disordered(facts: Facts, markers: tuple[Marker, ...], *, seed: int) -> list[Inbox]:
    """Turns of 50 s in which everything arrives up to two minutes after it happened."""
    delay_s = np.random.default_rng(seed).uniform(0, 120, len(facts))
    arrives_s = (facts.time_ns - at_ns(0)) / 1e9 + delay_s
    cuts = [*steps(50.0, END_S + 150.0), np.inf]
    turns = inboxes(facts.take(np.zeros(len(facts), np.bool_)), markers, cuts[:-1])
    starts = [-np.inf, *cuts[:-1]]
    return [
        replace(turn, facts=facts.take((arrives_s >= start) & (arrives_s < stop)))
        for turn, start, stop in zip(turns, starts, cuts, strict=True)
    ]


@each_pair
def test_late_facts_count_from_when_they_came_through_any_restart(stream: str, change: str) -> None:
    facts = facts_and(stream)
    turns = disordered(facts, CHANGES[change], seed=3)
    whole, daemon = Daemon(POLICY), Daemon(POLICY)
    for number, inbox in enumerate(turns):
        whole.take(inbox)
        daemon.take(inbox)
        if number % 7 == 6:
            daemon.restart()
            assert daemon.said() == whole.said()
    assert whole.state.counts.late > 0
    assert daemon.alerts == whole.alerts
    in_order = lived(POLICY, inboxes(facts, CHANGES[change], steps(50.0)))
    assert whole.state.totals == in_order.state.totals


def test_a_finding_of_harm_is_not_revised_by_what_comes_late() -> None:
    facts = facts_and("harmed")
    daemon = Daemon(POLICY)
    found = None
    for inbox in disordered(facts, CHANGES["watched"], seed=4):
        daemon.take(inbox)
        verdict = daemon.state.verdicts.get("d-1")
        if verdict is not None and found is not None:
            assert verdict.first_degraded_at == found
        if verdict is not None and verdict.verdict == "degraded":
            found = verdict.first_degraded_at
    assert found is not None
