"""Which series are the canary's, which the baseline's, and what came before."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.comparing.arms import (
    BASELINE,
    CANARY,
    NEITHER,
    arm_of,
    replaced,
    share_over,
    shown_before,
)
from analyzers.facts import Marker, concat
from analyzers.folding.cells import Cells, Series, fold, merge
from analyzers.timeline import Deployment, timeline
from tests.facts_of import (
    BEGIN_SLICE,
    NEW,
    OLD,
    facts_of,
    flow,
    policy_of,
    shifted,
    started,
    success,
)

POLICY = policy_of(success(segments=(("country",),)), flow())


def deployment_of(*markers: Marker) -> Deployment:
    return timeline(markers).deployments[0]


@pytest.mark.parametrize(
    ("version", "track", "arm"),
    [
        (NEW, "", CANARY),
        (OLD, "", BASELINE),
        ("", "canary", CANARY),
        ("", "baseline", BASELINE),
        ("", "", NEITHER),
        ("7", "", NEITHER),
        (NEW, "baseline", CANARY),
        (OLD, "canary", BASELINE),
    ],
)
def test_a_series_belongs_to_an_arm_by_version_first_and_then_by_track(
    version: str, track: str, arm: int
) -> None:
    series = Series("production", "order-api", version, track, "success", ())
    assert arm_of(series, deployment_of(started()), OLD) == arm


def test_without_a_known_baseline_version_only_tracks_make_a_baseline() -> None:
    unversioned = Series("production", "order-api", "", "", "success", ())
    assert arm_of(unversioned, deployment_of(started(replaces="", version="")), "") == NEITHER


def test_the_share_is_the_one_declared_last_and_zero_where_none_is() -> None:
    deployment = deployment_of(started(10.0, share=0.1), shifted(30.0, 0.5))
    shown = BEGIN_SLICE + np.array([0, 1, 2, 3, 400])
    assert share_over(deployment, shown).tolist() == [0.0, 0.1, 0.1, 0.5, 0.5]
    assert share_over(deployment_of(started()), shown).tolist() == [0.0] * 5


HOUR = 3600.0


def seen(version: str, times_s: list[float], *, open_from: int = 0) -> Cells:
    return fold(facts_of(times_s, version=version), (), POLICY, open_from=open_from)


def test_what_the_marker_says_is_replaced() -> None:
    cells = [seen("7", [1.0])]
    assert replaced(deployment_of(started(100.0)), cells, "flow") == OLD


def test_else_the_version_with_most_events_in_the_day_before_is_replaced() -> None:
    cells = [
        seen("6", [0.0] * 50),
        seen("7", [24 * HOUR, 25 * HOUR]),
        seen("8", [25.5 * HOUR]),
        seen(NEW, [25 * HOUR] * 9),
    ]
    deployment = deployment_of(started(26 * HOUR, replaces=""))
    assert replaced(deployment, cells, "flow") == "7"
    assert replaced(deployment, [merge(cells)], "flow") == "7"


def test_else_the_first_other_version_seen_after_the_start_is_replaced() -> None:
    deployment = deployment_of(started(0.0, replaces=""))
    assert replaced(deployment, [], "flow") == ""
    assert replaced(deployment, [seen("8", [30.0]), seen("7", [20.0])], "flow") == "7"


def test_other_services_environments_and_versionless_events_are_not_replaced() -> None:
    facts = concat(
        [
            facts_of([1.0] * 9, version="6", service="stock"),
            facts_of([1.0] * 9, version="5", environment="staging"),
            facts_of([1.0] * 9),
            facts_of([1.0], version="7"),
        ]
    )
    deployment = deployment_of(started(100.0, replaces=""))
    assert replaced(deployment, [fold(facts, (), POLICY, open_from=0)], "flow") == "7"


def test_what_is_shown_later_never_changes_what_a_release_replaces() -> None:
    deployment = deployment_of(started(100.0, replaces=""))
    known = seen("7", [50.0])
    late = seen("8", [60.0, 61.0], open_from=BEGIN_SLICE + 20)
    assert replaced(deployment, [known], "flow") == "7"
    assert replaced(deployment, [known, late], "flow") == "7"
    unknown = deployment_of(started(0.0, replaces=""))
    first = seen("8", [30.0])
    later = seen("7", [20.0], open_from=BEGIN_SLICE + 9)
    assert replaced(unknown, [first], "flow") == "8"
    assert replaced(unknown, [first, later], "flow") == "8"


def test_what_the_baseline_has_shown_in_the_days_before_is_known() -> None:
    deployment = deployment_of(started(2 * 24 * HOUR))
    known = [seen(OLD, [24 * HOUR])]
    assert shown_before(deployment, OLD, known, 7) == {"success": 0, "flow": 0}
    assert shown_before(deployment, OLD, known, 1) == {"success": 0, "flow": 0}
    assert shown_before(deployment, OLD, [seen(OLD, [23 * HOUR])], 1) == {}
    assert shown_before(deployment, OLD, [seen(NEW, [24 * HOUR])], 7) == {}
    later = seen(OLD, [24 * HOUR], open_from=BEGIN_SLICE + 3 * 24 * 360)
    assert shown_before(deployment, OLD, [later], 7) == {}


def test_the_longest_pause_before_a_release_is_known_however_cells_are_cut() -> None:
    deployment = deployment_of(started(2 * 24 * HOUR))
    cells = seen(OLD, [24 * HOUR, 25 * HOUR, 31 * HOUR, 32 * HOUR])
    for parts in ([cells], list(cells.split(BEGIN_SLICE + 28 * 360))):
        assert shown_before(deployment, OLD, parts, 7)["success"] == 6 * 360
