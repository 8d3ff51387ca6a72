"""No sender whose clock is fast moves the stream; a stream that really leaps is followed."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.ahead import Pace, advance
from analyzers.facts import NS_PER_S, Ints

HOUR = 3600
DAY = 24 * HOUR
START = 1_700_000_000 * NS_PER_S


def at(*seconds: float) -> Ints:
    return np.array([START + int(s * NS_PER_S) for s in seconds], np.int64)


def lived(turns: list[Ints]) -> float:
    """Where a stream stands after turns, in seconds from its start."""
    pace, now = Pace(), START
    for times in turns:
        now = advance(now, times, pace)
    return (now - START) / NS_PER_S


def steady(seconds: int, every: float = 1.0) -> list[Ints]:
    """A stream of an event every so often, a turn each minute."""
    times = np.arange(0, seconds, every)
    return [at(*times[(times >= m) & (times < m + 60)]) for m in range(0, seconds, 60)]


@pytest.mark.parametrize("ahead", [600, 2 * HOUR, DAY, 20 * DAY])
@pytest.mark.parametrize("part", [0.001, 0.01, 0.1, 0.3])
def test_a_minority_with_a_fast_clock_never_moves_the_stream(ahead: float, part: float) -> None:
    draw = np.random.default_rng(7)
    turns = [
        np.where(draw.random(len(times)) < part, times + int(ahead * NS_PER_S), times)
        for times in steady(2 * HOUR)
    ]
    turns[:15] = steady(HOUR // 4)  # until then nobody knows that ten minutes are far
    assert 2 * HOUR - 70 < lived(turns) < 2 * HOUR


def test_a_whole_batch_of_a_fast_clock_does_not_move_a_busy_stream() -> None:
    turns = steady(2 * HOUR)
    turns.insert(60, at(*(5 * HOUR + np.arange(100))))
    assert lived(turns) == 2 * HOUR - 1


def test_a_stream_that_goes_on_after_a_night_is_followed() -> None:
    night = 14 * HOUR
    turns = [*steady(2 * HOUR), *(times + night * NS_PER_S for times in steady(2 * HOUR))]
    assert lived(turns) == night + 2 * HOUR - 1


def test_a_slow_stream_moves_on_with_every_event() -> None:
    assert lived([at(hour * HOUR) for hour in range(100)]) == 99 * HOUR


def test_a_history_in_one_batch_is_followed_through_its_nights() -> None:
    days = [day * DAY + second for day in range(30) for second in range(0, 8 * HOUR, 600)]
    assert lived([at(*days)]) == days[-1]


def test_the_order_of_arrival_within_a_batch_does_not_keep_a_stream_back() -> None:
    draw = np.random.default_rng(3)
    times = np.concatenate(steady(HOUR))
    draw.shuffle(times)
    assert lived([times]) == HOUR - 1


def test_late_events_leave_the_stream_where_it_is() -> None:
    assert lived([*steady(HOUR), at(5, 6, 7)]) == HOUR - 1


def test_what_leapt_is_forgotten_when_the_stream_goes_on_without_it() -> None:
    pace, now = Pace(), START
    turns = steady(HOUR)
    turns.insert(30, at(*(3 * HOUR + np.arange(4))))
    for times in turns:
        now = advance(now, times, pace)
    assert not pace.leapt
    assert now == START + (HOUR - 1) * NS_PER_S


def test_what_is_remembered_of_leaps_has_a_bound() -> None:
    pace, now = Pace(), START
    draw = np.random.default_rng(1)
    for times in steady(HOUR, every=0.1):
        mixed = np.where(draw.random(len(times)) < 0.45, times + DAY * NS_PER_S, times)
        now = advance(now, mixed, pace)
        assert len(pace.leapt) <= 1_024
    assert now < START + HOUR * NS_PER_S
