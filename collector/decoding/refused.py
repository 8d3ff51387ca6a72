"""A message that could not even be made into an event, as a line that ``decode`` makes a reject of.

Mappings and binary formats are read before ``decode``. What they refuse travels as a line of this
form, so that it is kept, counted and replayed like every other reject, in the live turn and in the
recorded one alike.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from collector.decoding.faults import Fault, Reason

TYPE: Final = "plimsoll.refused"
_MARK: Final = TYPE.encode()


class Refused(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=TYPE
):
    """Why a message was refused, and whose it is as far as that could be read."""

    reason: Reason
    what: str
    payload: str  # base64: it may be anything
    environment: str = ""
    service: str = ""
    version: str = ""
    time: str | int = ""
    sent_ms: int | None = None
    headers: dict[str, str] = {}  # base64, too

    @property
    def fault(self) -> Fault:
        """What is wrong."""
        return Fault(self.reason, self.what)

    @property
    def original(self) -> bytes:
        """The message as it was, cut to the limit of its writer."""
        return b64decode(self.payload, validate=True)

    @property
    def beside(self) -> tuple[tuple[str, bytes], ...]:
        """The headers that the message had."""
        return tuple((name, b64decode(text, validate=True)) for name, text in self.headers.items())


_NONE: Final[Mapping[str, bytes]] = MappingProxyType({})
_read: Final = msgspec.json.Decoder(Refused).decode


def line(
    fault: Fault,
    payload: bytes,
    *,
    most: int,
    environment: str = "",
    service: str = "",
    version: str = "",
    time: str | int = "",
    sent_ms: int | None = None,
    headers: Mapping[str, bytes] = _NONE,
) -> bytes:
    """The line of a refused message; ``payload`` is cut to ``most`` bytes. ``sent_ms`` and
    ``headers`` are what it had beside its payload, left out where they take more than that."""
    size = sum(len(name) + len(value) for name, value in headers.items())
    return msgspec.json.encode(
        Refused(
            reason=fault.reason,
            what=fault.what,
            payload=b64encode(payload[:most]).decode(),
            environment=environment,
            service=service,
            version=version,
            time=time,
            sent_ms=sent_ms,
            headers={
                name: b64encode(value).decode() for name, value in headers.items() if size <= most
            },
        )
    )


def read(payload: bytes) -> Refused | None:
    """The refused message that a line tells of, None if it is no such line."""
    if _MARK not in payload:
        return None
    try:
        found = _read(payload)
        _ = found.original, found.beside  # raises where it is no base64
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found
