"""Files as a source: everything once, wherever it is stopped, whatever happens to the files."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from collector.source import Formed, Message, SourceError
from tests.payloads import event
from tests.unit.followed import LINES, Bench, append, ids, parquet, text, written


@pytest.mark.parametrize("kind", ["plain", "gzip", "members", "array", "parquet"])
@pytest.mark.parametrize("follow", [True, False])
def test_a_stop_after_every_line_loses_nothing_and_doubles_nothing(
    tmp_path: Path, kind: str, follow: bool
) -> None:
    content = {
        "plain": text(LINES),
        "gzip": gzip.compress(text(LINES)),
        "members": b"".join(gzip.compress(line + b"\n") for line in LINES),
        "array": b"[\n" + b",\n".join(LINES) + b"\n]",
    }
    path = tmp_path / ("in.parquet" if kind == "parquet" else "in.ndjson")
    if kind == "parquet":
        parquet(path, range(len(LINES)))
    else:
        written(path, content[kind])
    bench = Bench.of(path, follow=follow)
    for _ in range(100):
        bench.opened()
        bench.poll(1, wait_s=5.0, commit=False)  # this one dies before its commit
        bench.opened()
        if not bench.poll(1, wait_s=5.0).parts:
            break
    assert ids(bench.payloads) == ids(LINES)
    assert not bench.notes


@pytest.mark.parametrize("events", [1, 3, 1000])
def test_appended_lines_come_and_a_half_one_waits_for_its_line_break(
    tmp_path: Path, events: int
) -> None:
    path = written(tmp_path / "in.ndjson", text(LINES[:2]))
    bench = Bench.of(path)
    assert bench.drain(events) == LINES[:2]
    append(path, LINES[2][:40])
    assert bench.drain(events) == []
    bench.opened()
    assert bench.drain(events) == []
    append(path, LINES[2][40:] + b"\r\n\n  \n" + LINES[3])
    assert bench.drain(events) == [LINES[2]]
    append(path, b"\n")
    assert bench.drain(events) == [LINES[3]]


def test_every_cut_of_a_file_that_grows_byte_by_byte_gives_the_same_lines(tmp_path: Path) -> None:
    content = text(LINES[:3])
    for cut in range(0, len(content), 7):
        path = written(tmp_path / f"in{cut}.ndjson", content[:cut])
        bench = Bench.of(path)
        bench.drain()
        bench.opened()
        append(path, content[cut:])
        bench.drain()
        assert bench.payloads == LINES[:3], cut


def test_without_following_a_last_line_needs_no_line_break_and_nothing_more_comes(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "in.ndjson", text(LINES[:2]) + LINES[2])
    bench = Bench.of(path, follow=False)
    bench.drain()
    assert bench.payloads == LINES[:3]
    assert bench.source is not None
    assert bench.source.done
    bench.opened()
    assert bench.drain() == []


def test_offsets_are_where_lines_stand_in_the_file(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + text(LINES[:2]) + b"\n\n" + text(LINES[2:4])
    bench = Bench.of(written(tmp_path / "in.ndjson", content))
    (part,) = bench.poll(wait_s=1.0).parts
    assert [content.find(line) for line in LINES[:4]] == part.offsets.tolist()
    assert part.source == f"file:{tmp_path}/in.ndjson"


def test_a_rotated_file_is_finished_before_the_new_one_begins(tmp_path: Path) -> None:
    path = written(tmp_path / "app.log", text(LINES[:2]))
    bench = Bench.of(path)
    bench.drain()
    append(path, text(LINES[2:4]))
    old = path.rename(tmp_path / "app.log.1")
    written(path, text(LINES[6:8]))
    bench.poll(wait_s=0.5)
    append(old, LINES[4] + b"\n" + LINES[5])  # its writer has not noticed yet
    bench.drain()
    assert bench.payloads == LINES[:8]
    bench.opened()
    append(path, text(LINES[8:9]))
    assert bench.drain() == [LINES[8]]


def test_a_file_rotated_while_nobody_looked_is_finished_first(tmp_path: Path) -> None:
    path = written(tmp_path / "app.log", text(LINES[:2]))
    bench = Bench.of(path)
    bench.drain()
    bench.kill()
    append(path, text(LINES[2:4]))
    path.rename(tmp_path / "app.log.1")
    written(path, text(LINES[4:6]))
    for _ in range(20):
        bench.opened()
        bench.poll(1, wait_s=3.0)
    assert bench.payloads == LINES[:6]


def test_of_a_rotated_file_that_is_nowhere_the_loss_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "app.log", text(LINES[:2]))
    bench = Bench.of(path)
    bench.drain()
    bench.kill()
    path.rename(tmp_path / "kept")
    (tmp_path / "kept").unlink()
    written(tmp_path / "other", b"x")  # it may get the inode
    written(path, text(LINES[4:6]))
    assert bench.drain() == LINES[4:6]
    (note,) = bench.notes
    assert "app.log" in note
    assert "it is read from its beginning" in note


def test_a_chain_of_renames_within_a_folder_reads_every_line_once(tmp_path: Path) -> None:
    draw = random.Random(3)
    bench = Bench.of(tmp_path)
    names = [tmp_path / f"{n}.ndjson" for n in range(4)]
    wanted: list[bytes] = []
    for turn in range(12):
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.rename(older)
        lines = [json.dumps(event(id=f"t-{turn}-{i}")).encode() for i in range(5)]
        wanted += lines
        written(names[0], text(lines[:3]))
        bench.poll(draw.choice((1, 2, 1000)), wait_s=draw.choice((0.0, 2.0)))
        append(names[0], text(lines[3:]))
        if draw.random() < 0.5:
            bench.opened()
        bench.drain(draw.choice((1, 2, 1000)))
    assert sorted(bench.payloads) == sorted(wanted)


@pytest.mark.parametrize("restarted", [True, False])
def test_a_truncated_file_begins_anew(tmp_path: Path, restarted: bool) -> None:
    path = written(tmp_path / "in.ndjson", text(LINES[:6]))
    bench = Bench.of(path)
    bench.drain()
    os.truncate(path, 0)
    append(path, text(LINES[6:8]))
    if restarted:
        bench.opened()
    assert bench.drain() == LINES[6:8]
    (note,) = bench.notes
    assert "truncated" in note


@pytest.mark.parametrize("restarted", [True, False])
def test_a_file_written_anew_and_larger_is_noticed_by_what_it_says(
    tmp_path: Path, restarted: bool
) -> None:
    path = written(tmp_path / "in.ndjson", text(LINES[:3]))
    bench = Bench.of(path)
    bench.drain()
    path.write_bytes(text(LINES[3:12]))
    if restarted:
        bench.opened()
    assert bench.drain() == LINES[3:12]
    (note,) = bench.notes
    assert "anew" in note


def test_a_copy_that_takes_the_place_of_its_file_is_read_on(tmp_path: Path) -> None:
    path = written(tmp_path / "in.ndjson", text(LINES[:3]))
    bench = Bench.of(path)
    bench.drain()
    bench.kill()
    shutil.copy(path, tmp_path / "copy")
    path.unlink()
    (tmp_path / "copy").rename(path)
    append(path, text(LINES[3:5]))
    assert bench.drain() == LINES[3:5]


def test_a_file_that_vanishes_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path / "in.ndjson", text(LINES[:5]) + LINES[5])
    bench = Bench.of(path)
    bench.poll(2)
    path.unlink()
    bench.drain(2)
    assert bench.payloads == LINES[:6]
    written(path, text(LINES[6:8]))
    assert bench.drain() == LINES[6:8]


def test_lines_of_a_form_have_places_that_never_repeat(tmp_path: Path) -> None:
    places: list[str] = []

    def form(message: Message) -> Formed:
        places.append(message.place)
        if message.payload == LINES[1]:
            return Formed(ignored="not_wanted")
        assert message.payload is not None
        return Formed((message.payload, b"second"))

    path = written(tmp_path / "in.ndjson", text(LINES[:3]))
    bench = Bench.of(path, form=form)
    bench.drain()
    assert bench.payloads == [LINES[0], b"second", LINES[2], b"second"]
    assert bench.ignored == {"not_wanted": 1}
    path.write_bytes(text(LINES[:1]))
    bench.drain()
    path.rename(tmp_path / "gone")
    written(path, text(LINES[4:5]))
    bench.drain()
    assert len(set(places)) == len(places) == 5
    assert places[0] == f"{path}@0"


def test_a_folder_of_a_thousand_files_comes_in_order_of_their_paths(tmp_path: Path) -> None:
    wanted = []
    for number in range(1000):
        line = json.dumps(event(id=f"f-{number}")).encode()
        wanted.append(line)
        name = f"{number // 100}/part-{number:04d}.ndjson"
        written(tmp_path / name, text([line]))
    bench = Bench.of(tmp_path)
    while len(bench.payloads) < 500:
        bench.poll(37)
    bench.opened()
    bench.drain(100)
    assert bench.payloads == wanted
    assert len(bench.positions) == 1000
    late = written(tmp_path / "5/late.ndjson", text(LINES[:1]))
    append(tmp_path / "3/part-0300.ndjson", text(LINES[1:2]))
    assert sorted(bench.drain()) == sorted(LINES[:2])
    assert f"file:{late}" in bench.positions
    # Few of them are held open, and none of them for ever.
    assert bench.source is not None
    assert sum(file.open for file in bench.source._files.values()) <= 128
    bench.kill()
    held = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
    assert not [name for name in held if name.startswith(str(tmp_path))]


def test_patterns_find_files_that_come_later(tmp_path: Path) -> None:
    written(tmp_path / "a/orders-1.log", text(LINES[:1]))
    bench = Bench.of(f"{tmp_path}/*/orders-?.log", f"{tmp_path}/later.ndjson")
    bench.drain()
    written(tmp_path / "b/orders-2.log", text(LINES[1:2]))
    written(tmp_path / "b/other.log", text(LINES[5:6]))
    written(tmp_path / "later.ndjson", text(LINES[2:3]))
    bench.drain()
    assert sorted(bench.payloads) == LINES[:3]


def test_more_files_than_the_limit_are_refused_at_the_start_and_said_later(tmp_path: Path) -> None:
    for number in range(3):
        written(tmp_path / f"{number}.ndjson", text(LINES[number : number + 1]))
    with pytest.raises(SourceError, match="stands for 3 files, the limit is 2: move away what"):
        Bench.of(tmp_path, most=2).opened()
    bench = Bench.of(tmp_path, most=3)
    bench.drain()
    written(tmp_path / "3.ndjson", text(LINES[3:4]))
    bench.drain()
    assert sorted(bench.payloads) == LINES[:3]
    (note,) = bench.notes
    assert "has more than 3 files: move away" in note


def test_a_file_under_two_names_is_read_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ndjson", text(LINES[:3]))
    (tmp_path / "b.ndjson").symlink_to(path)
    os.link(path, tmp_path / "c.ndjson")
    bench = Bench.of(tmp_path)
    bench.drain()
    assert bench.payloads == LINES[:3]


def test_a_name_that_is_no_utf8_is_followed_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.ndjson")
    written(Path(name), text(LINES[:2]))
    bench = Bench.of(tmp_path)
    bench.poll(1)
    bench.opened()
    bench.drain()
    assert bench.payloads == LINES[:2]
    assert [source.encode() for source in bench.positions]


def test_a_position_that_cannot_be_understood_begins_anew_and_is_said(tmp_path: Path) -> None:
    path = written(tmp_path / "in.ndjson", text(LINES[:2]))
    bench = Bench.of(path, positions={f"file:{path}": "nonsense"})
    bench.drain()
    assert bench.payloads == LINES[:2]
    (note,) = bench.notes
    assert "in.ndjson cannot be understood; it is read anew" in note


def test_what_waits_behind_others_is_said_to_be_behind(tmp_path: Path) -> None:
    for name in "abc":
        written(tmp_path / f"{name}.ndjson", text(LINES[:4]))
    bench = Bench.of(tmp_path)
    first = {Path(part.source).stem: part.behind for part in bench.poll(3).parts}
    assert first == {"a": True, "b": True, "c": True}
    second = {Path(part.source).stem: part.behind for part in bench.poll(4).parts}
    assert second == {"a": False, "b": True}


def test_a_source_without_paths_is_refused() -> None:
    with pytest.raises(SourceError, match="files in names no paths: name a file, a folder, or -"):
        Bench.of().opened()


def test_without_following_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.ndjson does not exist; name a file"):
        Bench.of(tmp_path / "nothing.ndjson", follow=False).opened()


@pytest.mark.parametrize("seed", range(12))
def test_any_life_of_a_folder_gives_every_line_once(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    bench = Bench.of(tmp_path)
    wanted: list[bytes] = []
    generations = 5

    def name(app: str, generation: int) -> Path:
        return tmp_path / f"{app}{f'.{generation}' if generation else ''}.ndjson"

    def rotate(app: str) -> None:
        for generation in range(generations - 1, 0, -1):
            if name(app, generation - 1).exists():
                name(app, generation - 1).rename(name(app, generation))

    for step in range(60):
        app = draw.choice("ab")
        line = json.dumps(event(id=f"{seed}-{step}", subject="x" * draw.randrange(200))).encode()
        match draw.randrange(6):
            case 0 | 1 | 2:
                wanted.append(line)
                append(name(app, 0), line[:30])
                bench.poll(draw.choice((1, 3, 99)), wait_s=draw.choice((0.0, 0.6)))
                append(name(app, 0), line[30:] + b"\n")
            case 3:
                bench.drain(draw.choice((1, 3, 99)))  # the oldest file goes: it must have been read
                rotate(app)
            case 4:
                bench.poll(draw.choice((1, 3)), wait_s=1.0, commit=False)
                bench.opened()
            case _:
                bench.poll(draw.choice((1, 3, 99)), wait_s=draw.choice((0.0, 2.0)))
    bench.drain()
    assert sorted(bench.payloads) == sorted(wanted)


def test_thousands_of_files_that_are_gone_cost_one_look_at_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        written(tmp_path / f"{number:03d}.ndjson", text(LINES[:1]))
    bench = Bench.of(tmp_path)
    bench.drain()
    bench.kill()
    for number in range(290):
        (tmp_path / f"{number:03d}.ndjson").unlink()
    looked: list[object] = []
    really = os.scandir

    def counting(path: Path) -> object:
        looked.append(path)
        return really(path)

    monkeypatch.setattr("collector.files.place.os.scandir", counting)
    written(tmp_path / "new.ndjson", text(LINES[1:2]))
    assert bench.drain() == LINES[1:2]
    assert bench.source is not None
    assert len(bench.source._files) == 11
    assert looked.count(tmp_path) == 1  # os.walk names it as a text
