"""Kept rejects: found again, bounded, gone once replayed; a state of schema 1 is migrated."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from analyzers.facts import Reject
from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.decoding.faults import Fault, Reason
from collector.decoding.refused import line
from collector.keeping.checkpoint import (
    FILE,
    Bounds,
    Checkpoint,
    Entry,
    OlderSchema,
    RefusedAgain,
    Sought,
    Unavailable,
)
from collector.keeping.state_file import connect_writing, migrations


def refusal(position: int, **said: object) -> Reject:
    plain: dict[str, object] = {
        "index": position,
        "reason": "not_json",
        "detail": "no object",
        "payload": b"rubbish %d" % position,
        "source": "kafka:orders/3",
        "position": position,
    }
    return Reject(**(plain | said))  # type: ignore[arg-type]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(tmp_path, bounds=Bounds(rejects=10)) as opened:
        yield opened


def positions(checkpoint: Checkpoint, **sought: object) -> list[int]:
    found = checkpoint.kept_rejects(Sought(**sought))  # type: ignore[arg-type]
    return [one.reject.position for one in found]


def test_a_reject_comes_back_with_all_that_was_said_of_it(checkpoint: Checkpoint) -> None:
    told = refusal(
        7,
        time_ns=5,
        environment="e",
        service="s",
        version="v",
        track="canary",
        original=True,
        sent_ms=1779357600000,
        headers=(("release", b"1.42.0"), ("trace", b"\xff")),
    )
    checkpoint.commit(Entry(stream_ns=99, rejects=(told,)))
    (kept,) = checkpoint.kept_rejects(Sought())
    assert (kept.row, kept.seq, kept.stream_ns, kept.reject) == (1, 1, 99, told)
    assert (kept.whole, kept.hindrance) == (True, "")


def test_rejects_are_found_by_reason_source_service_and_row(checkpoint: Checkpoint) -> None:
    checkpoint.commit(
        Entry(
            rejects=(
                refusal(1),
                refusal(2, source="kafka:orders/10"),
                refusal(3, source="http", reason="field_type"),
                refusal(4, source="file:/in/a.ndjson", service="order-api"),
            )
        )
    )
    assert positions(checkpoint) == [1, 2, 3, 4]
    assert positions(checkpoint, reason="field_type") == [3]
    assert positions(checkpoint, source="kafka:orders") == [1, 2]
    assert positions(checkpoint, source="kafka:orders/3") == [1]
    assert positions(checkpoint, source="kafka") == [1, 2]
    assert positions(checkpoint, source="file:/in") == [4]
    assert positions(checkpoint, source="kafka:orders/1") == []
    assert positions(checkpoint, service="order-api") == [4]
    assert positions(checkpoint, ids=(2, 4, 99)) == [2, 4]
    assert positions(checkpoint, after=1, until=3) == [2, 3]
    newest = checkpoint.kept_rejects(Sought(), limit=2, newest_first=True)
    assert [one.reject.position for one in newest] == [4, 3]


def test_the_oldest_go_over_the_bound_and_are_counted(checkpoint: Checkpoint) -> None:
    checkpoint.commit(Entry(rejects=tuple(map(refusal, range(6)))))
    checkpoint.commit(Entry(rejects=tuple(map(refusal, range(6, 13)))))
    assert positions(checkpoint) == list(range(3, 13))
    checkpoint.commit(Entry(rejects=tuple(map(refusal, range(13, 40)))))
    assert positions(checkpoint) == list(range(30, 40))
    counts = checkpoint.counts()
    assert (counts.rejects, counts.rejects_dropped) == (10, 30)


def test_what_a_turn_takes_is_a_reject_no_more_and_what_it_refuses_says_why_now(
    checkpoint: Checkpoint,
) -> None:
    checkpoint.commit(Entry(rejects=tuple(map(refusal, range(1, 6)))))
    again = RefusedAgain(4, "time_invalid", "no \ud800 time")
    checkpoint.commit(
        Entry(
            cells=b"x",
            replayed=(1, 3, 3, 77),
            refused_again=(again, RefusedAgain(88, "not_json", "gone")),
            rejects=(refusal(6),),
        )
    )
    assert positions(checkpoint) == [2, 4, 5, 6]
    assert checkpoint.counts().rejects == 4
    (changed,) = checkpoint.kept_rejects(Sought(ids=(4,)))
    assert (changed.reject.reason, changed.reject.detail) == ("time_invalid", "no \\ud800 time")
    assert changed.reject.payload == b"rubbish 4"


def test_the_row_of_a_replayed_reject_is_never_given_to_another_one(
    checkpoint: Checkpoint,
) -> None:
    checkpoint.commit(Entry(rejects=(refusal(1), refusal(2))))
    checkpoint.commit(Entry(replayed=(1, 2)))
    checkpoint.commit(Entry(rejects=(refusal(3),)))
    assert [one.row for one in checkpoint.kept_rejects(Sought())] == [3]
    checkpoint.commit(Entry(replayed=(1, 2)))
    assert checkpoint.counts().rejects == 1
    assert checkpoint.drop_rejects((3, 3, 1)) == 1
    assert checkpoint.counts().rejects == 0


def test_a_turn_that_is_not_kept_takes_no_reject_away(checkpoint: Checkpoint) -> None:
    checkpoint.commit(Entry(rejects=(refusal(1),)))
    (pages,) = checkpoint._db.execute("PRAGMA page_count").fetchone()
    checkpoint._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="the disk is full"):
        checkpoint.commit(Entry(intake=random.Random(1).randbytes(300_000), replayed=(1,)))
    assert positions(checkpoint) == [1]


def test_a_cut_or_missing_payload_is_named_as_what_hinders_a_replay(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path, bounds=Bounds(reject_payload_bytes=8)) as checkpoint:
        said = (
            refusal(1, payload=b"12345678"),
            refusal(2, payload=b""),
            refusal(3, payload=b"{"),
            refusal(4, reason="too_long"),
        )
        checkpoint.commit(Entry(rejects=said))
        cut, missing, whole, long = checkpoint.kept_rejects(Sought())
    assert not long.whole
    assert (
        "only its first 8 bytes are kept (limits.reject_payload_bytes, limits.line_bytes)"
        in cut.hindrance
    )
    assert "its payload is not kept" in missing.hindrance
    assert whole.hindrance == ""


def test_a_message_that_a_mapping_refused_is_kept_as_its_source_has_it() -> None:
    message = b'{"theirs": 1}'
    fault, headers = Fault(Reason.MAPPING, "no field"), {"release": b"1.42\xff"}
    payload = line(fault, message, most=4096, sent_ms=7, headers=headers)
    (found,) = decode([payload], attributes=frozenset(), limits=Limits()).rejects
    assert (found.payload, found.original) == (message, True)
    assert (found.sent_ms, found.headers) == (7, (("release", b"1.42\xff"),))
    many = line(fault, message, most=20, headers={"h": bytes(100)})
    (without,) = decode([many], attributes=frozenset(), limits=Limits()).rejects
    assert (without.payload, without.headers) == (message, ())
    (plain,) = decode([message], attributes=frozenset(), limits=Limits()).rejects
    assert not plain.original


def first_schema(directory: Path) -> Path:
    """A state as the first plimsoll left it: its SQL, and rows as it wrote them."""
    directory.mkdir()
    with closing(connect_writing(directory / FILE, migrations()[:1])) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        db.executemany(
            "INSERT INTO rejects (seq, stream_ns, place, reason, detail, payload, time_ns, "
            "environment, service, version, track) VALUES (1, 50, ?, ?, 'd', ?, 9, 'e', 's', '', "
            "'')",
            [(3, "not_json", b"{"), (4, "field_type", b"x" * 4096)],
        )
        db.execute("INSERT INTO tally VALUES ('rejects_dropped', 5)")
        db.execute("INSERT INTO markers (seq, stream_ns, body) VALUES (1, 50, '{}')")
        db.execute("UPDATE fence SET seq = 1, epoch = 3")
    return directory


def test_a_state_of_the_first_schema_opens_and_keeps_everything(tmp_path: Path) -> None:
    directory = first_schema(tmp_path / "state")
    with pytest.raises(OlderSchema, match=r"has schema 1 .*let plimsoll serve open it once"):
        Checkpoint.read(directory / FILE)
    with Checkpoint.open(directory, bounds=Bounds(rejects=3)) as checkpoint:
        small, cut = checkpoint.kept_rejects(Sought())
        assert (small.reject.index, small.reject.payload, small.whole) == (3, b"{", True)
        assert (small.reject.source, small.reject.position, small.reject.time_ns) == ("", -1, 9)
        assert not cut.whole
        assert checkpoint.load().seq == 1
        assert len(checkpoint.load().markers) == 1
        assert (checkpoint.counts().rejects, checkpoint.counts().rejects_dropped) == (2, 5)
        assert checkpoint.commit(Entry(rejects=(refusal(5), refusal(6)))) == 2
        assert [one.row for one in checkpoint.kept_rejects(Sought())] == [2, 3, 4]
    with Checkpoint.read(directory / FILE) as checkpoint:
        assert checkpoint.counts().rejects == 3


def test_a_migration_that_the_disk_interrupts_is_taken_up_at_the_next_opening(
    tmp_path: Path,
) -> None:
    directory = first_schema(tmp_path / "state")
    with closing(sqlite3.connect(directory / FILE, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE rejects_2 (x)")
        db.execute("ROLLBACK")
    with Checkpoint.open(directory) as checkpoint:
        assert checkpoint.counts().rejects == 2
