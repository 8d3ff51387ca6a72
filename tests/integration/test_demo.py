"""``plimsoll demo`` as a person runs it: a real daemon, real orders, verdicts that are acted on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import msgspec
import pytest

from analyzers.judging.verdict import Verdict
from pipeline.demo.daemon import environment

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 300.0


def demo(*arguments: str, temporary: Path) -> subprocess.Popen[str]:
    """The command, started without a terminal; its temporary files lie in ``temporary``."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "demo", *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def told(process: subprocess.Popen[str], until: str) -> list[str]:
    """The lines that the demo prints until one holds ``until``."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if until in line:
            return lines
    raise AssertionError(f"{until!r} was never said:\n" + "\n".join(lines))


@pytest.mark.integration
def test_the_demo_decides_each_release_rightly_and_its_page_stays_until_ctrl_c(
    tmp_path: Path,
) -> None:
    with demo(temporary=tmp_path) as process:
        try:
            lines = told(process, "stays at")
            url = re.findall(r"http://127\.0\.0\.1:\d+", lines[-1])[0]
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
                page = client.get("/")
                verdicts = {
                    name: msgspec.json.decode(
                        client.get(f"/v1/verdicts/{name}").content, type=Verdict
                    )
                    for name in ("d-101", "d-102", "d-103", "d-104")
                }
            process.send_signal(signal.SIGINT)
            assert process.wait(LONGEST_S) == 0
        finally:
            process.kill()
    text = "\n".join(lines)
    assert page.status_code == 200
    assert verdicts["d-101"].verdict == verdicts["d-103"].verdict == "healthy"
    slow, country = verdicts["d-102"], verdicts["d-104"]
    assert slow.first_degraded_at
    assert country.first_degraded_at
    assert slow.reasons[0].metric == "order_confirmation_time"
    assert country.reasons[0].segment == {"country": "Germany"}
    assert text.count("alert firing") == 2
    assert text.count("alert resolved") == 2
    assert "\x1b" not in text
    summary = text[text.index("released:") :]
    assert summary.count("decided: healthy, promote") == 3
    assert summary.count("decided: degraded, rollback") == 2
    assert not list(tmp_path.iterdir()), "its state is still there"
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


@pytest.mark.integration
def test_ended_in_the_middle_it_leaves_neither_daemon_nor_state_behind(tmp_path: Path) -> None:
    with demo("--once", temporary=tmp_path) as process:
        try:
            lines = told(process, "Live page")
            url = lines[-1].removeprefix("Live page: ")
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONGEST_S) != 0
        finally:
            process.kill()
    assert not list(tmp_path.iterdir()), "its state is still there"
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


@pytest.mark.integration
def test_a_port_that_is_taken_is_said_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo("--once", "--port", str(port), temporary=tmp_path) as process:
            said, _ = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 2
    assert "cannot listen" in said
    assert "--port" in said


def test_the_daemon_of_a_demo_knows_none_of_the_users_settings_or_proxies() -> None:
    outside = {"PLIMSOLL_CONFIG": "/x.yml", "https_proxy": "http://proxy", "HOME": "/h"}
    inside = environment(outside, 4711)
    assert inside["HOME"] == "/h"
    assert inside["PLIMSOLL_DEMO_ALERTS_PORT"] == "4711"
    assert not {"PLIMSOLL_CONFIG", "https_proxy"} & inside.keys()
