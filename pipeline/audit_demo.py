"""The demo's events as NDJSON, for measuring the judge on real orders:
``python -m pipeline.audit_demo | plimsoll audit - --config pipeline/demo/data/demo.yml``.

Nobody decides here: every release runs to the end of its watch, and an audit leaves it out.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

from pipeline.demo.orders import shipped_orders
from pipeline.demo.story import Dials, Story, releases


def told(out: BinaryIO, dials: Dials | None = None) -> None:
    """Writes the whole story to ``out``, markers and events, one a line."""
    story = Story.of(shipped_orders(), releases(), dials or Dials())
    while (day := story.next_batch("wait")) is not None:
        out.writelines(line + b"\n" for line in (*day.markers, *day.events))


if __name__ == "__main__":
    told(sys.stdout.buffer)
