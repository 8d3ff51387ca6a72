"""A real daemon that follows a folder of files and is killed: every line counts once."""

from __future__ import annotations

import json
import random
from pathlib import Path
from threading import Event

import pytest

from tests.integration.serving import Daemon, daemon, order

pytestmark = pytest.mark.integration

KILLS = 4
LINES = 1_200
PER_FILE = 150


class Writer:
    """Appends orders to a file, half a line at a time now and then, and rotates it."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.written = 0
        self._folder = folder
        self._draw = draw

    def write(self, count: int) -> None:
        path = self._folder / "orders.ndjson"
        for number in range(self.written, min(self.written + count, LINES)):
            if number and number % PER_FILE == 0:
                path.rename(self._folder / f"orders-{number:05d}.ndjson")
            line = json.dumps(order(number)).encode() + b"\n"
            cut = self._draw.randrange(len(line))
            for part in (line[:cut], line[cut:]):
                with path.open("ab") as file:
                    file.write(part)
            self.written = number + 1


def _until(running: Daemon, events: int) -> None:
    pause = Event()
    while running.counts()["events"] < events:
        assert running.process.poll() is None, running.lines
        pause.wait(0.05)


def test_a_folder_that_is_written_and_rotated_is_read_once_through_every_kill(
    tmp_path: Path,
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    draw = random.Random(seed)
    folder = tmp_path / "in"
    folder.mkdir()
    config = tmp_path / "plimsoll.yml"
    config.write_text(f"sources:\n  - files: {folder}\n", encoding="utf-8")
    writer, pause = Writer(folder, draw), Event()
    for _ in range(KILLS):
        with daemon(tmp_path / "state", "--config", str(config)) as running:
            writer.write(draw.randrange(100, 250))
            pause.wait(draw.random())
            writer.write(draw.randrange(10, 50))
            running.kill()
        writer.write(draw.randrange(0, 200))  # and while nobody reads
    with daemon(tmp_path / "state", "--config", str(config)) as running:
        writer.write(LINES)
        _until(running, LINES)
        counts = running.counts()
        assert running.end() == 0, f"seed {seed}"
    assert counts["events"] == LINES, f"seed {seed}"
    # Not even read twice: positions and events are committed together.
    exact = (counts["rejected"], counts["conflicts"], counts["duplicates"])
    assert exact == (0, 0, 0), f"seed {seed}"
    assert not any("stops" in line for line in running.lines), running.lines
