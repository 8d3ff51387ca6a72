"""One field of an event from a message: numbers, tables, defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from collector.mapping.terms import (
    Expression,
)
from tests.unit.mapped import ORDER, event, fault, mapping, take


@pytest.mark.parametrize(
    ("decimal", "text", "value"),
    [
        (".", "12.5", 12.5),
        (".", "1,234.5", 1234.5),
        (".", "12.50-", -12.5),
        (".", "1e3", 1000.0),
        (",", "12,5", 12.5),
        (",", "1.234,5", 1234.5),
        (",", "1.234", 1234.0),
        (",", "-7", -7.0),
    ],
)
def test_a_number_that_is_written_as_text_is_read(decimal: Any, text: str, value: float) -> None:
    made = mapping(fields={"value": take("menge", decimal=decimal)})
    assert event(made, {**ORDER, "menge": text})["value"] == value


@pytest.mark.parametrize(
    ("menge", "why"),
    [
        ("abc", "map.value: field menge: 'abc' is not a number"),
        ("12,5", "'12,5' is not a number; is `decimal: ','` meant?"),
        ("-1-", "'-1-' is not a number"),
        ("1" * 99, "is not a number"),
        (True, "a bool is not a number"),
        ([], "an array is not a number"),
        (1e300, "is beyond what a value may be"),
        ("1e999", "is beyond what a value may be"),
    ],
)
def test_what_is_no_number_is_refused_with_its_field_and_value(menge: object, why: str) -> None:
    assert why in fault(mapping(fields={"value": take("menge")}), {**ORDER, "menge": menge})


def test_a_number_is_scaled_without_error_for_thousandths_and_moved() -> None:
    made = mapping(fields={"value": take("ms", scale=0.001)})
    assert event(made, {**ORDER, "ms": 2123})["value"] == 2.123
    moved = mapping(fields={"value": take("ms", scale=2.0, offset=-4.0)})
    assert event(moved, {**ORDER, "ms": 3})["value"] == 2.0


def test_what_the_table_does_not_name_is_refused_or_becomes_the_other_value() -> None:
    table = (("10", "ok"), ("true", "ok"))
    strict = mapping(fields={"outcome": take("status", table=table)})
    loose = mapping(fields={"outcome": take("status", table=table, otherwise="failed")})
    said = {**ORDER, "status": 55}
    assert fault(strict, said) == "mapping: map.outcome: field status: 55 is not in the table"
    assert event(loose, said)["outcome"] == "failed"
    assert event(loose, {**ORDER, "status": True})["outcome"] == "ok"
    assert event(strict, {**ORDER, "status": "10"})["outcome"] == "ok"
    assert "outcome" not in event(strict, {**ORDER, "status": None})


def test_the_first_path_where_anything_stands_is_taken_and_else_the_default() -> None:
    made = mapping(fields={"subject": take("kunde", "auftrag.nummer", default="nobody")})
    assert event(made, ORDER)["subject"] == "A-7"
    assert event(made, {**ORDER, "kunde": "K1"})["subject"] == "K1"
    assert event(made, {"auftrag": {"erfasst": 1779357600000}})["subject"] == "nobody"


@pytest.mark.parametrize(
    ("fields", "said", "why"),
    [
        ({"subject": take("auftrag")}, ORDER, "map.subject: field auftrag: an object is no text"),
        ({"subject": take("x")}, {**ORDER, "x": "a\tb"}, "field x is 'a\\tb', with '\\t'"),
        ({"subject": take("x")}, {**ORDER, "x": "é" * 200}, "field x has over 256 bytes"),
        ({"type": take("x")}, ORDER, "map.type: nothing stands where it is taken from"),
        ({"track": take("art")}, ORDER, "field art: 'AUFTRAG' is neither canary nor baseline"),
        ({"synthetic": take("art")}, ORDER, "field art: 'AUFTRAG' is neither true nor false"),
        ({"time": take("x")}, {**ORDER, "x": "soon"}, "map.time: field x: 'soon' is not RFC 3339"),
    ],
)
def test_what_cannot_be_mapped_is_refused_with_the_part_of_the_mapping(
    fields: dict[str, Expression], said: object, why: str
) -> None:
    assert why in fault(mapping(fields=fields), said)
