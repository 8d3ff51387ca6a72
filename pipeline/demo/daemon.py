"""The daemon of a demo: a child process on a temporary state, and an ear for its alerts.

The child is the public command ``plimsoll serve``; everything goes to it over HTTP. It ends with
the demo, whatever ends that.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path
from threading import Thread
from typing import Final

import httpx
import msgspec

import pipeline
from analyzers.judging.verdict import Alert
from pipeline import daemon_client
from pipeline.daemon_client import Daemon

ALERTS_PORT: Final = "PLIMSOLL_DEMO_ALERTS_PORT"
# Importing takes seconds on a small busy machine; a daemon that is not there by then will not be.
START_S: Final = 60.0
STOP_S: Final = 20.0
_LOOK_S: Final = 0.05
_LINES_KEPT: Final = 20
_ALERT_BYTES: Final = 1 << 20


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon that answers, the process it is, and the alerts that it has sent so far."""

    daemon: Daemon
    process: subprocess.Popen[str]
    alerts: queue.SimpleQueue[Alert]
    _lines: deque[str]

    @property
    def url(self) -> str:
        """Where it serves, without a slash at the end."""
        return self.daemon.url

    def send(self, lines: tuple[bytes, ...]) -> int:
        """Sends events; how many were taken. DemoError unless all were."""
        try:
            response = self.daemon.client.post(
                f"{self.url}/v1/events",
                content=b"\n".join(lines),
                headers={"content-type": "application/x-ndjson"},
            )
            response.raise_for_status()
            answer = msgspec.json.decode(response.content, type=_Answer)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise DemoError(
                f"the daemon did not take events: {error}{self.last_words()}"
            ) from error
        if answer.accepted != len(lines):
            raise DemoError(f"the daemon took {answer.accepted} of {len(lines)} events: {answer}")
        return answer.accepted

    def last_words(self) -> str:
        """What it printed last, for an error message."""
        return "".join(f"\n  {line}" for line in self._lines)


class _Answer(msgspec.Struct, frozen=True):
    accepted: int
    duplicates: int
    rejected: list[dict[str, object]]


@contextmanager
def serving(port: int, *, sleep: Callable[[float], None]) -> Iterator[Running]:
    """A daemon with the demo's policy on a temporary state; both are gone afterwards.

    ``port`` 0 takes a free one. DemoError if it does not start.
    """
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    with (
        _ended_in_order(),
        tempfile.TemporaryDirectory(prefix="plimsoll-demo-") as state,
        as_file(files("pipeline.demo.data") / "demo.yml") as policy,
        _ear(alerts) as alerts_port,
    ):
        arguments = ["serve", "--config", str(policy), "--state", state, "--port", str(port)]
        lines: deque[str] = deque(maxlen=_LINES_KEPT)
        urls: queue.SimpleQueue[str] = queue.SimpleQueue()
        process = _start(arguments, environment(os.environ, alerts_port))
        reading = Thread(target=_read, args=(process, lines, urls), daemon=True)
        reading.start()
        try:
            daemon = _connected(urls, sleep)
            if daemon is None:
                told = "".join(f"\n  {line}" for line in lines)
                raise DemoError(f"the daemon did not start. It said:{told}")
            with closing(daemon.client):
                yield Running(daemon, process, alerts, lines)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reading.join()


def environment(outside: Mapping[str, str], alerts_port: int) -> dict[str, str]:
    """The child's environment: the same code as this process, none of our own settings, and no
    proxy, since it speaks to this machine only."""
    kept = {
        name: value
        for name, value in outside.items()
        if not name.startswith("PLIMSOLL_") and not name.lower().endswith("_proxy")
    }
    code = str(Path(pipeline.__file__).parents[1])
    return kept | {
        "PYTHONPATH": os.pathsep.join(filter(None, (code, outside.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        ALERTS_PORT: str(alerts_port),
    }


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends the process as an exception does: the child is ended and the state removed."""

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _start(arguments: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    # In our process group: whatever a terminal tells us, Ctrl-C or hanging up, it hears as well.
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
        [sys.executable, "-P", "-m", "pipeline", *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _read(process: subprocess.Popen[str], lines: deque[str], urls: queue.SimpleQueue[str]) -> None:
    """Keeps what the child says last; puts the address that it serves into ``urls``, and an empty
    one when it ends."""
    if process.stdout is None:
        return
    with process.stdout as said:
        for line in said:
            lines.append(line.rstrip())
            if found := re.search(r"serves (http://\S+?)/? with", line):
                urls.put(found[1])
    urls.put("")


def _connected(urls: queue.SimpleQueue[str], sleep: Callable[[float], None]) -> Daemon | None:
    """The daemon, once it is ready; None if it ends or takes too long."""
    try:
        url = urls.get(timeout=START_S)
    except queue.Empty:
        return None
    if not url:
        return None
    daemon = daemon_client.connect(url, sleep)
    for _ in range(round(START_S / _LOOK_S)):
        try:
            if daemon.client.get(f"{url}/readyz").is_success:
                return daemon
        except httpx.TransportError:
            if not urls.empty():  # it has ended
                break
        sleep(_LOOK_S)
    daemon.client.close()
    return None


@contextmanager
def _ear(alerts: queue.SimpleQueue[Alert]) -> Iterator[int]:
    """The port of a webhook receiver that puts every alert into the queue."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", "0")), _ALERT_BYTES)
            try:
                alerts.put(msgspec.json.decode(self.rfile.read(length), type=Alert))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self.send_error(400, str(error)[:100].encode("ascii", "replace").decode())
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: what arrives is shown by the demo."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        serving.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            serving.join()
