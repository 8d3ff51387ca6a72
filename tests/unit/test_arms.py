"""Which cells are the canary's, which the baseline's, and from when to when."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.arms import (
    BASELINE,
    CANARY,
    NEITHER,
    arm_of,
    attribute,
    no_rows,
    replaced,
    share_over,
    stack,
    with_exposure,
)
from analyzers.cells import Cells, Series, fold, merge
from analyzers.facts import Facts, Marker, concat
from analyzers.policy import Policy
from analyzers.timeline import Deployment, timeline
from tests.facts_of import (
    BEGIN_SLICE,
    NEW,
    OLD,
    answered,
    duration,
    facts_of,
    finished,
    flow,
    policy_of,
    shifted,
    started,
    success,
    throughput,
)

POLICY = policy_of(success(segments=(("country",),)), flow())


def deployment_of(*markers: Marker) -> Deployment:
    return timeline(markers).deployments[0]


def folded(facts: Facts, policy: Policy = POLICY, *, open_from: int = 0) -> Cells:
    return fold(facts, (), policy, open_from=open_from)


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


def test_cells_count_from_the_slice_of_the_start_to_the_slice_of_the_end() -> None:
    times = [9.0, 14.0, 16.0, 29.0, 30.0]
    facts = concat([facts_of(times, version=NEW), facts_of(times, version=OLD)])
    deployment = deployment_of(started(15.0), finished(25.0))
    rows = attribute(folded(facts), deployment, OLD, POLICY)["success", ()]
    assert (rows.shown - BEGIN_SLICE).tolist() == [1, 2]
    assert rows.units.tolist() == [[2.0, 2.0], [1.0, 1.0]]


def test_only_the_service_and_the_environment_of_the_release_are_compared() -> None:
    facts = concat(
        [
            facts_of([1.0], version=NEW, service="stock"),
            facts_of([1.0], version=NEW, environment="staging"),
            facts_of([1.0], version="7"),
        ]
    )
    assert attribute(folded(facts), deployment_of(started()), OLD, POLICY) == {}


def test_failures_units_and_segments_are_told_apart() -> None:
    facts = facts_of(
        [1.0] * 5,
        version=[NEW, NEW, OLD, OLD, OLD],
        outcome=["ok", "no", "ok", "no", "no"],
        attributes={"country": ["DE", "DE", "DE", "FR", ""]},
    )
    rows = attribute(folded(facts), deployment_of(started()), OLD, POLICY)
    assert rows["success", ()].units.tolist() == [[3.0, 2.0]]
    assert rows["success", ()].failures.tolist() == [[2.0, 1.0]]
    assert rows["success", (("country", "DE"),)].units.tolist() == [[1.0, 2.0]]
    assert rows["success", (("country", "FR"),)].failures.tolist() == [[1.0, 0.0]]


def test_buckets_follow_the_rows_they_belong_to() -> None:
    policy = policy_of(duration(types=()))
    facts = facts_of([1.0, 1.0, 11.0, 31.0], version=[NEW, OLD, NEW, OLD], value=[1.0] * 4)
    rows = attribute(folded(facts, policy), deployment_of(started()), OLD, policy)["duration", ()]
    assert rows.units.tolist() == [[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
    by_row = np.zeros((3, 2))
    np.add.at(by_row, rows.bin_of, rows.bin_counts)
    assert by_row.tolist() == rows.units.tolist()


def test_a_late_cell_counts_by_when_it_happened_and_is_seen_when_it_was_shown() -> None:
    before = folded(facts_of([5.0], version=NEW), open_from=BEGIN_SLICE + 6)
    after = folded(facts_of([25.0], version=NEW), open_from=BEGIN_SLICE + 6)
    rows = attribute(merge([before, after]), deployment_of(started(20.0)), OLD, POLICY)
    assert rows["success", ()].units.tolist() == [[0.0, 1.0]]
    assert rows["success", ()].shown.tolist() == [BEGIN_SLICE + 6]


def test_answers_count_from_when_the_first_question_after_the_start_falls_due() -> None:
    policy = policy_of(answered(60))
    metric = policy.metrics[0].name
    cells = folded(facts_of([65.0, 75.0], version=NEW))  # as if due then
    series = tuple(s._replace(metric=metric) for s in cells.series)
    due = Cells(series, *(getattr(cells, name) for name in Cells.__slots__[1:]))
    rows = attribute(due, deployment_of(started(10.0)), OLD, policy)
    assert (rows[metric, ()].shown - BEGIN_SLICE).tolist() == [7]


def test_exposure_is_laid_beside_the_counts_slice_by_slice() -> None:
    policy = policy_of(throughput(), flow())
    facts = concat(
        [
            facts_of([1.0, 21.0], version=NEW),
            facts_of([1.0, 1.0, 11.0], types="page.viewed", version=[NEW, OLD, OLD]),
        ]
    )
    found = attribute(folded(facts, policy), deployment_of(started()), OLD, policy)
    rows = with_exposure(found["throughput", ()], found["flow", (("type", "page.viewed"),)])
    assert (rows.shown - BEGIN_SLICE).tolist() == [0, 1, 2]
    assert rows.units.tolist() == [[0.0, 1.0], [0.0, 0.0], [0.0, 1.0]]
    assert rows.exposed.tolist() == [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    assert with_exposure(no_rows(), no_rows()).shown.tolist() == []


def test_stacked_rows_keep_their_buckets() -> None:
    policy = policy_of(duration(types=()))
    facts = facts_of([1.0, 11.0, 21.0], version=NEW, value=[1.0, 2.0, 4.0])
    whole = attribute(folded(facts, policy), deployment_of(started()), OLD, policy)["duration", ()]
    first, second = (
        attribute(part, deployment_of(started()), OLD, policy)["duration", ()]
        for part in folded(facts, policy).split(BEGIN_SLICE + 1)
    )
    both = stack(first, second)
    assert both.shown.tolist() == whole.shown.tolist()
    assert both.bin_of.tolist() == whole.bin_of.tolist() == [0, 1, 2]
    assert stack(no_rows(), whole) is whole


def test_the_share_is_the_one_declared_last_and_zero_where_none_is() -> None:
    deployment = deployment_of(started(10.0, share=0.1), shifted(30.0, 0.5))
    shown = BEGIN_SLICE + np.array([0, 1, 2, 3, 400])
    assert share_over(deployment, shown).tolist() == [0.0, 0.1, 0.1, 0.5, 0.5]
    assert share_over(deployment_of(started()), shown).tolist() == [0.0] * 5


HOUR = 3600.0


def seen(version: str, times_s: list[float], *, open_from: int = 0) -> Cells:
    return folded(facts_of(times_s, version=version), open_from=open_from)


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
    assert replaced(deployment, [folded(facts)], "flow") == "7"


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
