"""``plimsoll fleet``: all releases that ended under one false discovery rate, as text or JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analyzers.judging.fleet import Fleet, FleetError, FleetRelease, fleet
from analyzers.judging.verdict import Verdict
from pipeline import render

# A verdict takes a few KiB: so many bytes are a fleet of tens of thousands.
LONGEST_BYTES: Final = 256 << 20
SHOWN: Final = 20  # of those that are not counted as harmful; the JSON has them all


class FleetFileError(Exception):
    """Verdicts that cannot be read; says what to do."""


class _Replayed(msgspec.Struct, frozen=True):
    """What ``plimsoll replay --format json`` or ``GET /v1/verdicts`` gives, as far as it is read
    here."""

    verdicts: list[Verdict]


def from_file(path: Path, *, rate: float) -> Fleet:
    """The report on the verdicts of a file, or of standard input for ``-``."""
    name = "standard input" if path == Path("-") else str(path)
    try:
        if path == Path("-"):
            body = sys.stdin.buffer.read(LONGEST_BYTES + 1)
        else:
            with path.open("rb") as file:
                body = file.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise FleetFileError(f"{name} cannot be read: {error.strerror or error}") from error
    if len(body) > LONGEST_BYTES:
        raise FleetFileError(f"{name} is longer than {LONGEST_BYTES} bytes: replay fewer releases")
    try:
        found = msgspec.json.decode(body, type=_Replayed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FleetFileError(
            f"{name} holds no verdicts ({error}): write it with `plimsoll replay --format json`"
        ) from error
    try:
        return fleet(found.verdicts, rate=rate)
    except FleetError as error:
        raise FleetFileError(str(error)) from error


def show(found: Fleet, form: str, console: Console | None = None) -> None:
    """Prints the report: the sentence, what was found, and what was no test."""
    if form == "json":
        click.echo(render.as_json(found))
        return
    console = console or render.plain_console()
    console.print(found.summary)
    if found.ended:
        console.print(
            f"Live, each decided at its own end, {found.harmful_live or 'none'} "
            f"{'are' if found.harmful_live > 1 else 'is'}. The list counts evidence from "
            f"{render.number(found.needed)} on."
        )
    ended = [one for one in found.releases if one.counted]
    ended.sort(key=lambda one: (not one.harmful, not one.harmful_live, -one.e_value))
    shown = ended[: max(SHOWN, found.harmful)]
    if shown:
        console.print()
        console.print(_table(shown))
    if len(shown) < len(ended):
        console.print(f"and {len(ended) - len(shown)} more; --format json has them")
    running = [one.deployment for one in found.releases if one.ended_at is None]
    rest = [
        f"not ended yet: {_named(running)}" if running else "",
        f"only indicative, not counted: {found.indicative}" if found.indicative else "",
        f"too old to be at hand, not counted: {found.forgotten}" if found.forgotten else "",
    ]
    for line in filter(None, rest):
        console.print(Text(line, style="dim"))


def _named(running: list[str]) -> str:
    more = f" and {len(running) - SHOWN} more" if len(running) > SHOWN else ""
    return ", ".join(map(render.escaped, running[:SHOWN])) + more


def _table(releases: list[FleetRelease]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("ended", "deployment", "service", "verdict", "evidence", "in the list", "live"):
        table.add_column(title, overflow="fold")
    for one in releases:
        table.add_row(
            Text((one.ended_at or "")[: len("2026-05-21T10:00")]),
            Text(render.escaped(one.deployment)),
            Text(render.escaped(one.service)),
            render.status_text(one.verdict),
            Text(render.number(one.e_value)),
            _mark(one.harmful),
            _mark(one.harmful_live),
        )
    return table


def _mark(harmful: bool) -> Text:
    return Text("harmful", style="bold red") if harmful else Text("-", style="dim")
