"""The daemon of a demo: a child process on a temporary state, and an ear for its alerts.

The child is the public command ``plimsoll serve``; everything goes to it over HTTP. It ends with
the demo, whatever ends that.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path
from threading import Thread
from typing import Final

import httpx
import msgspec

import pipeline
from analyzers.verdict import Alert
from pipeline import daemon_client
from pipeline.daemon_client import Daemon, DaemonError

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
def serving(
    port: int, *, sleep: Callable[[float], None], now_s: Callable[[], float]
) -> Iterator[Running]:
    """A daemon with the demo's policy on a temporary state; it and its state are gone afterwards.

    ``port`` 0 takes a free one. DemoError if it does not start.
    """
    alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
    with (
        tempfile.TemporaryDirectory(prefix="plimsoll-demo-") as state,
        as_file(files("pipeline.data") / "demo.yml") as policy,
        _ear(alerts) as alerts_port,
    ):
        arguments = ["serve", "--config", str(policy), "--state", state, "--port", str(port)]
        lines: deque[str] = deque(maxlen=_LINES_KEPT)
        process = _start(arguments, environment(os.environ, alerts_port))
        reading = Thread(target=_read, args=(process, lines), daemon=True)
        reading.start()
        try:
            url = _url(process, lines, sleep=sleep, until_s=now_s() + START_S, now_s=now_s)
            yield Running(daemon_client.connect(url, sleep), process, alerts, lines)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reading.join()


def environment(outside: Mapping[str, str], alerts_port: int) -> dict[str, str]:
    """The child's environment: the same code as this process, and no proxy to this machine."""
    code = str(Path(pipeline.__file__).parents[1])
    known = {name: value for name, value in outside.items() if not name.startswith("PLIMSOLL_")}
    return known | {
        "PYTHONPATH": os.pathsep.join(filter(None, (code, outside.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1",
        ALERTS_PORT: str(alerts_port),
    }


def _start(arguments: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    # In our process group: whatever a terminal tells us, Ctrl-C or hanging up, it hears as well.
    command = "from pipeline.cli import main; main()"
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
        [sys.executable, "-P", "-c", command, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _read(process: subprocess.Popen[str], lines: deque[str]) -> None:
    for line in process.stdout or ():
        lines.append(line.rstrip())


def _url(
    process: subprocess.Popen[str],
    lines: deque[str],
    *,
    sleep: Callable[[float], None],
    until_s: float,
    now_s: Callable[[], float],
) -> str:
    """Where the daemon says it serves, once it is ready."""
    while now_s() < until_s:
        said = re.search(r"serves (http://\S+?)/? ", " ".join(lines))
        if said and _ready(said[1]):
            return said[1]
        if process.poll() is not None:
            break
        sleep(_LOOK_S)
    told = "".join(f"\n  {line}" for line in lines)
    raise DemoError(f"the daemon did not start; try another --port. It said:{told}")


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _ear(alerts: queue.SimpleQueue[Alert]) -> Iterator[int]:
    """The port of a webhook receiver that puts every alert into the queue."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("content-length", "0")), _ALERT_BYTES)
            try:
                alerts.put(msgspec.json.decode(self.rfile.read(length), type=Alert))
            except msgspec.DecodeError as error:
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


__all__ = ["DaemonError", "DemoError", "Running", "serving"]
