"""A real daemon in a process of its own, for tests that ask it over HTTP and end it somehow."""

from __future__ import annotations

import json
import queue
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
# A daemon that is not there by then will not be; on a busy machine importing takes seconds.
START_S = 60.0


class Daemon:
    """A daemon that answers at ``url``; ``lines`` is what it has said."""

    def __init__(self, process: subprocess.Popen[str], url: str, lines: list[str]) -> None:
        self.process = process
        self.url = url
        self.lines = lines
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def post(self, body: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
        """The answer to events; header names with ``_`` for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post("/v1/events", content=body, headers=named)

    def get(self, path: str) -> Any:
        """The JSON that a path answers."""
        response = self.http.get(path)
        response.raise_for_status()
        return response.json()

    def counts(self) -> dict[str, int]:
        """What has been counted, but for what a restart may change."""
        counts: dict[str, int] = self.get("/v1/page")["counts"]
        return counts

    def metric(self, sample: str) -> float | None:
        """The value of one sample, named as it stands in /metrics."""
        for line in self.http.get("/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return None

    def kill(self) -> None:
        """Ends it with signal 9."""
        self.process.kill()
        self.process.wait()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code, once it has ended by a signal that it hears."""
        self.process.send_signal(number)
        return self.process.wait(START_S)


def start(state: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process that serves from ``state`` on a free port."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "serve", "--state", str(state), "--port", "0",
         *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


@contextmanager
def daemon(state: Path, *arguments: str) -> Iterator[Daemon]:
    """A daemon that is ready; it is gone afterwards, whatever happened to it."""
    process = start(state, *arguments)
    lines: list[str] = []
    urls: queue.SimpleQueue[str] = queue.SimpleQueue()
    reading = Thread(target=_read, args=(process, lines, urls), daemon=True)
    reading.start()
    try:
        url = urls.get(timeout=START_S)
        assert url, f"the daemon did not start: {lines}"
        running = Daemon(process, url, lines)
        with running.http:
            _await_ready(running)
            yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reading.join()


def _read(process: subprocess.Popen[str], lines: list[str], urls: queue.SimpleQueue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        found = re.search(r"serves (http://\S+)/ with", line)
        if found:
            urls.put(found[1])
    urls.put("")
    process.stdout.close()


def _await_ready(running: Daemon) -> None:
    pause = Event()
    while running.http.get("/readyz").status_code != 200:
        assert running.process.poll() is None, running.lines
        pause.wait(0.02)


def order(number: int, **said: object) -> dict[str, object]:
    """One order event; later numbers happened later."""
    minute, second = divmod(number // 10, 60)
    hour, minute = divmod(minute, 60)
    plain: dict[str, object] = {
        "id": f"o-{number}",
        "time": f"2026-05-21T{10 + hour:02d}:{minute:02d}:{second:02d}Z",
        "type": "order.submitted",
        "service": "order-api",
        "version": ("1.0", "1.1")[number % 2],
        "outcome": "ok" if number % 7 else "price",
        "attributes": {"country": ("DE", "FR", "NL")[number % 3]},
    }
    return plain | said


def marker(**said: object) -> dict[str, object]:
    """The start of a canary."""
    plain: dict[str, object] = {
        "id": "m-1",
        "time": "2026-05-21T10:00:00Z",
        "type": "deployment.started",
        "deployment": "d-1",
        "service": "order-api",
        "version": "1.1",
        "replaces": "1.0",
    }
    return plain | said


def ndjson(events: Sequence[dict[str, object] | bytes]) -> bytes:
    """The events as lines; what is bytes already stays as it is."""
    return b"\n".join(e if isinstance(e, bytes) else json.dumps(e).encode() for e in events)
