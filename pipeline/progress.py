"""How far each source that is read has come, so that one which catches up is waited for.

After a stop of the daemon one partition may be read to its end while another is hours behind. Were
slices closed by the first, all of the second would come late. So nothing closes beyond the slowest
source that is still catching up; one that has been read to its end holds nobody up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyzers.facts import Batch
from pipeline.pieces import Incoming


class Progress:
    """The sources that are behind, each with the newest event time that was read of it."""

    def __init__(self, unheard: Sequence[str] = ()) -> None:
        """``unheard`` are the sources of which nothing is known until they have been polled."""
        self._behind = dict.fromkeys(unheard, 0)

    def note(self, incoming: Sequence[Incoming], batch: Batch) -> None:
        """Takes in a turn; ``batch`` is what all of ``incoming`` said."""
        begin = 0
        for one in incoming:
            end = begin + len(one.payloads)
            if one.behind:
                mine = (batch.rows >= begin) & (batch.rows < end)
                newest_ns = int(np.max(batch.facts.time_ns[mine], initial=0))
                self._behind[one.source] = max(newest_ns, self._behind.get(one.source, 0))
            elif one.behind is not None:
                self._behind.pop(one.source, None)
            begin = end

    @property
    def hold_ns(self) -> int | None:
        """How far the slowest has come; None if none is behind."""
        return min(self._behind.values(), default=None)
