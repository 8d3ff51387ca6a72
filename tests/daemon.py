"""A stream taken in turn by turn, and what a checkpoint would have kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from analyzers.facts import Facts, Marker, no_facts
from analyzers.folding.answers import Waiting
from analyzers.folding.cells import Cells
from analyzers.judging.verdict import Alert, Verdict
from analyzers.policy import Policy
from analyzers.turn import Delta, Inbox, State, take_turn
from tests.facts_of import at_ns


@dataclass(slots=True)
class Daemon:
    """Takes turns and keeps every delta, as the checkpoint does."""

    policy: Policy
    state: State = field(default_factory=State)
    memory: bytes = b""
    cells: list[Cells] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    def take(self, inbox: Inbox) -> Delta:
        """One turn."""
        delta = take_turn(self.state, inbox, self.policy)
        self.memory = delta.memory
        self.cells.append(delta.cells)
        self.waiting.append(delta.waiting)
        self.markers += delta.markers
        self.verdicts += delta.verdicts
        self.alerts += delta.alerts
        return delta

    def hear(self, *markers: Marker, facts: Facts | None = None) -> Delta:
        """One turn with these markers and facts."""
        return self.take(Inbox(facts=facts or no_facts(), markers=markers))

    def wait(self, until_s: float) -> Delta:
        """One turn in which nothing comes but time, up to ``until_s``."""
        return self.take(Inbox(clock_ns=at_ns(until_s)))

    def restart(self) -> None:
        """Forgets everything but what was kept."""
        self.state = State.restore(
            self.memory,
            cells=self.cells,
            waiting=self.waiting,
            markers=self.markers,
            verdicts=self.verdicts,
            policy=self.policy,
        )

    def verdict(self, name: str = "d-1") -> Verdict:
        """The present verdict on a release."""
        return self.state.verdicts[name]

    def said(self) -> list[bytes]:
        """All present verdicts as JSON, by deployment."""
        return [msgspec.json.encode(v) for _, v in sorted(self.state.verdicts.items())]


def inboxes(facts: Facts, markers: Iterable[Marker], cuts_s: Sequence[float]) -> list[Inbox]:
    """What arrives in each turn if everything arrives at its own time and turns end at
    ``cuts_s``; the last one takes the rest."""
    told, found = list(markers), []
    ends = [*(at_ns(cut) for cut in cuts_s), np.iinfo(np.int64).max]
    start = np.iinfo(np.int64).min
    for end in ends:
        inside = (facts.time_ns >= start) & (facts.time_ns < end)
        here = tuple(marker for marker in told if start <= marker.time_ns < end)
        found.append(Inbox(facts=facts.take(inside), markers=here))
        start = end
    return found


def lived(policy: Policy, turns: Iterable[Inbox]) -> Daemon:
    """The daemon after these turns."""
    daemon = Daemon(policy)
    for inbox in turns:
        daemon.take(inbox)
    return daemon
