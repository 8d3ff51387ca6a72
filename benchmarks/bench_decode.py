"""What the front door costs: payloads to columns, and the ids of them looked up and entered.

Sketch, for an event of about 270 bytes. Read one by one: msgspec into a struct 1 us; twelve
columns 1.5; a digest of the id 0.6; times, checks and content 0.8. Read side by side: every byte is
touched three times, to join, to check and to compare, 0.3 us; some twenty gathers and forty array
operations an event at 0.3 to 15 ns, 0.7 us; the digest 0.5, which is by then the largest part. An
id: two looks at a table far larger than the processor's cache.
Measured: decode 1.1 to 1.2 of polars.read_ndjson into columns nobody has checked, 2.2 to 2.7 of
msgspec into structs, 0.24 of json.loads; one by one 2.5 to 2.8 of polars. Ids entered 0.18 to 0.20
of polars, found again 0.06 to 0.10.

Run: ``python -m benchmarks.bench_decode [--events N]``. CPU times, the best of five rounds in
which all take turns, so that ratios within a run mean something on a noisy machine. polars is
measured where it is installed; set POLARS_MAX_THREADS=1, so that its threads do not wait in turns.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import msgspec

from analyzers.facts import Batch
from analyzers.policy import DEFAULT_SEGMENTS, Limits
from collector.decoding.decode import _each, decode
from collector.decoding.said import Said
from collector.novelty.novel import Seen, keep_new

CHUNK = 16_384  # as ``collector.files.recorded`` cuts a stream
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


def one_by_one(chunks: list[list[bytes]]) -> list[Batch]:
    """Every chunk as a batch, each payload read by itself."""
    return [_each(chunk, ATTRIBUTES, Limits()) for chunk in chunks]


def structs(chunks: list[list[bytes]]) -> None:
    """Msgspec alone, in its quickest form."""
    decoder = msgspec.json.Decoder(Said)
    for chunk in chunks:
        decoder.decode_lines(b"\n".join(chunk))


def polars_columns(chunks: list[list[bytes]]) -> None:
    """Polars alone, into columns of the types that they have."""
    pl = import_module("polars")  # not among the dependencies
    texts = ("id", "time", "type", "service", "environment", "version", "outcome", "subject", "ref")
    names = ("country", "warehouse", "channel")
    schema = {
        **dict.fromkeys(texts, pl.String),
        "value": pl.Float64,
        "attributes": pl.Struct(dict.fromkeys(names, pl.String)),
    }
    for chunk in chunks:
        pl.read_ndjson(b"\n".join(chunk), schema=schema)


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
            "msgspec into structs": partial(structs, chunks),
            "decode, one by one": partial(one_by_one, chunks),
            "decode": partial(decoded, chunks),
            "ids entered": partial(sifted, batches, seen),
            "ids found again": partial(sifted, batches, seen),
        }
        if find_spec("polars"):
            works["polars"] = partial(polars_columns, chunks)
        for name, work in works.items():
            best[name] = min(best.get(name, float("inf")), cpu_us(work, events))
    size = sum(map(len, payloads)) / events
    peers = [name for name in ("json.loads", "msgspec into structs", "polars") if name in best]
    print(f"{events} events of {size:.0f} bytes, chunks of {CHUNK}, best of {ROUNDS}")
    print(f"{'':22}{'us each':>10}{'per s':>12}", *(f"{'of ' + name:>23}" for name in peers))
    for name, us in best.items():
        ratios = (f"{us / best[peer]:>23.2f}" for peer in peers)
        print(f"{name:22}{us:>10.2f}{1e6 / us:>12,.0f}", *ratios)


if __name__ == "__main__":
    main()
