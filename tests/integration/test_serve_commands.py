"""The commands around a running daemon: how it starts, how it refuses to, mark and verdict."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.integration.serving import ROOT, Daemon, daemon, ndjson, order

pytestmark = pytest.mark.integration


def plimsoll(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(ran: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command ended as misuse."""
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("plimsoll: ")
    assert ran.stderr.count("\n") == 1
    return ran.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with daemon(tmp_path_factory.mktemp("state")) as running:
        yield running


def test_a_release_is_marked_and_asked_for_from_the_shell(served: Daemon) -> None:
    assert served.post(ndjson([order(n) for n in range(50)])).status_code == 202
    ran = plimsoll(
        "mark", "started", "--service", "order-api", "--version", "1.1", "--replaces", "1.0",
        "--share", "0.5", "--cohort", "warehouse=W1,W2", "--owner", "team-orders",
        "--time", "2026-05-21T10:00:00Z", "--url", served.url,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    sent, page = ran.stdout.splitlines()
    assert json.loads(sent)["cohort"] == {"warehouse": ["W1", "W2"]}
    assert page == f"{served.url}/#order-api-1.1"
    ran = plimsoll("verdict", "order-api-1.1", "--url", served.url, "--format", "json")
    assert ran.returncode == 3
    told = json.loads(ran.stdout)
    assert (told["service"], told["owner"]) == ("order-api", "team-orders")
    assert told["action"] == "wait"


def test_marking_twice_counts_once(served: Daemon) -> None:
    arguments = ("mark", "started", "--service", "s", "--version", "9", "--url", served.url,
                 "--time", "2026-05-21T10:00:00Z")  # fmt: skip
    before = served.counts()["markers"]
    assert plimsoll(*arguments).returncode == 0
    assert plimsoll(*arguments).returncode == 0
    assert served.counts()["markers"] == before + 1


def test_a_marker_that_the_daemon_rejects_is_told_with_its_reason(served: Daemon) -> None:
    said = refused(
        plimsoll("mark", "started", "--service", "s", "--version", "1", "--strategy", "magic",
                 "--url", served.url)
    )  # fmt: skip
    assert "the marker was rejected: marker_invalid: strategy 'magic' is none of" in said


def test_a_state_directory_serves_one_daemon_at_a_time(tmp_path: Path) -> None:
    with daemon(tmp_path) as running:
        said = refused(plimsoll("serve", "--state", str(tmp_path), "--port", "0"))
        assert f"is in use by process {running.process.pid}" in said


def test_a_port_that_is_taken_is_told_before_the_state_is_touched(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused(plimsoll("serve", "--state", str(state), "--port", port))
    assert f"cannot listen on 127.0.0.1 port {port}" in said
    assert "choose another --port" in said
    assert not state.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_are_let_in_only_when_it_is_said(tmp_path: Path, host: str) -> None:
    said = refused(plimsoll("serve", "--state", str(tmp_path), "--port", "0", "--host", host))
    assert "anybody there could send markers" in said
    assert "--insecure" in said


def test_others_are_let_in_when_it_is_said(tmp_path: Path) -> None:
    with daemon(tmp_path, "--host", "0.0.0.0", "--insecure") as running:
        assert running.end() == 0


def test_a_host_that_is_none_is_told(tmp_path: Path) -> None:
    said = refused(plimsoll("serve", "--state", str(tmp_path), "--host", "no such host"))
    assert "host 'no such host' is no address here" in said


def test_a_file_that_is_no_state_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "plimsoll.sqlite").write_bytes(b"my own notes" * 1000)
    said = refused(plimsoll("serve", "--state", str(tmp_path), "--port", "0"))
    assert "plimsoll.sqlite" in said
    assert (tmp_path / "plimsoll.sqlite").read_bytes().startswith(b"my own notes")


def refuses_connections(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return True
    return False


def test_a_second_signal_does_not_wait_for_slow_clients(tmp_path: Path) -> None:
    pause = Event()
    with daemon(tmp_path) as running:
        host, port = running.url.removeprefix("http://").rsplit(":", 1)
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n123")
            running.get("/healthz")
            running.process.send_signal(signal.SIGTERM)
            while not refuses_connections((host, int(port))):
                pause.wait(0.01)
            assert running.process.poll() is None
            assert running.end(signal.SIGTERM) == 0


def test_the_daemon_says_where_it_serves_and_where_its_state_lies(tmp_path: Path) -> None:
    with daemon(tmp_path) as running:
        assert running.url in running.lines[0]
        assert str(tmp_path) in running.lines[0]
        assert running.post(ndjson([order(1), b"rubbish"])).status_code == 202
        assert running.end() == 0
    assert "events: 1 accepted, 1 rejected (not_json 1)" in running.lines
