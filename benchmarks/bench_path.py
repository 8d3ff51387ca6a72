"""The whole path, from NDJSON bytes to cells committed on disk, against decoding alone and peers.

Sketch, an event of 270 bytes on one core: decoding 1.4 us, an id looked up and entered 0.2, folded
0.2 (a few groups of integers for each attribute set), merged into what is open 0.2, cells and ids
packed and written 0.1, and the raw lines, which are kept for a replay, joined and packed 0.5.
About 2.6 us, where the fastest JSON reader takes 1.7 to 2.2 for columns that nobody has checked.
Measured: see README.md.

One run: ``--rounds`` rounds in which everything takes its turn, medians over the rounds, CPU time
of all threads. Every round starts with empty state; its first batch warms up and is not counted.
The job is ``tenant_orders.job``: count, failures, sums and histogram in windows of 10 s for each of
``--keys`` keys, without duplicates. The parts of our path are timed where the turn calls them.

Run: ``python -m benchmarks.bench_path``. ``--catalogue`` judges by the built-in policy instead.
Peers run in environments of their own: ``--orders FILE`` writes the load for ``peer_bytewax``.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from benchmarks.json_columns import by_msgspec, by_polars, by_pyarrow
from benchmarks.plain_loops import MsgspecLoop, OrjsonLoop
from benchmarks.tenant_orders import Load, job
from collector.keeping.checkpoint import Checkpoint
from pipeline import config
from pipeline.config.settings import Settings
from pipeline.pieces import Incoming
from pipeline.turns import KeptTurns

# Where a turn calls its parts: the module that holds the name, the name, and what it is here.
PARTS: Final = (
    ("pipeline.reading", "decode", "decode"),
    ("pipeline.reading", "keep_new", "duplicates"),
    ("analyzers.turn", "fold", "fold"),
    ("pipeline.turns", "take_turn", "turn, with fold"),
    ("pipeline.turns", "encode_turn", "intake log joined"),
    ("collector.keeping.turn_rows", "packed", "packed"),
    ("collector.keeping.checkpoint.Checkpoint", "commit", "committed, with packing"),
    ("pipeline.kept", "encode", "cells as bytes"),
)
CHECKPOINT: Final = ("intake log joined", "committed, with packing", "cells as bytes")


class Stopwatch:
    """CPU seconds spent inside named functions, while they are watched."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Counts the calls of every part until the end of the block."""
        with ExitStack() as stack:
            for holder, name, what in PARTS:
                stack.enter_context(self._watched(_found(holder), name, what))
            yield

    @contextmanager
    def _watched(self, holder: Any, name: str, what: str) -> Iterator[None]:
        real = getattr(holder, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begin = time.process_time()
            try:
                return real(*args, **kwargs)
            finally:
                self.spent[what] += time.process_time() - begin

        setattr(holder, name, timed)
        try:
            yield
        finally:
            setattr(holder, name, real)


def _found(path: str) -> Any:
    """A module, or a class in one."""
    module, _, name = path.rpartition(".")
    if name[:1].isupper():
        return getattr(importlib.import_module(module), name)
    return importlib.import_module(path)


def spent_s(work: Callable[[bytes], object], bodies: list[bytes]) -> float:
    """CPU seconds for all batches but the first, which warms up."""
    work(bodies[0])
    gc.collect()
    begin = time.process_time()
    for body in bodies[1:]:
        work(body)
    return time.process_time() - begin


def ours(bodies: list[bytes], given: Settings, watch: Stopwatch) -> float:
    """CPU seconds from bytes to committed cells, and where they went."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Checkpoint.open(Path(folder) / "state") as checkpoint,
    ):
        turns = KeptTurns.load(checkpoint, given)

        def take(body: bytes) -> None:
            turns.take([Incoming(body.split(b"\n")[:-1])], None)

        take(bodies[0])
        gc.collect()
        with watch.watching():
            begin = time.process_time()
            for body in bodies[1:]:
                take(body)
            return time.process_time() - begin


def show(name: str, us: list[float], against: float) -> float:
    """Prints a median with its ratio; gives the median back."""
    median = statistics.median(us)
    print(f"{name:34}{median:>9.2f}{1e6 / median:>13,.0f}{median / against:>10.2f}", flush=True)
    return median


def main() -> None:
    parser = argparse.ArgumentParser(description="From NDJSON bytes to committed cells.")
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--events", type=int, default=50_000, help="a batch")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=5_000, help="events a second of event time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--catalogue", action="store_true", help="the built-in policy")
    parser.add_argument("--orders", type=Path, help="write the first batch there, and end")
    asked = parser.parse_args()
    load = Load(batch=asked.events, keys=asked.keys, rate=asked.rate)
    bodies = [b"\n".join([*lines, b""]) for lines in islice(load.batches(), asked.batches + 1)]
    if asked.orders is not None:
        asked.orders.write_bytes(bodies[0])
        return
    events = asked.batches * asked.events
    given = config.load(None, {})
    if not asked.catalogue:
        given = dataclasses.replace(given, policy=job())
    decoders = {"msgspec to lists": by_msgspec(), "pyarrow.json": by_pyarrow()}
    try:
        decoders["polars.read_ndjson"] = by_polars()
    except ImportError:
        print("polars is not installed: not measured")
    spent: dict[str, list[float]] = defaultdict(list)
    for _ in range(asked.rounds):
        for name, decoder in decoders.items():
            spent[name].append(spent_s(decoder, bodies) * 1e6 / events)
        watch = Stopwatch()
        spent["whole path"].append(ours(bodies, given, watch) * 1e6 / events)
        for name, seconds in watch.spent.items():
            spent[name].append(seconds * 1e6 / events)
        spent["loop, msgspec"].append(spent_s(MsgspecLoop().take, bodies) * 1e6 / events)
        spent["loop, orjson"].append(spent_s(OrjsonLoop().take, bodies) * 1e6 / events)
    size = sum(map(len, bodies)) / len(bodies) / asked.events
    print(f"{platform.machine()}, Python {platform.python_version()}; {asked.batches} batches of "
          f"{asked.events:,} events of {size:.0f} bytes, {asked.keys:,} keys, "
          f"median of {asked.rounds} rounds")  # fmt: skip
    print(f"{'':34}{'us each':>9}{'events/s':>13}{'of fastest':>10}")
    fastest = min(statistics.median(spent[name]) for name in decoders)
    for name in (*decoders, "loop, msgspec", "loop, orjson"):
        show(name, spent[name], fastest)
    whole = show("whole path", spent["whole path"], fastest)
    for _, _, name in PARTS:
        if name in spent:
            show(f"  {name}", spent[name], fastest)
    parts = {name: statistics.median(spent[name]) for _, _, name in PARTS if name in spent}
    kept = sum(parts.get(name, 0.0) for name in CHECKPOINT)
    for goal, value in (
        ("whole path of the fastest decode (at most 2)", whole / fastest),
        ("loop with orjson of the whole path (at least 2.5)", _of(spent["loop, orjson"], whole)),
        ("loop with msgspec of the whole path", _of(spent["loop, msgspec"], whole)),
        ("duplicates of the whole path (under 0.10)", parts.get("duplicates", 0.0) / whole),
        ("checkpoint of the whole path (under 0.15)", kept / whole),
    ):
        print(f"{goal:54}{value:>6.2f}")


def _of(us: list[float], whole: float) -> float:
    return statistics.median(us) / whole


if __name__ == "__main__":
    main()
