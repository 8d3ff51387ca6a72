"""Foreign messages as lines of our own event format: what ``mapped_form`` makes of a mapping.

A message is one JSON object, or holds a list of them. The mapping is made into functions once;
each message is then read once, and every row of it becomes one line, exactly the same whenever it
is read again. A line is either one that ``decode`` takes or a refused one with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec

from analyzers.policy import Limits
from collector.decoding import markers, refused
from collector.decoding.attributes import NAME_BYTES
from collector.decoding.faults import Fault, Reason, kind, quote
from collector.decoding.said import UNREADABLE, Loose, read_again
from collector.decoding.texts import fault_of
from collector.mapping.fields import Give, UnmappedError, give
from collector.mapping.paths import Context, Holds, Read, all_hold, as_text, reader
from collector.mapping.terms import (
    ATTRIBUTES,
    CONDITIONS,
    FIELDS,
    MAPPINGS,
    REQUIRED,
    ROWS,
    Constant,
    EventMapping,
    Kind,
    Mapped,
    MappingError,
    Path,
)
from collector.source import Form, Formed, Message

TOMBSTONE: Final = "tombstone"
NOT_WANTED: Final = "not_wanted"
EMPTY: Final = "empty"

_PLACE_CHARACTERS: Final = 200  # leaves room for what tells the events of one message apart
_DIGEST_BYTES: Final = 16
_NAME_CHARACTERS: Final = 100
# Of a refused line: everything but the payload, which is written as four bytes for three.
_REFUSED_BYTES: Final = 2_048
_FORMED_TOMBSTONE: Final = Formed(ignored=TOMBSTONE)
_FORMED_NOT_WANTED: Final = Formed(ignored=NOT_WANTED)
_FORMED_EMPTY: Final = Formed(ignored=EMPTY)

_Write: TypeAlias = Callable[[Any, Context], bytes]


def mapped_form(mapped: Mapped, *, name: str, limits: Limits) -> Form:
    """The form that makes lines of the messages of one source, called ``name`` in its faults.

    Rows are the message itself and the elements of the lists that ``each`` names; a row becomes
    the event of the first mapping for it that wants it, or of every one. Ids made of the place are
    ``orders/3@1201``, followed by ``#`` and the row, and by ``:`` and the name of the mapping,
    where one message may give several events. Raises MappingError for what could never work.
    """
    if not 0 < len(mapped.mappings) <= MAPPINGS:
        raise MappingError(f"{name} has {len(mapped.mappings)} mappings, not 1 to {MAPPINGS}")
    several = len(mapped.mappings) > 1 and mapped.every
    groups: dict[Path | None, list[_Compiled]] = {}
    for mapping in mapped.mappings:
        made = _compiled(mapping, several=several, limits=limits)
        groups.setdefault(mapping.each, []).append(made)
    refuse = _Refusing(name, limits).line
    if list(groups) == [None] and len(mapped.mappings) == 1:
        return _single(groups[None][0], refuse, limits)
    return _manifold(groups, refuse, limits, every=mapped.every)


_Refuse: TypeAlias = Callable[["Fault | UnmappedError", "_Compiled | None", Any, Context], bytes]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """One mapping as functions: whether a row is wanted, and its line."""

    mapping: EventMapping
    wants: Holds | None
    write: _Write
    owner: tuple[tuple[str, Give], ...]  # what a refused line says of whose it is


@dataclass(frozen=True, slots=True)
class _Refusing:
    """Writes the lines of what cannot be mapped."""

    name: str
    limits: Limits

    def line(
        self, why: Fault | UnmappedError, made: _Compiled | None, row: Any, context: Context
    ) -> bytes:
        """The refused line of a row, with whose it is as far as that can be read."""
        if isinstance(why, UnmappedError):
            where = why.inside(made.mapping.name if made is not None else self.name)
            why = Fault(Reason.MAPPING, f"{where.of}: {why.what}")
        owner: dict[str, Any] = {}
        for name, read in made.owner if made is not None else ():
            try:
                owner[name] = read(row, context) or ""
            except UnmappedError:
                owner[name] = ""
        limits = self.limits
        most = min(limits.reject_payload_bytes, (limits.line_bytes - _REFUSED_BYTES) // 2)
        payload = context.message.payload or b""
        line = refused.line(why, payload, most=max(0, most), **owner, **_beside(context.message))
        if len(line) <= limits.line_bytes:
            return line
        return refused.line(replace(why, what=why.what[:_NAME_CHARACTERS]), b"", most=0)


def _beside(message: Message) -> dict[str, Any]:
    """What a message has beside its payload, so that it can be mapped once more."""
    return {"sent_ms": message.time_ms, "headers": message.headers}


def _parse(message: Message, limits: Limits) -> tuple[Any, Fault | None]:
    """What a message says as JSON, or why it cannot be read."""
    payload = message.payload or b""
    if len(payload) > limits.line_bytes:
        return None, Fault(Reason.TOO_LONG, f"over {limits.line_bytes} bytes")
    try:
        return msgspec.json.decode(payload), None
    except UNREADABLE:
        loose = read_again(payload)  # which also reads what is nearly JSON, and says what is not
    return (loose.fields, None) if isinstance(loose, Loose) else (None, loose)


def _single(made: _Compiled, refuse: _Refuse, limits: Limits) -> Form:
    """The form of the usual mapping: one event of a message."""
    wants, write = made.wants, made.write
    decode, line_bytes = msgspec.json.Decoder().decode, limits.line_bytes

    def form(message: Message) -> Formed:
        if message.payload is None:
            return _FORMED_TOMBSTONE
        fault = None
        try:  # what is sound, without a call
            row = decode(message.payload) if len(message.payload) <= line_bytes else None
        except UNREADABLE:
            row = None
        if row is None:
            row, fault = _parse(message, limits)
        context = Context(message, row, 0)
        if fault is None and type(row) is not dict:
            fault = Fault(Reason.NOT_AN_OBJECT, f"the payload is {kind(row)}")
        if fault is not None:
            return Formed((refuse(fault, made, {}, context),))
        if wants is not None and not wants(row, context):
            return _FORMED_NOT_WANTED
        try:
            return Formed((write(row, context),))
        except UnmappedError as error:
            return Formed((refuse(error, made, row, context),))

    return form


def _manifold(
    groups: dict[Path | None, list[_Compiled]], refuse: _Refuse, limits: Limits, *, every: bool
) -> Form:
    """The form of several mappings, or of messages that hold lists."""
    parts = [(_rows_of(each), tuple(made)) for each, made in groups.items()]

    def form(message: Message) -> Formed:
        if message.payload is None:
            return _FORMED_TOMBSTONE
        root, fault = _parse(message, limits)
        if fault is not None:
            return Formed((refuse(fault, None, {}, Context(message, root, 0)),))
        try:
            lines, rows = gathered(message, root)
        except UnmappedError as error:
            return Formed((refuse(error, None, {}, Context(message, root, 0)),))
        if lines:
            return Formed(tuple(lines))
        return _FORMED_NOT_WANTED if rows else _FORMED_EMPTY

    def gathered(message: Message, root: Any) -> tuple[list[bytes], int]:
        """The lines of all rows, and how many rows there were."""
        lines: list[bytes] = []
        size = rows = 0
        for rows_of, made in parts:
            for index, row in enumerate(rows_of(root, Context(message, root, 0))):
                rows += 1
                for line in _lines(row, Context(message, root, index), made, refuse, every):
                    size += len(line)
                    lines.append(line)
                if rows > ROWS or size > limits.body_bytes:
                    raise UnmappedError(f"more than {ROWS} rows or {limits.body_bytes} bytes")
        return lines, rows

    return form


def _rows_of(each: Path | None) -> Callable[[Any, Context], Sequence[Any]]:
    if each is None:
        return lambda root, _: (root,)
    read: Read = reader(each)

    def rows(root: Any, context: Context) -> Sequence[Any]:
        found = read(root, context)
        if found is None:
            return ()
        if isinstance(found, dict):  # what was XML once has no list where there is one element
            return (found,)
        if not isinstance(found, list):
            raise UnmappedError(f"field {each.text}: {kind(found)} is no list")
        if len(found) > ROWS:
            raise UnmappedError(f"field {each.text}: {len(found)} elements are over {ROWS}")
        return found

    return rows


def _lines(
    row: Any, context: Context, made: tuple[_Compiled, ...], refuse: _Refuse, every: bool
) -> Iterator[bytes]:
    if type(row) is not dict:
        fault = Fault(Reason.NOT_AN_OBJECT, f"{made[0].mapping.name}: a row is {kind(row)}")
        yield refuse(fault, None, {}, context)
        return
    for one in made:
        if one.wants is not None and not one.wants(row, context):
            continue
        try:
            yield one.write(row, context)
        except UnmappedError as error:
            yield refuse(error, one, row, context)
        if not every:
            return


def _compiled(mapping: EventMapping, *, several: bool, limits: Limits) -> _Compiled:
    _refuse_impossible(mapping, {name for name, _ in mapping.fields})
    fixed: dict[str, Any] = {}
    moving: list[tuple[str, Give]] = []
    owner: list[tuple[str, Give]] = []
    for name, expression in mapping.fields:
        read = give(name, FIELDS[name], expression)
        if name in _OWNER:
            owner.append((name, read))
        if isinstance(expression.source, Constant):
            fixed[name] = read({}, _NOWHERE)
        else:
            moving.append((name, read))
    attributes = [(name, give(name, Kind.TEXT, made)) for name, made in mapping.attributes]
    tail = f":{mapping.name[:_NAME_CHARACTERS]}" if several else ""
    own = _written_by(
        _Parts(
            fixed,
            tuple(moving),
            tuple(attributes),
            _named(mapping.id_from, rows=mapping.each is not None, tail=tail),
            None if _never_a_marker(fixed) else tuple(mapping.cohort),
        ),
        limits.line_bytes,
    )
    return _Compiled(mapping, all_hold(mapping.where), own, tuple(owner))


def _never_a_marker(fixed: dict[str, Any]) -> bool:
    return "type" in fixed and not markers.is_marker(fixed["type"])


_OWNER: Final = ("environment", "service", "version", "time")
_NOWHERE: Final = Context(Message(None, ""), {}, 0)


def _refuse_impossible(mapping: EventMapping, given: set[str]) -> None:
    missing = [name for name in REQUIRED if name not in given]
    if missing or not given <= set(FIELDS):
        raise MappingError(
            f"{mapping.name} needs {', '.join(REQUIRED)}, and fields that events have"
        )
    if len(mapping.attributes) > ATTRIBUTES or len(mapping.where) > CONDITIONS:
        raise MappingError(
            f"{mapping.name} has more than {ATTRIBUTES} attributes or {CONDITIONS} conditions"
        )
    for name in (*(name for name, _ in mapping.attributes), *(name for name, _ in mapping.cohort)):
        if not name or fault_of("attributes", name, most=NAME_BYTES) is not None:
            raise MappingError(f"{mapping.name}: {quote(name)} is no name of an attribute")
    if (mapping.id_from == "field") != ("id" in given):
        raise MappingError(f"{mapping.name} must say what its id is made of")


def _named(id_from: str, *, rows: bool, tail: str) -> Callable[[Context], str] | None:
    """What makes the id where no field does."""
    if id_from == "field":
        return None

    def named(context: Context) -> str:
        message = context.message
        if id_from == "content":
            found = _digest(message.payload or b"")
        else:
            found = message.place
            if not (found.isascii() and found.isprintable() and len(found) <= _PLACE_CHARACTERS):
                found = _digest(found.encode(errors="surrogatepass"))
            elif not found:
                found = _digest(b"")
        return f"{found}#{context.index}{tail}" if rows else found + tail

    return named


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an event is put together from. ``cohort`` is None where it is never a marker."""

    fixed: dict[str, Any]
    moving: tuple[tuple[str, Give], ...]
    attributes: tuple[tuple[str, Give], ...]
    named: Callable[[Context], str] | None
    cohort: tuple[tuple[str, Path], ...] | None


def _written_by(parts: _Parts, line_bytes: int) -> _Write:
    encode = msgspec.json.Encoder().encode
    fixed, moving, named = parts.fixed, parts.moving, parts.named
    attributes = _attributes(parts.attributes) if parts.attributes else None
    needed = [name for name in ("id", *REQUIRED) if name in dict(moving)]
    as_marker = None if parts.cohort is None else _as_marker(parts.cohort)

    def write(row: Any, context: Context) -> bytes:
        event = fixed.copy()
        name = ""
        try:
            for name, read in moving:
                value = read(row, context)
                if value is not None:
                    event[name] = value
            name = "attributes"
            if attributes is not None:
                event[name] = attributes(row, context)
        except UnmappedError as error:
            raise error.inside(name) from error
        if named is not None:
            event["id"] = named(context)
        for name in needed:
            if name not in event:
                raise UnmappedError("nothing stands where it is taken from", name)
        if as_marker is not None:
            as_marker(event, row, context)
        line = encode(event)
        if len(line) > line_bytes:
            raise UnmappedError(f"the event is over {line_bytes} bytes")
        return line

    return write


def _attributes(fields: tuple[tuple[str, Give], ...]) -> Give:
    def attributes(row: Any, context: Context) -> Any:
        said = {}
        name = ""
        try:
            for name, read in fields:
                value = read(row, context)
                if value is not None:
                    said[name] = value
        except UnmappedError as error:
            raise error.inside(name) from error
        return said

    return attributes


def _as_marker(cohort: tuple[tuple[str, Path], ...]) -> Callable[[Any, Any, Context], None]:
    """Makes a marker of an event in place if its type is one; it must be a valid one."""
    reads = [(name, path.text, reader(path)) for name, path in cohort]

    def finish(event: Any, row: Any, context: Context) -> None:
        if not markers.is_marker(event["type"]):
            return
        chosen = {}
        for name, shown, read in reads:
            found = read(row, context)
            if found is not None:
                chosen[name] = _words(name, shown, found)
        if chosen:
            event["cohort"] = chosen
        judged = markers.marker(Loose(event))
        if isinstance(judged, Fault):
            raise UnmappedError(judged.what)

    return finish


def _words(name: str, shown: str, found: Any) -> list[str]:
    words = [as_text(value) or "" for value in (found if isinstance(found, list) else [found])]
    if not all(words):
        raise UnmappedError(f"field {shown} holds what is no text", f"cohort.{name}")
    return words
