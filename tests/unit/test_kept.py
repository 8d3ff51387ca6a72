"""Cells and waiting questions survive being kept, bit for bit, also when many are made one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.facts import Column, Facts, concat
from analyzers.folding import answers
from analyzers.folding.answers import Waiting
from analyzers.folding.cells import Cells, fold, merge, no_cells
from collector.decoding.decode import decode
from pipeline import kept
from pipeline.config import parse
from pipeline.kept import KeptError
from tests.integration.serving import order

POLICY = parse(b"", {}).policy


def facts(numbers: Sequence[int]) -> Facts:
    """Submissions, and for every other one a confirmation."""
    events = [order(n, outcome="ok", subject=f"c-{n % 3}") for n in numbers]
    events += [
        order(n, id=f"c-{n}", type="order.confirmed", value=n / 7, ref=f"o-{n}")
        for n in numbers
        if n % 2
    ]
    payloads = [json.dumps(event).encode() for event in events]
    return decode(payloads, attributes=POLICY.attributes(), limits=POLICY.limits).facts


def part(numbers: Sequence[int]) -> tuple[Cells, Waiting]:
    batch = facts(numbers)
    return fold(batch, (), POLICY, open_from=0), answers.heard(batch, POLICY)


def equal(one: Waiting, other: Waiting) -> bool:
    return (
        np.array_equal(one.asked.key, other.asked.key)
        and np.array_equal(one.asked.time_ns, other.asked.time_ns)
        and np.array_equal(one.asked.subject, other.asked.subject)
        and one.asked.service.strings() == other.asked.service.strings()
        and set(one.asked.attributes) == set(other.asked.attributes)
        and np.array_equal(one.answer, other.answer)
        and np.array_equal(one.answer_ns, other.answer_ns)
    )


@given(st.lists(st.integers(0, 3000), max_size=30))
def test_what_is_kept_is_read_back_bit_for_bit(numbers: list[int]) -> None:
    cells, waiting = part(numbers)
    body = kept.encode(cells, waiting)
    if not numbers:
        assert body == b""
        return
    again, waits = kept.decode(body)
    assert again.series == cells.series
    assert again.digest() == cells.digest()
    assert np.array_equal(again.shown, cells.shown)
    assert equal(waits, waiting)


@given(st.lists(st.lists(st.integers(0, 3000), max_size=9), min_size=1, max_size=5))
def test_many_made_one_say_the_same(turns: list[list[int]]) -> None:
    bodies = [kept.encode(*part(numbers)) for numbers in turns]
    whole = kept.merged([body for body in bodies if body], POLICY, settled_ns=0, oldest_slice=0)
    cells, waiting = kept.decode(whole) if whole else (no_cells(), answers.nothing_waiting())
    parts = [part(numbers) for numbers in turns]
    assert cells.digest() == merge([cells for cells, _ in parts]).digest()
    asked = concat([waiting.asked for _, waiting in parts])
    assert np.array_equal(waiting.asked.key, asked.key)


def test_merging_leaves_out_what_nobody_will_ask_for() -> None:
    cells, waiting = part([1, 2, 3])
    body = kept.encode(cells, waiting)
    later = 1 << 62
    gone = kept.merged([body], POLICY, settled_ns=later, oldest_slice=int(cells.shown.max()) + 1)
    assert gone == b""
    left = kept.merged([body], POLICY, settled_ns=later, oldest_slice=0)
    assert kept.decode(left)[0].digest() == cells.digest()
    assert len(kept.decode(left)[1]) == 0


@pytest.mark.parametrize("body", [b"\x00", b"rubbish", msgspec.msgpack.encode({"format": 1})])
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(KeptError, match="the kept cells cannot be read"):
        kept.decode(body)


def test_bytes_of_another_format_are_refused_with_the_remedy() -> None:
    told = msgspec.msgpack.decode(kept.encode(*part([1])))
    told["format"] = 3
    with pytest.raises(KeptError, match=r"have format 3, this plimsoll reads 2: use the version"):
        kept.decode(msgspec.msgpack.encode(told))


def first_format(cells: Cells, waiting: Waiting) -> bytes:
    """The bytes that format 1 kept: every series in full, every integer in eight bytes."""

    def array(values: npt.NDArray[Any]) -> list[object]:
        return [values.dtype.str, values.shape, values.tobytes()]

    def column(coded: Column) -> list[object]:
        return [array(coded.codes), coded.words]

    columns = {
        field.name: getattr(cells, field.name) for field in dataclasses.fields(Cells)[1:]
    }  # fmt: skip
    wide = {name: columns.pop(name) for name in ("sum", "square")}
    columns |= {f"{name}.hi": one.hi for name, one in wide.items()}
    columns |= {f"{name}.lo": one.lo for name, one in wide.items()}
    asked = {field.name: getattr(waiting.asked, field.name) for field in dataclasses.fields(Facts)}
    attributes = asked.pop("attributes")
    return msgspec.msgpack.encode({
        "format": 1,
        "series": tuple(cells.series),
        "cells": {name: array(one) for name, one in columns.items()},
        "asked": {n: array(one) for n, one in asked.items() if not isinstance(one, Column)},
        "words": {n: column(one) for n, one in asked.items() if isinstance(one, Column)},
        "attributes": {name: column(one) for name, one in attributes.items()},
        "answer": array(waiting.answer),
        "answer_ns": array(waiting.answer_ns),
    })  # fmt: skip


def test_the_first_format_is_still_read() -> None:
    cells, waiting = part([1, 2, 3, 40, 500])
    again, waits = kept.decode(first_format(cells, waiting))
    assert again.series == cells.series
    assert again.digest() == cells.digest()
    assert equal(waits, waiting)


def test_integers_are_kept_in_as_few_bytes_as_they_need() -> None:
    cells, nothing = part(range(300))[0], answers.nothing_waiting()
    assert len(kept.encode(cells, nothing)) < len(first_format(cells, nothing)) / 3


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), st.integers(0, 2**63))
def test_any_integers_are_kept_bit_for_bit(numbers: list[int], apart: int) -> None:
    cells, waiting = part([1])
    n = len(numbers)
    time_ns = np.array(numbers, np.int64)
    content = np.array([apart, *[apart + 1] * (n - 1)], np.uint64)
    asked = waiting.asked.take(np.zeros(n, np.int64))
    told = {field.name: getattr(asked, field.name) for field in dataclasses.fields(Facts)}
    told |= {"time_ns": time_ns, "content": content}
    waits = Waiting(Facts(**told), waiting.answer, waiting.answer_ns)
    again = kept.decode(kept.encode(cells, waits))[1].asked
    assert [again.time_ns.dtype.str, again.content.dtype.str] == ["<i8", "<u8"]
    assert again.time_ns.tolist() == numbers
    assert again.content.tolist() == content.tolist()


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("cells", "of"), ["<i8", [1], b"", "constant", 999], "a number beyond the"),
        (("cells", "of"), ["<i8", [1 << 40], b"", "constant", 0], "equal values, more than"),
        (("cells", "of"), ["<i8", [1], b"", "constant", 1 << 63], "OverflowError"),
        (("cells", "of"), ["<i8", [1], b"\x00", "<u3", 0], "integers kept as '<u3'"),
        (("table", 0), [["<i8", [1], b"", "constant", 0]] * 5, "series of 5 fields"),
        (("words", "service"), [["<i8", [1], b"", "constant", 4], ["a"]], "beyond the 1 words"),
    ],
)
def test_columns_that_point_nowhere_are_refused(
    path: tuple[str, str | int], value: object, reason: str
) -> None:
    told = msgspec.msgpack.decode(kept.encode(*part([1])))
    told[path[0]][path[1]] = value
    with pytest.raises(KeptError, match=reason):
        kept.decode(msgspec.msgpack.encode(told))


def test_a_column_that_is_cut_short_is_refused() -> None:
    told = msgspec.msgpack.decode(kept.encode(*part([1])))
    told["answer_ns"] = ["<i8", [3], b"\x00" * 8]
    with pytest.raises(KeptError, match="cannot reshape"):
        kept.decode(msgspec.msgpack.encode(told))
