"""``plimsoll check``: the file, the channels and the folder of the state are tried for real."""

from __future__ import annotations

import gc
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.config.check import Report, check, run_check


class _Receiver(BaseHTTPRequestHandler):
    """Answers as its path says: ``/503`` with 503; ``/token`` only to the right header."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.server.posts += 1  # type: ignore[attr-defined]
        self._answer()

    def _answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        status = 200
        if self.path == "/token":
            status = 200 if self.headers["Authorization"] == "Bearer right" else 401
        elif self.path[1:].isdigit():
            status = int(self.path[1:])
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: tests are quiet."""


@contextmanager
def receiving() -> Iterator[ThreadingHTTPServer]:
    """A receiver on a free port; ``asked`` is what it was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    server.asked = []  # type: ignore[attr-defined]
    server.posts = 0  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    with receiving() as server:
        yield server


def written(folder: Path, text: str) -> Path:
    """A configuration file in a folder, keeping its state there too."""
    file = folder / "plimsoll.yml"
    file.write_text(text if "state:" in text else f"state: {folder / 'state'}\n{text}")
    return file


def report(folder: Path, text: str) -> Report:
    """What check says of a text."""
    return check(written(folder, text), {})


def test_a_good_file_is_valid_and_the_report_says_what_it_holds(tmp_path: Path) -> None:
    out = io.StringIO()
    file = written(tmp_path, "metrics: [query_time]\nservices: [a, b]\n")
    assert run_check(file, out, env={}) == 0
    first, last = out.getvalue().splitlines()
    assert first.startswith("ok     state: ")
    assert f"{file}: valid. 24 metrics (1 named here), 2 services, 0 sources, 0 channels, " in last
    assert not (tmp_path / "state").exists()


def test_without_a_file_the_defaults_are_checked(tmp_path: Path) -> None:
    out = io.StringIO()
    assert run_check(None, out, env={"HOME": str(tmp_path)}) == 0
    assert "the built-in defaults: valid. 24 metrics" in out.getvalue()


def test_every_fault_is_printed_with_its_path_and_line(tmp_path: Path) -> None:
    out = io.StringIO()
    file = written(tmp_path, "state: x\nerror_rate: 2\nmode: of\n")
    assert run_check(file, out, env={}) == 1
    assert out.getvalue().splitlines() == [
        "fault  error_rate: must be a number from 1e-09 to 0.5, not '2' (line 2)",
        "fault  mode: must be enforce or observe, not 'of' (line 3)",
        f"{file}: 2 faults",
    ]


def test_a_file_that_is_not_there_is_one_fault(tmp_path: Path) -> None:
    found = check(tmp_path / "absent.yml", {})
    assert not found.ok
    assert found.lines()[-1] == f"{tmp_path / 'absent.yml'}: 1 fault"


def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as out:
        assert run_check(written(tmp_path, "mode: übung"), out, env={}) == 1
        out.flush()
        assert b"not '\\xfcbung'" in raw.getvalue()


def test_a_webhook_that_answers_is_fine_and_gets_no_alert(
    tmp_path: Path, receiver: ThreadingHTTPServer
) -> None:
    port = receiver.server_port
    found = report(tmp_path, f"alerts: {{webhook: 'http://127.0.0.1:{port}/405'}}")
    assert found.ok
    assert found.probes[-1].found == (
        f"webhook http://127.0.0.1:{port} answers 405 to HEAD, as who takes only POST may"
    )
    assert receiver.asked == ["HEAD /405"]  # type: ignore[attr-defined]
    assert receiver.posts == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_webhook_that_takes_only_posts_is_no_fault(
    tmp_path: Path, receiver: ThreadingHTTPServer, status: int
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/{status}"
    assert report(tmp_path, f"alerts: {{webhook: '{url}'}}").ok


def test_the_paths_of_a_source_must_exist(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    found = report(tmp_path, "sources: [{files: [in, 'in/*.ndjson', 'out/*/x', absent, '-x']}]")
    told = {probe.path[-3:]: (probe.ok, probe.found) for probe in found.probes[1:]}
    absent = "does not exist: create it, or name what exists"
    assert told == {
        "[0]": (True, f"{tmp_path}/in can be read"),
        "[1]": (True, f"{tmp_path}/in/*.ndjson can be read"),
        "[2]": (False, f"{tmp_path}/out {absent}"),
        "[3]": (False, f"{tmp_path}/absent {absent}"),
        "[4]": (False, f"{tmp_path}/-x {absent}"),
    }
    assert report(tmp_path, "sources: [{files: '-'}]").ok


# kafka-python leaves sockets that it was opening to the garbage collector.
@pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <socket\.:pytest.PytestUnraisableExceptionWarning"
)
def test_a_cluster_that_does_not_answer_is_a_fault_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = unused.getsockname()[1]
        text = (
            f"sources: [{{name: erp, kafka: {{brokers: 127.0.0.1:{port}, topics: t, security: "
            "{protocol: SASL_PLAINTEXT, mechanism: PLAIN, username: u, password: hunter2}}}]"
        )
        found = report(tmp_path, text)
    assert not found.ok
    assert found.probes[-1].path == "sources[0].kafka"
    assert f"erp at 127.0.0.1:{port} does not answer" in found.probes[-1].found
    assert "hunter2" not in "\n".join(found.lines())
    gc.collect()


def test_an_alertmanager_is_asked_for_its_status_below_its_root(
    tmp_path: Path, receiver: ThreadingHTTPServer
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/am/api/v2/alerts"
    assert report(tmp_path, f"alerts: {{alertmanager: '{url}'}}").ok
    assert receiver.asked == ["GET /am/api/v2/status"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/503", "answers 503: is that the right address?"),
        ("/302", "answers 302: redirects are not followed, name the target"),
        ("/token", "answers 401: give it its credentials in `headers:`"),
    ],
)
def test_a_channel_that_answers_wrongly_is_a_fault(
    tmp_path: Path, receiver: ThreadingHTTPServer, path: str, told: str
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}{path}"
    found = report(tmp_path, f"alerts: [{{webhook: '{url}'}}]")
    assert not found.ok
    assert found.lines()[1].startswith("fault  alerts[0]: webhook http://127.0.0.1:")
    assert told in found.lines()[1]
    assert found.lines()[-1].endswith(": 1 fault")


def test_credentials_are_sent_and_never_shown(
    tmp_path: Path, receiver: ThreadingHTTPServer
) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/token"
    text = f"alerts: {{webhook: '{url}', headers: {{Authorization: 'Bearer right'}}}}"
    found = report(tmp_path, text)
    assert found.ok
    assert "right" not in "\n".join(found.lines())


def test_a_channel_that_nobody_serves_is_a_fault_without_its_secret_path(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = unused.getsockname()[1]
        found = report(tmp_path, f"alerts: {{webhook: 'http://127.0.0.1:{port}/T0/secret'}}")
    assert not found.ok
    assert f"webhook http://127.0.0.1:{port} does not answer" in found.probes[-1].found
    assert "secret" not in "\n".join(found.lines())


def test_a_proxy_setting_that_is_none_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://x")
    found = report(tmp_path, "alerts: {webhook: 'http://127.0.0.1:1/'}")
    assert not found.ok
    assert "the proxy set here cannot be used" in found.probes[-1].found


def test_a_state_below_a_plain_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    found = report(tmp_path, f"state: {tmp_path / 'plain' / 'state'}\n")
    assert not found.ok
    assert "takes no file (Not a directory): name one you may write to" in found.lines()[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("host: 0.0.0.0", "host: 0.0.0.0 can be reached by others: serve wants --insecure"),
        (
            "metrics: {x: {kind: proportion, type: order.submited}}",
            "metrics.x.type: order.submited is a type of your own; did you mean order.submitted?",
        ),
        ("metrics: [queue_depth]", "metrics.queue_depth: is a gauge: it gates only with enough"),
        ("metrics: [order_throughput]", "is a count without `exposure:`, and so only indicative"),
        (
            "watch: 30m",
            "metrics.order_confirmation_rate.deadline: 1h ends after the watch of 30m",
        ),
    ],
)
def test_what_is_allowed_but_hardly_meant_is_noted(tmp_path: Path, text: str, told: str) -> None:
    found = report(tmp_path, text)
    assert found.ok
    assert any(line.startswith("note   ") and told in line for line in found.lines())


def test_a_mapped_type_that_feeds_no_metric_is_noted(tmp_path: Path) -> None:
    table = "{1: order.submited, 2: order.confirmed, 3: deployment.started}"
    made = f"{{from: a, table: {table}, otherwise: own.type}}"
    said = f"sources: [{{files: '-', map: {{time: t, service: s, type: {made}}}}}]"
    notes = [str(note) for note in report(tmp_path, said).notes]
    lonely = "feeds no metric but those of any type"
    assert notes == [
        f"sources[0].map.type: order.submited {lonely}; did you mean order.submitted?",
        f"sources[0].map.type: own.type {lonely}",
    ]


def test_the_defaults_give_no_notes(tmp_path: Path) -> None:
    assert report(tmp_path, "").notes == ()
