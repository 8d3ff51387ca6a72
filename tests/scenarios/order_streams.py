"""Streams of order events made from the shipped orders, with a known harm or none.

What the issue demands of ``plimsoll replay`` is stated in such streams: so many orders a day, one
canary release over so many days, and one injected harm. Orders, their times, customers, countries
and amounts are real; arms, rejections and confirmations are drawn from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import msgspec

from pipeline.demo.orders import Order
from pipeline.demo.story import REJECTED_SHARE, confirmation_s, draw

DEPLOYMENT = "d-1"
CANARY, BASELINE = "2.0.0", "1.9.0"


@dataclass(frozen=True, slots=True)
class Harm:
    """What the canary does, each a fraction: ``rejected`` of its submissions, ``slower``
    confirmations (0.5 is 50 %), ``unconfirmed`` of its accepted orders, ``country_rejected`` of
    the orders of ``country``. The default does nothing."""

    rejected: float = 0.0
    slower: float = 0.0
    unconfirmed: float = 0.0
    country: str = ""
    country_rejected: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a stream with its time in seconds since 1970 UTC."""

    time_s: float
    text: bytes


def stream_from_orders(
    orders: Sequence[Order],
    *,
    days: int,
    first_day: int = 0,
    orders_a_day: int | None = 40,
    share: float = 0.5,
    harm: Harm = Harm(),
    lead_in_days: int = 1,
    by: str = "customer",
    seed: int = 1,
) -> list[Line]:
    """A stream of ``days`` calendar days from the ``first_day``-th of the data on, by time.

    Orders are thinned to ``orders_a_day`` (None keeps all). In the first ``lead_in_days`` the old
    version serves everybody; then a canary takes ``share`` of the customers (``by="order"``: of
    the orders).
    """
    begin = datetime.fromtimestamp(orders[0].time_s, UTC).date() + timedelta(days=first_day)
    start_s = _midnight_s(begin, lead_in_days) + 6 * 3600
    lines = [_started(start_s, share)]
    for day, group in groupby(orders, key=lambda order: order.time_s // 86400):
        kept = list(group)
        if not _midnight_s(begin, 0) <= day * 86400 < _midnight_s(begin, days):
            continue
        if orders_a_day is not None and len(kept) > orders_a_day:
            kept.sort(key=lambda order: draw(seed, "kept", order.invoice))
            kept = kept[:orders_a_day]
        for order in kept:
            whose = order.subject if by == "customer" else order.invoice
            released = order.time_s >= start_s
            canary = released and draw(seed, "arm", whose) < share
            lines += _order_lines(order, canary=canary, released=released, harm=harm, seed=seed)
    return sorted(lines, key=lambda line: line.time_s)


def shuffled(lines: Sequence[Line], *, seed: int, within_s: float = 300.0) -> list[Line]:
    """The same lines, each out of its order by up to ``within_s`` seconds."""
    chance = random.Random(seed)
    return sorted(lines, key=lambda line: line.time_s + chance.uniform(0, within_s))


def doubled(lines: Sequence[Line], *, seed: int, fraction: float = 0.5) -> list[Line]:
    """The same lines, ``fraction`` of them sent a second time somewhere within the next hundred."""
    chance = random.Random(seed)
    placed = [(float(place), line) for place, line in enumerate(lines)]
    again = [
        (place + chance.uniform(0, 100), line)
        for place, line in placed
        if chance.random() < fraction
    ]
    return [line for _, line in sorted(placed + again, key=lambda row: row[0])]


def ndjson(lines: Sequence[Line]) -> bytes:
    """The stream as the bytes of a file."""
    return b"".join(line.text + b"\n" for line in lines)


def _order_lines(
    order: Order, *, canary: bool, released: bool, harm: Harm, seed: int
) -> list[Line]:
    """The submission and, unless rejected or lost, the confirmation."""
    side: dict[str, object] = {
        "service": "order-api",
        "version": CANARY if canary else BASELINE,
        "subject": order.subject,
        "attributes": {"country": order.country},
    }
    if released:
        side["track"] = "canary" if canary else "baseline"
    rejected_share = harm.rejected
    if harm.country and order.country == harm.country:
        rejected_share = max(rejected_share, harm.country_rejected)
    rejected = draw(seed, "rejected", order.invoice) < REJECTED_SHARE or (
        canary and draw(seed, "harm", order.invoice) < rejected_share
    )
    submission = {
        "id": f"o-{order.invoice}",
        "time": _rfc3339(order.time_s),
        "type": "order.submitted",
        "outcome": "rejected" if rejected else "ok",
        "value": order.pence / 100,
    }
    lines = [Line(order.time_s, msgspec.json.encode(submission | side))]
    lost = canary and draw(seed, "lost", order.invoice) < harm.unconfirmed
    if rejected or lost:
        return lines
    taken_s = confirmation_s(seed, order.invoice) * (1 + harm.slower * canary)
    taken_s = round(taken_s, 3)
    confirmation = {
        "id": f"c-{order.invoice}",
        "time": _rfc3339(order.time_s + taken_s),
        "type": "order.confirmed",
        "value": taken_s,
        "ref": f"o-{order.invoice}",
    }
    lines.append(Line(order.time_s + taken_s, msgspec.json.encode(confirmation | side)))
    return lines


def _started(start_s: int, share: float) -> Line:
    marker = {
        "id": "m-1",
        "time": _rfc3339(start_s),
        "type": "deployment.started",
        "deployment": DEPLOYMENT,
        "service": "order-api",
        "version": CANARY,
        "replaces": BASELINE,
        "strategy": "canary",
        "share": share,
    }
    return Line(start_s, msgspec.json.encode(marker))


def _midnight_s(begin: date, days: int) -> int:
    midnight = datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
    return int(midnight.timestamp()) + days * 86400


def _rfc3339(time_s: float) -> str:
    ms = round(time_s * 1000)
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
