"""The body of ``plimsoll demo``: the story goes to a real daemon, which decides how it goes on.

Day by day the orders are sent over HTTP, the verdict is asked for, and what a rollout tool would
do with its action is done. Nothing is precomputed: the story knows the injected harm and the daemon
does not.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

from rich.console import Console

from analyzers.judging.verdict import Verdict
from analyzers.policy import Policy
from pipeline import clock, config
from pipeline.daemon_client import DaemonError
from pipeline.demo.daemon import ALERTS_PORT, DemoError, Running, serving
from pipeline.demo.orders import shipped_orders
from pipeline.demo.screen import Outcome, Screen
from pipeline.demo.story import DayBatch, Dials, Story, Tally, releases

__all__ = ["DemoError", "demanded", "run"]

# A day on the screen takes at least this long, so that a person can follow: half a minute in all.
# Where nobody looks on, or with ``fast``, no time is waited at all.
DAY_S: Final = 0.15
# Alerts leave the daemon after the verdict; at the end the last ones get so long to arrive.
ALERTS_S: Final = 3.0
_LOOK_S: Final = 0.1


def run(
    *,
    once: bool,
    dials: Dials,
    port: int | None,
    fast: bool,
    console: Console,
    sleep: Callable[[float], None] = clock.sleep,
    now_s: Callable[[], float] = clock.monotonic_s,
) -> int:
    """The exit code, 0 when the story has been told (and, without ``once``, Ctrl-C was pressed).

    DemoError if no order comes from the dialled country, or if the daemon does not start or
    answer.
    """
    orders, plan = shipped_orders(), releases()
    try:
        story = Story.of(orders, plan, dials)
    except ValueError as error:
        raise DemoError(str(error)) from error
    days = {datetime.fromtimestamp(order.time_s, UTC).date() for order in orders}
    screen = Screen(console, days=len(days))
    screen.announce(len(orders), plan, dials, demanded())
    pace_s = 0.0 if fast or not console.is_terminal else DAY_S
    try:
        with serving(port or 0, sleep=sleep) as running:
            screen.line(f"Live page: {running.url}/")
            told = _Telling(running, screen)
            with screen:
                _tell(story, told, pace_s=pace_s, sleep=sleep, now_s=now_s)
                until_s = now_s() + ALERTS_S
                while told.alerts_missing() and now_s() < until_s:
                    sleep(_LOOK_S)
            screen.summary(told.outcomes, dials)
            if not once:
                _stay(running, screen, sleep)
    except DaemonError as error:
        raise DemoError(str(error)) from error
    return 0


def demanded() -> Policy:
    """The policy that the demo's daemon judges by."""
    data = (files("pipeline.demo.data") / "demo.yml").read_bytes()
    return config.parse(data, {ALERTS_PORT: "1"}, source="demo.yml").policy


@dataclass(slots=True)
class _Telling:
    """How far the story has been told, and how its releases ended. ``tally`` is what the release
    under way had met when its verdict last changed."""

    running: Running
    screen: Screen
    outcomes: list[Outcome] = field(default_factory=list)
    verdict: Verdict | None = None
    tally: Tally = field(default_factory=Tally)
    alerts: int = 0

    def day(self, batch: DayBatch) -> None:
        """Tells one day: the markers that follow from the last verdict, the day's events, and
        the verdict on them, whose action decides how the next day begins."""
        for marker in batch.markers:
            self.running.daemon.send_marker(marker)
        if batch.ended and self.verdict:
            self.outcomes.append(Outcome(batch.ended, self.verdict, self.tally))
            self.screen.ended(self.outcomes[-1], batch)
        if batch.started:
            self.screen.started(batch.started, batch)
        if batch.events:
            self.running.send(batch.events)
        before, release = self.verdict, batch.release
        self.verdict = self.running.daemon.verdict(release.deployment) if release else None
        if self.verdict and not (before and before.verdict == self.verdict.verdict):
            self.tally = batch.tally
        self.screen.show(batch, self.verdict)
        self.hear()

    def hear(self) -> None:
        """Shows the alerts that have arrived."""
        while True:
            try:
                alert = self.running.alerts.get_nowait()
            except queue.Empty:
                return
            self.screen.alerted(alert)
            self.alerts += 1

    def alerts_missing(self) -> bool:
        """Whether an alert is still on its way: each rollback fires one, and resolves it."""
        self.hear()
        rollbacks = sum(outcome.verdict.action == "rollback" for outcome in self.outcomes)
        return self.alerts < 2 * rollbacks


def _tell(
    story: Story,
    told: _Telling,
    *,
    pace_s: float,
    sleep: Callable[[float], None],
    now_s: Callable[[], float],
) -> None:
    """Tells the whole story, a day in no less than ``pace_s``."""
    begun_s = now_s()
    while (batch := story.next_batch(told.verdict.action if told.verdict else None)) is not None:
        told.day(batch)
        rest_s = pace_s - (now_s() - begun_s)
        if rest_s > 0:
            sleep(rest_s)
        begun_s = now_s()


def _stay(running: Running, screen: Screen, sleep: Callable[[float], None]) -> None:
    """Keeps the page up until Ctrl-C; DemoError if the daemon ends by itself."""
    screen.line(f"The live page stays at {running.url}/ until Ctrl-C.")
    try:
        while running.process.poll() is None:
            sleep(_LOOK_S)
    except KeyboardInterrupt:
        screen.line("stopped")
        return
    raise DemoError(f"the daemon has ended by itself. It said:{running.last_words()}")
