"""What judging costs: facts to cells, a whole replay, and the comparisons of one busy tick.

Sketch: an event feeds about four metrics, each in its total and in up to three segments: some
fifteen cells a row, sorted and summed by array, 0.1 to 0.2 us each, so 2 to 3 us an event. A whole
replay adds reading, decoding and identities (5 to 6 us, see ``bench_decode``). Strata that close
in a tick are one round a family, 1 to 2 ms for three of them and 2 us a comparison; a verdict says
the reasons of a few dozen of them, 0.3 ms each.
Measured: fold 3 us an event; a tick 25 ms for 244 comparisons, 100 us each; a replay with an open
release 180 us an event, because nearly every slice of forty orders closes strata: a round of each
family, whose fixed cost nobody shares.

Run: ``python -m benchmarks.bench_turn [--events N]``. CPU times, the best of the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from analyzers.facts import SLICE_NS, Facts, Marker, concat
from analyzers.folding.cells import fold
from analyzers.policy import Limits, Policy
from analyzers.turn import Inbox, State, take_turn
from benchmarks.bench_decode import CHUNK, orders
from collector.decoding.decode import decode
from pipeline import config
from pipeline.replay import replay

ROUNDS = 3
FIRST_MS = 1_779_321_600_000  # 2026-05-21T00:00:00Z, as in ``orders``
TICKS = 12
TICK_ORDERS = 6_000
SEGMENTS = 120  # values of one attribute: enough orders of each in a slice to close a stratum


def started(share: float = 0.5) -> Marker:
    """The marker of the release that both streams are about."""
    return Marker(
        id="m-1", time_ns=(FIRST_MS - 60_000) * 1_000_000, type="deployment.started",
        deployment="d-1", service="order-api", version="1.42.0", replaces="1.41.3", share=share,
    )  # fmt: skip


def facts_of(payloads: list[bytes], policy: Policy) -> Facts:
    """All payloads as one batch of facts."""
    chunks = [payloads[begin : begin + CHUNK] for begin in range(0, len(payloads), CHUNK)]
    wanted = policy.attributes()
    return concat([decode(chunk, attributes=wanted, limits=Limits()).facts for chunk in chunks])


def busy(*, seed: int = 1) -> list[bytes]:
    """Submissions so dense that every segment closes a stratum in every slice."""
    chance = random.Random(seed)
    return [
        json.dumps({
            "id": f"o-{i}",
            "time": FIRST_MS + i * 10_000 // TICK_ORDERS,
            "type": "order.submitted",
            "service": "order-api",
            "version": chance.choice(("1.41.3", "1.42.0")),
            "outcome": "ok" if chance.random() < 0.98 else "rejected",
            "attributes": {"warehouse": f"W{i % SEGMENTS}"},
        }).encode()
        for i in range(TICKS * TICK_ORDERS)
    ]  # fmt: skip


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def ticks(facts: Facts, policy: Policy) -> tuple[int, float]:
    """Comparisons advanced, and CPU seconds, over ticks of one slice each."""
    state, spent, advanced = State(), 0.0, 0
    take_turn(state, Inbox(markers=(started(),)), policy)
    first = int(facts.time_ns.min()) // SLICE_NS
    for tick in range(TICKS):
        inside = facts.take(facts.time_ns // SLICE_NS == first + tick)
        take_turn(state, Inbox(facts=inside), policy)  # folds; closes nothing new by itself
        before = strata(state)
        begin = time.process_time()
        clock_ns = (first + tick + 1) * SLICE_NS + policy.lateness_s * 1_000_000_000
        take_turn(state, Inbox(clock_ns=clock_ns), policy)
        spent += time.process_time() - begin
        advanced += sum(now > before.get(key, 0) for key, now in strata(state).items())
    return advanced, spent


def strata(state: State) -> dict[object, int]:
    """Closed strata of every comparison."""
    return {
        key: one.strata
        for evidence in state.evidence.values()
        for key, one in evidence.comparisons.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Folding, replaying and judging.")
    parser.add_argument("--events", type=int, default=40_000)
    policy = config.load(None, {}).policy
    payloads = orders(parser.parse_args().events)
    events, facts = len(payloads), facts_of(payloads, policy)
    folding = cpu_s(lambda: fold(facts, [], policy, open_from=0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "orders.ndjson"
        marker = {"id": "m-1", "time": FIRST_MS - 60_000, "type": "deployment.started",
                  "deployment": "d-1", "service": "order-api", "version": "1.42.0",
                  "replaces": "1.41.3", "share": 0.5}  # fmt: skip
        path.write_bytes(b"\n".join([json.dumps(marker).encode(), *payloads, b""]))
        whole = cpu_s(lambda: replay([path], policy))
    advanced, spent = ticks(facts_of(busy(), policy), policy)
    for name, what, count, seconds in (
        ("fold", "events", events, folding),
        ("whole path, a file replayed", "events", events, whole),
        ("tick", "comparisons", advanced, spent),
    ):
        rate, us = count / seconds, seconds * 1e6 / count
        print(f"{name:30}{rate:>10,.0f} {what} a CPU second{us:>10.1f} us each")
    print(f"{advanced // TICKS} comparisons a tick, {spent * 1e3 / TICKS:.0f} ms")


if __name__ == "__main__":
    main()
