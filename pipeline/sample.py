"""What a source makes of recorded messages, row by row: the values of ``plimsoll check --sample``.

Messages go the way that they go in the daemon: through the form of the source, then to ``decode``.
Nothing is kept of them beyond what is shown, so a sample may be as long as it likes. How it looks
is in ``sample_text``.

    SampleError    a sample that cannot be looked at; says why, and the remedy
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import msgspec
import numpy as np

from analyzers.facts import OK, Facts, Marker
from analyzers.folding.cells import fed_by
from analyzers.policy import Measure, Policy
from analyzers.times import rfc3339
from collector.decoding.decode import decode
from collector.decoding.faults import REMEDIES, Reason
from collector.files.recorded import FilesError, read
from collector.mapping.terms import Mapped
from collector.source import Form, Formed
from pipeline.config import Settings
from pipeline.config.faults import Fault, joined
from pipeline.config.feeding import fed_elsewhere, wrote
from pipeline.sample_messages import json_of, message_of, unused_fields, used_fields

ROWS: Final = 20
# What is only counted must not grow with the sample either.
NAMES_MAX: Final = 200
LINES_OF_ROW: Final = 20  # shown of a message that becomes many
VALUES_MAX: Final = 1_000
KEYS_MAX: Final = 1_000_000
_OK_ONLY: Final = (Measure.EVENTS, Measure.VALUE, Measure.ANSWER)
_OF_ANYTHING: Final = (Measure.FLOW, Measure.VALIDITY)  # every event feeds them
_REMEDY: Final = f"; {REMEDIES[Reason.MAPPING]}"  # which is what somebody does just now
_OWN_FIELDS: Final = ("id", "subject", "ref")
_EVENT: Final = frozenset(
    {
        "id", "time", "type", "service", "environment", "version", "track", "outcome", "value",
        "subject", "ref", "synthetic", "attributes",
    }
)  # fmt: skip
Result = Literal["event", "marker", "ignored", "refused"]


class SampleError(Exception):
    """A sample that cannot be looked at."""


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the sample, or one of the lines that it becomes.

    ``event`` is what it says as an event or a marker; ``why`` why it is ignored or refused, with
    the part of the mapping at fault; ``metrics`` are those of the policy that it feeds.
    """

    row: int
    result: Result
    event: dict[str, object] = msgspec.field(default_factory=dict)
    reason: str = ""
    why: str = ""
    metrics: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A whole sample in numbers. Fields and attributes are with how many rows have them; ``unfed``
    are the metrics named in the policy that no row feeds."""

    rows: int
    events: int
    markers: int
    ignored: dict[str, int]
    refused: dict[str, int]
    first_refused: dict[str, str]
    duplicates: int
    conflicts: int
    types: dict[str, int]
    metrics: dict[str, int]
    unfed: tuple[str, ...]
    without_value: dict[str, int]
    attributes: dict[str, tuple[str, ...]]
    unused: dict[str, int]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What a source makes of a sample: the first rows, and all of them in numbers.

    ``faults`` are the metrics that somebody wrote and that nothing feeds, each with its remedy.
    """

    source: str
    shown: tuple[Shown, ...]
    summary: Summary
    faults: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was refused, and nothing that somebody wrote goes without events."""
        return not self.summary.refused and not self.faults


def sampled(
    path: Path,
    settings: Settings,
    *,
    source: str | None = None,
    rows: int = ROWS,
    stdin: BinaryIO | None = None,
) -> Sample:
    """What the source called ``source`` makes of the messages in a file, ``-`` for standard input.

    The file is NDJSON, a JSON array, gzip of either, or Parquet; its rows may be what kcat -J
    writes, which has headers and times too. Without a name it is the only source, or our own
    format where there is none. Raises SampleError.
    """
    named, form, mapped = _chosen(settings, source)
    looking = _Looking(settings.policy, form, mapped, named or "sample", rows)
    try:
        for chunk in read([path], limits=settings.policy.limits, stdin=stdin):
            looking.take(chunk.payloads)
            for reject in chunk.rejects:
                looking.refuse(reject.reason, reject.detail)
    except FilesError as error:
        raise SampleError(str(error)) from error
    summary = looking.summary()
    return Sample(
        source=named or "events of our own format",
        shown=tuple(looking.shown),
        summary=summary,
        faults=tuple(str(fault) for fault in _starved(settings, summary, named)),
    )


def _starved(settings: Settings, summary: Summary, source: str) -> Iterator[Fault]:
    """Faults of the metrics that somebody wrote, no row feeds, and no other source can feed."""
    for name in summary.unfed:
        metric = settings.policy.metric(name)
        if not wrote(metric) or fed_elsewhere(metric, settings, source):
            continue
        if name in summary.without_value:
            lack = f"{summary.without_value[name]} rows would feed it and have no value: give them"
            yield Fault(joined("metrics", name), f"{lack} one, or write another `measure:`")
        else:
            remedy = "correct its `type:`, `service:` and `where:`, or show rows that do"
            yield Fault(joined("metrics", name), f"no row of the sample feeds it: {remedy}")


def _chosen(settings: Settings, name: str | None) -> tuple[str, Form | None, Mapped | None]:
    names = ", ".join(one.name for one in settings.sources)
    if name is None and len(settings.sources) > 1:
        raise SampleError(f"there are several sources ({names}): name one with --source")
    found = [one for one in settings.sources if name in {None, one.name}]
    if found:
        return found[0].name, found[0].reads.form, found[0].mapped
    if name is None:
        return "", None, None
    raise SampleError(f"there is no source {name!r}; there are {names or 'none'}")


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    events: int = 0
    markers: int = 0
    duplicates: int = 0
    conflicts: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    metrics: Counter[str] = field(default_factory=Counter)
    without_value: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    attributes: dict[str, set[str]] = field(default_factory=dict)
    first_refused: dict[str, str] = field(default_factory=dict)


class _Looking:
    """A sample as it is looked at, a chunk at a time."""

    def __init__(
        self, policy: Policy, form: Form | None, mapped: Mapped | None, name: str, most: int
    ) -> None:
        self.shown: list[Shown] = []
        self._policy = policy
        self._form = form
        self._name = name
        self._most = most
        self._used = None if form is None or mapped is None else used_fields(mapped)
        self._watch = form is None or mapped is not None
        self._counts = _Counts()
        self._seen: dict[tuple[int, int], int] = {}

    def take(self, payloads: Sequence[bytes]) -> None:
        """Looks at the messages of a chunk."""
        lines: list[bytes] = []
        rows: list[int] = []
        for payload in payloads:
            self._counts.rows += 1
            row = self._counts.rows
            formed = self._formed(payload)
            if formed.ignored:
                self._ignore(row, formed.ignored)
                continue
            lines += formed.lines
            rows += [row] * len(formed.lines)
        self._judge(lines, rows)
        self.shown.sort(key=lambda one: one.row)  # what was ignored is known before the rest

    def refuse(self, reason: str, why: str) -> None:
        """Counts what could not even be read as a message."""
        self._counts.rows += 1
        self._refuse(self._counts.rows, reason, why)

    def summary(self) -> Summary:
        """All of it in numbers, the most frequent first."""
        counts = self._counts
        return Summary(
            rows=counts.rows,
            events=counts.events,
            markers=counts.markers,
            ignored=dict(counts.ignored.most_common()),
            refused=dict(counts.refused.most_common()),
            first_refused=counts.first_refused,
            duplicates=counts.duplicates,
            conflicts=counts.conflicts,
            types=dict(counts.types.most_common()),
            metrics=dict(counts.metrics.most_common()),
            unfed=self._unfed(),
            without_value=dict(counts.without_value.most_common()),
            attributes={name: tuple(sorted(said)) for name, said in counts.attributes.items()},
            unused=dict(counts.unused.most_common()),
        )

    def _unfed(self) -> tuple[str, ...]:
        asked = [m for m in self._policy.metrics if m.named and m.measure not in _OF_ANYTHING]
        return tuple(m.name for m in asked if m.name not in self._counts.metrics)

    def _formed(self, payload: bytes) -> Formed:
        message, said = message_of(payload, f"{self._name}/0@{self._counts.rows - 1}")
        formed = Formed((message.payload or b"",)) if self._form is None else self._form(message)
        if message.payload is None:
            return Formed(ignored="tombstone")
        if self._watch and not formed.ignored:
            self._note_unused(said if said is not None else json_of(message.payload))
        return formed

    def _note_unused(self, said: object) -> None:
        if isinstance(said, dict) and self._used is None:
            unused: Iterable[str] = said.keys() - _EVENT if said.keys() & {"time", "type"} else ()
        else:
            unused = unused_fields(said, self._used or frozenset())
        for name in set(unused):
            if name in self._counts.unused or len(self._counts.unused) < NAMES_MAX:
                self._counts.unused[name] += 1

    def _judge(self, lines: list[bytes], rows: list[int]) -> None:
        limits = self._policy.limits
        said = [json_of(line) if len(line) <= limits.line_bytes else None for line in lines]
        names = {name for one in said for name in _attribute_names(one)}
        known = {name for metric in self._policy.metrics for name, _ in metric.where}
        asked = frozenset([*known, *sorted(names - known)[:NAMES_MAX]])
        batch = decode(lines, attributes=asked, limits=limits)
        facts = batch.facts
        metrics = self._metrics(facts)
        others = {reject.index for reject in batch.rejects}
        for ignored in batch.ignored:
            others.add(ignored.index)
            self._ignore(rows[ignored.index], ignored.kind)
        for reject in batch.rejects:
            self._refuse(rows[reject.index], reject.reason, reject.detail)
        for place, line in enumerate(batch.rows.tolist()):
            others.add(line)
            if rows[line] <= self._most:
                event = _event(facts, place, said[line])
                self._show(
                    Shown(row=rows[line], result="event", event=event, metrics=metrics[place])
                )
        self._count(facts)
        left = [index for index in range(len(lines)) if index not in others]
        self._counts.markers += len(batch.markers)
        for index, marker in zip(left, batch.markers, strict=False):
            self._show(Shown(row=rows[index], result="marker", event=_marker(marker)))

    def _metrics(self, facts: Facts) -> list[tuple[str, ...]]:
        """The metrics that each fact feeds, counted; with which of them lack a value."""
        found: list[list[str]] = [[] for _ in range(len(facts))]
        ok = facts.outcome.equals(OK)
        for metric in self._policy.metrics:
            fed = fed_by(metric, facts)
            if metric.measure in _OK_ONLY:
                fed = fed & ok
            if metric.measure in _OF_ANYTHING:
                continue
            if metric.measure is Measure.VALUE:
                lacking = int((fed & np.isnan(facts.value)).sum())
                if lacking:
                    self._counts.without_value[metric.name] += lacking
                fed = fed & ~np.isnan(facts.value)
            places = np.flatnonzero(fed).tolist()
            if places:
                self._counts.metrics[metric.name] += len(places)
            for place in places:
                found[place].append(metric.name)
        return [tuple(names) for names in found]

    def _count(self, facts: Facts) -> None:
        counts = self._counts
        counts.events += len(facts)
        for word in facts.type.strings():
            if word in counts.types or len(counts.types) < NAMES_MAX:
                counts.types[word] += 1
        for name, column in facts.attributes.items():
            if name in counts.attributes or len(counts.attributes) < NAMES_MAX:
                said = counts.attributes.setdefault(name, set())
                said.update([word for word in column.words if word][: VALUES_MAX - len(said)])
        pairs = zip(facts.key.tolist(), facts.content.tolist(), strict=True)
        for (high, low), content in pairs:
            before = self._seen.get((high, low))
            if before is not None:
                counts.duplicates += before == content
                counts.conflicts += before != content
            elif len(self._seen) < KEYS_MAX:
                self._seen[high, low] = content

    def _ignore(self, row: int, kind: str) -> None:
        self._counts.ignored[kind] += 1
        self._show(Shown(row=row, result="ignored", reason=kind))

    def _refuse(self, row: int, reason: str, why: str) -> None:
        why = why.removesuffix(_REMEDY)
        self._counts.refused[reason] += 1
        self._counts.first_refused.setdefault(reason, f"row {row}: {why}")
        self._show(Shown(row=row, result="refused", reason=reason, why=why))

    def _show(self, shown: Shown) -> None:
        if shown.row <= self._most and len(self.shown) < self._most * LINES_OF_ROW:
            self.shown.append(shown)


def _attribute_names(said: Any) -> Iterator[str]:
    if isinstance(said, dict):
        data = said.get("data")
        for one in (said, data if isinstance(data, dict) else {}):
            inner = one.get("attributes")
            if isinstance(inner, dict):
                yield from inner


def _event(facts: Facts, place: int, said: Any) -> dict[str, object]:
    """One fact in words, absent fields left out; ids as the line says them."""
    value = float(facts.value[place])
    columns = ("type", "service", "environment", "version", "track", "outcome")
    words: dict[str, object] = {
        name: getattr(facts, name).take(slice(place, place + 1)).strings()[0] for name in columns
    }
    if isinstance(said, dict):
        inner = said.get("data") if isinstance(said.get("data"), dict) else said
        words |= {name: inner[name] for name in _OWN_FIELDS if inner and inner.get(name)}
    words["time"] = rfc3339(int(facts.time_ns[place]))
    if not np.isnan(value):
        words["value"] = value
    if facts.synthetic[place]:
        words["synthetic"] = True
    attributes = {
        name: word
        for name, column in facts.attributes.items()
        if (word := column.words[int(column.codes[place])])
    }
    if attributes:
        words["attributes"] = attributes
    return {name: word for name, word in words.items() if word != ""}


def _marker(marker: Marker) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(marker)
    found["time"] = rfc3339(int(marker.time_ns))
    found.pop("time_ns", None)
    return found
