"""Crashes where one asks for them: between the steps of a turn, and around any statement of SQLite.

A crash is no exception that somebody could handle: from then on the connection is dead, and what
the disk holds is what was written until then.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from analyzers.inbox import Delta, Inbox
from analyzers.policy import Policy
from analyzers.turn import State, take_turn
from collector.keeping.checkpoint import FILE, Checkpoint
from pipeline import turns as turning


class CrashError(BaseException):
    """The process is gone; nothing of ours may catch this."""


@dataclass(slots=True)
class Wire:
    """The connection of a checkpoint, cut after so many statements.

    ``cut_after`` counts statements from ``arm`` on (0: never); the last one is carried out if
    ``late``. ``refuse`` makes it an error of the disk instead of a crash, so many times in a row.
    """

    connection: sqlite3.Connection
    cut_after: int = 0
    late: bool = False
    refuse: int = 0
    dead: bool = False
    seen: int = 0

    def arm(self, cut_after: int, *, late: bool, refuse: int) -> None:
        """Cuts the wire so many statements from now."""
        self.seen, self.cut_after, self.late, self.refuse = 0, cut_after, late, refuse

    def execute(self, sql: str, *bound: Any) -> sqlite3.Cursor:
        return self._done(lambda: self.connection.execute(sql, *bound), sql)

    def executemany(self, sql: str, *bound: Any) -> sqlite3.Cursor:
        return self._done(lambda: self.connection.executemany(sql, *bound), sql)

    @property
    def in_transaction(self) -> bool:
        self._alive()
        return self.connection.in_transaction

    @property
    def total_changes(self) -> int:
        return self.connection.total_changes

    def close(self) -> None:
        self.connection.close()

    def _alive(self) -> None:
        if self.dead:
            raise CrashError

    def _done(self, work: Callable[[], sqlite3.Cursor], sql: str) -> sqlite3.Cursor:
        self._alive()
        self.seen += 1
        if not self.cut_after or self.seen < self.cut_after:
            return work()
        if sql.startswith("ROLLBACK"):
            return work()
        if self.refuse:
            self.refuse -= 1
            self.cut_after = self.cut_after if self.refuse else 0
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        if self.late:
            work()
        self.dead = True
        raise CrashError


def wired(checkpoint: Checkpoint) -> Wire:
    """The checkpoint's connection as one that can be cut."""
    connection = checkpoint._db
    assert isinstance(connection, sqlite3.Connection)
    wire = Wire(connection)
    checkpoint._db = wire  # type: ignore[assignment]
    return wire


@contextmanager
def crash_around_judging(before: bool) -> Iterator[None]:
    """Lets the process die after ``decode``, or after the state has moved in memory."""

    def dying(state: State, inbox: Inbox, policy: Policy) -> Delta:
        if not before:
            take_turn(state, inbox, policy)
        raise CrashError

    with patch.object(turning, "take_turn", dying):
        yield


def left_on_disk(checkpoint: Checkpoint, folder: Path) -> Path:
    """A folder with the files as a killed process leaves them; the process is gone afterwards."""
    folder.mkdir()
    for name in (FILE, f"{FILE}-wal"):
        path = checkpoint.path.with_name(name)
        if path.exists():
            shutil.copyfile(path, folder / name)
    wire = checkpoint._db
    wire.close()
    if checkpoint._lock is not None:
        checkpoint._lock.release()
        checkpoint._lock = None
    return folder
