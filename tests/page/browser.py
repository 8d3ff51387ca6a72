"""A headless Chromium without a network, and a window that remembers what the page did.

Everything the page asks for and every word on its console is kept: a request to another origin or
an error on the console fails the test.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S: Final = 20  # the longest wait for something that comes; a slow machine needs it
_POLLS: Final = (
    "return performance.getEntriesByType('resource')"
    ".filter(({name}) => name.endsWith('/v1/page')).length"
)
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars", "--no-pings",
    "--disable-features=OptimizationHints,MediaRouter,Translate", "--force-color-profile=srgb",
)  # fmt: skip


def _found() -> tuple[str | None, str | None]:
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    return browser, shutil.which("chromedriver")


def missing() -> str | None:
    """Why no browser can be had, or None."""
    browser, driver = _found()
    if browser is None:
        return "no Chromium on the PATH; install the package chromium to test the page"
    if driver is None:
        return "no chromedriver on the PATH; install chromium-driver to test the page"
    return None


@contextmanager
def chromium(profile: Path) -> Iterator[WebDriver]:
    """A headless Chromium that can reach nothing but this machine."""
    browser, driver = _found()
    assert browser
    assert driver
    options = ChromeOptions()
    options.binary_location = browser
    for flag in _FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = Chrome(options=options, service=Service(executable_path=driver))
    try:
        yield found
    finally:
        found.quit()


class Window:
    """One look at the page: opens it, finds things in it, and knows what it asked for."""

    def __init__(self, driver: WebDriver, url: str) -> None:
        self.driver = driver
        self.url = url
        self.expected: tuple[str, ...] = ()  # console words that a test provokes on purpose

    @classmethod
    @contextmanager
    def opened(cls, driver: WebDriver, url: str) -> Iterator[Window]:
        """A window of desktop size in the light scheme, its memory empty."""
        window = cls(driver, url)
        window.look(width=1360, height=900, scheme="light")
        driver.get("about:blank")
        window.log("browser")
        window.log("performance")
        yield window

    def look(
        self, *, width: int, height: int, scheme: Literal["light", "dark"], scale: float = 1
    ) -> None:
        """Sets the size of the window and the colour scheme that the user prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme_feature = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme_feature})

    def open(self, deployment: str | None = None) -> Window:
        """Opens the page, at a release where one is named, and waits until it shows something."""
        self.driver.get("about:blank")
        fragment = "" if deployment is None else f"#{quote(deployment, safe='')}"
        self.driver.get(self.url + fragment)
        self.wait(lambda: self.one("#view").is_displayed() or self.one("#notice").is_displayed())
        return self

    def wait(self, condition: Callable[[], object]) -> None:
        """Waits until the condition holds; an element replaced meanwhile is looked up again."""
        waiting = WebDriverWait(
            self.driver, PATIENCE_S, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        waiting.until(lambda _: condition())

    def polls(self) -> int:
        """How often the page has asked for its data."""
        return int(self.run(_POLLS))

    def after_polls(self, condition: Callable[[], object] = lambda: True) -> None:
        """Waits until the page has drawn what the server says now, and the condition holds.

        The page polls whenever it is seen again; that is said to it here, again and again.
        """
        before = self.polls()

        def drawn() -> bool:
            self.run("document.dispatchEvent(new Event('visibilitychange'))")
            return self.polls() >= before + 3 and bool(condition())  # the third: two are drawn

        self.wait(drawn)

    def one(self, css: str) -> WebElement:
        """The first element that matches."""
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def every(self, css: str) -> list[WebElement]:
        """Every element that matches and can be seen."""
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return [element for element in found if element.is_displayed()]

    def text(self, css: str) -> str:
        """The visible text of the first element that matches, blanks made plain."""
        return plain(self.one(css).text)

    def press(self, *keys: str) -> None:
        """Presses keys where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self) -> WebElement:
        return self.driver.switch_to.active_element

    def run(self, script: str, *arguments: object) -> Any:
        """What a script gives back."""
        return self.driver.execute_script(script, *arguments)

    def log(self, kind: Literal["browser", "performance"]) -> list[dict[str, Any]]:
        """What was written to a log of the browser since the last call."""
        found: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found

    def requests(self) -> list[str]:
        """The address of everything asked for since the last call."""
        entries = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]

    def check_clean(self) -> None:
        """Nothing was asked of another origin, and nothing bad was said on the console."""
        origin = urlsplit(self.url)[:2]
        strangers = [
            url for url in self.requests() if urlsplit(url)[:2] != origin and url != "about:blank"
        ]
        assert not strangers, f"the page asked another origin: {strangers}"
        said = [
            entry["message"]
            for entry in self.log("browser")
            if entry["level"] in ("SEVERE", "WARNING")
            and not any(word in entry["message"] for word in self.expected)
        ]
        assert not said, f"on the console: {said}"


def plain(text: str) -> str:
    """Text in one line, with every kind of blank as a plain one and a true minus as a hyphen."""
    return " ".join(text.split()).replace("\u2212", "-")


TAB: Final = Keys.TAB
