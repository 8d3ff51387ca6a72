"""Whether the sources that a configuration names can be read from here: ``plimsoll check``.

Brokers are connected to and asked for the topics, paths are looked at; nothing is read.
"""

# ruff: noqa: PLC0415 - a check without Kafka must not import what speaks to it
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collector.files.settings import STDIN, FilesSettings
from collector.kafka.settings import KafkaSettings
from collector.source import SourceBusyError, SourceError
from pipeline.config.sources import SourceSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

# Long enough for a TLS connection over a continent, short enough for a person who waits.
TIMEOUT_MS: Final = 3_000
_NAMES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing tried: ``path`` is the key that names it, ``found`` what happened."""

    path: str
    ok: bool
    found: str


def try_sources(sources: Sequence[SourceSettings]) -> Iterator[Probe]:
    """What happens when each source is tried."""
    for source in sources:
        path = source.place
        if isinstance(source.reads, KafkaSettings):
            yield _try_kafka(f"{path}.kafka", source.reads)
        else:
            yield from _try_files(f"{path}.files", source.reads)


def _try_kafka(path: str, settings: KafkaSettings) -> Probe:
    from collector.kafka.blocks import Appetite
    from collector.kafka.client import Connection

    hasty = replace(settings, client=replace(settings.client, timeout_ms=TIMEOUT_MS))
    where = f"{settings.name} at {', '.join(settings.brokers[:_NAMES_SHOWN])}"
    try:
        connection = Connection(hasty, Appetite())
        try:
            there = connection.topics(settings.topics)
        finally:
            connection.close()
    except (SourceError, SourceBusyError) as error:
        return Probe(path, ok=False, found=str(error))
    missing = sorted(set(settings.topics) - set(there))
    if missing:
        names = ", ".join(missing[:_NAMES_SHOWN])
        return Probe(path, ok=False, found=f"{where} has no topic {names}: create it or correct it")
    partitions = sum(len(topic.partitions) for topic in there.values())
    told = f" with {len(there)} topics in {partitions} partitions" if there else ""
    return Probe(path, ok=True, found=f"{where} answers{told}")


def _try_files(path: str, settings: FilesSettings) -> Iterator[Probe]:
    for index, written in enumerate(settings.paths):
        here = f"{path}[{index}]"
        if written == STDIN:
            yield Probe(here, ok=True, found="standard input")
            continue
        known = Path(written)
        while has_magic(str(known)):
            known = known.parent
        if not known.exists():
            found = f"{known} does not exist: create it, or name what exists"
            yield Probe(here, ok=False, found=found)
        elif not os.access(known, os.R_OK | (os.X_OK if known.is_dir() else 0)):
            found = f"{known} cannot be read: give the daemon the right to"
            yield Probe(here, ok=False, found=found)
        else:
            yield Probe(here, ok=True, found=f"{written} can be read")
