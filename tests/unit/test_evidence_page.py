"""The evidence as the page draws it: in the metric's unit, thinned to what can be seen."""

from __future__ import annotations

import json
from functools import cache

import msgspec

from analyzers.comparing.traces import POINTS
from analyzers.turn import Inbox, State, take_turn
from collector.decoding.decode import decode
from dashboards.api.page_data import Evidence
from pipeline.config import parse
from pipeline.demo.orders import shipped_orders
from pipeline.evidence_page import BARS, evidence_of
from tests.scenarios.order_streams import DEPLOYMENT, Harm, stream_from_orders

POLICY = parse(b"", {}).policy


@cache
def judged(harm: Harm, *, days: int = 30) -> State:
    """The state after a stream of real orders, a day a turn."""
    lines = stream_from_orders(shipped_orders(), days=days, orders_a_day=None, harm=harm)
    state = State()
    payloads = [line.text for line in lines]
    for begin in range(0, len(payloads), 500):
        batch = decode(
            payloads[begin : begin + 500], attributes=POLICY.attributes(), limits=POLICY.limits
        )
        take_turn(state, Inbox(facts=batch.facts, markers=batch.markers), POLICY)
    take_turn(state, Inbox(complete=True), POLICY)
    return state


def drawn(harm: Harm) -> Evidence:
    return evidence_of(judged(harm), DEPLOYMENT, POLICY)


def test_the_last_point_of_each_course_is_what_the_verdict_says() -> None:
    harm = Harm(rejected=0.15, slower=0.5)
    reasons = {(r.metric, *r.segment.items()): r for r in judged(harm).verdicts[DEPLOYMENT].reasons}
    courses = drawn(harm).metrics
    assert courses
    for course in courses:
        reason = reasons[course.metric, *course.segment.items()]
        assert (course.effect[-1], course.low[-1], course.high[-1]) == (
            reason.effect,
            reason.low,
            reason.high,
        )
        assert course.e_value[-1] == reason.e_value
        assert (course.state, course.gates) == (reason.state, reason.gates)


def test_harm_shows_on_its_own_side_of_the_margin() -> None:
    courses = {c.metric: c for c in drawn(Harm(rejected=0.15, slower=0.5)).metrics if not c.segment}
    success, time = courses["order_submission_success"], courses["order_confirmation_time"]
    assert success.margin is not None
    assert success.high[-1] is not None
    assert success.high[-1] < success.margin < 0
    assert time.margin is not None
    assert time.low[-1] is not None
    assert 0 < time.margin < time.low[-1]


def test_courses_and_series_are_short_enough_to_draw_and_run_in_time() -> None:
    evidence = drawn(Harm())
    for course in evidence.metrics:
        arrays = (course.effect, course.low, course.high, course.e_value, course.e_safe)
        assert {len(array) for array in arrays} == {len(course.at)}
        assert len(course.at) <= POINTS
        assert course.at == sorted(set(course.at))
    for series in evidence.series:
        assert len(series.at) == len(series.baseline) == len(series.canary) <= BARS + 1
        steps = {b - a for a, b in zip(series.at, series.at[1:], strict=False)}
        assert steps == {series.width_ms}


def test_series_begin_before_the_release_and_the_canary_only_with_it() -> None:
    evidence = drawn(Harm())
    started = evidence.markers[0].at
    series = next(one for one in evidence.series if one.metric == "order_submission_success")
    assert series.at[0] < started
    early = [value for at, value in zip(series.at, series.canary, strict=True)
             if at + series.width_ms <= started]  # fmt: skip
    assert early
    assert all(value is None for value in early)


def test_counts_of_the_series_add_up_to_the_orders_that_were_taken() -> None:
    evidence = drawn(Harm())
    throughput = next(one for one in evidence.series if one.metric == "order_throughput")
    totals = [
        sum(value or 0 for value in side) for side in (throughput.baseline, throughput.canary)
    ]
    reason = next(
        r for r in judged(Harm()).verdicts[DEPLOYMENT].reasons if r.metric == "order_throughput"
    )
    assert totals[1] == reason.n_canary
    assert totals[0] >= reason.n_baseline  # those before the start are drawn as well


def test_everything_is_strict_json() -> None:
    body = msgspec.json.encode(drawn(Harm(rejected=0.15, slower=0.5)))
    assert json.loads(body, parse_constant=AssertionError)
    assert msgspec.json.decode(body, type=Evidence) == drawn(Harm(rejected=0.15, slower=0.5))


def test_an_unknown_deployment_has_no_evidence() -> None:
    assert evidence_of(State(), "never-heard-of", POLICY) == Evidence("never-heard-of")
