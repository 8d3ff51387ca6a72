"""The state file: who may open it, what is refused and why, how its schema moves forward."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from collector.keeping.checkpoint import (
    FILE,
    Checkpoint,
    Corrupt,
    Entry,
    NewerSchema,
    NoState,
    NotAState,
    OlderSchema,
    StateInUse,
    Unavailable,
)
from collector.keeping.state_file import (
    LOCK_FILE,
    WAL_BYTES,
    Migration,
    connect_reading,
    connect_writing,
    migrations,
)

STEPS = migrations()
ADDED = Migration(len(STEPS) + 1, "CREATE TABLE extra (x INTEGER); INSERT INTO extra VALUES (7);")
BROKEN = Migration(len(STEPS) + 1, "CREATE TABLE extra (x INTEGER); INSERT INTO nowhere VALUES (7)")


def made(directory: Path, turns: int = 1) -> Path:
    with Checkpoint.open(directory) as checkpoint:
        for turn in range(turns):
            checkpoint.commit(Entry(cells=b"%d " % turn * 3000, memory=b"m"))
    return directory / FILE


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    assert [step.version for step in STEPS] == list(range(1, len(STEPS) + 1))


def test_the_file_is_durable_and_for_its_owner_only(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path / "state") as checkpoint:
        settings = {
            name: checkpoint._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "fullfsync")
        }
        assert settings == {
            "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "fullfsync": 1
        }  # fmt: skip
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        for path in (tmp_path / "state").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_second_writer_is_told_who_has_the_directory(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as first:
        first.commit(Entry())
        with pytest.raises(StateInUse, match=r"in use by process \d+: end it, or choose another"):
            Checkpoint.open(tmp_path)
    with Checkpoint.open(tmp_path) as again:
        assert again.load().seq == 1


def test_a_refused_opening_gives_the_directory_free_again(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"order,amount\n" * 1000)
    for _ in range(2):
        with pytest.raises(NotAState, match=r"plimsoll\.sqlite is no SQLite file: point --state"):
            Checkpoint.open(tmp_path)
    (tmp_path / FILE).unlink()
    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.load().seq == 0


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(NotAState, match="SQLite file of another program"):
        Checkpoint.open(tmp_path)
    with pytest.raises(NotAState, match="SQLite file of another program"):
        Checkpoint.open(tmp_path, exclusive=False)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_newer_schema_is_refused_by_writer_and_reader(tmp_path: Path) -> None:
    path = made(tmp_path)
    connect_writing(path, (*STEPS, ADDED)).close()
    for exclusive in (True, False):
        with pytest.raises(NewerSchema, match=r"has schema 3 .* knows up to 2: upgrade plimsoll"):
            Checkpoint.open(tmp_path, exclusive=exclusive)


def test_an_older_schema_is_migrated_by_a_writer_and_keeps_its_rows(tmp_path: Path) -> None:
    path = made(tmp_path)
    with pytest.raises(OlderSchema, match="has schema 2 and this plimsoll reads 3: let plimsoll"):
        connect_reading(path, (*STEPS, ADDED))
    with closing(connect_writing(path, (*STEPS, ADDED))) as db:
        assert db.execute("SELECT x FROM extra").fetchall() == [(7,)]
        assert db.execute("SELECT seq FROM fence").fetchall() == [(1,)]
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
    with closing(connect_reading(path, (*STEPS, ADDED))) as db:
        assert db.execute("SELECT COUNT(*) FROM cells").fetchone() == (1,)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = made(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        connect_writing(path, (*STEPS, BROKEN))
    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.load().seq == 1
        tables = checkpoint._db.execute("SELECT name FROM sqlite_master").fetchall()
    assert ("extra",) not in tables


def test_reading_where_nothing_was_kept_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoState, match="does not exist: nothing has been kept there yet"):
        Checkpoint.open(tmp_path / "nowhere", exclusive=False)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / FILE).touch()
    with pytest.raises(NoState, match="is empty"):
        Checkpoint.open(tmp_path, exclusive=False)
    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.load().seq == 0


def test_a_state_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(Unavailable, match=r"state cannot hold the state: .*choose another --state"):
        Checkpoint.open(tmp_path / "state")


def test_a_state_file_that_is_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(Unavailable, match=r"plimsoll\.sqlite cannot be opened"):
        Checkpoint.open(tmp_path)
    with pytest.raises(NotAState, match=r"is a directory: name the file plimsoll\.sqlite in it"):
        Checkpoint.open(tmp_path, exclusive=False)


@contextmanager
def without_the_right_to_write(directory: Path) -> Iterator[None]:
    """Within it nothing in ``directory`` can be made or changed, by root neither."""
    effective = os.geteuid()
    directory.chmod(0o555)
    if effective == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(effective)
        directory.chmod(0o700)


def test_a_copy_on_a_medium_that_cannot_be_written_is_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        kept, medium = Path(folder) / "kept", Path(folder) / "medium"
        with Checkpoint.open(kept) as checkpoint:
            checkpoint.commit(Entry(intake=b"orders", memory=b"m"))
        medium.mkdir()
        copy = shutil.copyfile(kept / FILE, medium / "copy.sqlite")
        copy.chmod(0o444)
        Path(folder).chmod(0o755)
        with without_the_right_to_write(medium), Checkpoint.read(copy) as reader:
            assert list(reader.intake_log()) == [(1, b"orders")]
        assert [path.name for path in medium.iterdir()] == ["copy.sqlite"]


def test_a_directory_without_the_right_to_write_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with (
            without_the_right_to_write(Path(folder)),
            pytest.raises(Unavailable, match="cannot hold the state: Permission denied"),
        ):
            Checkpoint.open(Path(folder))


def test_overwritten_pages_are_reported_as_damage_with_a_remedy(tmp_path: Path) -> None:
    path = made(tmp_path, turns=40)
    content = bytearray(path.read_bytes())
    content[8192 * 2 :] = b"\xa5" * (len(content) - 8192 * 2)
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"is damaged .*put the newest backup in its place"):  # noqa: SIM117
        with Checkpoint.open(tmp_path) as checkpoint:
            checkpoint.verify()


def test_a_truncated_file_is_reported_as_damage(tmp_path: Path) -> None:
    path = made(tmp_path, turns=40)
    path.write_bytes(path.read_bytes()[: 8192 * 3])
    with pytest.raises(Corrupt, match="is damaged"):  # noqa: SIM117
        with Checkpoint.open(tmp_path) as checkpoint:
            checkpoint.verify()


def test_the_write_ahead_log_stays_bounded(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(1 << 20)
    with Checkpoint.open(tmp_path) as checkpoint:
        largest = 0
        for _ in range(40):
            checkpoint.commit(Entry(cells=noise))
            largest = max(largest, checkpoint.counts().wal_bytes)
        written = checkpoint.counts().cells_bytes
    assert written > 2 * WAL_BYTES
    assert largest < 1.5 * WAL_BYTES


def test_the_lock_file_stays_so_that_two_cannot_hold_different_ones(tmp_path: Path) -> None:
    made(tmp_path)
    assert (tmp_path / LOCK_FILE).exists()
