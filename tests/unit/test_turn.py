"""What a turn does with time, markers, rejects and alerts."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from analyzers.ahead import AHEAD_NS
from analyzers.facts import NS_PER_S, Facts, Marker, Reject, concat
from analyzers.policy import Limits
from analyzers.turn import Inbox, State, take_turn
from tests.daemon import Daemon, inboxes
from tests.facts_of import (
    BEGIN_S,
    BEGIN_SLICE,
    NEW,
    OLD,
    answered,
    at_ns,
    facts_of,
    finished,
    flow,
    policy_of,
    rolled_back,
    shifted,
    started,
    success,
    validity,
)

DAY_S = 86_400.0
POLICY = policy_of(success(), flow(), validity(), watch_s=3_600, lateness_s=30)


def both(times_s: list[float], *, first_id: int = 1, outcome: str = "ok") -> Facts:
    """An event of each arm at each time; ``outcome`` is the canary's."""
    n = len(times_s)
    return concat(
        [
            facts_of(times_s, version=OLD, ids=np.arange(n) + first_id),
            facts_of(times_s, version=NEW, ids=np.arange(n) + first_id + n, outcome=outcome),
        ]
    )


def every(step_s: float, until_s: float, begin_s: float = 0.0) -> list[float]:
    return np.arange(begin_s, until_s, step_s).tolist()


HEALTHY = both(every(0.5, 600.0))
HARMED = concat([HEALTHY, both(every(0.5, 900.0, 600.0), first_id=10_000, outcome="rejected")])


def daemon_after(facts: Facts, *markers: Marker) -> Daemon:
    """A daemon that has taken in facts and markers as they came, a minute a turn."""
    daemon = Daemon(POLICY)
    for inbox in inboxes(facts, markers or (started(),), every(60.0, 1_000.0)):
        daemon.take(inbox)
    daemon.wait(1_000.0)
    return daemon


# --- time --------------------------------------------------------------------------------------


def test_a_slice_closes_when_the_stream_has_passed_it_by_the_lateness() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([5.0]))
    assert daemon.state.watermark_ns == at_ns(-30.0)
    daemon.hear(facts=facts_of([39.9], ids=[2]))
    assert daemon.state.watermark_ns == at_ns(0.0)
    daemon.hear(facts=facts_of([40.0], ids=[3]))
    assert daemon.state.watermark_ns == at_ns(10.0)


def test_the_watermark_never_goes_back() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([100.0]))
    daemon.hear(facts=facts_of([5.0], ids=[2]))
    daemon.wait(50.0)
    assert daemon.state.stream_ns == at_ns(100.0)
    assert daemon.state.watermark_ns == at_ns(70.0)


def test_what_comes_after_its_slice_has_closed_is_late_and_still_counts() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([100.0]))
    delta = daemon.hear(facts=facts_of([5.0, 75.0], ids=[2, 3]))
    assert daemon.state.counts.late == 1
    assert daemon.state.counts.events == 3
    assert delta.cells.shown.min() == BEGIN_SLICE + 7


def test_time_alone_closes_slices() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([5.0]))
    delta = daemon.wait(100.0)
    assert daemon.state.watermark_ns == at_ns(70.0)
    assert len(delta.cells) == 0


def test_an_empty_turn_changes_nothing() -> None:
    state = State()
    delta = take_turn(state, Inbox(), POLICY)
    assert (state.stream_ns, state.watermark_ns) == (None, None)
    assert (len(delta.cells), delta.verdicts, delta.alerts, delta.rejects) == (0, (), (), ())


def test_a_complete_inbox_closes_everything_it_holds() -> None:
    daemon = Daemon(POLICY)
    daemon.take(Inbox(facts=HEALTHY, markers=(started(),), complete=True))
    assert daemon.state.watermark_ns == at_ns(600.0)
    assert daemon.verdict().complete
    assert daemon.verdict().verdict == "healthy"
    assert len(daemon.state.unsealed) == 0


def test_markers_alone_give_a_verdict_of_no_data_when_nothing_more_will_come() -> None:
    daemon = Daemon(POLICY)
    daemon.take(Inbox(markers=(started(), finished(60.0)), complete=True))
    assert daemon.verdict().verdict == "no_data"
    assert daemon.verdict().action == "hold"


# --- a stream's own time -------------------------------------------------------------------------


def test_events_thirty_days_ahead_of_the_stream_are_refused_and_do_not_move_it() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([0.0] * 5, ids=[11, 12, 13, 14, 15]))
    delta = daemon.hear(facts=facts_of([10.0, 30 * DAY_S + 11.0, 31 * DAY_S], ids=[2, 3, 4]))
    assert [reject.reason for reject in delta.rejects] == ["time_ahead_of_stream"] * 2
    assert "2026-06-20T00:00:11.000Z is more than 30 days ahead" in delta.rejects[0].detail
    assert daemon.state.stream_ns == at_ns(10.0)
    assert daemon.state.counts.events == 6
    assert daemon.state.counts.rejected_by_reason == {"time_ahead_of_stream": 2}


def test_a_stream_may_pause_for_just_under_thirty_days() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([0.0]))
    delta = daemon.hear(facts=facts_of([29 * DAY_S, 58 * DAY_S], ids=[2, 3]))
    assert delta.rejects == ()
    assert daemon.state.stream_ns == at_ns(58 * DAY_S)


def test_one_broken_clock_in_the_first_batch_is_outvoted() -> None:
    daemon = Daemon(POLICY)
    delta = daemon.hear(facts=facts_of([0.0, 0.2, 0.5, 1.0, 70 * 365 * DAY_S]))
    assert len(delta.rejects) == 1
    assert daemon.state.stream_ns == at_ns(1.0)


@pytest.mark.parametrize("first", [70 * 365 * DAY_S, -20 * 365 * DAY_S], ids=["ahead", "behind"])
def test_a_broken_clock_that_speaks_first_is_outvoted_by_those_that_follow(first: float) -> None:
    daemon = Daemon(POLICY)
    daemon.hear(started(0.0), facts=facts_of([first], ids=[1]))
    daemon.hear(
        facts=facts_of([float(i) for i in range(600)], version="1.0", ids=list(range(10, 610)))
    )
    assert daemon.state.stream_ns == at_ns(599.0)
    assert daemon.state.counts.rejected == 0
    late = daemon.hear(facts=facts_of([610.0], ids=[900]))
    assert late.rejects == ()
    assert daemon.state.verdicts["d-1"].as_of.startswith("2026-05-21T00:09")


def test_after_a_restart_a_stream_that_has_really_moved_on_is_believed() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([0.0] * 5, ids=[11, 12, 13, 14, 15]))
    daemon.restart()
    away = 60 * DAY_S
    for i in range(4):
        assert len(daemon.hear(facts=facts_of([away + i], ids=[20 + i])).rejects) == 1
    assert daemon.hear(facts=facts_of([away + 9.0], ids=[30])).rejects == ()
    assert daemon.state.stream_ns == at_ns(away + 9.0)


def test_a_refused_event_says_when_it_was_and_how_far_the_stream_is() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([0.0] * 5, ids=[11, 12, 13, 14, 15]))
    ahead_s = AHEAD_NS / NS_PER_S + 60
    (reject,) = daemon.hear(facts=facts_of([ahead_s], ids=[2])).rejects
    assert "2026-05-21T00:00:00.000Z" in reject.detail
    assert reject.service == "order-api"


# --- markers -------------------------------------------------------------------------------------


def test_a_marker_without_a_start_is_rejected_once_its_time_has_passed_and_only_once() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([0.0]))
    assert daemon.hear(finished(60.0)).rejects == ()
    (reject,) = daemon.wait(200.0).rejects
    assert reject.reason == "marker_without_start"
    assert "'d-1', which has no deployment.started marker" in reject.detail
    assert daemon.wait(300.0).rejects == ()
    daemon.restart()
    assert daemon.wait(400.0).rejects == ()
    assert daemon.state.counts.rejected == 1
    assert daemon.state.counts.markers == 0


def test_a_start_that_comes_after_its_finish_was_rejected_still_counts() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([0.0]))
    daemon.hear(finished(60.0))
    daemon.wait(200.0)
    daemon.hear(started(10.0))
    assert daemon.state.counts.markers == 2
    assert daemon.state.timeline.deployments[0].ended_ns == at_ns(60.0)


def test_orphans_of_two_services_are_two_even_under_one_id() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=facts_of([0.0]))
    lonely = [finished(60.0, id="m", service=name, deployment=name) for name in ("a", "b")]
    daemon.hear(*lonely)
    assert len(daemon.wait(200.0).rejects) == 2


def test_a_deployment_name_in_use_elsewhere_is_refused_and_says_by_whom() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(started(0.0, id="a", environment="staging"), facts=facts_of([0.0]))
    daemon.hear(started(10.0, id="b"))
    (reject,) = daemon.wait(200.0).rejects
    assert reject.reason == "deployment_name_taken"
    assert "that name is the release of order-api in staging" in reject.detail
    assert "give every release a name of its own" in reject.detail
    assert daemon.state.counts.markers == 1


def test_the_oldest_release_gives_way_when_too_many_are_open() -> None:
    policy = replace(POLICY, limits=Limits(open_deployments=3))
    daemon = Daemon(policy)
    daemon.hear(facts=facts_of([0.0]))
    for i in range(5):
        daemon.hear(started(10.0 + i, id=f"m{i}", deployment=f"d{i}"))
    assert sorted(daemon.state.evidence) == ["d2", "d3", "d4"]


def test_evidence_of_a_release_that_ended_long_ago_is_folded_anew() -> None:
    daemon = daemon_after(HARMED, started(), rolled_back(880.0))
    kept = daemon.state.evidence.pop("d-1")
    again = daemon.state.evidence_of("d-1", POLICY)
    assert again is not None
    assert again.changes == kept.changes
    assert daemon.state.evidence_of("unknown", POLICY) is None


# --- verdicts and alerts -------------------------------------------------------------------------


def test_only_changes_of_a_verdict_and_its_last_word_are_handed_out() -> None:
    daemon = daemon_after(HARMED, started(), rolled_back(880.0))
    told = [(verdict.verdict, verdict.action) for verdict in daemon.verdicts]
    assert told == [
        ("inconclusive", "wait"),
        ("healthy", "promote"),
        ("degraded", "rollback"),
        ("degraded", "rollback"),
    ]
    assert daemon.verdicts[-1] == daemon.verdict()
    assert daemon.verdict().as_of == "2026-05-21T00:14:50.000Z"


def test_degraded_stays_whatever_comes_after() -> None:
    recovered = both(every(0.1, 990.0, 900.0), first_id=10**6)
    daemon = daemon_after(concat([HARMED, recovered]))
    first = daemon.verdict().first_degraded_at
    assert daemon.verdict().verdict == "degraded"
    daemon.restart()
    daemon.wait(5 * 3_600.0)
    assert (daemon.verdict().verdict, daemon.verdict().first_degraded_at) == ("degraded", first)


def test_an_alert_fires_once_and_is_resolved_once() -> None:
    daemon = daemon_after(HARMED, started(), rolled_back(880.0))
    daemon.restart()
    daemon.hear(shifted(300.0, 0.4))  # a late marker: judged anew, told no second time
    daemon.wait(2_000.0)
    daemon.wait(4_000.0)
    assert [alert.status for alert in daemon.alerts] == ["firing", "resolved"]
    firing, resolved = daemon.alerts
    assert firing.at == daemon.verdict().first_degraded_at
    assert resolved.at == "2026-05-21T00:14:40.000Z"
    assert firing.labels == resolved.labels
    assert "was rolled back" in resolved.summary


def test_an_untouched_release_alerts_nobody() -> None:
    assert daemon_after(HEALTHY, started(), finished(590.0)).alerts == []


def test_a_finished_release_that_was_degraded_is_resolved_with_a_remark() -> None:
    daemon = daemon_after(HARMED, started(), finished(890.0))
    assert "was finished although it was degraded" in daemon.alerts[-1].summary


@pytest.mark.parametrize(
    "correction",
    [
        started(-60.0, id="corrected", service="stock"),
        started(-60.0, id="corrected", version="3.0.0", replaces="2.9.0"),
    ],
    ids=["another service", "other versions"],
)
def test_a_correction_that_leaves_a_degraded_release_without_evidence_keeps_the_finding(
    correction: Marker,
) -> None:
    daemon = daemon_after(HARMED)
    assert daemon.verdict().verdict == "degraded"
    daemon.hear(correction)
    daemon.wait(1_500.0)
    assert daemon.verdict().verdict == "degraded"
    daemon.restart()
    daemon.wait(1_600.0)
    assert daemon.verdict().action == "rollback"


def test_rejects_that_name_their_side_count_against_its_validity() -> None:
    rejects = tuple(
        Reject(index=i, reason="bad_value", detail="", time_ns=at_ns(i * 0.5),
               service="order-api", version=NEW)
        for i in range(1_000)
    )  # fmt: skip
    daemon = Daemon(POLICY)
    daemon.take(Inbox(facts=HEALTHY, markers=(started(),), rejects=rejects, complete=True))
    assert daemon.verdict().verdict == "degraded"
    worst = daemon.verdict().reasons[0]
    assert (worst.metric, worst.state) == ("validity", "degraded")
    assert daemon.state.counts.rejected_by_reason == {"bad_value": 1_000}


def test_a_reject_from_the_far_future_is_counted_and_waits_for_no_slice() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(facts=HEALTHY)
    far, near = (
        Reject(index=0, reason="bad_value", detail="", time_ns=at_ns(time_s), service="order-api")
        for time_s in (70 * 365 * DAY_S, 5.0)
    )
    delta = daemon.take(Inbox(rejects=(far, near)))
    assert daemon.state.counts.rejected == 2
    assert delta.cells.failures.sum() == 1
    assert daemon.state.unsealed.slice.max() <= BEGIN_SLICE + 60


def test_counts_of_duplicates_and_conflicts_are_kept_through_a_restart() -> None:
    daemon = Daemon(POLICY)
    daemon.take(Inbox(facts=facts_of([0.0]), duplicates=3, conflicts=1))
    daemon.restart()
    daemon.take(Inbox(duplicates=1))
    assert (daemon.state.counts.duplicates, daemon.state.counts.conflicts) == (4, 1)


def test_totals_of_events_survive_a_restart() -> None:
    daemon = daemon_after(HARMED)
    before = {series: total.events for series, total in daemon.state.totals.items()}
    assert sum(before.values()) == len(HARMED)
    daemon.restart()
    after = {series: total.events for series, total in daemon.state.totals.items()}
    assert after == before


def test_answers_that_fall_due_while_nothing_comes_are_settled_by_the_clock() -> None:
    daemon = Daemon(policy_of(answered(60)))
    daemon.hear(started(-10.0), facts=facts_of([0.0], version=NEW))
    assert daemon.state.counts.events == 1
    delta = daemon.wait(200.0)
    assert (delta.cells.count.tolist(), delta.cells.failures.tolist()) == ([1], [1])
    assert len(daemon.state.waiting) == 0


def test_the_memory_of_a_turn_is_all_that_is_needed_beside_cells_and_markers() -> None:
    daemon = daemon_after(HARMED)
    memory = msgspec.msgpack.decode(daemon.memory)
    assert memory["stream_ns"] == daemon.state.stream_ns
    assert memory["firing"] == ["d-1"]
    assert BEGIN_S * NS_PER_S < memory["settled_ns"] < daemon.state.stream_ns
