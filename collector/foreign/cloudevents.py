"""CloudEvents 1.x: the envelope opened, and a message in binary mode as one line.

Source: CloudEvents specification 1.0.2 with its JSON format, HTTP and Kafka protocol bindings.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from collector.decoding.faults import Fault, Reason, quote
from collector.decoding.said import UNREADABLE, Loose
from collector.foreign.kinds import Other
from collector.foreign.values import last_segment, text

Understood: TypeAlias = Loose | Other | Fault | None

_ATTRIBUTE: Final = re.compile(r"[a-z0-9]{1,64}")
_OF_DATA: Final = ("data", "datacontenttype")
# An attribute of the envelope stands in for a field that the data do not have.
_FILLED: Final = (
    "id", "time", "type", "service", "environment", "version", "track", "outcome", "ref",
    "deployment",
)  # fmt: skip
_MARKS: Final = ("{", "[")


def is_one(fields: Mapping[str, object]) -> bool:
    """Whether a JSON object is a CloudEvent in structured mode."""
    return "specversion" in fields


def opened(
    fields: Mapping[str, object], within: Callable[[Mapping[str, object]], Understood]
) -> Understood:
    """The event or marker in an envelope; ``within`` understands what data of other tools say.

    Data that are ours, or say nothing, are one event, and the envelope fills in what they leave
    out; its ``source`` names the service if nothing else does.
    """
    if not text(fields, "specversion").startswith("1."):
        said = quote(fields.get("specversion"))
        return Fault(Reason.FORMAT_INVALID, f"CloudEvents specversion {said} is not read, 1.0 is")
    data = _data(fields)
    if isinstance(data, Fault):
        return data
    found = within(data)
    if isinstance(found, Other | Fault):
        return found
    filled = dict(data if found is None else found.fields)
    for name in _FILLED if found is None else ("id", "time"):
        if filled.get(name) is None and fields.get(name) is not None:
            filled[name] = fields[name]
    if filled.get("service") is None and (service := last_segment(text(fields, "source"))):
        filled["service"] = service
    return Loose(filled)


def binary_cloudevent(attributes: Mapping[str, str], content_type: str, data: bytes) -> bytes:
    """A CloudEvent in binary mode as one line in structured mode; it may be invalid all the same.

    ``attributes`` are the headers without their prefix (``ce-``, ``ce_``), decoded. Data that are
    JSON stay as they are, other data become base64.

    >>> binary_cloudevent({"specversion": "1.0", "id": "7"}, "application/json", b"[1]")
    b'{"specversion":"1.0","id":"7","datacontenttype":"application/json","data":[1]}'
    """
    line: dict[str, object] = {
        name: said
        for name, said in attributes.items()
        if _ATTRIBUTE.fullmatch(name) and name not in _OF_DATA
    }
    if content_type:
        line["datacontenttype"] = content_type
    if data and _is_json(content_type, data):
        # No text of JSON holds a raw line break, so what breaks the line stands between tokens.
        line["data"] = msgspec.Raw(data.replace(b"\n", b" ").replace(b"\r", b" "))
    elif data:
        line["data_base64"] = b64encode(data).decode()
    return msgspec.json.encode(line)


def _is_json(content_type: str, data: bytes) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    if kind and not (kind in ("application/json", "text/json") or kind.endswith("+json")):
        return False
    try:
        msgspec.json.decode(data)
    except UNREADABLE:
        return False
    return True


def _data(fields: Mapping[str, object]) -> Mapping[str, object] | Fault:
    """The data as a JSON object; an empty one if there are none, or if they are no object."""
    raw: object = fields.get("data")
    encoded = fields.get("data_base64")
    if raw is None and encoded is not None:
        try:
            raw = b64decode(str(encoded), validate=True).decode()
        except ValueError:
            return Fault(Reason.FORMAT_INVALID, "data_base64 of the CloudEvent is no JSON text")
        if not raw.lstrip().startswith(_MARKS):
            return Fault(Reason.FORMAT_INVALID, "data_base64 of the CloudEvent is no JSON object")
    if isinstance(raw, str) and raw.lstrip().startswith(_MARKS):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            return Fault(Reason.FORMAT_INVALID, "data of the CloudEvent are no JSON")
    return raw if isinstance(raw, dict) else {}
