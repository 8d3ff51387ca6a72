"""Kill -9 at any moment loses nothing acknowledged, and keeps no turn by halves.

This file is also the program that is killed: run with a directory, it commits one turn after
another, compacts and trims now and then, and says the number of each turn once it is committed.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import zlib
from itertools import count
from pathlib import Path

from collector.keeping.checkpoint import Checkpoint, Entry, KeptVerdict, Move, NewNotice

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10
SEED = 20_260_521


def turn(number: int) -> Entry:
    """What turn ``number`` writes: from a few bytes to a megabyte, all of it to be known again."""
    chance = random.Random(number)
    size = chance.choice((10, 3_000, 200_000, 1_000_000))
    return Entry(
        intake=chance.randbytes(size),
        stream_ns=number,
        cells=chance.randbytes(chance.choice((5, 50_000))),
        seen=chance.randbytes(16),
        seen_newest_ns=number,
        markers=(b"marker %d" % number,),
        verdicts=(KeptVerdict(f"d-{number % 3}", number, b"verdict %d" % number),),
        notices=(NewNotice(f"key-{number}", "hook", "d", b"notice %d" % number),),
        memory=b"memory %d" % number,
        positions=(Move("orders", str(number - 1) if number > 1 else None, str(number)),),
    )


def commit_until_killed(directory: Path) -> None:
    with Checkpoint.open(directory) as checkpoint:
        for number in count(checkpoint.load().seq + 1):
            seq = checkpoint.commit(turn(number))
            os.write(1, b"%d\n" % seq)
            if number % 5 == 0:
                checkpoint.compact(b"".join, b"".join)
            if number % 7 == 0:
                checkpoint.delivered(number // 7, now_ns=number)


def kill_at_some_moment(directory: Path, chance: random.Random) -> int:
    """The last turn that a killed writer had acknowledged."""
    with subprocess.Popen(
        [sys.executable, __file__, str(directory)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as writer:
        assert writer.stdout is not None
        acknowledged = 0
        for _ in range(chance.randrange(1, 12)):
            acknowledged = int(writer.stdout.readline())
        with Checkpoint.open(directory, exclusive=False) as reader:
            assert reader.load().seq >= acknowledged
        # Some work between hearing of the last turn and killing moves the moment about.
        zlib.crc32(bytes(chance.randrange(1, 20_000_000)))
        writer.kill()
        rest = writer.stdout.read().splitlines()
    return int(rest[-1]) if rest else acknowledged


def assert_whole(directory: Path, acknowledged: int) -> int:
    """The number of the last turn, after comparing all that is kept with what was committed."""
    with Checkpoint.open(directory) as checkpoint:
        checkpoint.verify()
        saved = checkpoint.load()
        # A turn may be on disk whose number did not get out any more.
        assert saved.seq in (acknowledged, acknowledged + 1)
        turns = [turn(number) for number in range(1, saved.seq + 1)]
        assert list(checkpoint.intake_log()) == list(enumerate((t.intake for t in turns), 1))
        notices = checkpoint.notices(limit=10_000)
    assert b"".join(saved.cells) == b"".join(t.cells for t in turns)
    assert b"".join(saved.seen) == b"".join(t.seen for t in turns)
    assert saved.markers == tuple(body for t in turns for body in t.markers)
    assert saved.memory == turns[-1].memory
    assert dict(saved.positions) == {"orders": str(saved.seq)}
    assert {v.as_of_ns for v in saved.verdicts} == set(range(max(1, saved.seq - 2), saved.seq + 1))
    assert [n.payload for n in reversed(notices)] == [n.payload for t in turns for n in t.notices]
    return saved.seq


def test_killing_the_writer_loses_nothing_acknowledged_and_keeps_no_half_turn(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    reached = [0]
    for _ in range(KILLS):
        acknowledged = kill_at_some_moment(tmp_path, chance)
        assert acknowledged > reached[-1], f"seed {SEED}"
        reached.append(assert_whole(tmp_path, acknowledged))


if __name__ == "__main__":
    commit_until_killed(Path(sys.argv[1]))
