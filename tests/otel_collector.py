"""A real OpenTelemetry Collector in a process of its own.

It is built by the Collector's own builder from Go modules, as ``tests/otel/builder.yaml`` pins
them, which needs Go 1.25 or later. ``python -m tests.otel_collector`` builds it
into ``PLIMSOLL_OTELCOL`` or a folder of the user's cache: about four minutes of two processors and
300 MB of modules the first time, a second from then on. Tests build it themselves only where
skipping is forbidden.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

MANIFEST: Final = Path(__file__).parent / "otel" / "builder.yaml"
BUILDER: Final = "go.opentelemetry.io/collector/cmd/builder"
# Where the installer of Go puts it, on machines whose PATH does not know.
GO_FOLDER: Final = Path("/usr/local/go/bin")
START_S: Final = 60.0


class NoCollectorError(Exception):
    """There is no Collector, and none can be built here."""


def place() -> Path:
    """Where the binary is, or would be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()[:12]
    default = cache / "plimsoll-tests" / f"otelcol-{digest}" / "otelcol"
    return Path(os.environ.get("PLIMSOLL_OTELCOL") or default)


def build() -> Path:
    """The binary, built if it is not there yet; NoCollectorError if it cannot be."""
    binary = place()
    if binary.exists():
        return binary
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}{os.pathsep}{GO_FOLDER}")
    if go is None:
        raise NoCollectorError("no Go to build the OpenTelemetry Collector with")
    manifest = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest["dist"]["output_path"] = str(folder / "built")
        (folder / "builder.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
        env = {
            **{key: value for key, value in os.environ.items() if key != "GOFLAGS"},
            "PATH": f"{Path(go).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "GOBIN": str(folder),
            "CGO_ENABLED": "0",
        }
        version = manifest["dist"]["version"]
        for command in (
            [go, "install", f"{BUILDER}@v{version}"],
            [str(folder / "builder"), "--config", str(folder / "builder.yaml")],
        ):
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NoCollectorError(f"{command[0]} failed: {done.stderr[-1500:]}")
        shutil.copy2(folder / "built" / manifest["dist"]["name"], f"{binary}.new")
    Path(f"{binary}.new").rename(binary)
    return binary


def binary() -> Path:
    """The binary; the test is skipped if there is none."""
    if not place().exists() and os.environ.get("PLIMSOLL_NO_SKIP") != "1":
        pytest.skip("no OpenTelemetry Collector here; python -m tests.otel_collector builds it")
    try:
        return build()
    except NoCollectorError as error:
        pytest.skip(str(error))


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


class Collector:
    """A Collector that receives OTLP at ``http`` and ``grpc``."""

    def __init__(self, http: int, grpc: int, log: Path) -> None:
        self.http = f"http://127.0.0.1:{http}"
        self.grpc = f"127.0.0.1:{grpc}"
        self._log = log

    def said(self) -> str:
        """What it has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def running(exporters: Mapping[str, Mapping[str, Any]], folder: Path) -> Iterator[Collector]:
    """A Collector that sends whatever it receives to these exporters; ended in order, so that
    what it holds is sent before the block is left."""
    http, grpc = free_ports(2)
    protocols = {
        "http": {"endpoint": f"127.0.0.1:{http}"},
        "grpc": {"endpoint": f"127.0.0.1:{grpc}"},
    }
    names = list(exporters)
    pipeline = {"receivers": ["otlp"], "exporters": names}
    config = folder / "collector.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "receivers": {"otlp": {"protocols": protocols}},
                "exporters": {name: dict(said) for name, said in exporters.items()},
                "service": {
                    "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": dict.fromkeys(("logs", "metrics", "traces"), pipeline),
                },
            }
        ),
        encoding="utf-8",
    )
    log = folder / "collector.log"
    collector = Collector(http, grpc, log)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(binary()), "--config", f"file:{config}"], stdout=out, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + START_S
        while "Everything is ready" not in collector.said():
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the Collector does not run: {collector.said()[-2000:]}")
            time.sleep(0.05)
        yield collector
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
