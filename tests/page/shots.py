"""Makes the pictures in docs/images: ``python -m tests.page.shots [FOLDER] [--url URL]``.

With the address of a running daemon (``plimsoll demo --port 8600``) they show what it says,
without one the staged releases of ``recorded.py``: the list, and the newest harmful release (the
picture of the README among them), in both schemes and at phone width.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

import httpx

from tests.page.browser import Window, chromium
from tests.page.stage import Stage, serving

_WIDE: Final = 1360
_PHONE: Final = 390
_Shot = tuple[str, int, int, Literal["light", "dark"], bool]
_SHOTS: Final[tuple[_Shot, ...]] = (
    ("releases-light", _WIDE, 720, "light", False),
    ("demo", _WIDE, 1240, "light", True),
    ("release-dark", _WIDE, 1240, "dark", True),
    ("phone-light", _PHONE, 844, "light", False),
    ("phone-dark", _PHONE, 844, "dark", True),
)


def take(folder: Path, *, url: str = "", whole: bool = False) -> list[Path]:
    """The pictures, written into ``folder``; ``whole`` ones are as high as the page is."""
    made = []
    with ExitStack() as stack:
        profile = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        driver = stack.enter_context(chromium(profile))
        if not url:
            url, stage = stack.enter_context(serving(Stage()))
            stage.show_four_releases()
        window = stack.enter_context(Window.opened(driver, url))
        harmful = newest_harmful(url)
        for name, width, height, scheme, opened in _SHOTS:
            window.look(width=width, height=height, scheme=scheme, scale=2 if width < 600 else 1)
            window.open(harmful if opened else None)
            window.wait(lambda opened=opened: window.every(".estimate" if opened else ".row"))  # type: ignore[misc]
            if whole:
                tall = int(window.run("return document.documentElement.scrollHeight"))
                window.look(width=width, height=max(tall, height), scheme=scheme)
            picture = folder / f"{name}.png"
            picture.write_bytes(base64.b64decode(driver.get_screenshot_as_base64()))
            made.append(picture)
    return made


def newest_harmful(url: str) -> str:
    """The deployment of the newest degraded release, of the newest one if none is."""
    releases = httpx.get(f"{url}v1/page").json()["releases"]
    order = sorted(releases, key=lambda r: (r["verdict"]["verdict"] != "degraded", -r["started"]))
    deployment: str = order[0]["verdict"]["deployment"]
    return deployment


if __name__ == "__main__":
    images = Path(__file__).parents[2] / "docs" / "images"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=images)
    parser.add_argument("--url", default="", help="a running daemon's address, ending in a slash")
    parser.add_argument("--whole", action="store_true", help="as high as the page is")
    said = parser.parse_args()
    take(said.folder, url=said.url, whole=said.whole)
