"""What is impossibly far ahead of the stream: events of a sender whose clock is broken.

The stream's time is judged against the stream itself, never against a clock of ours.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.facts import NS_PER_S, Facts, Reject
from analyzers.times import rfc3339

# An event this far ahead of everything else has a broken clock: believing it would close every
# slice up to it. At a week a company's closed fortnight at Christmas would be cut off.
AHEAD_NS: Final = 30 * 24 * 3600 * NS_PER_S


def refuse_ahead(facts: Facts, frontier: int | None) -> tuple[Facts, list[Reject]]:
    """The facts that are not impossibly far ahead of the stream, and rejects for the others.

    The stream advances through a batch as long as no gap is longer than ``AHEAD_NS``; without a
    stream yet it begins at the batch's median.
    """
    if not len(facts):
        return facts, []
    times = np.sort(facts.time_ns)
    start = int(times[(len(times) - 1) // 2]) if frontier is None else frontier
    later = np.concatenate([[start], times[times > start]])
    gaps = np.flatnonzero(np.diff(later) > AHEAD_NS)
    if not len(gaps):
        return facts, []
    last = int(later[gaps[0]])
    rows = np.flatnonzero(facts.time_ns > last)
    return facts.take(facts.time_ns <= last), [_ahead(facts, row, last) for row in rows.tolist()]


def _ahead(facts: Facts, row: int, last: int) -> Reject:
    time_ns = int(facts.time_ns[row])
    return Reject(
        index=-1,
        reason="time_ahead_of_stream",
        detail=f"{rfc3339(time_ns)} is more than 30 days ahead of the stream, which has come to "
        f"{rfc3339(last)}: mend the sender's clock and send it again under another id",
        service=facts.service.words[facts.service.codes[row]],
    )
