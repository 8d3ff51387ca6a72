"""What is fuzzed: functions of bytes that may raise nothing but what they document.

Each target takes any bytes, gives them to the product as an attacker would, and asserts what must
hold of the answer. An error that the product documents is an answer; any other is a finding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Final
from unittest.mock import patch

import numpy as np
from kafka.record.default_records import DefaultRecordBatch

from analyzers.facts import Batch, Column, Facts
from analyzers.policy import Limits
from collector.decoding import decode as decoding
from collector.decoding import fitting, refused, scan
from collector.decoding.decode import decode
from collector.files.place import read_place
from collector.files.recorded import FilesError
from collector.files.recorded import read as read_files
from collector.foreign import cloudevents, posted
from collector.kafka import blocks as kafka_blocks
from collector.kafka.blocks import Appetite
from collector.kafka.codecs import BrokenError, TooLargeError
from collector.mapping.forms import mapped_form
from collector.mapping.terms import (
    Condition,
    Constant,
    EventMapping,
    Expression,
    Joined,
    Mapped,
    Taken,
    path,
)
from collector.novelty.novel import Seen, SeenDamagedError
from collector.otlp.forms import otlp_form
from collector.otlp.rules import Encoding, LogRule, MetricRule, Names, OtlpRules, Signal, SpanRule
from collector.posted.bodies import BodyError, Shape, Unpacker, split
from collector.source import Form, Message
from pipeline import kept
from pipeline.config import ConfigError, parse
from pipeline.intake_log import IntakeLogError, decode_turn, encode_turn
from pipeline.kept import KeptError
from tests.fuzz.seeds import seeds

Target = Callable[[bytes], None]

LIMITS: Final = Limits(line_bytes=4_000, body_bytes=40_000, reject_payload_bytes=300)
ASKED: Final = frozenset({"region", "warehouse"})
_CELLS: Final = seeds("cells")[0]
_IDENTITIES: Final = seeds("seen")[0]
_PLACE: Final = "orders/3@1201"


def one_of_each(payloads: Sequence[bytes], batch: Batch) -> None:
    """Every payload must be exactly one fact, marker, reject or ignored."""
    found = len(batch.facts) + len(batch.markers) + len(batch.rejects) + len(batch.ignored)
    assert found == len(payloads)
    places = [*batch.rows.tolist(), *(reject.index for reject in batch.rejects)]
    places += [one.index for one in batch.ignored]
    assert len(set(places)) == len(places)
    assert all(len(reject.payload) <= LIMITS.reject_payload_bytes for reject in batch.rejects)


def judged(payloads: Sequence[bytes]) -> Batch:
    """What ``decode`` makes of payloads, of which each must be exactly one thing."""
    batch = decode(payloads, attributes=ASKED, limits=LIMITS)
    one_of_each(payloads, batch)
    return batch


def equal(one: Facts, other: Facts) -> None:
    """Both must say the same, word for word."""
    for field in fields(Facts):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, Column):
            assert mine.strings() == theirs.strings(), field.name
        elif field.name == "attributes":
            assert set(mine) == set(theirs)
            assert all(mine[name].strings() == theirs[name].strings() for name in mine)
        else:
            assert np.array_equal(mine, theirs, equal_nan=field.name == "value"), field.name


def _decode(data: bytes) -> None:
    payloads = data.split(b"\n")[:20]
    whole = judged(payloads)
    alone = [judged([payload]) for payload in payloads]
    assert whole.markers == tuple(marker for batch in alone for marker in batch.markers)
    assert [reject.key for reject in whole.rejects] == [
        reject.key for batch in alone for reject in batch.rejects
    ]
    assert whole.facts.content.tolist() == [c for b in alone for c in b.facts.content.tolist()]


def _scan(data: bytes) -> None:
    """Many payloads of one shape, some with a few bytes changed: read side by side they must say
    what each says by itself. The first line is the shape, the rest says which bytes change."""
    shape, _, edits = data.partition(b"\n")
    payloads = [shape] * 8
    for at in range(0, min(len(edits), 160) - 3, 4):
        place = int.from_bytes(edits[at : at + 2]) % (len(shape) + 1)
        length = edits[at + 2] % 4
        changed = shape[:place] + edits[at + 3 : at + 3 + length] + shape[place + 1 :]
        payloads.append(changed.replace(b"\n", b" "))
    payloads += [shape] * max(0, 16 - len(payloads))
    slow = judged(payloads)  # so few are read one by one
    with ExitStack() as stack:
        for module in (decoding, scan, fitting):
            for name, value in list(vars(module).items()):
                if "ROWS" in name and name.endswith("MIN") and isinstance(value, int):
                    stack.enter_context(patch.object(module, name, 4))
        fast = judged(payloads)
    equal(fast.facts, slow.facts)
    assert fast.rows.tolist() == slow.rows.tolist()
    assert fast.rejects == slow.rejects
    assert fast.markers == slow.markers
    assert fast.ignored == slow.ignored


def _bodies(data: bytes) -> None:
    gzip, shape = bool(data[:1] and data[0] & 1), list(Shape)[data[0] >> 1 & 1 if data else 0]
    unpacker = Unpacker(limit=LIMITS.body_bytes, gzip=gzip)
    try:
        for begin in range(1, len(data), 97):
            unpacker.feed(data[begin : begin + 97])
            assert unpacker.size <= LIMITS.body_bytes
        body = unpacker.finish()
        payloads = split(body, shape=shape, line_bytes=LIMITS.line_bytes, most=500)
    except BodyError:
        return
    assert len(payloads) <= 500
    assert all(0 < len(payload) <= LIMITS.line_bytes + 1 for payload in payloads)
    assert not any(b"\n" in payload for payload in payloads)
    judged(payloads)


def _foreign(data: bytes) -> None:
    judged([posted.line(data, line_bytes=LIMITS.line_bytes)])
    judged([data])
    form = posted.form_payload(data)
    if form is not None:
        assert b"\n" not in form
        judged([posted.line(form, line_bytes=LIMITS.line_bytes)])


def _cloudevent(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    headers = dict(
        (line.decode("latin-1").partition(":")[0::2]) for line in head.split(b"\n")[:20] if line
    )
    kind = headers.pop("content-type", "application/json")
    line = cloudevents.binary_cloudevent(headers, kind, body)
    assert b"\n" not in line
    judged([line])


def _form_of(form: Form) -> Target:
    def target(data: bytes) -> None:
        formed = form(Message(data, _PLACE, {"tenant": data[:20]}, 1_779_364_800_000))
        again = form(Message(data, _PLACE, {"tenant": data[:20]}, 1_779_364_800_000))
        assert list(formed.lines) == list(again.lines)
        assert all(b"\n" not in line for line in formed.lines)
        judged(list(formed.lines))

    return target


def _take(*texts: str, **more: object) -> Expression:
    return Expression(source=Taken(tuple(path(text) for text in texts)), **more)  # type: ignore[arg-type]


def _erp() -> Form:
    """A mapping that uses every kind of expression, of an order and of its lines."""
    order = EventMapping(
        name="order",
        id_from="content",
        fields=(
            ("time", _take("at", "head.at", format="local", zone="Europe/Berlin")),
            ("type", Expression(source=Constant("order.submitted"))),
            ("service", _take("head.system", "$topic", default="erp")),
            ("value", _take("head.amount", scale=0.01, decimal=",")),
            ("outcome", _take("status", table=(("10", "ok"), ("90", "price")), otherwise="other")),
            ("subject", Expression(source=Joined((path("head.client"), path("$header.tenant"))))),
            ("synthetic", _take("test", default=False)),
        ),
        attributes=(("region", _take("head.region")), ("warehouse", _take("wh.0", default="W1"))),
        where=(Condition(path("kind"), "in", ("order", "1")), Condition(path("void"), "absent")),
    )
    line = EventMapping(
        name="line",
        each=path("lines"),
        fields=(
            ("time", _take("$message.at", "$timestamp", format="iso")),
            ("type", _take("type", default="order.line")),
            ("service", Expression(source=Constant("erp"))),
            ("value", _take("qty", "$index")),
        ),
    )
    return mapped_form(Mapped((order, line), every=True), name="erp", limits=LIMITS)


def _otlp() -> dict[str, Target]:
    names = Names(value="order.total")
    rules = OtlpRules(
        logs=(LogRule("order.submitted", "order.placed", names=names),),
        spans=(SpanRule("api.called", "POST /orders"), SpanRule("any.span")),
        metrics=(MetricRule("queue.sampled", "queue.size"), MetricRule("o", "n", counted=True)),
    )
    return {
        f"otlp_{signal.value}_{encoding.value}": _form_of(
            otlp_form(signal, encoding, rules=rules, limits=LIMITS)
        )
        for signal in Signal
        for encoding in Encoding
    }


def _files(data: bytes) -> None:
    suffix = (".ndjson", ".parquet")[data[0] & 1] if data else ".ndjson"
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data[1:])
        file.flush()
        try:
            for chunk in read_files([Path(file.name)], limits=LIMITS):
                assert len(chunk.rejects) == len(chunk.faults)
                judged(chunk.payloads)
                for fault, told in zip(chunk.faults, chunk.rejects, strict=True):
                    line = refused.line(fault, told.payload, most=300)
                    assert judged([line]).rejects[0].reason == told.reason
        except FilesError:
            return


def _kafka(data: bytes) -> None:
    if len(data) <= DefaultRecordBatch.HEADER_STRUCT.size:
        return
    batch = DefaultRecordBatch(data)
    appetite = Appetite(messages=100, size=100_000, batch_bytes=100_000, times=True)
    try:
        block = kafka_blocks._walked(batch, batch.base_offset, batch.base_offset + 9, appetite)
    except (BrokenError, TooLargeError):
        return
    assert len(block.values) == len(block.offsets) == len(block.times_ms)
    assert set(block.headers) <= set(range(len(block.values)))
    judged([value for value in block.values if value is not None][:100])


def edited(sound: bytes, edits: bytes) -> bytes:
    """Sound bytes with single ones of them changed: random ones seldom get past a length."""
    found = bytearray(sound)
    for at in range(0, len(edits) - 2, 3):
        found[int.from_bytes(edits[at : at + 2]) % len(found)] = edits[at + 2]
    return bytes(found)


def _cells(data: bytes) -> None:
    try:
        cells, waiting = kept.decode(edited(_CELLS, data[1:]) if data[:1] == b"\xff" else data)
    except KeptError:
        return
    assert len(cells) >= 0
    assert len(waiting) >= 0


def _seen(data: bytes) -> None:
    seen = Seen()
    if data[:1] == b"\xff":
        data = edited(_IDENTITIES, data[1:])
    try:
        seen.load([data])
    except SeenDamagedError:
        return
    assert len(seen) <= len(data) // 16  # no bytes, no identities
    assert seen.floor_ns >= 0


def _log(data: bytes) -> None:
    try:
        turn = decode_turn(data)
    except IntakeLogError:
        turn = None  # refused by name, and nothing else
    if turn is not None:
        assert decode_turn(encode_turn(turn)) == turn
    place = read_place(data.decode("latin-1"))
    assert place is None or read_place(place.text()) == place


def _config(data: bytes) -> None:
    with suppress(ConfigError):
        parse(data, {"HOME": "x"})


TARGETS: Final = MappingProxyType(
    {
        "decode": _decode,
        "scan": _scan,
        "bodies": _bodies,
        "foreign": _foreign,
        "cloudevent": _cloudevent,
        "mapping": _form_of(_erp()),
        **_otlp(),
        "files": _files,
        "kafka": _kafka,
        "cells": _cells,
        "seen": _seen,
        "log": _log,
        "config": _config,
    }
)
_WORDS: Final = r"""
id time type service environment version track outcome value subject ref
synthetic attributes deployment replaces strategy share cohort owner runbook
canary baseline ring blue_green rolling flag ok failed production
deployment.started deployment.shifted deployment.finished
deployment.rolled_back specversion datacontenttype data data_base64 source
subject context content customData application/json 2026-05-21T10:00:00Z
object_kind status status_changed_at deployment_id deployment_status state
repository created_at sha task creator description ref_type payload
resourceLogs scopeLogs logRecords timeUnixNano eventName body stringValue
resourceSpans scopeSpans spans endTimeUnixNano traceId spanId name
resourceMetrics scopeMetrics metrics gauge sum histogram dataPoints
asDouble asInt intValue doubleValue isMonotonic aggregationTemporality
plimsoll.turn plimsoll.refused plimsoll.ignored sequence payloads clock_ns
metrics: services: kind: margin: criticality: segments: limits: sources:
null true false NaN 1e400 -0 \ud800 \u0000
"""
WORDS: Final = tuple(sorted(set(_WORDS.split())))
