"""What grows is merged, trimmed and read back: compaction, retention, intake log, backup."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from math import log2
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.keeping.blobs import neighbours, tail
from collector.keeping.checkpoint import (
    FILE,
    Bounds,
    Checkpoint,
    Compacted,
    Corrupt,
    Entry,
    Forgotten,
    IntakeForgotten,
    IntakeSpan,
    KeptVerdict,
    Unavailable,
)


def joined(bodies: list[bytes]) -> bytes:
    return b"".join(bodies)


def turn(number: int, size: int = 100) -> Entry:
    noise = random.Random(number).randbytes(size)
    return Entry(
        intake=noise,
        stream_ns=number,
        cells=b"c%d," % number,
        seen=b"s%d," % number,
        seen_newest_ns=number,
        markers=(b"m%d" % number,),
        verdicts=(KeptVerdict("d", number, b"%d" % number),),
    )


def test_compaction_puts_one_blob_in_the_place_of_many(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        for number in range(1, 11):
            checkpoint.commit(turn(number))
        assert checkpoint.compact(joined, joined) == Compacted(10, 10)
        checkpoint.commit(turn(11))
        saved = checkpoint.load()
    assert saved.cells == (b"".join(b"c%d," % n for n in range(1, 11)), b"c11,")
    assert saved.seen == (b"".join(b"s%d," % n for n in range(1, 11)), b"s11,")


def test_compaction_of_nothing_or_of_one_blob_does_nothing(tmp_path: Path) -> None:
    def never(bodies: list[bytes]) -> bytes:
        raise AssertionError(bodies)

    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.compact(never, never) == Compacted(0, 0)
        assert checkpoint.compact(never, never, everything=True) == Compacted(0, 0)
        checkpoint.commit(turn(1))
        assert checkpoint.compact(never, never) == Compacted(0, 0)


def test_compacting_everything_lets_the_caller_leave_out_what_is_old(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        checkpoint.commit(turn(1))
        compacted = checkpoint.compact(lambda _: b"", lambda _: b"kept", everything=True)
        saved = checkpoint.load()
    assert (compacted, saved.cells, saved.seen) == (Compacted(1, 1), (), (b"kept",))


def test_a_merge_that_fails_changes_nothing(tmp_path: Path) -> None:
    def refuse(bodies: list[bytes]) -> bytes:
        raise ValueError(len(bodies))

    with Checkpoint.open(tmp_path) as checkpoint:
        for number in range(1, 4):
            checkpoint.commit(turn(number))
        with pytest.raises(ValueError, match="3"):
            checkpoint.compact(joined, refuse)
        assert checkpoint.load().cells == (b"c1,", b"c2,", b"c3,")


def test_turns_committed_during_a_compaction_stay_beside_the_merged_blob(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        checkpoint.commit(turn(1))
        checkpoint.commit(turn(2))

        def merging(bodies: list[bytes]) -> bytes:
            checkpoint.commit(turn(3))
            return b"".join(bodies)

        checkpoint.compact(merging, joined)
        assert checkpoint.load().cells == (b"c1,c2,", b"c3,")
        assert checkpoint.load().seen == (b"s1,s2,", b"s3,")


def test_ids_trimmed_during_a_compaction_do_not_come_back(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        checkpoint.commit(turn(1))
        checkpoint.commit(turn(2))

        def trimming(bodies: list[bytes]) -> bytes:
            checkpoint.forget(seen_before_ns=2)
            return b"".join(bodies)

        assert checkpoint.compact(joined, trimming) == Compacted(2, 0)
        assert checkpoint.load().seen == (b"s2,",)


@given(st.lists(st.integers(0, 2), max_size=30))
@settings(max_examples=20)
def test_however_commits_and_compactions_alternate_nothing_is_lost_or_doubled(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    with Checkpoint.open(tmp_path_factory.mktemp("state")) as checkpoint:
        committed = 0
        for step in steps:
            if step:
                committed += 1
                checkpoint.commit(turn(committed))
            else:
                checkpoint.compact(joined, joined)
        saved = checkpoint.load()
    assert b"".join(saved.cells) == b"".join(b"c%d," % n for n in range(1, committed + 1))
    assert b"".join(saved.seen) == b"".join(b"s%d," % n for n in range(1, committed + 1))


@given(st.lists(st.integers(1, 1000), max_size=60), st.integers(1, 3000))
def test_merging_takes_neighbours_whole_and_within_the_limit(sizes: list[int], limit: int) -> None:
    parts = neighbours(sizes, limit)
    assert [n for part in parts for n in sizes[part]] == sizes
    assert all(sum(sizes[p]) <= limit or p.stop - p.start == 1 for p in parts)
    assert all(part.stop - part.start > 1 for part in tail(sizes, limit))


@pytest.mark.parametrize("between", [2, 16, 64])
def test_compaction_rewrites_a_byte_only_a_logarithm_of_times(between: int) -> None:
    sizes: list[int] = []
    rewritten = most = 0
    for number in range(1, 5001):
        sizes.append(10)
        if number % between == 0:
            for part in reversed(tail(sizes)):
                merged = sum(sizes[part])
                rewritten += merged
                sizes[part] = [merged]
        most = max(most, len(sizes))
    assert sum(sizes) == 50_000
    assert rewritten / 50_000 < log2(5000 / between) + 2
    assert most < between + log2(5000 / between) + 2


def test_merged_blobs_stay_below_the_limit_and_their_number_too() -> None:
    sizes: list[int] = []
    for _ in range(2000):
        sizes.append(10)
        for part in reversed(tail(sizes, limit=1000)):
            sizes[part] = [sum(sizes[part])]
    assert max(sizes) <= 1000
    assert len(sizes) < 2 * 20_000 / 1000 + log2(1000)


def test_the_intake_log_gives_back_what_came_in(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        for number in range(1, 6):
            checkpoint.commit(turn(number, size=2000))
        checkpoint.commit(Entry(memory=b"a turn without intake"))
        assert list(checkpoint.intake_log()) == [(n, turn(n, 2000).intake) for n in range(1, 6)]
        assert [seq for seq, _ in checkpoint.intake_log(after_seq=3)] == [4, 5]
        assert list(checkpoint.intake_log(after_seq=6)) == []
        assert checkpoint.intake_span() == IntakeSpan(1, 5, 0)


def test_a_reader_of_the_log_ends_where_the_log_ended_when_it_began(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        checkpoint.commit(turn(1))
        read = []
        for seq, _ in checkpoint.intake_log():
            read.append(seq)
            checkpoint.commit(turn(seq + 1))
    assert read == [1]


@pytest.mark.parametrize(
    ("trim", "left"),
    [
        (lambda c: c.forget(intake_before_seq=4), [4, 5, 6]),
        (lambda c: c.forget(intake_before_ns=5), [5, 6]),
        (lambda c: c.forget(intake_before_seq=3, intake_before_ns=2), [3, 4, 5, 6]),
        (lambda c: c.forget(intake_before_seq=100), []),
        (lambda c: c.forget(), [1, 2, 3, 4, 5, 6]),
    ],
)
def test_the_intake_log_is_trimmed_from_its_oldest_end(
    tmp_path: Path, trim: Callable[[Checkpoint], Forgotten], left: list[int]
) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        for number in range(1, 7):
            checkpoint.commit(turn(number))
        assert trim(checkpoint).intake == 6 - len(left)
        assert [seq for seq, _ in checkpoint.intake_log()] == left
        assert checkpoint.intake_span().forgotten_seq == 6 - len(left)
        assert checkpoint.counts().intake_bytes == 100 * len(left)


def test_the_intake_log_is_held_to_its_bound_in_bytes(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path, bounds=Bounds(intake_bytes=350)) as checkpoint:
        for number in range(1, 7):
            checkpoint.commit(turn(number))
        assert checkpoint.forget() == Forgotten(intake=3, seen=0, markers=0, verdicts=0)
        assert [seq for seq, _ in checkpoint.intake_log()] == [4, 5, 6]
        checkpoint.commit(turn(7))
        checkpoint.forget()
        assert checkpoint.counts().intake_bytes == 300


def test_a_reader_that_is_overtaken_by_trimming_is_told(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        for number in range(1, 7):
            checkpoint.commit(turn(number))
        reading = checkpoint.intake_log()
        assert next(reading)[0] == 1
        checkpoint.forget(intake_before_seq=5)
        with pytest.raises(IntakeForgotten, match=r"turn 2: it was trimmed up to turn 4"):
            next(reading)
        with pytest.raises(IntakeForgotten, match="keep a larger intake log"):
            next(checkpoint.intake_log(after_seq=0))


def test_what_is_past_its_retention_goes_and_the_rest_stays(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        for number in range(1, 7):
            checkpoint.commit(turn(number))
        forgotten = checkpoint.forget(seen_before_ns=3, history_before_ns=5)
        assert forgotten == Forgotten(intake=0, seen=2, markers=4, verdicts=4)
        saved = checkpoint.load()
    assert saved.seen == (b"s3,", b"s4,", b"s5,", b"s6,")
    assert saved.markers == (b"m5", b"m6")
    assert len(saved.cells) == 6


def test_past_verdicts_are_held_to_their_bytes_and_the_newest_of_each_deployment_stays(
    tmp_path: Path,
) -> None:
    with Checkpoint.open(tmp_path, bounds=Bounds(verdict_bytes=50)) as checkpoint:
        checkpoint.commit(Entry(verdicts=(KeptVerdict("old", 1, b"x" * 10),)))
        for number in range(2, 12):
            checkpoint.commit(Entry(verdicts=(KeptVerdict("d", number, b"x" * 10),)))
        assert checkpoint.forget().verdicts == 6
        assert [one.as_of_ns for one in checkpoint.verdicts("d")] == [11, 10, 9, 8]
        assert [one.deployment for one in checkpoint.load().verdicts] == ["d", "old"]
        counts = checkpoint.counts()
        assert (counts.verdicts, counts.verdict_bytes) == (5, 50)
        assert checkpoint.forget(history_before_ns=9).verdicts == 2
        assert checkpoint.counts().verdict_bytes == 30


def test_merged_ids_are_kept_as_long_as_their_newest(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        for number in (5, 9, 2):
            checkpoint.commit(turn(number))
        checkpoint.compact(joined, joined)
        assert checkpoint.forget(seen_before_ns=9).seen == 0
        assert checkpoint.forget(seen_before_ns=10).seen == 1


def test_a_file_does_not_grow_when_as_much_is_trimmed_as_comes_in(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path, bounds=Bounds(intake_bytes=200_000)) as checkpoint:
        sizes = []
        for number in range(1, 61):
            checkpoint.commit(turn(number, size=20_000))
            checkpoint.compact(lambda _: b"c", lambda _: b"s")
            checkpoint.forget(history_before_ns=number - 5)
            sizes.append(checkpoint.counts().file_bytes)
    assert sizes[-1] <= 1.2 * sizes[15]


def test_a_backup_is_one_file_that_reads_and_serves_again(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path / "state") as checkpoint:
        for number in range(1, 4):
            checkpoint.commit(turn(number))
        checkpoint.backup(tmp_path / "copy.sqlite")
        checkpoint.commit(turn(4))
        kept = checkpoint.load()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.sqlite", "state"]
    with Checkpoint.read(tmp_path / "copy.sqlite") as copy:
        assert copy.load().cells == kept.cells[:3]
        assert [seq for seq, _ in copy.intake_log()] == [1, 2, 3]
    (tmp_path / "restored").mkdir()
    (tmp_path / "copy.sqlite").rename(tmp_path / "restored" / FILE)
    with Checkpoint.open(tmp_path / "restored") as restored:
        restored.verify()
        assert restored.commit(turn(4)) == 4
        assert restored.load().cells == kept.cells


def test_a_reader_can_make_a_backup_beside_the_writer(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        checkpoint.commit(turn(1))
        with Checkpoint.open(tmp_path, exclusive=False) as reader:
            reader.backup(tmp_path / "copy.sqlite")
        assert checkpoint.commit(turn(2)) == 2
    with Checkpoint.read(tmp_path / "copy.sqlite") as copy:
        assert copy.load().seq == 1


def test_a_backup_never_overwrites_and_says_where_it_cannot_go(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path / "state") as checkpoint:
        (tmp_path / "copy.sqlite").write_bytes(b"precious")
        with pytest.raises(Unavailable, match="exists already: give the backup another name"):
            checkpoint.backup(tmp_path / "copy.sqlite")
        with pytest.raises(Unavailable, match="cannot be written: No such file"):
            checkpoint.backup(tmp_path / "nowhere" / "copy.sqlite")
    assert (tmp_path / "copy.sqlite").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.sqlite", "state"]


def test_verifying_reads_the_whole_intake_log(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        for number in range(1, 4):
            checkpoint.commit(turn(number))
        checkpoint.verify()
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
            db.execute("UPDATE intake SET crc = crc + 1 WHERE seq = 2")
        with pytest.raises(Corrupt, match="the checksum of the intake of turn 2 does not match"):
            checkpoint.verify()
