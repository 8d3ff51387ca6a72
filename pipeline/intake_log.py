"""The intake log as lines: what every turn was given, so that a replay takes the same turns.

A turn is its payloads, one a line, and one closing line that says which turn it was and what the
stream's time was. Nothing here decides; it writes down and reads back, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

TURN_TYPE: Final = "plimsoll.turn"
_CLOSING: Final = b'{"type":"plimsoll.turn"'


class IntakeLogError(ValueError):
    """An intake log that cannot be read back: a closing line is damaged or missing."""


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """What one turn was given. ``sequence`` counts turns from 1; ``clock_ns`` is the stream's time
    as moved on by the clock, None before the first event; ``hold_ns`` how far the slowest source
    had come that was catching up, None if none was; ``retried`` are the places of payloads that
    had been refused before and were tried once more."""

    sequence: int
    payloads: tuple[bytes, ...]
    clock_ns: int | None
    hold_ns: int | None = None
    retried: tuple[int, ...] = ()


class _Closing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: str
    sequence: int
    payloads: int
    clock_ns: int | None
    hold_ns: int | None = None
    retried: tuple[int, ...] = ()


def encode_turn(turn: RecordedTurn) -> bytes:
    r"""The lines of a turn, its closing line last, each ended by a line break.

    Payloads hold no line breaks (``collector.posted.bodies`` sees to it). One that starts like a
    closing line gets a blank in front, which JSON does not mind: no client can close a turn.

    >>> encode_turn(RecordedTurn(1, (b'{"id":"o-1"}',), None))
    b'{"id":"o-1"}\n{"type":"plimsoll.turn","sequence":1,"payloads":1,"clock_ns":null}\n'
    """
    closing = msgspec.json.encode(_Closing(
        type=TURN_TYPE,
        sequence=turn.sequence,
        payloads=len(turn.payloads),
        clock_ns=turn.clock_ns,
        hold_ns=turn.hold_ns,
        retried=turn.retried,
    ))  # fmt: skip
    body = b"\n".join([*turn.payloads, closing, b""])
    # One search through all payloads instead of a look at each: an eighth of the time.
    if body.find(_CLOSING) < len(body) - len(closing) - 1:
        lines = [b" " + payload if _poses(payload) else payload for payload in turn.payloads]
        return b"\n".join([*lines, closing, b""])
    return body


def _poses(line: bytes) -> bool:
    return line.lstrip(b" ").startswith(_CLOSING)


def is_closing(line: bytes) -> bool:
    """Whether a line closes a turn, and so whether a file is an intake log."""
    return line.startswith(_CLOSING)


def read_turns(lines: Iterable[bytes]) -> Iterator[RecordedTurn]:
    """The turns that lines hold, in order; IntakeLogError where they end in the middle of one."""
    payloads: list[bytes] = []
    for number, line in enumerate(lines, 1):
        text = line.rstrip(b"\n")
        if not is_closing(text):
            payloads.append(text[1:] if _poses(text) else text)
            continue
        try:
            closing = msgspec.json.decode(text, type=_Closing)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IntakeLogError(
                f"line {number} of the intake log closes a turn but is damaged ({error}); "
                "cut the log before this turn"
            ) from error
        if closing.payloads != len(payloads):
            raise IntakeLogError(
                f"line {number} of the intake log closes a turn of {closing.payloads} payloads, "
                f"but {len(payloads)} lines stand before it; the log has lost or gained lines"
            )
        yield RecordedTurn(
            closing.sequence, tuple(payloads), closing.clock_ns, closing.hold_ns, closing.retried
        )
        payloads = []
    if payloads:
        raise IntakeLogError(
            f"the intake log ends in the middle of a turn, {len(payloads)} lines after the last "
            "closing line; what is not closed was never committed and can be cut off"
        )


def decode_turn(lines: bytes) -> RecordedTurn:
    """The one turn that ``encode_turn`` wrote."""
    turns = list(read_turns(lines.removesuffix(b"\n").split(b"\n")))
    if len(turns) != 1:
        raise IntakeLogError(f"expected the lines of one turn, found {len(turns)} turns")
    return turns[0]
