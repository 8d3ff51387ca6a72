"""What must outlive the process: one turn, one transaction, one SQLite file.

``Checkpoint.commit`` writes everything that a turn changed in one transaction: the raw intake,
cells, seen ids, markers, rejects, verdicts, notices, memory and source positions. Before it
returns nothing has happened; after it everything has, through kill -9 and a lost power supply
(see ``state_file.connect_writing``). Cells, seen ids, memory, markers, verdicts and payloads are
opaque bytes here: this module must never learn what they mean. The exceptions are drawn at the
top of ``state_file.py``; epoch, turn and positions are compared before they are set, which keeps
a zombie from writing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from analyzers.facts import Reject
from collector.keeping import blobs, copies, outbox_rows, reject_rows, tally, turn_rows
from collector.keeping.blobs import Merge
from collector.keeping.entry import (
    Bounds,
    Compacted,
    Counts,
    Entry,
    Forgotten,
    IntakeSpan,
    KeptVerdict,
    Move,
    RefusedAgain,
    Saved,
)
from collector.keeping.outbox_rows import NewNotice, QueuedNotice
from collector.keeping.reject_rows import KeptReject, Sought
from collector.keeping.state_file import (
    FILE,
    CheckpointError,
    Corrupt,
    DirectoryLock,
    Fenced,
    IntakeForgotten,
    NewerSchema,
    NoState,
    NotAState,
    OlderSchema,
    ReadOnly,
    StateInUse,
    StateThere,
    TooLarge,
    Unavailable,
    check_log,
    connect_reading,
    connect_writing,
    damaged,
    migrations,
    speaking_of,
)

__all__ = [
    "FILE",
    "Bounds",
    "Checkpoint",
    "CheckpointError",
    "Compacted",
    "Corrupt",
    "Counts",
    "Entry",
    "Fenced",
    "Forgotten",
    "IntakeForgotten",
    "IntakeSpan",
    "KeptReject",
    "KeptVerdict",
    "Move",
    "NewNotice",
    "NewerSchema",
    "NoState",
    "NotAState",
    "OlderSchema",
    "QueuedNotice",
    "ReadOnly",
    "RefusedAgain",
    "Saved",
    "Sought",
    "StateInUse",
    "StateThere",
    "TooLarge",
    "Unavailable",
]

# One call of the delivery takes at most so many notices: with ten seconds of patience for each and
# eight at a time, the next look at the outbox is then at most about two minutes away.
DUE_MAX: Final = 100


class Checkpoint:
    """The kept state, open. One process writes; calls from its threads take turns."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        *,
        lock: DirectoryLock | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """For ``open`` and ``read``. With ``lock`` it may write, and raises the epoch."""
        self.path = path
        self._db = connection
        self._lock = lock
        self._bounds = bounds or Bounds()
        self._turns = threading.RLock()
        self._epoch = self._seq = 0
        if lock is not None:
            with speaking_of(path):
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("UPDATE fence SET epoch = epoch + 1")
                self._epoch, self._seq = self._db.execute("SELECT epoch, seq FROM fence").fetchone()
                self._db.execute("COMMIT")
            lock.logging(begun=True)

    @classmethod
    def open(
        cls, directory: Path, *, exclusive: bool = True, bounds: Bounds | None = None
    ) -> Checkpoint:
        """The state kept in ``directory``, made if there is none.

        ``exclusive`` locks the directory and may write; without it nothing is written, and it
        works beside the process that has the lock. Raises ``StateInUse``, ``NotAState``,
        ``NewerSchema``, ``Corrupt``, ``Unavailable``; reading also ``NoState``, ``OlderSchema``.
        """
        path = directory / FILE
        if not exclusive:
            return cls.read(path)
        lock = DirectoryLock(directory)
        try:
            copies.refuse_interrupted(directory)
            check_log(path, lock)
            connection = connect_writing(path, migrations())
            try:
                return cls(path, connection, lock=lock, bounds=bounds)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """The state file at ``path``, live or a backup, for reading only."""
        return cls(path, connect_reading(path, migrations()))

    def close(self) -> None:
        """Ends the connection and gives the directory free."""
        with self._turns:
            if self._lock is not None:
                self._lock.logging(begun=False)  # before the log goes: a crash here loses nothing
            self._db.close()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the file, whatever is committed meanwhile."""
        with self._turns, speaking_of(self.path):
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                if self._db.in_transaction:  # some errors of the disk end it by themselves
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end of the block or not at all."""
        with self._turns, speaking_of(self.path):
            if self._lock is None:
                raise ReadOnly(f"{self.path} was opened for reading: open it with exclusive=True")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._compare_epoch()
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _compare_epoch(self) -> None:
        (epoch,) = self._db.execute("SELECT epoch FROM fence").fetchone()
        if epoch != self._epoch:
            raise Fenced(
                f"{self.path} was taken over by another process (epoch {epoch}, ours is "
                f"{self._epoch}): this one must stop"
            )

    def commit(self, entry: Entry) -> int:
        """The number of the turn, once everything in ``entry`` is on disk: all of it or nothing.

        Raises ``Fenced`` when another process has moved the state or a position on, ``TooLarge``
        for a body over its limit, ``Unavailable`` when the disk refuses: then nothing was written
        and the same entry may be committed again.
        """
        ready = turn_rows.packed(entry)
        with self._turns:
            seq = self._seq + 1
            with self._writing() as db:
                # 1. What was read must have been read from where the sources stand.
                for moved in entry.positions:
                    turn_rows.move(db, self.path, moved)
                # 2. The turn itself.
                db.execute("UPDATE fence SET seq = ?", (seq,))
                turn_rows.write(db, seq, entry, ready, self._bounds)
                # 3. What others must hear of it.
                over = outbox_rows.insert(db, seq, entry.notices, self._bounds.outbox)
                tally.add(db, "outbox_overflowed", over)
            self._seq = seq
        return seq

    def load(self) -> Saved:
        """Everything that a restart begins with; ``Corrupt`` when a checksum does not match."""
        with self._reading() as db:
            return turn_rows.load(db, self.path)

    def counts(self) -> Counts:
        """How much is kept, and what was dropped over a bound."""
        with self._reading() as db:
            return turn_rows.counts(db, self.path)

    def verdicts(self, deployment: str, limit: int = 100) -> list[KeptVerdict]:
        """The newest verdicts of one deployment, newest first."""
        with self._reading() as db:
            return turn_rows.verdicts(db, self.path, deployment, limit)

    def rejects(self, limit: int = 100) -> list[Reject]:
        """The newest rejects, newest first."""
        with self._reading() as db:
            return reject_rows.newest(db, limit)

    def kept_rejects(
        self, sought: Sought, *, limit: int = 100, newest_first: bool = False
    ) -> list[KeptReject]:
        """At most ``limit`` of the rejects that are sought, with their rows, by row number."""
        with self._reading() as db:
            return reject_rows.find(db, sought, limit=limit, newest_first=newest_first)

    def drop_rejects(self, rows: Sequence[int]) -> int:
        """Lets rejects go that turned out to be nothing to keep; how many there were."""
        with self._writing() as db:
            return reject_rows.drop(db, rows)

    def intake_span(self) -> IntakeSpan:
        """Which part of the intake log is kept."""
        with self._reading() as db:
            return turn_rows.intake_span(db)

    def intake_log(self, after_seq: int | None = None) -> Iterator[tuple[int, bytes]]:
        """The recorded turns after ``after_seq``, each with its number and raw intake, up to the
        newest one at the time of the call.

        None begins with the oldest turn that is kept. Each turn is read in a transaction of its
        own, so a slow reader holds nobody up; ``IntakeForgotten`` if ``forget`` overtakes it.
        """
        span = self.intake_span()
        seq = span.forgotten_seq if after_seq is None else after_seq
        while True:
            with self._reading() as db:
                forgotten = turn_rows.intake_span(db).forgotten_seq
                if seq < forgotten:
                    raise IntakeForgotten(
                        f"{self.path} no longer has the intake of turn {seq + 1}: it was trimmed "
                        f"up to turn {forgotten}; read from there, or keep a larger intake log"
                    )
                found = turn_rows.intake_after(db, self.path, seq, span.last_seq or 0)
            if found is None:
                return
            yield found
            seq = found[0]

    def compact(
        self, merge_cells: Merge, merge_seen: Merge, *, everything: bool = False
    ) -> Compacted:
        """Puts one blob in the place of many, cells and seen ids in one transaction.

        Without ``everything`` only where it pays (see ``blobs.py``): call it when ``counts`` shows
        more blobs than a restart should read. With it every blob goes through the functions,
        which may leave out what is past its retention. They are called between the reading and the
        writing transaction, so that commits go on; what they give back empty is removed.
        """
        with self._reading() as db:
            cells = blobs.runs(db, "cells", everything=everything)
            seen = blobs.runs(db, "seen", everything=everything)
        if not cells and not seen:
            return Compacted(0, 0)
        cells_after = blobs.merged(self.path, "cells", cells, merge_cells)
        seen_after = blobs.merged(self.path, "seen", seen, merge_seen)
        with self._writing() as db:
            return Compacted(
                blobs.replace(db, "cells", cells, cells_after),
                blobs.replace(db, "seen", seen, seen_after),
            )

    def forget(
        self,
        *,
        intake_before_seq: int | None = None,
        intake_before_ns: int | None = None,
        seen_before_ns: int | None = None,
        history_before_ns: int | None = None,
    ) -> Forgotten:
        """Drops what is past its retention, and holds intake log and verdicts to their bytes.

        Intake goes by turn or by stream time; blobs of seen ids when nothing in them happened
        after ``seen_before_ns``; markers and verdicts by ``history_before_ns``, the newest verdict
        of a deployment too. The file does not shrink, its free pages are used again.
        """
        with self._writing() as db:
            intake = turn_rows.trim_intake(
                db, intake_before_seq, intake_before_ns, self._bounds.intake_bytes
            )
            verdicts = turn_rows.trim_verdicts(db, history_before_ns, self._bounds.verdict_bytes)
            seen = markers = 0
            if seen_before_ns is not None:
                seen = turn_rows.trim_seen(db, seen_before_ns)
            if history_before_ns is not None:
                markers = turn_rows.trim_markers(db, history_before_ns)
        return Forgotten(intake, seen, markers, verdicts)

    def due(self, now_ns: int) -> list[QueuedNotice]:
        """The notices to deliver now, at most ``DUE_MAX``; see ``outbox_rows.due``."""
        with self._reading() as db:
            return outbox_rows.due(db, now_ns, DUE_MAX)

    def delivered(self, notice: int, now_ns: int, again_ns: int | None = None) -> None:
        """Marks a notice as delivered; ``again_ns`` is when it must be said again, if ever."""
        with self._writing() as db:
            outbox_rows.delivered(db, notice, now_ns, again_ns)

    def failed(self, notice: int, error: str, next_due_ns: int | None) -> None:
        """Marks a try as failed, to be tried again at ``next_due_ns`` or, with None, given up."""
        with self._writing() as db:
            outbox_rows.failed(db, notice, error, next_due_ns)

    def notices(self, limit: int = 100) -> list[QueuedNotice]:
        """The newest notices in whatever state, newest first."""
        with self._reading() as db:
            return outbox_rows.newest(db, limit)

    def verify(self) -> None:
        """Reads the structure of the file and all that a restart or a replay reads; ``Corrupt`` if
        any of it is not as it was written. Takes as long as reading the file does."""
        with self._reading() as db:
            (said,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise damaged(self.path, said)
        self.load()
        for _seq, _intake in self.intake_log():
            continue  # unpacking has compared the checksum

    def backup(self, to: Path, progress: copies.Progress | None = None) -> None:
        """Writes the state as it is now to the new file ``to``, while commits go on.

        It appears there whole or not at all, is one file without a log beside it, and serves again
        when put into a state directory under the name of ``FILE``.
        """
        copies.copy(self.path, to, progress)
