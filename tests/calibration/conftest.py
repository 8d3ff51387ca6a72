"""The marker ``slow``: rates over hundreds of releases; ``-m 'not slow'`` leaves them out."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", "slow: measures rates over hundreds of simulated releases")
