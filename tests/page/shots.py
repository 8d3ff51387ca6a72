"""Makes the pictures in docs/images: ``python -m tests.page.shots [folder]``.

They show the four staged releases of ``recorded.py``, in both schemes and at phone width.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path
from typing import Final, Literal

from tests.page.browser import Window, chromium
from tests.page.stage import Stage, serving

_WIDE: Final = 1360
_PHONE: Final = 390
_Shot = tuple[str, int, Literal["light", "dark"], str | None, int]
_SHOTS: Final[tuple[_Shot, ...]] = (
    ("releases-light", _WIDE, "light", None, 860),
    ("releases-dark", _WIDE, "dark", None, 860),
    ("release-light", _WIDE, "light", "order-api-1.42.0", 1120),
    ("release-dark", _WIDE, "dark", "order-api-1.42.0", 1120),
    ("phone-light", _PHONE, "light", None, 844),
    ("phone-dark", _PHONE, "dark", "order-api-1.42.0", 844),
)


def take(folder: Path, *, whole: bool = False) -> list[Path]:
    """The pictures, written into ``folder``; ``whole`` ones are as high as the page is."""
    made = []
    with (
        tempfile.TemporaryDirectory() as profile,
        chromium(Path(profile)) as driver,
        serving(Stage()) as (url, stage),
        Window.opened(driver, url) as window,
    ):
        stage.show_four_releases()
        for name, width, scheme, deployment, height in _SHOTS:
            window.look(width=width, height=height, scheme=scheme, scale=2 if width < 600 else 1)
            window.open(deployment)
            if deployment is not None:
                window.wait(lambda: window.every(".estimate"))
            if whole:
                tall = int(window.run("return document.documentElement.scrollHeight"))
                window.look(width=width, height=max(tall, height), scheme=scheme)
            picture = folder / f"{name}.png"
            picture.write_bytes(base64.b64decode(driver.get_screenshot_as_base64()))
            made.append(picture)
    return made


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[2] / "docs" / "images"
    take(target, whole="--whole" in sys.argv)
