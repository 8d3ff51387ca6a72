"""A turn is kept whole or not at all, and a restart finds exactly what was committed."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.facts import Reject
from collector.keeping.checkpoint import (
    FILE,
    Bounds,
    Checkpoint,
    Corrupt,
    Entry,
    Fenced,
    KeptVerdict,
    Move,
    NewNotice,
    ReadOnly,
    TooLarge,
    Unavailable,
)
from collector.keeping.packing import BODY_BYTES_MAX, pack, unpack
from collector.keeping.state_file import LOCK_FILE

FULL = Entry(
    intake=b'{"id":"o-1"}\n' * 100,
    stream_ns=100,
    cells=b"cells" * 200,
    seen=b"ids" * 300,
    seen_newest_ns=90,
    markers=(b'{"id":"m-1"}', b'{"id":"m-2"}'),
    rejects=(Reject(index=3, reason="bad_time", detail="no zone", payload=b"{", time_ns=5),),
    verdicts=(KeptVerdict("d-1", 50, b'{"verdict":"wait"}'), KeptVerdict("d-2", 60, b"{}")),
    notices=(NewNotice("key-1", "hook", "d-1", b"alert"),),
    memory=b"remembered",
    positions=(Move("orders", None, "17"),),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def checkpoint(directory: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(directory) as opened:
        yield opened


def test_a_new_state_is_empty(checkpoint: Checkpoint) -> None:
    saved = checkpoint.load()
    assert (saved.seq, saved.memory, saved.cells, saved.seen) == (0, None, (), ())
    assert (saved.markers, saved.verdicts, dict(saved.positions)) == ((), (), {})


def test_a_restart_finds_everything_that_was_committed(directory: Path) -> None:
    with Checkpoint.open(directory) as before:
        assert before.commit(FULL) == 1
    with Checkpoint.open(directory) as after:
        saved = after.load()
        assert saved.seq == 1
        assert saved.memory == FULL.memory
        assert saved.cells == (FULL.cells,)
        assert saved.seen == (FULL.seen,)
        assert saved.markers == FULL.markers
        assert saved.verdicts == FULL.verdicts
        assert dict(saved.positions) == {"orders": "17"}
        assert after.rejects() == list(FULL.rejects)
        assert [notice.payload for notice in after.notices()] == [b"alert"]
        assert list(after.intake_log()) == [(1, FULL.intake)]
        assert after.commit(Entry()) == 2


def test_an_empty_turn_moves_the_number_and_keeps_the_memory(checkpoint: Checkpoint) -> None:
    checkpoint.commit(FULL)
    checkpoint.commit(Entry())
    saved = checkpoint.load()
    assert (saved.seq, saved.memory, len(saved.cells)) == (2, b"remembered", 1)


def test_the_latest_verdict_of_each_deployment_comes_back_and_the_earlier_stay(
    checkpoint: Checkpoint,
) -> None:
    for as_of in (1, 2, 3):
        checkpoint.commit(
            Entry(verdicts=tuple(KeptVerdict(d, as_of, b"%d" % as_of) for d in ("b", "a")))
        )
    assert checkpoint.load().verdicts == (KeptVerdict("a", 3, b"3"), KeptVerdict("b", 3, b"3"))
    assert [verdict.as_of_ns for verdict in checkpoint.verdicts("a", limit=2)] == [3, 2]
    assert checkpoint.verdicts("never heard of") == []


def test_a_position_read_from_elsewhere_is_refused_and_nothing_of_the_turn_is_kept(
    checkpoint: Checkpoint,
) -> None:
    checkpoint.commit(FULL)
    stale = Entry(cells=b"x", memory=b"y", positions=(Move("orders", "16", "18"),))
    with pytest.raises(Fenced, match=r"'orders' stands at '17'.*read from '16'"):
        checkpoint.commit(stale)
    saved = checkpoint.load()
    assert (saved.seq, saved.memory, len(saved.cells)) == (1, b"remembered", 1)
    assert dict(saved.positions) == {"orders": "17"}
    with pytest.raises(Fenced, match="read from None"):
        checkpoint.commit(Entry(positions=(Move("orders", None, "1"),)))
    with pytest.raises(Fenced, match="'new' stands at None"):
        checkpoint.commit(Entry(positions=(Move("new", "5", "6"),)))
    assert checkpoint.commit(Entry(positions=(Move("orders", "17", "18"),))) == 2


def test_a_zombie_cannot_write_after_another_process_took_over(directory: Path) -> None:
    with Checkpoint.open(directory) as zombie:
        zombie.commit(FULL)
        # Somebody deletes the lock file by hand, and so a second process gets in.
        (directory / LOCK_FILE).unlink()
        with Checkpoint.open(directory) as successor:
            successor.commit(Entry(memory=b"successor"))
            with pytest.raises(Fenced, match=r"taken over by another process \(epoch 2, ours is 1"):
                zombie.commit(Entry(memory=b"zombie"))
            with pytest.raises(Fenced, match="must stop"):
                zombie.forget(history_before_ns=1000)
            with pytest.raises(Fenced, match="must stop"):
                zombie.delivered(1, now_ns=5)
            saved = successor.load()
        assert (saved.seq, saved.memory, len(saved.markers)) == (2, b"successor", 2)


def test_a_failure_in_the_middle_of_a_turn_leaves_nothing_of_it(checkpoint: Checkpoint) -> None:
    checkpoint.commit(FULL)
    unspeakable = Entry(cells=b"x", notices=(NewNotice("key-2", "hook", "\ud800", b"p"),))
    with pytest.raises(UnicodeEncodeError, match="surrogates"):
        checkpoint.commit(unspeakable)
    assert checkpoint.load().seq == 1
    assert checkpoint.commit(Entry(cells=b"y")) == 2
    assert checkpoint.load().cells == (FULL.cells, b"y")


def test_a_full_disk_refuses_the_turn_and_the_same_turn_is_taken_later(
    checkpoint: Checkpoint,
) -> None:
    checkpoint.commit(FULL)
    (pages,) = checkpoint._db.execute("PRAGMA page_count").fetchone()
    checkpoint._db.execute(f"PRAGMA max_page_count = {pages}")
    # What packs to nothing would fit; noise does not.
    filling = Entry(cells=random.Random(1).randbytes(1 << 20), intake=b"i")
    with pytest.raises(Unavailable, match="the disk is full: free some space"):
        checkpoint.commit(filling)
    assert checkpoint.load().seq == 1
    checkpoint._db.execute("PRAGMA max_page_count = 1000000")
    assert checkpoint.commit(filling) == 2
    assert checkpoint.load().cells == (FULL.cells, filling.cells)


def test_a_file_held_by_another_program_is_reported_as_busy(
    checkpoint: Checkpoint, directory: Path
) -> None:
    checkpoint._db.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(directory / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process holds the file"):
            checkpoint.commit(FULL)
    assert checkpoint.commit(FULL) == 1


def test_rejects_are_bounded_and_those_that_had_to_go_are_counted(directory: Path) -> None:
    def turn(*places: int) -> Entry:
        return Entry(rejects=tuple(Reject(index=i, reason="r", detail="d") for i in places))

    with Checkpoint.open(directory, bounds=Bounds(rejects=3)) as checkpoint:
        checkpoint.commit(turn(1, 2))
        checkpoint.commit(turn(3, 4))
        assert [reject.index for reject in checkpoint.rejects()] == [4, 3, 2]
        checkpoint.commit(turn(5, 6, 7, 8, 9))
        assert [reject.index for reject in checkpoint.rejects()] == [9, 8, 7]
        counts = checkpoint.counts()
    assert (counts.rejects, counts.rejects_dropped) == (3, 6)


def test_a_bound_of_no_rejects_keeps_none(directory: Path) -> None:
    with Checkpoint.open(directory, bounds=Bounds(rejects=0)) as checkpoint:
        checkpoint.commit(FULL)
        assert (checkpoint.rejects(), checkpoint.counts().rejects_dropped) == ([], 1)


@given(st.text(), st.integers(), st.binary(max_size=50))
@settings(max_examples=30)
def test_rejected_input_is_kept_whatever_it_says(
    tmp_path_factory: pytest.TempPathFactory, text: str, time_ns: int, payload: bytes
) -> None:
    reject = Reject(index=0, reason="r", detail=text + "\ud800", payload=payload, time_ns=time_ns)
    with Checkpoint.open(tmp_path_factory.mktemp("state")) as checkpoint:
        checkpoint.commit(Entry(rejects=(reject,)))
        (kept,) = checkpoint.rejects()
    assert kept.detail == text + "\\ud800"
    assert kept.payload == payload
    assert kept.time_ns in (time_ns, None)


def test_a_reader_sees_what_is_committed_and_may_not_write(
    checkpoint: Checkpoint, directory: Path
) -> None:
    checkpoint.commit(FULL)
    with Checkpoint.open(directory, exclusive=False) as reader:
        assert reader.load().seq == 1
        checkpoint.commit(Entry(memory=b"newer"))
        assert reader.load().memory == b"newer"
        assert [seq for seq, _ in reader.intake_log()] == [1]
        with pytest.raises(ReadOnly, match="opened for reading"):
            reader.commit(FULL)
        with pytest.raises(ReadOnly, match="exclusive=True"):
            reader.forget()


@pytest.mark.parametrize("table", ["cells", "seen", "memory", "intake", "verdicts"])
def test_a_changed_byte_is_found_by_its_checksum(directory: Path, table: str) -> None:
    with Checkpoint.open(directory) as checkpoint:
        checkpoint.commit(FULL)
        checkpoint.verify()
    with closing(sqlite3.connect(directory / FILE, isolation_level=None)) as db:
        db.execute(f"UPDATE {table} SET body = CAST(zeroblob(length(body)) AS BLOB)")
    with Checkpoint.open(directory) as checkpoint, pytest.raises(Corrupt, match="newest backup"):
        checkpoint.verify()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("size", 999, "cut short|cannot be unpacked"),
        ("size", 1 << 40, "checksum"),
        ("size", -1, "checksum"),
        ("codec", "lzma", "unknown codec 'lzma'"),
        ("codec", "zstd", "cannot be unpacked"),
    ],
)
def test_a_body_that_lies_about_itself_is_refused(
    directory: Path, column: str, value: object, said: str
) -> None:
    with Checkpoint.open(directory) as checkpoint:
        checkpoint.commit(Entry(cells=b"small"))
        checkpoint._db.execute(f"UPDATE cells SET {column} = ?", (value,))
        with pytest.raises(Corrupt, match=said):
            checkpoint.load()


@given(st.binary(max_size=3000), st.integers(1, 200))
def test_what_is_packed_comes_back(body: bytes, times: int) -> None:
    packed = pack(body * times, "body")
    assert unpack(packed, Path("file"), "body") == body * times
    assert len(packed.body) <= packed.size


def test_a_body_over_its_limit_is_refused_before_anything_is_written(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BODY_BYTES_MAX == 256 << 20
    monkeypatch.setattr("collector.keeping.packing.BODY_BYTES_MAX", 1000)
    with pytest.raises(TooLarge, match=r"intake of this turn has 1001 bytes .* may bring 1000"):
        checkpoint.commit(Entry(intake=b"x" * 1001))
    assert checkpoint.load().seq == 0


def test_counts_say_how_near_each_bound_is(checkpoint: Checkpoint) -> None:
    checkpoint.commit(FULL)
    counts = checkpoint.counts()
    assert (counts.intake_turns, counts.cells_blobs, counts.seen_blobs) == (1, 1, 1)
    assert (counts.markers, counts.rejects, counts.verdicts, counts.outbox_waiting) == (2, 1, 2, 1)
    assert 0 < counts.intake_bytes < len(FULL.intake)
    assert counts.file_bytes > 0
    assert counts.wal_bytes > 0
