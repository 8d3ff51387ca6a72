"""A real server for the page, and a real browser to look at it.

The server runs the page's own routes and those of its data over a snapshot that a test puts on
``stage``. With ``PLIMSOLL_PAGE_URL`` the tests that hold for any daemon look at that one instead.
Chromium is driven through its own driver; both are looked for on the PATH and never downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver

from dashboards import page
from tests.page.browser import Window, chromium, missing
from tests.page.stage import Stage, serving


@pytest.fixture(scope="session")
def served() -> Iterator[tuple[str, Stage]]:
    with serving(Stage()) as found:
        yield found


@pytest.fixture
def stage(served: tuple[str, Stage]) -> Stage:
    """What the test server tells; empty at the start of each test."""
    served[1].clear()
    return served[1]


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    if reason := missing():
        pytest.skip(reason)
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def window(driver: WebDriver, served: tuple[str, Stage], stage: Stage) -> Iterator[Window]:
    """A browser window on the test server; at the end it must not have complained."""
    with Window.opened(driver, served[0]) as found:
        yield found
    found.check_clean()


@pytest.fixture
def live(driver: WebDriver, served: tuple[str, Stage], stage: Stage) -> Iterator[Window]:
    """A window on the daemon at ``PLIMSOLL_PAGE_URL``, else on four staged releases."""
    url = os.environ.get("PLIMSOLL_PAGE_URL", "")
    if not url:
        stage.show_four_releases()
    with Window.opened(driver, url or served[0]) as found:
        yield found
    found.check_clean()


@pytest.fixture(scope="session")
def page_files() -> Path:
    return Path(page.__file__).parent
