"""Blocks of Kafka messages as lines for ``decode``: native ones, CloudEvents, or by a form.

What a message says is not looked into further than is needed to make whole lines of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

import msgspec
import numpy as np

from analyzers.facts import Ints
from collector.decoding import refused
from collector.decoding.faults import Fault, Reason
from collector.foreign.cloudevents import binary_cloudevent
from collector.kafka.blocks import Block
from collector.posted.bodies import BodyTooManyError, Shape, split
from collector.source import Form, Message

TOMBSTONE: Final = "tombstone"
EMPTY: Final = "empty"
# The prefix of CloudEvents' headers, and the one of them that every event has.
_CE: Final = "ce_"
_CE_VERSION: Final = "ce_specversion"
_CONTENT_TYPE: Final = "content-type"
_STRUCTURED: Final = b"application/cloudevents"
_BLANK: Final = b" \t\r\n"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_BRACE: Final = 0x7B
_NO_TIME: Final = -1
# More in one message is a mistake or an attack; it is refused as one, not as so many.
_EVENTS_MAX: Final = 10_000
_SHOWN_BYTES: Final = 4_096


@dataclass(slots=True)
class Lines:
    """The lines of one partition as they gather; ``offsets`` come in pieces, as blocks do."""

    payloads: list[bytes] = field(default_factory=list)
    offsets: list[Ints] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def places(self) -> Ints:
        """The offset of each payload."""
        return np.concatenate(self.offsets) if self.offsets else np.empty(0, np.int64)

    def add(self, block: Block, *, place: str, form: Form | None, most_bytes: int) -> None:
        """Takes the messages of a block. ``place`` names the partition for ever; a payload over
        ``most_bytes`` is cut to one byte more, enough to see that it is too long."""
        if block.fault is not None:
            self.refuse(block.fault, block.following - 1)
        elif form is not None:
            self._formed(block, place, form, most_bytes)
        elif not _is_plain(block, most_bytes):
            self._native(block, most_bytes)
        else:
            self.payloads += block.values  # type: ignore[arg-type]  # plain: no tombstones
            self.offsets.append(block.offsets)

    def refuse(self, fault: Fault, offset: int) -> None:
        """Takes what cannot be had as a line that says so."""
        self._add([refused.line(fault, b"", most=0)], offset)

    def _formed(self, block: Block, place: str, form: Form, most_bytes: int) -> None:
        for index, value in enumerate(block.values):
            offset = int(block.offsets[index])
            if value is None:
                self.ignored[TOMBSTONE] += 1
                continue
            time_ms = block.times_ms[index] if block.times_ms else _NO_TIME
            message = Message(
                value,
                f"{place}@{offset}",
                block.headers.get(index, {}),
                None if time_ms == _NO_TIME else time_ms,
            )
            formed = form(message)
            if formed.ignored:
                self.ignored[formed.ignored] += 1
            self._add([_whole(line, most_bytes) for line in formed.lines], offset)

    def _native(self, block: Block, most_bytes: int) -> None:
        for index, value in enumerate(block.values):
            if value is None:
                self.ignored[TOMBSTONE] += 1
                continue
            headers = block.headers.get(index)
            if headers and _CE_VERSION in headers and not _is_structured(headers):
                lines = [_whole(_cloudevent(headers, value), most_bytes)]
            else:
                lines = _lines(value, most_bytes)
            if not lines:
                self.ignored[EMPTY] += 1
            self._add(lines, int(block.offsets[index]))

    def _add(self, lines: list[bytes], offset: int) -> None:
        if lines:
            self.payloads += lines
            self.offsets.append(np.full(len(lines), offset, np.int64))


def _is_plain(block: Block, most_bytes: int) -> bool:
    """Whether every message is one line already: this is where nearly all of them end."""
    values = block.values
    if not values:
        return True
    if block.headers and any(_CE_VERSION in each for each in block.headers.values()):
        return False
    whole: Sequence[bytes] = values  # type: ignore[assignment]  # a tombstone has no first byte
    try:
        if set(map(itemgetter(0), whole)) != {_BRACE}:
            return False
    except (IndexError, TypeError):  # one is empty, or a tombstone
        return False
    joined = b"".join(whole)  # looked at as one: a third of the time
    return b"\n" not in joined and b"\r" not in joined and max(map(len, whole)) <= most_bytes


def _lines(value: bytes, most_bytes: int) -> list[bytes]:
    """The events in a message: one, printed over however many lines, or several as NDJSON or as a
    JSON array, as producers send them that batch on their own."""
    text = value.removeprefix(_BYTE_ORDER_MARK).strip(_BLANK)
    if not text:
        return []
    first, _, rest = text.partition(b"\n")
    if text.startswith(b"[") or (rest and _is_object(first)):
        try:
            return split(text, shape=Shape.UNKNOWN, line_bytes=most_bytes, most=_EVENTS_MAX)
        except BodyTooManyError:
            what = f"one Kafka message has more than {_EVENTS_MAX} events"
            return [refused.line(Fault(Reason.TOO_LONG, what), text, most=_SHOWN_BYTES)]
    return [_whole(text, most_bytes)]


def _is_object(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return text.startswith(b"{")


def _whole(line: bytes, most_bytes: int) -> bytes:
    """A payload as one line, cut where it is too long anyway."""
    line = line[: most_bytes + 1]
    if b"\n" in line or b"\r" in line:
        return line.replace(b"\n", b" ").replace(b"\r", b" ")
    return line


def _is_structured(headers: Mapping[str, bytes]) -> bool:
    return headers.get(_CONTENT_TYPE, b"").lstrip().lower().startswith(_STRUCTURED)


def _cloudevent(headers: Mapping[str, bytes], data: bytes) -> bytes:
    """A CloudEvent in binary mode as a line; text that is no UTF-8 is judged as what is left."""
    attributes = {
        name.removeprefix(_CE): value.decode(errors="replace")
        for name, value in headers.items()
        if name.startswith(_CE)
    }
    return binary_cloudevent(
        attributes, headers.get(_CONTENT_TYPE, b"").decode(errors="replace"), data
    )
