"""The operations page is true: its commands run as they stand, one after the other."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from analyzers.policy import Limits
from collector.keeping.state_file import FILE, LOCK_FILE
from dashboards.instruments import INSTRUMENTS
from pipeline.cli import cli
from tests.integration.serving import ROOT, Daemon, daemon, ndjson, order

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


class Machine:
    """A machine on which the page is followed, with its directories somewhere else."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: Daemon | None = None
        self._stack = ExitStack()
        (root / "backups").mkdir()

    def here(self, text: str) -> str:
        text = text.replace("/var/lib/", f"{self.root}/").replace(
            "/backups", f"{self.root}/backups"
        )
        if self.running is not None:
            text = text.replace("http://127.0.0.1:8600", self.running.url)
        return text

    def serve(self, *arguments: str) -> Daemon:
        state = arguments[arguments.index("--state") + 1]
        self.running = self._stack.enter_context(daemon(Path(state)))
        return self.running

    def end(self) -> None:
        if self.running is not None:
            assert self.running.end() == 0
        self._stack.close()
        self.running = None

    def run(self, line: str) -> None:
        """Runs one command as the page says, with the daemon running or ended as it says."""
        verb = shlex.split(line)[1]
        if verb == "serve":
            self.end()
            running = self.serve(*shlex.split(self.here(line)))
            events: list[dict[str, object] | bytes] = [*(order(n) for n in range(30)), b"rubbish"]
            assert running.post(ndjson(events)).status_code == 202
            return
        if verb == "restore":
            self.end()
        ran = subprocess.run(
            [sys.executable, "-m", "pipeline", *shlex.split(self.here(line))[1:]],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, (line, ran.stderr)


@contextmanager
def machine(root: Path) -> Iterator[Machine]:
    made = Machine(root)
    try:
        yield made
    finally:
        made._stack.close()


@pytest.mark.integration
def test_every_command_of_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    with machine(tmp_path) as here:
        for line in COMMANDS:
            if "000000000002" in line:  # the name of the copy that the page made above
                (copy,) = (tmp_path / "backups").glob("plimsoll-*.sqlite")
                line = line.replace("plimsoll-000000000002.sqlite", copy.name)  # noqa: PLW2901
            if line.startswith("plimsoll rejects") and here.running is None:
                here.run("plimsoll serve --state /var/lib/plimsoll")
            here.run(line)
    moved, served = tmp_path / "plimsoll-new", tmp_path / "plimsoll"
    assert (moved / FILE).exists()
    assert (served / "before-restore-1" / FILE).exists()


def test_the_page_names_only_commands_and_options_that_exist() -> None:
    for line in COMMANDS:
        _, verb, *rest = shlex.split(line)
        command = cli.commands[verb]
        if verb == "rejects":
            command = command.commands[rest[0]]  # type: ignore[attr-defined]
        known = {option for one in command.params for option in one.opts}
        assert {word for word in rest if word.startswith("--")} <= known, line


def test_every_metric_and_limit_that_the_page_names_is_there() -> None:
    metrics = set(re.findall(r"`(plimsoll_\w+)`", PAGE))
    assert metrics <= {one.name for one in INSTRUMENTS}
    limits = set(re.findall(r"`limits\.(\w+)`", PAGE))
    assert limits <= {field.name for field in fields(Limits)}
    for name in (FILE, LOCK_FILE):
        assert f"`{name}`" in PAGE
