"""The job of ``bench_path`` as a bytewax dataflow, from a file in memory; prints its CPU time.

Count, failures, sum, sum of squares and histogram per service, version and tenant in windows of
10 s of event time; no duplicates are dropped, nothing is kept on disk. For an interpreter that has
bytewax and orjson: ``python -m benchmarks.peer_bytewax FILE``.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from math import log2
from pathlib import Path
from typing import Any

BATCH = 50_000

loads: Any = importlib.import_module("orjson").loads
flow_of: Any = importlib.import_module("bytewax.dataflow")
ops: Any = importlib.import_module("bytewax.operators")
windows: Any = importlib.import_module("bytewax.operators.windowing")
inputs: Any = importlib.import_module("bytewax.inputs")
outputs: Any = importlib.import_module("bytewax.outputs")
testing: Any = importlib.import_module("bytewax.testing")


class _Lines(inputs.StatelessSourcePartition):  # type: ignore[misc]  # bytewax is not installed
    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._next = 0

    def next_batch(self) -> Iterable[bytes]:
        if self._next >= len(self._lines):
            raise StopIteration
        begin, self._next = self._next, self._next + BATCH
        return self._lines[begin : self._next]


class _Source(inputs.DynamicSource):  # type: ignore[misc]
    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def build(self, _step: str, _index: int, _count: int) -> _Lines:
        return _Lines(self._lines)


class _Counting(outputs.StatelessSinkPartition):  # type: ignore[misc]
    def __init__(self, told: list[int]) -> None:
        self._told = told

    def write_batch(self, items: list[Any]) -> None:
        self._told[0] += len(items)


class _Sink(outputs.DynamicSink):  # type: ignore[misc]
    def __init__(self, told: list[int]) -> None:
        self._told = told

    def build(self, _step: str, _index: int, _count: int) -> _Counting:
        return _Counting(self._told)


def keyed(line: bytes) -> tuple[str, tuple[datetime, bool, float]]:
    """An event's key, and its time, outcome and value."""
    event = loads(line)
    key = f"{event['service']}|{event['version']}|{event['attributes']['tenant']}"
    return key, (datetime.fromisoformat(event["time"]), event["outcome"] == "ok", event["value"])


def folded(row: list[Any], event: tuple[datetime, bool, float]) -> list[Any]:
    """The sums of a window with one more event."""
    row[0] += 1
    if not event[1]:
        row[1] += 1
        return row
    quanta = round(event[2] * 1e6)
    row[2] += quanta
    row[3] += quanta * quanta
    place = int(log2(quanta) * 32) if quanta > 0 else 0
    row[4][place] = row[4].get(place, 0) + 1
    return row


def added(one: list[Any], other: list[Any]) -> list[Any]:
    """The sums of two windows."""
    buckets = {
        place: one[4].get(place, 0) + other[4].get(place, 0) for place in {*one[4], *other[4]}
    }
    return [*(a + b for a, b in zip(one[:4], other[:4], strict=True)), buckets]


def run(lines: list[bytes]) -> int:
    """How many windows the job gave."""
    told = [0]
    flow = flow_of.Dataflow("job")
    stream = ops.map("keyed", ops.input("lines", flow, _Source(lines)), keyed)
    clock = windows.EventClock(
        ts_getter=lambda event: event[0], wait_for_system_duration=timedelta(seconds=30)
    )
    tumbling = windows.TumblingWindower(
        length=timedelta(seconds=10), align_to=datetime(2026, 1, 1, tzinfo=UTC)
    )
    found = windows.fold_window(
        "fold", stream, clock, tumbling, lambda: [0, 0, 0, 0, {}], folded, added
    )
    ops.output("windows", found.down, _Sink(told))
    testing.run_main(flow)
    return told[0]


def main() -> None:
    lines = Path(sys.argv[1]).read_bytes().splitlines()
    run(lines[: len(lines) // 10])
    begin = time.process_time()
    count = run(lines)
    seconds = time.process_time() - begin
    print(json.dumps({"events": len(lines), "windows": count, "cpu_s": seconds}))


if __name__ == "__main__":
    main()
