"""Rejects as rows of the state file: kept up to a bound, found again, and gone once replayed.

Every function takes the connection of a transaction that its caller has begun.
"""

# ruff: noqa: S608  # what is put into SQL text are words of this file; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from analyzers.facts import Reject
from collector.decoding.faults import Reason
from collector.keeping import tally
from collector.keeping.entry import Bounds, Entry

INT64_MAX: Final = (1 << 63) - 1
# So many row numbers fit into one statement of every SQLite that Python 3.11 comes with.
IDS_MAX: Final = 500
_decode_headers: Final = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode
_COLUMNS: Final = (
    "place, reason, detail, payload, time_ns, environment, service, version, track, source, "
    "position, whole, original, sent_ms, headers"
)


@dataclass(frozen=True, slots=True)
class KeptReject:
    """A reject and its row: the turn that refused it, and where the stream stood then."""

    row: int
    seq: int
    stream_ns: int
    reject: Reject
    whole: bool = True

    @property
    def hindrance(self) -> str:
        """Why it cannot be tried once more; empty if it can."""
        if not self.whole:
            return (
                f"only its first {len(self.reject.payload)} bytes are kept "
                "(limits.reject_payload_bytes, limits.line_bytes): send it again from where it "
                "came from"
            )
        if not self.reject.payload:
            return "its payload is not kept: send it again from where it came from"
        return ""


@dataclass(frozen=True, slots=True)
class Sought:
    """Which rejects: of a reason, of a source (``kafka`` and ``kafka:orders`` stand for everything
    below them), of a service; by row numbers; ``after`` and up to ``until`` a row. Empty: any."""

    reason: str = ""
    source: str = ""
    service: str = ""
    ids: tuple[int, ...] = ()
    after: int = 0
    until: int = INT64_MAX


def write(db: sqlite3.Connection, seq: int, entry: Entry, bounds: Bounds) -> None:
    """Keeps the newest rejects up to their bound, and counts those that had to go; what was
    replayed is gone, or has the reason for which it was refused again."""
    _settle(db, entry)
    if not entry.rejects:
        return
    newest = entry.rejects[max(0, len(entry.rejects) - bounds.rejects) :]
    db.executemany(
        f"INSERT INTO rejects (seq, stream_ns, {_COLUMNS}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                seq,
                entry.stream_ns,
                reject.index,
                reject.reason,
                _storable(reject.detail),
                reject.payload,
                # Rejected input may say anything, also a time beyond what a column holds.
                reject.time_ns if abs(reject.time_ns or 0) <= INT64_MAX else None,
                _storable(reject.environment),
                _storable(reject.service),
                _storable(reject.version),
                _storable(reject.track),
                _storable(reject.source),
                reject.position,
                # What is over a line's limit has been cut at the door, wherever that was.
                len(reject.payload) < bounds.reject_payload_bytes
                and reject.reason != Reason.TOO_LONG,
                reject.original,
                reject.sent_ms,
                msgspec.msgpack.encode(reject.headers),
            )
            for reject in newest
        ],
    )
    over = max(0, count(db) + len(newest) - bounds.rejects)
    db.execute(
        "DELETE FROM rejects WHERE id IN (SELECT id FROM rejects ORDER BY id LIMIT ?)", (over,)
    )
    tally.add(db, "rejects", len(newest) - over)
    tally.add(db, "rejects_dropped", over + len(entry.rejects) - len(newest))


def _settle(db: sqlite3.Connection, entry: Entry) -> None:
    drop(db, entry.replayed)
    for again in entry.refused_again:
        # A row that went over the bound meanwhile has been counted as dropped.
        db.execute(
            "UPDATE rejects SET reason = ?, detail = ? WHERE id = ?",
            (again.reason, _storable(again.detail), again.row),
        )


def drop(db: sqlite3.Connection, rows: Sequence[int]) -> int:
    """Lets rows go that are rejects no more; how many of them there were."""
    gone = sum(db.execute("DELETE FROM rejects WHERE id = ?", (row,)).rowcount for row in set(rows))
    tally.add(db, "rejects", -gone)
    return gone


def count(db: sqlite3.Connection) -> int:
    """How many are kept."""
    return tally.totals(db)["rejects"]


def newest(db: sqlite3.Connection, limit: int) -> list[Reject]:
    """The newest rejects, newest first."""
    return [one.reject for one in find(db, Sought(), limit=limit, newest_first=True)]


def find(
    db: sqlite3.Connection, sought: Sought, *, limit: int, newest_first: bool = False
) -> list[KeptReject]:
    """At most ``limit`` of the rejects that are sought, by row number."""
    where, values = ["id > ?", "id <= ?"], [sought.after, sought.until]
    texts: list[str] = []
    for column, value in (("reason", sought.reason), ("service", sought.service)):
        if value:
            where.append(f"{column} = ?")
            texts.append(value)
    if sought.source:
        where.append("(source = ? OR substr(source, 1, ?) IN (?, ?))")
    ids = sought.ids[:IDS_MAX]
    bound: list[object] = [*values, *texts]
    if sought.source:
        name = sought.source
        bound += [name, len(name) + 1, f"{name}/", f"{name}:"]
    if ids:
        where.append(f"id IN ({', '.join('?' * len(ids))})")
        bound += ids
    rows = db.execute(
        f"SELECT id, seq, stream_ns, {_COLUMNS} FROM rejects WHERE {' AND '.join(where)} "
        f"ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT ?",
        (*bound, limit),
    )
    return [_kept(row) for row in rows]


def _kept(row: tuple[object, ...]) -> KeptReject:
    number, seq, stream_ns, *columns, whole, original, sent_ms, headers = row
    names = _COLUMNS.replace("place", "index").split(", ")[:-4]
    reject = Reject(
        **dict(zip(names, columns, strict=True)),  # type: ignore[arg-type]  # in their order
        original=bool(original),
        sent_ms=sent_ms,  # type: ignore[arg-type]
        headers=_headers(headers),
    )
    return KeptReject(number, seq, stream_ns, reject, whole=bool(whole))  # type: ignore[arg-type]


def _headers(body: object) -> tuple[tuple[str, bytes], ...]:
    try:
        return _decode_headers(body)  # type: ignore[arg-type]
    except (msgspec.DecodeError, TypeError):
        return ()  # of a damaged file: the form that needs them refuses the message once more


def _storable(text: str) -> str:
    # A lone surrogate, which JSON can spell and UTF-8 cannot, is kept as its escape.
    return text.encode("utf-8", "backslashreplace").decode()
