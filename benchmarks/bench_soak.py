"""Whether memory stays flat: the daemon under an even load for an hour, and under a flood of keys.

Sketch: what may grow with every event is its identity, 24 to 64 bytes until the horizon or the
limit of ids is reached; the limit of ``--grows-mb`` is for everything else. What grows with every
slice is one row of 72 bytes for each key and metric that had an event in it and one of 40 bytes
for each occupied bucket: 10,000 keys at 2,000 events a second are 20,000 events a slice and so at
most 3.5 MB, 1.2 GB an hour if all of it stayed in memory.
Measured: see README.md.

Run: ``python -m benchmarks.bench_soak [--minutes 60] [--rate 2000] [--speed 1]``. The first half
is an even load over ``--keys`` keys, in the second half (``--flood``: from the start; ``--even``:
never) every event has a tenant of its own. ``--speed`` is how many seconds of event time pass in
one second. Prints resident memory, write-ahead log and state file; ends with 1 if memory grew by
more than allowed between the end of the warm-up (a quarter of a phase) and the phase's end.
"""

from __future__ import annotations

import argparse
import http.client
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.tenant_orders import Load

# An id takes at most so much while its tables grow: they are copied when they are full.
ID_BYTES: Final = 64
BATCH: Final = 1_000
LOOKS: Final = 30  # samples printed a phase


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon held after so many events; sizes in MB."""

    minutes: float
    events: int
    rss: float
    wal: float
    file: float

    def line(self) -> str:
        """One line of the report."""
        return (
            f"{self.minutes:8.1f} min {self.events:12,} events   resident {self.rss:8.1f} MB   "
            f"log {self.wal:7.1f} MB   file {self.file:8.1f} MB"
        )


@contextmanager
def daemon(state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The daemon as a process of its own, and the address it listens on, once it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "serve", "--state", str(state), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"serves https?://([^/ ]+)\S* with", line)
        if found is None:
            raise SystemExit(f"the daemon did not start: {line}")
        threading.Thread(target=process.stdout.read, daemon=True).start()
        while not _ready(found[1]):
            time.sleep(0.05)
        yield process, found[1]
    finally:
        process.terminate()
        process.wait(60)


def _ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/readyz")
    status = connection.getresponse().status
    connection.close()
    return status == 200


def sample(process: subprocess.Popen[str], state: Path, begun_s: float, events: int) -> Sample:
    """What the daemon holds now."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", status)
    sizes = {path.name: path.stat().st_size for path in state.iterdir() if path.is_file()}
    log = sum(size for name, size in sizes.items() if name.endswith("-wal"))
    return Sample(
        minutes=(time.monotonic() - begun_s) / 60,
        events=events,
        rss=int(found[1]) / 1024 if found else 0.0,
        wal=log / 1e6,
        file=(sum(sizes.values()) - log) / 1e6,
    )


def phase(
    batches: Iterator[list[bytes]],
    *,
    minutes: float,
    rate: float,
    address: str,
    look: Callable[[int], Sample],
) -> tuple[int, list[Sample]]:
    """Sends batches at an even rate for some minutes; how many events, and samples meanwhile."""
    connection = http.client.HTTPConnection(address, timeout=120)
    begun_s, events = time.monotonic(), 0
    samples: list[Sample] = []
    while (passed_s := time.monotonic() - begun_s) < minutes * 60:
        ahead_s = events / rate - passed_s
        if ahead_s > 0:
            time.sleep(ahead_s)
        connection.request(
            "POST", "/v1/events", b"\n".join(next(batches)),
            {"content-type": "application/x-ndjson"},
        )  # fmt: skip
        answer = connection.getresponse()
        answer.read()
        if answer.status == 429:  # it must catch up: sent again later as new events
            time.sleep(1.0)
            continue
        if answer.status != 202:
            raise SystemExit(f"the daemon answered {answer.status}")
        events += BATCH
        if passed_s >= minutes * 60 * len(samples) / LOOKS:
            samples.append(look(events))
            print(samples[-1].line(), flush=True)
    return events, samples


def grown(samples: list[Sample], allowed_mb: float) -> str:
    """What is wrong with a phase: empty, or by how much memory grew after the warm-up."""
    warm, last = samples[len(samples) // 4], samples[-1]
    allowed = allowed_mb + (last.events - warm.events) * ID_BYTES / 1e6
    growth = last.rss - warm.rss
    print(f"memory grew by {growth:.1f} MB after the warm-up, allowed are {allowed:.1f} MB")
    return f"memory grew by {growth:.1f} MB, more than {allowed:.1f}" if growth > allowed else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of the daemon under load.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=2_000.0, help="events a second")
    parser.add_argument("--speed", type=float, default=1.0, help="event seconds a second")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--grows-mb", type=float, default=64.0, help="allowed beside the ids")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--flood", action="store_true", help="made-up keys from the start")
    only.add_argument("--even", action="store_true", help="no flood")
    asked = parser.parse_args()
    kinds = [True] if asked.flood else [False] if asked.even else [False, True]
    faults, sent = [], 0
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder)) as (process, address):
        begun_s = time.monotonic()
        for flood in kinds:
            print("a flood of new keys" if flood else f"{asked.keys:,} keys, an even load")
            load = Load(batch=BATCH, keys=asked.keys, rate=asked.rate / asked.speed, flood=flood)
            events, samples = phase(
                load.batches(first=sent),
                minutes=asked.minutes / len(kinds),
                rate=asked.rate,
                address=address,
                look=lambda events: sample(process, Path(folder), begun_s, events),
            )
            sent += events
            faults.append(grown(samples, asked.grows_mb))
    if any(faults):
        raise SystemExit("; ".join(filter(None, faults)))


if __name__ == "__main__":
    main()
