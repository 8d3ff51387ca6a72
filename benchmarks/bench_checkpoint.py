"""What keeping a turn costs: 10,000 cells and 50,000 ids, against a row for each in plain SQLite.

Sketch: a turn brings 0.7 MB of cell columns, 2.4 MB of bucket columns and 0.8 MB of digests.
Compressing 3 MB of small integers takes about 5 ms, the digests do not compress; 1 MB then goes
through SQLite's log into its file, twice 128 pages, 2 to 3 ms, and one or two syncs. A row each
means 60,000 inserts at about 1.5 us and more for the tree of ids, 150 ms. So about 10 ms against
150: a tenth or less. The intake log compresses 15 MB of JSON at 700 MB/s: 20 ms more.
Measured: 8.4 ms against 440 to 480 (random ids dirty every page of their tree), a fiftieth; 24 ms
more for the intake.

Run: ``python -m benchmarks.bench_checkpoint``. CPU times are medians over the turns; the ratio is
taken within the run, turn by turn, on the same disk.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from collector.keeping.checkpoint import Checkpoint, Entry

CELLS = 10_000
BINS_A_CELL = 6
IDS = 50_000
EVENTS = 50_000
TURNS = 15


@dataclass(frozen=True, slots=True)
class Turn:
    """The same turn as columns: ``cells`` int64 (9, CELLS), ``bins`` int64 (5, CELLS *
    BINS_A_CELL), ``ids`` uint64 (IDS, 2)."""

    cells: np.ndarray
    bins: np.ndarray
    ids: np.ndarray


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and elapsed milliseconds of one commit."""

    cpu_ms: float
    wall_ms: float


def turn(seed: int) -> Turn:
    """A turn of 10,000 cells: 500 series in 20 slices, sums of money, a few buckets each."""
    chance = np.random.default_rng(seed)
    series, slices = np.divmod(np.arange(CELLS), 20)
    slices = slices + 177_935_760 + seed * 20
    count = chance.poisson(5, CELLS) + 1
    value = chance.lognormal(17, 1, CELLS).astype(np.int64) * count
    blank = np.zeros(CELLS, np.int64)
    failures = chance.binomial(count, 0.02)
    cells = np.stack([series, slices, slices, count, failures, blank, value, value >> 20, value**2])
    bins = np.stack([
        np.repeat(series, BINS_A_CELL),
        np.repeat(slices, BINS_A_CELL),
        np.repeat(slices, BINS_A_CELL),
        chance.normal(800, 60, CELLS * BINS_A_CELL).astype(np.int64),
        chance.poisson(0.2, CELLS * BINS_A_CELL) + 1,
    ])  # fmt: skip
    ids = chance.integers(0, 1 << 63, (IDS, 2)).astype(np.uint64)
    return Turn(cells, bins, ids)


def intake(seed: int) -> bytes:
    """50,000 orders as NDJSON, about 270 bytes each."""
    chance = random.Random(seed)
    return b"".join(
        b'{"id":"%x","time":"2026-05-21T10:00:%09.6fZ","type":"order.submitted",'
        b'"service":"order-api","environment":"production","version":"1.42.%d","outcome":"ok",'
        b'"value":%.2f,"subject":"INV-%d","attributes":{"region":"eu","warehouse":"W%d",'
        b'"tenant":"t1","partner":"P%d","document":"850"}}\n'
        % (
            chance.getrandbits(48),
            chance.random() * 60,
            chance.randrange(2),
            chance.lognormvariate(3, 1),
            chance.randrange(10_000),
            chance.randrange(9),
            chance.randrange(40),
        )
        for _ in range(EVENTS)
    )


def entry(made: Turn, raw: bytes = b"") -> Entry:
    return Entry(
        intake=raw,
        cells=made.cells.tobytes() + made.bins.tobytes(),
        seen=made.ids.tobytes(),
        seen_newest_ns=1,
        memory=b"m" * 2000,
    )


def plain(path: Path) -> sqlite3.Connection:
    """A file with the same durability and a row for everything."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(
        "CREATE TABLE cells (series INT, slice INT, shown INT, count INT, failures INT, sum_hi INT,"
        " sum_lo INT, square_hi INT, square_lo INT, bins BLOB, PRIMARY KEY (series, shown, slice))"
        " WITHOUT ROWID"
    )
    db.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) WITHOUT ROWID")
    return db


def commit_rows(db: sqlite3.Connection, made: Turn) -> None:
    bins = made.bins[3:].reshape(2, CELLS, BINS_A_CELL).swapaxes(0, 1)
    db.execute("BEGIN IMMEDIATE")
    db.executemany(
        "INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (*row, own.tobytes())
            for row, own in zip(made.cells.T.tolist(), np.ascontiguousarray(bins), strict=True)
        ],
    )
    db.executemany("INSERT INTO seen VALUES (?)", [(own.tobytes(),) for own in made.ids])
    db.execute("COMMIT")


def cost(work: Callable[[], object]) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Cost(
        (time.process_time() - cpu) * 1e3,
        (time.perf_counter() - wall) * 1e3,
    )


def show(name: str, costs: list[Cost]) -> float:
    cpu_ms = statistics.median(c.cpu_ms for c in costs)
    wall_ms = statistics.median(c.wall_ms for c in costs)
    print(f"{name:<44} {cpu_ms:8.2f} {wall_ms:8.2f} {1e3 / wall_ms:10.1f}")
    return cpu_ms


def main() -> None:
    turns = [turn(seed) for seed in range(TURNS)]
    raw = intake(1)
    print(f"{CELLS} cells, {IDS} ids a turn, {TURNS} turns; intake {len(raw) / 1e6:.1f} MB")
    print(f"{'':<44} {'CPU ms':>8} {'wall ms':>8} {'commits/s':>10}")
    rows: list[Cost] = []
    blobs: list[Cost] = []
    whole: list[Cost] = []
    small: list[Cost] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(plain(Path(folder) / "plain.sqlite")) as db,
        Checkpoint.open(Path(folder) / "state") as kept,
        Checkpoint.open(Path(folder) / "small") as idle,
    ):
        kept.commit(entry(turns[0]))  # loads what is loaded once
        for made in turns:
            rows.append(cost(partial(commit_rows, db, made)))
            blobs.append(cost(partial(kept.commit, entry(made))))
            whole.append(cost(partial(kept.commit, entry(made, raw))))
            idling = partial(idle.commit, Entry(intake=b"clock", memory=b"m" * 400))
            small.extend(cost(idling) for _ in range(20))
        naive = show("a row for each cell and id, no intake", rows)
        ours = show("checkpoint, no intake", blobs)
        show(f"checkpoint, with the intake of {EVENTS} events", whole)
        show("checkpoint, a turn with no event", small)
        merging = cost(lambda: kept.compact(b"".join, b"".join))
        reading = cost(kept.load)
        counts = kept.counts()
    print(f"compaction of {2 * TURNS + 1} turns (joining only): {merging.cpu_ms:.0f} ms CPU; "
          f"reading them back: {reading.cpu_ms:.0f} ms")  # fmt: skip
    print(f"on disk a turn: cells {counts.cells_bytes / (2 * TURNS + 1) / 1e3:.0f} kB, "
          f"ids {counts.seen_bytes / (2 * TURNS + 1) / 1e3:.0f} kB, "
          f"intake {counts.intake_bytes / TURNS / 1e3:.0f} kB")  # fmt: skip
    print(f"ratio of CPU, checkpoint to rows: {ours / naive:.3f}")


if __name__ == "__main__":
    main()
