"""Recorded streams come in whole, in bounded chunks, whatever they are written in."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from analyzers.policy import Limits
from collector.files import recorded as files
from collector.files.recorded import (
    Chunk,
    FilesError,
    FormatError,
    MissingError,
    ReadError,
    TooLargeError,
)
from tests.payloads import event

LINES = [json.dumps(event(id=f"o-{i}")).encode() for i in range(7)]
NDJSON = b"\n".join(LINES) + b"\n"

WAYS = (
    "lines",
    "no last break",
    "CRLF",
    "byte order mark",
    "blank lines",
    "array",
    "array over several lines",
    "gzip",
    "gzip array",
    "gzip members",
    "gzip tiny members",
    "gzip padding",
)


def chunks(*paths: Path, **limits: int) -> list[Chunk]:
    return list(files.read(paths, limits=Limits(**limits)))


def payloads(*paths: Path, **limits: int) -> list[bytes]:
    """What the streams hold, none of it refused."""
    read = chunks(*paths, **limits)
    assert not [reject for chunk in read for reject in chunk.rejects]
    return [payload for chunk in read for payload in chunk.payloads]


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        NDJSON,
        NDJSON.rstrip(),
        NDJSON.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + NDJSON,
        b"\n \n" + NDJSON.replace(b"\n", b"\n\n\t\n"),
        b"[" + b",".join(LINES) + b"]",
        b"\xef\xbb\xbf \n[\n" + b",\n".join(LINES) + b"\n]\n",
        gzip.compress(NDJSON),
        gzip.compress(b"[" + b",".join(LINES) + b"]"),
        gzip.compress(NDJSON[:99]) + gzip.compress(b"") + gzip.compress(NDJSON[99:]),
        b"".join(gzip.compress(bytes([byte])) for byte in NDJSON),
        gzip.compress(NDJSON) + bytes(512),
    ],
    ids=WAYS,
)
def test_every_way_of_writing_a_stream_gives_the_same_payloads(
    tmp_path: Path, content: bytes
) -> None:
    assert payloads(written(tmp_path, "stream", content)) == LINES


@pytest.mark.parametrize("name", ["stream.ndjson", "stream.gz", "stream.json"])
def test_an_empty_file_holds_no_events(tmp_path: Path, name: str) -> None:
    assert chunks(written(tmp_path, name, b"")) == []


def test_an_empty_gzip_stream_holds_no_events(tmp_path: Path) -> None:
    assert chunks(written(tmp_path, "empty.gz", gzip.compress(b""))) == []


def test_chunks_are_bounded_and_lose_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "stream.ndjson", NDJSON * 10)
    read = chunks(path, batch_events=8)
    assert max(len(chunk.payloads) for chunk in read) == 8
    assert [payload for chunk in read for payload in chunk.payloads] == LINES * 10
    assert {chunk.source for chunk in read} == {str(path)}


def test_lines_that_lie_across_blocks_stay_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "stream.ndjson", NDJSON)
    for size in (1, 2, 7, 64, 1000):
        monkeypatch.setattr(files, "BLOCK_BYTES", size)
        assert payloads(path) == LINES


def test_a_directory_stands_for_the_streams_in_it_sorted(tmp_path: Path) -> None:
    written(tmp_path, "b.ndjson", LINES[1])
    written(tmp_path, "a.jsonl.gz", gzip.compress(LINES[0]))
    written(tmp_path, "c/day=1/part.json", b"[" + LINES[2] + b"]")
    for name in ("notes.txt", ".hidden.ndjson", "_tmp.ndjson"):
        written(tmp_path, name, LINES[6])
    assert payloads(tmp_path) == LINES[:3]


def test_several_streams_are_read_in_their_order(tmp_path: Path) -> None:
    one, two = written(tmp_path, "1", LINES[0]), written(tmp_path, "2", LINES[1])
    assert payloads(two, one, two) == [LINES[1], LINES[0], LINES[1]]


@pytest.mark.parametrize("content", [NDJSON, gzip.compress(NDJSON)], ids=["lines", "gzip"])
def test_standard_input_is_a_stream(content: bytes) -> None:
    read = files.read([Path("-")], limits=Limits(), stdin=io.BytesIO(content))
    assert [payload for chunk in read for payload in chunk.payloads] == LINES


@pytest.mark.parametrize("size", [60, 300, 5_000])
def test_a_line_over_the_limit_is_skipped_and_kept_as_a_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 64)
    long = json.dumps(event(id="long", unknown="x" * size)).encode()
    path = written(tmp_path, "stream", LINES[0] + b"\n" + long + b"\n" + LINES[1] + b"\n" + long)
    read = chunks(path, line_bytes=150, reject_payload_bytes=120)
    # Lines that one block more than the limit can hold are left to decode, which refuses them too.
    assert [p for chunk in read for p in chunk.payloads if len(p) <= 150] == LINES[:2]
    rejects = [reject for chunk in read for reject in chunk.rejects]
    left = [p for chunk in read for p in chunk.payloads if len(p) > 150]
    assert len(rejects) + len(left) == 2
    for reject in rejects:
        assert reject.reason == "too_long"
        assert f"a line of {len(long)} bytes is over 150; send smaller" in reject.detail
        assert reject.payload == long[:120]
        assert reject.service == "order-api"


def test_different_long_lines_are_different_rejects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 64)
    long = [b"x" * 1000 + end for end in (b"1", b"2", b"1")]
    rejects = [
        reject
        for chunk in chunks(written(tmp_path, "stream", b"\n".join(long)), line_bytes=100)
        for reject in chunk.rejects
    ]
    one, two, three = (reject.key for reject in rejects)
    assert one == three != two


def test_a_line_of_100_megabytes_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "stream.ndjson"
    with path.open("wb") as file:
        file.write(LINES[0] + b"\n")
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + LINES[1])
    read = chunks(path)
    assert [payload for chunk in read for payload in chunk.payloads] == LINES[:2]
    (reject,) = [reject for chunk in read for reject in chunk.rejects]
    assert (reject.reason, len(reject.payload)) == ("too_long", 4096)


@pytest.mark.parametrize("cut", [1, 8, 9, 15])
def test_of_a_gzip_stream_cut_off_the_readable_part_is_used(tmp_path: Path, cut: int) -> None:
    read = chunks(written(tmp_path, "cut.gz", gzip.compress(NDJSON)[:-cut]))
    found = [payload for chunk in read for payload in chunk.payloads]
    assert found == LINES[: len(found)]
    (reject,) = [reject for chunk in read for reject in chunk.rejects]
    assert reject.reason == "truncated"
    assert "cut.gz cannot be read to its end: its gzip data is cut off; copy" in reject.detail
    assert reject.service == ""


def test_of_a_damaged_gzip_stream_the_readable_part_is_used(tmp_path: Path) -> None:
    first, second = gzip.compress(NDJSON), bytearray(gzip.compress(NDJSON * 50))
    second[-6] ^= 0xFF  # in its checksum
    read = chunks(written(tmp_path, "damaged.gz", first + bytes(second)))
    assert [p for chunk in read for p in chunk.payloads][:7] == LINES
    (reject,) = [reject for chunk in read for reject in chunk.rejects]
    assert reject.reason == "truncated"
    assert "damaged.gz cannot be read to its end: its gzip data is damaged" in reject.detail


def test_of_a_truncated_array_the_whole_elements_are_used(tmp_path: Path) -> None:
    content = b"[" + b",\n".join(LINES)
    path = written(tmp_path, "cut.json", content[:-5])
    assert payloads(path) == [*LINES[:6], LINES[6][:-5]]


def test_lines_that_begin_with_an_array_are_still_lines(tmp_path: Path) -> None:
    assert payloads(written(tmp_path, "stream", b"[1,2]\n" + NDJSON)) == [b"[1,2]", *LINES]
    big = written(tmp_path, "big", b"[1]\n" + NDJSON * 9)
    assert payloads(big, body_bytes=200) == [b"[1]", *LINES * 9]


def test_one_object_over_several_lines_is_one_payload(tmp_path: Path) -> None:
    path = written(tmp_path, "marker.json", json.dumps(event(), indent=2).encode() + b"\n")
    (payload,) = payloads(path)
    assert json.loads(payload) == event()


def test_lines_after_a_broken_one_are_still_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "stream", LINES[0][:-1] + b"\n" + NDJSON)
    assert payloads(path) == payloads(path, body_bytes=200) == [LINES[0][:-1], *LINES]


def test_an_array_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "big.json", b"[" + b",".join(LINES) + b"]")
    with pytest.raises(TooLargeError, match=r"big\.json is one JSON array over 200 .* one event a"):
        chunks(path, body_bytes=200)


def test_what_does_not_exist_is_named_before_anything_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "stream", NDJSON)
    with pytest.raises(MissingError, match=r"nothing\.ndjson does not exist; name a file"):
        files.read([path, tmp_path / "nothing.ndjson"], limits=Limits())


def test_a_directory_without_streams_is_named(tmp_path: Path) -> None:
    written(tmp_path, "notes.txt", b"")
    with pytest.raises(MissingError, match=r"holds no stream; a stream is \.ndjson, "):
        chunks(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (NDJSON.decode().encode("utf-16"), "it is UTF-16 or UTF-32; convert it to UTF-8"),
        ("\ufeff".encode("utf-16-be") + NDJSON, "it is UTF-16; convert"),
        (NDJSON.decode().encode("utf-16-le"), "text in UTF-8: convert it"),
        (NDJSON.decode().encode("utf-16-be"), "text in UTF-8: convert it"),
        (gzip.compress(NDJSON.decode().encode("utf-16")), "it is UTF-16"),
        (b"PK\x03\x04" + bytes(99), "ZIP archive"),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "zstd; unpack it first"),
        (b"SQLite format 3\0" + bytes(99), "it is a database"),
        (gzip.compress(b"PAR1"), "Parquet inside gzip"),
    ],
)
def test_what_is_no_stream_of_events_is_named_with_its_remedy(
    tmp_path: Path, content: bytes, why: str
) -> None:
    with pytest.raises(FormatError, match=f"stream is no .*{why}"):
        chunks(written(tmp_path, "stream", content))


def test_what_the_system_refuses_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "stream", NDJSON)

    class Broken(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(ReadError, match=r"- cannot be read \(Input/output error\); check"):
        list(files.read([path, Path("-")], limits=Limits(), stdin=Broken()))


def test_every_error_can_be_caught_as_one() -> None:
    assert {FormatError, MissingError, ReadError, TooLargeError} <= set(FilesError.__subclasses__())


def test_progress_tells_how_much_of_all_files_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 100)
    packed = gzip.compress(NDJSON)
    paths = [written(tmp_path, "1", NDJSON), written(tmp_path, "2.gz", packed)]
    told: list[tuple[int, int]] = []
    list(files.read(paths, limits=Limits(), progress=lambda done, all_: told.append((done, all_))))
    size = len(NDJSON) + len(packed)
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert {total for _, total in told} == {size}


def test_of_standard_input_nobody_knows_how_long_it_is() -> None:
    told: list[tuple[int, int]] = []
    stdin = io.BytesIO(NDJSON)
    read = files.read(
        [Path("-")], limits=Limits(), stdin=stdin, progress=lambda *now: told.append(now)
    )
    list(read)
    assert told == [(len(NDJSON), 0)]
