"""A looked-at sample for people: a table on a terminal, plain lines everywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.config import load
from pipeline.config.check import faults_of, put
from pipeline.config.faults import ConfigError
from pipeline.config.faults import shown as quoted
from pipeline.render import plain_console
from pipeline.sample import Sample, Shown, sampled

# More of these in a summary is nothing that anybody reads.
NAMES_SHOWN: Final = 20
VALUES_SHOWN: Final = 5


def run_sample(
    config: Path | None,
    path: Path,
    out: TextIO,
    *,
    env: Mapping[str, str],
    source: str | None,
    rows: int,
    as_json: bool,
) -> int:
    """The exit code of ``plimsoll check --sample``: 0 if nothing was refused, 1 if something was,
    if nothing feeds a metric that somebody wrote, or if the configuration has faults. Raises
    SampleError for what cannot be looked at."""
    try:
        settings = load(config, env)
    except ConfigError as error:
        put(faults_of(error), out)
        return 1
    found = sampled(path, settings, source=source, rows=rows)
    if as_json:
        put((msgspec.json.encode(found).decode(),), out)
    elif out.isatty():
        plain_console().print(table(found))
    else:
        put(lines(found), out)
    return 0 if found.ok else 1


def table(sample: Sample) -> RenderableType:
    """The rows as a table, and the summary below it."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("row", justify="right")
    rows.add_column("becomes")
    rows.add_column("what it says, or why not", overflow="fold")
    rows.add_column("feeds", overflow="fold")
    style = {"event": "green", "marker": "cyan", "ignored": "dim", "refused": "red"}
    for one in sample.shown:
        rows.add_row(
            str(one.row),
            Text(one.result, style=style[one.result]),
            Text(_says(one)),
            Text(", ".join(one.metrics)),
        )
    return Group(rows, Text(), *(Text(line) for line in summary(sample)))


def lines(sample: Sample) -> Iterator[str]:
    """The rows and the summary, a line each."""
    for one in sample.shown:
        feeds = f" -> {', '.join(one.metrics)}" if one.metrics else ""
        yield f"row {one.row}: {one.result} {_says(one)}{feeds}"
    yield from summary(sample)


def summary(sample: Sample) -> Iterator[str]:
    """The whole sample in numbers, in words."""
    found = sample.summary
    refused = sum(found.refused.values())
    yield (
        f"{sample.source}: {found.rows} rows, {found.events} events, {found.markers} markers, "
        f"{sum(found.ignored.values())} ignored, {refused} refused"
    )
    yield from _line("ignored", found.ignored)
    yield from _line("refused", found.refused)
    for reason, first in found.first_refused.items():
        yield f"  first {reason}: {first}"
    if found.duplicates:
        yield f"duplicates: {found.duplicates} (they count once)"
    if found.conflicts:
        yield (
            f"conflicts: {found.conflicts} events have the id of another one with other content, "
            "and are not counted: make the id of more"
        )
    yield from _line("types", found.types)
    yield from _line("metrics fed", found.metrics)
    yield from _unfed(found.unfed)
    yield from _line("without the value that is needed", found.without_value)
    for name, values in list(found.attributes.items())[:NAMES_SHOWN]:
        more = f", ... {len(values)} values" if len(values) > VALUES_SHOWN else ""
        said = ", ".join(quoted(value) for value in values[:VALUES_SHOWN])
        yield f"attribute {_name(name)}: {said}{more}"
    yield from _line("fields never used", found.unused)
    for fault in sample.faults:
        yield f"fault  {fault}"


def _line(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        listed = [f"{_name(name)} {count}" for name, count in list(counts.items())[:NAMES_SHOWN]]
        more = f", and {len(counts) - NAMES_SHOWN} more" if len(counts) > NAMES_SHOWN else ""
        yield f"{what}: {', '.join(listed)}{more}"


def _unfed(names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f", and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        yield f"metrics that nothing feeds: {', '.join(names[:NAMES_SHOWN])}{more}"


def _name(name: str) -> str:
    """A name from outside, safe for a terminal."""
    return name if name.isprintable() and len(name) <= 60 else quoted(name)


def _says(one: Shown) -> str:
    if one.result in {"ignored", "refused"}:
        return f"{one.reason}: {one.why}" if one.why else one.reason
    said = []
    for name, value in one.event.items():
        if isinstance(value, dict):
            said += [f"{_name(str(key))}={_text(word)}" for key, word in value.items()]
        else:
            said.append(f"{name}={_text(value)}")
    return " ".join(said)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if text.isprintable() and " " not in text else quoted(text)
