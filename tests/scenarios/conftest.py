"""The marker ``slow``: scenarios that judge many streams; ``-m 'not slow'`` leaves them out."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", "slow: judges many streams, a second or two each")
