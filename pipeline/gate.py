"""``plimsoll verdict``: the gate for a CI job, from a verdict's action to an exit code.

Only ``action`` counts, never the verdict alone: in observe mode and for indicative evidence the
daemon says wait, and so does the gate. In observe mode it does not wait for an action that never
comes: a verdict that is decided ends the waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from analyzers.judging.verdict import Action, Verdict
from pipeline.daemon_client import Daemon, UnreachableError

PROMOTE: Final = 0
ROLLBACK: Final = 1
UNREACHABLE: Final = 2
WAIT: Final = 3


def exit_code(action: Action) -> int:
    """0 promote, 1 rollback, 3 wait or hold."""
    match action:
        case "promote":
            return PROMOTE
        case "rollback":
            return ROLLBACK
        case "wait" | "hold":
            return WAIT
        case _:
            assert_never(action)


def await_decision(
    daemon: Daemon,
    deployment: str,
    *,
    wait_s: float,
    interval_s: float,
    now_s: Callable[[], float],
    show: Callable[[Verdict | None, float], None],
) -> Verdict:
    """The verdict, asked for again every ``interval_s`` until its action is no longer ``wait`` (or
    it is decided, where the policy only observes) or ``wait_s`` are over; the last one then.

    ``now_s`` gives seconds of a monotonic clock; ``show`` is told each verdict (None: the daemon
    did not answer) and the seconds left. A daemon that is away for a while is asked again;
    UnreachableError if it is still away at the end.
    """
    end_s = now_s() + wait_s
    while True:
        failure: UnreachableError | None = None
        verdict: Verdict | None = None
        try:
            verdict = daemon.verdict(deployment)
        except UnreachableError as error:
            failure = error
        left_s = end_s - now_s()
        if verdict is not None and (_answered(verdict) or left_s <= 0):
            return verdict
        if failure is not None and left_s <= 0:
            raise failure
        show(verdict, left_s)
        daemon.sleep(min(interval_s, left_s))


def _answered(verdict: Verdict) -> bool:
    """Whether asking again could not change what is done."""
    decided = verdict.verdict in ("healthy", "degraded")
    return verdict.action != "wait" or (verdict.mode == "observe" and decided)
