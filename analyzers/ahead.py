"""What is impossibly far ahead of the stream: events of a sender whose clock is broken.

The stream's time is judged against the stream itself, never against a clock of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.facts import NS_PER_S, Facts, Reject
from analyzers.times import rfc3339

# An event this far ahead of everything else has a broken clock: believing it would close every
# slice up to it. At a week a company's closed fortnight at Christmas would be cut off.
AHEAD_NS: Final = 30 * 24 * 3600 * NS_PER_S


# So many events must agree on when the stream is before it is believed: one sender with a broken
# clock may well be the first that sends.
AGREED: Final = 5


@dataclass(frozen=True, slots=True)
class Admitted:
    """The facts that the stream takes, rejects for the others, and how far it comes with them."""

    facts: Facts
    rejects: list[Reject]
    reached_ns: int | None


def admit(facts: Facts, start_ns: int, also: Sequence[int] = ()) -> Admitted:
    """What of some facts is not impossibly far ahead of a stream that stands at ``start_ns``.

    The stream advances through the facts (and ``also``, times of earlier ones) as long as no gap
    is longer than ``AHEAD_NS``.
    """
    times = np.sort(np.concatenate([facts.time_ns, np.array(also, np.int64)]))
    later = np.concatenate([[start_ns], times[times > start_ns]])
    gaps = np.flatnonzero(np.diff(later) > AHEAD_NS)
    last = int(later[gaps[0]] if len(gaps) else later[-1])
    rows = np.flatnonzero(facts.time_ns > last)
    rejects = [_ahead(facts, row, last) for row in rows.tolist()]
    return Admitted(facts.take(facts.time_ns <= last) if rejects else facts, rejects, last)


def within_reach(rejects: Sequence[Reject], stream_ns: int | None) -> list[Reject]:
    """The rejects that are not impossibly far ahead of the stream: no slice of theirs would ever
    close."""
    last = None if stream_ns is None else stream_ns + AHEAD_NS
    return [r for r in rejects if last is None or r.time_ns is None or r.time_ns <= last]


def median(times: Sequence[int]) -> int:
    """The lower median of some times: where a stream begins that nobody knows yet."""
    return sorted(times)[(len(times) - 1) // 2]


def _ahead(facts: Facts, row: int, last: int) -> Reject:
    time_ns = int(facts.time_ns[row])
    return Reject(
        index=-1,
        reason="time_ahead_of_stream",
        detail=f"{rfc3339(time_ns)} is more than 30 days ahead of the stream, which has come to "
        f"{rfc3339(last)}: mend the sender's clock and send it again under another id",
        service=facts.service.words[facts.service.codes[row]],
    )
