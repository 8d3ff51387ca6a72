"""The command ``plimsoll audit``: its settings, its progress bar, its table."""

# ruff: noqa: PLC0415 - imports inside the command are what makes --help fast
from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from analyzers.auditing.audit import Audit, Counts, MetricAudit, Rate, ServiceAudit
    from pipeline.audit import Plan, Told
    from pipeline.audit_reading import Bound

ABOVE: Final = 1
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WATCH_MAX_S: Final = 400 * 86_400


class AuditError(Exception):
    """Streams, a state or a configuration that cannot be audited; says what to do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which recording is audited: ``files``, or else the state in ``state`` (None: where the
    configuration has it)."""

    files: tuple[Path, ...]
    state: Path | None
    config: Path | None


def _span(_ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhd])", value.strip(), re.ASCII)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _WATCH_MAX_S:
        what = "to watch" if param.name == "watch" else "to take"
        raise click.BadParameter(f"{value!r} is no time {what}; write for instance 12h or 30d")
    return seconds


@click.command(
    epilog="""\b
Examples:
  plimsoll audit --state /var/lib/plimsoll --config plimsoll.yml --watch 7d
  plimsoll audit orders.ndjson.gz --by customer --format json
"""
)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Audit what the daemon in this directory has taken in; it may be running.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="PLIMSOLL_CONFIG",
    help="Policy and settings (YAML). Without it the built-in catalogue is used.",
)
@click.option(
    "--splits",
    type=click.IntRange(1, 1_000),
    default=20,
    show_default=True,
    help="How often the events are split anew, at each of the shares 50 % and 10 %; half as often "
    "with each metric harmed, at least 10 times.",
)
@click.option(
    "--seed", type=click.IntRange(0, 1 << 32), default=1, show_default=True, help="Of every split."
)
@click.option(
    "--by",
    default="subject",
    show_default=True,
    help="What your rollouts split traffic by: subject, event, or the name of an attribute.",
)
@click.option("--watch", callback=_span, help="Watch each placebo so long.  [default: the policy]")
@click.option(
    "--within",
    callback=_span,
    help="Take at most so long; services not reached by then are named.  [default: no limit]",
)
@click.option(
    "--days",
    type=click.IntRange(1, 400),
    default=30,
    show_default=True,
    help="Of a state, take the newest so many days.",
)
@click.option(
    "--events",
    type=click.IntRange(1_000, 20_000_000),
    default=1_000_000,
    show_default=True,
    help="Take at most the newest so many events.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def audit(
    *,
    files: tuple[Path, ...],
    state: Path | None,
    config: Path | None,
    splits: int,
    seed: int,
    by: str,
    watch: int | None,
    within: int | None,
    days: int,
    events: int,
    form: str,
) -> int:
    """Measure false alarms and power on your own recorded events.

    Splits them into a pseudo canary and its baseline although nothing was released (placebos), and
    counts how often that was called harm; then does a known harm, and counts how often it is
    found. FILES are NDJSON, gzip, Parquet or folders. Exit code: 0, or 1 if false alarms are
    measurably above what the policy promises.
    """
    from pipeline.audit import POWER_SPLITS, Plan
    from pipeline.audit_reading import Bound

    if files and state is not None:
        raise click.UsageError("FILES and --state are two recordings: give one of them")
    asked = Asked(files, state, config)
    # Files are given on purpose and taken whole, as far as their number of events allows.
    bound = Bound(days=None if files else days, events=events)
    harmed = max(POWER_SPLITS, splits // 2)
    plan = Plan(splits=splits, seed=seed, by=by, watch_s=watch, harmed=harmed)
    try:
        found = audited(
            asked, os.environ, plan, bound, terminal=sys.stderr.isatty(), within_s=within
        )
    except AuditError as error:
        raise click.ClickException(str(error)) from error
    show(found, form)
    return ABOVE if found.finding == "above" else 0


def audited(
    asked: Asked,
    env: Mapping[str, str],
    plan: Plan,
    bound: Bound,
    *,
    terminal: bool,
    within_s: float | None = None,
) -> Audit:
    """What the placebos on a recording come to, as far as the time allows."""
    from dataclasses import replace

    from collector.files.recorded import FilesError
    from collector.keeping.checkpoint import CheckpointError
    from pipeline import audit as auditing
    from pipeline import audit_reading, config
    from pipeline.intake_log import IntakeLogError

    try:
        given = config.load(asked.config, env)
        knows = given.knows if given.unknown_services == "reject" else None
        policy = given.policy
        if plan.by not in ("subject", "event"):  # it must be read for that
            policy = replace(policy, cohorts=(*policy.cohorts, plan.by))
        with _progress(show=terminal) as progress:
            told = _limited(progress, within_s)

            def read(done: int, total: int) -> None:
                progress("reading", done, total)

            if asked.files:
                gathered = audit_reading.from_files(
                    asked.files, policy, bound, knows=knows, deduplication=given.deduplication,
                    progress=read, warn=lambda fault: click.echo(f"plimsoll: {fault}", err=True),
                )  # fmt: skip
            else:
                gathered = audit_reading.from_state(
                    asked.state or given.state, policy, bound, knows=knows,
                    deduplication=given.deduplication, progress=read,
                )  # fmt: skip
            if plan.by not in ("subject", "event", *gathered.facts.attributes):
                raise AuditError(
                    f"--by {plan.by}: no event has such an attribute; name one that is there"
                )
            found = auditing.audit(gathered, policy, plan, told)
    except (config.ConfigError, FilesError, CheckpointError, IntakeLogError) as error:
        raise AuditError(str(error)) from error
    if not found.services:
        raise AuditError(_nothing(found, files=bool(asked.files)))
    return found


def _nothing(found: Audit, *, files: bool) -> str:
    """Why nothing was audited, and what to do."""
    from pipeline.audit import EVENTS_MIN

    if any(not one.reached for one in found.skipped):
        return "nothing was audited in the time given: a larger --within, or fewer --splits"
    counts = found.counts
    more = "" if files else ", or a larger --days"
    if found.bounded:
        more += ", or a larger --events"
    return (
        f"nothing to audit: {counts.events} events, {counts.rejected} rejected, and no service has "
        f"{EVENTS_MIN} that are not of a running canary; give a longer recording{more}"
    )


def _limited(told: Told, within_s: float | None) -> Told:
    """What is told how far the audit is, and ends it after so long."""
    from pipeline import clock
    from pipeline.audit import OverdueError

    if within_s is None:
        return told
    until_s = clock.monotonic_s() + within_s

    def limited(what: str, done: int, total: int) -> None:
        if clock.monotonic_s() >= until_s:
            raise OverdueError
        told(what, done, total)

    return limited


@contextmanager
def _progress(*, show: bool) -> Iterator[Told]:
    """What is told how far the audit is; a bar for a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from pipeline import render

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        console=render.plain_console(stderr=True),
        transient=True,
    )
    task = bar.add_task("reading", total=1)

    def told(what: str, done: int, total: int) -> None:
        if show and not bar.live.is_started:
            bar.start()
        bar.update(task, description=what, completed=done, total=max(total, 1))

    try:
        yield told
    finally:
        if bar.live.is_started:
            bar.stop()


def show(found: Audit, form: str, console: Console | None = None) -> None:
    """Prints the audit, as JSON or as a table for each service."""
    from pipeline import render

    if form == "json":
        click.echo(render.as_json(found))
        return
    console = console or render.plain_console()
    for one in found.services:
        _show_service(console, one, found)
    for other in found.skipped:
        console.print(
            f"not audited: {_plain(other.service)} in {_plain(other.environment)} ({other.why})"
        )
    if found.bounded:
        console.print(found.bounded)
    _show_counts(console, found.counts)


def _show_counts(console: Console, counts: Counts) -> None:
    """What was read, in the words of ``plimsoll replay``."""
    console.print(
        f"{counts.events} events, {counts.markers} markers, {counts.duplicates} duplicates, "
        f"{counts.rejected} rejected"
    )
    for reason, count in counts.rejected_by_reason.items():
        console.print(f"  rejected: {reason} {count}")
    for kind, count in counts.ignored_by_kind.items():
        console.print(f"  ignored: {kind} {count}")


def _show_service(console: Console, one: ServiceAudit, found: Audit) -> None:
    from rich.text import Text

    from analyzers.auditing.audit import verdict_line
    from pipeline import render

    style = "bold green" if one.finding == "fine" else "bold red"
    name = f"{_plain(one.service)} in {_plain(one.environment)}: "
    console.print(Text.assemble((name, "bold"), (verdict_line(one, found.error_rate), style)))
    console.print(
        f"{one.events} events from {one.since} to {one.until}; {one.false_alarms.tried} placebos, "
        f"split by {_plain(found.by)}, each watched for {render.span(one.watch_seconds)} at most; "
        f"promoted {_share(one.promoted)}"
    )
    console.print(
        f"on the same placebos a fixed rule blamed {_share(one.fixed_rule)}, a test repeated at "
        f"{found.looks} looks {_share(one.repeated_test)}"
    )
    if one.left_out:
        told = ", ".join(f"{_plain(left.version) or '-'} {left.events}" for left in one.left_out)
        console.print(f"left out, as they were canaries themselves: {told} events")
    blamed = [_alarms(m) for m in one.metrics]
    console.print(_table("false alarms", ("measured", "fixed rule", "repeated test"), blamed))
    harmed = [_found(m) for m in one.metrics if m.power is not None]
    if harmed:
        within = f"found within {render.span(one.watch_seconds)}"
        columns = ("harm", within, "rolled back", "after", "events")
        console.print(_table("harm done", columns, harmed))
    for other in one.not_measured:
        if other.events:
            console.print(f"not measured: {other.metric} ({_plain(other.why)})")
    absent = [other.metric for other in one.not_measured if not other.events]
    if absent:
        console.print(f"not measured, as no event is of theirs: {', '.join(absent)}")
    for advice in one.advice:
        console.print(f"- {advice}")
    console.print()


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _alarms(one: MetricAudit) -> tuple[str, ...]:
    name = one.metric + (" (indicative)" if one.indicative else "")
    return name, _share(one.false_alarms), _share(one.fixed_rule), _share(one.repeated_test)


def _found(one: MetricAudit) -> tuple[str, ...]:
    from analyzers.auditing.audit import percent
    from pipeline import render

    rolled_back = one.rolled_back
    return (
        one.metric,
        one.harm,
        _share(one.power),
        "-" if rolled_back is None else f"{percent(rolled_back.share, 3)} %",
        "-" if one.median_seconds is None else render.span(one.median_seconds),
        "-" if one.median_events is None else f"{one.median_events:.0f}",
    )


def _share(rate: Rate | None) -> str:
    """A rate as a terminal shows it: percent, with its interval."""
    from analyzers.auditing.audit import percent

    if rate is None:
        return "-"
    return f"{percent(rate.share, 3)} % ({percent(rate.low)} to {percent(rate.high)})"


def _plain(text: str) -> str:
    """The text with everything escaped that a terminal would obey."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
