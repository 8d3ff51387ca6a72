"""Where events come from beside HTTP: Kafka topics and files, as a configuration writes it.

Gives the collector's own settings, with the form that makes events of messages already put in, so
that whoever starts the sources only has to hand them over.
"""

# ruff: noqa: PLC0415 - a configuration without sources must not import what reads them
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analyzers.policy import Limits
from collector.mapping.terms import Mapped
from collector.otlp.rules import Encoding, OtlpRules, Signal
from pipeline.config.document import Fields, Items, Scalar, Unreadable
from pipeline.config.faults import joined, shown
from pipeline.config.fields import (
    Key,
    Place,
    Reader,
    Section,
    choice,
    flag,
    number,
    section,
    several,
    text,
    whole,
)
from pipeline.config.kafka import KAFKA_KEYS, kafka_settings
from pipeline.config.mappings import mapped
from pipeline.config.paths import at_home

if TYPE_CHECKING:
    from collector.files.settings import FilesSettings
    from collector.kafka.settings import KafkaSettings
    from collector.source import Form

SOURCES_MAX: Final = 50
PATHS_MAX: Final = 1_000
REJECT_RATIO: Final = 0.5
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_FORMATS: Final[dict[str, Signal | None]] = {
    "native": None,
    "otlp_logs": Signal.LOGS,
    "otlp_metrics": Signal.METRICS,
    "otlp_traces": Signal.TRACES,
}


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One source: what reads it (with its form), what its mappings are, and when it stops.

    ``name`` is its place in the state: a renamed source is a new one, read from its start.
    ``reject_ratio``: with more than this share of the last thousand messages refused, it stops.
    ``place`` is where it is written, ``reading_place`` where it says what it reads.
    """

    name: str
    reads: KafkaSettings | FilesSettings
    mapped: Mapped | None = None
    reject_ratio: float = REJECT_RATIO
    place: str = field(default="", compare=False)
    reading_place: str = field(default="", compare=False)


def _as_it_is(place: Place) -> Place | None:
    return place


NAME: Final = Key(
    "name",
    text(64, pattern=_NAME, form="a name of letters, digits, _ . and -"),
    "from the first topic or path",
    "What it is called in messages and metrics; what was read of it is kept under this name.",
)
KAFKA: Final = Key(
    "kafka",
    Reader("a mapping, as below", _as_it_is),
    "this or `files`",
    "Topics of a Kafka cluster.",
)
FILES: Final = Key(
    "files",
    Reader("a mapping, as below, or only its paths", _as_it_is),
    "this or `kafka`",
    "Files: NDJSON, a JSON array, gzip of either, Parquet.",
)
MAP: Final = Key(
    "map",
    Reader("one mapping or a list of them", _as_it_is),
    "none",
    "How foreign messages become events. A message becomes the event of the first mapping whose "
    "`where` holds.",
)
EVERY: Final = Key(
    "every",
    flag(),
    "false",
    "With `true`, a message becomes the event of every mapping whose `where` holds.",
)
FORMAT: Final = Key(
    "format",
    choice(_FORMATS),
    "native",
    "What messages hold without `map`: our own events and markers, CloudEvents, CDEvents and the "
    "like (`native`), or requests of OpenTelemetry.",
)
ENCODING: Final = Key(
    "encoding",
    choice({"proto": Encoding.PROTO, "json": Encoding.JSON}),
    "looked at",
    "How OpenTelemetry requests are written.",
)
RATIO: Final = Key(
    "reject_ratio",
    number(0, 1, open_low=True),
    f"{REJECT_RATIO:g}",
    "With more than this share of the last 1,000 messages refused, the source stops and says so; "
    "with 1 it never does.",
)
SOURCE_KEYS: Final[tuple[Key[Any], ...]] = (
    NAME, KAFKA, FILES, MAP, EVERY, FORMAT, ENCODING, RATIO,
)  # fmt: skip

PATHS: Final = Key(
    "paths",
    several(text(1_024, form="a path"), most=PATHS_MAX, form="one path or a list of them"),
    "",
    "Files, folders (all streams in and below them), patterns such as `in/*/orders-*.ndjson`, or "
    "`-` alone for standard input. Relative ones start at the folder of this file.",
)
FOLLOW: Final = Key(
    "follow",
    flag(),
    "true",
    "With `true`, new files and lines are read as they come; else what lies there is read once.",
)
FILES_MOST: Final = Key("most", whole(1, 1_000_000), "10000", "Files at once.")
FILES_KEYS: Final[tuple[Key[Any], ...]] = (PATHS, FOLLOW, FILES_MOST)

SOURCES: Final = Key(
    "sources",
    Reader("a list of sources, each with `kafka:` or `files:`", _as_it_is),
    "none",
    "Where events are read from, beside what is posted. See [sources](sources.md).",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What sources are read with: limits, rules of OpenTelemetry, where paths start."""

    limits: Limits
    rules: OtlpRules
    folder: Path
    env: Mapping[str, str]

    def path(self, written: str) -> Path:
        """A path of the configuration, from the folder of its file."""
        return self.folder / at_home(written, self.env)


def sources(top: Section, around: Surroundings) -> tuple[SourceSettings, ...]:
    """The sources that a configuration names; what is wrong with them is reported."""
    place = SOURCES.of(top)
    if place is None:
        return ()
    if isinstance(place.node, Fields):
        place.fault("must be a list: begin each source with `- `")
        return ()
    places = place.elements()
    if len(places) > SOURCES_MAX:
        place.fault(f"has {len(places)} sources: at most {SOURCES_MAX} are read")
    found: list[SourceSettings] = []
    for here in places:
        source = _source(here, around)
        if source is None:
            continue
        if any(source.name == other.name for other in found):
            here.fault(f"is the second source called {shown(source.name)}: give it a `name:`")
        twice = _paths(source) & {path for other in found for path in _paths(other)}
        if twice:
            here.fault(
                f"reads {shown(min(twice))}, which another source reads: one position would be "
                "moved by two"
            )
        found.append(source)
    return tuple(found)


def _paths(source: SourceSettings) -> frozenset[str]:
    """The files that a source names, as they are written."""
    from collector.files.settings import FilesSettings

    return frozenset(source.reads.paths if isinstance(source.reads, FilesSettings) else ())


def _source(place: Place, around: Surroundings) -> SourceSettings | None:
    """A source, None if it cannot be told what to read; with a fault elsewhere in it, it has no
    more than what it reads, which can still be tried."""
    here = section(place, SOURCE_KEYS)
    if here is None:
        return None
    kafka, files = KAFKA.of(here), FILES.of(here)
    before = place.faults.reports
    topics = None if kafka is None else _topics(kafka, around)
    paths = None if files is None else _files(files, around)
    if (kafka is None) == (files is None) and not _is_unreadable(here, KAFKA, FILES):
        place.fault("must name either `kafka:` or `files:`")
    reads = (topics or paths) if place.faults.reports == before else None
    name, ratio = NAME.of(here), RATIO.of(here)
    named = name or ("source" if reads is None else _derived(reads))
    made = _mapped(here, around, named)
    form = _form(here, made, around, named)
    if reads is None:
        return None
    return SourceSettings(
        name=named,
        reads=replace(reads, name=named, form=form),
        mapped=made,
        reject_ratio=REJECT_RATIO if ratio is None else ratio,
        place=place.path,
        reading_place=joined(place.path, "files" if kafka is None else "kafka"),
    )


def _is_unreadable(here: Section, *keys: Key[Any]) -> bool:
    places = [here.at(key) for key in keys]
    return any(place is not None and isinstance(place.node, Unreadable) for place in places)


def _topics(place: Place, around: Surroundings) -> KafkaSettings | None:
    inner = section(place, KAFKA_KEYS)
    return None if inner is None else kafka_settings(inner, around.path)


def _derived(reads: KafkaSettings | FilesSettings) -> str:
    """A name from the first thing that is read, in the letters that a name may have."""
    from collector.kafka.settings import KafkaSettings

    if isinstance(reads, KafkaSettings):
        first = (*reads.topics, *reads.patterns)[0]
        return _plain(f"kafka-{first}")
    last = Path(reads.paths[0]).name
    return _plain(f"files-{'stdin' if last == '-' else last.strip('*.')}")


def _plain(words: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", words)[:64].strip("-")


def _mapped(here: Section, around: Surroundings, name: str) -> Mapped | None:
    place = MAP.of(here)
    every = EVERY.of(here) or False
    if place is None:
        if here.has(EVERY):
            here.fault(EVERY, "means nothing without map: drop it")
        return None
    if here.has(FORMAT):
        here.fault(FORMAT, "is what `map` says already: keep one of the two")
    return mapped(place, every=every, name=name, limits=around.limits)


def _form(here: Section, made: Mapped | None, around: Surroundings, name: str) -> Form | None:
    signal, encoding = FORMAT.of(here), ENCODING.of(here)
    if encoding is not None and signal is None:
        here.fault(ENCODING, "belongs to otlp_logs, otlp_metrics and otlp_traces: drop it")
    if made is not None:
        from collector.mapping.forms import mapped_form

        return mapped_form(made, name=name, limits=around.limits)
    if signal is None:
        return None
    from collector.otlp.forms import otlp_form

    return otlp_form(signal, encoding, rules=around.rules, limits=around.limits)


def _files(place: Place, around: Surroundings) -> FilesSettings | None:
    from collector.files.settings import STDIN, FilesSettings

    if isinstance(place.node, Unreadable):
        return None
    if isinstance(place.node, Scalar | Items):
        here = Section(place, {PATHS.name: place.node})
    else:
        found = section(place, FILES_KEYS)
        if found is None:
            return None
        here = found
    paths = PATHS.of(here)
    if not paths:
        if paths == () or not here.has(PATHS):
            here.fault(PATHS, "names nothing: name files, folders or patterns")
        return None
    if STDIN in paths and len(paths) > 1:
        here.fault(PATHS, "names standard input beside others: give it a source of its own")
        return None
    return FilesSettings(
        name="",
        paths=tuple(one if one == STDIN else str(around.path(one)) for one in paths),
        follow=FOLLOW.of(here) is not False,
        most=FILES_MOST.of(here) or 10_000,
    )
