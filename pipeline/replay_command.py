"""``plimsoll replay`` around ``pipeline.replay``: its settings, its progress bar, its output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from collector.decoding import times
from collector.decoding.faults import Fault
from collector.files import recorded as files
from collector.keeping.checkpoint import CheckpointError
from pipeline import config, render, replay
from pipeline.intake_log import IntakeLogError
from pipeline.replay import Replayed

# Shorter input is read before anybody could look at a bar.
PROGRESS_FROM_BYTES: Final = 2 << 20
# So many verdicts are shown with what each metric says; more become a line each.
DETAILED_MAX: Final = 5


class ReplayError(Exception):
    """A stream, a time or a configuration that cannot be used; says what to do."""


def judged(
    paths: Sequence[Path],
    settings: Path | None,
    env: Mapping[str, str],
    *,
    until: str | None,
    terminal: bool,
) -> Replayed:
    """What the streams come to under the policy of ``settings``."""
    until_ns = _until_ns(until)
    try:
        given = config.load(settings, env)
        knows = given.knows if given.unknown_services == "reject" else None
        with _progress(show=terminal) as progress:
            return replay.replay(
                paths,
                given.policy,
                until_ns=until_ns,
                progress=progress,
                knows=knows,
                deduplication=given.deduplication,
                warn=lambda fault: click.echo(f"plimsoll: {fault}", err=True),
            )
    except (config.ConfigError, files.FilesError, CheckpointError, IntakeLogError) as error:
        raise ReplayError(str(error)) from error


def show(found: Replayed, form: str) -> None:
    """Prints the result, as JSON or as a table with what was counted."""
    if form == "json":
        click.echo(render.as_json(found))
        return
    console = render.plain_console()
    if not found.verdicts:
        console.print("No deployment: no deployment.started marker was found.")
    elif len(found.verdicts) > DETAILED_MAX:
        console.print(render.verdicts_table(found.verdicts))
    else:
        for verdict in found.verdicts:
            console.print(render.verdict_text(verdict))
            console.print()
    counts = found.counts
    console.print(
        f"{counts.events} events, {counts.markers} markers, {counts.duplicates} duplicates, "
        f"{counts.late} late, {counts.rejected} rejected"
    )
    for reason, count in counts.rejected_by_reason.items():
        console.print(f"  rejected: {reason} {count}")
    for kind, count in counts.ignored_by_kind.items():
        console.print(f"  ignored: {kind} {count}")


def _until_ns(until: str | None) -> int | None:
    if until is None:
        return None
    parsed = times.parse(int(until) if until.isascii() and until.isdigit() else until)
    if isinstance(parsed, Fault):
        raise ReplayError(f"--until: {parsed.detail}")
    return parsed


@contextmanager
def _progress(*, show: bool) -> Iterator[replay.Progress]:
    """What is told the bytes read so far and in all; a bar for a terminal and long input."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=render.plain_console(stderr=True),
        transient=True,
    )
    task = bar.add_task("reading", total=None)

    def told(done: int, total: int) -> None:
        if show and not bar.live.is_started and (total or done) >= PROGRESS_FROM_BYTES:
            bar.start()
        bar.update(task, completed=done, total=total or None)

    try:
        yield told
    finally:
        if bar.live.is_started:  # stopping one that never began would print an empty line
            bar.stop()
