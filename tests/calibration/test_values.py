"""Durations, amounts and ratios of sums on streams that are untouched: false alarms at most as
promised; and durations that are not, found soon. As in ``test_families.py``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.calibration import tables
from tests.calibration.paths import Paths, assert_kept, of_amounts, of_durations, of_ratios
from tests.calibration.streams import Timed

pytestmark = pytest.mark.slow

ALPHA, LOOKS = tables.ALPHA, tables.LOOKS


@pytest.mark.parametrize("title", tables.DURATIONS)
def test_durations_that_do_not_differ_raise_no_more_alarms_than_promised(title: str) -> None:
    assert_kept(of_durations(tables.DURATIONS[title], 250, LOOKS), title)


@pytest.mark.parametrize("title", ["equal", "weather", "canary 10 %"])
@pytest.mark.parametrize("family", [of_amounts, of_ratios])
def test_sums_of_values_that_do_not_differ_raise_no_more_alarms_than_promised(
    family: Callable[[Timed, int, int], Paths], title: str
) -> None:
    assert_kept(family(tables.DURATIONS[title], 150, LOOKS), title)


def test_durations_ten_percent_longer_are_found_within_twenty_windows() -> None:
    delays = of_durations(Timed(factor=1.1), 200, 60).delays(ALPHA)
    assert np.median(delays) <= 20.0
