"""Flagger: the payloads of its event webhook are the story of a canary; other hooks only ask.

An event says what happened in words that are the same since Flagger 1.0; a hook says neither what
nor when, so it is no marker. A release is called namespace/name/checksum, as Flagger's gates call
it. Source: Flagger's webhook documentation and its scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.decoding.said import Loose
from collector.foreign.kinds import Other, other
from collector.foreign.release import (
    FAILED,
    FINISHED,
    OK,
    ROLLED_BACK,
    SHIFTED,
    STARTED,
    environment_of,
    marker,
)
from collector.foreign.values import inner, name, text

_WEIGHT: Final = re.compile(r"Advance \S+ canary weight (\d{1,6})")
_WHOLE: Final = 100  # Flagger's weights are percent unless its maximum weight is changed
_EPOCH_MS: Final = re.compile(r"\d{1,16}")


@dataclass(frozen=True, slots=True)
class _Word:
    """How a message begins, and what it means."""

    begin: str
    type: str
    outcome: str = ""
    share: float | None = None


# "New revision detected!" is sent before Flagger has noted the new revision, and so with the
# checksum of the one before; "Starting canary analysis" has the right one. The first opens no
# second release where the one before is known: its name is taken.
_WORDS: Final = (
    _Word("New revision detected!", STARTED),
    _Word("Starting canary analysis for ", STARTED),
    _Word("Routing all traffic to canary", SHIFTED, share=1.0),
    _Word("Stop traffic mirroring and route all traffic to canary", SHIFTED, share=1.0),
    _Word("Promotion completed!", FINISHED, OK),
    _Word("Promotion of ", FINISHED, FAILED),
    _Word("Rolling back ", ROLLED_BACK),
    _Word("Canary failed!", ROLLED_BACK),
)


def understood(fields: Mapping[str, object]) -> Loose | Other | None:
    """What a Flagger webhook says; None if the object is none."""
    if not all(isinstance(fields.get(one), str) for one in ("name", "namespace", "phase")):
        return None
    metadata = inner(fields, "metadata")
    message = text(metadata, "eventMessage")
    if not message:
        return other("flagger", "hook") if "checksum" in fields else None
    weight = _WEIGHT.match(message)
    if weight is not None:
        share = int(weight.group(1)) / _WHOLE
        said = _Word("", SHIFTED, share=share if share <= 1 else None)
    else:
        said = next((one for one in _WORDS if message.startswith(one.begin)), _Word("", ""))
    if not said.type:
        return other("flagger", "event")
    canary, namespace, checksum = (text(fields, one) for one in ("name", "namespace", "checksum"))
    stamp = text(metadata, "timestamp")
    return marker(
        said.type,
        id=name("flagger", namespace, canary, checksum, said.type, stamp),
        time=int(stamp) if _EPOCH_MS.fullmatch(stamp) else stamp,
        deployment=name(namespace, canary, checksum) if checksum else "",
        service=canary,
        version=checksum,
        environment=environment_of(namespace),
        outcome=said.outcome,
        strategy="canary",
        share=said.share,
        own={one: what for one, what in metadata.items() if one != "deployment"},
    )
