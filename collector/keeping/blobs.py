"""The tables of packed blobs (cells and seen ids): one more for each turn, fewer by compaction.

Compaction works as in a log-structured store: it merges the newest blobs up to the earliest one
that is no larger than all newer ones together. A byte is so rewritten only about log2(state size /
bytes between compactions) times, and what remains are few blobs of doubling sizes.
"""

# ruff: noqa: S608  # what is put into SQL text are words of this file; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from collector.keeping.packing import Packed, pack, unpack

Table: TypeAlias = Literal["cells", "seen"]
Merge: TypeAlias = Callable[[list[bytes]], bytes]

PACKED: Final = "codec, size, crc, stored, body"
# No blob grows beyond this by merging: it bounds the memory and the transaction of a compaction.
# Half of it doubles the number of blobs that a large state keeps; four times it comes near the
# largest body that packing takes.
MERGED_BYTES_MAX: Final = 64 << 20
# Kept cells take some five times as many bytes while they are merged, and merging holds about three
# copies: 64 MB of them would need a gigabyte for the moment, 4 MB need some 60 MB.
CELLS_BYTES_MAX: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring blobs to become one: turns ``first`` to ``last``, still packed."""

    first: int
    last: int
    newest_ns: int
    packed: tuple[Packed, ...]


def insert(db: sqlite3.Connection, table: Table, seq: int, newest_ns: int, body: Packed) -> None:
    """Adds the blob of turn ``seq``."""
    if table == "seen":
        db.execute(
            f"INSERT INTO seen (seq, newest_ns, {PACKED}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (seq, newest_ns, *body.columns()),
        )
    else:
        db.execute(
            f"INSERT INTO cells (seq, {PACKED}) VALUES (?, ?, ?, ?, ?, ?)",
            (seq, *body.columns()),
        )


def packed(db: sqlite3.Connection, table: Table, first: int, last: int) -> tuple[Packed, ...]:
    """The blobs of turns ``first`` to ``last`` as they are stored, oldest first."""
    rows = db.execute(
        f"SELECT codec, size, crc, body FROM {table} WHERE seq BETWEEN ? AND ? ORDER BY seq",
        (first, last),
    )
    return tuple(Packed(*row) for row in rows)


def bodies(path: Path, table: Table, blobs: Sequence[Packed]) -> list[bytes]:
    """The blobs of the file at ``path`` unpacked; ``Corrupt`` names the first damaged one."""
    return [
        unpack(blob, path, f"blob {place + 1} of {len(blobs)} of {table}")
        for place, blob in enumerate(blobs)
    ]


def runs(db: sqlite3.Connection, table: Table, *, everything: bool) -> tuple[Run, ...]:
    """What to merge, each run into one blob; ``everything`` leaves no blob as it is."""
    newest = "newest_ns" if table == "seen" else "0"
    rows = db.execute(f"SELECT seq, size, {newest} FROM {table} ORDER BY seq").fetchall()
    sizes = [size for _, size, _ in rows]
    limit = CELLS_BYTES_MAX if table == "cells" else MERGED_BYTES_MAX
    return tuple(
        Run(
            first=rows[part.start][0],
            last=rows[part.stop - 1][0],
            newest_ns=max(newest_ns for _, _, newest_ns in rows[part]),
            packed=packed(db, table, rows[part.start][0], rows[part.stop - 1][0]),
        )
        for part in (neighbours(sizes, limit) if everything else tail(sizes, limit))
    )


def tail(sizes: Sequence[int], limit: int = MERGED_BYTES_MAX) -> list[slice]:
    """The newest blobs worth merging, in slices of two or more; ``sizes`` are oldest first.

    >>> tail([100, 3, 2, 2])
    [slice(1, 4, None)]
    >>> tail([8, 4, 2, 1])
    []
    """
    start, newer = len(sizes), 0
    for place in range(len(sizes) - 1, -1, -1):
        if sizes[place] <= newer:
            start = place
        newer += sizes[place]
    parts = neighbours(sizes[start:], limit)
    return [
        slice(start + part.start, start + part.stop) for part in parts if part.stop - part.start > 1
    ]


def neighbours(sizes: Sequence[int], limit: int = MERGED_BYTES_MAX) -> list[slice]:
    """All blobs, in slices of at most ``limit`` bytes (a larger blob stands alone).

    >>> neighbours([3, 3, 3, 9], limit=6)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    parts: list[slice] = []
    start = total = 0
    for place, size in enumerate(sizes):
        if place > start and total + size > limit:
            parts.append(slice(start, place))
            start, total = place, 0
        total += size
    if start < len(sizes):
        parts.append(slice(start, len(sizes)))
    return parts


def merged(
    path: Path, table: Table, parts: Sequence[Run], merge: Merge
) -> tuple[Packed | None, ...]:
    """For each run the one blob that takes its place; None where merging leaves nothing."""
    after = (merge(bodies(path, table, run.packed)) for run in parts)
    return tuple(pack(body, f"the merged {table}") if body else None for body in after)


def replace(
    db: sqlite3.Connection, table: Table, parts: Sequence[Run], after: Sequence[Packed | None]
) -> int:
    """Puts each blob of ``after`` in the place of its run; how many blobs went.

    A run some of whose blobs have been trimmed away since it was read stays as it is.
    """
    gone = 0
    between = f"FROM {table} WHERE seq BETWEEN ? AND ?"
    for run, body in zip(parts, after, strict=True):
        (count,) = db.execute(f"SELECT COUNT(*) {between}", (run.first, run.last)).fetchone()
        if count != len(run.packed):
            continue
        db.execute(f"DELETE {between}", (run.first, run.last))
        if body is not None:
            insert(db, table, run.last, run.newest_ns, body)
        gone += len(run.packed)
    return gone
