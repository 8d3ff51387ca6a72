"""What every test stands on: where optional data lies, how properties are tried, what a skip means.

With ``PLIMSOLL_NO_SKIP=1`` (as in ``.ci/run``) a skipped test is a failed one: a machine that is
meant to have Chromium and Prometheus must not pass because they were missing. Only tests that ask
for the optional ``shared`` data may still skip.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]
NO_SKIP = os.environ.get("PLIMSOLL_NO_SKIP") == "1"

# No deadline: behaviour is tested, never seconds. Derandomised: the same tree gives the same
# result everywhere; long random runs belong to the simulations.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("steady")


# Whoever starts the tests in the background has SIGINT ignored, and every program started here
# would inherit that: Ctrl-C could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their place, not by what they hold: compressed bytes carry the time, and
    two processes that share the tests would collect different ones."""
    return argname if isinstance(val, bytes | bytearray) else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the larger data sets, from ``PLIMSOLL_SHARED`` or beside the checkout."""
    folder = Path(os.environ.get("PLIMSOLL_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("the optional data sets are not on this machine (set PLIMSOLL_SHARED)")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The test's report; a skip becomes a failure where skipping is forbidden."""
    report = yield
    optional = "shared" in getattr(item, "fixturenames", ())
    if NO_SKIP and report.skipped and not optional and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and PLIMSOLL_NO_SKIP=1 forbids it: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The module's report; a module that skips itself fails where skipping is forbidden."""
    report = yield
    if NO_SKIP and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, and PLIMSOLL_NO_SKIP=1 forbids it: {report.longrepr}"
    return report
