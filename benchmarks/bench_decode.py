"""What the front door costs: payloads to columns, and the ids of them looked up and entered.

Sketch, for an event of about 270 bytes: msgspec into a struct 1.2 us; twelve columns at 0.03 to
list and 0.1 to code, 1.5; a 128-bit digest 0.7; times, checks and content 0.8. Together 4 to 5 us,
half of what json.loads alone takes into dicts that nobody has checked yet. An id: two or three
looks at a table far larger than the processor's cache, 0.3 us, and as much again to enter it.
Measured: 0.50 to 0.56 of json.loads, 1.3 to 1.8 of msgspec into dicts; 0.5 us to enter an id, 0.2
to find one (200,000 of them; 0.8 and 0.2 with 10 million), 45 bytes each.

Run: ``python -m benchmarks.bench_decode [--events N]``. CPU times, the best of five rounds in
which all take turns, so that ratios within a run mean something on a noisy machine.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from functools import partial

import msgspec

from analyzers.facts import Batch
from analyzers.policy import DEFAULT_SEGMENTS, Limits
from collector.decode import decode
from collector.novelty import Seen, keep_new

CHUNK = 16_384  # as ``collector.files`` cuts a stream
ROUNDS = 5
ATTRIBUTES = frozenset(name for names in DEFAULT_SEGMENTS for name in names)


def orders(count: int, *, seed: int = 1) -> list[bytes]:
    """Submissions and their confirmations: two versions, 400 combinations of attributes."""
    chance = random.Random(seed)
    said: list[dict[str, object]] = []
    for i in range(count // 2):
        at = f"2026-05-21T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}"
        shared: dict[str, object] = {
            "service": "order-api",
            "environment": "production",
            "version": chance.choice(("1.41.3", "1.42.0")),
            "outcome": "ok",
            "subject": f"customer-{chance.randrange(5000)}",
            "attributes": {
                "country": chance.choice(("DE", "FR", "IE", "UK")),
                "warehouse": f"W{chance.randrange(20)}",
                "channel": chance.choice(("edi", "phone", "portal", "web", "mail")),
            },
        }
        asked: dict[str, object] = {
            "id": f"order-{i:08d}",
            "time": f"{at}.120Z",
            "type": "order.submitted",
        }
        answer: dict[str, object] = {
            "id": f"conf-{i:08d}",
            "time": f"{at}.870Z",
            "type": "order.confirmed",
        }
        seconds = round(chance.lognormvariate(1, 0.5), 3)
        said += [asked | shared, answer | shared | {"ref": asked["id"], "value": seconds}]
    return [json.dumps(one, separators=(",", ":")).encode() for one in said]


def cpu_us(work: Callable[[], object], events: int) -> float:
    """CPU microseconds an event."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) * 1e6 / events


def decoded(chunks: list[list[bytes]]) -> list[Batch]:
    """Every chunk as a batch."""
    return [decode(chunk, attributes=ATTRIBUTES, limits=Limits()) for chunk in chunks]


def sifted(batches: list[Batch], seen: Seen) -> int:
    """How many events were new."""
    return sum(len(keep_new(batch, seen).batch.facts) for batch in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description="Decoding and de-duplication, events a second.")
    parser.add_argument("--events", type=int, default=200_000)
    payloads = orders(parser.parse_args().events)
    events = len(payloads)
    chunks = [payloads[begin : begin + CHUNK] for begin in range(0, events, CHUNK)]
    batches = decoded(chunks)
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        seen = Seen()
        works: dict[str, Callable[[], object]] = {
            "json.loads": lambda: [json.loads(payload) for payload in payloads],
            "msgspec into dicts": lambda: [msgspec.json.decode(payload) for payload in payloads],
            "decode": lambda: decoded(chunks),
            "ids entered": partial(sifted, batches, seen),
            "ids found again": partial(sifted, batches, seen),
        }
        for name, work in works.items():
            best[name] = min(best.get(name, float("inf")), cpu_us(work, events))
    size = sum(map(len, payloads)) / events
    print(f"{events} events of {size:.0f} bytes, chunks of {CHUNK}, best of {ROUNDS}")
    print(f"{'':20}{'us each':>10}{'per s':>12}{'of json':>10}{'of msgspec':>12}")
    for name, us in best.items():
        ratios = f"{us / best['json.loads']:>10.2f}{us / best['msgspec into dicts']:>12.2f}"
        print(f"{name:20}{us:>10.2f}{1e6 / us:>12,.0f}{ratios}")
    print(f"{seen.nbytes / len(seen):.0f} bytes an id")


if __name__ == "__main__":
    main()
