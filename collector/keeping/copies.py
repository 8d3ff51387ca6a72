"""Copies of the state file: written while it is in use, and put back in its place.

A copy is one file without a log beside it. It appears whole or not at all, and is synced before it
has its name. Nothing that was there is ever deleted: what must make room is moved aside.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.keeping.state_file import (
    FILE,
    RESTORING,
    DirectoryLock,
    NoState,
    NotAState,
    OlderSchema,
    StateThere,
    Unavailable,
    connect_reading,
    connect_writing,
    migrations,
    speaking_of,
)

Progress = Callable[[int, int], None]
Verify = Callable[[Path], None]

# Pages copied between two looks at the progress: 8 MB, some milliseconds.
_PAGES: Final = 1024
_BESIDE: Final = ("-wal", "-shm")
_ASIDE: Final = "before-restore"
_ASIDE_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Restored:
    """Where the state is now, and where the one is that was there (None: there was none)."""

    path: Path
    aside: Path | None


def copy(source: Path, to: Path, progress: Progress | None = None) -> None:
    """Writes the state in the file ``source`` as it is now to the new file ``to``, while commits go
    on. ``progress`` is told pages done and in all.

    Raises ``Unavailable`` where ``to`` exists or cannot be written, and what reading raises.
    """
    if to.exists():
        raise Unavailable(f"{to} exists already: give the backup another name")
    with closing(connect_reading(source, migrations())) as connection:
        _copy(connection, source, to, progress)


def _copy(
    connection: sqlite3.Connection, source: Path, to: Path, progress: Progress | None
) -> None:
    part = to.with_name(to.name + ".part")

    def told(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with speaking_of(part), closing(sqlite3.connect(part, isolation_level=None)) as target:
            # One reading transaction from the first page to the last: without it every commit of
            # the daemon would make the copy begin anew, and under load it would never end.
            with speaking_of(source):
                connection.execute("BEGIN")
                connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            connection.backup(target, pages=_PAGES, progress=told, sleep=0)
            connection.execute("ROLLBACK")
            target.execute("PRAGMA journal_mode = DELETE")
        sync(part)
        part.replace(to)
        sync(to.parent)
    except OSError as error:
        raise Unavailable(f"{to} cannot be written: {error.strerror}") from error
    finally:
        _gone(part)


def restore(
    source: Path,
    directory: Path,
    verify: Verify,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Restored:
    """Puts the copy ``source`` into a state directory, so that ``serve`` goes on from there.

    1. Nobody may serve from the directory: ``StateInUse``. A state that is there stays, unless
       ``force``: ``StateThere``.
    2. The copy is copied beside it, brought to the schema of this plimsoll, and given to
       ``verify``. Until here nothing has changed.
    3. What was there is moved aside, and the copy takes its place. A crash between the two leaves
       the copy under the name that ``Checkpoint.open`` refuses to pass over.
    """
    if source.is_dir():
        raise NotAState(f"{source} is a directory: name the backup file in it")
    if not source.exists():
        raise NoState(f"{source} does not exist: name a file that plimsoll backup has written")
    lock = DirectoryLock(directory)
    try:
        path, ready = directory / FILE, directory / RESTORING
        if path.exists() and not force:
            raise StateThere(
                f"{path} holds a state already: say --force to move it aside, "
                "or choose another --state directory"
            )
        try:
            _gone(ready)
            _bring(source, ready, progress)
            verify(ready)
        except BaseException:
            _gone(ready)
            raise
        aside = _move_aside(directory)
        ready.replace(path)
        sync(directory)
        return Restored(path, aside)
    except OSError as error:
        raise Unavailable(f"{directory} cannot take the state: {error.strerror}") from error
    finally:
        lock.release()


def _bring(source: Path, to: Path, progress: Progress | None) -> None:
    """Copies a state of this or an older schema to ``to``, and brings it to this one."""
    try:
        copy(source, to, progress)
    except OlderSchema:
        with speaking_of(source):
            uri = f"{source.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                _copy(connection, source, to, progress)
        connection = connect_writing(to, migrations())
        with speaking_of(to):
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.close()
        sync(to)


def refuse_interrupted(directory: Path) -> None:
    """Raises ``Unavailable`` where a restore ended between taking one state away and putting the
    other in its place: a new state must not begin there."""
    if (directory / RESTORING).exists() and not (directory / FILE).exists():
        raise Unavailable(f"a restore into {directory} was interrupted: run plimsoll restore again")


def _move_aside(directory: Path) -> Path | None:
    """The new directory that holds the state that was there, with its log, so that it opens; None
    if there was none."""
    # The state goes first: as long as it is there its log must be, too.
    names = (FILE, *(FILE + end for end in _BESIDE))
    there = [name for name in names if (directory / name).exists()]
    if not there:
        return None
    places = (directory / f"{_ASIDE}-{number}" for number in range(1, _ASIDE_MAX))
    aside = next((place for place in places if not place.exists()), None)
    if aside is None:
        raise Unavailable(f"{directory} holds {_ASIDE_MAX} states moved aside: remove some of them")
    aside.mkdir(mode=0o700)
    for name in there:
        (directory / name).rename(aside / name)
    sync(aside)
    sync(directory)
    return aside


def _gone(path: Path) -> None:
    for name in (path.name, *(path.name + end for end in _BESIDE), path.name + "-journal"):
        path.with_name(name).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Returns when a file, or the names in a directory, are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
