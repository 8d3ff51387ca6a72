"""Stream time moves with events and, when they stop, with the clock; never by comparing the two."""

from __future__ import annotations

from pipeline.clock import StreamClock

S = 1_000_000_000
LONG_AGO = 1_300_000_000 * S


class Hands:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 77 * S

    def __call__(self) -> int:
        return self.now


def test_there_is_no_stream_time_before_the_first_event() -> None:
    clock = StreamClock(monotonic=Hands())
    assert clock.now_ns() is None
    assert clock.quiet_s() is None


def test_a_stream_that_stops_moves_on_with_the_clock() -> None:
    hands = Hands()
    clock = StreamClock(monotonic=hands)
    clock.observe(LONG_AGO)
    hands.now += 90 * S
    assert clock.now_ns() == LONG_AGO + 90 * S
    assert clock.quiet_s() == 90.0


def test_a_historic_stream_posted_fast_is_judged_in_its_own_time() -> None:
    hands = Hands()
    clock = StreamClock(monotonic=hands)
    for day in range(30):
        clock.observe(LONG_AGO + day * 86_400 * S)
        hands.now += S // 10
    assert clock.now_ns() == LONG_AGO + 29 * 86_400 * S + S // 10


def test_a_slow_stream_pulls_stream_time_back_to_its_newest_event() -> None:
    hands = Hands()
    clock = StreamClock(monotonic=hands)
    clock.observe(LONG_AGO)
    hands.now += 20 * S
    clock.observe(LONG_AGO + S)
    assert clock.now_ns() == LONG_AGO + S


def test_an_older_event_ends_the_silence_but_does_not_move_stream_time() -> None:
    hands = Hands()
    clock = StreamClock(monotonic=hands)
    clock.observe(LONG_AGO)
    hands.now += 20 * S
    clock.observe(LONG_AGO - 5 * S)
    assert clock.now_ns() == LONG_AGO + 20 * S
    assert clock.quiet_s() == 0.0


def test_after_a_restart_stream_time_goes_on_from_where_the_state_stands() -> None:
    hands = Hands()
    clock = StreamClock(monotonic=hands)
    clock.anchor(LONG_AGO)
    hands.now += 5 * S
    assert clock.now_ns() == LONG_AGO + 5 * S
    assert clock.quiet_s() == 5.0
    clock.anchor(None)
    assert clock.now_ns() is None
