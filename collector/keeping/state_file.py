"""The one SQLite file that holds the state: created, locked, migrated, opened; and what can go
wrong with it, as exceptions.

Nothing here knows what the rows mean: that is ``checkpoint.py``. Two things keep a second writer
out: an exclusive ``flock`` on a file beside the state, which stops it at the door, and the epoch in
the table ``fence``, which stops it at its next commit if the lock did not (a lock file deleted by
hand, a file system without locks).
"""

# ruff: noqa: N818  # the errors below are named after the state of affairs, as an operator would

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

# CheckpointError            anything wrong with the kept state; every message names the file
# ├── StateInUse             another process serves from this directory
# ├── StateThere             a state is there already, and may not be replaced
# ├── Fenced                 somebody else moved the state on: this process must stop
# ├── ReadOnly               opened for reading, asked to write
# ├── NoState                nothing has been kept there yet
# ├── NotAState              no SQLite file, or one of another program
# ├── NewerSchema            written by a newer plimsoll
# ├── OlderSchema            written by an older one and opened for reading: serve migrates it
# ├── Corrupt                SQLite or a checksum says that bytes have changed
# ├── Unavailable            disk full, no permission, busy: the world's fault, may be retried
# ├── TooLarge               one body beyond its limit: cut the batch smaller
# └── IntakeForgotten        that part of the intake log has been trimmed away


class CheckpointError(Exception):
    """Something is wrong with the kept state."""


class StateInUse(CheckpointError):
    """Another process serves from the same state directory."""


class StateThere(CheckpointError):
    """A state is there already, where another one was to be put."""


class Fenced(CheckpointError):
    """Somebody else has moved the state on; what this process holds is out of date."""


class ReadOnly(CheckpointError):
    """The state was opened for reading and asked to write."""


class NoState(CheckpointError):
    """No state has been kept in that place yet."""


class NotAState(CheckpointError):
    """The file is no SQLite file, or belongs to another program."""


class NewerSchema(CheckpointError):
    """The file was written by a newer plimsoll than this one."""


class OlderSchema(CheckpointError):
    """The file was written by an older plimsoll and may not be migrated while only reading."""


class Corrupt(CheckpointError):
    """Bytes of the file are not what was written."""


class Unavailable(CheckpointError):
    """Disk, permission or another process stands in the way; trying again may help."""


class TooLarge(CheckpointError):
    """One body is beyond its limit."""


class IntakeForgotten(CheckpointError):
    """The asked part of the intake log has been trimmed away."""


FILE: Final = "plimsoll.sqlite"
LOCK_FILE: Final = "plimsoll.lock"
_LOGGING: Final = b"logging"
RESTORING: Final = "plimsoll.sqlite.restoring"
APPLICATION_ID: Final = 0x506C696D  # "Plim": tells our files from other programs' SQLite files
# 8 KiB: on 10,000 packed cells and 50,000 ids a commit costs 4.2 ms of CPU, against 5.0 at 4 KiB
# and 3.0 at 16 KiB; a small turn touches about six pages, so 16 KiB would double what an idle
# daemon writes.
PAGE_BYTES: Final = 8192
# Once this much waits in the write-ahead log, the commit that passes it copies it into the file.
# Half of it doubles the copying of hot pages; twice it makes the first read after a crash slower.
WAL_BYTES: Final = 16 << 20
# After a burst (one very large turn, or a long read holding the log) it is cut back to this.
WAL_KEPT_BYTES: Final = 64 << 20
# Only our own short transactions compete for the file (delivery, backup, a reader's recovery).
BUSY_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: the version that it leads to, and its SQL."""

    version: int
    sql: str


def migrations() -> tuple[Migration, ...]:
    """The steps that this plimsoll knows, in order, from ``migrations/NNNN_*.sql``."""
    folder = resources.files("collector.keeping") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(
        Migration(int(name[:4]), (folder / name).read_text(encoding="utf-8")) for name in names
    )


@contextmanager
def speaking_of(path: Path) -> Iterator[None]:
    """Turns what SQLite raises inside the block into the exceptions above, naming ``path``."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # Without a code it is the driver that speaks: a closed connection, a wrong binding.
        typed = _typed(path, getattr(error, "sqlite_errorcode", 0) & 0xFF, error)
        if typed is None:
            raise
        raise typed from error
    except UnicodeDecodeError as error:  # damage in what is kept as text
        raise damaged(path, str(error)) from error


def _typed(path: Path, code: int, error: sqlite3.Error) -> CheckpointError | None:
    if code == sqlite3.SQLITE_NOTADB:
        return NotAState(f"{path} is no SQLite file: point --state at another directory")
    if code == sqlite3.SQLITE_CORRUPT:
        return damaged(path, str(error))
    remedies = {
        sqlite3.SQLITE_FULL: "the disk is full: free some space, nothing committed is lost",
        sqlite3.SQLITE_IOERR: "the disk does not answer: look at the system log",
        sqlite3.SQLITE_BUSY: "another process holds the file: end it",
        sqlite3.SQLITE_LOCKED: "another process holds the file: end it",
        sqlite3.SQLITE_READONLY: "it may not be written: give this user the right to",
        sqlite3.SQLITE_PERM: "it may not be opened: give this user the right to",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at its directory and its rights",
    }
    if code in remedies:
        return Unavailable(f"{path}: {remedies[code]} ({error})")
    return None


def damaged(path: Path, what: str) -> Corrupt:
    """The error for a file whose bytes have changed, with its remedy."""
    return Corrupt(
        f"{path} is damaged ({' '.join(what.split())}): put the newest backup in its place, "
        "or move it away to start from nothing"
    )


class DirectoryLock:
    """An exclusive lock on a state directory, held until ``release`` or the end of the process."""

    def __init__(self, directory: Path) -> None:
        """Takes the lock; ``StateInUse`` names the process that has it, ``Unavailable`` the
        directory that cannot be used."""
        path = directory / LOCK_FILE
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(
                f"{directory} cannot hold the state: {error.strerror}; choose another --state"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").partition(" ")[0]
            os.close(self._descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise Unavailable(f"{path} cannot be locked: {error.strerror}") from error
            raise StateInUse(
                f"{directory} is in use by process {holder or 'unknown'}: "
                "end it, or choose another --state directory"
            ) from error
        # Whether whoever had it last ended in the middle, with a write-ahead log beside the state.
        self.left_log = os.read(self._descriptor, 32).strip().endswith(_LOGGING)
        self._path = path
        try:
            self._write(b"")
        except BaseException:
            os.close(self._descriptor)
            raise

    def logging(self, *, begun: bool) -> None:
        """Notes that committed turns may lie in the log from here on, or that they do no more."""
        if begun:
            self._write(_LOGGING)
        else:
            os.ftruncate(self._descriptor, 0)  # which needs no room on a full disk

    def release(self) -> None:
        """Gives the directory free. The file stays: deleting it would let two in at once."""
        os.close(self._descriptor)

    def _write(self, what: bytes) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d %s\n" % (os.getpid(), what), 0)
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written: {error.strerror}") from error


def check_log(path: Path, lock: DirectoryLock) -> None:
    """Raises ``Corrupt`` where the state at ``path`` was left with a log beside it, and the log is
    gone: without it the newest turns would be missing, and nobody would notice."""
    if not lock.left_log or not path.exists() or _wal(path).exists():
        return
    lock.logging(begun=True)  # so that the next one to open it hears the same
    raise Corrupt(
        f"{_wal(path)} is gone, and it held the newest turns of {path}: put it back, restore the "
        f"newest backup, or delete {LOCK_FILE} beside it to go on without those turns"
    )


def connect_writing(path: Path, steps: Sequence[Migration]) -> sqlite3.Connection:
    """A connection that may write, on a file made or migrated to the newest of ``steps``.

    Every commit is on disk when it returns: journal_mode WAL with synchronous FULL syncs the log
    once a commit, and fullfsync asks macOS to pass that on to the drive. What is acknowledged
    then survives a killed process and a lost power supply, as far as the drive tells the truth.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Unavailable(f"{path} cannot be opened: {error.strerror}") from error
    with speaking_of(path):
        connection = _connect(path, "mode=rw")
        try:
            _identify(connection, path, steps)
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # only a new file takes it
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // page}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
            _migrate(connection, steps)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_reading(path: Path, steps: Sequence[Migration]) -> sqlite3.Connection:
    """A connection that only reads, beside a running writer or on a copy of the file."""
    if not path.exists():
        raise NoState(f"{path} does not exist: nothing has been kept there yet")
    if path.is_dir():
        raise NotAState(f"{path} is a directory: name the file {FILE} in it")
    with speaking_of(path):
        connection = _connect(path, "mode=ro")
        try:
            try:
                _recognise(connection, path, steps)
            except sqlite3.OperationalError as error:
                # A copy on a read-only medium: a write-ahead log cannot be made there, and
                # without one beside it nobody else can be writing.
                code = error.sqlite_errorcode & 0xFF
                unwritable = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
                if not unwritable or _wal(path).exists():
                    raise
                connection.close()
                connection = _connect(path, "mode=ro&immutable=1")
                _recognise(connection, path, steps)
        except BaseException:
            connection.close()
            raise
    return connection


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions are begun and ended where one can read it
        check_same_thread=False,  # the turn and the delivery take turns under a lock of ours
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _identify(connection: sqlite3.Connection, path: Path, steps: Sequence[Migration]) -> int:
    """The schema version of the file, 0 for an empty one; raises if it is not ours to open."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (objects or version):
        raise NotAState(
            f"{path} is a SQLite file of another program: point --state at another directory"
        )
    if version > steps[-1].version:
        raise NewerSchema(
            f"{path} has schema {version} and this plimsoll knows up to {steps[-1].version}: "
            "upgrade plimsoll, or choose another --state directory"
        )
    return int(version)


def _recognise(connection: sqlite3.Connection, path: Path, steps: Sequence[Migration]) -> None:
    """Raises unless the file is one that can be read as it is."""
    version = _identify(connection, path, steps)
    if version == 0:
        raise NoState(f"{path} is empty: nothing has been kept there yet")
    if version < steps[-1].version:
        raise OlderSchema(
            f"{path} has schema {version} and this plimsoll reads {steps[-1].version}: "
            "let plimsoll serve open it once, which migrates it"
        )


def _migrate(connection: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Brings the file to the newest step, each step whole or not at all."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for step in steps[version:]:
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {step.sql}; PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {step.version}; COMMIT;"
            )
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
