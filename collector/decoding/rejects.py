"""Rejects: inputs that cannot be used, kept with their reason and with whose they are.

Whose it is matters as much as why: a release that breaks the format of its messages is seen by
the rejects of its version.
"""

from __future__ import annotations

from typing import Final

from analyzers.facts import Reject
from analyzers.policy import Limits
from collector.decoding import digests, texts, times
from collector.decoding.faults import Fault
from collector.decoding.said import PRODUCTION, Said, glimpse

_TRACKS: Final = ("canary", "baseline")


def reject(
    index: int,
    payload: bytes,
    fault: Fault,
    said: Said,
    *,
    limits: Limits,
    unnamed: tuple[int, int] | None = None,
) -> Reject:
    """The reject of one payload; ``said`` is what of it could be read.

    Its key is ``unnamed`` or a digest of the whole payload: known again when it is repeated, while
    another try under the same id is another reject.
    """
    environment = _readable(PRODUCTION if said.environment is None else said.environment)
    service = _readable(said.service)
    time_ns = times.parse(said.time)
    return Reject(
        index=index,
        reason=fault.reason.value,
        detail=fault.detail,
        payload=payload[: limits.reject_payload_bytes],
        time_ns=None if isinstance(time_ns, Fault) else time_ns,
        environment=environment if service else "",
        service=service,
        version=_readable(said.version or ""),
        track=said.track if said.track in _TRACKS else "",
        key=digests.key_of_bytes(payload) if unnamed is None else unnamed,
    )


def reject_unread(
    index: int,
    payload: bytes,
    fault: Fault,
    *,
    limits: Limits,
    unnamed: tuple[int, int] | None = None,
) -> Reject:
    """The reject of a payload that is no JSON: whose it is shows in its first bytes, or not."""
    said = glimpse(payload[: limits.reject_payload_bytes])
    return reject(index, payload, fault, said, limits=limits, unnamed=unnamed)


def _readable(text: str) -> str:
    return "" if texts.fault_of("", text) else text
