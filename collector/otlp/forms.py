"""The Collector's topics: one message is a whole request, and becomes as many lines.

An event without an id of its own gets one from the place of its message and its number there, so
that reading an offset again gives the same ids, and equal records in different places are
different events.
"""

from __future__ import annotations

from typing import Final

from analyzers.policy import Limits
from collector.decoding import refused
from collector.decoding.faults import Fault, Reason
from collector.otlp.door import LINES_OF, Counts, Tally
from collector.otlp.records import MalformedError, TooManyError
from collector.otlp.rules import Encoding, OtlpRules, Signal
from collector.source import Formed, Message

TOMBSTONE: Final = "tombstone"
_BLANK: Final = b" \t\r"


class OtlpForm:
    """The form of one topic; ``counts`` says what became of the records in its messages."""

    def __init__(
        self, signal: Signal, encoding: Encoding | None, *, rules: OtlpRules, limits: Limits
    ) -> None:
        self._signal = signal
        self._encoding = encoding
        self._rules = rules
        self._limits = limits
        self._tally = Tally()

    def __call__(self, message: Message) -> Formed:
        """The lines of a message, or the line of a refused one; never raises."""
        if message.payload is None:
            return Formed(ignored=TOMBSTONE)
        try:
            formed = LINES_OF[self._signal](
                message.payload,
                self._encoding or sniffed(message.payload),
                rules=self._rules,
                limits=self._limits,
                place=message.place,
            )
        except (MalformedError, TooManyError) as error:
            fault = Fault(Reason.FORMAT_INVALID, f"otlp {self._signal.value}: {error}")
            most = self._limits.reject_payload_bytes
            return Formed((refused.line(fault, message.payload, most=most),))
        self._tally.add(formed, rejected=0)
        if formed.lines:
            return Formed(formed.lines)
        return Formed(ignored=next(iter(formed.ignored), "empty"))

    def counts(self) -> Counts:
        """Records, events and what was ignored so far; rejects are counted where they are kept."""
        return self._tally.counts()


def otlp_form(
    signal: Signal, encoding: Encoding | None = None, *, rules: OtlpRules, limits: Limits
) -> OtlpForm:
    """The form of a topic with ``otlp_proto`` or ``otlp_json`` messages of one signal; without an
    encoding each message is looked at."""
    return OtlpForm(signal, encoding, rules=rules, limits=limits)


def sniffed(payload: bytes) -> Encoding:
    """How a message is written, by its first byte: no request in protobuf begins with a brace or
    a blank, except that a line break is how nearly all of them begin.

    >>> sniffed(b' {"resourceLogs":[]}'), sniffed(bytes([10, 0]))
    (<Encoding.JSON: 'json'>, <Encoding.PROTO: 'proto'>)
    """
    return Encoding.JSON if payload[:64].lstrip(_BLANK)[:1] == b"{" else Encoding.PROTO
