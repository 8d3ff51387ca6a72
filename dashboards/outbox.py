"""Delivers notices from a store that survives the process: at least once, in order, with patience.

The notice was queued in the transaction of the turn that caused it. Here it goes out, apart from
the turn: a receiver that is slow or down delays only its own notices. Order is kept for each
deployment and channel, because the store offers only the oldest waiting notice of each; the
idempotency key lets a receiver drop what it gets twice after a crash. No clock is read here, and
the store is known by its shape alone: ``collector.keeping.checkpoint.Checkpoint`` has it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, assert_never

import msgspec

from analyzers.facts import NS_PER_S
from analyzers.judging.verdict import Alert

# One receiver that hangs until its timeout holds up one of so many; more would let a burst open
# more connections than small receivers take.
AT_ONCE: Final = 8
# A call ends after about so many tries, so that its counts are told and a stop is heard.
TRIES_PER_CALL: Final = 1_000


class Notice(Protocol):
    """A queued notice: ``sent_ns`` is the clock time of its first delivery, None before it;
    ``failures`` counts tries in a row that failed."""

    # ruff: noqa: D102  # the class says what they are
    @property
    def id(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def sent_ns(self) -> int | None: ...
    @property
    def failures(self) -> int: ...


class Store(Protocol):
    """Where notices wait. Called in worker threads, never two calls for one notice at once."""

    def due(self, now_ns: int, /) -> Sequence[Notice]:
        """The notices to deliver now: of each deployment and channel only the oldest waiting one,
        and those delivered before whose time has come to be said again."""

    def delivered(self, notice: int, now_ns: int, again_ns: int | None, /) -> None:
        """Takes note that it went out, and when it must be said again, if ever."""

    def failed(self, notice: int, error: str, next_due_ns: int | None, /) -> None:
        """Takes note that a try failed: to be tried again then, or given up (None)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver has it; after ``again_s`` it must be said again (None: never)."""

    again_s: float | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """It may work another time, not before ``after_s`` if the receiver said so."""

    error: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not work however often it is tried."""

    error: str


Outcome: TypeAlias = Sent | Later | Refused


class Channel(Protocol):
    """A way out of the house."""

    async def deliver(self, notice: Notice, now_ns: int, /) -> Outcome:
        """What became of one try. What the world does wrong is an outcome, not an exception."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to keep trying: pauses double from ``first_s`` up to ``longest_s``.

    The defaults try 60 times within about four hours. A tenth of that would lose the alerts of a
    receiver's nightly maintenance; ten times as many would bring news of the day before yesterday.
    """

    first_s: float = 1.0
    longest_s: float = 300.0
    tries: int = 60


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one call did: notices sent for the first time, said again, to be tried again, and
    given up."""

    sent: int = 0
    repeated: int = 0
    postponed: int = 0
    given_up: int = 0

    def __add__(self, other: Delivered) -> Delivered:
        return Delivered(
            self.sent + other.sent,
            self.repeated + other.repeated,
            self.postponed + other.postponed,
            self.given_up + other.given_up,
        )


def key_of(alert: Alert) -> str:
    """The idempotency key of an alert: equal for equal change of verdict, 64 hex digits."""
    told = (alert.deployment, alert.status, alert.at, sorted(alert.labels.items()))
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def payload_of(alert: Alert) -> bytes:
    """The bytes that a notice of the alert carries, for any of the channels."""
    return msgspec.json.encode(alert)


def alert_in(payload: bytes) -> Alert | Refused:
    """The alert that ``payload_of`` packed."""
    try:
        return msgspec.json.decode(payload, type=Alert)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Refused(f"the payload is no alert: {error}")


def pause_ns(key: str, failures: int, patience: Patience) -> int:
    """How long to wait after so many failures in a row, in nanoseconds.

    Exponential, bounded, and between half and all of that by a digest of key and count: notices
    that failed together do not come back together, and a replay waits the same.

    >>> pause_ns("k", 1, Patience()) == pause_ns("k", 1, Patience())
    True
    """
    doubled = patience.first_s * 2.0 ** min(failures - 1, 60)
    digest = hashlib.sha256(f"{key} {failures}".encode()).digest()
    share = 0.5 + int.from_bytes(digest[:4]) / 2**33
    return round(min(doubled, patience.longest_s) * share * NS_PER_S)


async def deliver_due(
    store: Store,
    channels: Mapping[str, Channel],
    now_ns: int,
    *,
    clock: Callable[[], int] | None = None,
    patience: Patience | None = None,
) -> Delivered:
    """What became of everything that is due, each tried until it waits for a later time.

    ``clock`` gives the time in nanoseconds after each try; without it all of it happens at
    ``now_ns``. Errors of the store are raised: what it did not take note of goes out again.
    """
    now = clock or (lambda: now_ns)
    patience = patience or Patience()
    places = asyncio.Semaphore(AT_ONCE)

    async def attempt(notice: Notice) -> Delivered:
        async with places:
            return await _attempt(store, channels, notice, now, patience)

    done, tries = Delivered(), 0
    notices = await asyncio.to_thread(store.due, now())
    while notices and tries < TRIES_PER_CALL:
        # All of them end before an error of one is raised: what went out is noted.
        ended = await asyncio.gather(*map(attempt, notices), return_exceptions=True)
        for one in ended:
            if isinstance(one, BaseException):
                raise one
            done += one
        tries += len(ended)
        notices = await asyncio.to_thread(store.due, now())
    return done


async def keep_delivering(
    store: Store,
    channels: Mapping[str, Channel],
    *,
    clock: Callable[[], int],
    sleep: Callable[[float], Awaitable[object]],
    told: Callable[[Delivered], object],
    every_s: float = 1.0,
    patience: Patience | None = None,
) -> None:
    """Delivers what is due every ``every_s`` until cancelled, and tells what each round did.

    A try that is cancelled on its way counts as not made; its notice goes out again.
    """
    while True:
        told(await deliver_due(store, channels, clock(), clock=clock, patience=patience))
        await sleep(every_s)


async def _attempt(
    store: Store,
    channels: Mapping[str, Channel],
    notice: Notice,
    now: Callable[[], int],
    patience: Patience,
) -> Delivered:
    channel = channels.get(notice.channel)
    outcome: Outcome
    if channel is None:
        known = ", ".join(sorted(channels)) or "none"
        outcome = Refused(f"no channel {notice.channel!r} is configured (configured: {known})")
    else:
        outcome = await channel.deliver(notice, now())
    first = notice.sent_ns is None
    now_ns = now()
    match outcome:
        case Sent(again_s):
            again_ns = None if again_s is None else now_ns + round(again_s * NS_PER_S)
            await asyncio.to_thread(store.delivered, notice.id, now_ns, again_ns)
            return Delivered(sent=1) if first else Delivered(repeated=1)
        case Later(error, after_s):
            tries = patience.tries
        case Refused(error):
            tries, after_s = 1, 0.0
        case _:
            assert_never(outcome)
    failures = notice.failures + 1
    # What was delivered once and must be said again is never given up: the receiver may only have
    # lost its memory, and silence would say that the harm is over.
    if first and failures >= tries:
        await asyncio.to_thread(store.failed, notice.id, error, None)
        return Delivered(given_up=1)
    pause = max(pause_ns(notice.key, failures, patience), round(after_s * NS_PER_S))
    await asyncio.to_thread(store.failed, notice.id, error, now_ns + pause)
    return Delivered(postponed=1)
