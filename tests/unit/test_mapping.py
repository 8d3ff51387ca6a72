"""Foreign messages become lines of our events: rows, ids, markers, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzers.policy import Limits
from collector.decoding import refused
from collector.decoding.decode import decode
from collector.mapping.forms import mapped_form
from collector.mapping.terms import (
    ROWS,
    Condition,
    Constant,
    EventMapping,
    Expression,
    Joined,
    Mapped,
    MappingError,
    Path,
    path,
)
from tests.unit.mapped import ORDER, event, fault, fixed, formed, mapping, take


def test_an_order_of_an_erp_becomes_our_event() -> None:
    made = mapping(
        fields={
            "id": Expression(source=Joined((Constant("sub"), path("auftrag.nummer")))),
            "outcome": take("status", table=(("10", "ok"), ("90", "rejected"))),
            "value": take("betrag", scale=0.01),
            "version": take("$header.release"),
        },
        attributes=(("warehouse", take("werk", default="W1")), ("tenant", take("mandant"))),
    )
    assert event(made, ORDER, headers={"release": b"1.42.0"}) == {
        "id": "sub-A-7",
        "time": 1779357600123,
        "type": "order.submitted",
        "service": "erp",
        "version": "1.42.0",
        "outcome": "ok",
        "value": 12.5,
        "attributes": {"warehouse": "W1"},
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("positionen.1.sku", "X2"),
        ("positionen.-1.sku", "X2"),
        ("positionen.2.sku", None),
        ("positionen.sku", None),
        ("auftrag.nummer.x", None),
        ('"a.b".c', "dotted"),
        ('"$type"', "dollar"),
        ("$message.art", "AUFTRAG"),
        ("$topic", "eu.orders"),
        ("$partition", "3"),
        ("$offset", "1201"),
        ("$place", "eu.orders~9f/3@1201"),
        ("$timestamp", "1779357600000"),
        ("$index", "0"),
        ("$header.x.y-z", "head"),
        ("status", "10"),
        ("wahr", "true"),
        ("null", None),
        ("leer", None),
        ("ganz", "2"),
        ("halb", "2.5"),
    ],
)
def test_a_path_leads_to_what_stands_there(text: str, found: str | None) -> None:
    said = {
        **ORDER, "a.b": {"c": "dotted"}, "$type": "dollar",
        "wahr": True, "null": None, "leer": "", "ganz": 2.0, "halb": 2.5,
    }  # fmt: skip
    made = event(
        mapping(fields={"subject": take(text)}),
        said,
        place="eu.orders~9f/3@1201",
        headers={"x.y-z": b"head"},
        time_ms=1779357600000,
    )
    assert made.get("subject") == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "a path has 1 to 500 characters"),
        ("a..b", "names with dots between them"),
        ("a.", "names with dots between them"),
        ('a"b', "names with dots between them"),
        ("$header", "needs the name of a header"),
        ("$topic.x", "has nothing inside it"),
        ("$hader.x", r"\$hader is none of .*\$header"),
        (".".join("a" * 17), "at most 16 steps"),
    ],
)
def test_what_is_no_path_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(MappingError, match=why):
        path(text)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (Condition(path("art"), "in", ("AUFTRAG", "X")), True),
        (Condition(path("art"), "in", ("X",)), False),
        (Condition(path("status"), "in", ("10",)), True),
        (Condition(path("art"), "not_in", ("AUFTRAG",)), False),
        (Condition(path("fehlt"), "not_in", ("AUFTRAG",)), True),
        (Condition(path("auftrag"), "exists"), True),
        (Condition(path("fehlt"), "exists"), False),
        (Condition(path("fehlt"), "absent"), True),
        (Condition(path("auftrag.nummer"), "prefix", ("B-", "A-")), True),
        (Condition(path("auftrag.nummer"), "prefix", ("B-",)), False),
        (Condition(path("status"), "prefix", ("1",)), True),
        (Condition(path("fehlt"), "prefix", ("1",)), False),
    ],
)
def test_only_messages_that_are_wanted_become_events(condition: Condition, wanted: bool) -> None:
    both = (Condition(path("status"), "exists"), condition)
    for where in ((condition,), both):
        found = formed(mapping(where=where), ORDER)
        assert (len(found.lines), found.ignored) == ((1, "") if wanted else (0, "not_wanted"))


def test_a_tombstone_is_ignored() -> None:
    assert formed(mapping(), None).ignored == "tombstone"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"{", "not_json: "),
        (b"[]", "not_an_object: the payload is an array"),
        (b"\xff\xfe{\0", "encoding_invalid: "),
        (b"[" * 5_000, "not_json: nested too deeply"),
        (b'{"x":"' + b"y" * 3_000 + b'"}', "too_long: over 2048 bytes"),
    ],
)
def test_a_message_that_cannot_be_read_keeps_its_own_reason(payload: bytes, why: str) -> None:
    limits = Limits(line_bytes=8_192) if payload.startswith(b"[[") else Limits(line_bytes=2_048)
    assert fault(mapping(), payload, limits=limits).startswith(why)


def test_a_message_that_is_nearly_json_is_read() -> None:
    assert event(mapping(), b"\xef\xbb\xbf" + json.dumps({**ORDER, "x": float("nan")}).encode())


def test_a_refused_message_says_whose_it_is_and_keeps_its_bytes() -> None:
    made = mapping(fields={"version": take("v"), "value": take("art")})
    payload = json.dumps({**ORDER, "v": "1.2"}).encode()
    (line,) = formed(made, payload, limits=Limits(reject_payload_bytes=10)).lines
    batch = decode([line], attributes=frozenset(), limits=Limits())
    (reject,) = batch.rejects
    assert (reject.service, reject.version, reject.reason) == ("erp", "1.2", "mapping")
    assert reject.time_ns == 1779357600123000000
    assert reject.payload == payload[:10]


def test_each_element_of_a_list_is_an_event_with_an_id_of_its_own() -> None:
    made = mapping(
        each=path("positionen"),
        fields={"time": take("$message.auftrag.erfasst"), "subject": take("sku")},
    )
    lines = [json.loads(line) for line in formed(made, ORDER).lines]
    assert [(one["id"], one["subject"]) for one in lines] == [
        ("orders/3@1201#0", "X1"),
        ("orders/3@1201#1", "X2"),
    ]
    alone = formed(made, {**ORDER, "positionen": ORDER["positionen"][0]})
    assert [json.loads(line)["id"] for line in alone.lines] == ["orders/3@1201#0"]


def test_a_message_may_be_a_list_as_a_whole() -> None:
    made = mapping(each=path("$message"))
    assert len(formed(made, [ORDER, ORDER]).lines) == 2


@pytest.mark.parametrize(
    ("said", "ignored", "why"),
    [
        ([], "empty", ""),
        (None, "empty", ""),
        ("text", "", "mapping: erp: field positionen: a text is no list"),
        ([3], "", "not_an_object: map: a row is a number"),
        ([{}] * (ROWS + 1), "", f"{ROWS + 1} elements are over {ROWS}"),
    ],
)
def test_a_list_that_is_none_is_refused_and_an_empty_one_ignored(
    said: object, ignored: str, why: str
) -> None:
    made = mapping(each=path("positionen"))
    message = {**ORDER, "positionen": said}
    assert formed(made, message).ignored == ignored
    if why:
        assert why in fault(made, message)


def test_one_bad_element_does_not_cost_the_others() -> None:
    made = mapping(
        each=path("positionen"),
        fields={"time": take("$message.auftrag.erfasst"), "value": take("menge")},
    )
    said = {**ORDER, "positionen": [{"menge": 1}, {"menge": "x"}, {"menge": 2}]}
    assert [refused.read(line) is None for line in formed(made, said).lines] == [True, False, True]


def _two(*, every: bool, second_id: Any = "place") -> Mapped:
    big = mapping("big", fields={"type": fixed("order.big")},
                  where=(Condition(path("betrag"), "in", ("1250",)),))  # fmt: skip
    rest = mapping("rest", id_from=second_id)
    return Mapped((big, rest), every=every)


def test_the_first_mapping_that_wants_a_message_gets_it() -> None:
    assert event(_two(every=False), ORDER)["type"] == "order.big"
    assert event(_two(every=False), {**ORDER, "betrag": 1})["type"] == "order.submitted"


def test_with_every_each_mapping_gives_its_event_with_an_id_of_its_own() -> None:
    for _ in range(2):
        lines = [json.loads(line) for line in formed(_two(every=True), ORDER).lines]
        assert [(one["type"], one["id"]) for one in lines] == [
            ("order.big", "orders/3@1201:big"),
            ("order.submitted", "orders/3@1201:rest"),
        ]


def test_a_message_and_its_elements_are_rows_of_their_own() -> None:
    lines = mapping("lines", each=path("positionen"),
                    fields={"time": take("$message.auftrag.erfasst"),
                            "type": fixed("stock.reserved")})  # fmt: skip
    found = formed(Mapped((mapping("head"), lines)), ORDER).lines
    assert [json.loads(line)["type"] for line in found] == [
        "order.submitted", "stock.reserved", "stock.reserved",
    ]  # fmt: skip


def test_an_id_may_be_made_of_the_content() -> None:
    made = mapping(id_from="content")
    first = event(made, ORDER, place="orders/3@1")["id"]
    assert event(made, ORDER, place="orders/0@99")["id"] == first
    assert event(made, {**ORDER, "status": 11})["id"] != first


def test_a_place_that_is_no_id_is_shortened_to_one() -> None:
    for place in ("", "x" * 999, "/in/bestellungen-ä\n.ndjson@3", "\udcff@1"):
        assert len(event(mapping(), ORDER, place=place)["id"]) == 32


def test_a_mapping_may_give_a_marker() -> None:
    made = mapping(
        fields={
            "type": take("status", table=(("10", "deployment.started"), ("20", "order.seen"))),
            "version": fixed("1.2"),
            "deployment": take("auftrag.nummer"),
            "share": take("anteil", scale=0.01),
        },
        cohort=(("warehouse", path("werke")), ("branch", path("filiale"))),
    )
    (line,) = formed(made, {**ORDER, "anteil": 10, "werke": ["W1", "W2"]}).lines
    (marker,) = decode([line], attributes=frozenset(), limits=Limits()).markers
    assert (marker.deployment, marker.share, marker.version) == ("A-7", 0.1, "1.2")
    assert marker.cohort == {"warehouse": ("W1", "W2")}
    assert event(made, {**ORDER, "status": 20})["type"] == "order.seen"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"anteil": 500}, "map: share 5.0 is not between 0 and 1"),
        ({"werke": [{}]}, "map.cohort.warehouse: field werke holds what is no text"),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused(more: dict[str, Any], why: str) -> None:
    made = mapping(
        fields={
            "type": fixed("deployment.started"),
            "version": fixed("1"),
            "deployment": fixed("d"),
            "share": take("anteil", scale=0.01),
        },
        cohort=(("warehouse", path("werke")),),
    )
    assert why in fault(made, {**ORDER, **more})


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (EventMapping(name="m", fields=(("time", take("t")),)), "m needs time, type, service"),
        (mapping(fields={"nosuch": take("t")}), "fields that events have"),
        (mapping(id_from="field"), "must say what its id is made of"),
        (mapping(attributes=(("a\tb", take("t")),)), "is no name of an attribute"),
        (mapping(fields={"value": fixed("x")}), "'x' is no number for value"),
        (mapping(fields={"value": fixed(True)}), "is no number for value"),
        (mapping(fields={"synthetic": fixed("x")}), "'x' is neither true nor false"),
        (mapping(fields={"type": fixed("")}), "a text of type is empty"),
        (mapping(fields={"type": fixed("a\tb")}), "field type is 'a"),
        (mapping(fields={"track": fixed("x")}), "'x' is neither canary nor baseline"),
        (mapping(fields={"time": fixed("x")}), "'x' is not RFC 3339"),
        (mapping(fields={"time": take("x", zone="Europe/Berln")}), "is no time zone"),
        (mapping(fields={"value": take("x", scale=float("inf"))}), "are finite numbers"),
        (mapping(fields={"value": take()}), "needs at least one path"),
        (mapping(fields={"type": take("x", table=(("a", "b"),) * 5_001)}), "at most 5000 rows"),
        (mapping(where=(Condition(path("x"), "exists"),) * 33), "32 conditions"),
    ],
)
def test_a_mapping_that_could_never_work_is_refused(made: EventMapping, why: str) -> None:
    with pytest.raises(MappingError, match=why):
        mapped_form(Mapped((made,)), name="erp", limits=Limits())


def test_a_source_has_a_bounded_number_of_mappings() -> None:
    for count in (0, 101):
        with pytest.raises(MappingError, match="not 1 to 100"):
            mapped_form(Mapped((mapping(),) * count), name="erp", limits=Limits())


def test_an_event_longer_than_a_line_may_be_is_refused() -> None:
    limits = Limits(line_bytes=4_096)
    many = tuple((f"a{i}", take("x")) for i in range(32))
    said = {**ORDER, "x": "y" * 200}
    found = fault(mapping(attributes=many), said, limits=limits)
    assert found == "mapping: map: the event is over 4096 bytes"


def test_a_refused_line_stays_within_the_limit_of_lines() -> None:
    limits = Limits(line_bytes=1_024)
    wide = "é" * 120
    made = mapping(fields={"service": take("x"), "version": take("x"), "environment": take("x"),
                           "value": take("art")})  # fmt: skip
    (line,) = formed(made, {**ORDER, "x": wide}, limits=limits).lines
    assert len(line) <= 1_024
    assert refused.read(line) is not None


def test_every_path_of_a_mapping_is_known() -> None:
    made = mapping(
        fields={"id": Expression(source=Joined((Constant("a"), path("b.c"))))},
        cohort=(("w", path("d")),),
        where=(Condition(path("e"), "exists"),),
    )
    assert [one.text for one in made.paths()] == ["auftrag.erfasst", "b.c", "d", "e"]
    assert all(isinstance(one, Path) for one in made.paths())
