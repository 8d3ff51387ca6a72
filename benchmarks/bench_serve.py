"""What the daemon takes and answers over HTTP: events a second end to end, verdicts a second.

Sketch: an event is about 250 bytes; reading it from a socket and cutting it up costs below 1 us,
decoding 2 to 3 us, fold and judgement several times that for a stream with an open release, and a
commit about 10 ms a turn whatever its size. So large batches are bound by fold and judgement, and
single events by the commit: with 16 senders at once one commit carries 16 of them. A verdict is
encoded anew for each reader, about 50 us for a large one, and HTTP in pure Python costs 150 to
250 us: some thousand a second on one core.
Measured on two shared cores: batches 17,000 to 19,000 events a CPU second (four fifths of it are
fold and judgement), single events 700 to 1,070, verdicts 2,500 to 2,700, scrapes 390 to 450. A
listener that did not name its protocol made every answer 40 ms late (see ``wiring.listen``).

Run: ``python -m benchmarks.bench_serve``. The daemon is a process of its own; figures are per
second of its CPU time (robust on a busy machine) and per second elapsed, with the latency seen.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

BATCH = 1_000
BATCHES = 40
SINGLES = 600
READS = 4_000
SENDERS = 16
COUNTRIES = ("DE", "FR", "NL", "BE", "ES", "PT", "CH", "IT")
FIRST_MS = 1_779_357_600_000


@dataclass(frozen=True, slots=True)
class Run:
    """One load: operations done, seconds elapsed, CPU seconds of the daemon, each latency."""

    operations: int
    elapsed_s: float
    cpu_s: float
    latencies_s: list[float]

    def line(self, name: str, unit: str) -> str:
        """The run as one line of the report."""
        latencies = sorted(self.latencies_s)
        p50 = statistics.median(latencies) * 1000
        p99 = latencies[int(len(latencies) * 0.99)] * 1000
        return (
            f"{name:34} {self.operations / self.cpu_s:9.0f} {unit}/CPU-s "
            f"{self.operations / self.elapsed_s:9.0f} {unit}/s   p50 {p50:7.1f} ms  "
            f"p99 {p99:7.1f} ms"
        )


def event(number: int) -> bytes:
    """One order of a stream with a hundred a second, half of it through the canary."""
    return json.dumps(
        {
            "id": f"o-{number}",
            "time": FIRST_MS + number * 10,
            "type": "order.submitted",
            "service": "order-api",
            "environment": "production",
            "version": ("1.41.3", "1.42.0")[number % 2],
            "outcome": "ok" if number % 50 else "price",
            "value": 12.5 + number % 100,
            "attributes": {"country": COUNTRIES[number % 8], "warehouse": f"W{number % 5}"},
        }
    ).encode()


MARKER = json.dumps(
    {
        "id": "m-1",
        "time": FIRST_MS,
        "type": "deployment.started",
        "deployment": "d-1",
        "service": "order-api",
        "version": "1.42.0",
        "replaces": "1.41.3",
        "share": 0.5,
    }
).encode()


def post(body: bytes) -> bytes:
    """The bytes of a request with events."""
    head = f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"content-type: application/x-ndjson\r\n\r\n" + body


GET_VERDICT = b"GET /v1/verdicts/d-1 HTTP/1.1\r\nhost: localhost\r\n\r\n"
GET_METRICS = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Connection:
    """One connection that is kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request: bytes, *, status: int) -> bytes:
        """The body of the answer, which must have the status."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None, head
        body = await self.reader.readexactly(int(length[1]))
        assert head.startswith(f"HTTP/1.1 {status} ".encode()), (head, body)
        return body


async def connect(url: str) -> Connection:
    """A connection to the daemon."""
    place = urlsplit(url)
    return Connection(*await asyncio.open_connection(place.hostname, place.port))


async def cpu_s(url: str) -> float:
    """The CPU time that the daemon has used."""
    connection = await connect(url)
    text = (await connection.ask(GET_METRICS, status=200)).decode()
    connection.writer.close()
    found = re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def load(url: str, requests: Sequence[bytes], *, senders: int, status: int, each: int) -> Run:
    """Sends the requests over so many connections; ``each`` operations in a request."""
    left = list(reversed(requests))
    latencies: list[float] = []

    async def sender() -> None:
        connection = await connect(url)
        while left:
            request = left.pop()
            begun = time.perf_counter()
            await connection.ask(request, status=status)
            latencies.append(time.perf_counter() - begun)
        connection.writer.close()

    before, begun = await cpu_s(url), time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(senders)))
    elapsed = time.perf_counter() - begun
    return Run(len(requests) * each, elapsed, await cpu_s(url) - before, latencies)


async def measure(url: str) -> None:
    """All loads, one line each."""
    await load(url, [post(MARKER + b"\n" + event(0))], senders=1, status=202, each=1)
    numbers = iter(range(1, 1 << 30))
    batches = [post(b"\n".join(event(next(numbers)) for _ in range(BATCH))) for _ in range(BATCHES)]
    run = await load(url, batches, senders=2, status=202, each=BATCH)
    print(run.line(f"batches of {BATCH}, 2 senders", "events"))
    singles = [post(event(next(numbers))) for _ in range(SINGLES)]
    run = await load(url, singles, senders=SENDERS, status=202, each=1)
    print(run.line(f"single events, {SENDERS} senders", "events"))
    run = await load(url, [GET_VERDICT] * READS, senders=SENDERS, status=200, each=1)
    print(run.line(f"verdict reads, {SENDERS} readers", "reads"))
    run = await load(url, [GET_METRICS] * 50, senders=1, status=200, each=1)
    print(run.line("scrapes, 1 reader", "reads"))


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as state,
        subprocess.Popen(
            [sys.executable, "-m", "pipeline", "serve", "--state", state, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as daemon,
    ):
        try:
            assert daemon.stdout is not None
            found = re.search(r"serves (\S+) with", daemon.stdout.readline())
            assert found is not None
            asyncio.run(_when_ready(found[1]))
        finally:
            daemon.terminate()


async def _when_ready(url: str) -> None:
    while True:
        connection = await connect(url)
        connection.writer.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        ready = (await connection.reader.readline()).startswith(b"HTTP/1.1 200")
        connection.writer.close()
        if ready:
            break
        await asyncio.sleep(0.05)
    await measure(url)


if __name__ == "__main__":
    main()
