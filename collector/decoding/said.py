"""What one payload says, as JSON: its named fields with their JSON types, not yet judged.

The ordinary payload is read by ``read``, at full speed. The one that this refuses is read again,
slowly, to say why and to save what can be saved: whose it is counts even when it is broken.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from collector.decoding.faults import Fault, Reason, kind, quote
from collector.decoding.texts import is_unicode

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
NO_ATTRIBUTES: Final = msgspec.Raw(b"{}")
PRODUCTION: Final = "production"

# In UTF-16 every second byte of plain text is NUL, so the first few bytes tell.
_SNIFFED_BYTES: Final = 64
# The largest float has 309 digits. Longer integers are infinite as a value, and reading them as an
# integer would cost time that grows with the square of their length.
_LONGEST_INTEGER: Final = 400
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_REQUIRED: Final = ("id", "time", "type", "service")
_OPTIONAL: Final = ("environment", "version", "track", "outcome", "subject", "ref")
# A named field with a text or a whole number, wherever it stands. Possessive, so that hostile text
# costs one pass.
_GLIMPSE: Final = re.compile(
    rb'"(id|time|service|environment|version|track)"\s*+:\s*+("(?:[^"\\]|\\.)*+"|-?\d++)'
)


class Said(msgspec.Struct, gc=False):
    """The fields of one event. None and an absent optional field mean the same."""

    id: str
    time: str | int
    type: str
    service: str
    environment: str | None = None
    version: str | None = None
    track: str | None = None
    outcome: str | None = None
    value: float | None = None
    subject: str | None = None
    ref: str | None = None
    synthetic: bool | None = None
    attributes: msgspec.Raw = NO_ATTRIBUTES
    specversion: None = None  # an envelope (CloudEvents) is none of our events: it is read again


@dataclass(frozen=True, slots=True)
class Loose:
    """A JSON object with fields of any type; ``constants`` are the words in it that are no JSON,
    such as NaN."""

    fields: Mapping[str, object]
    constants: tuple[str, ...] = field(default=())

    def text(self, name: str) -> str:
        """The field if it is a text that can be written as UTF-8, else the empty text."""
        value = self.fields.get(name)
        return value if isinstance(value, str) and is_unicode(value) else ""

    def option(self, name: str) -> str | None:
        """The field if it is such a text, else None; an empty text stays one."""
        return self.text(name) if isinstance(self.fields.get(name), str) else None

    def time(self) -> str | int:
        """The time field if it is a text or a whole number, else the empty text."""
        value = self.fields.get("time")
        return (
            value if isinstance(value, int) and not isinstance(value, bool) else self.text("time")
        )

    def fault_of_text(self, name: str, *, required: bool) -> Fault | None:
        """What keeps the field from being a text."""
        value = self.fields.get(name)
        if value is None:
            if not required:
                return None
            return Fault(Reason.MISSING_FIELD, f"field {name} is missing")
        if not isinstance(value, str):
            return Fault(Reason.FIELD_TYPE, f"field {name} is {kind(value)}, not a text")
        if not is_unicode(value):
            return Fault(Reason.ENCODING_INVALID, f"field {name} holds half a surrogate pair")
        return None

    def fault_of_time(self) -> Fault | None:
        """What keeps the time field from being a text or a whole number."""
        value = self.fields.get("time")
        if isinstance(value, int) and not isinstance(value, bool):
            return None
        if isinstance(value, float):
            return Fault(Reason.TIME_INVALID, f"time {value!r} is not a whole number of ms")
        return self.fault_of_text("time", required=True)


read: Final = msgspec.json.Decoder(Said).decode


def read_again(payload: bytes) -> Loose | Fault:
    """The JSON object that a payload is, also where it says NaN; or why it is none."""
    if b"\0" in payload[:_SNIFFED_BYTES]:
        return Fault(Reason.ENCODING_INVALID, "NUL bytes, as in UTF-16 or a binary format")
    constants: list[str] = []

    def constant(word: str) -> float:
        constants.append(word)
        return float(word)

    try:
        text = payload.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        return Fault(Reason.ENCODING_INVALID, f"byte {error.start} is not UTF-8")
    try:
        value = json.loads(text, parse_constant=constant, parse_int=_whole)
    except RecursionError:
        return Fault(Reason.NOT_JSON, "nested too deeply")
    except json.JSONDecodeError as error:
        return Fault(Reason.NOT_JSON, f"{error.msg} at character {error.pos}")
    if not isinstance(value, dict):
        return Fault(Reason.NOT_AN_OBJECT, f"the payload is {kind(value)}")
    return Loose(value, tuple(constants))


def said_again(loose: Loose) -> tuple[Said, Fault | None]:
    """All that can be used of an object, and the first thing that is wrong with its types."""
    value = loose.fields.get("value")
    synthetic = loose.fields.get("synthetic")
    attributes = loose.fields.get("attributes")
    said = Said(
        id=loose.text("id"),
        time=loose.time(),
        type=loose.text("type"),
        service=loose.text("service"),
        environment=loose.option("environment"),
        version=loose.text("version"),
        track=loose.text("track"),
        outcome=loose.option("outcome"),
        value=_number(value),
        subject=loose.text("subject"),
        ref=loose.text("ref"),
        synthetic=synthetic if isinstance(synthetic, bool) else None,
    )
    faults = [loose.fault_of_text(name, required=True) for name in _REQUIRED if name != "time"]
    faults.insert(1, loose.fault_of_time())
    faults += [loose.fault_of_text(name, required=False) for name in _OPTIONAL]
    faults.append(_fault_of_value(value))
    if synthetic is not None and not isinstance(synthetic, bool):
        faults.append(Fault(Reason.FIELD_TYPE, f"field synthetic is {kind(synthetic)}, not a bool"))
    if attributes is not None:
        fault = fault_of_attributes(attributes)
        faults.append(fault)
        if fault is None:
            said.attributes = msgspec.Raw(json.dumps(attributes).encode())
    if loose.constants:
        faults.append(Fault(Reason.NOT_JSON, f"{loose.constants[0]} is no JSON"))
    return said, next((fault for fault in faults if fault is not None), None)


def glimpse(payload: bytes) -> Said:
    """What still shows of a payload that is no JSON: whose it is, and when it happened.

    >>> glimpse(b'{"id":"o-1","service":"orders","version":"1.2","val').version
    '1.2'
    """
    seen: dict[str, object] = {}
    for match in _GLIMPSE.finditer(payload):
        name = match.group(1).decode()
        if name in seen:
            continue
        try:
            seen[name] = json.loads(match.group(2), parse_int=_whole)
        except ValueError:  # not UTF-8, or a broken escape: this field does not show
            seen[name] = None
    said, _ = said_again(Loose(seen))
    return said


def fault_of_attributes(attributes: object) -> Fault | None:
    """What keeps a JSON value from being a flat object of texts."""
    if not isinstance(attributes, dict):
        return Fault(Reason.ATTRIBUTES_INVALID, f"attributes is {kind(attributes)}")
    for name, value in attributes.items():
        if not isinstance(value, str):
            return Fault(
                Reason.ATTRIBUTES_INVALID, f"attribute {quote(name)} is {kind(value)}, not a text"
            )
        if not (is_unicode(name) and is_unicode(value)):
            return Fault(Reason.ATTRIBUTES_INVALID, "an attribute holds half a surrogate pair")
    return None


def _fault_of_value(value: object) -> Fault | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fault(Reason.FIELD_TYPE, f"field value is {kind(value)}, not a number")
    if not math.isfinite(_number(value) or 0.0):
        return Fault(Reason.VALUE_NOT_FINITE, f"value is {_number(value)}, which is no number")
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return math.inf if value > 0 else -math.inf


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)
