"""Cells and waiting questions survive being kept, bit for bit, also when many are made one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers import answers
from analyzers.answers import Waiting
from analyzers.cells import Cells, fold, merge, no_cells
from analyzers.facts import Facts, concat
from collector.decode import decode
from pipeline import kept
from pipeline.config import parse
from pipeline.kept import KeptError
from tests.integration.serving import order

POLICY = parse(b"", {}).policy


def facts(numbers: Sequence[int]) -> Facts:
    """Submissions, and for every other one a confirmation."""
    events = [order(n, outcome="ok") for n in numbers]
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
    told["format"] = 2
    with pytest.raises(KeptError, match=r"have format 2, this plimsoll reads 1: use the version"):
        kept.decode(msgspec.msgpack.encode(told))


def test_a_column_that_is_cut_short_is_refused() -> None:
    told = msgspec.msgpack.decode(kept.encode(*part([1])))
    told["answer_ns"] = ["<i8", [3], b"\x00" * 8]
    with pytest.raises(KeptError, match="cannot reshape"):
        kept.decode(msgspec.msgpack.encode(told))
