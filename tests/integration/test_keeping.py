"""Backup, restore and rejects around a real daemon, from the shell: everything docs/operations.md
tells an operator to type."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from collector.keeping.checkpoint import FILE, Checkpoint
from pipeline import kept
from pipeline.config import parse
from tests.integration.serving import ROOT, Daemon, daemon, marker, ndjson, order

pytestmark = pytest.mark.integration

POLICY = parse(b"", {}).policy


def plimsoll(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def cells_in(state: Path) -> str:
    """The cells of a state, by digest."""
    with Checkpoint.read(state / FILE) as checkpoint:
        bodies = checkpoint.load().cells
    whole = kept.merged(bodies, POLICY, settled_ns=0, oldest_slice=0)
    return kept.decode(whole)[0].digest()


BATCHES = [ndjson([order(n) for n in range(begin, begin + 50)]) for begin in range(0, 500, 50)]


def send(running: Daemon, batches: list[bytes]) -> None:
    for batch in batches:
        assert running.post(batch).status_code == 202


def test_a_backup_made_under_load_is_restored_and_resent_events_count_once(tmp_path: Path) -> None:
    state, backups = tmp_path / "state", tmp_path / "backups"
    backups.mkdir()
    with daemon(state) as running:
        assert running.post(ndjson([marker()])).status_code == 202
        send(running, BATCHES[:4])
        ran = plimsoll("backup", backups, "--state", state)
        assert ran.returncode == 0, ran.stderr
        (copy,) = backups.iterdir()
        assert f"{copy} holds " in ran.stdout
        assert "200 events, as of 2026-05-21T10:00:" in ran.stdout
        assert ran.stdout.endswith("; verified\n")
        assert copy.stat().st_mode & 0o777 == 0o600
        send(running, BATCHES[4:])
        ran = plimsoll("restore", copy, "--state", state)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert "is in use by process" in ran.stderr
        assert running.end() == 0
    once = cells_in(state)
    ran = plimsoll("restore", copy, "--state", state)
    assert ran.returncode == 1
    assert "holds a state already: say --force to move it aside" in ran.stderr
    assert cells_in(state) == once
    ran = plimsoll("restore", copy, "--state", state, "--force")
    assert ran.returncode == 0, ran.stderr
    assert "200 events" in ran.stdout
    assert f"the state that was there is in {state / 'before-restore-1'}" in ran.stdout
    assert cells_in(state / "before-restore-1") == once
    with daemon(state) as running:
        assert running.counts()["events"] == 200
        send(running, BATCHES)
        counts = running.counts()
        assert (counts["events"], counts["markers"]) == (500, 1)
        assert running.end() == 0
    assert cells_in(state) == once


def test_a_state_moves_to_another_machine_by_backup_and_restore(tmp_path: Path) -> None:
    with daemon(tmp_path / "here") as running:
        send(running, BATCHES[:2])
        assert running.end() == 0
    copy = tmp_path / "move.sqlite"
    assert plimsoll("backup", copy, "--state", tmp_path / "here").returncode == 0
    assert plimsoll("restore", copy, "--state", tmp_path / "there" / "new").returncode == 0
    with daemon(tmp_path / "there" / "new") as running:
        send(running, BATCHES[:3])
        assert running.counts()["events"] == 150


def test_what_is_no_good_backup_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Checkpoint.open(state):
        pass
    before = (state / FILE).read_bytes()
    copy = tmp_path / "copy.sqlite"
    assert plimsoll("backup", copy, "--state", state).returncode == 0
    again = plimsoll("backup", copy, "--state", state)
    assert again.returncode == 1
    assert "exists already: give the backup another name" in again.stderr
    damaged = bytearray(copy.read_bytes())
    damaged[len(damaged) // 2 :] = b"\xff" * (len(damaged) - len(damaged) // 2)
    (tmp_path / "damaged.sqlite").write_bytes(damaged)
    (tmp_path / "empty.sqlite").touch()
    (tmp_path / "text.sqlite").write_text("no database at all, only a text that is long enough")
    for name, why in (
        ("damaged.sqlite", "is damaged, so nothing has been changed"),
        ("empty.sqlite", "is empty: nothing has been kept there yet"),
        ("text.sqlite", "is no SQLite file"),
        ("missing.sqlite", "does not exist: name a file that plimsoll backup has written"),
        (".", "is a directory: name the backup file in it"),
    ):
        ran = plimsoll("restore", tmp_path / name, "--state", state, "--force")
        assert ran.returncode == 1, name
        assert why in ran.stderr, ran.stderr
        assert ran.stderr.count("\n") == 1
        assert not [path for path in state.iterdir() if "restor" in path.name]
    assert (state / FILE).read_bytes() == before
    ran = plimsoll("backup", tmp_path / "x.sqlite", "--state", tmp_path / "nowhere")
    assert ran.returncode == 1
    assert "does not exist: nothing has been kept there yet" in ran.stderr


def test_rejects_are_listed_beside_the_daemon_and_replayed_through_it(tmp_path: Path) -> None:
    config = tmp_path / "plimsoll.yml"
    config.write_text("unknown_services: reject\nservices: {order-api: {}}\n")
    strange = order(7, service="edi-gateway")
    bad = order(8, time="yesterday")
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        sent = ndjson([order(1), strange, b"rubbish \x1b[31m", bad])
        assert running.post(sent).json()["accepted"] == 1
        ran = plimsoll("rejects", "list", "--state", tmp_path / "state")
        assert ran.returncode == 0, ran.stderr
        assert "\x1b" not in ran.stdout
        assert "rubbish \\x1b[31m" in ran.stdout
        assert "http 2" in ran.stdout
        assert "3 rejects are kept" in ran.stdout
        by_url = plimsoll("rejects", "list", "--url", running.url, "--format", "json")
        by_file = plimsoll("rejects", "list", "--state", tmp_path / "state", "--format", "json")
        assert by_url.stdout == by_file.stdout
        told = json.loads(by_url.stdout)
        assert (told["kept"], told["dropped"]) == (3, 0)
        assert [one["reason"] for one in told["rejects"]] == [
            "time_invalid", "not_json", "unknown_service",
        ]  # fmt: skip
        ran = plimsoll("rejects", "replay", "--reason", "unknown_service", "--url", running.url)
        assert ran.returncode == 1
        assert "0 taken, 0 counted before, 0 of no use, 1 still refused" in ran.stdout
        assert running.counts()["rejected"] == 3
        assert running.end() == 0
    config.write_text("unknown_services: reject\nservices: {order-api: {}, edi-gateway: {}}\n")
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        ran = plimsoll("rejects", "replay", "--url", running.url, "--format", "json")
        assert ran.returncode == 1
        told = json.loads(ran.stdout)
        assert (told["accepted"], len(told["rejected"]), told["hindered"]) == (1, 2, [])
        assert (running.counts()["events"], running.counts()["rejected"]) == (2, 3)
        ran = plimsoll("rejects", "list", "--url", running.url, "--reason", "unknown_service")
        assert ran.stdout == "2 rejects are kept, 0 shown\n"
        ran = plimsoll("rejects", "replay", "--reason", "unknown_service", "--url", running.url)
        assert (ran.returncode, ran.stdout) == (0, "no reject is kept that fits\n")
        # The corrected event counts under the id of the one that was refused.
        assert running.post(ndjson([strange, order(8)])).json()["duplicates"] == 1
        assert running.counts()["events"] == 3
        running.kill()
    with daemon(tmp_path / "state") as running:
        assert (running.counts()["events"], running.counts()["rejected"]) == (3, 3)


def test_a_payload_that_was_cut_says_that_it_cannot_be_replayed(tmp_path: Path) -> None:
    config = tmp_path / "plimsoll.yml"
    config.write_text("limits: {reject_payload_bytes: 100}\n")
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        assert running.post(b"x" * 500).status_code == 202
        ran = plimsoll("rejects", "replay", "--url", running.url)
        assert ran.returncode == 1
        assert "1 cannot be tried" in ran.stdout
        said = " ".join(ran.stdout.split())
        assert "only its first 100 bytes are kept (limits.reject_payload_bytes, limits" in said
        ran = plimsoll("rejects", "list", "--url", running.url, "--state", tmp_path)
        assert ran.returncode == 2
        assert "two ways to the same list" in ran.stderr


def test_a_restore_that_was_interrupted_is_not_passed_over(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with daemon(state) as running:
        send(running, BATCHES[:1])
        assert running.end() == 0
    copy = tmp_path / "copy.sqlite"
    assert plimsoll("backup", copy, "--state", state).returncode == 0
    # As a crash leaves it between its two last steps.
    shutil.copy(copy, state / f"{FILE}.restoring")
    (state / "before-restore-1").mkdir()
    (state / FILE).rename(state / "before-restore-1" / FILE)
    ran = plimsoll("serve", "--state", state, "--port", "0")
    assert ran.returncode == 2
    assert "was interrupted: run plimsoll restore again" in ran.stderr
    assert plimsoll("restore", copy, "--state", state).returncode == 0
    with daemon(state) as running:
        assert running.counts()["events"] == 50


MAPPING = """
sources:
  - name: erp
    files: {folder}
    map:
      type: {{constant: order.submitted}}
      service: {{constant: order-api}}
      id: {field}
      time: at
"""


def test_messages_that_a_mapping_refused_are_mapped_again_once_it_is_mended(tmp_path: Path) -> None:
    folder, config = tmp_path / "in", tmp_path / "plimsoll.yml"
    folder.mkdir()
    messages = [{"number": f"n-{n}", "at": "2026-05-21T10:00:00Z"} for n in range(3)]
    (folder / "a.ndjson").write_text("".join(json.dumps(one) + "\n" for one in messages))
    config.write_text(MAPPING.format(folder=folder, field="nummer"))
    pause = Event()
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        for _ in range(3_000):
            if running.counts()["rejected"] == 3:
                break
            pause.wait(0.02)
        ran = plimsoll("rejects", "list", "--url", running.url, "--format", "json")
        told = json.loads(ran.stdout)
        assert {one["reason"] for one in told["rejects"]} == {"mapping"}
        assert [json.loads(one["payload"]) for one in told["rejects"]] == messages[::-1]
        assert running.end() == 0
    config.write_text(MAPPING.format(folder=folder, field="number"))
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        ran = plimsoll("rejects", "replay", "--source", "file", "--url", running.url)
        assert (ran.returncode, ran.stdout) == (
            0,
            "3 taken, 0 counted before, 0 of no use, 0 still refused, 0 cannot be tried\n",
        )
        counts = running.counts()
        assert (counts["events"], counts["rejected"]) == (3, 3)
