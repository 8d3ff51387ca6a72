"""Trouble of the disk, on a really full, a really read-only and a really damaged one: a clear
error, no silent loss, and the way back that docs/operations.md tells."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from collector.keeping.checkpoint import FILE, Checkpoint, CheckpointError
from tests.integration.serving import Daemon, daemon, marker, ndjson, order
from tests.integration.test_keeping import BATCHES, cells_in, plimsoll, send

pytestmark = pytest.mark.integration

TRIES = 3_000
MB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a disk of its own needs the rights to mount one")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path) -> Path:
    """Takes all the room that is left; what it is in may be deleted."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (64 << 10, 4 << 10, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


def until_status(running: Daemon, path: str, status: int) -> None:
    pause = Event()
    for _ in range(TRIES):
        if running.http.get(path).status_code == status:
            return
        assert running.process.poll() is None, running.lines
        pause.wait(0.02)
    raise AssertionError(f"{path} never answered {status}: {running.lines}")


def many(begin: int, count: int) -> bytes:
    """Orders that take room: no two are alike."""
    return ndjson(
        [order(n, id=f"o-{n}-{os.urandom(20).hex()}") for n in range(begin, begin + count)]
    )


def test_with_a_full_disk_reads_go_on_writes_are_told_to_come_back_and_then_it_recovers(
    disk: Path,
) -> None:
    state = disk / "state"
    with daemon(state) as running:
        send(running, [ndjson([marker()]), *BATCHES[:2]])
        ballast = fill(disk)
        body = many(1_000, 5_000)
        waiting: list[httpx.Response] = []
        thread = Thread(target=lambda: waiting.append(running.post(body)))
        thread.start()
        until_status(running, "/readyz", 503)
        refused = running.post(BATCHES[2])
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "the disk is full: free some space, nothing committed is lost" in refused.text
        assert running.counts()["events"] == 100
        assert running.get("/v1/verdicts/d-1")["service"] == "order-api"
        assert running.get("/healthz")["status"] == "ok"
        assert plimsoll("rejects", "list", "--state", state).returncode == 0
        copy = plimsoll("backup", disk / "copy.sqlite", "--state", state)
        assert copy.returncode == 1
        assert "disk" in copy.stderr
        assert not list(disk.glob("copy*"))
        ballast.unlink()
        until_status(running, "/readyz", 200)
        thread.join()
        assert waiting[0].status_code == 202
        assert waiting[0].json()["accepted"] == 5_000
        assert running.counts()["events"] == 5_100
        assert any("nothing can be kept, so nothing is taken" in line for line in running.lines)
        assert "the disk takes what comes in again; nothing was lost" in running.lines
        running.kill()
    with daemon(state) as running:
        assert running.counts()["events"] == 5_100
        assert running.post(body).json()["duplicates"] == 5_000


def test_a_daemon_on_a_full_disk_ends_when_it_is_told_to_and_loses_nothing_acknowledged(
    disk: Path,
) -> None:
    state = disk / "state"
    with daemon(state) as running:
        send(running, BATCHES[:2])
        ballast = fill(disk)
        statuses: list[int] = []
        body = many(1_000, 5_000)
        thread = Thread(target=lambda: statuses.append(running.post(body).status_code))
        thread.start()
        until_status(running, "/readyz", 503)
        assert running.end() == 1
        thread.join()
        assert statuses == [503]
        assert any("Nothing that was acknowledged is lost" in line for line in running.lines)
    ran = plimsoll("serve", "--state", state, "--port", "0")
    assert ran.returncode == 2
    assert "full" in ran.stderr or "No space left" in ran.stderr
    assert ran.stderr.count("\n") == 1
    ballast.unlink()
    with daemon(state) as running:
        assert running.counts()["events"] == 100


def test_a_read_only_disk_is_named_and_what_is_on_it_can_be_read(disk: Path) -> None:
    state = disk / "state"
    with daemon(state) as running:
        send(running, [BATCHES[0], b"rubbish"])
        assert running.end() == 0
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    ran = plimsoll("serve", "--state", state, "--port", "0")
    assert ran.returncode == 2
    assert "Read-only file system; choose another --state" in ran.stderr
    assert "1 rejects are kept" in plimsoll("rejects", "list", "--state", state).stdout
    away = disk.parent / "away.sqlite"
    assert plimsoll("backup", away, "--state", state).returncode == 0
    there = disk.parent / "there"
    assert plimsoll("restore", away, "--state", there).returncode == 0
    assert cells_in(there) == cells_in(state)


def read_all(path: Path) -> None:
    with Checkpoint.read(path) as checkpoint:
        checkpoint.verify()


def states(tmp_path: Path) -> tuple[Path, Path]:
    """A state that has been ended in order, and a backup of it."""
    state, copy = tmp_path / "state", tmp_path / "copy.sqlite"
    with daemon(state) as running:
        send(running, [ndjson([marker()]), *BATCHES])
        assert running.end() == 0
    assert plimsoll("backup", copy, "--state", state).returncode == 0
    return state, copy


def test_wherever_bytes_of_the_state_are_flipped_it_is_found_and_a_backup_is_the_way_back(
    tmp_path: Path,
) -> None:
    state, copy = states(tmp_path)
    whole = (state / FILE).read_bytes()
    size = len(whole)
    flipped = tmp_path / "flipped.sqlite"
    # The header, a page's own header, the schema, and every body that is kept.
    places = {
        "header": 0,
        "page size": 16,
        "page": 100,
        "schema": whole.find(b"CREATE TABLE fence"),
    }
    with closing(sqlite3.connect(copy)) as db:
        for table in ("intake", "cells", "seen", "memory"):
            (body,) = db.execute(f"SELECT body FROM {table} LIMIT 1").fetchone()
            places[table] = whole.find(body[:64])
    assert min(places.values()) >= 0
    for place in places.values():
        damaged = bytearray(whole)
        damaged[place : place + 16] = bytes(byte ^ 0xFF for byte in whole[place : place + 16])
        flipped.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"flipped\.sqlite.*(backup|--state)"):
            read_all(flipped)
    damaged = bytearray(whole)
    damaged[8192:] = bytes(size - 8192)
    (state / FILE).write_bytes(damaged)
    ran = plimsoll("serve", "--state", state, "--port", "0")
    assert ran.returncode == 2
    assert "is damaged" in ran.stderr
    assert "put the newest backup in its place" in ran.stderr
    assert plimsoll("restore", copy, "--state", state, "--force").returncode == 0
    with daemon(state) as running:
        assert running.counts()["events"] == 500


def test_a_state_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    state, copy = states(tmp_path)
    whole = (state / FILE).read_bytes()
    for left in (len(whole) // 2, 8192, 100):
        (state / FILE).write_bytes(whole[:left])
        ran = plimsoll("serve", "--state", state, "--port", "0")
        assert ran.returncode == 2, left
        assert f"{state / FILE} is" in ran.stderr
        assert ran.stderr.count("\n") == 1
    assert plimsoll("restore", copy, "--state", state, "--force").returncode == 0


def test_a_log_that_is_gone_after_a_crash_is_noticed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with daemon(state) as running:
        send(running, BATCHES[:3])
        running.kill()
    log = state / f"{FILE}-wal"
    kept = log.rename(tmp_path / "kept-wal")
    for _ in range(2):
        ran = plimsoll("serve", "--state", state, "--port", "0")
        assert ran.returncode == 2
        assert "plimsoll.sqlite-wal is gone, and it held the newest turns" in ran.stderr
        assert "put it back, restore the newest backup, or delete plimsoll.lock" in ran.stderr
    kept.rename(log)
    with daemon(state) as running:
        assert running.counts()["events"] == 150
        assert running.end() == 0
    with daemon(state) as running:  # ended in order: there is no log, and none is missed
        assert running.counts()["events"] == 150
