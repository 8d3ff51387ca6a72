"""Mappings in a configuration: every key, and every slip with its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.mapping.terms import Condition, path
from collector.source import Message
from tests.unit.configured import fault, loaded

HEAD = "time: t, type: {constant: order.submitted}, service: {constant: erp}"
SAID: dict[str, Any] = {"t": 1779357600000, "a": "x", "n": "1.234,5", "begin": "10:00"}


def mapped(body: str, said: object = SAID, **more: Any) -> dict[str, Any]:
    """The event of a message by a mapping in flow style, without its fixed fields."""
    (source,) = loaded(f"sources: [{{files: f, map: {{{HEAD}, {body}}}}}]").sources
    assert source.reads.form is not None
    (line,) = source.reads.form(Message(json.dumps(said).encode(), "f@0", **more)).lines
    event: dict[str, Any] = json.loads(line)
    for name in ("time", "type", "service"):
        event.pop(name, None)
    if event.get("id") == "f@0":
        del event["id"]
    return event


def map_fault(body: str) -> str:
    """The only fault of a mapping, without its path and line."""
    told = fault(f"sources: [{{files: f, map: {{{HEAD}, {body}}}}}]")
    return told.removeprefix("sources[0].map").removesuffix(" (line 1)").lstrip(".: ")


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ("id: a", {"id": "x"}),
        ("id: place", {}),
        ("id: {from: a}", {"id": "x"}),
        ("id: {join: [a, {constant: 7}]}", {"id": "x-7"}),
        ("id: {join: [a, a], with: ''}", {"id": "xx"}),
        ("id: {join: [a, a], with: ' / '}", {"id": "x / x"}),
        ("subject: {from: [b, a]}", {"subject": "x"}),
        ("subject: {from: b, default: nobody}", {"subject": "nobody"}),
        ("outcome: {from: a, table: {x: ok}}", {"outcome": "ok"}),
        ("outcome: {from: a, table: {y: ok}, otherwise: failed}", {"outcome": "failed"}),
        ("value: {from: n, decimal: ','}", {"value": 1234.5}),
        ("value: {from: t, unit: ms}", {"value": 1779357600.0}),
        ("value: {from: t, scale: 0.001, offset: -1779357600}", {"value": 0.0}),
        ("value: {constant: 3}", {"value": 3.0}),
        ("value: {from: a, table: {x: 5}}", {"value": 5.0}),
        ("synthetic: {from: a, table: {x: true}}", {"synthetic": True}),
        ("synthetic: {constant: false}", {"synthetic": False}),
        ("track: {from: a, table: {x: canary}}", {"track": "canary"}),
        ("attributes: {warehouse: a, branch: }", {"attributes": {"warehouse": "x"}}),
    ],
)
def test_every_expression_gives_its_value(body: str, event: dict[str, Any]) -> None:
    assert mapped(body) == event


def test_an_id_may_be_made_of_the_content() -> None:
    assert len(mapped("id: content")["id"]) == 32


def test_times_and_what_lies_between_them_are_read_by_their_zone() -> None:
    said = {**SAID, "ein": "21.05.2026 10:00", "aus": {"tag": "20260521", "zeit": "100130"}}
    body = (
        "value: {seconds_between: [ein, {join: [aus.tag, aus.zeit], with: '', format: local, "
        "zone: Europe/Berlin}], format: local, zone: Europe/Berlin, ambiguous: later}"
    )
    assert mapped(body, said) == {"value": 90.0}


def test_conditions_are_values_lists_and_tests() -> None:
    (source,) = loaded(
        f"sources: [{{files: f, map: {{{HEAD}, where: {{a: x, b.c: [1, 2], d: {{not: y}}, "
        "e: {exists: true}, f: {exists: false}, g: {prefix: [A-, B-]}, h: {in: [z]}}}}]"
    ).sources
    assert source.mapped is not None
    assert source.mapped.mappings[0].where == (
        Condition(path("a"), "in", ("x",)),
        Condition(path("b.c"), "in", ("1", "2")),
        Condition(path("d"), "not_in", ("y",)),
        Condition(path("e"), "exists"),
        Condition(path("f"), "absent"),
        Condition(path("g"), "prefix", ("A-", "B-")),
        Condition(path("h"), "in", ("z",)),
    )


def test_several_mappings_are_named_by_their_places() -> None:
    (source,) = loaded(
        f"sources: [{{files: f, every: true, map: [{{{HEAD}}}, {{{HEAD}, name: mine, each: l}}]}}]"
    ).sources
    assert source.mapped is not None
    assert source.mapped.every
    assert [one.name for one in source.mapped.mappings] == ["map[0]", "mine"]
    assert source.mapped.mappings[1].each == path("l")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("x: a", "x: is no known key"),
        ("id: [a]", "id: is a list: of several paths the first"),
        ("id: {}", "id: needs one of `from`, `constant`, `join`, `seconds_between`"),
        ("id: {from: a, constant: b}", "id: needs one of"),
        ("id: a..b", "id: is no path: a path is names with dots between them"),
        ("id: $hader.x", "id: is no path: $hader is none of $message"),
        ("id: {from: a, unit: ms}", "id.unit: means nothing for a text"),
        ("id: {from: a, zone: UTC}", "id.zone: means nothing for a text"),
        ("value: {from: a, zone: UTC}", "value.zone: is for times"),
        ("value: {from: a, unit: ms, scale: 2}", "value.scale: says the same as unit"),
        ("value: {from: a, unit: week}", "value.unit: must be one of ns, us, ms"),
        ("value: {constant: x}", "value.constant: must be a number"),
        ("value: {constant: 1, default: 2}", "value.default: means nothing for a constant"),
        ("value: {seconds_between: [a]}", "value.seconds_between: must be a list of two times"),
        ("value: {from: a, otherwise: 2}", "value.otherwise: means nothing without table"),
        ("value: {from: a, with: x}", "value.with: means nothing without join"),
        ("value: {from: a, table: {x: y}}", "value.table.x: must be a number"),
        ("value: {from: a, table: [x]}", "value.table: must be a mapping"),
        ("value: {from: a, table: {}}", "value.table: has 0 rows"),
        ("track: {constant: green}", "track.constant: must be canary or baseline"),
        ("subject: {join: [{}]}", "subject.join[0]: must be a path or `{constant: ...}`"),
        ("subject: {join: a, with: 'xxxxxxxxxxxxxxxxxxxxx'}", "subject.with: must be a text"),
        ("synthetic: {constant: 1}", "synthetic.constant: must be true or false"),
        ("where: x", "where: must be a mapping of paths"),
        ("where: {a: {}}", "where.a: must be a value, a list of them"),
        ("where: {a: }", "where.a: must name a value; for what is absent"),
        ("where: {a..b: 1}", "where.'a..b': is no path"),
        ("where: {a: {not: }}", "where.a: must be a value, a list of them"),
        ("attributes: x", "attributes: must be a mapping"),
        ("attributes: {a: {unit: ms, from: b}}", "attributes.a.unit: means nothing for a text"),
        ("cohort: {a: b..c}", "cohort.a: is no path"),
        ("share: x", "share: belongs to markers"),
        ("each: ..", "each: is no path"),
        ("name: a/b", "name: must be a name of letters"),
        (f"version: {{constant: {'é' * 129}}}", "cannot work: field version has over 256 bytes"),
    ],
)  # fmt: skip
def test_every_slip_is_a_fault_with_its_path(body: str, told: str) -> None:
    assert map_fault(body).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{type: a, service: b}", "map.time: is missing: every event has time"),
        ("{time: t, type: order.confirmed, service: b}",
         "map.type: is read as a path: write {constant: order.confirmed} for the type itself"),
        ("{time: t, type: deployment.started, service: b}", "map.type: is read as a path"),
        ("{time: {from: t, zone: Europe/Berln}, type: a, service: b}",
         "map: cannot work: 'Europe/Berln' is no time zone"),
        ("{time: {from: t, format: local}, type: a, service: b}",
         "map.time.format: is local: say where"),
        ("{time: {from: t, table: {a: b}}, type: a, service: b}",
         "map.time.table: means nothing for a time"),
        ("{time: {constant: soon}, type: a, service: b}", "map: cannot work: 'soon' is not"),
        ("[]", "map: has 0 mappings: a source has 1 to 100"),
        ("x", "map: must be a mapping"),
        ("[{name: a, time: t, type: a, service: b}, {name: a, time: t, type: a, service: b}]",
         "map: gives two mappings the same name"),
    ],
)  # fmt: skip
def test_a_mapping_that_could_never_give_an_event_is_a_fault(text: str, told: str) -> None:
    assert fault(f"sources: [{{files: f, map: {text}}}]").startswith(f"sources[0].{told}")


def test_a_type_that_is_known_may_be_a_path_when_that_is_said() -> None:
    (source,) = loaded(
        "sources: [{files: f, map: {time: t, type: {from: order.submitted}, service: s}}]"
    ).sources
    assert source.mapped is not None
