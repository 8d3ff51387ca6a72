"""Times as other systems write them, in nanoseconds since 1970 UTC.

Epochs of four precisions, ISO 8601, and local times with the zone that the mapping declares. A
local time that the clock shows twice, when summer time ends, is decided as the mapping says; one
that it never shows is refused, because it proves that the zone is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analyzers.facts import NS_PER_S
from collector.decoding.faults import Fault, quote
from collector.decoding.times import END_NS, FIRST_NS, parse
from collector.mapping.terms import Ambiguous, Expression, MappingError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"epoch_s": NS_PER_S, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
_SECOND: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_AFTER_THE_DAY: Final = frozenset("Tt ")
_NS_PER_MS: Final = 1_000_000
_LONGEST: Final = 40  # characters of a time, with all nine digits and a zone
# 20260521101500 and 20260521T101500, as in SAP and EDI; 21.05.2026 10:15:00 is day first
# wherever dates have dots. 05/21/2026 may be either, and is nowhere guessed.
_COMPACT: Final = re.compile(r"(\d{4})(\d\d)(\d\d)[T ]?(\d\d)(\d\d)(\d\d)?", re.ASCII)
_DOTTED: Final = re.compile(
    r"(\d\d?)\.(\d\d?)\.(\d{4})[T ](\d\d?):(\d\d)(?::(\d\d))?(?:[.,](\d{1,6}))?", re.ASCII
)
_DECIMAL: Final = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)

# Nanoseconds, or in words what is wrong; the time of the message (ms) decides in doubt.
ReadTime: TypeAlias = Callable[[Any, int | None], int | str]


def time_reader(expression: Expression) -> ReadTime:
    """The function that reads a time as the expression says; MappingError for an unknown zone."""
    zone = zone_of(expression.zone) if expression.zone else None
    unit = _UNITS.get(expression.format)
    local = _local(zone, expression.ambiguous)
    texts = expression.format in {"iso", "local"}

    def read(value: Any, near_ms: int | None) -> int | str:
        if type(value) is str and unit is None:
            return _text(value, near_ms, local)
        if texts or isinstance(value, bool) or not isinstance(value, str | int | float):
            return f"{quote(value)} is no time written as text"
        return _ranged(_number(value, unit or _NS_PER_MS))

    return read


def zone_of(name: str) -> tzinfo:
    """The time zone of a name such as Europe/Berlin; MappingError if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise MappingError(
            f"{quote(name)} is no time zone; write its place, such as Europe/Berlin"
        ) from error


def written(time_ns: int) -> int | str:
    """The time as our own events write it: milliseconds, or a text where those do not hold it.

    >>> written(1779357600123456789)
    '2026-05-21T10:00:00.123456789Z'
    """
    if time_ns % _NS_PER_MS == 0:
        return time_ns // _NS_PER_MS
    seconds, fraction = divmod(time_ns, NS_PER_S)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def _ranged(time_ns: int | str) -> int | str:
    if isinstance(time_ns, str) or FIRST_NS <= time_ns < END_NS:
        return time_ns
    return f"{quote(time_ns / NS_PER_S)} s after 1970 is not from 2000 to 2099"


def _number(value: str | float, unit: int) -> int | str:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            return f"{quote(value)} is no number of an epoch"
        whole, _, fraction = value.partition(".")
        return int(whole + fraction) * unit // int("1" + "0" * len(fraction))
    if not abs(value) < 1e20:  # also what is no number, and what no float holds
        return f"{quote(value)} is no number of an epoch"
    if isinstance(value, int):
        return value * unit
    # A float of today's seconds tells about a quarter of a microsecond; more would be invented.
    return round(value * (unit / 1_000)) * 1_000 if unit > 1_000 else round(value * unit)


def _text(text: str, near_ms: int | None, local: _Local) -> int | str:
    if text[10:11] not in _AFTER_THE_DAY or text[4] != "-" or len(text) > 26:
        return _rare(text.strip(), near_ms, local)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _rare(text.strip(), near_ms, local)
    if moment.tzinfo is None:
        return local(moment, text, near_ms)
    time_ns = (moment - _EPOCH) // _MICROSECOND * 1_000
    if FIRST_NS <= time_ns < END_NS and text[11:13] != "24":  # newer Pythons read an hour 24
        return time_ns
    return _rare(text, near_ms, local)


def _rare(text: str, near_ms: int | None, local: _Local) -> int | str:
    """Nanoseconds, and what ERP systems and EDI write; also what is wrong with the rest."""
    if len(text) > _LONGEST:
        return f"{quote(text)} is no time"
    parsed = parse(text.replace(",", "."))
    if not isinstance(parsed, Fault):
        return parsed
    if text[26:].isdigit() and text[19:20] in {
        ".",
        ",",
    }:  # a local time with up to nine digits, of which six are read
        return _text(text[:26], near_ms, local)
    match, fraction = _COMPACT.fullmatch(text), ""
    if match is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
    elif (match := _DOTTED.fullmatch(text)) is not None:
        day, month, year, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        fraction = match.group(7) or ""
    else:
        return _out_of(text)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        return f"{quote(text)} does not exist ({error})"
    micros = timedelta(microseconds=int(fraction.ljust(6, "0")))
    return local(moment.replace(tzinfo=None) + micros, text, near_ms)


def _out_of(text: str) -> str:
    fault = parse(text)
    return fault.what.removeprefix("time ") if isinstance(fault, Fault) else f"{quote(text)}"


_Local: TypeAlias = Callable[[datetime, str, int | None], int | str]


def _local(zone: tzinfo | None, ambiguous: Ambiguous) -> _Local:
    if zone is None:
        return lambda _, text, __: f"{quote(text)} names no zone; give `zone: Europe/Berlin`"

    @lru_cache(maxsize=4_096)
    def offsets(year: int, month: int, day: int, hour: int, quarter: int) -> tuple[int, int]:
        """Seconds from UTC in a quarter of an hour, read as its first and its second showing."""
        moment = datetime(year, month, day, hour, quarter * 15, tzinfo=zone)
        return _offset_s(moment), _offset_s(moment.replace(fold=1))

    def read(moment: datetime, text: str, near_ms: int | None) -> int | str:
        if not 1999 < moment.year < 2101:
            return f"{quote(text)} is not from 2000 to 2099"
        first, second = offsets(
            moment.year, moment.month, moment.day, moment.hour, moment.minute // 15
        )
        wall_ns = (moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND * 1_000
        if first == second:
            return _ranged(wall_ns - first * NS_PER_S)
        if first < second:
            return f"{quote(text)} does not exist in {zone}: is that the right zone?"
        early, late = wall_ns - first * NS_PER_S, wall_ns - second * NS_PER_S
        if ambiguous == "refuse":
            return f"{quote(text)} exists twice in {zone}"
        if ambiguous == "nearest" and near_ms is not None:
            near_ns = near_ms * _NS_PER_MS
            return _ranged(min(early, late, key=lambda time_ns: abs(time_ns - near_ns)))
        return _ranged(late if ambiguous == "later" else early)

    return read


def _offset_s(moment: datetime) -> int:
    offset = moment.utcoffset()
    return 0 if offset is None else offset // _SECOND
