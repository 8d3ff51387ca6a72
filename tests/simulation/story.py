"""What is sent in one life, drawn from its seed: partitions of a topic, and requests over HTTP.

Everything that real senders do: duplicates, corrections under an old id, late and disordered
events, lines that are none, markers that come early and late. ``distinct`` is what of it counts.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from analyzers.times import rfc3339

BEGIN_NS = 1_779_357_600 * 10**9
_TYPES = ("order.submitted", "order.confirmed", "api.called", "edi.acknowledged")


@dataclass(slots=True)
class Story:
    """The payloads of each partition in order, the requests, and one payload of every thing that
    counts. ``end_ns`` is the newest event time."""

    partitions: list[list[bytes]]
    requests: list[list[bytes]]
    distinct: list[bytes] = field(default_factory=list)
    conflicts: int = 0
    end_ns: int = BEGIN_NS


def story(draw: random.Random, *, long: bool) -> Story:
    """What is sent in a life; a long one has some hundred events."""
    told = Story([[] for _ in range(draw.randrange(4))], [])
    span_s = draw.choice((120, 900, 1_800) if long else (60, 120, 300))
    size = draw.choice((40, 80, 200) if long else (12, 25, 50))
    disorder_s = draw.choice((0.0, 5.0, 60.0, 900.0))
    harm = draw.choice((0.02, 0.9))
    events = [_event(draw, number, size, span_s, harm) for number in range(size)]
    events += [_marker(kind, at, span_s) for kind, at in _markers(draw)]
    # They arrive in the order of their times, more or less.
    events.sort(key=lambda said: said["at_s"] + draw.uniform(0, disorder_s))
    sent: list[bytes] = []
    for said in events:
        at_ns = BEGIN_NS + int(said.pop("at_s") * 10**9)
        told.end_ns = max(told.end_ns, at_ns)
        line = json.dumps(said | {"time": rfc3339(at_ns)}).encode()
        told.distinct.append(line)
        sent.append(line)
        if draw.random() < 0.1:
            sent.append(line)  # its sender heard no answer
        if draw.random() < 0.05:
            bad = {"id": f"b-{len(sent)}", "value": "much", "service": "order-api"}
            broken = bad | {"type": "api.called", "version": "1.1", "time": rfc3339(at_ns)}
            found = draw.choice((b"rubbish %d" % len(sent), json.dumps(broken).encode()))
            told.distinct.append(found)
            sent.append(found)
        if draw.random() < 0.05 and said.get("type") in _TYPES:
            sent.append(json.dumps(said | {"time": rfc3339(at_ns + 1), "value": 9.0}).encode())
            told.conflicts += 1
    _dealt(draw, sent, told)
    return told


def _event(draw: random.Random, number: int, size: int, span_s: int, harm: float) -> dict[str, Any]:
    canary = draw.random() < 0.5
    kind = draw.choice((*_TYPES, "order.submitted", "order.submitted"))
    said: dict[str, Any] = {
        "id": f"e-{number}",
        "at_s": span_s * (number + draw.random()) / size,
        "type": kind,
        "service": draw.choice(("order-api", "order-api", "erp")),
        "version": "1.1" if canary else "1.0",
        "outcome": "price" if draw.random() < (harm if canary else 0.02) else "ok",
        "attributes": {"country": draw.choice(("DE", "FR")), "partner": f"P{draw.randrange(4)}"},
    }
    if kind in ("api.called", "order.confirmed"):
        said["value"] = round(draw.expovariate(1.0), 3)
    if kind == "order.confirmed":
        said["ref"] = f"e-{draw.randrange(size)}"
    if draw.random() < 0.3:
        said["subject"] = f"S{draw.randrange(9)}"
    return said


def _markers(draw: random.Random) -> list[tuple[str, float]]:
    begin = draw.uniform(0, 0.5)
    found = [("started", begin)]
    if draw.random() < 0.3:
        found.append(("shifted", begin + 0.1))
    if draw.random() < 0.5:
        found.append((draw.choice(("finished", "rolled_back")), draw.uniform(begin, 1.0)))
    return found


def _marker(kind: str, at: float, span_s: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": f"m-{kind}", "at_s": at * span_s, "type": f"deployment.{kind}", "deployment": "d-1",
        "service": "order-api", "version": "1.1", "replaces": "1.0",
    }  # fmt: skip
    return said | ({"share": 0.5} if kind == "shifted" else {})


def _dealt(draw: random.Random, sent: list[bytes], told: Story) -> None:
    """Deals out what is sent: equal ids take the same way, so that the first of them comes first
    (that is what makes de-duplication of corrections exact over several partitions)."""
    ways: list[list[bytes]] = [*told.partitions, []]
    for line in sent:
        begin = line[:14]  # {"id": "e-12", or rubbish: what routes it
        ways[random.Random(begin).randrange(len(ways))].append(line)
    posted = ways[-1]
    while posted:
        size = draw.choice((1, 7, 40))
        told.requests.append(posted[:size])
        posted = posted[size:]
