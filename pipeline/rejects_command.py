"""The commands ``plimsoll rejects list`` and ``plimsoll rejects replay``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.text import Text

from analyzers.times import rfc3339
from collector.keeping.checkpoint import Checkpoint, CheckpointError, Sought
from collector.keeping.reject_list import ListedReject, Named, RejectList, Replayed, Tried, listed
from pipeline import render
from pipeline.daemon_client import Daemon

SHOWN: Final = 20


class RejectsError(Exception):
    """Rejects that cannot be read; the message says what to do."""


@dataclass(slots=True)
class Outcome:
    """What became of all that was tried once more."""

    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejected: list[Named] = field(default_factory=list)
    hindered: list[Named] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """How many payloads were tried, and rejects that could not be."""
        taken = self.accepted + self.duplicates + self.ignored
        return taken + len(self.rejected) + len(self.hindered)

    def add(self, page: Replayed) -> None:
        """Takes in one answer of the daemon."""
        self.accepted += page.accepted
        self.duplicates += page.duplicates
        self.ignored += page.ignored
        self.rejected += page.rejected
        self.hindered += page.hindered


def kept(state: Path, sought: Sought, *, limit: int) -> RejectList:
    """The rejects in a state directory, beside the daemon that may be using it."""
    try:
        with Checkpoint.open(state, exclusive=False) as checkpoint:
            return listed(checkpoint, sought, limit=limit)
    except CheckpointError as error:
        raise RejectsError(str(error)) from error


def replay(daemon: Daemon, tried: Tried, told: Callable[[int], None]) -> Outcome:
    """Tries the rejects that are kept now once more, page by page; ``told`` how many so far."""
    found = Outcome()
    newest = daemon.rejects(Sought(), limit=1).rejects
    if not newest:
        return found
    until = newest[0].id  # what is refused meanwhile is not tried at once
    after = 0
    while True:
        page = daemon.replay_rejects(
            Tried(
                reason=tried.reason,
                source=tried.source,
                service=tried.service,
                ids=tried.ids,
                after=after,
                until=until,
            )
        )
        found.add(page)
        told(found.tried)
        if not page.next:
            return found
        after = page.next


def show(found: RejectList, form: str, console: Console | None = None) -> None:
    """Prints a list; payloads come from outside, so nothing in them reaches the terminal raw."""
    console = console or render.plain_console()
    if form == "json":
        click.echo(render.as_json(found))
        return
    for one in found.rejects:
        console.print(_rows(one))
    more = f", {len(found.rejects)} shown" if len(found.rejects) < found.kept else ""
    lost = f"; {found.dropped} older ones were dropped (limits.rejects)" if found.dropped else ""
    console.print(f"{found.kept} rejects are kept{more}{lost}")


def _rows(one: ListedReject) -> RenderableType:
    place = render.escaped(one.source) or "-"
    where = place if one.position is None else f"{place} {one.position}"
    when = _time(one.time_ns) or _time(one.stream_ns) or "-"
    parts: list[RenderableType] = [
        Text.assemble(
            (f"#{one.id}", "bold"),
            "  ",
            (render.escaped(one.reason), "yellow"),
            f"  {where}  {render.escaped(one.service) or '-'}  {when}",
        ),
        Text(f"    {render.escaped(one.detail)}"),
        Text(f"    {render.escaped(one.payload)}", style="dim"),
    ]
    if one.hindrance:
        parts.append(Text(f"    cannot be replayed: {render.escaped(one.hindrance)}"))
    return Group(*parts)


def _time(time_ns: int | None) -> str:
    # What a refused payload says of its time may be beyond any calendar.
    try:
        return rfc3339(time_ns) if time_ns else ""
    except (OverflowError, ValueError, OSError):
        return ""


def tell(found: Outcome, form: str, console: Console | None = None) -> None:
    """Prints what became of what was tried."""
    console = console or render.plain_console()
    if form == "json":
        said = Replayed(
            accepted=found.accepted,
            duplicates=found.duplicates,
            ignored=found.ignored,
            rejected=tuple(found.rejected),
            hindered=tuple(found.hindered),
        )
        click.echo(render.as_json(said))
        return
    if not found.tried:
        console.print("no reject is kept that fits")
        return
    console.print(
        f"{found.accepted} taken, {found.duplicates} counted before, {found.ignored} of no use, "
        f"{len(found.rejected)} still refused, {len(found.hindered)} cannot be tried"
    )
    for one in (*found.rejected, *found.hindered)[:SHOWN]:
        console.print(
            Text(f"  #{one.id}  {render.escaped(one.reason)}: {render.escaped(one.detail)}")
        )
    rest = len(found.rejected) + len(found.hindered) - SHOWN
    if rest > 0:
        console.print(f"  and {rest} more; plimsoll rejects list has them")
