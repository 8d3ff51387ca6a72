"""What a turn was given is written down and read back, and no client can forge its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.intake_log import (
    IntakeLogError,
    RecordedTurn,
    decode_turn,
    encode_turn,
    is_closing,
    read_turns,
)

PAYLOADS = st.lists(
    st.binary(min_size=1, max_size=40).filter(lambda b: b"\n" not in b)
    | st.sampled_from([b'{"type":"plimsoll.turn"}', b' {"type":"plimsoll.turn"', b" "])
)


@given(PAYLOADS, st.integers(1, 2**62), st.none() | st.integers(0, 2**62))
def test_a_turn_survives_being_written_and_read(
    payloads: list[bytes], sequence: int, clock_ns: int | None
) -> None:
    turn = RecordedTurn(sequence, tuple(payloads), clock_ns)
    assert decode_turn(encode_turn(turn)) == turn


def test_a_log_holds_its_turns_one_after_the_other() -> None:
    turns = [RecordedTurn(1, (b"a",), None), RecordedTurn(2, (), 5), RecordedTurn(3, (b"b",), 9)]
    lines = b"".join(map(encode_turn, turns)).splitlines(keepends=True)
    assert list(read_turns(lines)) == turns


def test_a_payload_cannot_pose_as_the_end_of_a_turn() -> None:
    forged = b'{"type":"plimsoll.turn","sequence":1,"payloads":0,"clock_ns":9}'
    lines = encode_turn(RecordedTurn(1, (forged,), None)).splitlines()
    assert [is_closing(line) for line in lines] == [False, True]


def test_a_log_that_ends_inside_a_turn_is_refused() -> None:
    with pytest.raises(IntakeLogError, match="ends in the middle of a turn, 1 lines after"):
        list(read_turns([b'{"id":"o-1"}']))


def test_a_log_that_lost_a_line_is_refused() -> None:
    lines = encode_turn(RecordedTurn(1, (b"a", b"b"), None)).splitlines()
    with pytest.raises(IntakeLogError, match="turn of 2 payloads, but 1 lines stand before it"):
        list(read_turns(lines[1:]))


def test_a_damaged_closing_line_is_refused() -> None:
    with pytest.raises(IntakeLogError, match="line 1 of the intake log closes a turn but"):
        list(read_turns([b'{"type":"plimsoll.turn","sequence":"x"}']))


def test_one_turn_is_expected_where_one_is_asked_for() -> None:
    both = encode_turn(RecordedTurn(1, (), None)) + encode_turn(RecordedTurn(2, (), None))
    with pytest.raises(IntakeLogError, match="found 2 turns"):
        decode_turn(both)
