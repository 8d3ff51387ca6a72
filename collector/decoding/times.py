"""Event times as nanoseconds since 1970 UTC: from RFC 3339 text or integer epoch milliseconds.

A whole column of ordinary times is read with array arithmetic; what is odd in any way is read by
the one strict parser, which also says what is wrong. Nothing here reads a clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from analyzers.facts import NS_PER_S, Bools, Ints
from collector.decoding.faults import Fault, Reason, quote

FIRST_NS: Final = 946_684_800 * NS_PER_S  # 2000-01-01T00:00:00Z
END_NS: Final = 4_102_444_800 * NS_PER_S  # 2100-01-01T00:00:00Z, no longer valid
NS_PER_MS: Final = 1_000_000
FIRST_MS: Final = FIRST_NS // NS_PER_MS
END_MS: Final = END_NS // NS_PER_MS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)"
    r"(?:\.(?P<fraction>\d+))?(?P<zone>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_SECONDS_LENGTH: Final = len("2026-05-21T10:00:00")
_SEPARATORS: Final = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"))
# Without a fraction, or with a point and one to nine digits.
_BODY_LENGTHS: Final = frozenset(
    {_SECONDS_LENGTH, *range(_SECONDS_LENGTH + 2, _SECONDS_LENGTH + 11)}
)
_DIGITS: Final = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
# Days from 1970 to the first of each month. One year more on both sides than is valid, because an
# offset may move a time over the turn of a year.
_FIRST_YEAR: Final = 1999
_MONTH_DAYS: Final = np.arange("1999-01", "2101-02", dtype="M8[M]").astype("M8[D]").astype(np.int64)
_SHORTEST: Final = _SECONDS_LENGTH + len("Z")
_LONGEST: Final = _SECONDS_LENGTH + len(".123456789+02:00")


def parse(said: str | int) -> int | Fault:
    """One event time in nanoseconds, or what is wrong with it.

    >>> parse("1970-01-01T00:00:00Z").reason.value
    'time_out_of_range'
    >>> parse(1779357600123)
    1779357600123000000
    """
    time_ns = said * NS_PER_MS if isinstance(said, int) else _parse_text(said)
    if isinstance(time_ns, Fault) or FIRST_NS <= time_ns < END_NS:
        return time_ns
    return Fault(Reason.TIME_OUT_OF_RANGE, f"time {quote(said)} is not from 2000 to 2099")


def parse_column(said: Sequence[str | int]) -> tuple[Ints, Bools]:
    """Nanoseconds of n event times, and which of them ``parse`` has to look at one by one.

    Both arrays have shape (n,); where the mask is set the nanoseconds mean nothing.
    """
    kinds = set(map(type, said))
    if kinds <= {str}:
        return _parse_texts(cast(Sequence[str], said))
    if kinds <= {int}:
        return _parse_epochs(cast(Sequence[int], said))
    time_ns = np.zeros(len(said), np.int64)
    odd = np.ones(len(said), np.bool_)
    is_text = np.fromiter((isinstance(value, str) for value in said), np.bool_, len(said))
    texts = _parse_texts([value for value in said if isinstance(value, str)])
    epochs = _parse_epochs([value for value in said if isinstance(value, int)])
    time_ns[is_text], odd[is_text] = texts
    time_ns[~is_text], odd[~is_text] = epochs
    return time_ns, odd


def _parse_text(text: str) -> int | Fault:
    # A time is at most 35 characters; cutting keeps a hostile one out of the regular expression.
    match = _RFC_3339.fullmatch(text) if len(text) <= 99 else None
    if match is None:
        return Fault(Reason.TIME_INVALID, f"time {quote(text)} is not RFC 3339")
    fraction, zone = match.group("fraction", "zone")
    if zone is None:
        return Fault(Reason.TIME_WITHOUT_ZONE, f"time {quote(text)} names no zone")
    if fraction is not None and len(fraction) > 9:
        return Fault(Reason.TIME_INVALID, f"time {quote(text)} has over 9 fractional digits")
    try:
        year, month, day, hour, minute, second = map(int, match.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        offset_s = _offset_s(zone)
    except ValueError as error:  # such as day 31 of February, or a leap second
        return Fault(Reason.TIME_INVALID, f"time {quote(text)} does not exist ({error})")
    seconds = (moment - _EPOCH) // timedelta(seconds=1) - offset_s
    return seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))


def _offset_s(zone: str) -> int:
    if zone in {"Z", "z"}:
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError(f"offset {zone} is over 23:59")
    return (-1 if zone[0] == "-" else 1) * (hours * 3600 + minutes * 60)


def _parse_epochs(numbers: Sequence[int]) -> tuple[Ints, Bools]:
    # Python integers have no limit, an int64 has one: look before they go into the array.
    if numbers and not FIRST_MS <= min(numbers) <= max(numbers) < END_MS:
        numbers = [number if FIRST_MS <= number < END_MS else 0 for number in numbers]
    time_ms = np.array(numbers, np.int64)
    return time_ms * NS_PER_MS, time_ms < FIRST_MS


def _parse_texts(texts: Sequence[str]) -> tuple[Ints, Bools]:
    """As ``parse_column``, for texts."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    # "replace" keeps one byte for each character, so that lengths still count.
    letters = np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8)
    starts = np.cumsum(lengths) - lengths

    def block(rows: Ints, length: int) -> npt.NDArray[np.uint8]:
        if len(rows) == len(texts):
            return letters.reshape(-1, length)
        chosen: npt.NDArray[np.uint8] = letters[starts[rows, None] + np.arange(length)]
        return chosen

    return parse_letters(lengths, block)


def parse_letters(
    lengths: Ints, block: Callable[[Ints, int], npt.NDArray[np.uint8]]
) -> tuple[Ints, Bools]:
    """As ``parse_column``, for texts of ASCII: one pass of arithmetic for each length that occurs.

    ``block(rows, length)`` gives the letters of the texts ``rows``, all of them ``length`` long,
    with the shape (rows, length).
    """
    time_ns = np.zeros(len(lengths), np.int64)
    odd = np.ones(len(lengths), np.bool_)
    counts = np.bincount(np.minimum(lengths, _LONGEST + 1), minlength=_LONGEST + 2).tolist()
    for length in range(_SHORTEST, _LONGEST + 1):
        if not counts[length]:
            continue
        rows = np.flatnonzero(lengths == length)
        letters = np.ascontiguousarray(block(rows, length).T)
        zulu = letters[-1] == ord("Z")
        for chosen, zone_length in ((zulu, 1), (~zulu, len("+02:00"))):
            if chosen.all():
                time_ns[rows], odd[rows] = _parse_block(letters, zone_length)
            elif chosen.any():
                part = rows[chosen]
                time_ns[part], odd[part] = _parse_block(letters[:, chosen], zone_length)
    return time_ns, odd


def _parse_block(letters: npt.NDArray[np.uint8], zone_length: int) -> tuple[Ints, Bools]:
    """``letters`` (length, n): n texts of one length and kind of zone, a row for each place."""
    length, n = len(letters) - zone_length, letters.shape[1]
    if length not in _BODY_LENGTHS:
        return np.zeros(n, np.int64), np.ones(n, np.bool_)
    # What is no digit wraps around to more than 9; what is made of it means nothing, and is odd.
    digits = letters - np.uint8(ord("0"))
    places = [*_DIGITS, *range(_SECONDS_LENGTH + 1, length)]
    good = np.ones(n, np.bool_)
    for place, letter in _SEPARATORS:
        good &= letters[place] == ord(letter)
    if length > _SECONDS_LENGTH:
        good &= letters[_SECONDS_LENGTH] == ord(".")

    def two(place: int) -> npt.NDArray[np.int32]:
        return np.asarray(digits[place] * np.uint8(10) + digits[place + 1], np.int32)

    offset_s: npt.NDArray[np.int32] | int = 0
    if zone_length > 1:
        places += [length + 1, length + 2, length + 4, length + 5]
        west = letters[length] == ord("-")
        good &= (west | (letters[length] == ord("+"))) & (letters[length + 3] == ord(":"))
        good &= (two(length + 1) <= 23) & (two(length + 4) <= 59)
        offset_s = np.where(west, -60, 60) * (two(length + 1) * 60 + two(length + 4))
    good &= (digits[places] <= 9).all(axis=0)
    month, hour, minute, second = two(5), two(11), two(14), two(17)
    months = (two(0) * 100 + two(2) - _FIRST_YEAR) * 12 + month - 1
    good &= (month >= 1) & (month <= 12) & (months >= 0) & (months < len(_MONTH_DAYS) - 1)
    good &= (hour <= 23) & (minute <= 59) & (second <= 59)
    months = np.where(good, months, 0)
    days = _MONTH_DAYS[months] + two(8)
    good &= (days > _MONTH_DAYS[months]) & (days <= _MONTH_DAYS[months + 1])
    fraction = np.zeros(n, np.int32)
    for place in range(_SECONDS_LENGTH + 1, length):
        fraction = fraction * 10 + digits[place]
    time_ns = (days - 1) * (86_400 * NS_PER_S)
    time_ns += (hour * 3600 + minute * 60 + second - offset_s) * np.int64(NS_PER_S)
    time_ns += fraction * np.int64(10 ** (_SECONDS_LENGTH + 10 - max(length, _SECONDS_LENGTH + 1)))
    return time_ns, ~(good & (time_ns >= FIRST_NS) & (time_ns < END_NS))
