"""Event times in the forms that others read: RFC 3339 text and epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from analyzers.facts import NS_PER_S

NS_PER_MS = 1_000_000


def rfc3339(time_ns: int) -> str:
    """A time as RFC 3339 in UTC with milliseconds, rounded down.

    >>> rfc3339(1_779_357_600_123_456_789)
    '2026-05-21T10:00:00.123Z'
    """
    seconds, rest = divmod(time_ns, NS_PER_S)
    text = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest // NS_PER_MS:03d}Z"


def epoch_ms(time_ns: int) -> int:
    """A time as whole milliseconds since 1970 UTC, rounded down."""
    return time_ns // NS_PER_MS


def epoch_ns(text: str) -> int:
    """A time that ``rfc3339`` wrote, as nanoseconds since 1970.

    >>> epoch_ns('2026-05-21T10:00:00.123Z')
    1779357600123000000
    """
    moment = datetime.fromisoformat(text)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * NS_PER_S + moment.microsecond * 1000
