"""What a payload posted to ``/v1/markers`` is recorded as, so that a replay sees what was judged.

Whoever posts there connects a tool, and tools send more than was asked for: what nobody knows is
ignored there and not a fault, as it is in a stream of events. That decision is made at the door and
travels in the line.
"""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import parse_qs

from collector.decoding.said import UNREADABLE, Loose, read, read_again
from collector.foreign import Other, has_own_fields, kinds, understood

_FORM_FIELDS: Final = 16  # GitHub sends one


def line(payload: bytes, *, line_bytes: int) -> bytes:
    """The payload as it is; or, where it is nobody's or longer than a line, what it comes to."""
    loose = _odd(payload)
    if loose is None:
        return payload
    found = understood(loose)
    if found is None and not has_own_fields(loose):
        return kinds.line(kinds.UNKNOWN)
    if len(payload) <= line_bytes:
        return payload
    if isinstance(found, Other):
        return kinds.line(found.kind)
    return json.dumps(dict(found.fields)).encode() if isinstance(found, Loose) else payload


def _odd(payload: bytes) -> Loose | None:
    """The JSON object that a payload is, if it is no event of our own format."""
    try:
        read(payload)
    except UNREADABLE:
        loose = read_again(payload)
        return loose if isinstance(loose, Loose) else None
    return None


def form_payload(body: bytes) -> bytes | None:
    """The JSON that a form's field ``payload`` holds, as GitHub sends it if asked to; else None.

    >>> form_payload(b"payload=%7B%22zen%22%3A%22Keep+it+simple%22%7D")
    b'{"zen":"Keep it simple"}'
    """
    if not body.startswith(b"payload="):
        return None
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=_FORM_FIELDS)
    except ValueError:
        return None
    # No text of JSON holds a raw line break, so what breaks the line stands between tokens.
    said = fields.get("payload", [""])[0]
    return said.encode().replace(b"\n", b" ").replace(b"\r", b" ") or None
