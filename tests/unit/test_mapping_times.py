"""Times as other systems write them: epochs, ISO, local times with a declared zone."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.facts import NS_PER_S
from collector.decoding.times import parse
from collector.mapping.terms import Elapsed, Expression, MappingError, Taken, path
from collector.mapping.times import time_reader, written
from tests.unit.mapped import ORDER, event, fault, mapping, take


def read(value: object, near_ms: int | None = None, **more: Any) -> int | str:
    """What is read of a value."""
    return time_reader(Expression(source=Taken((path("t"),)), **more))(value, near_ms)


def moment(text: str) -> int:
    """Nanoseconds of a time that our own events may have."""
    found = parse(text)
    assert isinstance(found, int)
    return found


TEN = "2026-05-21T10:00:00Z"
BERLIN: dict[str, Any] = {"zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("value", "more"),
    [
        (TEN, {}),
        (" 2026-05-21T10:00:00Z ", {}),
        ("2026-05-21t10:00:00z", {}),
        ("2026-05-21T12:00:00+02:00", {}),
        ("2026-05-21 12:00:00+0200", {}),
        ("2026-05-21T10:00:00.000000000Z", {}),
        (1779357600000, {}),
        ("1779357600000", {"format": "epoch_ms"}),
        (1779357600, {"format": "epoch_s"}),
        ("1779357600.0", {"format": "epoch_s"}),
        (1779357600.0, {"format": "epoch_s"}),
        (1779357600000000, {"format": "epoch_us"}),
        (1779357600000000000, {"format": "epoch_ns"}),
        ("2026-05-21T12:00:00", BERLIN),
        ("2026-05-21 12:00", {"format": "local", **BERLIN}),
        ("2026-05-21T12:00:00.000000000", {"format": "local", **BERLIN}),
        ("20260521120000", {"format": "local", **BERLIN}),
        ("20260521 120000", {"format": "local", **BERLIN}),
        ("202605211200", {"format": "local", **BERLIN}),
        ("20260521T120000", {"format": "local", **BERLIN}),
        ("21.05.2026 12:00:00", {"format": "local", **BERLIN}),
        ("21.5.2026 12:00", {"format": "local", **BERLIN}),
        ("21.05.2026 12:00:00,000", {"format": "local", **BERLIN}),
        (TEN, {"format": "local", **BERLIN}),  # one that names its zone keeps it
    ],
)
def test_a_time_is_read_however_it_is_written(value: object, more: dict[str, Any]) -> None:
    assert read(value, **more) == moment(TEN)


@pytest.mark.parametrize(
    ("value", "more", "fraction_ns"),
    [
        ("2026-05-21T10:00:00.123456789Z", {}, 123456789),
        ("2026-05-21T10:00:00,5Z", {}, 500_000_000),
        ("2026-05-21T10:00:00.1234Z", {}, 123_400_000),
        (1779357600.123456, {"format": "epoch_s"}, 123_456_000),
        ("1779357600.123456789", {"format": "epoch_s"}, 123456789),
        (1779357600123.5, {"format": "epoch_ms"}, 123_500_000),
        (1779357600123456789, {"format": "epoch_ns"}, 123456789),
        ("2026-05-21T12:00:00.123456789", BERLIN, 123_456_000),
    ],
)
def test_fractions_of_a_second_are_kept(
    value: object, more: dict[str, Any], fraction_ns: int
) -> None:
    assert read(value, **more) == moment(TEN) + fraction_ns


@pytest.mark.parametrize(
    ("value", "more", "why"),
    [
        ("2026-05-21T10:00:00", {}, "names no zone"),
        ("2026-02-30T10:00:00", BERLIN, "is not RFC 3339|does not exist|names no zone"),
        ("30.02.2026 10:00", BERLIN, "does not exist"),
        ("05/21/2026 10:00", BERLIN, "is not RFC 3339"),
        ("2026-05-21", BERLIN, "is not RFC 3339"),
        ("2026-05-21T24:00:00Z", {}, "does not exist"),
        ("1999-05-21T10:00:00", BERLIN, "not from 2000 to 2099"),
        ("2150-05-21T10:00:00Z", {}, "not from 2000 to 2099"),
        (1779357600, {}, "not from 2000 to 2099"),
        (1779357600000, {"format": "epoch_s"}, "not from 2000 to 2099"),
        (10**300, {"format": "epoch_s"}, "is no number of an epoch"),
        (float("nan"), {"format": "epoch_s"}, "is no number of an epoch"),
        (float("inf"), {"format": "epoch_ms"}, "is no number of an epoch"),
        ("soon", {"format": "epoch_s"}, "is no number of an epoch"),
        ("9" * 5_000, {"format": "epoch_s"}, "is no number of an epoch"),
        (1779357600, {"format": "iso"}, "is no time written as text"),
        (True, {}, "is no time written as text"),
        ([], {}, "an array is no time"),
        ("x" * 5_000, BERLIN, "is no time"),
    ],
)
def test_what_is_no_time_says_why(value: object, more: dict[str, Any], why: str) -> None:
    found = read(value, **more)
    assert isinstance(found, str)
    assert any(part in found for part in why.split("|")), found


@pytest.mark.parametrize(
    ("ambiguous", "near", "utc"),
    [
        ("earlier", None, "2026-10-25T00:30:00Z"),
        ("later", None, "2026-10-25T01:30:00Z"),
        ("nearest", None, "2026-10-25T00:30:00Z"),
        ("nearest", "2026-10-25T00:31:00Z", "2026-10-25T00:30:00Z"),
        ("nearest", "2026-10-25T01:29:00Z", "2026-10-25T01:30:00Z"),
    ],
)
def test_an_hour_that_comes_twice_is_decided_as_the_mapping_says(
    ambiguous: str, near: str | None, utc: str
) -> None:
    near_ms = None if near is None else moment(near) // 1_000_000
    found = read("2026-10-25T02:30:00", near_ms, ambiguous=ambiguous, **BERLIN)
    assert found == moment(utc)


def test_an_hour_that_comes_twice_may_be_refused_and_one_that_never_comes_is() -> None:
    twice = read("2026-10-25T02:30:00", ambiguous="refuse", **BERLIN)
    assert twice == "'2026-10-25T02:30:00' exists twice in Europe/Berlin"
    never = read("2026-03-29T02:30:00", **BERLIN)
    assert never == (
        "'2026-03-29T02:30:00' does not exist in Europe/Berlin: is that the right zone?"
    )
    assert read("2026-03-29T03:00:00", **BERLIN) == moment("2026-03-29T01:00:00Z")


def test_a_zone_whose_clock_moves_by_half_an_hour_is_read_right() -> None:
    more: dict[str, Any] = {"zone": "Australia/Lord_Howe", "ambiguous": "later"}
    assert read("2026-04-05T01:45:00", **more) == moment("2026-04-04T15:15:00Z")
    assert read("2026-04-05T01:29:00", **more) == moment("2026-04-04T14:29:00Z")


def test_a_zone_that_is_none_is_refused() -> None:
    for name in ("Europe/Berln", "../etc/passwd", "\0", ""):
        if name:
            with pytest.raises(MappingError, match="is no time zone"):
                read("x", zone=name)


@pytest.mark.parametrize("fraction", [0, 1, 123456789, 999_000_000, 120_000])
def test_a_time_is_written_so_that_our_own_reader_gives_it_again(fraction: int) -> None:
    time_ns = 1779357600 * NS_PER_S + fraction
    assert parse(written(time_ns)) == time_ns


def test_the_seconds_between_two_times_are_a_value() -> None:
    begin = take("auftrag.erfasst")
    end = Expression(source=Taken((path("bestaetigt"),)), format="local", zone="Europe/Berlin")
    made = mapping(fields={"value": Expression(source=Elapsed(begin, end))})
    assert event(made, {**ORDER, "bestaetigt": "21.05.2026 12:01:30"})["value"] == 89.877
    assert "value" not in event(made, ORDER)
    assert "field bestaetigt: 'bald' is not RFC 3339" in fault(
        made, {**ORDER, "bestaetigt": "bald"}
    )
