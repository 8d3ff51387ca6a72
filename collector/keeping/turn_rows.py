"""The rows of a turn in the state file: written whole, read back for a restart, counted, trimmed.

Every function takes the connection of a transaction that its caller has begun.
"""

# ruff: noqa: S608  # what is put into SQL text are words of this file; values are bound

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.keeping import blobs, reject_rows, tally
from collector.keeping.blobs import PACKED
from collector.keeping.entry import Bounds, Counts, Entry, IntakeSpan, KeptVerdict, Move, Saved
from collector.keeping.packing import Packed, pack, unpack
from collector.keeping.state_file import Fenced

INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class PackedEntry:
    """The bodies of an entry, compressed before its transaction begins."""

    intake: Packed | None
    cells: Packed | None
    seen: Packed | None
    memory: Packed | None
    verdicts: tuple[Packed, ...]


def packed(entry: Entry) -> PackedEntry:
    """The bodies of ``entry`` ready to be stored; ``TooLarge`` names the one over its limit."""
    return PackedEntry(
        intake=pack(entry.intake, "the intake of this turn") if entry.intake else None,
        cells=pack(entry.cells, "the cells of this turn") if entry.cells else None,
        seen=pack(entry.seen, "the seen ids of this turn") if entry.seen else None,
        memory=None if entry.memory is None else pack(entry.memory, "the memory"),
        verdicts=tuple(pack(verdict.body, "a verdict") for verdict in entry.verdicts),
    )


def write(
    db: sqlite3.Connection, seq: int, entry: Entry, ready: PackedEntry, bounds: Bounds
) -> None:
    """Writes turn ``seq``, but for its positions and notices."""
    if ready.intake:
        db.execute(
            f"INSERT INTO intake (seq, stream_ns, {PACKED}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (seq, entry.stream_ns, *ready.intake.columns()),
        )
        tally.add(db, "intake_turns", 1)
        tally.add(db, "intake_bytes", len(ready.intake.body))
    if ready.cells:
        blobs.insert(db, "cells", seq, 0, ready.cells)
    if ready.seen:
        blobs.insert(db, "seen", seq, entry.seen_newest_ns, ready.seen)
    if ready.memory:
        db.execute(
            f"INSERT OR REPLACE INTO memory (one, {PACKED}) VALUES (1, ?, ?, ?, ?, ?)",
            ready.memory.columns(),
        )
    db.executemany(
        "INSERT INTO markers (seq, stream_ns, body) VALUES (?, ?, ?)",
        [(seq, entry.stream_ns, body) for body in entry.markers],
    )
    db.executemany(
        f"INSERT INTO verdicts (seq, deployment, as_of_ns, {PACKED}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (seq, verdict.deployment, verdict.as_of_ns, *body.columns())
            for verdict, body in zip(entry.verdicts, ready.verdicts, strict=True)
        ],
    )
    tally.add(db, "verdict_bytes", sum(len(body.body) for body in ready.verdicts))
    reject_rows.write(db, seq, entry, bounds)


def move(db: sqlite3.Connection, path: Path, moved: Move) -> None:
    """Sets the position of a source; ``Fenced`` if it does not stand where it was read from."""
    row = db.execute("SELECT position FROM positions WHERE source = ?", (moved.source,)).fetchone()
    found = row[0] if row else None
    if found != moved.before:
        raise Fenced(
            f"{path}: source {moved.source!r} stands at {found!r}, but this turn was read from "
            f"{moved.before!r}: read again from where it stands"
        )
    db.execute(
        "INSERT OR REPLACE INTO positions (source, position) VALUES (?, ?)",
        (moved.source, moved.after),
    )


def load(db: sqlite3.Connection, path: Path) -> Saved:
    """Everything that a restart begins with; ``Corrupt`` when a checksum does not match."""
    (seq,) = db.execute("SELECT seq FROM fence").fetchone()
    memory = db.execute("SELECT codec, size, crc, body FROM memory").fetchone()
    latest = db.execute(
        "SELECT deployment, as_of_ns, codec, size, crc, body FROM verdicts WHERE id IN "
        "(SELECT MAX(id) FROM verdicts GROUP BY deployment) ORDER BY deployment"
    )
    return Saved(
        seq=seq,
        memory=None if memory is None else unpack(Packed(*memory), path, "the memory"),
        cells=tuple(blobs.bodies(path, "cells", blobs.packed(db, "cells", 0, INT64_MAX))),
        seen=tuple(blobs.bodies(path, "seen", blobs.packed(db, "seen", 0, INT64_MAX))),
        markers=tuple(body for (body,) in db.execute("SELECT body FROM markers ORDER BY id")),
        verdicts=tuple(_verdict(path, row) for row in latest),
        positions=dict(db.execute("SELECT source, position FROM positions")),
        counts=counts(db, path),
    )


def verdicts(db: sqlite3.Connection, path: Path, deployment: str, limit: int) -> list[KeptVerdict]:
    """The newest verdicts of one deployment, newest first."""
    rows = db.execute(
        "SELECT deployment, as_of_ns, codec, size, crc, body FROM verdicts "
        "WHERE deployment = ? ORDER BY id DESC LIMIT ?",
        (deployment, limit),
    )
    return [_verdict(path, row) for row in rows]


def _verdict(path: Path, row: tuple[str, int, str, int, int, bytes]) -> KeptVerdict:
    deployment, as_of_ns, codec, size, crc, body = row
    packed_body = Packed(codec, size, crc, body)
    return KeptVerdict(deployment, as_of_ns, unpack(packed_body, path, "a verdict"))


def counts(db: sqlite3.Connection, path: Path) -> Counts:
    """How much is kept, and what was dropped over a bound."""

    def one(sql: str) -> int:
        (value,) = db.execute(sql).fetchone()
        return int(value)

    told = tally.totals(db)
    pages = one("PRAGMA page_count") * one("PRAGMA page_size")
    wal = path.with_name(path.name + "-wal")
    return Counts(
        intake_turns=told["intake_turns"],
        intake_bytes=told["intake_bytes"],
        cells_blobs=one("SELECT COUNT(*) FROM cells"),
        cells_bytes=one("SELECT COALESCE(SUM(stored), 0) FROM cells"),
        seen_blobs=one("SELECT COUNT(*) FROM seen"),
        seen_bytes=one("SELECT COALESCE(SUM(stored), 0) FROM seen"),
        markers=one("SELECT COUNT(*) FROM markers"),
        rejects=told["rejects"],
        rejects_dropped=told["rejects_dropped"],
        verdicts=one("SELECT COUNT(*) FROM verdicts"),
        verdict_bytes=told["verdict_bytes"],
        outbox_waiting=one("SELECT COUNT(*) FROM outbox WHERE state = 'waiting'"),
        outbox_given_up=one("SELECT COUNT(*) FROM outbox WHERE state = 'given_up'"),
        outbox_overflowed=told["outbox_overflowed"],
        file_bytes=pages,
        wal_bytes=wal.stat().st_size if wal.exists() else 0,
    )


def intake_span(db: sqlite3.Connection) -> IntakeSpan:
    """Which part of the intake log is kept."""
    return IntakeSpan(
        *db.execute(
            "SELECT (SELECT MIN(seq) FROM intake), (SELECT MAX(seq) FROM intake), forgotten "
            "FROM fence"
        ).fetchone()
    )


def intake_after(
    db: sqlite3.Connection, path: Path, seq: int, until: int
) -> tuple[int, bytes] | None:
    """The first kept turn after ``seq`` and up to ``until``, with its raw intake."""
    row = db.execute(
        "SELECT seq, codec, size, crc, body FROM intake WHERE seq > ? AND seq <= ? "
        "ORDER BY seq LIMIT 1",
        (seq, until),
    ).fetchone()
    if row is None:
        return None
    found, *body = row
    return found, unpack(Packed(*body), path, f"the intake of turn {found}")


def trim_intake(
    db: sqlite3.Connection, before_seq: int | None, before_ns: int | None, bound: int
) -> int:
    """Drops the oldest turns of the intake log; how many.

    Those before a turn or a stream time, and then as many as it takes to hold ``bound`` bytes. The
    log stays without holes: what is kept is always its newest part.
    """
    # Before the first event a turn has no stream time (0): it goes with one that follows it.
    (past,) = db.execute(
        "SELECT MAX(seq) FROM intake WHERE stream_ns > 0 AND stream_ns < ?", (before_ns or 0,)
    ).fetchone()
    keep_from = max(before_seq or 0, (past or 0) + 1)
    total = tally.totals(db)["intake_bytes"]
    last, gone, freed = 0, 0, 0
    # `stored` stands before the body, so that no body is read here.
    rows = db.execute("SELECT seq, stored FROM intake ORDER BY seq")
    for seq, stored in rows:
        if seq >= keep_from and total - freed <= bound:
            break
        last, gone, freed = seq, gone + 1, freed + stored
    if gone:
        db.execute("DELETE FROM intake WHERE seq <= ?", (last,))
        db.execute("UPDATE fence SET forgotten = ?", (last,))
        tally.add(db, "intake_turns", -gone)
        tally.add(db, "intake_bytes", -freed)
    return gone


def trim_verdicts(db: sqlite3.Connection, before_ns: int | None, bound: int) -> int:
    """Drops verdicts as of before a time, and then the oldest until ``bound`` bytes are held, but
    for the newest of each deployment; how many."""
    gone, freed = [], 0
    if before_ns is not None:
        # They were judged in the order of their times: the first that is young enough ends it.
        rows = db.execute("SELECT id, as_of_ns, stored FROM verdicts ORDER BY id")
        for row, as_of_ns, stored in rows:
            if as_of_ns >= before_ns:
                break
            gone.append((row,))
            freed += stored
    over = tally.totals(db)["verdict_bytes"] - freed - bound
    if over > 0:
        rows = db.execute(
            "SELECT id, stored FROM verdicts WHERE id > ? AND id NOT IN "
            "(SELECT MAX(id) FROM verdicts GROUP BY deployment) ORDER BY id",
            gone[-1] if gone else (0,),
        )
        for row, stored in rows:
            if over <= 0:
                break
            gone.append((row,))
            freed += stored
            over -= stored
    db.executemany("DELETE FROM verdicts WHERE id = ?", gone)
    tally.add(db, "verdict_bytes", -freed)
    return len(gone)


def trim_seen(db: sqlite3.Connection, before_ns: int) -> int:
    """Drops blobs of seen ids whose newest event happened before; how many."""
    return db.execute("DELETE FROM seen WHERE newest_ns < ?", (before_ns,)).rowcount


def trim_markers(db: sqlite3.Connection, before_ns: int) -> int:
    """Drops markers that came before a stream time; how many. One that came before any event has
    no stream time (0) and goes with one that follows it."""
    return db.execute(
        "DELETE FROM markers WHERE seq <= "
        "(SELECT MAX(seq) FROM markers WHERE stream_ns > 0 AND stream_ns < ?)",
        (before_ns,),
    ).rowcount
