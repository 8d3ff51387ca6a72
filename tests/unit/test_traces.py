"""How each comparison came to where it is, in a bounded number of points."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.comparing.traces import POINTS, Traces
from analyzers.contrast.strata import Told
from analyzers.facts import Floats, Ints


def recorded(traces: Traces, rows: Ints, number: int) -> None:
    """The ``number``-th stratum of the rows; every value tells which it is."""
    told: Floats = np.full(len(rows), float(number))
    at = np.full(len(rows), number)
    traces.record(rows, at, Told(told, told * 2, told * 3), told * 4, told * 5)


@pytest.mark.parametrize("strata", [0, 1, POINTS - 1, POINTS, POINTS + 1, 1_000, 7_777])
def test_a_trace_is_bounded_keeps_its_order_and_ends_with_the_latest(strata: int) -> None:
    traces, row = Traces(), np.zeros(1, np.int64)
    traces.add(1)
    for number in range(strata):
        recorded(traces, row, number)
        assert traces.of(0).at[-1] == number
    trace = traces.of(0)
    assert len(trace.at) <= POINTS
    assert len(trace.at) == strata or len(trace.at) >= POINTS // 2
    assert (np.diff(trace.at) > 0).all()
    steps = set(np.diff(trace.at)[:-1].tolist())
    assert len(steps) <= 1  # evenly spread, but for the latest
    for times, values in (
        (1, trace.told.score), (2, trace.told.weight), (3, trace.told.variance),
        (4, trace.log_harm), (5, trace.log_safe),
    ):  # fmt: skip
        assert values.tolist() == (trace.at * times).tolist()


def test_traces_do_not_depend_on_each_other() -> None:
    traces = Traces()
    traces.add(2)
    for number in range(500):
        recorded(traces, np.array([1, 0]) if number % 7 == 0 else np.array([1]), number)
    traces.add(1)
    alone = Traces()
    alone.add(1)
    for number in range(0, 500, 7):
        recorded(alone, np.zeros(1, np.int64), number)
    assert traces.of(0).at.tolist() == alone.of(0).at.tolist()
    assert traces.of(1).at[-1] == 499
    assert len(traces.of(2).at) == 0
