"""The demo's story: real orders, several releases of ``order-api``, and two injected harms.

A pure state machine: it is told what was decided and gives back the next day's markers and events.
Every draw is a hash of the seed and what it is drawn for, so the same decisions give the same
bytes. Orders, their times, customers, countries and amounts are real; which release an order meets,
whether it is rejected and how long its confirmation takes are invented here. Nothing here sends,
sleeps or reads a clock.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from itertools import count, groupby
from math import exp, log
from statistics import NormalDist
from typing import Final

import msgspec

from analyzers.judging.verdict import Action
from pipeline.demo.orders import Order

SERVICE: Final = "order-api"
OWNER: Final = "team-orders"
RUNBOOK: Final = "https://runbooks.example/order-api"
FIRST_VERSION: Final = "1.0.0"
CANARY_SHARE: Final = 0.5
# Innocent background, the same for both arms.
REJECTED_SHARE: Final = 0.01
CONFIRMATION_MEDIAN_S: Final = 90.0
CONFIRMATION_SIGMA: Final = 0.6
# Releases start before the first order of a day: the earliest in the data is at 06:20 UTC.
START_S: Final = 6 * 3600
WATCH_DAYS: Final = 42
# The rollout tool that the story plays rolls back at once, but promotes only after this long: a
# harm to one country's few orders takes three weeks to show, the health of the total half of that.
BAKE_DAYS: Final = 28


class Injection(Enum):
    """What a release of the plan does to the orders of its canary."""

    NOTHING = "nothing"
    REJECT_COUNTRY = "reject_country"
    SLOW_CONFIRMATION = "slow_confirmation"


@dataclass(frozen=True, slots=True)
class Dials:
    """What a user may turn: how large the two injected harms are, and every draw.

    ``harm_country`` is the fraction of the orders of ``country`` that the bad canary rejects,
    ``slow`` how much longer the slow canary takes to confirm (0.5 is 50 %).
    """

    harm_country: float = 0.9
    country: str = "Germany"
    slow: float = 0.5
    seed: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError for a dial outside its range."""
        if not 0 <= self.harm_country <= 1:
            raise ValueError(
                f"harm-country is {self.harm_country}: a fraction from 0 to 1 is needed"
            )
        if not 0 <= self.slow <= 10:
            raise ValueError(f"slow is {self.slow}: a fraction from 0 to 10 is needed")


@dataclass(frozen=True, slots=True)
class Release:
    """One planned release of ``order-api``: a canary from ``start`` on, watched ``WATCH_DAYS``."""

    deployment: str
    version: str
    start: date
    injection: Injection = Injection.NOTHING

    @property
    def baked(self) -> date:
        """The first day on which it may be promoted."""
        return self.start + timedelta(days=BAKE_DAYS)

    @property
    def end(self) -> date:
        """The first day that no longer belongs to its watch."""
        return self.start + timedelta(days=WATCH_DAYS)

    def injected(self, dials: Dials) -> str:
        """What is done to its canary, in words; "nothing" with its dial at zero too."""
        match self.injection:
            case Injection.REJECT_COUNTRY if dials.harm_country:
                return f"rejects {dials.harm_country:.0%} of the orders from {dials.country}"
            case Injection.SLOW_CONFIRMATION if dials.slow:
                return f"confirms {dials.slow:.0%} slower"
        return "nothing"


def releases() -> tuple[Release, ...]:
    """The demo's plan, in order of time; no two watches overlap."""
    return (
        Release("d-101", "1.1.0", date(2010, 12, 6)),
        Release("d-102", "1.2.0", date(2011, 1, 24), Injection.SLOW_CONFIRMATION),
        Release("d-103", "1.2.1", date(2011, 3, 14)),
        Release("d-104", "1.3.0", date(2011, 5, 3), Injection.REJECT_COUNTRY),
        Release("d-105", "1.3.1", date(2011, 6, 19)),
    )


@dataclass(frozen=True, slots=True)
class Tally:
    """How many orders a release has met so far, by arm."""

    canary: int = 0
    baseline: int = 0
    days: int = 0

    @property
    def orders(self) -> int:
        """Orders of both arms."""
        return self.canary + self.baseline


@dataclass(frozen=True, slots=True)
class DayBatch:
    """What happened from the last batch to the end of ``day``, as lines of JSON.

    ``markers`` come before ``events``; both are in order of time. ``release`` is the one that is
    under way at the end of the day, None between releases, and ``tally`` what it has met;
    ``ended`` and ``started`` are the ones that the markers are about.
    """

    day: date
    markers: tuple[bytes, ...]
    events: tuple[bytes, ...]
    orders: int
    release: Release | None
    tally: Tally
    ended: Release | None = None
    started: Release | None = None


@dataclass(slots=True)
class Story:
    """The state of the demo: told what was decided, it gives back the next day."""

    plan: tuple[Release, ...]
    dials: Dials
    _days: Iterator[tuple[date, list[Order]]]
    _next: int = 0  # place in the plan of the next release
    _running: Release | None = None
    _serving: str = FIRST_VERSION
    _tally: Tally = field(default_factory=Tally)
    _pending: list[tuple[int, int, bytes]] = field(default_factory=list)  # heap: ms, place, line
    _places: Iterator[int] = field(default_factory=count)
    _shown_ms: int = 0  # time of the last event or marker given out

    @classmethod
    def of(cls, orders: Sequence[Order], plan: tuple[Release, ...], dials: Dials) -> Story:
        """The story of these orders (in order of time) at its beginning."""
        if all(order.country != dials.country for order in orders):
            known = ", ".join(sorted({order.country for order in orders}))
            raise ValueError(f"no order comes from {dials.country!r}; the data knows {known}")
        days = groupby(orders, key=lambda order: _day(order.time_s))
        return cls(plan, dials, ((day, list(group)) for day, group in days))

    def next_batch(self, action: Action | None) -> DayBatch | None:
        """What follows on the day before having been judged ``action``; None after the last.

        1. The release under way ends on rollback, on promote once it has baked, and when its
           watch is over: after promote its version serves everybody, else the old one again.
        2. The next release of the plan starts when its day has come.
        3. The day's orders are submitted, and confirmed or rejected.
        """
        following = next(self._days, None)
        day = following[0] if following else _day(self._shown_ms // 1000)
        ended = self._running if self._ends(action, day, last=following is None) else None
        markers: list[bytes] = []
        if ended:
            markers.append(self._end(ended, action))
        if following is None:
            if not (markers or self._pending):
                return None
            events = self._shown_until(None)
            return DayBatch(day, tuple(markers), events, 0, None, self._tally, ended)
        following_release = self.plan[self._next : self._next + 1]
        started = None
        if self._running is None and following_release and following_release[0].start <= day:
            started = following_release[0]
            markers.append(self._start(started))
        for order in following[1]:
            self._submit(order)
        midnight_ms = _ms(day + timedelta(days=1))
        events = self._shown_until(midnight_ms)
        if self._running:
            self._tally = Tally(self._tally.canary, self._tally.baseline, self._tally.days + 1)
        return DayBatch(
            day,
            tuple(markers),
            events,
            len(following[1]),
            self._running,
            self._tally,
            ended,
            started,
        )

    def _ends(self, action: Action | None, day: date, *, last: bool) -> bool:
        running = self._running
        if running is None:
            return False
        promoted = action == "promote" and day >= running.baked
        return last or action == "rollback" or promoted or day >= running.end

    def _start(self, release: Release) -> bytes:
        """The marker that starts it, at ``START_S`` of its day; from here on orders are split."""
        self._running, self._next, self._tally = release, self._next + 1, Tally()
        return self._marker(
            release,
            "deployment.started",
            max(_ms(release.start) + START_S * 1000, self._shown_ms + 1000),
            {"replaces": self._serving, "strategy": "canary", "share": CANARY_SHARE},
        )

    def _end(self, release: Release, action: Action | None) -> bytes:
        """The marker that ends it, a second after the last event that was judged."""
        self._running = None
        time_ms = self._shown_ms + 1000
        if action == "promote":
            self._serving = release.version
            return self._marker(release, "deployment.finished", time_ms, {"outcome": "ok"})
        if action == "rollback":
            return self._marker(release, "deployment.rolled_back", time_ms, {})
        return self._marker(release, "deployment.finished", time_ms, {"outcome": "failed"})

    def _marker(
        self, release: Release, type_: str, time_ms: int, more: dict[str, str | float]
    ) -> bytes:
        self._shown_ms = time_ms
        return msgspec.json.encode(
            {
                "id": f"{release.deployment}-{type_}",
                "time": _rfc3339(time_ms),
                "type": type_,
                "deployment": release.deployment,
                "service": SERVICE,
                "environment": "production",
                "version": release.version,
                **more,
                "owner": OWNER,
                "runbook": RUNBOOK,
            }
        )

    def _submit(self, order: Order) -> None:
        """Queues the order's submission and, unless it is rejected, its confirmation."""
        canary = self._running is not None and self._is_canary(order, self._running)
        if self._running:
            old = self._tally
            self._tally = Tally(old.canary + canary, old.baseline + (not canary), old.days)
        side: dict[str, object] = {
            "service": SERVICE,
            "environment": "production",
            "version": self._running.version if canary and self._running else self._serving,
            "subject": order.subject,
            "attributes": {"country": order.country},
        }
        if self._running:
            side["track"] = "canary" if canary else "baseline"
        identity, time_ms = f"o-{order.invoice}", order.time_s * 1000
        rejected = self._is_rejected(order, canary=canary)
        submission = {
            "id": identity,
            "time": _rfc3339(time_ms),
            "type": "order.submitted",
            "outcome": "rejected" if rejected else "ok",
            "value": order.pence / 100,
            **side,
        }
        self._queue(time_ms, msgspec.json.encode(submission))
        if rejected:
            return
        taken_ms = round(1000 * self._confirmation_s(order, canary=canary))
        confirmation = {
            "id": f"c-{order.invoice}",
            "time": _rfc3339(time_ms + taken_ms),
            "type": "order.confirmed",
            "outcome": "ok",
            "value": taken_ms / 1000,
            "ref": identity,
            **side,
        }
        self._queue(time_ms + taken_ms, msgspec.json.encode(confirmation))

    def _queue(self, time_ms: int, line: bytes) -> None:
        heapq.heappush(self._pending, (time_ms, next(self._places), line))

    def _shown_until(self, until_ms: int | None) -> tuple[bytes, ...]:
        """The queued lines before ``until_ms`` (all, if None), in order of time."""
        lines = []
        while self._pending and (until_ms is None or self._pending[0][0] < until_ms):
            time_ms, _, line = heapq.heappop(self._pending)
            self._shown_ms = max(self._shown_ms, time_ms)
            lines.append(line)
        return tuple(lines)

    def _is_canary(self, order: Order, release: Release) -> bool:
        """Whether the release serves this order: by customer, drawn anew for every release."""
        return draw(self.dials.seed, release.deployment, order.subject) < CANARY_SHARE

    def _is_rejected(self, order: Order, *, canary: bool) -> bool:
        seed = self.dials.seed
        if draw(seed, "rejected", order.invoice) < REJECTED_SHARE:
            return True
        harmed = (
            canary
            and self._running is not None
            and self._running.injection is Injection.REJECT_COUNTRY
            and order.country == self.dials.country
        )
        return harmed and draw(seed, "harm", order.invoice) < self.dials.harm_country

    def _confirmation_s(self, order: Order, *, canary: bool) -> float:
        seconds = confirmation_s(self.dials.seed, order.invoice)
        slowed = (
            canary
            and self._running is not None
            and self._running.injection is Injection.SLOW_CONFIRMATION
        )
        return seconds * (1 + self.dials.slow) if slowed else seconds


def draw(seed: int, *what: object) -> float:
    """A number above 0 and below 1 that looks drawn at random, the same for the same arguments.

    >>> draw(1, "rejected", 536365) == draw(1, "rejected", 536365)
    True
    """
    text = "\x1f".join(map(str, (seed, *what))).encode()
    word = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 11
    return (word + 0.5) / 2**53


def confirmation_s(seed: int, invoice: int) -> float:
    """Seconds from submission to confirmation that nothing has slowed: lognormal."""
    normal = NormalDist().inv_cdf(draw(seed, "confirmation", invoice))
    return exp(log(CONFIRMATION_MEDIAN_S) + CONFIRMATION_SIGMA * normal)


def _day(time_s: int) -> date:
    return datetime.fromtimestamp(time_s, UTC).date()


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _rfc3339(time_ms: int) -> str:
    """RFC 3339 with a Z, to the millisecond."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
