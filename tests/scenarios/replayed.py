"""Streams judged as ``plimsoll replay`` judges them: through files, decoding and all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analyzers.judging.verdict import Reason, Verdict
from pipeline import config
from pipeline.replay import Replayed, replay
from tests.scenarios.order_streams import Line, ndjson

# The catalogue as it is, but for a watch that is open to the end of the stream.
OPEN_WATCH = "watch: 300d\n"
# Margins of three points, which forty orders a day can show within 200 days.
THREE_POINTS = """
watch: 200d
metrics:
  order_submission_success: {margin: {absolute: 0.03}}
  order_confirmation_rate: {margin: {absolute: 0.03}}
"""


def judged(lines: Sequence[Line], folder: Path, policy: str = OPEN_WATCH) -> Replayed:
    """What a replay of the stream under a policy (YAML) says."""
    file = folder / "orders.ndjson"
    file.write_bytes(ndjson(lines))
    return replay([file], config.parse(policy.encode(), {}).policy)


def verdict_on(lines: Sequence[Line], folder: Path, policy: str = OPEN_WATCH) -> Verdict:
    """The verdict on the one release of a stream; nothing of the stream may have been rejected."""
    replayed = judged(lines, folder, policy)
    assert replayed.counts.rejected == 0, replayed.counts
    (verdict,) = replayed.verdicts
    return verdict


def reasons(verdict: Verdict, **segment: str) -> dict[str, Reason]:
    """The reasons of one segment (of the total, without any) by metric."""
    return {reason.metric: reason for reason in verdict.reasons if reason.segment == segment}
