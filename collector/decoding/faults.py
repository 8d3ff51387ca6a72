"""Why an input is refused: a closed set of reason codes, each with its remedy.

Every code is a label of a published counter and stands in answers to clients, so codes are only
ever added. What is done with a refused input is said in ``rejects``, never here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

# Long enough to recognise a value in a message, short enough that a hostile one cannot flood a log.
_QUOTED_CHARACTERS: Final = 60


class Reason(StrEnum):
    """The reason codes, from the outside of a payload to its inside."""

    TOO_LONG = "too_long"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"
    ENCODING_INVALID = "encoding_invalid"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    FIELD_TYPE = "field_type"
    FIELD_EMPTY = "field_empty"
    FIELD_TOO_LONG = "field_too_long"
    CONTROL_CHARACTER = "control_character"
    TIME_WITHOUT_ZONE = "time_without_zone"
    TIME_INVALID = "time_invalid"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    VALUE_NOT_FINITE = "value_not_finite"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    TRACK_INVALID = "track_invalid"
    ATTRIBUTES_INVALID = "attributes_invalid"
    MARKER_TYPE_UNKNOWN = "marker_type_unknown"
    MARKER_INVALID = "marker_invalid"
    MAPPING = "mapping"
    FORMAT_INVALID = "format_invalid"
    SIGNATURE_INVALID = "signature_invalid"
    SOURCE_LOST = "source_lost"


REMEDIES: Final = MappingProxyType(
    {
        Reason.TOO_LONG: "send smaller events, or raise limits.line_bytes",
        Reason.TRUNCATED: "copy or record the file again: its end is missing or damaged",
        Reason.UNREADABLE: "give the file as NDJSON, gzip of it, or Parquet",
        Reason.ENCODING_INVALID: "write the event as UTF-8",
        Reason.NOT_JSON: "write one complete JSON object per line or array element",
        Reason.NOT_AN_OBJECT: "write every event as a JSON object with named fields",
        Reason.MISSING_FIELD: "fill id, time, type and service in every event",
        Reason.FIELD_TYPE: "give the field the JSON type that the interface names",
        Reason.FIELD_EMPTY: "fill the field, or leave an optional one out",
        Reason.FIELD_TOO_LONG: "keep every text within 256 bytes of UTF-8",
        Reason.CONTROL_CHARACTER: "remove control characters such as tabs and line breaks",
        Reason.TIME_WITHOUT_ZONE: "end the time with Z or an offset such as +02:00",
        Reason.TIME_INVALID: "write RFC 3339 such as 2026-05-21T10:00:00.123Z, or epoch ms",
        Reason.TIME_OUT_OF_RANGE: "send a time from 2000 to 2099; an integer is milliseconds",
        Reason.VALUE_NOT_FINITE: "leave value out where there is no finite number",
        Reason.VALUE_OUT_OF_RANGE: "use a larger unit: a value stays below 9007199254.740992",
        Reason.TRACK_INVALID: "say canary or baseline, or leave track out",
        Reason.ATTRIBUTES_INVALID: "send attributes as one flat object of at most 32 strings",
        Reason.MARKER_TYPE_UNKNOWN: "use deployment.started, shifted, finished or rolled_back",
        Reason.MARKER_INVALID: "correct the field of the marker that the detail names",
        Reason.MAPPING: "correct the mapping of this source; plimsoll check --sample shows it",
        Reason.FORMAT_INVALID: "name the format that this source really has",
        Reason.SIGNATURE_INVALID: "configure the secret that the sender signs with",
        Reason.SOURCE_LOST: "keep messages in the source for longer than plimsoll may be down",
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one input: the code, and in words the thing and its value."""

    reason: Reason
    what: str

    @property
    def detail(self) -> str:
        """What is wrong and what would be right."""
        return f"{self.what}; {REMEDIES[self.reason]}"


def quote(value: object) -> str:
    """The value as a message shows it: escaped, on one line, cut.

    >>> quote("x" * 99)[-5:]
    'xx...'
    """
    if not isinstance(value, str | int | float):
        return kind(value)  # showing it may cost more than the message is worth
    # Cut before repr: a hostile text of a megabyte is not escaped first and thrown away then.
    shown = repr(value[: _QUOTED_CHARACTERS + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= _QUOTED_CHARACTERS else shown[:_QUOTED_CHARACTERS] + "..."


def kind(value: object) -> str:
    """What a JSON value is, in words.

    >>> kind([])
    'an array'
    """
    match value:
        case None:
            return "null"
        case bool():
            return "a bool"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "an array"
    return "an object"
