"""Verdicts as tables and sentences for a terminal. Nothing here decides or computes evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from analyzers.judging.verdict import (
    Action,
    FixedRuleVerdict,
    Needed,
    Reason,
    State,
    Status,
    Verdict,
)

# Rows of one verdict's table; the JSON has them all.
REASONS_SHOWN: Final = 12

_STATUS_STYLE: Final[dict[Status, str]] = {
    "healthy": "bold green",
    "degraded": "bold red",
    "inconclusive": "yellow",
    "no_data": "dim",
}
_ACTION_STYLE: Final[dict[Action, str]] = {
    "promote": "bold green",
    "rollback": "bold red",
    "wait": "yellow",
    "hold": "yellow",
}
_STATE_STYLE: Final[dict[State, str]] = {
    "degraded": "bold red",
    "undecided": "yellow",
    "no_data": "dim",
    "safe": "green",
    "not_observed": "dim",
}
_STATE_ORDER: Final[dict[State, int]] = {
    "degraded": 0,
    "undecided": 1,
    "no_data": 2,
    "safe": 3,
    "not_observed": 4,
}


def verdict_text(verdict: Verdict) -> RenderableType:
    """One verdict: a headline, why, and a table of what each metric says."""
    headline = Text.assemble(
        (verdict.deployment, "bold"),
        "  ",
        (verdict.verdict, _STATUS_STYLE[verdict.verdict]),
        "  ",
        (verdict.action, _ACTION_STYLE[verdict.action]),
        *(["  indicative"] if verdict.indicative else []),
        *(["  observe"] if verdict.mode == "observe" else []),
    )
    replaced = f" (replaces {verdict.replaces})" if verdict.replaces else ""
    what = f"{verdict.service} {verdict.version}{replaced} in {verdict.environment}"
    when = f"since {verdict.since}, as of {verdict.as_of}"
    parts: list[RenderableType] = [headline, Text(f"{what}, {when}"), Text(verdict.why)]
    if verdict.mode == "observe":
        parts.append(Text("The policy observes: every gate answers wait.", style="yellow"))
    if verdict.fixed_rule is not None:
        parts.append(_beside(verdict.fixed_rule))
    if verdict.impact is not None:
        impact = verdict.impact
        parts.append(
            Text(
                f"harm so far: {number(impact.events)} {impact.unit} "
                f"({number(impact.low)} to {number(impact.high)})"
            )
        )
    contacts = [f"owner {verdict.owner}"] if verdict.owner else []
    contacts += [f"runbook {verdict.runbook}"] if verdict.runbook else []
    if contacts:
        parts.append(Text(", ".join(contacts)))
    if verdict.reasons:
        parts.append(_reasons(verdict.reasons))
    return Group(*parts)


def verdicts_table(verdicts: Sequence[Verdict]) -> RenderableType:
    """A row a verdict, and below the table why each of them is what it is."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("deployment", "service", "version", "verdict", "action", "since"):
        table.add_column(title, overflow="fold")
    for verdict in verdicts:
        table.add_row(
            Text(verdict.deployment),
            Text(verdict.service),
            Text(verdict.version),
            Text(verdict.verdict, style=_STATUS_STYLE[verdict.verdict]),
            Text(verdict.action, style=_ACTION_STYLE[verdict.action]),
            Text(verdict.since[: len("2026-05-21T10:00:00")] + "Z"),
        )
    whys: list[Text] = []
    for verdict in verdicts:
        observed = " (observed only)" if verdict.mode == "observe" else ""
        whys.append(Text.assemble((verdict.deployment, "bold"), f": {verdict.why}{observed}"))
        if verdict.fixed_rule is not None:
            whys.append(_beside(verdict.fixed_rule))
    return Group(table, Text(""), *whys)


def _beside(told: FixedRuleVerdict) -> Text:
    """What a fixed rule would say, in one line that catches no eye."""
    crossed = f" ({', '.join(told.metrics)})" if told.metrics else ""
    return Text(f"a fixed rule would say: {told.verdict}{crossed}", style="dim")


def progress_line(verdict: Verdict | None, left_s: float) -> str:
    """One line for somebody who waits: what is known and how long it may still take."""
    left = f"{max(0, round(left_s))} s left"
    if verdict is None:
        return f"the daemon does not answer, {left}"
    needed = [reason.needed for reason in verdict.reasons if reason.gates and reason.needed]
    more = f", {needs(_most(needed))}" if needed else ""
    return f"{verdict.deployment}: {verdict.verdict}, {verdict.action}{more}, {left}"


def needs(needed: Needed) -> str:
    """What is still required, in words."""
    return f"needs about {needed.events} more events ({span(needed.seconds)})"


def span(seconds: float) -> str:
    """A duration with its two largest units.

    >>> span(5400)
    '1 h 30 min'
    """
    days, rest = divmod(round(seconds), 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next((i for i, (amount, _) in enumerate(units) if amount), len(units) - 1)
    shown = [f"{amount} {unit}" for amount, unit in units[first : first + 2] if amount]
    return " ".join(shown) or "0 s"


def number(value: float | None) -> str:
    """A number with four significant digits; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def as_json(value: object) -> str:
    """The value as one line of strict JSON; NaN and infinities become null."""
    return msgspec.json.encode(value).decode()


def status_text(status: Status) -> Text:
    """A verdict's word in its colour."""
    return Text(status, style=_STATUS_STYLE[status])


def escaped(text: str) -> str:
    """The text with everything escaped that a terminal would obey."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


def plain_console(*, stderr: bool = False) -> Console:
    """A console for values from outside: no markup, no emoji codes, no guessing at numbers."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def _most(needed: Sequence[Needed]) -> Needed:
    return max(needed, key=lambda one: one.seconds)


def _reasons(reasons: Sequence[Reason]) -> RenderableType:
    """Two lines a reason rather than a table: a log of a CI job has 80 columns."""
    seen = [reason for reason in reasons if reason.state != "not_observed"]
    ordered = sorted(seen, key=lambda r: (_STATE_ORDER[r.state], not r.gates, -r.e_value))
    parts: list[RenderableType] = []
    for reason in ordered[:REASONS_SHOWN]:
        segment = ",".join(f"{name}={value}" for name, value in sorted(reason.segment.items()))
        parts.append(
            Text.assemble(
                (f"  {reason.state:10} ", _STATE_STYLE[reason.state]),
                f"{reason.metric} {segment}".rstrip(),
                _role(reason),
            )
        )
        parts.append(Text(f"             {_numbers(reason)}", style="dim"))
        if reason.detail and reason.state != "safe":
            parts.append(Text(f"             {reason.detail}", style="dim"))
    if len(ordered) > REASONS_SHOWN:
        parts.append(Text(f"  and {len(ordered) - REASONS_SHOWN} more; --format json has them"))
    unseen = [reason.metric for reason in reasons if reason.state == "not_observed"]
    if unseen:
        parts.append(Text(f"not observed: {', '.join(unseen)}", style="dim"))
    return Group(*parts)


def _role(reason: Reason) -> str:
    """What a reason that holds up no promotion is good for."""
    if reason.gates:
        return ""
    if reason.indicative:
        return "  (indicative)"
    return "  (can roll back, holds up nothing)" if reason.weight > 0 else "  (watched only)"


def _numbers(reason: Reason) -> str:
    parts = []
    if reason.effect is not None:
        bounds = f"{number(reason.low)} .. {number(reason.high)}"
        parts.append(f"effect {number(reason.effect)} ({bounds})")
    parts += [
        f"margin {number(reason.margin)}",
        f"evidence {number(reason.e_value)}",
        f"{reason.n_baseline} + {reason.n_canary} events",
    ]
    if reason.needed is not None:
        parts.append(needs(reason.needed))
    return ", ".join(parts)
