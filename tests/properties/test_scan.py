"""Reading a batch side by side against reading its payloads one by one: the same, bit for bit.

``PLIMSOLL_MUTANTS=1000000 pytest tests/properties/test_scan.py`` tries so many mutated payloads.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.facts import Batch, Column
from analyzers.policy import Limits
from collector.decoding import decode as decoding
from collector.decoding import fitting, numbers, scan, shapes
from collector.decoding.decode import decode
from tests.payloads import event, marker

MUTANTS = int(os.environ.get("PLIMSOLL_MUTANTS", "20000"))
ASKED = frozenset({"region", "warehouse", "a"})
LIMITS = Limits()
# What a hostile or a careless sender would put into a payload.
PIECES = [
    *(b'"', b"\\", b"\\u00e9", b"\\n", b"{", b"}", b"[", b"]", b":", b",", b" ", b"\n", b"\0"),
    *(b"null", b"true", b"false", b"NaN", b"-", b"0", b"00", b"1", b".", b"1.5", b"1e5", b"1E400"),
    *("é".encode(), "\u0085".encode(), b"\x7f", b"\xff", b"\xef\xbb\xbf", b'"id":"x",', b"{}"),
    *(b'"value":1,', b'"time":5,', b'"attributes":{},', b'"synthetic":true,', b'"track":"canary",'),
    *(b"x" * 70, b"x" * 300, b"9" * 16, b"9" * 30, b"deployment.", b'"x":{"y":[1,{"z":"w"}]},')
]  # fmt: skip


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes are learnt from a single payload, and batches of one are read side by side."""
    monkeypatch.setattr(decoding, "ROWS_MIN", 1)
    monkeypatch.setattr(fitting, "ROWS_OF_SHAPE_MIN", 1)
    monkeypatch.setattr(fitting, "ROWS_TO_FIX_MIN", 2)
    monkeypatch.setattr(scan, "_memory", scan._Memory())


def one_by_one(payloads: list[bytes]) -> Batch:
    return decoding._each(payloads, ASKED, LIMITS)


def same_column(one: Column, other: Column) -> bool:
    return one.words == other.words and one.codes.tolist() == other.codes.tolist()


def differences(payloads: list[bytes]) -> list[str]:
    """The names of what comes out otherwise."""
    found = decode(payloads, attributes=ASKED, limits=LIMITS)
    expected = one_by_one(payloads)
    facts, right = found.facts, expected.facts
    different = [
        name
        for name in ("markers", "rejects", "ignored")
        if getattr(found, name) != getattr(expected, name)
    ]
    if found.rows.tolist() != expected.rows.tolist():
        different.append("rows")
    for name in ("time_ns", "value", "key", "content", "ref", "subject", "synthetic"):
        one, other = getattr(facts, name), getattr(right, name)
        if (one.dtype, one.shape, one.tobytes()) != (other.dtype, other.shape, other.tobytes()):
            different.append(name)
    different += [
        name
        for name in ("environment", "service", "version", "track", "type", "outcome")
        if not same_column(getattr(facts, name), getattr(right, name))
    ]
    if list(facts.attributes) != list(right.attributes) or not all(
        same_column(column, right.attributes[name]) for name, column in facts.attributes.items()
    ):
        different.append("attributes")
    return different


def ordinary(chance: random.Random) -> dict[str, Any]:
    """An event with any of the fields that events have, in any order."""
    said = event(id=f"o-{chance.randrange(400)}")
    optional: dict[str, Any] = {
        "environment": chance.choice(("production", "staging")),
        "version": chance.choice(("1.41.3", "1.42.0", "")),
        "track": chance.choice(("canary", "baseline", "")),
        "outcome": chance.choice(("ok", "failed", "a much longer word of an outcome, 43 bytes")),
        "value": chance.choice((1, 0, -0.0, 2.5, 1e-7, 12345678.125, round(chance.random(), 9))),
        "subject": f"customer-{chance.randrange(50)}",
        "ref": chance.choice(("", f"o-{chance.randrange(400)}")),
        "synthetic": chance.choice((True, False)),
        "attributes": {
            "region": chance.choice(("eu", "us", "")),
            **chance.choice(({}, {"warehouse": "W1"}, {"warehouse": "eu"})),
        },
        "unknown": chance.choice(("text", 5, None, [1, "two", {"three": "four"}], {"id": "x"})),
    }  # fmt: skip
    for name in chance.sample(sorted(optional), chance.randrange(len(optional) + 1)):
        said[name] = chance.choice((optional[name], optional[name], optional[name], None))
    said["time"] = chance.choice(
        (
            f"2026-05-21T12:00:{chance.randrange(60):02d}Z",
            f"2026-05-21T12:00:00.{chance.randrange(1000):03d}Z",
            f"2026-05-21T12:00:{chance.randrange(70):02d}.25+02:00",
            1_779_364_800_000 + chance.randrange(10**6),
        )
    )
    names = list(said)
    if chance.random() < 0.5:
        chance.shuffle(names)
    return {name: said[name] for name in names}


def mutated(payload: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        begin = chance.randrange(len(payload) + 1)
        end = begin + chance.choice((0, 0, 1, 1, 2, 5))
        piece = chance.choice(PIECES) if chance.random() < 0.7 else bytes([chance.randrange(256)])
        payload = payload[:begin] + piece + payload[end:]
    return payload


def shrunk(payloads: list[bytes]) -> list[bytes]:
    """The fewest payloads that still come out otherwise, by leaving out one at a time."""
    for place in range(len(payloads) - 1, -1, -1):
        fewer = payloads[:place] + payloads[place + 1 :]
        if differences(fewer):
            payloads = fewer
    return payloads


@pytest.mark.parametrize("seed", range(max(MUTANTS // 4000, 1)))
def test_mutated_payloads_come_out_as_if_read_one_by_one(seed: int) -> None:
    chance = random.Random(seed)
    kinds = [ordinary(chance) for _ in range(8)] + [marker()]
    for _ in range(10):
        payloads: list[bytes] = []
        for _ in range(400):
            said = chance.choice(kinds)
            if chance.random() < 0.3:
                said = {**said, "id": f"o-{chance.randrange(400)}"}
            separators = chance.choice(((",", ":"), (",", ":"), (", ", ": ")))
            payload = json.dumps(said, separators=separators).encode()
            payloads.append(mutated(payload, chance) if chance.random() < 0.8 else payload)
        different = differences(payloads)
        assert not different, (seed, different, shrunk(payloads))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_any_mixture_of_ordinary_events_comes_out_as_if_read_one_by_one(seed: int) -> None:
    chance = random.Random(seed)
    payloads = [json.dumps(ordinary(chance)).encode() for _ in range(chance.randrange(1, 60))]
    assert not differences(payloads)


def test_a_word_longer_than_the_vocabulary_takes_is_read_all_the_same() -> None:
    said = [event(id=str(i), service="s" * n) for i, n in enumerate((63, 64, 65, 256, 257))]
    assert not differences([json.dumps(one).encode() for one in said])


def test_a_name_that_stands_twice_has_no_shape() -> None:
    assert (
        shapes.learn(b'{"id":"a","id":"b","time":1779364800000,"type":"t","service":"s"}') is None
    )
    twice = (b'{"id":"a","time":1779364800000,"type":"t","service":"s",'
             b'"attributes":{"a":"1","a":"2"}}')  # fmt: skip
    assert shapes.learn(twice) is None


def test_many_shapes_and_words_are_forgotten_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "SHAPES_MAX", 3)
    monkeypatch.setattr("collector.decoding.spans._WORDS_MAX", 40)
    chance = random.Random(1)
    for _ in range(20):
        assert not differences([json.dumps(ordinary(chance)).encode() for _ in range(40)])
    assert len(scan._memory.shapes) <= 3


@given(st.lists(st.from_regex(r"-?[0-9.]{0,17}|-?[0-9]{1,9}\.[0-9]{1,8}|[-+.eE0-9]{1,9}",
                              fullmatch=True), min_size=1))  # fmt: skip
def test_a_column_of_numbers_reads_what_json_reads(texts: list[str]) -> None:
    raw = b"".join(text.encode().ljust(numbers.WIDTH, b"x") for text in texts)
    letters = np.frombuffer(raw, np.uint8).reshape(-1, numbers.WIDTH)
    lengths = np.array([len(text) for text in texts])
    whole, real, is_whole, odd = numbers.parse(letters, lengths)
    for place, text in enumerate(texts):
        try:
            value = json.loads(text)
        except ValueError:
            assert odd[place], text
            continue
        plain = not set("eE") & set(text) and sum(map(str.isdigit, text)) <= numbers.DIGITS
        assert odd[place] != plain
        if plain:
            assert real[place] == value
            assert is_whole[place] == isinstance(value, int)
            assert whole[place] == value or not is_whole[place]
