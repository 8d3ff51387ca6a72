"""How far the stream has come, and what is impossibly far ahead of it.

The stream's time is judged against the stream itself, never against a clock of ours. A sender
whose clock is fast must not move it: what was said after the true time would then count as late.
So the stream moves on through events that lie near each other; a leap is believed once so many
events have made it, and more of them than of those that still came from before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from analyzers.facts import NS_PER_S, SLICE_NS, Facts, Ints, Reject
from analyzers.times import rfc3339

_HOUR_NS: Final = 3600 * NS_PER_S
# An event this far ahead of everything else has a broken clock: believing it would close every
# slice up to it. At a week a company's closed fortnight at Christmas would be cut off.
AHEAD_NS: Final = 30 * 24 * _HOUR_NS
# So many events must agree on when the stream is before it is believed: one sender with a broken
# clock may well be the first that sends.
AGREED: Final = 5
# Near is what lies within twenty of the stream's usual gaps: of independent events one gap in
# e^20 is longer. A single event moves the stream by that much at most, so it is kept to a slice
# where there are many; beyond half a day is another day.
_GAPS: Final = 20
_NEAR_NS: Final = (SLICE_NS, 12 * _HOUR_NS)
# A leap is believed once as many events have made it as the stream brings in six minutes.
_AGREED_PART: Final = 10
_AGREED_MOST: Final = 256
# Leaps are forgotten once so many times as many events have come from before them.
_CONTRADICTED: Final = 4
_LEAPT_KEPT: Final = 1_024
_LEAPS: Final = 64  # in one turn: each takes as long as sorting its events


class Pace(msgspec.Struct):
    """What is known of a stream's pace: events in its last hour that had any, and the times of
    events that leapt ahead, with how many came from before since the first of them."""

    hour: int = 0
    events: int = 0
    before: int = 0  # in the hour with events before that
    leapt: list[int] = msgspec.field(default_factory=list)
    behind: int = 0

    def count(self, times: Ints) -> None:
        """Takes events in, of which the stream has come past every one."""
        hours, counts = np.unique(times // _HOUR_NS, return_counts=True)
        for hour, events in zip(hours.tolist(), counts.tolist(), strict=True):
            if hour == self.hour:
                self.events += events
            elif hour > self.hour:
                self.hour, self.before, self.events = hour, self.events, events

    def near_ns(self, hourly: int) -> int:
        """How far ahead is near, in a stream of so many events an hour."""
        least, most = _NEAR_NS
        return most if not hourly else min(max(_GAPS * _HOUR_NS // hourly, least), most)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The facts that the stream takes; rejects for the others, which stand in ``rows`` (int64) of
    what was given. From ``start_ns`` the stream moves on through ``times``, in the order in which
    they arrived; ``end_ns`` is where it ends if every one of them is believed."""

    facts: Facts
    start_ns: int | None = None
    end_ns: int | None = None
    times: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    rejects: list[Reject] = field(default_factory=list)
    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))


def admit(facts: Facts, start_ns: int, also: Sequence[int] = ()) -> Admitted:
    """What of some facts is not impossibly far ahead of a stream that stands at ``start_ns``.

    The stream reaches through the facts (and ``also``, times of earlier ones) as long as no gap
    is longer than ``AHEAD_NS``.
    """
    times = np.concatenate([np.array(also, np.int64), facts.time_ns])
    end_ns = _through(start_ns, np.sort(times), AHEAD_NS)
    rows = np.flatnonzero(facts.time_ns > end_ns)
    return Admitted(
        facts=facts.take(facts.time_ns <= end_ns) if len(rows) else facts,
        start_ns=start_ns,
        end_ns=end_ns,
        times=times[times <= end_ns],
        rejects=[_ahead(facts, row, end_ns) for row in rows.tolist()],
        rows=rows,
    )


def advance(start_ns: int, times: Ints, pace: Pace) -> int:
    """How far a stream that stands at ``start_ns`` comes by events of ``times`` (n,), in the order
    in which they arrived; ``pace`` is moved on."""
    if not len(times):
        return start_ns
    hourly = max(pace.events, pace.before, _busiest(times))
    near_ns = pace.near_ns(hourly)
    agreed = min(max(hourly // _AGREED_PART, AGREED), _AGREED_MOST)
    # Events that leapt earlier are no stepping stones: many of them in a row would be a bridge.
    reached = _through(start_ns, np.sort(times), near_ns)
    leapt, behind = _ahead_of(reached + near_ns, times, pace)
    for _ in range(_LEAPS):
        if len(leapt) < agreed or len(leapt) <= behind:
            break
        reached = _through(int(leapt.min()), np.sort(leapt), near_ns)
        leapt, behind = _ahead_of(reached + near_ns, times, pace)
    if behind >= _CONTRADICTED * max(len(leapt), agreed):
        leapt, behind = leapt[:0], 0
    pace.leapt, pace.behind = leapt[-_LEAPT_KEPT:].tolist(), behind
    pace.count(times[times <= reached])
    return reached


def within_reach(rejects: Sequence[Reject], stream_ns: int | None) -> list[Reject]:
    """The rejects that are not impossibly far ahead of the stream: no slice of theirs would ever
    close."""
    last = None if stream_ns is None else stream_ns + AHEAD_NS
    return [r for r in rejects if last is None or r.time_ns is None or r.time_ns <= last]


def median(times: Sequence[int]) -> int:
    """The lower median of some times: where a stream begins that nobody knows yet."""
    return sorted(times)[(len(times) - 1) // 2]


def _through(start_ns: int, ordered: Ints, gap_ns: int) -> int:
    """The last of ascending times that is reached from ``start_ns`` without a longer gap."""
    later = np.concatenate([[start_ns], ordered[ordered > start_ns]])
    gaps = np.flatnonzero(np.diff(later) > gap_ns)
    return int(later[gaps[0]] if len(gaps) else later[-1])


def _ahead_of(limit_ns: int, times: Ints, pace: Pace) -> tuple[Ints, int]:
    """The times beyond a limit, in the order of arrival, and how many others have come since the
    first of them."""
    earlier = np.array([time for time in pace.leapt if time > limit_ns], np.int64)
    beyond = times > limit_ns
    leapt = np.concatenate([earlier, times[beyond]])
    if len(earlier):
        return leapt, pace.behind + int(np.count_nonzero(~beyond))
    first = int(np.argmax(beyond))  # 0 where there is none
    return leapt, int(np.count_nonzero(~beyond[first:])) if len(leapt) else 0


def _busiest(times: Ints) -> int:
    """The most events in any hour."""
    return int(np.unique(times // _HOUR_NS, return_counts=True)[1].max())


def _ahead(facts: Facts, row: int, last: int) -> Reject:
    time_ns = int(facts.time_ns[row])
    return Reject(
        index=-1,
        reason="time_ahead_of_stream",
        detail=f"{rfc3339(time_ns)} is more than 30 days ahead of the stream, which has come to "
        f"{rfc3339(last)}: mend the sender's clock and send it again",
        service=facts.service.words[facts.service.codes[row]],
    )
