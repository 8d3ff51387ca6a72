"""Partitions that are read at different speeds: the slow one's events are not late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from analyzers.facts import NS_PER_S
from collector.keeping.checkpoint import Checkpoint, Fenced
from collector.keeping.entry import Move
from pipeline.config import parse
from pipeline.config.settings import Settings
from pipeline.embedded import EngineError
from pipeline.pieces import Incoming
from pipeline.progress import Progress
from pipeline.replay import replay
from pipeline.turns import KeptTurns
from tests.payloads import decoded, event

SETTINGS: Settings = parse(b"", {})
MINUTES = 240


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(tmp_path) as opened:
        yield opened


def minute(name: str, number: int) -> bytes:
    """One order of a partition, in a minute of its own."""
    hour, rest = divmod(number, 60)
    time = f"2026-05-21T{hour:02}:{rest:02}:00Z"
    return json.dumps(event(id=f"{name}-{number}", time=time)).encode()


def read(name: str, begin: int, end: int, *, behind: bool) -> Incoming:
    """What was read of a partition that is called by its name."""
    return Incoming(
        [minute(name, number) for number in range(begin, end)],
        source=f"kafka:{name}",
        offsets=np.arange(begin, end),
        move=Move(f"kafka:{name}", str(begin) if begin else None, str(end)),
        behind=behind,
    )


def test_a_partition_that_catches_up_holds_slices_open(checkpoint: Checkpoint) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    # The first partition is read to its end before the second one is begun.
    turns.take([read("a", 0, MINUTES, behind=False), read("b", 0, 1, behind=True)], None)
    for begin in range(1, MINUTES, 40):
        end = min(begin + 40, MINUTES)
        taken = turns.take([read("b", begin, end, behind=end < MINUTES)], None)
        watermark_ns = taken.snapshot.watermark_ns
        assert taken.snapshot.tallies.late == 0
    assert taken.snapshot.tallies.events == 2 * MINUTES
    assert turns.stream_ns is not None
    assert watermark_ns is not None
    assert turns.stream_ns - watermark_ns < 60 * NS_PER_S


def test_without_a_partition_behind_the_newest_event_closes_slices(checkpoint: Checkpoint) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    turns.take([read("a", 0, MINUTES, behind=False)], None)
    taken = turns.take([read("b", 0, MINUTES, behind=False)], None)
    assert taken.snapshot.tallies.late > MINUTES - 10


def test_what_held_slices_open_holds_them_open_in_replay_too(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    turns.take([read("a", 0, MINUTES, behind=False), read("b", 0, 1, behind=True)], None)
    turns.take([read("b", 1, MINUTES, behind=False)], None)
    found = replay([tmp_path / "plimsoll.sqlite"], SETTINGS.policy)
    assert (found.counts.events, found.counts.late) == (2 * MINUTES, 0)


def test_a_partition_of_which_nothing_is_known_yet_holds_everything() -> None:
    progress = Progress()
    progress.note([Incoming(source="kafka:a", behind=True)], decoded())
    assert progress.hold_ns == 0
    progress.note([Incoming(source="kafka:a", behind=False)], decoded())
    assert progress.hold_ns is None


def test_positions_are_kept_with_what_was_read_and_found_again(checkpoint: Checkpoint) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    turns.take([read("a", 0, 5, behind=False)], None)
    turns.take([read("a", 5, 9, behind=False), read("b", 0, 2, behind=False)], None)
    assert KeptTurns.load(checkpoint, SETTINGS).positions == {"kafka:a": "9", "kafka:b": "2"}


def test_of_two_that_read_one_partition_the_second_stops(checkpoint: Checkpoint) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    turns.take([read("a", 0, 5, behind=False)], None)
    with pytest.raises(EngineError, match="kafka:a") as caught:
        turns.take([read("a", 0, 5, behind=False)], None)
    assert isinstance(caught.value.__cause__, Fenced)
    assert checkpoint.load().positions == {"kafka:a": "5"}


def test_a_reject_is_kept_with_its_source_and_where_it_stood(checkpoint: Checkpoint) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    brought = Incoming([b"rubbish"], source="kafka:a/7", offsets=np.array([1201]), behind=False)
    turns.take([Incoming([minute("a", 1)]), brought], None)
    (kept,) = checkpoint.rejects()
    assert (kept.reason, kept.source, kept.position) == ("not_json", "kafka:a/7", 1201)


def test_a_kept_reject_that_is_brought_again_goes_when_it_is_taken_and_stays_when_not(
    checkpoint: Checkpoint,
) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    turns.take([Incoming([b"rubbish", b"more rubbish"])], None)
    second, first = (reject for reject in checkpoint.rejects())
    assert (first.payload, second.payload) == (b"rubbish", b"more rubbish")
    rows = [row for (row,) in checkpoint._db.execute("SELECT id FROM rejects ORDER BY id")]
    taken = turns.take([Incoming([minute("a", 1), b"still rubbish"], replays=rows)], None)
    assert taken.answers[0].accepted == 1
    (left,) = checkpoint.rejects()
    assert left.payload == b"more rubbish"


def test_what_came_too_far_ahead_is_kept_whole_and_counts_when_its_time_has_come(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS)
    ahead = json.dumps(event(id="early", time="2026-08-21T00:00:00Z")).encode()
    orders = [minute("a", number) for number in range(9)]
    taken = turns.take([Incoming([*orders, ahead, ahead])], None)
    assert [one.reason for one in taken.answers[0].rejected] == ["time_ahead_of_stream"]
    (kept,) = checkpoint.rejects()
    assert kept.payload == ahead
    # The stream comes there by steps that it believes.
    for day in (13, 26, 39, 52, 65, 78, 91):
        time = f"2026-{5 + (21 + day) // 31:02}-{(21 + day) % 28 + 1:02}T00:00:00Z"
        steps = [json.dumps(event(id=f"s-{day}-{n}", time=time)).encode() for n in range(9)]
        turns.take([Incoming(steps)], None)
    taken = turns.take([Incoming([ahead])], None)
    assert (taken.answers[0].accepted, taken.answers[0].duplicates) == (1, 0)
    taken = turns.take([Incoming([ahead])], None)
    assert (taken.answers[0].accepted, taken.answers[0].duplicates) == (0, 1)
    events = taken.snapshot.tallies.events
    again = KeptTurns.load(checkpoint, SETTINGS).take([Incoming([ahead])], None)
    assert again.answers[0].duplicates == 1
    found = replay([tmp_path / "plimsoll.sqlite"], SETTINGS.policy)
    assert found.counts.events == events


def test_a_source_that_has_not_been_heard_of_is_waited_for(checkpoint: Checkpoint) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS, unheard=["files b"])
    taken = turns.take([read("a", 0, MINUTES, behind=False)], None)
    assert (taken.snapshot.watermark_ns or 0) == 0
    heard = Incoming(source="files b", behind=False)
    taken = turns.take([read("b", 0, MINUTES, behind=False), heard], None)
    assert (taken.snapshot.tallies.events, taken.snapshot.tallies.late) == (2 * MINUTES, 0)
    assert taken.snapshot.watermark_ns


def test_what_a_source_that_catches_up_may_bring_again_is_not_forgotten(
    checkpoint: Checkpoint,
) -> None:
    turns = KeptTurns.load(checkpoint, SETTINGS, unheard=["files b"])
    turns.take([read("a", 0, MINUTES, behind=False)], None)
    later = [
        json.dumps(event(id=f"l-{day}-{n}", time=f"2026-06-{day:02}T00:00:00Z")).encode()
        for day in range(1, 31)
        for n in range(9)
    ]
    turns.take([Incoming(later)], None)
    taken = turns.take([read("b", 0, MINUTES, behind=False)], None)
    assert taken.answers[0].accepted == MINUTES
