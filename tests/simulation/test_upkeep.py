"""Upkeep can wait: whatever statement the disk refuses, it is told and done another time."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from collector.keeping.checkpoint import Checkpoint
from pipeline import turns as turning
from pipeline.pieces import Incoming
from pipeline.turns import KeptTurns
from tests.simulation.crashes import wired
from tests.simulation.life import PACE, SETTINGS


def test_upkeep_on_a_disk_that_refuses_any_statement_is_told_and_changes_nothing(
    tmp_path: Path,
) -> None:
    event = b'{"id":"%d","time":"2026-05-21T10:00:00Z","type":"order.submitted","service":"a"}'
    with Checkpoint.open(tmp_path) as checkpoint, patch.object(turning, "BLOBS", 1):
        wire = wired(checkpoint)
        turns = KeptTurns.load(checkpoint, SETTINGS, pace=PACE)
        for number in range(3):
            turns.take([Incoming([event % number])], None)
        before = checkpoint.load().seq
        refused = 0
        for statement in range(1, 100):
            wire.arm(statement, late=False, refuse=1)
            growth = turns.upkeep()
            wire.arm(0, late=False, refuse=0)
            if not growth.trouble:
                break
            assert "the disk does not answer" in growth.trouble
            refused += 1
        assert refused > 10
        assert checkpoint.load().seq == before
        assert len(checkpoint.load().cells) == 1
        assert turns.take([Incoming([event % 9])], None).answers[0].accepted == 1
