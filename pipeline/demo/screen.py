"""What the demo shows in a terminal, or in a plain file: words, numbers, one table at the end.

Everything that is shown comes from the daemon's verdicts and from what the story says of itself.
Colour only repeats what a word says. Nothing here sends, waits or decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from analyzers.judging.verdict import Alert, Impact, Reason, Status, Verdict
from analyzers.policy import Metric, Policy
from pipeline.demo.story import (
    BAKE_DAYS,
    CANARY_SHARE,
    CONFIRMATION_MEDIAN_S,
    CONFIRMATION_SIGMA,
    REJECTED_SHARE,
    WATCH_DAYS,
    DayBatch,
    Dials,
    Release,
    Tally,
)
from pipeline.render import span

# Six columns of words need this much; in less, each release becomes a few lines.
TABLE_COLUMNS: Final = 100
_STYLES: Final[dict[Status, str]] = {
    "healthy": "bold green",
    "degraded": "bold red",
    "inconclusive": "yellow",
    "no_data": "dim",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one release of the plan ended: the verdict that was acted on, and what the release had
    met when that verdict was first given."""

    release: Release
    verdict: Verdict
    tally: Tally


class Screen:
    """The demo's output. In a terminal the lower lines change in place; elsewhere lines follow."""

    def __init__(self, console: Console, *, days: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("days"),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task("starting", total=days)
        moving = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, transient=True, refresh_per_second=8) if moving else None
        self._said: tuple[str, str, str] | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def line(self, text: str | Text) -> None:
        """One more line that stays."""
        self._console.print(text, highlight=False, soft_wrap=not self._console.is_terminal)

    def announce(self, orders: int, plan: Sequence[Release], dials: Dials, policy: Policy) -> None:
        """What is real, what is invented, what is injected, and what is demanded."""
        told = [(one, one.injected(dials)) for one in plan]
        bad = [f"{one.deployment} (version {one.version}) {words}" for one, words in told
               if words != "nothing"]  # fmt: skip
        named = [metric for metric in policy.metrics if metric.named]
        margins = ", ".join(f"{spoken(one.name)} {margin_words(one)}" for one in named)
        self._part(
            "Real",
            f"{orders:,} orders of a UK wholesale distributor, December 2010 to July 2011, with "
            "their times, customers, countries and amounts (UCI Online Retail, doi "
            "10.24432/C5BW33, CC BY 4.0); the daemon, its HTTP interface and its verdicts.",
        )
        self._part(
            "Invented",
            f"{len(plan)} releases of order-api, each a canary for {CANARY_SHARE:.0%} of the "
            f"customers; that {REJECTED_SHARE:.0%} of all orders are rejected; how long a "
            f"confirmation takes (median {CONFIRMATION_MEDIAN_S:.0f} s, lognormal, sigma "
            f"{CONFIRMATION_SIGMA}); a rollout tool that rolls back at once and promotes after "
            f"{BAKE_DAYS} days at the earliest.",
        )
        others = "; into the others nothing" if bad else "nothing"
        self._part("Injected", f"{'; '.join(bad)}{others}. The daemon is not told.")
        self._part(
            "Demanded",
            f"no more harm than these margins: {margins}; all others as built in. The named ones "
            f"are wide: sixty orders a day cannot show less in {WATCH_DAYS} days.",
        )

    def _part(self, title: str, text: str) -> None:
        self.line(Text(f"{title}: ", "bold") + Text(text, "default"))

    def show(self, batch: DayBatch, verdict: Verdict | None) -> None:
        """The state after one more day; a line that stays where the verdict has changed."""
        self._progress.update(self._task, advance=1, description=str(batch.day))
        head, body = Text("no release under way"), Text("")
        if batch.release:
            arms = f"{batch.tally.canary} canary and {batch.tally.baseline} baseline orders"
            head = Text(f"{batch.release.deployment}  version {batch.release.version}: {arms}")
        if batch.release and verdict:
            body = verdict_line(verdict)
            says = (verdict.deployment, verdict.verdict, verdict.action)
            if says != self._said:
                self._said = says
                self.line(Text(f"{batch.day}  {verdict.deployment}  ") + body)
        if self._live:
            self._live.update(Group(self._progress, head, body))

    def started(self, release: Release, batch: DayBatch) -> None:
        """A line that says which release began."""
        self.line(
            f"{batch.day}  {release.deployment}  order-api {release.version} starts, as a canary "
            f"for {CANARY_SHARE:.0%} of the customers"
        )

    def alerted(self, alert: Alert) -> None:
        """A line for an alert that has arrived."""
        style = "bold red" if alert.status == "firing" else "green"
        self.line(Text(f"alert {alert.status}: ", style) + Text(alert.summary, "default"))

    def ended(self, outcome: Outcome, batch: DayBatch) -> None:
        """A line that says how a release ended."""
        action = outcome.verdict.action
        did = {
            "promote": "finished: its version serves everybody now",
            "rollback": "rolled back: the old version serves everybody again",
        }.get(action, "given up undecided: the old version serves everybody again")
        self.line(f"{batch.day}  {outcome.release.deployment}  {did}")

    def summary(self, outcomes: Sequence[Outcome], dials: Dials) -> None:
        """The table of all releases; in a narrow terminal a few lines for each."""
        rows = [_row(outcome, dials) for outcome in outcomes]
        titles = ("released", "injected", "decided", "after", "harm")
        if self._console.width >= TABLE_COLUMNS:
            table = Table(*titles, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
            for row in rows:
                table.add_row(*row)
            self._console.print()
            self._console.print(table)
            return
        for row in rows:
            self._console.print()
            for title, cell in zip(titles, row, strict=True):
                self._console.print(Text(f"{title}: ") + cell, highlight=False)


def verdict_line(verdict: Verdict) -> Text:
    """Verdict and action in words, coloured by verdict, and what says most about it."""
    text = Text(f"{verdict.verdict}, {verdict.action}", _STYLES[verdict.verdict])
    reason = telling(verdict)
    return text + Text(f"  {effect_words(reason)}" if reason else "", "default")


def telling(verdict: Verdict) -> Reason | None:
    """The reason that says most: the strongest harm, else what still holds the promotion up."""
    degraded = [reason for reason in verdict.reasons if reason.state == "degraded"]
    if degraded:
        return max(degraded, key=lambda reason: reason.e_value)
    gating = [reason for reason in verdict.reasons if reason.gates and reason.effect is not None]
    undecided = [reason for reason in gating if reason.state == "undecided"]
    return min(undecided or gating, key=lambda reason: reason.e_safe, default=None)


def spoken(metric: str) -> str:
    """A metric's name as words.

    >>> spoken("order_confirmation_time")
    'order confirmation time'
    """
    return metric.replace("_", " ")


def effect_words(reason: Reason) -> str:
    """Metric, segment, difference and interval: what one reason says, in words."""
    where = ", ".join(f"{name} {value}" for name, value in reason.segment.items())
    what = spoken(reason.metric) + (f" ({where})" if where else "")
    if reason.effect is None:
        return f"{what}: not known yet"
    share = reason.unit == "1"
    words = f"{what}: {_signed(reason, reason.effect)} {'points' if share else reason.unit}"
    if not share and reason.relative_effect is not None:
        words += f" or {reason.relative_effect:+.0%}"
    low, high = reason.low, reason.high
    if low is not None and high is not None:
        words += f" ({_signed(reason, low)} to {_signed(reason, high)})"
    elif low is not None:
        words += f" (above {_signed(reason, low)})"
    elif high is not None:
        words += f" (below {_signed(reason, high)})"
    return words


def _signed(reason: Reason, value: float) -> str:
    shown = round(value * (100 if reason.unit == "1" else 1), 1)
    return f"{shown:+.1f}" if shown else "0.0"


def cost_words(impact: Impact) -> str:
    """What a harm has cost so far, in words.

    >>> from analyzers.judging.verdict import Impact
    >>> cost_words(Impact(9.6, 5.0, 12.0, "orders"))
    'about 10 orders'
    """
    if impact.unit == "s":
        return f"about {span(impact.events)} of waiting"
    return f"about {impact.events:.0f} {impact.unit}"


def margin_words(metric: Metric) -> str:
    """A margin in words, with its direction."""
    more = "higher" if metric.worse == "higher" else "lower"
    size = metric.margin.size * 100
    if metric.margin.relative:
        return f"{size:g} % {more}"
    if metric.unit == "1":
        return f"{size:g} points {more}"
    return f"{metric.margin.size:g} {metric.unit} {more}"


def _row(outcome: Outcome, dials: Dials) -> tuple[str, str, Text, str, str]:
    """Released, injected, decided, after, harm."""
    release, verdict = outcome.release, outcome.verdict
    harm = "none shown"
    if verdict.verdict == "degraded" and (reason := telling(verdict)):
        harm = effect_words(reason)
        if verdict.impact:
            harm += f"; it cost {cost_words(verdict.impact)}"
    return (
        f"{release.deployment} {release.version}",
        release.injected(dials),
        Text(f"{verdict.verdict}, {verdict.action}", _STYLES[verdict.verdict]),
        f"{outcome.tally.orders} orders, {outcome.tally.days} days",
        harm,
    )
