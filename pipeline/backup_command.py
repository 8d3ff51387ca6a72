"""The commands ``plimsoll backup`` and ``plimsoll restore``: one call each, verified, and telling
what the copy holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from analyzers.inbox import Memory
from analyzers.times import rfc3339
from collector.keeping import copies
from collector.keeping.checkpoint import FILE, Checkpoint, CheckpointError, Corrupt
from pipeline import render

# Below this a copy is over before a bar is drawn.
PROGRESS_FROM_PAGES: Final = 2_000


class BackupError(Exception):
    """A copy that was not made or not put back; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What a state holds: turns and events so far, event time (None before any), bytes."""

    turns: int
    events: int
    as_of_ns: int | None
    size: int

    def __str__(self) -> str:
        as_of = "before any event" if self.as_of_ns is None else f"as of {rfc3339(self.as_of_ns)}"
        return f"{self.turns} turns, {self.events} events, {as_of}, {self.size / 1e6:.1f} MB"


@dataclass(frozen=True, slots=True)
class Written:
    """A copy that is there and has been verified."""

    path: Path
    holding: Holding


def back_up(to: Path, state: Path, *, terminal: bool) -> Written:
    """Copies the state in the directory ``state`` to a new file, or to a directory, where it gets a
    name of its own; BackupError if that fails, and then there is no copy."""
    try:
        with Checkpoint.open(state, exclusive=False) as checkpoint:
            path = to / _name(checkpoint) if to.is_dir() else to
            with _progress("copying", show=terminal) as told:
                checkpoint.backup(path, told)
        try:
            return Written(path, _holding(path))
        except Corrupt as error:
            # What SQLite copies faithfully may have been damaged before.
            path.unlink(missing_ok=True)
            raise BackupError(
                f"the state in {state} is damaged, and so was this copy, which is gone again: keep "
                f"the earlier backups, and restore the newest of them ({error})"
            ) from error
    except CheckpointError as error:
        raise BackupError(str(error)) from error


def put_back(
    source: Path, state: Path, *, force: bool, terminal: bool
) -> tuple[Holding, copies.Restored]:
    """Puts the backup ``source`` into the directory ``state``; BackupError if it is no good or if
    something is in the way, and then nothing has changed."""
    found: list[Holding] = []
    try:
        with _progress("copying", show=terminal) as told:
            restored = copies.restore(
                source,
                state,
                lambda path: found.append(_holding(path)),
                force=force,
                progress=told,
            )
    except Corrupt as error:
        raise BackupError(
            f"{source} is damaged, so nothing has been changed: restore another backup ({error})"
        ) from error
    except CheckpointError as error:
        raise BackupError(str(error)) from error
    return found[0], restored


def _holding(path: Path) -> Holding:
    """What the file holds, once every byte of it has been verified."""
    with Checkpoint.read(path) as checkpoint:
        checkpoint.verify()
        saved = checkpoint.load()
        memory = _memory(saved.memory, path)
        return Holding(saved.seq, memory.counts.events, memory.stream_ns, path.stat().st_size)


def _memory(body: bytes | None, path: Path) -> Memory:
    try:
        return msgspec.msgpack.decode(body, type=Memory) if body else Memory()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(
            f"what {path} holds cannot be understood ({error}): it was written by another version"
        ) from error


def _name(checkpoint: Checkpoint) -> str:
    """A name that sorts by turn and is taken only once."""
    seq = checkpoint.intake_span().last_seq or 0
    return f"{Path(FILE).stem}-{seq:012d}.sqlite"


@contextmanager
def _progress(what: str, *, show: bool) -> Iterator[copies.Progress]:
    """What is told the pages done and in all; a bar for a terminal and a large file."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=render.plain_console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=None)

    def told(done: int, total: int) -> None:
        if show and not bar.live.is_started and total >= PROGRESS_FROM_PAGES:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield told
    finally:
        if bar.live.is_started:
            bar.stop()
