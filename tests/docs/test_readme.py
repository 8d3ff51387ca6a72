"""The README is true: its commands run as they stand, its examples are taken and given.

The two commands that install are run by ``.ci/run`` in a fresh clone; the others run here, one
after the other in one shell, on a free port and a temporary directory.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analyzers.judging.verdict import Verdict
from analyzers.policy import Limits
from collector.decoding.decode import decode
from pipeline import config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PORT = "8600"
# What depends on the version of a library's last digits is only asked to be near.
NEAR = 0.02
EVIDENCE = {"e_value", "e_safe", "p_value"}


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


INSTALLS = [block.strip() for block in blocks("sh") if block.startswith("python3 -m venv")]
TOUR = [block for block in blocks("sh") if not block.startswith("python3 -m venv")]
VERDICTS = [block for block in blocks("json") if block.startswith("{\n")]
LINES = [line for block in blocks("json") if block not in VERDICTS for line in block.splitlines()]


@dataclass(frozen=True, slots=True)
class Tour:
    """What the shell of the tour wrote, and the folder that it left behind."""

    output: str
    folder: Path


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def plimsoll_in(folder: Path) -> Path:
    """A folder for the PATH whose ``plimsoll`` is the checkout's and whose ``python3`` is ours."""
    for name, arguments in (("plimsoll", " -m pipeline"), ("python3", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    """The tour's commands in one shell, the daemon awaited where the reader would read on."""
    if shutil.which("curl") is None:
        pytest.skip("no curl on the PATH")
    folder = tmp_path_factory.mktemp("tour")
    port = free_port()
    waits = (
        f"curl -sS --retry 60 --retry-connrefused --retry-delay 1 http://127.0.0.1:{port}/readyz"
    )
    script = "set -eu\n" + "\n".join(
        block.replace(PORT, port).replace("./state &", f"./state --port {port} &\n{waits}")
        for block in TOUR
    )
    env = {
        **os.environ,
        "PATH": f"{plimsoll_in(tmp_path_factory.mktemp('bin'))}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PLIMSOLL_URL": f"http://127.0.0.1:{port}",
        "HOME": str(folder),
    }
    # A session of its own: the daemon stays in the background and is ended with its shell.
    shell = subprocess.Popen(
        ["bash", "-c", script + "\nkill %1\nwait %1"],
        cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = shell.communicate(timeout=240)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.communicate()
    assert shell.returncode == 0, output
    return Tour(output, folder)


def assert_same(shown: object, real: object, at: str = "") -> None:
    """Fails unless ``real`` holds everything ``shown`` says, numbers with a fraction nearly."""
    if isinstance(shown, Mapping):
        assert isinstance(real, Mapping), at
        for key, value in shown.items():
            assert key in real, f"{at}.{key} does not exist"
            if key not in EVIDENCE:
                assert_same(value, real[key], f"{at}.{key}")
    elif isinstance(shown, Sequence) and not isinstance(shown, str):
        assert isinstance(real, Sequence), at
        assert len(real) >= len(shown), at
        for place, value in enumerate(shown):
            assert_same(value, real[place], f"{at}[{place}]")
    elif isinstance(shown, float):
        assert real == pytest.approx(shown, rel=NEAR), at
    else:
        assert real == shown, at


def test_the_two_commands_are_one_line_each_and_need_only_python() -> None:
    demo, tests = INSTALLS
    assert demo.endswith(".venv/bin/plimsoll demo")
    assert ".venv/bin/pytest" in tests
    for command in INSTALLS:
        assert "\n" not in command
        words = [part.split()[0] for part in command.split(" && ")]
        assert {Path(word).parent.as_posix() for word in words[1:]} == {".venv/bin"}


def test_the_first_screen_says_what_it_is_shows_it_and_gives_both_commands() -> None:
    screen = "\n".join(README.splitlines()[:22])
    assert re.search(r"^!\[.+\]\(docs/images/[\w-]+\.png\)$", screen, re.MULTILINE)
    assert all(command in screen for command in INSTALLS)


def test_the_tour_runs_as_it_stands_and_ends_in_a_rollback(tour: Tour) -> None:
    assert '{"accepted":4000,"duplicates":0,"rejected":[]}' in tour.output
    assert "exit code 1" in tour.output
    assert "rollback" in tour.output


def test_the_verdict_shown_is_the_one_that_the_tour_gives(tour: Tour) -> None:
    (shown,) = VERDICTS
    (real,) = json.loads((tour.folder / "verdicts.json").read_text())["verdicts"]
    assert_same(json.loads(shown), real)


def test_the_verdict_shown_has_no_field_that_verdicts_lack() -> None:
    (shown,) = VERDICTS
    fields = {field.name for field in msgspec.structs.fields(Verdict)}
    assert json.loads(shown).keys() <= fields


def test_every_event_and_marker_shown_is_taken() -> None:
    batch = decode(
        [line.encode() for line in LINES], attributes=frozenset({"warehouse"}), limits=Limits()
    )
    assert not batch.rejects
    assert len(batch.facts) == 3
    assert [marker.type for marker in batch.markers] == [
        "deployment.started",
        "deployment.shifted",
        "deployment.finished",
    ]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_configuration_shown_is_accepted(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plimsoll.yml"
    path.write_text(text)
    assert config.load(path, {}).policy.metrics


def test_every_option_named_in_the_text_exists() -> None:
    used = set(re.findall(r"`plimsoll (\w+)((?: [^`]*)?)`", README))
    shown: dict[str, str] = {}
    for command, rest in sorted(used):
        if command not in shown:
            done = subprocess.run(
                [sys.executable, "-m", "pipeline", command, "--help"],
                cwd=ROOT, capture_output=True, text=True, check=True,
            )  # fmt: skip
            shown[command] = done.stdout
        missing: list[Any] = [o for o in re.findall(r"--[\w-]+", rest) if o not in shown[command]]
        assert not missing, f"plimsoll {command} has no {missing}"
    assert {"demo", "check", "serve", "verdict"} <= set(shown)
