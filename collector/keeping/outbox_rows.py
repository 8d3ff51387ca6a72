"""Notices on their way out, as rows of the state file: who is next, and what became of each.

Written in the transaction of the turn that caused them; read and marked by the delivery in
``dashboards.outbox``, which knows this store only by its shape. Every function takes the
connection of a transaction that its caller has begun.
"""

# ruff: noqa: S608  # what is put into SQL text are words of this file; values are bound

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

NoticeState: TypeAlias = Literal["waiting", "delivered", "given_up"]

KEY_CHARACTERS_MAX: Final = 200
ERROR_CHARACTERS_MAX: Final = 500
COLUMNS: Final = (
    "id, key, channel, deployment, payload, state, due_ns, sent_ns, attempts, failures, error"
)


@dataclass(frozen=True, slots=True)
class NewNotice:
    """A notice to be queued: ``payload`` for ``channel``, not before the clock time ``due_ns``.

    ``key`` makes it one notice however often it is queued or sent: printable ASCII, since it
    travels in a header. Notices of one deployment to one channel keep their order.
    """

    key: str
    channel: str
    deployment: str
    payload: bytes
    due_ns: int = 0

    def __post_init__(self) -> None:
        plain = self.key.isascii() and self.key.isprintable()
        if not plain or not 1 <= len(self.key) <= KEY_CHARACTERS_MAX:
            raise ValueError(
                f"notice key {self.key!r} must be 1 to {KEY_CHARACTERS_MAX} printable ASCII "
                "characters: use a digest"
            )


@dataclass(frozen=True, slots=True)
class QueuedNotice:
    """A notice as it is kept. ``due_ns`` and ``sent_ns`` (its first delivery) are clock times;
    ``attempts`` counts every try, ``failures`` those since it was last delivered."""

    id: int
    key: str
    channel: str
    deployment: str
    payload: bytes
    state: NoticeState
    due_ns: int | None
    sent_ns: int | None
    attempts: int
    failures: int
    error: str


def insert(db: sqlite3.Connection, seq: int, notices: Sequence[NewNotice], bound: int) -> int:
    """Queues the notices that are not queued yet; how many had to be given up for ``bound``.

    A newer notice of a deployment ends the repeating of the older ones in that channel.
    """
    for notice in notices:
        row = db.execute(
            "INSERT INTO outbox (seq, key, channel, deployment, state, due_ns, attempts, "
            "failures, error, payload) VALUES (?, ?, ?, ?, 'waiting', ?, 0, 0, '', ?) "
            "ON CONFLICT (channel, key) DO NOTHING",
            (seq, notice.key, notice.channel, notice.deployment, notice.due_ns, notice.payload),
        )
        if row.rowcount == 1:
            db.execute(
                "UPDATE outbox SET due_ns = NULL WHERE channel = ? AND deployment = ? "
                "AND state = 'delivered' AND due_ns IS NOT NULL",
                (notice.channel, notice.deployment),
            )
    return _hold_to(db, bound) if notices else 0


def _hold_to(db: sqlite3.Connection, bound: int) -> int:
    """Keeps at most ``bound`` waiting, repeating and finished rows each; how many were given up.

    The oldest go: what a deployment is now matters more than what it was.
    """
    (waiting,) = db.execute("SELECT COUNT(*) FROM outbox WHERE state = 'waiting'").fetchone()
    over = max(0, int(waiting) - bound)
    db.execute(
        "UPDATE outbox SET state = 'given_up', due_ns = NULL, error = ? WHERE id IN "
        "(SELECT id FROM outbox WHERE state = 'waiting' ORDER BY id LIMIT ?)",
        (f"more than {bound} notices were waiting", over),
    )
    repeating = "state = 'delivered' AND due_ns IS NOT NULL"
    (count,) = db.execute(f"SELECT COUNT(*) FROM outbox WHERE {repeating}").fetchone()
    db.execute(
        "UPDATE outbox SET due_ns = NULL WHERE id IN "
        f"(SELECT id FROM outbox WHERE {repeating} ORDER BY id LIMIT ?)",
        (max(0, count - bound),),
    )
    finished = "state <> 'waiting' AND due_ns IS NULL"
    (count,) = db.execute(f"SELECT COUNT(*) FROM outbox WHERE {finished}").fetchone()
    db.execute(
        f"DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE {finished} "
        "ORDER BY id LIMIT ?)",
        (max(0, count - bound),),
    )
    return over


def due(db: sqlite3.Connection, now_ns: int, limit: int) -> list[QueuedNotice]:
    """At most ``limit`` notices to deliver now, longest due first.

    Of each channel and deployment only the oldest that waits, so that order is kept; and the
    delivered ones whose time has come to be said again.
    """
    return _queued(
        db.execute(
            f"SELECT {COLUMNS} FROM outbox WHERE due_ns <= ?1 AND id IN (SELECT MIN(id) "
            "FROM outbox WHERE state = 'waiting' GROUP BY channel, deployment) UNION ALL "
            f"SELECT {COLUMNS} FROM outbox WHERE state = 'delivered' AND due_ns <= ?1 "
            "ORDER BY due_ns, id LIMIT ?2",
            (now_ns, limit),
        )
    )


def newest(db: sqlite3.Connection, limit: int) -> list[QueuedNotice]:
    """The newest notices in whatever state, newest first."""
    return _queued(db.execute(f"SELECT {COLUMNS} FROM outbox ORDER BY id DESC LIMIT ?", (limit,)))


def _queued(rows: Iterable[tuple[object, ...]]) -> list[QueuedNotice]:
    return [QueuedNotice(*row) for row in rows]  # type: ignore[arg-type]  # in COLUMNS' order


# A repeat in flight while a newer notice was queued must not start repeating again.
_UNLESS_SUPERSEDED: Final = (
    "CASE WHEN EXISTS (SELECT 1 FROM outbox AS newer WHERE newer.channel = outbox.channel "
    "AND newer.deployment = outbox.deployment AND newer.id > outbox.id) THEN NULL ELSE ? END"
)


def delivered(db: sqlite3.Connection, notice: int, now_ns: int, again_ns: int | None) -> None:
    """Marks a notice as delivered; ``again_ns`` is when it must be said again, if ever."""
    db.execute(
        "UPDATE outbox SET state = 'delivered', sent_ns = COALESCE(sent_ns, ?), "
        f"attempts = attempts + 1, failures = 0, error = '', due_ns = {_UNLESS_SUPERSEDED} "
        "WHERE id = ?",
        (now_ns, again_ns, notice),
    )


def failed(db: sqlite3.Connection, notice: int, error: str, next_due_ns: int | None) -> None:
    """Marks a try as failed, to be tried again at ``next_due_ns`` or, with None, given up."""
    error = error[:ERROR_CHARACTERS_MAX].encode("utf-8", "backslashreplace").decode()
    counted = "attempts = attempts + 1, failures = failures + 1, error = ?"
    if next_due_ns is None:
        db.execute(
            f"UPDATE outbox SET {counted}, state = 'given_up', due_ns = NULL WHERE id = ?",
            (error, notice),
        )
        return
    db.execute(
        f"UPDATE outbox SET {counted}, due_ns = CASE state WHEN 'waiting' THEN ? "
        f"WHEN 'delivered' THEN {_UNLESS_SUPERSEDED} ELSE NULL END WHERE id = ?",
        (error, next_due_ns, next_due_ns, notice),
    )
