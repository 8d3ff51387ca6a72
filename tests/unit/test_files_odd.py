"""Files that cannot be read on from any line, cannot be read at all, or are standard input."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path

import pytest

from analyzers.policy import Limits
from collector.source import SourceError
from tests.payloads import event
from tests.unit.followed import LINES, Bench, append, ids, parquet, refusals, text, written


def test_an_unreadable_file_is_a_reject_and_not_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = written(tmp_path / "a.ndjson", text(LINES[:1]))
    written(tmp_path / "b.ndjson", text(LINES[1:2]))
    really = os.open

    def closed(path: Path, flags: int) -> int:
        if path == bad:
            raise PermissionError(13, "Permission denied")
        return really(path, flags)

    monkeypatch.setattr(os, "open", closed)  # whoever tests as root may read everything
    bench = Bench.of(tmp_path)
    bench.drain()
    (told,) = refusals(bench)
    assert told.reason == "unreadable"
    assert "a.ndjson cannot be read (Permission denied); check its permissions" in told.what
    assert bench.payloads[1:] == LINES[1:2]
    monkeypatch.undo()
    bad.chmod(0o640)
    assert bench.drain() == LINES[:1]


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(99), b"PAR1" + bytes(99)])
def test_a_file_that_is_no_stream_is_one_reject(tmp_path: Path, content: bytes) -> None:
    written(tmp_path / "a.ndjson", content)
    written(tmp_path / "b.ndjson", text(LINES[:1]))
    bench = Bench.of(tmp_path)
    bench.drain()
    (told,) = refusals(bench)
    assert told.reason == "unreadable"
    assert LINES[0] in bench.payloads


def test_a_gzip_file_that_is_still_written_is_read_when_it_rests(tmp_path: Path) -> None:
    whole = gzip.compress(text(LINES[:6]))
    path = written(tmp_path / "in.ndjson.gz", whole[:50])
    bench = Bench.of(path)
    assert not bench.poll().parts
    append(path, whole[50:])
    assert bench.drain() == LINES[:6]
    append(path, gzip.compress(text(LINES[6:8])))
    assert bench.drain() == LINES[6:8]
    bench.opened()
    assert bench.drain() == []
    assert not refusals(bench)


def test_a_gzip_file_cut_off_is_a_reject_and_is_read_again_when_it_is_whole(tmp_path: Path) -> None:
    whole = gzip.compress(text(LINES[:6]))
    path = written(tmp_path / "in.ndjson.gz", whole[:-12])
    bench = Bench.of(path)
    bench.drain()
    (told,) = refusals(bench)
    assert told.reason == "truncated"
    path.write_bytes(whole)
    assert bench.drain() == LINES[:6]  # those that came before count once, by their ids


def test_a_parquet_file_that_another_takes_the_place_of_is_read_anew(tmp_path: Path) -> None:
    path = parquet(tmp_path / "in.parquet", range(3))
    bench = Bench.of(path)
    bench.drain()
    parquet(path, range(3, 9))
    bench.drain()
    assert ids(bench.payloads) == ids(LINES[:9])


def test_a_line_over_the_limit_is_a_reject_in_its_place(tmp_path: Path) -> None:
    long = json.dumps(event(id="long", unknown="x" * 3_000_000)).encode()
    path = written(tmp_path / "in.ndjson", text([LINES[0], long, LINES[1]]))
    bench = Bench.of(path, limits=Limits(line_bytes=10_000))
    for _ in range(12):
        bench.opened()
        bench.poll(1, wait_s=1.0)
    assert LINES[0] == bench.payloads[0]
    assert LINES[1] in bench.payloads
    told, *again = refusals(bench)
    assert told.reason == "too_long"
    assert f"a line of {len(long)} bytes is over 10000" in told.what
    assert len(told.original) == 4096
    # It may be told twice around a stop; its reject has the same key, and counts once.
    assert {one.payload for one in again} <= {told.payload}


def test_standard_input_is_read_as_it_comes_and_never_resumed() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        bench = Bench.of("-", stdin=pipe)
        os.write(writing, text(LINES[:2]))
        while len(bench.payloads) < 2:
            bench.poll(wait_s=0.05)
        os.write(writing, LINES[2][:30])
        os.write(writing, LINES[2][30:] + b"\n" + LINES[3])
        os.close(writing)
        assert bench.source is not None
        while not bench.source.done:
            bench.poll(2, wait_s=0.05)
    assert bench.payloads == LINES[:4]
    assert bench.positions == {"file:-": "1:4"}
    second = Bench.of("-", stdin=io.BytesIO(gzip.compress(text(LINES[:3]))))
    second.positions = bench.positions
    second.drain()
    assert second.payloads == LINES[:3]
    assert second.positions == {"file:-": "2:3"}


def test_standard_input_stands_alone() -> None:
    with pytest.raises(SourceError, match="files in names - and 1 more: - stands alone"):
        Bench.of("-", "a").opened()
