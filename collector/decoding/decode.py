"""Payloads as facts, markers and rejects: a batch at a time, as columns.

The one judge of what a valid event is. A batch goes through whole: first every payload is read,
then every field of all of them is checked. Never raises on any bytes; what cannot be used becomes
a reject, and the rest of the batch is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np

from analyzers.facts import (
    OK,
    Batch,
    Bools,
    Column,
    Facts,
    Floats,
    Ignored,
    Ints,
    Marker,
    Reject,
    Words,
    concat,
    no_facts,
)
from analyzers.policy import Limits
from collector.decoding import digests, refused, texts, times
from collector.decoding.attributes import Attributes, attributes
from collector.decoding.faults import Fault, Reason, quote
from collector.decoding.markers import is_marker, marker
from collector.decoding.rejects import reject, reject_unread
from collector.decoding.said import (
    PRODUCTION,
    UNREADABLE,
    Loose,
    Said,
    read,
    read_again,
    said_again,
)
from collector.decoding.scan import ROWS_MIN, Scanned, scan
from collector.decoding.texts import coded, in_order
from collector.foreign import Other, envelope, understood

# A value becomes an integer in steps of a millionth and the integer has to stay exact as a float,
# so that sums over cells are the same everywhere.
VALUE_END: Final = 2**53 * 1e-6
_TRACKS: Final = frozenset({"", "canary", "baseline"})
# Words that are part of what an event says, in the order in which they are digested.
_SAID: Final = ("type", "version", "track", "outcome", "subject")
_NEVER_EMPTY: Final = frozenset({"id", "service", "type", "environment", "outcome"})


def decode(payloads: Sequence[bytes], *, attributes: frozenset[str], limits: Limits) -> Batch:
    """What the payloads of one batch say: each is exactly one fact, marker, reject or ignored.

    ``attributes`` are the names that get a column; the others count in ``content`` only. Facts
    keep the order of their payloads. No payload may be longer than ``limits.line_bytes``.

    >>> event = b'{"id":"1","time":"2026-05-21T10:00:00Z","type":"order.submitted","service":"a"}'
    >>> batch = decode([event, b"[]"], attributes=frozenset(), limits=Limits())
    >>> len(batch.facts), batch.rejects[0].reason
    (1, 'not_an_object')
    """
    if len(payloads) < ROWS_MIN:
        return _each(payloads, attributes, limits)
    scanned = scan(payloads, value_end=VALUE_END, most=limits.line_bytes)
    if not len(scanned.rows):
        return _each(payloads, attributes, limits)
    facts = _facts_scanned(scanned, attributes)
    if not len(scanned.rest):
        return Batch(facts=facts, rows=scanned.rows)
    rest = _each([payloads[row] for row in scanned.rest.tolist()], attributes, limits)
    return _together(facts, scanned.rows, rest, scanned.rest)


def _together(facts: Facts, rows: Ints, rest: Batch, places: Ints) -> Batch:
    """One batch of what was scanned and of the rest, whose payloads stood at ``places``."""
    if len(rest.facts):
        rows = np.concatenate([rows, places[rest.rows]])
        order = np.argsort(rows)
        facts, rows = _in_order(concat([facts, rest.facts]).take(order)), rows[order]
    return replace(
        rest,
        facts=facts,
        rows=rows,
        rejects=tuple(
            msgspec.structs.replace(reject, index=int(places[reject.index]))
            for reject in rest.rejects
        ),
        ignored=tuple(
            msgspec.structs.replace(one, index=int(places[one.index])) for one in rest.ignored
        ),
    )


def _in_order(facts: Facts) -> Facts:
    """The same facts, columns and words in the order that a batch read at once has."""
    return replace(
        facts,
        environment=in_order(facts.environment),
        service=in_order(facts.service),
        version=in_order(facts.version),
        track=in_order(facts.track),
        type=in_order(facts.type),
        outcome=in_order(facts.outcome),
        attributes={name: in_order(facts.attributes[name]) for name in sorted(facts.attributes)},
    )


def _each(payloads: Sequence[bytes], attributes: frozenset[str], limits: Limits) -> Batch:
    """As ``decode``, payload by payload: what is slow to read, and what is wrong with it.

    ``decode`` gives the same for whole batches; what it cannot read side by side comes here.
    """
    pile = _read_all(payloads, limits)
    columns = _columns(pile.said)
    faults = _faults(columns)
    if faults:
        for place, fault in faults.items():
            row = pile.rows[place]
            pile.rejects.append(reject(row, payloads[row], fault, pile.said[place], limits=limits))
        # Built again without them, so that no word of a refused event stays in a column.
        kept = [place for place in range(len(pile.said)) if place not in faults]
        pile.said = [pile.said[place] for place in kept]
        pile.rows = [pile.rows[place] for place in kept]
        columns = _columns(pile.said)
    return Batch(
        facts=_facts(columns, attributes) if pile.said else no_facts(),
        markers=tuple(pile.markers),
        rejects=tuple(sorted(pile.rejects, key=lambda reject: reject.index)),
        ignored=tuple(pile.ignored),
        rows=np.array(pile.rows, np.int64),
    )


@dataclass(slots=True)
class _Pile:
    """What was read: events with their places in the batch, and what has its own way already."""

    said: list[Said] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)


def _read_all(payloads: Sequence[bytes], limits: Limits) -> _Pile:
    pile = _Pile()
    try:
        if max(map(len, payloads), default=0) <= limits.line_bytes:
            pile.said = [read(payload) for payload in payloads]
            pile.rows = list(range(len(payloads)))
    except UNREADABLE:
        pile.said = []  # at least one needs a closer look, so each is read on its own
    if len(pile.said) < len(payloads):
        for row, payload in enumerate(payloads):
            _read_one(row, payload, pile, limits)
    if any(is_marker(word) for word in {said.type for said in pile.said}):
        found = list(zip(pile.said, pile.rows, strict=True))
        pile.said = [said for said, _ in found if not is_marker(said.type)]
        pile.rows = [row for said, row in found if not is_marker(said.type)]
        for said, row in found:
            if is_marker(said.type):
                _read_odd(row, payloads[row], pile, limits)
    return pile


def _read_one(row: int, payload: bytes, pile: _Pile, limits: Limits) -> None:
    if len(payload) > limits.line_bytes:
        fault = Fault(Reason.TOO_LONG, f"over {limits.line_bytes} bytes")
        pile.rejects.append(reject_unread(row, payload, fault, limits=limits))
        return
    try:
        said = read(payload)
    except UNREADABLE:
        _read_odd(row, payload, pile, limits)
        return
    pile.said.append(said)
    pile.rows.append(row)


def _read_odd(row: int, payload: bytes, pile: _Pile, limits: Limits) -> None:
    """A marker, another tool's payload, or an event that the quick decoder refuses: then it is most
    often a reject."""
    if (inside := envelope.event(payload)) is not None:
        pile.said.append(inside)
        pile.rows.append(row)
        return
    if (told := refused.read(payload)) is not None:
        said = Said(
            id="",
            time=told.time,
            type="",
            service=told.service,
            environment=told.environment or None,
            version=told.version or None,
        )
        made = reject(row, told.original, told.fault, said, limits=limits)
        pile.rejects.append(
            msgspec.structs.replace(made, original=True, sent_ms=told.sent_ms, headers=told.beside)
        )
        return
    loose = read_again(payload)
    if not isinstance(loose, Loose):
        pile.rejects.append(reject_unread(row, payload, loose, limits=limits))
        return
    found = understood(loose)
    if isinstance(found, Other):
        pile.ignored.append(Ignored(index=row, kind=found.kind))
        return
    said, fault = said_again(found if isinstance(found, Loose) else loose)
    if isinstance(found, Fault):
        fault = found
    elif is_marker(said.type):
        judged = marker(found or loose)
        if isinstance(judged, Marker):
            pile.markers.append(judged)
            return
        fault = judged
    if fault is not None:
        pile.rejects.append(reject(row, payload, fault, said, limits=limits))
        return
    pile.said.append(said)
    pile.rows.append(row)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The fields of n events, a column each; ``time_faults``: times that cannot be used."""

    texts: Mapping[str, Column]
    ids: list[str]
    refs: list[str]
    time_ns: Ints
    time_faults: Mapping[int, Fault]
    value: Floats
    synthetic: list[bool]
    attributes: Attributes


def _columns(said: Sequence[Said]) -> _Columns:
    time_ns, odd = times.parse_column([event.time for event in said])
    time_faults: dict[int, Fault] = {}
    for place in np.flatnonzero(odd).tolist():
        parsed = times.parse(said[place].time)
        if isinstance(parsed, Fault):
            time_faults[place] = parsed
        else:
            time_ns[place] = parsed
    return _Columns(
        texts={
            "service": _column([event.service for event in said], ""),
            "type": _column([event.type for event in said], ""),
            "environment": _column([event.environment for event in said], PRODUCTION),
            "version": _column([event.version for event in said], ""),
            "track": _column([event.track for event in said], ""),
            "outcome": _column([event.outcome for event in said], OK),
            "subject": _column([event.subject for event in said], ""),
        },
        ids=[event.id for event in said],
        refs=[event.ref or "" for event in said],
        time_ns=time_ns,
        time_faults=time_faults,
        value=np.array([event.value for event in said], np.float64),
        synthetic=[event.synthetic is True for event in said],
        attributes=attributes([bytes(event.attributes) for event in said]),
    )


def _column(values: Sequence[str | None], default: str) -> Column:
    codes, words = coded(values)
    if None in words:  # absent in some events: it becomes the default, once for all of them
        merged, names = coded([default if word is None else word for word in words])
        return Column(merged[codes], names)
    return Column(codes, tuple(word for word in words if word is not None))


def _faults(columns: _Columns) -> dict[int, Fault]:
    """What is wrong, by place: of each event the first fault only."""
    faults = dict(columns.time_faults)
    for name, listed in (("id", columns.ids), ("ref", columns.refs)):
        if not texts.all_sound(listed) or (name in _NEVER_EMPTY and not all(listed)):
            for place, text in enumerate(listed):
                fault = _fault_of_word(name, text)
                if fault is not None:
                    faults.setdefault(place, fault)
    for name, column in columns.texts.items():
        if texts.all_sound(column.words) and name != "track" and "" not in column.words:
            continue
        found = {code: _fault_of_word(name, word) for code, word in enumerate(column.words)}
        _spread({code: fault for code, fault in found.items() if fault}, column.codes, faults)
    _spread(columns.attributes.faults, columns.attributes.sets, faults)
    with np.errstate(invalid="ignore"):
        for place in np.flatnonzero(np.abs(columns.value) >= VALUE_END).tolist():
            what = f"value {columns.value[place]:g} is beyond what cells can hold"
            faults.setdefault(place, Fault(Reason.VALUE_OUT_OF_RANGE, what))
    return faults


def _fault_of_word(name: str, word: str) -> Fault | None:
    if not word and name in _NEVER_EMPTY:
        return Fault(Reason.FIELD_EMPTY, f"field {name} is empty")
    if name == "track" and word not in _TRACKS:
        return Fault(Reason.TRACK_INVALID, f"track {quote(word)} is unknown")
    return texts.fault_of(name, word)


def _spread(by_code: Mapping[int, Fault], codes: Ints, faults: dict[int, Fault]) -> None:
    """Adds to ``faults`` those of words, for every place where such a word stands."""
    if by_code:
        for place in np.flatnonzero(np.isin(codes, list(by_code))).tolist():
            faults.setdefault(place, by_code[int(codes[place])])


def _facts(columns: _Columns, asked: frozenset[str]) -> Facts:
    attributes = columns.attributes
    return _digested(
        words=columns.texts,
        digested={
            name: digests.words(column.words)[column.codes]
            for name, column in columns.texts.items()
            if name in _SAID
        },
        ids=[text.encode() for text in columns.ids],
        refs=[text.encode() for text in columns.refs],
        time_ns=columns.time_ns,
        value=columns.value,
        synthetic=np.array(columns.synthetic, np.bool_),
        attributes=attributes.columns(asked),
        attributes_content=attributes.content(),
    )


def _facts_scanned(scanned: Scanned, asked: frozenset[str]) -> Facts:
    return _digested(
        words=scanned.words,
        digested=scanned.digests,
        ids=scanned.ids,
        refs=scanned.refs,
        time_ns=scanned.time_ns,
        value=scanned.value,
        synthetic=scanned.synthetic,
        attributes={name: one for name, one in scanned.attributes.items() if name in asked},
        attributes_content=scanned.attributes_content,
    )


def _digested(
    *,
    words: Mapping[str, Column],
    digested: Mapping[str, Words],
    ids: Sequence[bytes],
    refs: Sequence[bytes],
    time_ns: Ints,
    value: Floats,
    synthetic: Bools,
    attributes: Mapping[str, Column],
    attributes_content: Words,
) -> Facts:
    """The facts of valid events; ``digested`` holds a digest of each of their words."""
    value = value + 0.0  # -0.0 and 0.0 are one value
    key, ref = digests.keys(words["environment"], words["service"], ids, refs)
    content = digests.columns(
        [
            time_ns.view(np.uint64),
            *(digested[name] for name in _SAID),
            ref[:, 0],
            value.view(np.uint64),
            synthetic.astype(np.uint64),
            attributes_content,
        ]
    )
    return Facts(
        time_ns=time_ns,
        environment=words["environment"],
        service=words["service"],
        version=words["version"],
        track=words["track"],
        type=words["type"],
        outcome=words["outcome"],
        value=value,
        key=key,
        content=content,
        ref=ref,
        subject=digested["subject"],
        synthetic=synthetic,
        attributes=attributes,
    )
