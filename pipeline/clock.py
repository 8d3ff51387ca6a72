"""The only place that reads a clock: stream time for judging, wall time for labels.

Judgement knows event times only. What a clock may add is that time has passed since the stream
last moved, so that a stream that stops is seen to have stopped. The clock is never compared with
event times: a historic stream posted today is judged in its own time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from analyzers.facts import NS_PER_S


class StreamClock:
    """Stream time: the newest event time so far plus the time elapsed since it last advanced.

    A slow stream (events that move on by less than the clock does) pulls stream time back to its
    newest event each time it advances; the watermark made from it never goes back. At start-up
    ``anchor`` sets stream time to where the state stands: while the process was down nothing could
    arrive, so its absence is no evidence. ``monotonic`` gives nanoseconds and is a parameter so
    that a test can let hours pass.
    """

    __slots__ = ("_advanced_ns", "_arrived_ns", "_monotonic", "_newest_ns")

    def __init__(self, *, monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic = monotonic
        self._newest_ns: int | None = None
        self._advanced_ns = 0
        self._arrived_ns: int | None = None

    def anchor(self, stream_ns: int | None) -> None:
        """Starts stream time at ``stream_ns``, from this moment on."""
        self._newest_ns = stream_ns
        self._advanced_ns = self._monotonic()
        self._arrived_ns = None if stream_ns is None else self._advanced_ns

    def observe(self, newest_ns: int) -> None:
        """Notes that events have arrived, the newest of them of time ``newest_ns``."""
        now = self._monotonic()
        self._arrived_ns = now
        if self._newest_ns is None or newest_ns > self._newest_ns:
            self._newest_ns = newest_ns
            self._advanced_ns = now

    def now_ns(self) -> int | None:
        """Stream time now; None before the first event."""
        if self._newest_ns is None:
            return None
        return self._newest_ns + self._monotonic() - self._advanced_ns

    def quiet_s(self) -> float | None:
        """Seconds since an event last arrived (or since start-up); None before the first."""
        if self._arrived_ns is None:
            return None
        return (self._monotonic() - self._arrived_ns) / NS_PER_S


def monotonic_s() -> float:
    """Seconds of a clock that only moves on: for durations, never for dates."""
    return time.monotonic()


def wall_time() -> datetime:
    """The date and time now, UTC: for a marker's time and for file names, never for judging."""
    return datetime.now(tz=UTC)


def wall_ns() -> int:
    """The date and time now in nanoseconds since 1970 UTC: for when a notice is due."""
    return time.time_ns()


def sleep(seconds: float) -> None:
    """Lets some seconds pass; for commands that ask again, never for the daemon's own loop."""
    time.sleep(seconds)
