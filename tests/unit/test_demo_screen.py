"""What the demo prints: words that carry everything, colour that only repeats them."""

from __future__ import annotations

import io
import re
from datetime import date

import msgspec
import pytest
from rich.console import Console

from analyzers.judging.verdict import Action, Impact, Reason, State, Status, Verdict
from analyzers.policy import Criticality, Kind, Margin, Measure, Metric, Policy
from pipeline.demo.screen import (
    Outcome,
    Screen,
    cost_words,
    effect_words,
    margin_words,
    telling,
)
from pipeline.demo.story import DayBatch, Dials, Tally, releases

SUCCESS = Metric(
    name="order_submission_success",
    kind=Kind.PROPORTION,
    measure=Measure.OUTCOME,
    worse="lower",
    margin=Margin(0.03, relative=False),
    criticality=Criticality.CRITICAL,
    unit="1",
    named=True,
)
TIME = Metric(
    name="order_confirmation_time",
    kind=Kind.DURATION,
    measure=Measure.VALUE,
    worse="higher",
    margin=Margin(0.15, relative=True),
    criticality=Criticality.STANDARD,
    unit="s",
    named=True,
)


def reason(
    state: State, *, metric: str = "order_submission_success", e_value: float = 1.0,
    e_safe: float = 1.0, effect: float | None = -0.21, unit: str = "1", gates: bool = True,
) -> Reason:  # fmt: skip
    return Reason(
        metric=metric, segment={"country": "Germany"}, state=state, worse="lower", baseline=0.99,
        canary=0.78, effect=effect, low=-0.3, high=-0.12, relative_effect=None, unit=unit,
        e_value=e_value, e_safe=e_safe, p_value=1.0, n_baseline=30, n_canary=30, margin=-0.03,
        method="", gates=gates, indicative=False, needed=None,
    )  # fmt: skip


def verdict(status: Status, action: Action, *reasons: Reason) -> Verdict:
    return Verdict(
        deployment="d-104", service="order-api", environment="production", version="1.3.0",
        replaces="1.2.1", strategy="canary", design="concurrent", verdict=status, action=action,
        indicative=False, as_of="2011-05-09T17:00:00Z", since="2011-05-03T06:00:00Z",
        decided_at=None, first_degraded_at=None, score=0, why="", reasons=list(reasons),
        impact=Impact(17.0, 12.0, 21.0, "orders") if status == "degraded" else None, suspects=[],
        owner="", runbook="", policy="sha256:0",
    )  # fmt: skip


def printed(*, width: int = 120, terminal: bool = False, **environment: str) -> str:
    """Everything the screen prints for a short story."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=terminal, _environ={"TERM": "xterm"} | environment
    )
    bad = releases()[3]
    day = DayBatch(date(2011, 5, 9), (), (), 60, bad, Tally(120, 130, 5))
    waiting = verdict("inconclusive", "wait", reason("undecided"))
    degraded = verdict("degraded", "rollback", reason("degraded", e_value=1e6))
    with Screen(console, days=193) as screen:
        screen.announce(11134, releases(), Dials(), Policy((SUCCESS, TIME)))
        screen.started(bad, day)
        screen.show(day, waiting)
        screen.show(day, waiting)
        screen.show(day, degraded)
        outcome = Outcome(bad, degraded, day.tally)
        screen.ended(outcome, day)
    screen.summary([outcome], Dials())
    return file.getvalue()


def test_injection_and_margins_are_said_before_anything_is_judged() -> None:
    text = printed()
    opening = text[: text.index("starts, as a canary")]
    assert "rejects 90% of the orders from Germany" in opening
    assert "confirms 50% slower" in opening
    assert "order submission success 3 points lower" in opening
    assert "order confirmation time 15 % higher" in opening
    assert "Invented: 5 releases" in opening


def test_a_verdict_is_printed_when_it_changes_and_only_then() -> None:
    text = printed()
    assert text.count("inconclusive, wait") == 1
    assert "degraded, rollback" in text


def test_the_summary_says_what_was_decided_after_how_many_orders_and_the_harm() -> None:
    summary = printed()[printed().index("released") :]
    for part in (
        "1.3.0",
        "rejects 90%",
        "degraded, rollback",
        "250 orders",
        "it cost about 17 orders",
    ):
        assert part in " ".join(summary.split())


def test_without_a_terminal_no_control_code_is_written() -> None:
    assert "\x1b" not in printed()


def test_a_terminal_gets_colour_unless_no_color_is_set() -> None:
    assert "\x1b[1;31m" in printed(terminal=True)
    assert "\x1b[1;31m" not in printed(terminal=True, NO_COLOR="1")
    assert "degraded, rollback" in printed(terminal=True, NO_COLOR="1")
    assert "\x1b[?25l" not in printed(terminal=True, TERM="dumb")


@pytest.mark.parametrize("width", [20, 40, 79])
def test_a_narrow_terminal_gets_lines_instead_of_a_table_and_nothing_is_cut(width: int) -> None:
    text = printed(width=width, terminal=True, NO_COLOR="1")
    summary = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    summary = " ".join(summary[summary.rindex("released:") :].split())
    assert "decided: degraded, rollback" in summary
    assert summary.endswith("it cost about 17 orders")
    assert "…" not in summary


def test_the_strongest_harm_is_told_first() -> None:
    weak, strong = reason("degraded", e_value=1e4), reason("degraded", e_value=1e9)
    assert telling(verdict("degraded", "rollback", weak, strong, reason("safe"))) == strong


def test_while_undecided_what_holds_promotion_up_is_told() -> None:
    safe = reason("safe", e_safe=1e3)
    near, far = reason("undecided", e_safe=15.0), reason("undecided", e_safe=2.0)
    watched = reason("undecided", e_safe=0.1, gates=False)
    assert telling(verdict("inconclusive", "wait", safe, near, far, watched)) == far
    assert telling(verdict("no_data", "wait")) is None


def test_an_effect_is_said_in_points_or_in_its_unit_with_its_interval() -> None:
    shown = "order submission success (country Germany): -21.0 points (-30.0 to -12.0)"
    assert effect_words(reason("degraded")) == shown
    assert effect_words(reason("no_data", effect=None)).endswith("not known yet")
    open_ended = msgspec.structs.replace(reason("undecided"), low=None)
    assert effect_words(open_ended).endswith("-21.0 points (below -12.0)")
    wide_open = msgspec.structs.replace(open_ended, high=None)
    assert effect_words(wide_open).endswith("-21.0 points")
    slow = reason("degraded", metric="order_confirmation_time", effect=52.0, unit="s")
    slow = msgspec.structs.replace(slow, relative_effect=0.58, low=29.0, high=None)
    assert effect_words(slow).endswith(": +52.0 s or +58% (above +29.0)")


def test_a_cost_in_seconds_is_said_as_a_span() -> None:
    assert cost_words(Impact(15_700.0, 0.0, 0.0, "s")) == "about 4 h 21 min of waiting"


def test_margins_are_said_with_their_direction() -> None:
    assert margin_words(SUCCESS) == "3 points lower"
    assert margin_words(TIME) == "15 % higher"
