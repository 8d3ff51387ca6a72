"""Any message and any valid mapping: never an error, always the same, always a usable line."""

from __future__ import annotations

import json
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.policy import Limits
from collector.decoding import refused
from collector.decoding.decode import decode
from collector.mapping.forms import mapped_form
from collector.mapping.terms import (
    FIELDS,
    Ambiguous,
    Condition,
    Constant,
    Elapsed,
    EventMapping,
    Expression,
    Joined,
    Kind,
    Mapped,
    Path,
    Taken,
    TimeFormat,
    path,
)
from collector.source import Message

NAMES = ["a", "b", "c", "0", "-1"]
LIMITS = Limits(line_bytes=4_096, reject_payload_bytes=512)

paths = st.one_of(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(".".join),
    st.sampled_from(
        ["$topic", "$partition", "$offset", "$place", "$timestamp", "$index",
         "$header.h", "$message", "$message.a"]
    ),
).map(path)  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(946_684_800_000, 4_102_444_800_000),
    st.floats(),
    st.text(max_size=300),
    st.sampled_from(["2026-05-21T10:00:00Z", "2026-10-25T02:30:00", "21.05.2026 10:00", "12,5",
                     "canary", "true", "deployment.started", "1e999", "ok"]),
)  # fmt: skip
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES), documents, max_size=5)
words = st.text(
    st.characters(min_codepoint=33, max_codepoint=1_000, categories=["L", "N", "P"]),
    min_size=1,
    max_size=40,
)


def constants(kind: Kind, name: str) -> st.SearchStrategy[Any]:
    """What may stand in a mapping for a field of a kind."""
    if name == "track":
        return st.sampled_from(["canary", "baseline"])
    return {
        Kind.TEXT: words,
        Kind.NUMBER: st.floats(-1e9, 1e9),
        Kind.FLAG: st.booleans(),
        Kind.TIME: st.sampled_from(["2026-05-21T10:00:00Z", 1779357600000]),
    }[kind]


names = words.filter(lambda word: len(word.encode()) <= 64)  # of attributes
takens = st.lists(paths, min_size=1, max_size=3).map(lambda found: Taken(tuple(found)))
joins = st.lists(st.one_of(paths, words.map(Constant)), min_size=1, max_size=3).map(
    lambda parts: Joined(tuple(parts))
)
formats: st.SearchStrategy[TimeFormat] = st.sampled_from(
    ["", "iso", "local", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"]
)
ambiguities: st.SearchStrategy[Ambiguous] = st.sampled_from(
    ["nearest", "earlier", "later", "refuse"]
)
decimals: st.SearchStrategy[Literal[".", ","]] = st.sampled_from([".", ","])
zones = st.sampled_from(["", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
instants = st.builds(Expression, source=st.one_of(takens, joins), format=formats, zone=zones)


@st.composite
def expressions(draw: st.DrawFn, name: str, kind: Kind) -> Expression:
    """Any expression that is valid for a field."""
    constant = constants(kind, name)
    sources: list[st.SearchStrategy[Any]] = [takens, joins, constant.map(Constant)]
    if kind is Kind.NUMBER:
        sources.append(st.builds(Elapsed, instants, instants))
    return Expression(
        source=draw(st.one_of(sources)),
        table=draw(st.lists(st.tuples(words, constant), max_size=2).map(tuple)),
        otherwise=draw(st.none() | constant),
        default=draw(st.none() | constant),
        scale=draw(st.sampled_from([1.0, 0.001, 0.01, 60.0, -1.0])),
        offset=draw(st.sampled_from([0.0, 1.0])),
        decimal=draw(decimals),
        format=draw(formats),
        zone=draw(zones),
        ambiguous=draw(ambiguities),
    )


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    """Any condition."""
    test: Any = draw(st.sampled_from(["in", "not_in", "exists", "absent", "prefix"]))
    return Condition(draw(paths), test, tuple(draw(st.lists(words, max_size=2))))


@st.composite
def mappings(draw: st.DrawFn) -> EventMapping:
    """Any mapping that is valid."""
    optional = draw(st.sets(st.sampled_from(sorted(FIELDS))))
    fields = sorted(optional | {"time", "type", "service"})
    each: Path | None = draw(st.none() | paths)
    id_from: Any = draw(st.sampled_from(["place", "content"]))
    return EventMapping(
        name=draw(st.sampled_from(["map", "map[1]"])),
        fields=tuple((name, draw(expressions(name, FIELDS[name]))) for name in fields),
        attributes=tuple(
            (name, draw(expressions("", Kind.TEXT))) for name in draw(st.sets(names, max_size=3))
        ),
        cohort=tuple((name, draw(paths)) for name in draw(st.sets(names, max_size=2))),
        where=tuple(draw(st.lists(conditions(), max_size=2))),
        each=each,
        id_from="field" if "id" in fields else id_from,
    )


mapped = st.builds(
    Mapped, st.lists(mappings(), min_size=1, max_size=2).map(tuple), every=st.booleans()
)
payloads = st.one_of(
    st.one_of(objects, objects, documents).map(lambda said: json.dumps(said).encode()),
    st.binary(max_size=200),
)
messages = st.builds(
    Message,
    payload=st.none() | payloads,
    place=st.sampled_from(["orders/3@1", "", "x" * 400, "/in/ä.ndjson@3"]),
    headers=st.dictionaries(st.sampled_from(["h", "i"]), st.binary(max_size=20)),
    time_ms=st.none() | st.integers(0, 2**50),
)


@settings(max_examples=150, deadline=None)
@given(mapped, messages)
def test_every_line_of_a_mapping_is_taken_by_decode_or_says_why_it_was_refused(
    said: Mapped, message: Message
) -> None:
    form = mapped_form(said, name="s", limits=LIMITS)
    formed = form(message)
    assert bool(formed.lines) != bool(formed.ignored)
    lines = list(formed.lines)
    batch = decode(lines, attributes=frozenset({"a"}), limits=LIMITS)
    refusals = [place for place, line in enumerate(lines) if refused.read(line) is not None]
    assert [reject.index for reject in batch.rejects] == refusals, batch.rejects
    assert all(len(line) <= LIMITS.line_bytes for line in lines)
    again = mapped_form(said, name="s", limits=LIMITS)
    assert again(message) == formed == form(message)
